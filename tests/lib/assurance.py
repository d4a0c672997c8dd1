"""The assurance case as SECURITY.md has it: claims, each with tests that refuse and tests that take."""
import re

ROW = re.compile(r"^\| (C\d+) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
NAME = re.compile(r"`([\w.-]+)::(\w+)`")
ADVERSARY = re.compile(r"^\| \*\*(.+?)\*\*", re.MULTILINE)


def claims(text):
    """Rows of (id, claim, refusing, taking); tests are (file, name)."""
    return [(number, claim, NAME.findall(refusing), NAME.findall(taking))
            for number, claim, refusing, taking in ROW.findall(text)]


def adversaries(text):
    return ADVERSARY.findall(text)


def tests_of(rows):
    return sorted({test for _, _, refusing, taking in rows for test in refusing + taking})
