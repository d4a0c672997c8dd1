"""A device on the bench keeps to the rate budget that it shares with the station's other commands, and goes before them."""
import datetime
import json
import signal
import subprocess

import pytest

from lib.bulk import symmetric
from lib.enrollment import EnrollmentDesk
from lib.program import environment
from lib.wait import wait_until

SERIAL = "KEY-0001"
SERVICE = ("put", "get", "mechanism")


def moment(row):
    return datetime.datetime.fromisoformat(row["time"]).timestamp()


def refusals(station):
    return [row for row in station.emulator.ledger() if row["status"] == 429]


@pytest.fixture
def start(station):
    """Runs muster in the background."""
    started = []

    def run(*arguments):
        process = subprocess.Popen([station.build / "muster", *map(str, arguments)], cwd=station.home, text=True,
                                   env=environment(station.build, station.home), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_devices_one_after_the_other_are_never_refused(station):
    """Each takes three of five operations: the second device waits for its last."""
    station.emulator.restart("--throttle", "sliding:5/3")
    station.renew_login()
    profile = station.profile("derived-key")
    for number in range(2):
        done = station.provision(profile, f"KEY-{number}", "--rate", "5/3")
        assert done.status == 0 and done.json["verified"], done
    times = [moment(row) for row in station.emulator.ledger() if row["op"] in SERVICE]
    assert len(times) >= 6 and times[5] - times[0] >= 3
    assert refusals(station) == []


def test_the_bench_goes_before_an_import(station, start):
    """Where the bench is in use an import leaves some of the window, and waits for the next, in an hour. The device does not."""
    station.emulator.restart("--throttle", "sliding:60/3600")
    station.renew_login()
    desk = EnrollmentDesk(station)
    rate = ["--rate", "60/3600"]
    assert desk.run("list", *rate).status == 0
    table = station.home / "backlog.jsonl"
    table.write_text("".join(json.dumps(symmetric(f"backlog-{number}")) + "\n" for number in range(100)))
    backlog = start("enrollment", "import", table, "--single", *rate, *desk.login())
    wait_until(lambda: len(station.emulator.effects("put")) == 56, 60, "all but the last of the window")
    done = station.provision(station.profile("derived-key"), SERIAL, *rate)
    assert done.status == 0 and done.json["verified"], done
    assert backlog.poll() is None and len(station.emulator.effects("put")) == 57
    assert refusals(station) == []


def test_retry_after_holds_for_all(station, start):
    """Another command is refused; the device waits as long."""
    station.emulator.restart("--fault", "query:status=429:retry-after=3:count=1")
    station.renew_login()
    start("enrollment", "list", *EnrollmentDesk(station).login())
    refused = wait_until(lambda: refusals(station), 60, "a refusal")[0]
    done = station.provision(station.profile("derived-key"), SERIAL)
    assert done.status == 0 and done.json["verified"], done
    assert moment(station.emulator.requests("put")[0]) - moment(refused) >= 3


def test_a_device_that_is_refused_waits(station):
    station.emulator.restart("--fault", "put:status=429:retry-after=2:count=1")
    station.renew_login()
    done = station.provision(station.profile("derived-key"), SERIAL)
    assert done.status == 0 and done.json["verified"], done
    first, second = (moment(row) for row in station.emulator.requests("put"))
    assert second - first >= 2


@pytest.mark.parametrize("configured, given", [("rate: 1000\n", ["--rate", "1/3600"]), ("rate: 1/3600\n", [])],
                         ids=["option", "configuration"])
def test_a_signal_ends_the_wait_for_a_turn(station, start, configured, given):
    """Nothing was sent, the journal says so, and the next run does all of it."""
    configuration = station.configure(configured)
    profile = station.profile("derived-key")
    desk = EnrollmentDesk(station)
    assert desk.run("list", *given).status == 0
    waiting = start("provision", "--profile", profile, "--serial", SERIAL, *station.common(), *given, "-vv")
    for line in waiting.stderr:
        if "turn" in line:
            break
    waiting.send_signal(signal.SIGTERM)
    waiting.communicate(timeout=60)
    assert waiting.returncode != 0
    assert station.emulator.requests("put") == []
    configuration.unlink()
    done = station.provision(profile, SERIAL)
    assert done.status == 0 and done.json["state"] == "enrolled", done
