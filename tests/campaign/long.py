"""Goes on with what the kept record does not show yet: always with the part that is furthest from its size, in pieces of minutes, each
with the next seed, until all sizes are reached or the time is over. Cut short, it goes on from there the next time. What was bad
once is not run again by the same call."""
import argparse
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.paths import SCRIPTS, TOP
from lib.record import KEPT, recorded

FUZZ_RUNS, FUZZ_EACH = 10_000_000, 2_500_000
# Part of scripts/campaign, its arguments for one piece, its name in the record, and which of its sizes has to reach what.
SIZES = [
    ("allocations", [], "allocations", "rounds", 1),
    ("clock-jumps", [], "clock jumps", "rounds", 1),
    ("faults", [], "faults", "rounds", 1),
    ("torture", [], "torture", "rounds", 1),
    ("grid", [], "ambiguity grid", "rounds", 5),
    ("grid-verbs", [], "ambiguity grid of verbs", "rounds", 5),
    ("mutants", [], "mutants", "rounds", 1),
    ("tampering", ["--edits", "2500"], "tampering", "edits", 10_000),
    ("tampered-bytes", [], "tampered bytes", "rounds", 1),
    ("flips", ["--count", "2500"], "flips", "bits", 10_000),
    ("kills", ["--runs", "500"], "kill points", "runs", 5_000),
    ("crash-states", ["--states", "50000"], "crash states", "states", 200_000),
    ("soak", ["--devices", "500", "--kills", "50"], "soak", "killed", 500),
    ("batch", ["--devices", "1000", "--kills", "40"], "batch", "killed", 200),
    ("batch", ["--offline", "--devices", "1000", "--kills", "40"], "batch offline", "killed", 200),
]


def targets():
    return sorted(path.stem for path in (TOP / "tests/fuzz").glob("*.c") if path.stem != "replay")


def goals(only):
    """(name, command, how much of it is done: 1 is all)"""
    rows = recorded(KEPT)

    def done(part, size, of=None):
        return sum(row["sizes"].get(size, 0) for row in rows.get(part, []) if not row["bad"] and row.get("of") == of)

    for part, arguments, name, size, wanted in SIZES:
        if not only or part in only:
            yield name, [part, *arguments], done(name, size) / wanted
    if not only or "fuzz" in only:
        for target in targets():
            yield f"fuzz {target}", ["fuzz", "--runs", str(FUZZ_EACH), target], done("fuzz", "executions", target) / FUZZ_RUNS


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=80)
    parser.add_argument("only", nargs="*")
    options = parser.parse_args()
    end, failed = time.monotonic() + 60 * options.minutes, set()
    while time.monotonic() < end:
        left = [goal for goal in goals(options.only) if goal[2] < 1 and goal[0] not in failed]
        if not left:
            break
        name, command, done = min(left, key=lambda goal: goal[2])
        print(f"== {name}, {100 * done:.0f} % so far ({time.strftime('%H:%M')})", flush=True)
        if subprocess.run([SCRIPTS / "campaign", *command]).returncode != 0:
            failed.add(name)
    missing = [f"{name} ({100 * done:.0f} %)" for name, _, done in goals(options.only) if done < 1]
    print("all sizes are reached" if not missing else f"to be gone on with: {', '.join(missing)}")
    if failed:
        print(f"bad: {', '.join(sorted(failed))}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
