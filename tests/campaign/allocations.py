"""The n-th allocation of muster's own code fails, once or from then on. muster never crashes, never says that a device is done when it
is not, and the next run with enough memory ends with one verified enrollment."""
import itertools
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.emulator import Emulator
from lib.history import History
from lib.paths import RELEASE
from lib.station import Station
from part import Part

LIBRARY = RELEASE / "tests/muster-fault-malloc.so"
SPANS = ["", "+"]
STATUS_MAX = 11


class Bench:
    def __init__(self, directory):
        self.emulator = Emulator(directory / "dps", build=RELEASE)
        self.station = Station(directory / "home", self.emulator, build=RELEASE)
        self.profile = self.station.profile("derived-key")
        self.runs, self.failed = [], 0
        # A new journal asks for more than one that is there.
        self.count = max(self.count_of("memory-0"), self.count_of("memory-00"))

    def job(self, serial, env=None):
        return self.station.provision(self.profile, serial, env={"LD_PRELOAD": LIBRARY, **env} if env else {})

    def count_of(self, serial):
        path = self.station.home / "count"
        done = self.job(serial, {"FAULT_MALLOC_COUNT": path})
        assert done.status == 0, done
        return int(path.read_text())

    def problem_of(self, serial, number, span):
        short = self.job(serial, {"FAULT_MALLOC": f"{number}{span}"})
        again = self.job(serial)
        self.runs += [short, again]
        self.failed += short.status != 0
        if not 0 <= short.status <= STATUS_MAX:
            return f"status {short.status}", short
        if short.status != 0 and not short.stderr.strip():
            return "failed without a word", short
        if again.status != 0 or again.json["verified"] is not True:
            return "the next run does not end it", again
        return None, None


def main():
    part = Part("allocations", __doc__, count=0)
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(pathlib.Path(directory))
        bench.emulator.stop()
    cells = list(itertools.product(range(1, bench.count + 1), SPANS))
    chosen = part.choose(cells)

    def lane(directory, cells):
        bench = Bench(directory)
        try:
            for place, (number, span) in enumerate(cells, 1):
                problem, run = bench.problem_of(f"memory-{place}", number, span)
                part.judge(f"{number}{span}", problem, [run])
            part.judge("history", ", ".join(History([bench.station], bench.runs).problems()))
            return bench.failed
        finally:
            bench.emulator.stop()

    failed = sum(part.side_by_side(chosen, lane))
    # Were nothing to fail, all of this would be true.
    part.judge("failures were noticed", None if failed else "no run failed")
    return part.finish(faults=len(chosen), possible=len(cells), failed_runs=failed)


if __name__ == "__main__":
    sys.exit(main())
