"""The udev rules: known keys only, names and tags only (access stays with the distribution)."""
import re

import tree

PAIR = re.compile(r'([A-Z_]+)(?:\{([^}]+)\})?\s*(==|!=|\+=|:=|=)\s*"([^"]*)"')
MATCH = {"SUBSYSTEM", "KERNEL", "ACTION", "ATTR", "ATTRS", "ENV", "SUBSYSTEMS", "KERNELS"}
ASSIGN = {"TAG", "SYMLINK", "ENV", "IMPORT", "PROGRAM", "GOTO", "LABEL"}


def problems_of(path):
    for number, line in enumerate(tree.read(path).replace("\\\n", " ").splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if re.sub(r"[\s,]", "", PAIR.sub("", line)):
            yield f"{path}:{number}: not understood: {PAIR.sub('', line).strip(' ,')}"
        for key, _, operator, _ in PAIR.findall(line):
            allowed = MATCH if operator in ("==", "!=") else ASSIGN
            if key not in allowed:
                yield f"{path}:{number}: {key}{operator} has no place here"


rules = tree.files("udev/*.rules")
tree.finish([problem for path in rules for problem in problems_of(path)] if rules else ["no udev rules"])
