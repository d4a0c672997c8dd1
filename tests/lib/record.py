"""What the campaign ran so far, a line for each part that was run; `scripts/campaign table` prints it."""
import json
import time

from lib.paths import RELEASE

RECORD = RELEASE / "campaign.jsonl"


def record(part, bad, seed, sizes):
    row = {"part": part, "at": time.strftime("%Y-%m-%d"), "seed": seed, "bad": bad, "sizes": sizes}
    with RECORD.open("a") as stream:
        stream.write(json.dumps(row) + "\n")


def recorded():
    """Rows by part."""
    parts = {}
    for line in RECORD.read_text().splitlines() if RECORD.exists() else []:
        row = json.loads(line)
        parts.setdefault(row["part"], []).append(row)
    return parts
