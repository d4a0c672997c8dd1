"""A manifest of derived-key devices through a service that fails one operation in ten and a station that is killed again and
again. In the end service, journal and manifest agree, and nothing was sent twice."""
import collections
import json

from lib.history import History
from lib.killer import killer, points_of, recorder, was_killed

KINDS = ["status=503:retry-after=0", "status=429:retry-after=0", "status-after=500", "cut-before", "cut-after", "truncated", "garbage"]
RECORDED = 60
QUIET_RUNS_MAX = 10


def faults(generator, operations="put+get+bulk+mechanism"):
    """Together one operation in ten, each kind in its own rhythm."""
    for kind in KINDS:
        yield "--fault"
        yield f"{operations}:{kind}:every={10 * len(KINDS)}:skip={generator.randrange(10 * len(KINDS))}"


def serials(count, prefix="SN"):
    return [f"{prefix}-{number:05}" for number in range(count)]


def manifest(station, names, name="devices.csv"):
    path = station.home / name
    path.write_text("serial\n" + "".join(f"{name}\n" for name in names))
    return path


def provision(station, path, *arguments, profile=None, **options):
    profile = profile or station.profile("derived-key")
    options.setdefault("timeout", 3600)
    return station.muster("provision", "--profile", profile, "--manifest", path, *station.common(), "-o", "json", *arguments,
                          **options)


def created(station):
    """How often each enrollment was created."""
    return collections.Counter(row["id"] for row in station.emulator.ledger() if row["effect"] == "create")


def requests(station):
    """All but the one without credential that looks whether the service is there."""
    return [row for row in station.emulator.ledger() if row["op"] != "none"]


def released(station):
    done = station.muster("journal", "export", "--journal", station.journal, "-o", "jsonl", timeout=600)
    assert done.status == 0, done
    return {row["registrationId"] for row in map(json.loads, done.stdout.splitlines()) if row["state"] == "released"}


def restart(station, *arguments):
    """At the same address, as a service stays."""
    station.emulator.restart("--port", station.emulator.url.rsplit(":", 1)[1], *arguments)


class Ordeal:
    """Runs a manifest of so many devices with so many kills."""

    def __init__(self, station, devices, kills, generator):
        self.station, self.kills, self.generator = station, kills, generator
        self.names = serials(devices, "ROW")
        self.path = manifest(station, self.names)
        self.runs, self.killed, self.ledger = [], 0, []

    def points(self):
        """System calls of a short batch, by how often each comes."""
        log = self.station.home / "strace.log"
        done = provision(self.station, manifest(self.station, serials(RECORDED, "REC"), "recorded.csv"), "--verify", "none",
                         wrapper=recorder(log))
        assert done.status == 0, done
        return collections.Counter(call for call, _ in points_of(log))

    def one_run(self, wrapper=()):
        run = provision(self.station, self.path, "--verify", "none", wrapper=wrapper)
        self.runs.append(run)
        return run

    def run(self):
        points = self.points()
        calls = [call for call, count in points.items() if count >= RECORDED // 4]
        restart(self.station, *faults(self.generator))
        while self.killed < self.kills:
            call = self.generator.choice(calls)
            # So far apart that all kills together come about once through the manifest.
            most = max(2, 2 * points[call] * len(self.names) // RECORDED // self.kills)
            run = self.one_run(killer(call, self.generator.randint(1, most)))
            self.killed += was_killed(run.status)
            if run.status == 0:
                break
        for _ in range(QUIET_RUNS_MAX):
            if self.one_run().status == 0:
                break

    def problems(self):
        """Journal, service and manifest, and a second run of the whole."""
        wanted = {name.lower() for name in self.names}
        enrolled = {row["registrationId"] for row in self.station.service.enrollments()} - {name.lower() for name in serials(RECORDED, "REC")}
        if self.runs[-1].status != 0:
            yield f"the last run failed: {self.runs[-1]}"
        if enrolled != wanted:
            yield f"of the manifest and not in the service: {sorted(wanted - enrolled)[:5]}, the other way round: {sorted(enrolled - wanted)[:5]}"
        if not wanted <= released(self.station):
            yield f"not released in the journal: {sorted(wanted - released(self.station))[:5]}"
        yield from (f"{name} was created {count} times" for name, count in created(self.station).items() if count > 1)
        asked = len(requests(self.station))
        again = self.one_run()
        if again.status != 0 or again.json["before"] != len(wanted) or len(requests(self.station)) != asked:
            yield f"a second run sent something: {again}"
        yield from History([self.station], self.runs, run_seconds_max=3600).problems()
