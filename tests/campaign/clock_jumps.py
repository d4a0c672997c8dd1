"""The wall clock jumps at the n-th time muster asks for it, for seconds to years, in both directions. The device is done or refused for
the clock's sake, within its time; and when the clock is right again, the next run ends with one verified enrollment."""
import itertools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.emulator import Emulator
from lib.history import History
from lib.paths import RELEASE
from lib.station import Station
from part import Part

JUMPS = ["+30s", "-30s", "+1h", "-1h", "+3d", "-3d", "+10y", "-10y"]
CALLS_MAX = 64
CELLS = list(itertools.product(JUMPS, range(CALLS_MAX)))
SHARED = pathlib.Path("/dev/shm")
LIBRARY = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
# Wrong clock; server certificate refused, which names the clock as a reason.
REFUSALS = {"E5202", "E5102"}


def forget_shared_memory(before):
    """The library leaves some behind in whoever cleared its environment."""
    for path in set(SHARED.glob("*faketime*")) - before:
        path.unlink(missing_ok=True)


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
    part = Part("clock jumps", __doc__, count=0)
    cells = part.choose(CELLS)
    before = set(SHARED.glob("*faketime*"))

    def lane(directory, cells):
        """How many runs were refused."""
        emulator = Emulator(directory / "dps", build=RELEASE)
        try:
            station = Station(directory / "home", emulator, build=RELEASE)
            profile = station.profile("derived-key")
            runs, refused = [], 0
            for number, cell in enumerate(cells, 1):
                problem, made = problem_of(station, profile, f"jump-{number}", cell)
                runs += made
                refused += made[0].status != 0
                part.judge(f"{cell[0]} at call {cell[1]}", problem, made)
            part.judge("history", ", ".join(History([station], runs).problems()))
            return refused
        finally:
            emulator.stop()

    try:
        refused = sum(part.side_by_side(cells, lane))
    finally:
        forget_shared_memory(before)
    # A clock that nobody looks at would make all of this true.
    part.judge("jumps were noticed", None if refused else "no run was refused")
    return part.finish(jumps=len(cells), possible=len(CELLS), refused=refused)


if __name__ == "__main__":
    sys.exit(main())
