"""Hardware as the source of what an enrollment holds: a TPM's endorsement key, a key that a token derives."""
import base64

import pytest

from emulator_client import derive
from lib.enrollment import EnrollmentDesk, endorsement_key
from lib.software_token import write_secret

MASTER = base64.b64encode(b"\x07" * 32).decode()
KEY = base64.b64encode(b"\x01" * 32).decode()


@pytest.fixture
def desk(hsm_station):
    made = EnrollmentDesk(hsm_station)
    made.restart("--ledger-bodies")
    return made


def test_the_endorsement_key_of_a_tpm(desk, tpm):
    done = desk.run("create", "--eid", "e1", "--at", "tpm", "--tpm", tpm.tcti, "--strict")
    assert done.status == 0 and "warning" not in done.stderr, done
    sent = desk.bodies()[0]["attestation"]["tpm"]["endorsementKey"]
    assert sent.startswith("AToAAQALAAMAsgAg") and len(base64.b64decode(sent)) == 316
    assert desk.run("update", "--eid", "e1", "-T", tpm.tcti, "--ps", "disabled").status == 0
    assert desk.bodies()[1]["attestation"]["tpm"]["endorsementKey"] == sent


def test_a_tpm_without_an_endorsement_key(desk, empty_tpm):
    done = desk.run("create", "--eid", "e1", "--at", "tpm", "--tpm", empty_tpm.tcti)
    assert (done.status, done.cause) == (1, "E2227") and "none is made here" in done.stderr, done
    assert desk.emulator.ledger() == []


def test_a_key_derived_from_a_master_in_a_file(desk):
    master = write_secret(desk.home / "master", MASTER + "\n")
    done = desk.run("create", "--eid", "Dev-1", "--at", "symmetricKey", "--derive-from", master)
    assert done.status == 0, done
    assert desk.bodies()[0]["attestation"]["symmetricKey"] == {"primaryKey": derive(MASTER, "dev-1")}


def test_a_key_derived_in_a_token(desk, token):
    token.write_master("line-master", base64.b64decode(MASTER))
    uri = token.key_uri("line-master", "secret-key")
    done = desk.run("create", "--eid", "dev-1", "--at", "symmetricKey", "--derive-from", uri, "--pin-file", token.pin_file)
    assert done.status == 0, done
    assert desk.bodies()[0]["attestation"]["symmetricKey"] == {"primaryKey": derive(MASTER, "dev-1")}


CONTRADICTIONS = [
    ["--at", "tpm", "--tpm", "swtpm:path=/nowhere", "--ek", endorsement_key()],
    ["--at", "x509", "--cp", "/nowhere", "--tpm", "swtpm:path=/nowhere", "--ek", "x"],
    ["--at", "symmetricKey", "--tpm", "swtpm:path=/nowhere"],
    ["--at", "symmetricKey", "--derive-from", "/nowhere", "--pk", KEY],
    ["--at", "tpm", "--ek", endorsement_key(), "--derive-from", "/nowhere"],
]


@pytest.mark.parametrize("words", CONTRADICTIONS, ids=["ek", "x509", "symmetricKey", "pk", "tpm"])
def test_contradictions_touch_no_hardware(desk, words):
    done = desk.run("create", "--eid", "e1", *words)
    assert (done.status, done.cause) == (2, "E1411"), done
    assert desk.emulator.ledger() == []
