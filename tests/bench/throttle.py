"""Imports against a service that throttles, by each way in which it may count, untold: ten windows of the quota in no more than the
least time in which the service lets them through, and how many answers were refusals. Windows are shorter than minutes, and
what the machine takes for a window's requests counts for as much more: the models are measured together, but begin one after
another, so that none waits for the others' requests."""
import concurrent.futures
import datetime
import json
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.bulk import symmetric
from lib.emulator import Emulator
from lib.enrollment import EnrollmentDesk
from lib.paths import RELEASE
from lib.station import Station

MODELS = ("fixed", "sliding", "bucket")
COUNTS = {"item": 1, "call": 10}  # what is counted, and the enrollments that one operation writes
WINDOWS = 10
# Quota, window in seconds, share of the least time that may be lost, share of the answers that may be refusals.
TARGETS = ((200, 12, 0.05, 0.02), (1000, 12, 0.02, 0.01))


def throttled(directory, model, count, quota, window):
    """A station and a service that allows it so much."""
    directory.mkdir()
    emulator = Emulator(directory / "dps", "--throttle", f"{model}:{quota}/{window}:count={count}", build=RELEASE)
    return Station(directory / "home", emulator, build=RELEASE)


def moment(row):
    return datetime.datetime.fromisoformat(row["time"]).timestamp()


def judged(ledger, rows):
    """When each was created, in seconds, from the first on, and the share of refusals."""
    created = [row for row in ledger if row["effect"] == "create"]
    if len({row["id"] for row in created}) != rows or len(created) != rows:
        sys.exit(f"bench: {rows} rows became {len(created)} enrollments")
    answers = [row for row in ledger if row["effect"] != "create" or row["op"] == "put"]
    times = sorted(moment(row) for row in created)
    return [time - times[0] for time in times], sum(row["status"] == 429 for row in ledger) / len(answers)


def measure(directory, model, count, quota, window):
    """Seconds from the first to the last that was created, and the share of refusals."""
    desk = EnrollmentDesk(throttled(directory, model, count, quota, window))
    try:
        rows = quota * WINDOWS * COUNTS[count]
        table = directory / "devices.jsonl"
        table.write_text("".join(json.dumps(symmetric(f"dev-{number:06}")) + "\n" for number in range(rows)))
        done = desk.run("import", table, "--rate", f"{quota}/{window}", timeout=3600)
        if done.status != 0 or done.json["written"] != rows:
            sys.exit(f"bench: {done}")
        times, refused = judged(desk.emulator.ledger(), rows)
    finally:
        desk.emulator.stop()
    return times[-1], refused


def judge(target, model, count, result):
    quota, window, lost, refused = target
    least = (WINDOWS - 1) * window
    is_good = result[0] <= least * (1 + lost) and result[1] <= refused
    print(f"{quota} operations per window, {model}, by {count}: {result[0] / least * 100 - 100:+.1f} % of the least time, "
          f"{result[1] * 100:.2f} % refused; at most {lost * 100:.0f} % and {refused * 100:.0f} %: {'yes' if is_good else 'NO'}",
          flush=True)
    return is_good


def together(run, window):
    """`run(model)` of all at the same time: they wait most of it."""
    def run_later(model):
        time.sleep(window * MODELS.index(model) / len(MODELS))
        return run(model)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        return list(pool.map(run_later, MODELS))


def measure_target(directory, target, count):
    quota, window = target[:2]
    results = together(lambda model: measure(directory / f"{quota}-{model}-{count}", model, count, quota, window), window)
    return [judge(target, model, count, result) for model, result in zip(MODELS, results)]


def main():
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        good = [is_good for target in TARGETS for count in COUNTS
                for is_good in measure_target(pathlib.Path(name), target, count)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
