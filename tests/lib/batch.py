"""A manifest of derived-key devices through a service that fails one operation in ten and a station that is killed again and
again. In the end service, journal and manifest agree, and nothing was sent twice."""
import collections
import json

from lib.history import History
from lib.killer import killer, points_of, recorder, was_killed

KINDS = ["status=503:retry-after=0", "status=429:retry-after=0", "status-after=500", "cut-before", "cut-after", "truncated", "garbage"]
RECORDED = 60
LEAST_CALLS = 5  # in a short batch, so that a kill meets them often enough
SHARING = 4      # so many times fewer calls a device takes in a long one, at least
RATE = 1000000   # operations a minute: the service of these batches takes what comes
QUIET_RUNS_MAX = 10
SHARE_OF_KILLS = 0.75  # of the devices; the others are left for the end


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


def exported(station):
    done = station.muster("journal", "export", "--journal", station.journal, "-o", "jsonl", timeout=600)
    assert done.status == 0, done
    return map(json.loads, done.stdout.splitlines())


def released(station):
    return {row["registrationId"] for row in exported(station) if row["state"] == "released"}


def states(station):
    """How many devices are in each."""
    return collections.Counter(row["state"] for row in exported(station)) if station.journal.exists() else collections.Counter()


def restart(station, *arguments):
    """At the same address, as a service stays."""
    station.emulator.restart("--port", station.emulator.url.rsplit(":", 1)[1], *arguments)


class Phase:
    """What is run again and again until it has nothing more to do: then it ends with `done`, and every device is in `state`."""

    def __init__(self, start, done, state):
        self.start, self.done, self.state = start, done, state


class Pace:
    """How many of a system call a device takes, from what was seen so far: more devices in a transaction take fewer calls each."""

    def __init__(self, calls, devices):
        self.calls, self.devices = calls, devices

    def calls_of(self, devices):
        return self.calls / self.devices * devices

    def note(self, calls, devices):
        """A run that was cut before its first device was done tells nothing."""
        if devices > 0:
            self.calls += calls
            self.devices += devices


class Ordeal:
    """Runs a manifest of so many devices with so many kills."""

    def __init__(self, station, devices, kills, generator):
        self.station, self.kills, self.generator = station, kills, generator
        self.names = serials(devices, "ROW")
        self.path = manifest(station, self.names)
        self.runs, self.killed = [], 0
        self.arguments = ["--verify", "none", "--rate", str(RATE)]

    def provision(self, *arguments, path=None, wrapper=()):
        return provision(self.station, path or self.path, *self.arguments, *arguments, wrapper=wrapper)

    def phases(self):
        return [Phase(self.provision, 0, "released")]

    def record(self, phase, log, path):
        """Runs a short batch of its own to its end."""
        done = phase.start(path=path, wrapper=recorder(log))
        assert done.status == phase.done, done

    def paces(self, phase):
        """System calls of a short batch: how many of each, for how many devices of a long one."""
        log = self.station.home / "strace.log"
        self.record(phase, log, manifest(self.station, serials(RECORDED, "REC"), "recorded.csv"))
        points = collections.Counter(call for call, _ in points_of(log))
        return {call: Pace(count, RECORDED * SHARING) for call, count in points.items() if count >= LEAST_CALLS}

    def count(self, phase):
        """How far it has come; a reader may have to play back what a kill left."""
        return states(self.station)[phase.state]

    def one_run(self, phase, wrapper=()):
        run = phase.start(wrapper=wrapper)
        self.runs.append(run)
        return run

    def kill(self, phase, paces, kills):
        """So close that all of them fall into the manifest: half of this way on an average, the last ones, too."""
        before = self.count(phase)
        devices = SHARE_OF_KILLS * 2 * len(self.names) / kills
        last = self.killed + kills
        while self.killed < last:
            call = self.generator.choice(sorted(paces))
            n = self.generator.randint(1, max(2, round(paces[call].calls_of(devices))))
            run = self.one_run(phase, killer(call, n))
            if not was_killed(run.status):
                return
            self.killed += 1
            after = self.count(phase)
            paces[call].note(n, after - before)
            before = after

    def run(self):
        phases = self.phases()
        paces = [self.paces(phase) for phase in phases]
        restart(self.station, *faults(self.generator))
        for phase, pace in zip(phases, paces):
            self.kill(phase, pace, self.kills // len(phases))
            for _ in range(QUIET_RUNS_MAX):
                if self.one_run(phase).status == phase.done:
                    break

    def repeat(self):
        """A second run of the whole."""
        again = self.provision()
        self.runs.append(again)
        if again.status != 0 or again.json["before"] != len(self.names):
            yield f"a second run: {again}"

    def problems(self):
        """Journal, service and manifest, and a second run of the whole."""
        recorded = {name.lower() for name in serials(RECORDED, "REC")}
        wanted = {name.lower() for name in self.names}
        enrolled = {row["registrationId"] for row in self.station.service.enrollments()} - recorded
        if self.runs[-1].status != 0:
            yield f"the last run failed: {self.runs[-1]}"
        if enrolled != wanted:
            yield f"of the manifest and not in the service: {sorted(wanted - enrolled)[:5]}, the other way round: {sorted(enrolled - wanted)[:5]}"
        if not wanted <= released(self.station):
            yield f"not released in the journal: {sorted(wanted - released(self.station))[:5]}"
        yield from (f"{name} was created {count} times" for name, count in created(self.station).items() if count > 1)
        asked = len(requests(self.station))
        yield from self.repeat()
        if len(requests(self.station)) != asked:
            yield "a second run sent something"
        yield from History([self.station], self.runs, run_seconds_max=3600).problems()


class OfflineOrdeal(Ordeal):
    """Without an uplink first, then sent by sync; half of the kills each."""

    def phases(self):
        return [Phase(lambda **options: self.provision("--offline", **options), 6, "spooled"), Phase(self.sync, 0, "released")]

    def sync(self, path=None, wrapper=()):
        """What is spooled, whatever manifest it came with."""
        return self.station.sync("--rate", str(RATE), timeout=3600, wrapper=wrapper)

    def repeat(self):
        again = self.sync()
        self.runs.append(again)
        if again.status != 0 or again.json != []:
            yield f"a second sync: {again}"
        yield from super().repeat()
