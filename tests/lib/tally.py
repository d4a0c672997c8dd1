"""Adds up what the parts of scripts/test reported. A part without a report, or anything skipped, has failed."""
import json
import pathlib
import sys
import xml.etree.ElementTree as xml

BAD_MARKS = ("failure", "error", "skipped")


def count_json_lines(path, is_pass):
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return [(row["name"], is_pass(row["result"])) for row in rows]


def count_junit(path):
    cases = xml.parse(path).getroot().iter("testcase")
    return [(case.get("name"), not any(child.tag in BAD_MARKS for child in case)) for case in cases]


READERS = {
    "unit": ("unit.jsonl", lambda path: count_json_lines(path, lambda result: result == "OK")),
    "checks": ("checks.jsonl", lambda path: count_json_lines(path, lambda result: result == "OK")),
    "fuzz": ("fuzz.jsonl", lambda path: count_json_lines(path, lambda result: result == "OK")),
    "stories": ("stories.xml", count_junit),
}


def read_part(directory, part):
    name, reader = READERS[part]
    path = directory / name
    cases = reader(path) if path.exists() else []
    return cases or [(f"{part}: no report", False)]


def main():
    directory = pathlib.Path(sys.argv[1])
    failed, passed = [], 0
    for part in sys.argv[2:]:
        for name, is_good in read_part(directory, part):
            passed += is_good
            if not is_good:
                failed.append(f"{part}: {name}")
    for name in failed:
        print(f"FAILED {name}")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
