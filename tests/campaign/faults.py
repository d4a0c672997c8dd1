"""The n-th system call fails, once or from then on, with each error that a disk or a kernel has. muster never says that a device is
done when it is not, never ends as if by a bug, and the next run without faults ends with one verified enrollment."""
import itertools
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.emulator import Emulator
from lib.history import History
from lib.killer import points_of, recorder
from lib.paths import RELEASE
from lib.station import Station
from part import Part

# Who is interrupted for ever has to go on for ever: EINTR comes once.
KINDS = [*itertools.product(["EIO", "ENOSPC", "EROFS", "EDQUOT"], ["once", "from-then-on"]), ("EINTR", "once")]
INTERNAL = 10


def injector(call, number, error, span):
    when = f"{number}{'+' if span == 'from-then-on' else ''}"
    return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}"]


class Bench:
    def __init__(self, directory):
        self.emulator = Emulator(directory / "dps", build=RELEASE)
        self.station = Station(directory / "home", self.emulator, build=RELEASE)
        self.profile = self.station.profile("derived-key")
        log = directory / "strace.log"
        recorded = self.job("fault-0", recorder(log))
        assert recorded.status == 0, recorded
        self.points = points_of(log)

    def job(self, serial, wrapper=()):
        return self.station.provision(self.profile, serial, wrapper=wrapper)

    def is_done(self, run):
        """What status 0 promises: the service has it, and the evidence lies there."""
        try:
            result = run.json
        except ValueError:
            return False
        return (result["verified"] is True and self.station.service.enrollment(result["registrationId"]) is not None
                and pathlib.Path(result["evidence"]).stat().st_size > 0)

    def problem_of(self, serial, cell):
        faulty = self.job(serial, injector(*cell[0], *cell[1]))
        if faulty.status < 0 or faulty.status > 11 or faulty.status == INTERNAL:
            return f"status {faulty.status}", [faulty]
        if faulty.status == 0 and not self.is_done(faulty):
            return "says done and is not", [faulty]
        again = self.job(serial)
        if again.status != 0 or not self.is_done(again):
            return f"the next run ends with {again.status}", [faulty, again]
        effects = [row["effect"] for row in self.emulator.effects("put", again.json["registrationId"])]
        if effects != ["create"]:
            return f"effects {effects}", [faulty, again]
        return None, []


def main():
    part = Part("faults", __doc__, count=0)
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(pathlib.Path(directory))
        bench.emulator.stop()
    cells = list(itertools.product(bench.points, KINDS))
    chosen = part.choose(cells)

    def lane(directory, cells):
        bench = Bench(directory)
        try:
            for number, cell in enumerate(cells, 1):
                (call, at), (error, span) = cell
                part.judge(f"{call} {at} {error} {span}", *bench.problem_of(f"fault-{number}", cell))
            part.judge("history", ", ".join(History([bench.station]).problems()))
        finally:
            bench.emulator.stop()

    part.side_by_side(chosen, lane)
    return part.finish(faults=len(chosen), possible=len(cells))


if __name__ == "__main__":
    sys.exit(main())
