"""The manual page and the option tables say the same: every verb, option, environment variable and exit status.
Read as people read it, rendered."""
import json
import re
import subprocess

import tree

PAGE = "man/muster.1"


def rendered():
    text = subprocess.run(["mandoc", "-T", "ascii", "-O", "width=100", tree.TOP / PAGE], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    return re.sub(".\b", "", text)


def sections(text):
    """Title -> lines, for sections (no indent) and subsections (an indent of three)."""
    result, title = {}, ""
    for line in text.splitlines():
        heading = re.fullmatch(r"(?: {3})?(\S.*)", line)
        if heading:
            title = heading.group(1).strip()
        result.setdefault(title, []).append(line)
    return result


def options_in(lines):
    """Long options where an item begins: '-p, --profile=FILE'."""
    items = [line.strip() for line in lines if re.match(r" +(-\w, )?--[a-z]", line)]
    return {name for item in items for name in re.findall(r"(?:^|, )--([a-z][a-z-]*)", item)}


def compare(title, described, rows):
    shown = {row["name"] for row in rows if not row["hidden"]}
    yield from (f"{PAGE}: {title}: --{name} is not described" for name in sorted(shown - described))
    known = shown | {alias for row in rows for alias in row["aliases"]}
    yield from (f"{PAGE}: {title}: --{name} does not exist" for name in sorted(described - known))


def problems():
    text = rendered()
    parts = sections(text)
    tables = json.loads(tree.muster("--dump-options").stdout)
    for verb in tables["verbs"]:
        title = f"muster {verb['name']}"
        yield from compare(title, options_in(parts[title]), verb["options"]) if title in parts else [f"{PAGE}: no '{title}'"]
    known = {f"muster {verb['name']}" for verb in tables["verbs"]}
    yield from (f"{PAGE}: there is no '{title}'" for title in parts if re.match("muster [a-z]", title) and title not in known)

    elsewhere = set().union(*(options_in(lines) for title, lines in parts.items() if title not in known))
    yield from (f"{PAGE}: --{row['name']} is not described" for row in tables["options"] if row["name"] not in elsewhere)
    variables = {row["environment"] for table in [tables, *tables["verbs"]] for row in table["options"] if row["environment"]}
    yield from (f"{PAGE}: {name} is not described" for name in sorted(variables) if not re.search(rf"\b{name}\b", text))
    statuses = "\n".join(parts.get("EXIT STATUS", []))
    yield from (f"{PAGE}: exit status {code} is not described" for code in range(12)
                if not re.search(rf"^ +{code}\b", statuses, re.MULTILINE))


tree.finish(list(problems()))
