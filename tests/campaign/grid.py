"""The ambiguity grid: each operation meets each fate, over a new or a reused connection, with or without a rival who enrolled the
same device before. Whatever happens: one create at most has an effect, nobody's enrollment is overwritten, and after at most three
runs the device is verified or reported as enrolled otherwise. Judged from the service's ledger, not from what muster says."""
import itertools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.emulator import Emulator
from lib.paths import RELEASE
from lib.station import Station
from part import Part

OPERATIONS = ["put", "get", "mechanism", "register", "registration"]
FATES = ["status=429:retry-after=0", "status=500", "status=503", "status-after=500", "cut-before", "cut-after", "truncated",
         "garbage", "garbage=empty", "delay-after=200", "replay=50"]
CONNECTIONS = ["new", "reused"]
RIVALS = ["none", "same", "other"]
CELLS = list(itertools.product(OPERATIONS, FATES, CONNECTIONS, RIVALS))
RUNS_MAX = 3
SERIAL = "GRID-0001"
CONFLICT = 7


def faults_of(operation, fate, connection):
    """On a reused connection an answer without effect comes first."""
    if connection == "new":
        return [f"{operation}:{fate}:count=1"]
    return [f"{operation}:status=503:count=1", f"{operation}:{fate}:skip=1:count=1"]


def enroll_as_rival(station, profile, rival):
    if rival == "same":
        done = station.provision(profile, SERIAL, "--journal", station.home / "rival.db", "--out", station.home / "rival")
        assert done.status == 0, done
    elif rival == "other":
        name = station.provision(profile, SERIAL, "--dry-run").json["registrationId"]
        key = "A" * 43 + "="
        status, answer = station.service.put(name, {"registrationId": name, "attestation": {
            "type": "symmetricKey", "symmetricKey": {"primaryKey": key, "secondaryKey": key}}})
        assert status == 200, answer


def problem_of(station, emulator, profile, cell):
    operation, fate, connection, rival = cell
    enroll_as_rival(station, profile, rival)
    before = station.service.enrollments()
    effects_before = len(emulator.effects("put"))
    faults = faults_of(operation, fate, connection)
    emulator.restart(*[word for fault in faults for word in ("--fault", fault)])
    station.renew_login()
    runs = []
    for _ in range(RUNS_MAX):
        runs.append(station.provision(profile, SERIAL))
        if runs[-1].status in (0, CONFLICT):
            break
    emulator.restart()
    station.renew_login()
    made = emulator.effects("put")[effects_before:]
    after = station.service.enrollments()
    if [row["effect"] for row in made] != (["create"] if rival == "none" else []):
        return f"effects {[row['effect'] for row in made]}", runs
    if len(after) != 1:
        return f"{len(after)} enrollments", runs
    if before and after[0]["etag"] != before[0]["etag"]:
        return "the rival's enrollment was changed", runs
    wanted = CONFLICT if rival == "other" else 0
    if runs[-1].status != wanted:
        return f"status {runs[-1].status} after {len(runs)} runs", runs
    if wanted == 0 and runs[-1].json["verified"] is not True:
        return "not verified", runs
    return None, runs


def try_cell(directory, cell):
    emulator = Emulator(directory / "dps", build=RELEASE)
    try:
        station = Station(directory / "home", emulator, build=RELEASE)
        profile = station.profile("derived-key", {"verify": "register-then-delete-record"})
        return problem_of(station, emulator, profile, cell)
    finally:
        emulator.stop()


def main():
    part = Part("ambiguity grid", __doc__, count=0)
    cells = part.choose(CELLS)

    def lane(directory, cells):
        for number, cell in enumerate(cells):
            place = directory / f"{number}"
            place.mkdir()
            part.judge(" ".join(cell), *try_cell(place, cell))

    part.side_by_side(cells, lane)
    return part.finish(cells=len(cells), possible=len(CELLS))


if __name__ == "__main__":
    sys.exit(main())
