"""causes.def: ascending, unique, in its family, complete; and `muster explain` knows each."""
import re

import tree

ROW = re.compile(r'^CAUSE\((\d+), (\w+), (\w+), "([^"]*)",\s*((?:"(?:\\.|[^"\\])*"\s*,?\s*)+)\)', re.MULTILINE)
FAMILIES = "12345679"

text = tree.read("include/muster/causes.def")
rows = ROW.findall(text)
problems = []

if len(rows) != len(re.findall(r"^CAUSE\(", text, re.MULTILINE)):
    problems.append("causes.def: a row is not of the form CAUSE(number, NAME, CODE, title, why, remedy)")
numbers = [int(row[0]) for row in rows]
problems += [f"causes.def: {after} stands after {before}" for before, after in zip(numbers, numbers[1:]) if after <= before]
problems += [f"causes.def: {number} is of no family" for number in numbers if str(number)[0] not in FAMILIES]
names = [row[1] for row in rows]
problems += [f"causes.def: {name} stands twice" for name in sorted(set(names)) if names.count(name) > 1]

used = " ".join(tree.read(path) for path in tree.files("src/*.c", "src/*.h", "tests/unit/*.c"))
problems += [f"causes.def: nothing uses CAUSE_{name}" for name in names if not re.search(rf"\bCAUSE_{name}\b", used)]

for number, _, _, title, _ in rows:
    done = tree.muster("explain", f"E{number}")
    if done.returncode != 0 or title not in done.stdout:
        problems.append(f"muster explain E{number}: exit {done.returncode}, no '{title}'")
if tree.muster("explain", "E9999").returncode == 0:
    problems.append("muster explain E9999: accepts a cause that does not exist")

tree.finish(problems)
