"""The TPM's two steps, with a software TPM driven by tpm2-tools: nothing of ours on the device's side."""
import base64
import hashlib
import hmac
import pathlib
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import urllib.parse

import pytest

from emulator_client import Device, Service

RSA_SRK = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt"


class Chip:
    """One software TPM with an EK and an SRK, and the steps of a device."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        (self.directory / "state").mkdir()
        socket = self.directory / "s"
        self.process = subprocess.Popen(
            ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.directory}/state", "--server",
             f"type=unixio,path={socket}", "--ctrl", f"type=unixio,path={socket}.ctrl", "--flags",
             "not-need-init,startup-clear"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        limit = time.monotonic() + 10
        while not socket.exists():
            assert time.monotonic() < limit
            time.sleep(0.01)
        self.tcti = f"swtpm:path={socket}"
        self.tool("createek", "-G", "rsa", "-c", "ek.ctx", "-u", "ek.pub", "-f", "tss")
        self.tool("createprimary", "-C", "o", "-g", "sha256", "-G", "rsa2048:aes128cfb", "-a", RSA_SRK, "-c", "srk.ctx")
        self.flush()
        self.tool("readpublic", "-c", "srk.ctx", "-f", "tss", "-o", "srk.pub")
        self.flush()
        self.ek = base64.b64encode(self.read("ek.pub")).decode()
        self.srk = base64.b64encode(self.read("srk.pub")).decode()

    def tool(self, name, *arguments):
        done = subprocess.run([f"tpm2_{name}", "-T", self.tcti, *arguments], cwd=self.directory, capture_output=True)
        assert done.returncode == 0, (name, done.stderr.decode())
        return done.stdout

    def flush(self):
        self.tool("flushcontext", "-t")

    def read(self, name):
        return (self.directory / name).read_bytes()

    def write(self, name, content):
        (self.directory / name).write_bytes(content)

    def take_in(self, blob):
        """Activates the credential, imports and loads the key: key.ctx."""
        parts, rest = [], base64.b64decode(blob)
        for _ in range(6):
            size = 2 + struct.unpack(">H", rest[:2])[0]
            parts.append(rest[:size])
            rest = rest[size:]
        assert rest == b""
        self.write("credential", struct.pack(">II", 0xBADCC0DE, 1) + parts[0] + parts[1])
        self.tool("startauthsession", "--policy-session", "-S", "session")
        self.tool("policysecret", "-S", "session", "-c", "e")
        self.tool("activatecredential", "-c", "srk.ctx", "-C", "ek.ctx", "-P", "session:session", "-i", "credential",
                  "-o", "inner")
        self.tool("flushcontext", "session")
        self.flush()
        for name, part in (("dup", parts[2]), ("seed", parts[3]), ("key.pub", parts[4])):
            self.write(name, part)
        self.tool("import", "-C", "srk.ctx", "-u", "key.pub", "-i", "dup", "-s", "seed", "-k", "inner", "-r", "key.priv")
        self.flush()
        self.tool("load", "-C", "srk.ctx", "-u", "key.pub", "-r", "key.priv", "-c", "key.ctx")
        self.flush()

    def hmac(self, data):
        self.write("data", data)
        self.tool("hmac", "-c", "key.ctx", "-g", "sha256", "-o", "mac", "data")
        self.flush()
        return self.read("mac")

    def stop(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class TpmDevice(Device):
    """Signs with the key that its TPM took in."""

    def __init__(self, service, registration_id, chip):
        super().__init__(service, registration_id)
        self.chip = chip
        self.token = None

    def headers(self):
        return {"Authorization": self.token} if self.token else {}

    def sign(self):
        resource = urllib.parse.quote(f"{self.service.scope}/registrations/{self.id}", safe="")
        expiry = int(time.time()) + 3600
        mac = base64.b64encode(self.chip.hmac(f"{resource}\n{expiry}".encode())).decode()
        self.token = (f"SharedAccessSignature sr={resource}&sig={urllib.parse.quote(mac, safe='')}&se={expiry}"
                      "&skn=registration")


@pytest.fixture
def chip():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="m", dir="/tmp"))
    made = Chip(directory)
    yield made
    made.stop()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def service(tmp_path):
    made = Service(tmp_path / "dps")
    yield made
    made.stop()


def tpm(registration_id, ek, **members):
    return {"registrationId": registration_id, "attestation": {"type": "tpm", "tpm": {"endorsementKey": ek}}, **members}


def test_challenge_import_and_second_key(service, chip):
    answer = service.put(tpm("chip-1", chip.ek))
    assert answer.status == 200, answer
    assert service.call("GET", "/enrollments/chip-1").json["attestation"]["tpm"] == {"endorsementKey": chip.ek}
    device = TpmDevice(service, "chip-1", chip)
    keys = {"tpm": {"endorsementKey": chip.ek, "storageRootKey": chip.srk}}
    challenge = device.register(**keys)
    assert challenge.status == 401
    assert set(challenge.json) == {"message", "authenticationKey", "keyName"}
    assert challenge.json["keyName"] == "registration"
    chip.take_in(challenge.json["authenticationKey"])
    device.sign()

    service.kill()
    service.start()
    state = device.finish(device.register())
    assert state["status"] == "assigned"
    chip.take_in(state["tpm"]["authenticationKey"])
    twin = service.call("GET", f"/emulator/hubs/{state['assignedHub']}/devices/chip-1").json
    hub_key = base64.b64decode(twin["authentication"]["symmetricKey"]["primaryKey"])
    assert chip.hmac(b"for the hub") == hmac.new(hub_key, b"for the hub", hashlib.sha256).digest()

    again = TpmDevice(service, "chip-1", chip).register(**keys)
    assert again.json["authenticationKey"] != challenge.json["authenticationKey"]
    assert device.register().status == 401, "a new challenge ends the key of the old one"


def test_refusals(service, chip):
    device = TpmDevice(service, "chip-1", chip)
    keys = {"tpm": {"endorsementKey": chip.ek, "storageRootKey": chip.srk}}
    assert device.register(**keys).json["errorCode"] == 404201
    assert service.put(tpm("chip-1", chip.ek)).status == 200
    other = bytearray(base64.b64decode(chip.ek))
    other[-1] ^= 2
    wrong = {"tpm": {"endorsementKey": base64.b64encode(other).decode(), "storageRootKey": chip.srk}}
    refused = device.register(**wrong)
    assert refused.json["errorCode"] == 400004
    assert refused.json["message"] == "Endorsement key is invalid, or does not match the Enrollment."
    assert device.register(tpm={"endorsementKey": chip.ek}).json["errorCode"] == 400004
    assert device.register(tpm={"endorsementKey": chip.ek, "storageRootKey": chip.ek}).json["errorCode"] == 400004
    for malformed in (chip.ek[:-4], chip.srk, "AAAA" + chip.ek):
        assert service.put(tpm("chip-2", malformed)).json["errorCode"] == 400004
