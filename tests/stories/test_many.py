"""Several TPMs in one run: one worker each, and what happens to one is nothing to the others."""
import json
import resource

import pytest

from lib.wait import wait_until
from test_interrupted import Command

EMPTY = {"attestation": {"tpm": {"certificate": "optional"}}}


@pytest.fixture
def make_bench(make_tpm):
    """So many sockets, each with a device whose EK is yet to be made."""
    return lambda count: [make_tpm(f"s{number}", with_certificate=False) for number in range(count)]


def named(tpms):
    return [word for tpm in tpms for word in ("--tpm", tpm.tcti)]


def provision(station, profile, *arguments, **options):
    return station.muster("provision", "--profile", profile, *station.common(), *arguments, **options)


def rows_of(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_one_that_hangs_fails_alone_at_its_own_deadline(station, make_bench):
    tpms = make_bench(6)
    tpms[3].hang()
    done = provision(station, station.profile("tpm", EMPTY), *named(tpms), "-o", "jsonl")
    rows = {row["socket"]: row for row in rows_of(done)}
    assert sorted(rows) == sorted(tpm.tcti for tpm in tpms), done
    hung = rows.pop(tpms[3].tcti)
    assert (hung["state"], hung["cause"]) == ("failed", "E2102") and 4.5 < hung["seconds"] < 20, done
    assert all(row["state"] == "enrolled" and row["verified"] for row in rows.values()), done
    assert len({row["registrationId"] for row in rows.values()}) == 5 == len(station.service.enrollments())
    assert (done.status, done.cause) == (4, "E2102"), done
    for tpm in tpms[:3] + tpms[4:]:
        assert tpm.loaded() == []


def test_each_serial_finds_its_socket(station, make_bench, tmp_path):
    tpms = make_bench(3)
    profile = station.profile("tpm", {**EMPTY, "registrationId": "{serial.lower}"})
    lines = tmp_path / "serials"
    lines.write_text(f"{tpms[2].tcti}\tSN-2\n{tpms[1].tcti}\tSN-1\n")
    with open(lines) as stream:
        done = provision(station, profile, *named(tpms), "--serial", f"{tpms[0].tcti}=SN-0", "--serials", "-", "-o", "json",
                         stdin=stream)
    assert done.status == 0, done
    assert {row["socket"]: (row["device"], row["registrationId"]) for row in done.json} == {
        tpm.tcti: (f"SN-{number}", f"sn-{number}") for number, tpm in enumerate(tpms)}
    again = provision(station, profile, *named(tpms), "--serials", lines, "--serial", f"{tpms[0].tcti}=SN-0")
    assert again.status == 0, again
    assert again.stdout.count("already enrolled") == 3 and tpms[1].tcti in again.stdout, again


def test_a_failure_of_one_kind_is_the_status_and_of_several_is_one(station, make_bench):
    tpms = make_bench(3)
    good = station.profile("tpm", EMPTY)
    tpms[0].stop()
    done = provision(station, good, *named(tpms), "-o", "json")
    assert (done.status, done.cause) == (4, "E2101"), done
    assert [row["state"] for row in done.json].count("enrolled") == 2
    required = station.profile("tpm", {"attestation": {"tpm": {"certificate": "required"}}}, name="required")
    done = provision(station, required, *named(tpms), "-o", "json")
    assert done.status == 1 and "E7010" in done.stderr, done


@pytest.mark.parametrize("arguments, words", [
    (["--serial", "SN-1"], "is not SOCKET=TEXT"),
    (["--serial", "{0}=A", "--serial", "{0}=B"], "has the serial 'A' already"),
    (["--serial", "{0}=A", "--serial", "{1}=A"], "is given twice"),
    (["--tpm", "{0}"], "is named twice"),
    (["--serials", "{lines}"], "serials:2: '/nowhere' is no TPM that is named"),
    ([], "none was given for '{0}'"),
])
def test_what_points_nowhere_is_refused_before_anything_happens(station, tmp_path, arguments, words):
    tctis = [f"swtpm:path={tmp_path}/none-{number}" for number in range(2)]
    lines = tmp_path / "serials"
    lines.write_text(f"{tctis[0]}\tA\n/nowhere\tB\n")
    profile = station.profile("tpm", {"registrationId": "{serial.lower}"})
    filled = [word.format(*tctis, lines=lines) for word in arguments]
    done = provision(station, profile, "--tpm", tctis[0], "--tpm", tctis[1], *filled)
    assert done.status == 2 and words.format(*tctis) in done.stderr, done
    assert station.emulator.changes() == [] and not station.journal.exists()


def test_two_paths_of_one_tpm_are_one(station, tmp_path):
    place = tmp_path / "chip"
    place.touch()
    done = provision(station, station.profile("tpm", EMPTY), "--tpm", f"swtpm:path={place}", "--tpm", f"swtpm:path={tmp_path}/./chip")
    assert (done.status, done.cause) == (2, "E1001") and f"named twice: it is 'swtpm:path={place}'" in done.stderr, done


def test_only_tpm_devices_can_be_several(station, tmp_path):
    done = provision(station, station.profile("derived-key"), "--tpm", f"swtpm:path={tmp_path}/a", "--tpm",
                     f"swtpm:path={tmp_path}/b")
    assert done.status == 2 and "can be several" in done.stderr, done


@pytest.mark.parametrize("output", ["table", "json"])
def test_what_is_done_is_told_when_the_journal_takes_no_more(station, make_bench, output):
    """One is released while the other still registers, and then no file may grow any more."""
    first, second = make_bench(2)
    profile = station.profile("tpm", {**EMPTY, "registrationId": "{serial.lower}"})
    station.emulator.restart("--fault", "register:delay-after=300000:id=waits")
    station.renew_login()
    run = Command(station, "provision", "--profile", profile, *named([first, second]), "--serial", f"{first.tcti}=WAITS", "--serial",
                  f"{second.tcti}=DONE", *station.common(), "-o", output)
    wait_until(lambda: (station.out / "done.evidence.json").exists() and station.emulator.requests("register", "waits"), 100, "the second")
    resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, (1, 1))
    station.emulator.restart()
    told, said = run.process.communicate(timeout=120)
    assert run.process.returncode == 11, said
    assert {name: row["state"] for name, row in station.rows().items()} == {"waits": "working", "done": "released"}
    assert "done" in told and "waits" not in told, told
    if output == "json":
        assert [(row["registrationId"], row["verified"]) for row in json.loads(told)] == [("done", True)]
