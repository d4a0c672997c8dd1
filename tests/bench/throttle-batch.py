"""`provision --manifest` against a service that throttles, by each way in which it may count, untold: a thousand operations a minute,
with minutes shorter than they are. Of what that allows in so many minutes, 98 of a hundred are to be enrolled when they are over, and
less than one answer in a hundred is to be a refusal.

By items, the models are measured together, for ten minutes of 12 s; by calls, of which a minute takes ten thousand devices, one after
another, for MUSTER_BENCH_WINDOWS minutes (4) of 24 s, which the station's own work does not fill."""
import os
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib import batch
from throttle import COUNTS, MODELS, judged, throttled, together

QUOTA = 1000
# How long a window is, and how many are measured.
WINDOWS = {"item": (12, 10), "call": (24, int(os.environ.get("MUSTER_BENCH_WINDOWS", 4)))}
LEAST, REFUSED_MAX = 0.98, 0.01


def measure(directory, model, count):
    """Share of what is allowed that was enrolled in time, and share of refusals."""
    window, windows = WINDOWS[count]
    station = throttled(directory / f"{model}-{count}", model, count, QUOTA, window)
    try:
        rows = QUOTA * windows * COUNTS[count]
        manifest = batch.manifest(station, batch.serials(rows, "DEV"))
        done = batch.provision(station, manifest, "--verify", "none", "--rate", f"{QUOTA}/{window}")
        if done.status != 0 or done.json["enrolled"] != rows:
            sys.exit(f"bench: {done}")
        times, refused = judged(station.emulator.ledger(), rows)
    finally:
        station.emulator.stop()
    return sum(time <= window * windows for time in times) / rows, refused


def judge(model, count, result):
    """Prints it, and says whether it holds."""
    share, refused = result
    is_good = share >= LEAST and refused < REFUSED_MAX
    print(f"{QUOTA} operations per window, {model}, by {count}: {share * 100:.2f} % of what is allowed, {refused * 100:.2f} % refused; "
          f"at least {LEAST * 100:.0f} %, less than {REFUSED_MAX * 100:.0f} %: {'yes' if is_good else 'NO'}", flush=True)
    return is_good


def main():
    print(f"load {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        by_item = together(lambda model: measure(directory, model, "item"), WINDOWS["item"][0])
        good = [judge(model, "item", result) for model, result in zip(MODELS, by_item)]
        good += [judge(model, "call", measure(directory, model, "call")) for model in MODELS]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
