"""The session of az in an outage: its token ends while neither service nor authority can be had."""
import socket

import pytest

from lib.batch import created, restart
from lib.bulk import devices_file, names
from lib.enrollment import EnrollmentDesk
from lib.outage import PATIENT, Run
from lib.sign_in import SignIn
from lib.software_token import write_secret
from lib.wait import wait_until

COUNT = 300
# Tokens that end soon, but not before they are there. What az says without a network is what its HTTP library says.
AZ = """\
#!/usr/bin/python3
import json, socket, sys, time
try:
    socket.create_connection(("{host}", {port}), 20).close()
except OSError as error:
    open("{failures}", "a").write("x")
    sys.exit({words!r})
print(json.dumps({{"accessToken": open("{token}").read(), "tokenType": "Bearer", "subscription": "s", "expires_on": int(time.time()) + 6}}))
"""
NO_NETWORK = ("ERROR: HTTPSConnectionPool(host='login.microsoftonline.com', port=443): Max retries exceeded with url: "
              "/organizations/v2.0/.well-known/openid-configuration (Caused by NewConnectionError)")
EXPIRED = "ERROR: AADSTS700082: The refresh token has expired due to inactivity."


def start_import(station, tmp_path, words):
    """And the file that holds a letter for each time that az found no network."""
    station.emulator.restart("--application", "bench", "--fault", "bulk:delay-after=300000:skip=3")
    station.renew_login()
    sign_in = SignIn(station)
    host, port = sign_in.host().rsplit(":", 1)
    token, failures = tmp_path / "token", tmp_path / "failures"
    write_secret(token, sign_in.fetch_token("https://azure-devices-provisioning.net"))
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/az"
    program.write_text(AZ.format(host=host, port=port, failures=failures, words=words, token=token))
    program.chmod(0o755)
    station.env["PATH"] = f"{tmp_path}/bin:/usr/bin:/bin"
    path = devices_file(EnrollmentDesk(station), COUNT)
    return failures, Run(station, "enrollment", "import", path, *sign_in.service(), "--auth-type", "login")


def lose_network(station):
    wait_until(lambda: len(created(station)) >= 31, PATIENT, "31 enrollments")
    station.emulator.process.kill()
    station.emulator.stop()


def test_a_token_that_ends_in_an_outage_is_waited_for(station, tmp_path):
    failures, run = start_import(station, tmp_path, NO_NETWORK)
    with run:
        lose_network(station)
        run.wait_for("unreachable")
        wait_until(failures.exists, PATIENT, "a renewal in the outage")
        restart(station, "--application", "bench")
        assert run.end() == 0, run.stderr
    assert {row["registrationId"] for row in station.service.enrollments()} == set(names(COUNT))
    assert set(created(station).values()) == {1}


def test_a_session_that_ends_in_an_outage_is_not(station, tmp_path):
    _, run = start_import(station, tmp_path, EXPIRED)
    with run:
        lose_network(station)
        assert run.end() == 5, run.stderr
        assert "E5210" in run.stderr and "AADSTS700082" in run.stderr
