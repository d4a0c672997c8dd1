"""Two stations provision the same devices into one service that fails one operation in ten, and are killed again and again. When all
is quiet, service, journals and the list of devices agree, and no invariant of lib/history.py is broken."""
import collections
import pathlib
import random
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.emulator import Emulator
from lib.history import History, results_of
from lib.killer import killer, points_of, recorder
from lib.paths import RELEASE
from lib.station import Station
from part import Part

FAULTS = ["status=503", "status=429:retry-after=0", "status-after=500", "cut-before", "cut-after", "truncated", "garbage"]
OPERATIONS = "put+get+mechanism+register+poll"
RUNS_MAX = 12


def faults(generator):
    """Together one operation in ten, each kind in its own rhythm."""
    for kind in FAULTS:
        yield "--fault"
        yield f"{OPERATIONS}:{kind}:every={10 * len(FAULTS)}:skip={generator.randrange(10 * len(FAULTS))}"


class Line(threading.Thread):
    """One station: its share of the devices, in an order of its own; so many of its runs are killed."""

    def __init__(self, station, profile, serials, points, kills, seed):
        super().__init__()
        self.station, self.profile, self.serials, self.points, self.kills = station, profile, serials, points, kills
        self.generator = random.Random(seed)
        self.runs, self.unfinished, self.killed = [], [], 0

    def wrapper(self, left):
        """As many kills as there are still to be, spread over the devices that are left."""
        if self.kills - self.killed <= 0 or self.generator.random() > (self.kills - self.killed) / max(left, 1):
            return ()
        self.killed += 1
        return killer(*self.generator.choice(self.points))

    def run(self):
        self.generator.shuffle(self.serials)
        for number, serial in enumerate(self.serials):
            for _ in range(RUNS_MAX):
                run = self.station.provision(self.profile, serial, wrapper=self.wrapper(len(self.serials) - number))
                self.runs.append(run)
                if run.status == 0:
                    break
            else:
                self.unfinished.append(serial)


def points_to_kill_at(station, profile):
    log = station.home / "strace.log"
    recorded = station.provision(profile, "soak-0", wrapper=recorder(log))
    assert recorded.status == 0, recorded
    return points_of(log)


def make_stations(directory, emulator):
    """With the same masters: a device has one key, whichever station makes it."""
    stations = [Station(directory / name, emulator, build=RELEASE) for name in ("east", "west")]
    for name in ("primary", "secondary"):
        (stations[1].home / f"keys/{name}.key").write_bytes((stations[0].home / f"keys/{name}.key").read_bytes())
    return stations


def quiet(stations, profiles, lines):
    """Without faults each station runs what it has not finished, as a person would on the next morning."""
    for station, profile, line in zip(stations, profiles, lines):
        station.renew_login()
        for serial in line.serials:
            if not any(serial == result["deviceId"] or serial.lower() == result["registrationId"]
                       for run in line.runs for result in results_of(run)):
                line.runs.append(station.provision(profile, serial))


def soak(directory, arguments):
    """(problems, sizes)"""
    generator = random.Random(arguments.seed)
    emulator = Emulator(directory / "dps", build=RELEASE)
    try:
        stations = make_stations(directory, emulator)
        profiles = [station.profile("derived-key", {"verify": "register"}) for station in stations]
        points = points_to_kill_at(stations[0], profiles[0])
        emulator.restart(*faults(generator))
        serials = [f"SOAK-{number:06d}" for number in range(1, arguments.devices + 1)]
        shares = [serials[:len(serials) * 2 // 3], serials[len(serials) // 3:]]  # a third of them at both stations
        lines = []
        for number, (station, profile, share) in enumerate(zip(stations, profiles, shares)):
            station.renew_login()
            lines.append(Line(station, profile, share, points, arguments.kills // 2, arguments.seed + number))
        for line in lines:
            line.start()
        for line in lines:
            line.join()
        failed = sum(1 for row in emulator.ledger() if row["fault"])
        operations = len(emulator.ledger())
        emulator.restart()
        quiet(stations, profiles, lines)
        runs = [run for line in lines for run in line.runs]
        history = History(stations, runs)
        problems = history.problems()
        shown = collections.Counter(result["registrationId"] for run in runs for result in results_of(run))
        for name in {serial.lower() for serial in serials} ^ (history.enrollments.keys() - {"soak-0"}):
            problems.append(f"{name} is in the list and not in the service, or the other way round")
        problems += [f"{serial} was never shown as enrolled" for serial in serials if not shown[serial.lower()]]
        return problems, {"devices": len(serials), "runs": len(runs), "killed": sum(line.killed for line in lines),
                          "operations": operations, "faulty": failed}
    finally:
        emulator.stop()


def main():
    part = Part("soak", __doc__, devices=10000, kills=500)
    with tempfile.TemporaryDirectory() as directory:
        problems, sizes = soak(pathlib.Path(directory), part.options)
    part.judge("history", "\n".join(problems[:50]))
    return part.finish(**sizes)


if __name__ == "__main__":
    sys.exit(main())
