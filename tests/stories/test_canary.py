"""Secrets are nowhere but where they belong: not in argv, environments, output, logs, journal, files or, at the end, memory."""
import base64
import re

import pytest

from lib.canary import found_in, watch
from lib.program import environment
from lib.record import record


def canaries_of(station, token=None):
    key = re.search(r"SharedAccessKey=([^;\n]+)", station.emulator.connection_string).group(1)
    result = {"login": base64.b64decode(key)}
    result.update({f"master {i}": base64.b64decode(master) for i, master in enumerate(station.masters)})
    if token:
        result["pin"] = token.pin.encode()
    return result


def jobs(station, tpm, token):
    return {
        "derived-key": ("derived-key", ["--serial", "KEY-1"]),
        "tpm": ("tpm", ["--serial", "TPM-1", "--tpm", tpm.tcti]),
        "hsm-x509": ("hsm-x509", ["--serial", "hsm-1", "--token", token.uri, "--pin-file", token.pin_file]),
    }


def run_watched(station, job, build):
    """Output, command lines and environments, exit status, and what was found in memory at the exit."""
    profile, arguments = job
    command = [build / "muster", "provision", "-vvv", "--profile", station.profile(profile), *station.common(), *arguments]
    return watch(command, station.canaries, cwd=station.home, env=environment(build, station.home, station.env))


@pytest.fixture
def canary_station(release_station, tokens, token):
    release_station.env["SOFTHSM2_CONF"] = tokens.configuration
    release_station.canaries = canaries_of(release_station, token)
    return release_station


@pytest.mark.parametrize("kind", ["derived-key", "tpm", "hsm-x509"])
def test_no_secret_is_found_anywhere(canary_station, tpm, token, kind):
    inputs = {path: path.read_bytes() for path in canary_station.files()}
    seen = run_watched(canary_station, jobs(canary_station, tpm, token)[kind], canary_station.build)
    canaries = canary_station.canaries
    assert seen["status"] == 0, seen["output"].decode()
    assert found_in(seen["output"], canaries) == []
    assert found_in(seen["watched"], canaries) == []
    assert seen["core"] == ("0", "0")
    for path in canary_station.files():
        if path not in inputs:
            assert found_in(path.read_bytes(), canaries) == [], path
    assert seen["memory"] == []
    record("canaries", 0, 0, {"jobs": 1, "secrets": len(canaries)})


def test_the_scanner_catches_a_build_that_does_not_wipe(canary_station, tpm, token):
    seen = run_watched(canary_station, jobs(canary_station, tpm, token)["derived-key"], canary_station.build / "tests/control")
    assert seen["status"] == 0, seen["output"].decode()
    assert seen["memory"] != []
    record("canaries", 0, 0, {"controls": 1})
