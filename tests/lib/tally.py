"""Adds up what the parts of scripts/test reported. A part without a report, or anything skipped, has failed."""
import json
import pathlib
import re
import sys
import xml.etree.ElementTree as xml

from assurance import claims, tests_of

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
BAD_MARKS = ("failure", "error", "skipped")


def count_junit(path):
    cases = xml.parse(path).getroot().iter("testcase")
    return [(case.get("name"), not any(child.tag in BAD_MARKS for child in case)) for case in cases]


def count_results(path):
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return [(row["name"], row["result"] == "OK") for row in rows]


# Each report of a part, and how it is read.
PARTS = {
    "unit": {"unit.jsonl": count_results},
    "checks": {"checks.jsonl": count_results},
    "campaign": {"fuzz.jsonl": count_results, "crash-states.jsonl": count_results, "grid.jsonl": count_results,
                 "grid-verbs.jsonl": count_results, "faults.jsonl": count_results, "allocations.jsonl": count_results,
                 "clock-jumps.jsonl": count_results, "soak.jsonl": count_results, "mutants.jsonl": count_results},
    "stories": {"stories.xml": count_junit},
    "guest": {"guest.xml": count_junit},
}


def read_part(directory, part):
    for name, reader in PARTS[part].items():
        path = directory / name
        yield from (reader(path) if path.exists() else []) or [(f"{name}: no report", False)]


def passed_tests(directory):
    """(file, name) of each test that passed; a story by its name alone, since reports do not say the file."""
    for line in (directory / "unit.jsonl").read_text().splitlines():
        row = json.loads(line)
        file = f"test-{row['name'].split(' / ')[-1]}.c"
        yield from ((file, name) for name in re.findall(r"\[ +OK +\] (\w+)", row.get("stdout", "")))
    yield from (("", re.sub(r"\[.*", "", name)) for name, is_good in count_junit(directory / "stories.xml") if is_good)


def unproven_claims(directory):
    """Tests of the assurance case that did not run, or not to a good end."""
    passed = set(passed_tests(directory))
    for file, name in tests_of(claims((TOP / "SECURITY.md").read_text())):
        if ("" if file.endswith(".py") else file, name) not in passed:
            yield f"assurance case: {file}::{name} did not pass"


def main():
    directory = pathlib.Path(sys.argv[1])
    failed, passed = [], 0
    for part in sys.argv[2:]:
        for name, is_good in read_part(directory, part):
            passed += is_good
            if not is_good:
                failed.append(f"{part}: {name}")
    if not failed and {"unit", "stories"} <= set(sys.argv[2:]):
        failed += unproven_claims(directory)
    for name in failed:
        print(f"FAILED {name}")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
