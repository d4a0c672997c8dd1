"""Hardware as the source of what an enrollment holds: a TPM's endorsement key, a key that a token derives, a certificate in a
token."""
import base64
import hashlib
import subprocess

import pytest

from emulator_client import derive
from lib.enrollment import Certificates, EnrollmentDesk, endorsement_key
from lib.paths import SOFTHSM_MODULE
from lib.software_token import write_secret

MASTER = base64.b64encode(hashlib.sha256(b"line").digest()).decode()
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


def test_a_master_that_could_be_typed_gives_no_new_key(desk):
    master = write_secret(desk.home / "master", base64.b64encode(b"correct horse battery staple").decode() + "\n")
    done = desk.run("create", "--eid", "dev-1", "--at", "symmetricKey", "--derive-from", master)
    assert (done.status, done.cause) == (5, "E4313") and desk.emulator.ledger() == [], done


def test_a_master_that_could_be_typed_is_told_where_the_enrollment_is_there(desk):
    weak = base64.b64encode(b"correct horse battery staple").decode()
    master = write_secret(desk.home / "master", weak + "\n")
    assert desk.run("create", "--eid", "dev-1", "--at", "symmetricKey").status == 0
    done = desk.run("update", "--eid", "dev-1", "--derive-from", master)
    assert done.status == 0 and "E4313" in done.stderr, done
    assert desk.bodies()[-1]["attestation"]["symmetricKey"]["primaryKey"] == derive(weak, "dev-1")


def test_a_key_derived_in_a_token(desk, token):
    token.write_master("line-master", base64.b64decode(MASTER))
    uri = token.key_uri("line-master", "secret-key")
    done = desk.run("create", "--eid", "dev-1", "--at", "symmetricKey", "--derive-from", uri, "--pin-file", token.pin_file)
    assert done.status == 0, done
    assert desk.bodies()[0]["attestation"]["symmetricKey"] == {"primaryKey": derive(MASTER, "dev-1")}


def write_certificate(token, path, label, key_id, mark="--no-mark-private"):
    subprocess.run(["p11tool", "--provider", SOFTHSM_MODULE, "--login", "--set-pin", token.pin, "--write", "--load-certificate",
                    path, "--label", label, "--id", key_id, mark, f"pkcs11:token={token.label}"],
                   env=token.environment, check=True, capture_output=True)


@pytest.fixture
def certificates(desk):
    return Certificates(desk.home / "certificates")


def sent_certificates(body):
    return {rank: Certificates.der_of(certificate["certificate"])
            for rank, certificate in body["attestation"]["x509"]["clientCertificates"].items() if "certificate" in certificate}


def bare(token, attributes):
    """A URI without the way to a PIN."""
    return f"pkcs11:token={token.label};{attributes}?module-path={SOFTHSM_MODULE}"


def test_public_certificates_of_a_token_need_no_pin(desk, token, certificates):
    first, second = certificates.make("dev-1"), certificates.make("second", "dev-1")
    write_certificate(token, first, "dev-1", "01")
    write_certificate(token, second, "dev-1-next", "02")
    done = desk.run("create", "--eid", "dev-1", "--at", "x509", "--cp", bare(token, "object=dev-1"), "--strict")
    assert done.status == 0, done
    assert sent_certificates(desk.bodies()[0]) == {"primary": Certificates.der(first)}
    done = desk.run("update", "--eid", "dev-1", "--scp", bare(token, "id=%02"))
    assert done.status == 0, done
    assert sent_certificates(desk.bodies()[1])["secondary"] == Certificates.der(second)
    done = desk.run("create", "--eid", "dev-2", "--at", "x509", "--scp", "pkcs11:id=%01", "--token", token.uri)
    assert done.status == 0 and "common name 'dev-1'" in done.stderr, done
    assert sent_certificates(desk.bodies()[2]) == {"secondary": Certificates.der(first)}


def test_a_private_certificate_of_a_token_needs_the_pin(desk, token, certificates):
    write_certificate(token, certificates.make("dev-1"), "dev-1", "01", "--mark-private")
    words = ["create", "--eid", "dev-1", "--at", "x509", "--cp", bare(token, "object=dev-1")]
    done = desk.run(*words)
    assert (done.status, done.cause) == (3, "E4302"), done
    assert desk.emulator.ledger() == []
    assert desk.run(*words, "--pin-file", token.pin_file).status == 0


@pytest.mark.parametrize("attributes, status, cause", [
    ("object=twice", 5, "E4303"), ("object=nobody", 3, "E4302"), ("object=twice;type=private", 3, "E4302"),
    ("object=twice;object=twice", 2, "E4001")])
def test_certificates_of_a_token_that_are_not_the_one(desk, token, certificates, attributes, status, cause):
    for key_id in ("01", "02"):
        write_certificate(token, certificates.make(f"c{key_id}", "twice"), "twice", key_id)
    create = desk.run("create", "--eid", "twice", "--at", "x509", "--cp", bare(token, attributes))
    update = desk.run("update", "--eid", "twice", "--scp", bare(token, attributes))
    for done in (create, update):
        assert (done.status, done.cause) == (status, cause), done
    assert desk.emulator.ledger() == []


CONTRADICTIONS = {
    "ek and tpm": ["--at", "tpm", "--tpm", "swtpm:path=/nowhere", "--ek", endorsement_key()],
    "x509": ["--at", "x509", "--cp", "/nowhere", "--tpm", "swtpm:path=/nowhere", "--ek", "x"],
    "x509 and tpm": ["--at", "x509", "--cp", "/nowhere", "--tpm", "swtpm:path=/nowhere"],
    "symmetricKey": ["--at", "symmetricKey", "--tpm", "swtpm:path=/nowhere"],
    "pk": ["--at", "symmetricKey", "--derive-from", "/nowhere", "--pk", KEY],
    "pk file": ["--at", "symmetricKey", "--derive-from", "/nowhere", "--primary-key-file", "/nowhere"],
    "two pk": ["--at", "symmetricKey", "--pk", KEY, "--primary-key-file", "/nowhere"],
    "two sk": ["--at", "symmetricKey", "--sk", KEY, "--secondary-key-file", "/nowhere"],
    "tpm": ["--at", "tpm", "--ek", endorsement_key(), "--derive-from", "/nowhere"],
    "tpm and cp": ["--at", "tpm", "--cp", "/nowhere"],
    "tpm and scp": ["--at", "tpm", "--ek", endorsement_key(), "--scp", "/nowhere"],
    "tpm and pk file": ["--at", "tpm", "--ek", endorsement_key(), "--primary-key-file", "/nowhere"],
    "x509 and sk file": ["--at", "x509", "--cp", "/nowhere", "--secondary-key-file", "/nowhere"],
    "symmetricKey and cp": ["--at", "symmetricKey", "--cp", "pkcs11:token=nowhere"],
    "static": ["--at", "x509", "--cp", "/nowhere", "--ap", "static"],
    "webhook": ["--at", "x509", "--cp", "/nowhere", "--ap", "custom", "--wh", "https://hook.example"],
}


@pytest.mark.difference(6)
@pytest.mark.parametrize("words", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_contradictions_touch_neither_files_nor_hardware(desk, words):
    done = desk.run("create", "--eid", "e1", *words)
    assert (done.status, done.cause) == (2, "E1411"), done
    assert desk.emulator.ledger() == []


CHANGES = {
    "ek and cp": ["--ek", "x", "--cp", "/nowhere"],
    "tpm and cp": ["--tpm", "swtpm:path=/nowhere", "--cp", "/nowhere"],
    "cp and pk file": ["--cp", "/nowhere", "--primary-key-file", "/nowhere"],
    "rc and derive": ["--rc", "--derive-from", "/nowhere"],
    "two pk": ["--pk", KEY, "--primary-key-file", "/nowhere"],
    "static with two hubs": ["--cp", "/nowhere", "--ap", "static", "--ih", "h1 h2"],
    "no hub": ["--cp", "/nowhere", "--ih", ""],
    "webhook": ["--cp", "/nowhere", "--ap", "hashed", "--wh", "https://hook.example"],
    "hn and ap": ["--cp", "/nowhere", "--hn", "h1.azure-devices.net", "--ap", "hashed"],
}


@pytest.mark.difference(6)
@pytest.mark.parametrize("words", CHANGES.values(), ids=CHANGES)
def test_contradictions_of_an_update_touch_neither_files_nor_the_service(desk, words):
    done = desk.run("update", "--eid", "e1", *words)
    assert (done.status, done.cause) == (2, "E1411"), done
    assert desk.emulator.ledger() == []
