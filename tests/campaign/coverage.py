"""Lines and branches that unit tests, stories, and failing calls under them reach, from gcovr's summary: enough, and all of what decides?"""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.record import record

LINES_MIN, BRANCHES_MIN = 90, 80
# What decides whether a device goes, a response is believed, a secret printed: every branch.
WHOLE = ["src/station/advance.c", "src/tpm/guard.c", "src/tpm/guard-check.c", "src/dps/document-rules.c", "src/dps/document-redact.c",
         "src/dps/sas.c"]


def main():
    summary = json.loads(pathlib.Path(sys.argv[1]).read_text())
    lines, branches = summary["line_percent"], summary["branch_percent"]
    files = {row["filename"]: row["branch_percent"] for row in summary["files"]}
    bad = [f"{lines} % of lines, at least {LINES_MIN}"] if lines < LINES_MIN else []
    bad += [f"{branches} % of branches, at least {BRANCHES_MIN}"] if branches < BRANCHES_MIN else []
    bad += [f"{path}: {files.get(path)} % of branches, all are wanted" for path in WHOLE if files.get(path) != 100]
    print("\n".join(bad))
    print(f"coverage: {lines} % of lines, {branches} % of branches; {len(bad)} bad")
    record("coverage", len(bad), 0, {"lines": lines, "branches": branches})
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
