"""The service goes away in the middle of a run that nobody watches: it is waited for, and all ends as if it had been there."""
import signal

import pytest

from lib.batch import created, requests
from lib.bulk import devices_file, names
from lib.enrollment import EnrollmentDesk
from lib.outage import Run, bring_back, lose_service

SLOW = ["--fault", "bulk:delay-after=100"]


def import_of(station, count, *arguments):
    desk = EnrollmentDesk(station)
    return Run(station, "enrollment", "import", devices_file(desk, count), *desk.login(), *arguments)


def restart_slowly(station):
    station.emulator.restart(*SLOW)
    station.renew_login()


def test_an_import_goes_on_when_the_service_is_back(station):
    restart_slowly(station)
    with import_of(station, 200) as run:
        lose_service(run, 30)
        away = run.wait_for("unreachable")
        bring_back(station)
        assert run.end() == 0, run.stderr
    summary = run.lines()[-1]
    assert summary["written"] == 200 and created(station) == dict.fromkeys(names(200), 1), summary
    assert away["patience"] == 3600 and away["cause"] in ("E5101", "E5107"), away
    assert [line.get("event") for line in run.lines()] == ["unreachable", "reachable", None]
    said = run.stderr.splitlines()
    assert len(said) == 2 and "cannot be reached since" in said[0] and "waiting for up to 60 min, Ctrl-C parks" in said[0], said
    assert "is back after" in said[1], said


def test_an_import_whose_patience_ends_goes_on_another_time(station):
    restart_slowly(station)
    with import_of(station, 200, "--patience", "1s") as run:
        lose_service(run, 30)
        run.wait_for("unreachable")
        assert run.end() == 6, run.stderr
    summary = run.lines()[-1]
    assert 0 < summary["open"] and summary["written"] + summary["open"] == 200 and run.events("reachable") == [], summary
    bring_back(station)
    with import_of(station, 200) as again:
        assert again.end() == 0, again.stderr
    assert created(station) == dict.fromkeys(names(200), 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_of_an_import(station, number):
    restart_slowly(station)
    with import_of(station, 100) as run:
        lose_service(run, 30)
        run.wait_for("unreachable")
        run.signal(number)
        assert run.end() == 128 + number, run.stderr
    bring_back(station)
    with import_of(station, 100) as again:
        assert again.end() == 0, again.stderr
    assert created(station) == dict.fromkeys(names(100), 1)


def test_an_import_that_never_had_an_answer_does_not_wait(station):
    station.emulator.stop()
    with import_of(station, 20) as run:
        assert run.end() == 6, run.stderr
    assert run.events("unreachable") == [] and "waiting" not in run.stderr and run.lines()[-1]["open"] == 20, run.stderr


@pytest.mark.parametrize("patience", ["1d", "-1", "", "h", "1.5h", "721h"])
def test_a_patience_that_is_no_time_is_refused(station, patience):
    with import_of(station, 1, "--patience", patience) as run:
        assert run.end() == 2 and "as 90s, 30m or 8h" in run.stderr, run.stderr
    assert requests(station) == []


def test_no_row_is_given_up_for_what_all_meet(station):
    """More failures in a row than one row may have by itself."""
    station.emulator.restart("--fault", "bulk+get:status=503:retry-after=0:skip=2:count=8")
    station.renew_login()
    with import_of(station, 40) as run:
        assert run.wait_for("unreachable")["cause"] == "E5105"
        assert run.end() == 0, run.stderr
    assert "the provisioning service fails since" in run.stderr and run.lines()[-1]["written"] == 40, run.stderr
    assert created(station) == dict.fromkeys(names(40), 1)
