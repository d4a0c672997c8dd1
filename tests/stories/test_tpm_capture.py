"""What crosses between the station and a TPM while a device is provisioned: no secret that could be read there."""
import base64
import re
import subprocess

import pytest

from lib.canary import found_in
from lib.lying_tpm import PROVE, LyingTpm, code_of

IMPORT, HMAC = 0x156, 0x155


@pytest.fixture
def capture(short, tpm):
    """A proxy that keeps all that crosses."""
    proxy = LyingTpm(short, tpm)
    proxy.crossed = bytearray()
    proxy.commands = []

    def change(command, response):
        proxy.crossed += command + response
        proxy.commands.append(code_of(command))
        return response

    proxy.change = change
    yield proxy
    proxy.stop()


def challenge_keys(emulator):
    """What the service has sealed for devices. Its database is its own, so that the files are read as they are."""
    content = b"".join(path.read_bytes() for path in (emulator.directory / "state").glob("*.db*"))
    return {base64.b64decode(key) for key in re.findall(rb'\{"key":"([A-Za-z0-9+/]{43}=)","storageRootKey"', content)}


def seal(tcti, secret, directory):
    """What a client without a protected session does with a secret."""
    path = directory / "secret"
    path.write_bytes(secret)
    for command in (["tpm2_createprimary", "-Q", "-C", "o", "-c", "primary.ctx"],
                    ["tpm2_create", "-Q", "-C", "primary.ctx", "-i", path, "-u", "sealed.pub", "-r", "sealed.priv"],
                    ["tpm2_flushcontext", "-t"]):
        subprocess.run([command[0], "-T", tcti, *command[1:]], check=True, cwd=directory)


def test_no_secret_crosses_to_the_tpm(station, capture, tmp_path):
    keys = set()

    def before(command):
        if code_of(command) in (IMPORT, HMAC):
            keys.update(challenge_keys(station.emulator))

    capture.before = before
    done = station.provision(station.profile("tpm"), "CAPTURED-1", "--tpm", capture.tcti)
    assert (done.status, done.json["verified"]) == (0, True), done
    assert {PROVE, IMPORT, HMAC} <= set(capture.commands) and len(keys) == 1
    login = re.search(r"SharedAccessKey=([^;\n]+)", station.emulator.connection_string).group(1)
    canaries = {"the device's key": keys.pop(), "login": base64.b64decode(login)}
    assert found_in(bytes(capture.crossed), canaries) == []

    capture.crossed.clear()
    seal(capture.tcti, canaries["the device's key"], tmp_path)
    assert found_in(bytes(capture.crossed), canaries) == ["the device's key"]
