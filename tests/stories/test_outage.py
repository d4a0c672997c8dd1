"""The service goes away in the middle of a run that nobody watches: it is waited for, and all ends as if it had been there."""
import os
import pathlib
import signal

import pytest

from lib.batch import created, manifest, released, requests, restart, serials
from lib.bulk import devices_file, names
from lib.enrollment import EnrollmentDesk
from lib.outage import PATIENT, Run, bring_back, lose_service
from lib.wait import wait_until

# Some are answered, so that the service was well; what is under way when it is lost has no answer, however long that takes.
SLOW = ["--fault", "bulk:delay-after=300000:skip=3"]
SIGNALS = [signal.SIGINT, signal.SIGTERM]


def import_of(station, count, *arguments):
    desk = EnrollmentDesk(station)
    return Run(station, "enrollment", "import", devices_file(desk, count), *desk.login(), *arguments)


def batch_of(station, count, *arguments, verify="none"):
    return Run(station, "provision", "--profile", station.profile("derived-key"), "--manifest", manifest(station, serials(count)),
               *station.common(), "--verify", verify, *arguments)


def sync_of(station, *arguments):
    return Run(station, "sync", *station.common(), *arguments)


def spool_batch(station, count):
    done = station.muster("provision", "--profile", station.profile("derived-key"), "--manifest", manifest(station, serials(count)),
                          "--offline", "--journal", station.journal, "--out", station.out, "-o", "json", timeout=PATIENT)
    assert (done.status, done.json["spooled"]) == (6, count), done


def each_once(count):
    return {name.lower(): 1 for name in serials(count)}


def is_each_created_once(station, wanted):
    """A service that is killed may have done what it had no time to write into its ledger."""
    there = {enrollment["registrationId"] for enrollment in station.service.enrollments()}
    return there == set(wanted) and set(created(station).values()) == {1} and set(created(station)) <= set(wanted)


def cpu_seconds(process):
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def assert_nobody_waits(station):
    assert {row["state"] for row in station.rows().values()} == {"released"}


# By the option, which holds over the configuration, or by the configuration alone.
IMPATIENT = pytest.mark.parametrize("configured, given", [("patience: 8h\n", ["--patience", "1s"]), ("patience: 1\n", [])],
                                    ids=["option", "configuration"])


def restart_slowly(station):
    station.emulator.restart(*SLOW)
    station.renew_login()


def test_an_import_goes_on_when_the_service_is_back(station):
    restart_slowly(station)
    with import_of(station, 200) as run:
        lose_service(run, 31)
        away = run.wait_for("unreachable")
        bring_back(station)
        assert run.end() == 0, run.stderr
    summary = run.lines()[-1]
    assert summary["written"] == 200 and is_each_created_once(station, names(200)), summary
    assert away["patience"] == 3600 and away["cause"] in ("E5101", "E5107"), away
    assert [line.get("event") for line in run.lines()] == ["unreachable", "reachable", None]
    said = run.stderr.splitlines()
    assert len(said) == 2 and "cannot be reached since" in said[0] and "waiting for up to 60 min, Ctrl-C parks" in said[0], said
    assert "is back after" in said[1], said


@IMPATIENT
def test_an_import_whose_patience_ends_goes_on_another_time(station, configured, given):
    station.configure(configured)
    restart_slowly(station)
    with import_of(station, 200, *given) as run:
        lose_service(run, 31)
        run.wait_for("unreachable")
        assert run.end() == 6, run.stderr
    summary = run.lines()[-1]
    assert 0 < summary["open"] and summary["written"] + summary["open"] == 200 and run.events("reachable") == [], summary
    bring_back(station)
    with import_of(station, 200) as again:
        assert again.end() == 0, again.stderr
    assert is_each_created_once(station, names(200))


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_wait_of_an_import(station, number):
    restart_slowly(station)
    with import_of(station, 100) as run:
        lose_service(run, 31)
        run.wait_for("unreachable")
        run.signal(number)
        assert run.end() == 128 + number, run.stderr
    bring_back(station)
    with import_of(station, 100) as again:
        assert again.end() == 0, again.stderr
    assert is_each_created_once(station, names(100))


def test_an_import_that_never_had_an_answer_does_not_wait(station):
    station.emulator.stop()
    with import_of(station, 20) as run:
        assert run.end() == 6, run.stderr
    assert run.events("unreachable") == [] and "waiting" not in run.stderr and run.lines()[-1]["open"] == 20, run.stderr


@pytest.mark.parametrize("patience", ["1d", "-1", "", "h", "1.5h", "721h", "0" * 40 + "5"])
def test_a_patience_that_is_no_time_is_refused(station, patience):
    for arguments in [(), ("--dry-run",)]:
        with import_of(station, 1, "--patience", patience, *arguments) as run:
            assert run.end() == 2 and "as 90s, 30m or 8h" in run.stderr, run.stderr
    assert requests(station) == []


def test_no_row_is_given_up_for_what_all_meet(station):
    """More failures in a row than one row may have by itself, all of them about the last one."""
    station.emulator.restart("--fault", "bulk+put+get:status=503:retry-after=0:skip=1:count=6")
    station.renew_login()
    with import_of(station, 11) as run:
        assert run.wait_for("unreachable")["cause"] == "E5105"
        assert run.end() == 0, run.stderr
    assert "the provisioning service fails since" in run.stderr and run.lines()[-1]["written"] == 11, run.stderr
    assert is_each_created_once(station, names(11))


# -- A batch -----------------------------------------------------------------------------------------------------


def test_a_batch_goes_on_when_the_service_is_back(station):
    """Meanwhile it costs nothing, and says what binds it."""
    restart_slowly(station)
    with batch_of(station, 200) as run:
        lose_service(run, 31)
        run.wait_for("unreachable")
        before, told = cpu_seconds(run.process), len(run.events("progress"))
        assert run.wait_for("progress", told + 4)["boundBy"] == "uplink"
        assert cpu_seconds(run.process) - before < 1
        bring_back(station)
        assert run.end() == 0, run.stderr
    report = run.lines()[-1]
    assert (report["event"], report["enrolled"], report["parked"], report["failed"]) == ("report", 200, 0, 0), report
    assert is_each_created_once(station, each_once(200)) and released(station) == set(each_once(200))
    assert len(run.events("unreachable")) == len(run.events("reachable")) == 1
    assert run.stderr.count("cannot be reached since") == run.stderr.count("is back after") == 1, run.stderr


def test_devices_that_register_wait_for_it_too(station):
    names = each_once(40)
    restart(station, "--fault", "register:delay-after=300000:skip=5")
    with batch_of(station, 40, verify="all") as run:
        run.wait_for("device")
        wait_until(lambda: len(station.emulator.effects("register")) >= 7, PATIENT, "registrations under way")
        lose_service(run, 2)
        wait_until(lambda: "the device API" in [line["service"] for line in run.events("unreachable")], PATIENT, "an outage of it")
        bring_back(station)
        assert run.end() == 0, run.stderr
    report = run.lines()[-1]
    assert (report["enrolled"], report["verified"], report["parked"]) == (40, 40, 0), report
    assert is_each_created_once(station, names) and released(station) == set(names)


def test_tpm_devices_wait_for_it_with_their_chips_at_hand(station, make_tpm):
    """The chips' workers live through it; the service challenges them when it is back."""
    profile = station.profile("tpm", {"registrationId": "{serial.lower}"})
    path = station.home / "tpms.csv"
    path.write_text("serial,tpm\n" + "".join(f"CHIP-{number},{make_tpm(f'chip{number}').tcti}\n" for number in range(3)))
    restart(station, "--fault", "register:delay-after=300000:skip=3")
    with Run(station, "provision", "--profile", profile, "--manifest", path, *station.common(), "--verify", "all") as run:
        # One of three was challenged before, at least.
        wait_until(lambda: len(station.emulator.requests("register")) >= 4, PATIENT, "a registration")
        lose_service(run, 2)
        run.wait_for("unreachable")
        bring_back(station)
        assert run.end() == 0, run.stderr
    report = run.lines()[-1]
    assert (report["enrolled"], report["verified"], report["parked"]) == (3, 3, 0), report
    assert created(station) == {f"chip-{number}": 1 for number in range(3)}


@IMPATIENT
def test_a_batch_whose_patience_ends_goes_on_another_time(station, configured, given):
    """No device is a step nearer to its dead letter."""
    station.configure(configured)
    restart_slowly(station)
    with batch_of(station, 200, *given) as run:
        lose_service(run, 31)
        run.wait_for("unreachable")
        assert run.end() == 6, run.stderr
    report = run.lines()[-1]
    assert report["parked"] > 0 == report["failed"] and run.events("reachable") == [], report
    assert "the provisioning service stayed away" in run.stderr, run.stderr
    listed = station.muster("outbox", "list", "--journal", station.journal, "-o", "json")
    assert {(row["waitsFor"], row["failures"]) for row in listed.json} == {("network", 0)}, listed
    bring_back(station)
    with batch_of(station, 200) as again:
        assert again.end() == 0, again.stderr
    assert is_each_created_once(station, each_once(200))
    assert_nobody_waits(station)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_in_the_wait_parks_a_batch(station, number):
    restart_slowly(station)
    with batch_of(station, 100) as run:
        lose_service(run, 31)
        run.wait_for("unreachable")
        run.signal(number)
        assert run.end() == 128 + number, run.stderr
    assert run.lines()[-1]["event"] == "report"
    bring_back(station)
    with batch_of(station, 100) as again:
        assert again.end() == 0, again.stderr
    assert is_each_created_once(station, each_once(100))
    assert_nobody_waits(station)


def test_a_refusal_after_the_outage_stops_at_the_third(station):
    restart_slowly(station)
    with batch_of(station, 200) as run:
        lose_service(run, 31)
        run.wait_for("unreachable")
        restart(station, "--fault", "bulk+put+get:status=403")
        assert run.end() == 5 and "stopped after 3 refusals" in run.stderr, run.stderr
    assert run.events("reachable") == []


def test_a_batch_that_never_had_an_answer_does_not_wait(station):
    station.emulator.stop()
    with batch_of(station, 20) as run:
        assert run.end() == 6, run.stderr
    assert run.events("unreachable") == [] and run.lines()[-1]["ended"] == 1, run.stderr


# -- A sync ------------------------------------------------------------------------------------------------------


def test_a_sync_goes_on_when_the_service_is_back(station):
    spool_batch(station, 150)
    restart_slowly(station)
    with sync_of(station) as run:
        lose_service(run, 31)
        run.wait_for("unreachable")
        bring_back(station)
        assert run.end() == 0, run.stderr
    assert len([line for line in run.lines() if line.get("state") == "enrolled"]) == 150
    assert is_each_created_once(station, each_once(150))
    assert_nobody_waits(station)


def test_a_sync_whose_patience_ends_goes_on_another_time(station):
    spool_batch(station, 150)
    restart_slowly(station)
    with sync_of(station, "--patience", "1") as run:
        lose_service(run, 31)
        run.wait_for("unreachable")
        assert run.end() == 6, run.stderr
    bring_back(station)
    with sync_of(station) as again:
        assert again.end() == 0, again.stderr
    assert is_each_created_once(station, each_once(150))
    assert_nobody_waits(station)


def test_a_signal_in_the_wait_parks_a_sync(station):
    spool_batch(station, 100)
    restart_slowly(station)
    with sync_of(station) as run:
        lose_service(run, 31)
        run.wait_for("unreachable")
        run.signal(signal.SIGINT)
        assert run.end() == 130, run.stderr
    bring_back(station)
    with sync_of(station) as again:
        assert again.end() == 0, again.stderr
    assert is_each_created_once(station, each_once(100))
    assert_nobody_waits(station)
