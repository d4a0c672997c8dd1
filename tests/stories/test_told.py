"""What the line is told of a run, by its output, its exit status and its hooks, is what the journal has."""
import collections
import contextlib
import json
import os
import signal
import subprocess

import pytest

from lib import batch
from lib.paths import BUILD
from lib.program import environment
from lib.software_token import write_secret
from lib.wait import wait_until


@pytest.fixture
def mes(station, tmp_path):
    """A folder that gets every event."""
    folder = tmp_path / "mes"
    folder.mkdir()
    station.configure(json.dumps({"hooks": {"mes": {"on": ["unit-start", "unit-done", "batch-done"], "folder": str(folder)}}}))
    return Told(folder)


class Told:
    def __init__(self, folder):
        self.folder = folder

    def runs(self, count=1):
        """All events, when so many runs have told their end."""
        wait_until(lambda: len(list(self.folder.glob("batch-done-*.json"))) == count, 90, "the end of the run")
        wait_until(lambda: len(self.of("unit-done")) == sum(run["devices"] for run in self.of("batch-done")), 90, "its devices")
        return self

    def of(self, event):
        read = (json.loads(path.read_text()) for path in self.folder.glob(f"{event}-*.json"))
        return [told["data"] for told in sorted(read, key=lambda told: told["time"])]

    def states(self):
        return collections.Counter(done["state"] for done in self.of("unit-done"))


@contextlib.contextmanager
def started(station, path, *arguments, stdout=subprocess.PIPE):
    command = [BUILD / "muster", "provision", "--profile", station.profile("derived-key"), "--manifest", path, *station.common(),
               "--verify", "none", *arguments]
    with subprocess.Popen(list(map(str, command)), env=environment(BUILD, station.home), cwd=station.home, text=True,
                          stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE) as process:
        yield process


# -- Nobody hears it any more ----------------------------------------------------------------------------------


def assert_stopped_whole(station, mes, names, process, stderr):
    """Every device that was begun is told of and in a recorded state, and the next run goes on from there."""
    assert process.returncode == 11 and "going on" not in stderr, stderr
    told = mes.runs()
    [end] = told.of("batch-done")
    begun = len(told.of("unit-start"))
    assert 0 < begun == len(told.of("unit-done")) == end["devices"] < len(names), (begun, end)
    states = batch.states(station)
    assert states["working"] == 0 and sum(states.values()) == begun, states
    assert (told.states()["enrolled"], told.states()["failed"]) == (states["released"], begun - states["released"]), (told.states(), states)
    batch.restart(station)
    again = batch.provision(station, station.home / "devices.csv", "--verify", "none")
    assert again.status == 0 and again.json["resumed"] and again.json["before"] == states["released"], again
    assert batch.created(station) == {name.lower(): 1 for name in names}


@pytest.mark.parametrize("output", ["jsonl", "tsv"])
def test_a_batch_whose_reader_goes_stops_as_by_a_signal(station, mes, output):
    names = batch.serials(300)
    batch.restart(station, "--fault", "bulk:delay-after=200")
    with started(station, batch.manifest(station, names), "-o", output) as process:
        assert process.stdout.readline() and process.stdout.readline()
        process.stdout.close()
        stderr = process.stderr.read()
    last = [line for line in stderr.splitlines() if not line.endswith("is new")]
    if output == "jsonl":
        error = json.loads(last[-1])
        assert (error["code"], error["exit"], len(last)) == ("E6102", 11, 1), stderr
        assert "rows: printing the result: Broken pipe" in error["detail"], stderr
    else:
        assert len(last) == 2 and "[E6102] stopped after " in last[0] and "Broken pipe" in last[0], stderr
    assert_stopped_whole(station, mes, names, process, stderr)


def test_a_batch_whose_output_is_full_stops_as_by_a_signal(station, mes):
    names = batch.serials(300)
    batch.restart(station, "--fault", "bulk:delay-after=200")
    with open("/dev/full", "w") as full, started(station, batch.manifest(station, names), "-o", "jsonl", stdout=full) as process:
        stderr = process.stderr.read()
    error = json.loads(stderr.splitlines()[-1])
    assert error["code"] == "E6102" and "No space left" in error["detail"], stderr
    assert_stopped_whole(station, mes, names, process, stderr)


def test_a_report_that_nobody_reads_is_said(station, mes):
    """All is done by then, and the batch is closed."""
    reader, writer = os.pipe()
    os.close(reader)
    path = batch.manifest(station, batch.serials(3))
    with started(station, path, "-o", "json", stdout=writer) as process:
        os.close(writer)
        stderr = process.stderr.read()
    assert process.returncode == 11 and json.loads(stderr.splitlines()[-1])["code"] == "E6102", stderr
    assert mes.runs().of("batch-done")[0]["devices"] == 3
    again = batch.provision(station, path, "--verify", "none")
    assert (again.status, again.json["resumed"], again.json["before"]) == (0, False, 3), again


def test_a_list_whose_reader_goes_says_nothing(station):
    assert batch.provision(station, batch.manifest(station, batch.serials(3))).status == 0
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen([BUILD / "muster", "journal", "list", "--journal", station.journal], stdout=writer, stderr=subprocess.PIPE,
                          env=environment(BUILD, station.home)) as process:
        os.close(writer)
        stderr = process.stderr.read()
    assert (process.returncode, stderr) == (11, b"")


# -- What failed, and what goes on -----------------------------------------------------------------------------


def assert_agree(mes, done, **counts):
    """The report, the end of the run that hooks are told of, and the last line."""
    expected = {"failed": 0, "parked": 0, **counts}
    assert {name: done.json[name] for name in expected} == expected, done
    end = mes.runs().of("batch-done")[-1]
    assert {name: end[name] for name in expected} == expected and end["devices"] == done.json["ended"], (end, done)


def foreign(station, name):
    """An enrollment of that ID with other keys."""
    status, document = station.service.put(name, {"registrationId": name, "attestation": {
        "type": "symmetricKey", "symmetricKey": {"primaryKey": "A" * 43 + "=", "secondaryKey": "A" * 43 + "="}}})
    assert status == 200, document


def test_a_released_device_that_is_refused_has_failed(station, mes):
    """Nothing of it waits: it is in service, and not as this run wants it."""
    path = batch.manifest(station, batch.serials(2))
    assert batch.provision(station, path).status == 0
    mes.runs(1)
    other = station.profile("derived-key", {"initialTwin": {"tags": {"line": "9"}}}, name="other")
    done = batch.provision(station, path, "--begin-anew", profile=other)
    mes.runs(2)
    assert done.status == 7 and done.error["code"] == "E3101" and done.error["detail"].startswith("2 devices failed: "), done
    assert batch.states(station) == {"released": 2}
    assert [(end["devices"], end["failed"], end["parked"]) for end in mes.of("batch-done")] == [(2, 0, 0), (2, 2, 0)]
    assert (done.json["failed"], done.json["parked"]) == (2, 0), done


@pytest.mark.parametrize("budget, state, counts, words", [
    (1, "dead-letter", {"failed": 1}, "1 device failed: "), (5, "parked", {"parked": 1}, "1 device is parked: ")])
def test_a_device_that_could_not_register_is_counted_as_it_is_left(station, mes, budget, state, counts, words):
    batch.restart(station, "--fault", "register:status=400")
    done = batch.provision(station, batch.manifest(station, batch.serials(1)), profile=station.profile("derived-key", {"retryBudget": budget}))
    assert batch.states(station) == {state: 1} and done.error["detail"].startswith(words), done
    assert_agree(mes, done, **counts)


def test_one_that_failed_and_one_that_waits_are_two_counts(station, mes):
    assert station.provision(station.profile("derived-key"), "MIX-1").status == 0
    mes.runs(1)
    foreign(station, "mix-2")
    path = station.home / "mix.csv"
    path.write_text("serial,deviceId\nMIX-1,other\nMIX-2,second\nMIX-3,third\n")
    done = batch.provision(station, path, "--verify", "none")
    assert done.status == 7 and done.error["detail"].startswith("1 device failed and 1 is parked: "), done
    assert batch.states(station) == {"released": 2, "parked": 1}
    mes.runs(2)
    end = mes.of("batch-done")[-1]
    assert (done.json["failed"], done.json["parked"], end["failed"], end["parked"], end["devices"]) == (1, 1, 1, 1, 3), (end, done)


def test_one_that_waits_and_is_not_looked_at_goes_on_waiting(station, mes):
    """Its batch is open, also for what it is compared with: neither a service that is away nor a wrong login ends it."""
    path = batch.manifest(station, ["WAIT-1"])
    assert batch.provision(station, path, "--offline").json["spooled"] == 1
    mes.runs(1)
    station.emulator.stop()
    away = batch.provision(station, path)
    assert away.status == 6 and away.error["code"] == "E5101", away
    assert (away.json["ended"], away.json["failed"], away.json["parked"], batch.states(station)) == (1, 0, 1, {"spooled": 1}), away
    mes.runs(2)
    assert [(end["failed"], end["parked"]) for end in mes.of("batch-done")] == [(0, 0), (0, 1)]
    amended = batch.manifest(station, ["WAIT-1", "WAIT-2"], "more.csv")
    changed = batch.provision(station, amended, "--offline", "--batch", "devices.csv")
    assert changed.error["code"] == "E1441", changed
    again = batch.provision(station, path, "--offline")
    assert again.json["resumed"] and again.json["spooled"] == 1, again


def test_parked_ones_that_are_refused_before_they_are_begun_stay_parked(station, mes):
    path = batch.manifest(station, batch.serials(2))
    batch.restart(station, "--fault", "register:status=401")
    assert batch.provision(station, path).json["parked"] == 2
    mes.runs(1)
    batch.restart(station)
    elsewhere = write_secret(station.home / "elsewhere", station.login_file.read_text().replace("localhost", "127.0.0.1"))
    refused = batch.provision(station, path, "--login-file", elsewhere)
    assert refused.status == 7 and refused.error["code"] == "E3105" and refused.error["detail"].startswith("2 devices are parked: "), refused
    assert (refused.json["failed"], refused.json["parked"], batch.states(station)) == (0, 2, {"parked": 2}), refused
    mes.runs(2)
    assert [(end["failed"], end["parked"]) for end in mes.of("batch-done")] == [(0, 2), (0, 2)]
    again = batch.provision(station, path)
    assert (again.status, again.json["resumed"], again.json["verified"]) == (0, True, 2), again


def test_a_batch_with_a_dead_letter_is_open(station):
    batch.restart(station, "--fault", "register:status=400")
    path, profile = batch.manifest(station, batch.serials(1)), station.profile("derived-key", {"retryBudget": 1})
    assert batch.provision(station, path, profile=profile).json["failed"] == 1 and batch.states(station) == {"dead-letter": 1}
    batch.restart(station)
    again = batch.provision(station, path, profile=profile)
    assert (again.status, again.json["resumed"], again.json["enrolled"]) == (0, True, 1), again


def test_a_sync_says_what_is_parked_as_its_hooks_do(station, mes):
    assert batch.provision(station, batch.manifest(station, ["WAIT-1", "WAIT-2"]), "--offline").json["spooled"] == 2
    mes.runs(1)
    foreign(station, "wait-1")
    sent = station.sync()
    assert sent.status == 7 and sent.error["detail"].startswith("1 of 2 devices is parked: "), sent
    mes.runs(2)
    assert (mes.of("batch-done")[-1]["failed"], mes.of("batch-done")[-1]["parked"]) == (0, 1)


def test_one_that_only_waits_to_be_sent_is_none_that_failed(station, mes):
    assert station.provision(station.profile("derived-key"), "MIX-1").status == 0
    path = station.home / "mix.csv"
    path.write_text("serial,deviceId\nMIX-2,second\nMIX-1,other\n")
    done = batch.provision(station, path, "--offline")
    assert done.json["spooled"] == done.json["failed"] == 1 and done.error["detail"].startswith("1 device failed, "), done


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_a_signal_cuts_off_is_parked(station, mes, number):
    names = batch.serials(300)
    batch.restart(station, "--fault", "bulk:delay-after=200")
    with started(station, batch.manifest(station, names), "-o", "json") as process:
        wait_until(lambda: len(batch.created(station)) >= 20, what="some devices")
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    report = json.loads(stdout)
    [end] = mes.runs().of("batch-done")
    assert process.returncode == 128 + number and report["failed"] == end["failed"] == 0 < report["parked"] == end["parked"], (report, end, stderr)
    assert end["devices"] == report["ended"] < 300


def test_a_signal_that_cuts_nothing_off_is_none(station, mes):
    """The last device came to its end, and with it the batch."""
    batch.restart(station, "--fault", "bulk+put:delay-after=1500")
    path = batch.manifest(station, batch.serials(1))
    with started(station, path, "-o", "json") as process:
        wait_until(lambda: batch.created(station), what="the device")
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, json.loads(stdout)["enrolled"]) == (0, 1) and "E7005" not in stderr, (stdout, stderr)
    assert mes.runs().states() == {"enrolled": 1}


def stopped(station, words, *faults):
    """A command whose device is at the service when the signal comes."""
    batch.restart(station, *[word for fault in faults for word in ("--fault", fault)])
    command = [BUILD / "muster", *words, *station.common(), "-o", "json"]
    with subprocess.Popen(list(map(str, command)), env=environment(BUILD, station.home), cwd=station.home, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_until(lambda: batch.created(station), what="the device")
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=60)
    return process.returncode, json.loads(stdout), stderr


@pytest.mark.parametrize("words", [["sync"], ["outbox", "retry", "wait-1"]], ids=" ".join)
def test_a_signal_that_cuts_nothing_of_a_sync_off_is_none(station, mes, words):
    assert batch.provision(station, batch.manifest(station, ["WAIT-1"]), "--offline", "--verify", "none").json["spooled"] == 1
    mes.runs(1)
    status, rows, stderr = stopped(station, words, "bulk+put:delay-after=1500")
    assert (status, [row["state"] for row in rows]) == (0, ["enrolled"]) and "E7005" not in stderr, (rows, stderr)
    assert batch.states(station) == {"released": 1}


def test_a_signal_that_leaves_a_profile_of_a_sync_out_is_one(station, mes):
    for name, device in (("one", "A-1"), ("two", "B-1")):
        profile = station.profile("derived-key", {"profile": name}, name=name)
        path = batch.manifest(station, [device], f"{name}.csv")
        assert batch.provision(station, path, "--offline", "--verify", "none", profile=profile).json["spooled"] == 1
    mes.runs(2)
    status, rows, stderr = stopped(station, ["sync"], "bulk+put:delay-after=1500")
    assert (status, len(rows)) == (128 + signal.SIGTERM, 1) and "E7005" in stderr, (rows, stderr)
    assert batch.states(station) == {"released": 1, "spooled": 1}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_takes_the_reader_along_is_what_is_told(station, mes, number):
    """As to a pipeline."""
    names = batch.serials(300)
    batch.restart(station, "--fault", "bulk:delay-after=1000")
    with started(station, batch.manifest(station, names), "-o", "jsonl") as process:
        assert process.stdout.readline() and process.stdout.readline()
        process.send_signal(number)
        process.stdout.close()
        stderr = process.stderr.read()
    assert process.returncode == 128 + number, stderr
    end = mes.runs().of("batch-done")[-1]
    assert end["devices"] < 300 and batch.states(station)["working"] == 0, end


# -- Once enrolled ---------------------------------------------------------------------------------------------


def test_devices_that_are_only_verified_were_enrolled_before(station, mes):
    """Who adds up what was enrolled counts no device twice."""
    path = batch.manifest(station, batch.serials(3))
    first = batch.provision(station, path, "--verify", "none")
    assert (first.status, first.json["enrolled"], first.json["verified"]) == (0, 3, 0), first
    again = batch.provision(station, path, "--verify", "all")
    assert (again.status, again.json["enrolled"], again.json["before"], again.json["verified"], again.json["adopted"]) == (0, 0, 3, 3, 0), again
    assert mes.runs(2).states() == {"enrolled": 3, "already enrolled": 3}
    assert sorted(done["verified"] for done in mes.of("unit-done")) == [False] * 3 + [True] * 3


def test_a_device_that_is_only_verified_was_enrolled_before(station, mes):
    first = station.provision(station.profile("derived-key", {"verify": "none"}), "LATE-1")
    assert (first.status, first.json["state"], first.json["verified"]) == (0, "enrolled", False), first
    again = station.provision(station.profile("derived-key"), "LATE-1")
    assert (again.status, again.json["state"], again.json["verified"]) == (0, "already enrolled", True), again
    assert mes.runs(2).states() == {"enrolled": 1, "already enrolled": 1}


def test_one_that_could_not_be_verified_at_first_was_enrolled_before_all_the_same(station, mes):
    """It was parked in between; one that never got that far was not."""
    path = batch.manifest(station, ["LATE-1"])
    assert batch.provision(station, path, "--verify", "none").json["enrolled"] == 1
    batch.restart(station, "--fault", "register:status=401")
    path = batch.manifest(station, ["LATE-1", "NEW-1"])
    parked = batch.provision(station, path, "--begin-anew")
    assert (parked.json["parked"], batch.states(station)) == (2, {"parked": 2}), parked
    batch.restart(station)
    dry = batch.provision(station, path, "--dry-run", "-o", "jsonl")
    states = {row["device"]: row["state"] for row in map(json.loads, dry.stdout.splitlines()) if row["event"] == "device"}
    assert states == {"LATE-1": "already enrolled", "NEW-1": "already enrolled"}, dry
    again = batch.provision(station, path)
    assert (again.status, again.json["before"], again.json["enrolled"], again.json["verified"]) == (0, 1, 1, 2), again
    assert mes.runs(3).states() == {"enrolled": 2, "failed": 2, "already enrolled": 1}


def test_what_sync_enrolled_and_the_bench_verifies_was_enrolled_before(hsm_station, token, tmp_path):
    station, opened = hsm_station, ["--token", token.uri, "--pin-file", token.pin_file]
    path, profile = batch.manifest(station, ["wait-1", "wait-2"]), station.profile("hsm-x509")
    assert batch.provision(station, path, *opened, "--offline", profile=profile).json["spooled"] == 2
    sent = station.sync()
    assert [(row["state"], row["verified"]) for row in sent.json] == [("enrolled", False)] * 2, sent
    again = batch.provision(station, path, *opened, profile=profile)
    assert (again.status, again.json["before"], again.json["enrolled"], again.json["verified"]) == (0, 2, 0, 2), again


@pytest.mark.parametrize("way", ["single", "manifest"])
def test_what_is_enrolled_anew_was_not_enrolled_before(station, mes, way):
    """The enrollment that an earlier run had made was deleted while the device was parked."""
    path, none = batch.manifest(station, ["LATE-1"]), station.profile("derived-key", {"verify": "none"}, name="none")

    def run(profile):
        return batch.provision(station, path, "--begin-anew", profile=profile) if way == "manifest" else station.provision(profile, "LATE-1")

    assert run(none).status == 0
    batch.restart(station, "--fault", "register:status=401")
    assert run(station.profile("derived-key")).status != 0 and batch.states(station) == {"parked": 1}
    batch.restart(station)
    station.service.delete("late-1")
    again = run(station.profile("derived-key"))
    assert again.status == 0 and batch.created(station) == {"late-1": 2}, again
    if way == "manifest":
        assert (again.json["enrolled"], again.json["before"], again.json["verified"]) == (1, 0, 1), again
    else:
        assert (again.json["state"], again.json["verified"]) == ("enrolled", True), again
    assert mes.runs(3).states() == {"enrolled": 2, "failed": 1}


def test_what_an_earlier_run_enrolled_anew_was_not_enrolled_before_that(station):
    none = station.profile("derived-key", {"verify": "none"}, name="none")
    assert station.provision(none, "LATE-1").status == 0
    batch.restart(station, "--fault", "register:status=401")
    assert station.provision(station.profile("derived-key"), "LATE-1").status != 0
    station.service.delete("late-1")
    assert station.provision(station.profile("derived-key"), "LATE-1").status != 0 and batch.created(station) == {"late-1": 2}
    batch.restart(station)
    again = station.provision(station.profile("derived-key"), "LATE-1")
    assert (again.status, again.json["state"], again.json["verified"]) == (0, "enrolled", True), again
    assert batch.created(station) == {"late-1": 2}


def test_a_life_that_is_over_is_no_reason_to_be_enrolled_already(station, mes):
    profile = station.profile("derived-key")
    assert station.provision(profile, "BACK-1").json["state"] == "enrolled"
    retired = station.muster("retire", "BACK-1", "--reason", "returned", "--journal", station.journal, "--login-file", station.login_file,
                             "--ca-file", station.emulator.ca_file)
    assert retired.status == 0, retired
    assert station.provision(profile, "BACK-1").json["state"] == "enrolled"
    assert mes.runs(2).states() == {"enrolled": 2}


def test_a_dry_run_says_which_are_enrolled(station):
    path = batch.manifest(station, batch.serials(3))
    assert batch.provision(station, path, "--verify", "none").status == 0
    path = batch.manifest(station, batch.serials(4))
    done = batch.provision(station, path, "--verify", "none", "--dry-run", "-o", "jsonl")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    states = {row["device"]: row["state"] for row in lines if row["event"] == "device"}
    assert states == {"SN-00000": "already enrolled", "SN-00001": "already enrolled", "SN-00002": "already enrolled", "SN-00003": "planned"}, done
    assert (lines[-1]["before"], lines[-1]["planned"]) == (3, 1), done


@pytest.mark.parametrize("way", ["single", "manifest"])
def test_a_dry_run_does_not_say_that_what_is_gone_is_enrolled(station, way):
    assert station.provision(station.profile("derived-key"), "GONE-1").json["state"] == "enrolled"
    station.service.delete("gone-1")
    if way == "single":
        assert station.provision(station.profile("derived-key"), "GONE-1", "--dry-run").json["state"] == "planned"
        return
    other = station.profile("derived-key", {"initialTwin": {"tags": {"line": "9"}}}, name="other")
    done = batch.provision(station, batch.manifest(station, ["GONE-1"]), "--dry-run", profile=other)
    assert (done.json["before"], done.json["planned"]) == (0, 1), done


# -- Runs of several profiles ----------------------------------------------------------------------------------


def test_a_sync_of_two_profiles_is_a_run_of_each(station, mes):
    """As muster-hook(1) says: who waits for the end waits for that of each."""
    for name, devices in (("one", ["A-1", "A-2"]), ("two", ["B-1"])):
        profile = station.profile("derived-key", {"profile": name}, name=name)
        assert batch.provision(station, batch.manifest(station, devices, f"{name}.csv"), "--offline", profile=profile).json["spooled"] == len(devices)
    sent = station.sync()
    assert sent.status == 0 and [row["state"] for row in sent.json] == ["enrolled"] * 3, sent
    ends = mes.runs(4).of("batch-done")[2:]
    assert sorted((end["profile"], end["devices"], end["failed"]) for end in ends) == [("one", 2, 0), ("two", 1, 0)], ends
