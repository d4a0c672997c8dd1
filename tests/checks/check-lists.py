"""Lists of one thing a line name it once: two branches that add the same line are merged into two of them."""
import re
import sys

import tree

LINES = re.compile(r"^\s*(?:'[^']+',|- .*|\\w+\(\w+.*)$")


def doubled(path):
    seen = set()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if re.match(r"\s*[\])}]", line) or line.rstrip().endswith(("[", "{", "(")):
            seen = set()
        if LINES.match(line) and line in seen:
            yield f"{path.relative_to(tree.TOP)}:{number}: stands there twice: {line.strip()}"
        seen.add(line)


def main():
    paths = [tree.TOP / name for name in ("meson.build", "tests/meson.build", "CHANGELOG.md", "src/cli/verbs.def")]
    problems = [problem for path in paths for problem in doubled(path)]
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
