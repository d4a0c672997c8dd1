"""What muster prints for programs, held against muster-output(7): every field stands there, with its type, and what is said to
be always there is."""
import functools
import json
import re

from lib.paths import TOP

PAGE = TOP / "man/muster-output.7"
FIELD = re.compile(r'\.IP "\\fB(\S+)\\fR ([a-z ]+)(\??)" \d+')
INCLUDED = re.compile(r"Has the fields of \\fI([^\\]+)\\fR(?: in (\S+))?\.$")
INSTEAD = re.compile(r'\.IR "([^"]+)" \.$')
CELLS = re.compile(r"TSV: (.+)\.$")
TYPES = {"text": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict, "list": list, "any": object}
# The member by which the result of such a verb is told from what it can print instead, which has pages of its own.
MARKS = {"journal export": "entry", "key derive": "devices"}


class Part:
    """One subsection: of a command, an object that several share, or an event."""

    def __init__(self):
        self.types = {}  # by path
        self.optional = set()
        self.included = []  # (name of an object, what its paths begin with)
        self.instead = []  # names of objects that may be printed in its place
        self.cells = []  # of tsv
        self.text = []

    def add(self, line):
        field, included, instead, cells = (kind.match(line) for kind in (FIELD, INCLUDED, INSTEAD, CELLS))
        if field:
            path, types, optional = field.groups()
            self.types[path] = types.split(" or ")
            if optional:
                self.optional.add(path)
        elif included:
            name, prefix = included.groups()
            self.included.append((name, f"{prefix}." if prefix else ""))
        elif instead:
            self.instead.append(instead.group(1))
        elif cells:
            self.cells = re.findall(r"\\fI(\w+)\\fR", cells.group(1))
        else:
            self.text.append(line)

    def resolve(self, objects):
        """With the fields of what it includes."""
        whole = Part()
        for name, prefix in self.included:
            other = objects[name].resolve(objects)
            whole.types.update({prefix + path: types for path, types in other.types.items()})
            whole.optional |= {prefix + path for path in other.optional}
        whole.types.update(self.types)
        whole.optional |= self.optional
        return whole


class Page:
    """The page by its sections."""

    def __init__(self, text):
        self.sections = {}
        part = Part()
        for line in text.replace("\\-", "-").splitlines():
            heading = re.match(r'\.(SH|SS) "?([^"]+)"?$', line)
            if heading and heading.group(1) == "SH":
                section = self.sections.setdefault(heading.group(2), {})
                part = Part()
            elif heading:
                part = section.setdefault(heading.group(2), Part())
            else:
                part.add(line)
        self.commands = {title.removeprefix("muster "): part for title, part in self.sections["COMMANDS"].items()}
        self.objects = self.sections["OBJECTS"]
        self.events = self.sections["EVENTS"]

    @functools.lru_cache(maxsize=None)
    def whole(self, kind, name):
        return self.sections[kind][name].resolve(self.objects)

    def problems(self, verb, row):
        """What the page does not say of one object that the verb has printed."""
        if "event" in row and verb in ("provision", "sync", "enrollment import", "outbox retry", "bundle send"):
            if row["event"] not in self.events:
                return [f"the event '{row['event']}'"]
            return compare(self.whole("EVENTS", row["event"]), {name: row[name] for name in row if name != "event"})
        if MARKS.get(verb) and MARKS[verb] not in row:
            return []
        parts = [self.whole("COMMANDS", f"muster {verb}"),
                 *(self.whole("OBJECTS", name) for name in self.commands[verb].instead if name in self.objects)]
        return min((compare(part, row) for part in parts if part.types), key=len)


@functools.lru_cache(maxsize=1)
def page():
    return Page(PAGE.read_text(encoding="utf-8"))


def is_of(value, types):
    if isinstance(value, bool):
        return "boolean" in types or "any" in types
    return any(isinstance(value, TYPES[name]) for name in types)


def walk(part, value, path, found):
    if isinstance(value, list):
        for item in value:
            look(part, item, f"{path}[]", f"{path}[]", found)
    elif isinstance(value, dict):
        start = f"{path}." if path else ""
        for name, item in value.items():
            look(part, item, start + name, f"{start}*", found)
        found += [f"'{other}' is absent" for other in part.types if other.rpartition(".")[0] == path and other not in part.optional
                  and not other.endswith(("*", "[]")) and other.rpartition(".")[2] not in value]


def look(part, value, path, any_name, found):
    types = part.types.get(path) or part.types.get(any_name)
    if types is None:
        found.append(f"'{path}'")
    elif not is_of(value, types):
        found.append(f"'{path}' is no {' or '.join(types)}")
    elif path in part.types:
        walk(part, value, path, found)


def compare(part, row):
    found = []
    walk(part, row, "", found)
    return found


def documents(text):
    """The rows of what was printed as json or jsonl; nothing of another format."""
    if not text.startswith(("{", "[")):
        return []
    try:
        try:
            whole = json.loads(text)
        except json.JSONDecodeError:
            whole = [json.loads(line) for line in text.splitlines()]
    except json.JSONDecodeError:
        return []
    return [row for row in (whole if isinstance(whole, list) else [whole]) if isinstance(row, dict)]


def verb_of(arguments):
    """The verb of a line, which common options may stand before; None where there is none with fields."""
    words = [str(word) for word in arguments]
    names = (" ".join(words[start:start + size]) for start in range(3) for size in (2, 1))
    verb = next((name for name in names if name in page().commands), None)
    part = page().commands.get(verb)
    return verb if part and (part.types or part.included or part.instead) else None


def has_keys_alone(words):
    """Keys of devices went to standard output, and nothing else does then."""
    return ("--key-fd", "1") in zip(words, words[1:])


def problems(arguments, text):
    """What the page does not say of what such a line has printed."""
    if has_keys_alone([str(word) for word in arguments]):
        return []
    rows, verb = documents(text), verb_of(arguments)
    return sorted({f"{verb}: {problem}" for row in rows for problem in page().problems(verb, row)}) if verb else []


def problems_of_error(error):
    return compare(page().whole("DESCRIPTION", "Errors"), error)
