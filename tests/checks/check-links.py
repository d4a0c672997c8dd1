"""Links in the documents lead to files that exist."""
import re

import tree

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def problems_of(path):
    for target in LINK.findall(tree.read(path)):
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            continue
        if not (tree.TOP / path.parent / target.split("#")[0]).exists():
            yield f"{path}: {target} does not exist"


tree.finish([problem for path in tree.files("*.md") for problem in problems_of(path)])
