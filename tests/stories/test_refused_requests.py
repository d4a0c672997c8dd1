"""What the service refuses for good is not asked for again, and what it says late or otherwise is found out."""
import re
import subprocess

import pytest

from lib.program import environment
from lib.software_token import write_secret
from lib.wait import wait_until

SERIAL = "KEY-0001"


def restart(station, *faults):
    station.emulator.restart(*[word for fault in faults for word in ("--fault", fault)])
    station.renew_login()


@pytest.mark.parametrize("status, exit_status, cause", [
    (400, 1, "E5103"), (403, 5, "E5122"), (404, 3, "E5108"), (405, 1, "E5103"), (415, 1, "E5103")])
def test_a_create_that_is_refused_is_sent_once(station, status, exit_status, cause):
    restart(station, f"put:status={status}")
    done = station.provision(station.profile("derived-key"), SERIAL)
    assert (done.status, done.cause) == (exit_status, cause), done
    assert len(station.emulator.requests("put")) == 1
    restart(station)
    assert station.provision(station.profile("derived-key"), SERIAL).json["state"] == "enrolled"


def test_a_redirect_is_not_followed(station):
    restart(station, "put:redirect")
    done = station.provision(station.profile("derived-key"), SERIAL)
    assert done.status not in (0, 9) and station.service.enrollments() == [], done
    assert len(station.emulator.requests("put")) == 1


def test_a_host_without_an_address(station):
    """Nothing was sent: it is tried again within the budget, and then said."""
    login = write_secret(station.home / "wrong-login", re.sub(r"HostName=[^;]*", "HostName=nobody.invalid",
                                                              station.emulator.connection_string))
    done = station.provision(station.profile("derived-key"), SERIAL, "--login-file", login, timeout=600)
    assert (done.status, done.cause) == (6, "E5101") and "nobody.invalid" in done.stderr, done


def test_what_reads_back_otherwise_is_a_conflict(station):
    """Between the commit and its answer somebody else writes over it."""
    restart(station, "put:delay-after=5000:count=1")
    profile = station.profile("derived-key")
    running = subprocess.Popen([station.build / "muster", "provision", "--profile", profile, "--serial", SERIAL,
                                *map(str, station.common()), "-o", "json"], cwd=station.home, text=True,
                               env=environment(station.build, station.home), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: station.emulator.requests("put"), 60, "a put")
    document, = station.service.enrollments()
    registration_id = document["registrationId"]
    _, keys = station.service.request("POST", f"/enrollments/{registration_id}/attestationmechanism")
    status, answer = station.service.request(
        "PUT", f"/enrollments/{registration_id}",
        {**document, "attestation": keys, "allocationPolicy": "static", "iotHubs": [station.emulator.HUBS[0]]}, {"If-Match": "*"})
    assert status == 200, answer
    _, said = running.communicate(timeout=120)
    assert running.returncode == 7 and "E3104" in said and "allocationPolicy" in said, said
    assert station.service.enrollment(registration_id)["etag"] == answer["etag"]


def test_a_late_duplicate_changes_nothing(station):
    """The network delivers the create a second time, when the device is done."""
    restart(station, "put:replay=2000:count=1")
    done = station.provision(station.profile("derived-key"), SERIAL)
    assert done.status == 0 and done.json["verified"] is True, done
    document, = station.service.enrollments()
    wait_until(lambda: len(station.emulator.requests("put")) == 2, 60, "the duplicate")
    assert [row["effect"] for row in station.emulator.effects("put")] == ["create"]
    assert station.service.enrollments() == [document]
