"""The ambiguity grid of the verbs about enrollments and of manifests: each meets each fate, over a new or a reused connection, with or
without a rival who does the same or something else, before or while muster waits for an answer. Whatever happens: nothing has an
effect twice, what a rival wrote stays, no row of a list is lost or doubled, and after at most three runs it is as asked or the conflict
is told. Judged from the service's ledger and what it holds, not from what muster says."""
import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from grid import CONFLICT, RUNS_MAX
from lib.emulator import Emulator
from lib.enrollment import EnrollmentDesk
from lib.paths import RELEASE
from lib.station import Station
from lib.wait import wait_until
from part import Part
from verb_list import CELLS, ID, VERBS


def faults_of(operation, fate, connection):
    """On a reused connection a refusal comes first, after which nothing is read before the same goes again."""
    if connection == "new":
        return [f"{operation}:{fate}:count=1"]
    return [f"{operation}:status=429:retry-after=0:count=1", f"{operation}:{fate}:skip=1:count=1"]


class Rival(threading.Thread):
    """Acts when the service has seen so many requests of an operation; `etag`: what its PUT left."""

    def __init__(self, scene, moment):
        super().__init__()
        self.scene, self.moment = scene, moment
        self.etag = self.problem = None

    def act(self):
        self.etag = self.scene.verb.rivals[self.scene.kind](self.scene)

    def run(self):
        operation, number = self.moment
        try:
            wait_until(lambda: len(self.scene.requests(operation)) >= number, 60, f"{operation} {number}")
            self.act()
        except Exception as error:  # whatever it is, it must not be lost with the thread
            self.problem = f"the rival: {error!r}"


class Scene:
    """The service, the station, what was there before, and a rival."""

    def __init__(self, directory, cell):
        name, self.fate, connection, (self.kind, when) = cell
        self.verb = VERBS[name]
        self.emulator = Emulator(directory / "dps", build=RELEASE)
        self.station = Station(directory / "home", self.emulator, build=RELEASE)
        self.desk = EnrollmentDesk(self.station)
        self.faults = faults_of(self.verb.operation, self.fate, connection)
        self.runs, self.changes, self.rival = [], [], None
        if self.kind != "none":
            self.prepare_rival(*self.verb.moments[when])

    def prepare_rival(self, moment, hold):
        if moment:
            moment = (moment[0], moment[1] or len(self.faults))
            self.faults.append(hold)
        self.rival = Rival(self, moment)

    @property
    def service(self):
        return self.station.service

    @property
    def status(self):
        return self.runs[-1].status

    def run(self, *arguments):
        return self.desk.run(*arguments)

    def requests(self, operation):
        return self.emulator.requests(operation, "" if operation in ("bulk", "query") else ID)

    def is_rivals(self, row):
        """By the operation that muster does not use here, or by what it left."""
        return row["op"] == "bulk" if self.verb.operation != "bulk" else self.rival is not None and row["etag"] == self.rival.etag

    def rivals(self):
        """What the rival changed."""
        return [row for row in self.changes if self.is_rivals(row)]

    def ours(self):
        """What muster changed."""
        return [row for row in self.changes if not self.is_rivals(row)]

    def begin(self):
        self.verb.prepare(self)
        begun = len(self.emulator.changes())
        if self.rival and not self.rival.moment:
            self.rival.act()
        self.changes = self.emulator.changes()[begun:]
        self.desk.restart("--ledger-bodies", *[word for fault in self.faults for word in ("--fault", fault)])

    def play(self):
        if self.rival and self.rival.moment:
            self.rival.start()
        for _ in range(RUNS_MAX):
            self.runs.append(self.verb.run(self))
            if self.status in (0, CONFLICT):
                break
        if self.rival and self.rival.moment:
            self.rival.join()
        if self.fate.startswith("replay"):
            wait_until(lambda: sum(row["fault"] == "replay" for row in self.requests(self.verb.operation)) != 1, 60, "the replay")

    def problem(self):
        self.begin()
        self.play()
        if self.rival and self.rival.problem:
            return self.rival.problem
        self.changes += self.emulator.changes()
        self.emulator.restart()
        self.station.renew_login()
        return "; ".join(self.verb.problems(self))


def try_cell(directory, cell):
    scene = Scene(directory, cell)
    try:
        return scene.problem(), scene.runs
    finally:
        scene.emulator.stop()


def main():
    part = Part("ambiguity grid of verbs", __doc__, count=0)
    cells = part.choose(CELLS)

    def lane(directory, cells):
        for number, cell in enumerate(cells):
            place = directory / f"{number}"
            place.mkdir()
            name, fate, connection, rival = cell
            part.judge(" ".join([name, fate, connection, *rival]).strip(), *try_cell(place, cell))

    part.side_by_side(cells, lane)
    return part.finish(cells=len(cells), possible=len(CELLS))


if __name__ == "__main__":
    sys.exit(main())
