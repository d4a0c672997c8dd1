"""What the campaign ran, a line for each part that was run: of this tree in build/campaign.jsonl, and with MUSTER_KEEP_RECORD=1 also
in tests/campaign/runs.jsonl, which is committed, so that runs of many days and seeds add up."""
import json
import os
import subprocess
import time

from lib.paths import RELEASE, TOP

HERE = RELEASE / "campaign.jsonl"
KEPT = TOP / "tests/campaign/runs.jsonl"


def is_kept():
    return os.environ.get("MUSTER_KEEP_RECORD") == "1"


def commit():
    """What was run; with a + when the tree had changes besides the record."""
    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=TOP, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout

    changed = git("status", "--porcelain", "-uno", "--", ".", f":!{KEPT.relative_to(TOP)}")
    return git("rev-parse", "--short=12", "HEAD").strip() + ("+" if changed else "")


def record(part, bad, seed, sizes, of=None):
    """`of`: the target, of a part that has several and must have run each."""
    row = {"part": part, **({"of": of} if of else {}), "at": time.strftime("%Y-%m-%d"), "commit": commit(), "seed": seed, "bad": bad,
           "sizes": sizes}
    for path in (HERE, KEPT) if is_kept() else (HERE,):
        with path.open("a") as stream:
            stream.write(json.dumps(row) + "\n")


def recorded(path=HERE):
    """Rows by part."""
    parts = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        row = json.loads(line)
        parts.setdefault(row["part"], []).append(row)
    return parts


def next_seed(part):
    """One that no run that was kept had."""
    return 1 + max((row["seed"] for row in recorded(KEPT).get(part, [])), default=0) if is_kept() else 1
