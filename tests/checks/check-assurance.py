"""The assurance case in SECURITY.md: every adversary has a claim, every claim a test that refuses and one that takes, and
every test is there."""
import re
import sys

import tree

sys.path.insert(0, str(tree.TOP / "tests"))

from lib import assurance


def problems(text):
    rows = assurance.claims(text)
    lines = len(re.findall(r"^\| C\d+ ", text, re.MULTILINE))
    if not rows or lines != len(rows):
        yield f"SECURITY.md: {lines} claims, of which {len(rows)} can be read"
    for number, claim, refusing, taking in rows:
        if not refusing:
            yield f"SECURITY.md: {number} names no test that refuses"
        if not taking:
            yield f"SECURITY.md: {number} names no test that takes"
        if not any(claim.startswith(adversary + ":") for adversary in assurance.adversaries(text)):
            yield f"SECURITY.md: {number} is against nobody in the table of adversaries"
    for adversary in assurance.adversaries(text):
        if not any(claim.startswith(adversary + ":") for _, claim, _, _ in rows):
            yield f"SECURITY.md: no claim about '{adversary}'"
    for file, name in assurance.tests_of(rows):
        if not tree.has_test(file, name):
            yield f"SECURITY.md: there is no test {file}::{name}"


tree.finish(list(problems(tree.read("SECURITY.md"))))
