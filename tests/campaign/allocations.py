"""The n-th allocation of muster's own code fails, once or from then on. muster never crashes, never says that a device is done when it
is not, and the next run with enough memory ends with one verified enrollment."""
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

LIBRARY = RELEASE / "tests/muster-fault-malloc.so"
SPANS = ["", "+"]
STATUS_MAX = 11


class Bench:
    def __init__(self, directory):
        self.emulator = Emulator(directory / "dps", build=RELEASE)
        self.station = Station(directory / "home", self.emulator, build=RELEASE)
        self.profile = self.station.profile("derived-key")
        self.runs = []
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
        if not 0 <= short.status <= STATUS_MAX:
            return f"status {short.status}", short
        if short.status != 0 and not short.stderr.strip():
            return "failed without a word", short
        if again.status != 0 or again.json["verified"] is not True:
            return "the next run does not end it", again
        return None, None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=0, help="so many faults, chosen by the seed; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=pathlib.Path)
    arguments = parser.parse_args()
    rows, failed = [], 0
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(pathlib.Path(directory))
        try:
            cells = list(itertools.product(range(1, bench.count + 1), SPANS))
            chosen = random.Random(arguments.seed).sample(cells, min(arguments.count or len(cells), len(cells)))
            for place, (number, span) in enumerate(chosen, 1):
                problem, run = bench.problem_of(f"memory-{place}", number, span)
                failed += bench.runs[-2].status != 0
                rows.append({"name": f"allocation {number}{span}", "result": "FAIL" if problem else "OK"})
                if problem:
                    print(f"BAD allocation {number}{span}: {problem}\n{run}", flush=True)
            problems = History([bench.station], bench.runs).problems()
        finally:
            bench.emulator.stop()
    print("\n".join(f"BAD {problem}" for problem in problems))
    # Were nothing to fail, all of this would be true.
    rows.append({"name": "allocations: history, and failures were noticed", "result": "OK" if not problems and failed else "FAIL"})
    bad = sum(row["result"] != "OK" for row in rows)
    print(f"{len(chosen)} of {len(cells)} allocation faults, {failed} runs failed, {bad} bad, seed {arguments.seed}")
    if arguments.results:
        arguments.results.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return 0 if bad == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
