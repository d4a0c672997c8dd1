"""The wall clock jumps at the n-th time muster asks for it, for seconds to years, in both directions. The device is done or refused for
the clock's sake, within its time; and when the clock is right again, the next run ends with one verified enrollment."""
import argparse
import itertools
import json
import pathlib
import random
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.emulator import Emulator
from lib.history import History
from lib.paths import RELEASE
from lib.station import Station

JUMPS = ["+30s", "-30s", "+1h", "-1h", "+3d", "-3d", "+10y", "-10y"]
CALLS_MAX = 64
CELLS = list(itertools.product(JUMPS, range(CALLS_MAX)))
LIBRARY = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
# Wrong clock; server certificate refused, which names the clock as a reason.
REFUSALS = {"E5202", "E5102"}


def problem_of(station, profile, serial, cell):
    jump, call = cell
    # muster drops what else would tell the library.
    (station.home / ".faketimerc").write_text(jump + "\n")
    jumped = station.provision(profile, serial, env={"LD_PRELOAD": LIBRARY, "FAKETIME_START_AFTER_NUMCALLS": call,
                                                     "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    again = station.provision(profile, serial)
    if jumped.status != 0 and (jumped.status != 5 or jumped.cause not in REFUSALS or "clock" not in jumped.stderr):
        return f"status {jumped.status}", [jumped]
    if again.status != 0 or again.json["verified"] is not True:
        return "the next run does not end it", [jumped, again]
    return None, [jumped, again]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=0, help="so many jumps, chosen by the seed; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=pathlib.Path)
    arguments = parser.parse_args()
    cells = random.Random(arguments.seed).sample(CELLS, arguments.count) if arguments.count else CELLS
    rows, runs, refused = [], [], 0
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        emulator = Emulator(directory / "dps", build=RELEASE)
        try:
            station = Station(directory / "home", emulator, build=RELEASE)
            profile = station.profile("derived-key")
            for number, cell in enumerate(cells, 1):
                problem, made = problem_of(station, profile, f"jump-{number}", cell)
                runs += made
                refused += made[0].status != 0
                rows.append({"name": f"clock {cell[0]} at call {cell[1]}", "result": "FAIL" if problem else "OK"})
                if problem:
                    print(f"BAD clock {cell[0]} at call {cell[1]}: {problem}\n" + "\n".join(map(repr, made)), flush=True)
            problems = History([station], runs).problems()
        finally:
            emulator.stop()
    print("\n".join(f"BAD {problem}" for problem in problems))
    # A clock that nobody looks at would make all of this true.
    rows.append({"name": "clock: history, and jumps were noticed", "result": "OK" if not problems and refused else "FAIL"})
    bad = sum(row["result"] != "OK" for row in rows)
    print(f"{len(cells)} of {len(CELLS)} clock jumps, {refused} refused, {bad} bad, seed {arguments.seed}")
    if arguments.results:
        arguments.results.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return 0 if bad == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
