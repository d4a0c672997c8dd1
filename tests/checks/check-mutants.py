"""The place of each mutant (tests/campaign/mutant_list.py) stands in its file exactly once."""
import sys

import tree

sys.path.insert(0, str(tree.TOP / "tests/campaign"))

from mutant_list import MUTANTS

tree.finish([f"{path}: the place of mutant '{name}' stands there {count} times, not once"
             for name, path, old, _, _ in MUTANTS if (count := tree.read(path).count(old)) != 1])
