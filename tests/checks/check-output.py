"""muster-output(7) has a section for every command, with the cells that tsv prints, each of which it says something of. That it
has every field is held wherever a story runs muster (lib/output_page.py)."""
import json
import sys

import tree

sys.path.insert(0, str(tree.TOP / "tests"))

from lib import output_page


def is_said(cell, verb, part):
    whole = part.resolve(output_page.page().objects)
    start = f"{verb['rows']}[]." if verb["rows"] else ""
    return start + cell in whole.types or "*" in whole.types or f"\\fI{cell}\\fR" in " ".join(part.text)


def verb_problems(verb, part):
    if part.cells != verb["columns"]:
        yield f"TSV is {', '.join(verb['columns']) or 'not printed'}, the page has {', '.join(part.cells) or 'nothing of it'}"
    yield from (f"it says nothing of '{cell}'" for cell in verb["columns"] if not is_said(cell, verb, part))


def problems():
    commands = output_page.page().commands
    verbs = {verb["name"]: verb for verb in json.loads(tree.muster("--dump-options").stdout)["verbs"]}
    yield from (f"there is no command '{name}'" for name in commands if name not in verbs)
    for name, verb in verbs.items():
        if name not in commands:
            yield f"no section 'muster {name}'"
            continue
        yield from (f"muster {name}: {problem}" for problem in verb_problems(verb, commands[name]))


tree.finish([f"muster-output(7): {problem}" for problem in problems()])
