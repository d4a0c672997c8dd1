"""muster enrollment verify: the device registers as itself with what is enrolled, and with nothing else."""
import base64
import os

import pytest

from emulator_client import derive
from lib.enrollment import Certificates, EnrollmentDesk, endorsement_key
from lib.software_token import write_secret

KEY = base64.b64encode(b"\x01" * 32).decode()
OTHER_KEY = base64.b64encode(b"\x02" * 32).decode()
MASTER = base64.b64encode(bytes(range(40, 72))).decode()


@pytest.fixture
def desk(hsm_station):
    return EnrollmentDesk(hsm_station)


@pytest.fixture
def certificates(desk):
    return Certificates(desk.home / "certificates")


def verify(desk, *words, **options):
    endpoint = desk.emulator.url.removeprefix("https://")
    return desk.run("verify", *words, "--id-scope", desk.emulator.id_scope, "--device-endpoint", endpoint, **options)


def create(desk, *words):
    done = desk.run("create", *words)
    assert done.status == 0, done


def is_verified(done, attestation):
    assert done.status == 0, done
    assert done.json["verified"] is True and done.json["attestation"] == attestation, done
    return done.json


def is_refused(done, desk, status=7, cause="E5120"):
    assert (done.status, done.cause) == (status, cause), done
    assert not desk.emulator.requests("register"), "it registered"


# -- Symmetric keys ---------------------------------------------------------------------------------------------------

def test_by_a_given_key_and_its_record(desk):
    create(desk, "--eid", "Key-1", "--at", "symmetricKey", "--pk", KEY, "--sk", OTHER_KEY, "-d", "unit-1")
    result = is_verified(verify(desk, "Key-1", "--primary-key", KEY), "symmetricKey")
    assert result["assignedHub"] in desk.emulator.HUBS
    record = desk.service.registration("Key-1")
    for member in ("status", "substatus", "assignedHub", "deviceId", "etag"):
        assert result[member] == record[member], member
    assert (result["deviceId"], result["recordDeleted"]) == ("unit-1", False)
    assert not desk.station.journal.exists()


def test_an_id_with_capitals(desk):
    """The service folds the registration ID, and with it the device ID where none was given; one that was stays as it is."""
    for words in ([], ["-d", "Unit-UP"]):
        create(desk, "--eid", "Dev-UP", "--at", "symmetricKey", "--pk", KEY, "--sk", OTHER_KEY, *words)
        result = is_verified(verify(desk, "Dev-UP", "--primary-key", KEY), "symmetricKey")
        assert result["deviceId"] == (words[1] if words else "dev-up")
        assert desk.run("delete", "--eid", "Dev-UP").status == 0


def test_by_the_second_key_in_a_file(desk):
    create(desk, "--eid", "e1", "--at", "symmetricKey", "--pk", KEY, "--sk", OTHER_KEY)
    path = write_secret(desk.home / "key", OTHER_KEY + "\n")
    is_verified(verify(desk, "--eid", "e1", "--primary-key-file", path), "symmetricKey")
    os.chmod(path, 0o644)
    done = verify(desk, "--eid", "e1", "--primary-key-file", path)
    assert (done.status, done.cause) == (2, "E1005"), done


def test_another_key_is_refused_before_it_registers(desk):
    create(desk, "--eid", "e1", "--at", "symmetricKey", "--pk", KEY, "--sk", OTHER_KEY)
    is_refused(verify(desk, "e1", "--primary-key", MASTER), desk)


def test_by_a_key_derived_in_a_token(desk, token):
    token.write_master("line-master", base64.b64decode(MASTER))
    create(desk, "--eid", "dev-1", "--at", "symmetricKey", "--pk", derive(MASTER, "dev-1"), "--sk", OTHER_KEY)
    uri = token.key_uri("line-master", "secret-key")
    is_verified(verify(desk, "dev-1", "--derive-from", uri), "symmetricKey")
    create(desk, "--eid", "dev-2", "--at", "symmetricKey", "--pk", derive(MASTER, "dev-1"), "--sk", OTHER_KEY)
    done = verify(desk, "dev-2", "--derive-from", uri)
    assert (done.status, done.cause) == (7, "E5120"), done


# -- TPMs ---------------------------------------------------------------------------------------------------------------

def test_by_a_tpm(desk, tpm):
    create(desk, "--eid", "e1", "--at", "tpm", "--tpm", tpm.tcti)
    before = tpm.loaded()
    is_verified(verify(desk, "e1", "--tpm", tpm.tcti), "tpm")
    assert tpm.loaded() == before, "something stayed in the TPM"


def test_a_tpm_that_is_not_the_enrolled_one(desk, tpm):
    create(desk, "--eid", "e1", "--at", "tpm", "--ek", endorsement_key())
    is_refused(verify(desk, "e1", "--tpm", tpm.tcti), desk)


def test_a_tpm_without_an_endorsement_key(desk, empty_tpm):
    create(desk, "--eid", "e1", "--at", "tpm", "--ek", endorsement_key())
    is_refused(verify(desk, "e1", "--tpm", empty_tpm.tcti), desk, 1, "E2227")


# -- Certificates ---------------------------------------------------------------------------------------------------------

def test_by_a_certificate_and_its_key_in_files(desk, certificates):
    path = certificates.make("dev-1")
    os.chmod(path.with_suffix(".key"), 0o600)
    create(desk, "--eid", "dev-1", "--at", "x509", "--cp", path)
    is_verified(verify(desk, "dev-1", "--cp", path, "--key", path.with_suffix(".key")), "x509")
    elsewhere = {"MUSTER_TOKEN": "pkcs11:token=another"}
    is_verified(verify(desk, "dev-1", "--cp", path, "--key", path.with_suffix(".key"), env=elsewhere), "x509")
    both = write_secret(desk.home / "both.pem", path.read_text() + path.with_suffix(".key").read_text())
    is_verified(verify(desk, "dev-1", "--certificate-path", both), "x509")


def test_a_certificate_that_is_not_the_enrolled_one(desk, certificates):
    create(desk, "--eid", "dev-1", "--at", "x509", "--cp", certificates.make("dev-1"))
    other = certificates.make("other", "dev-1")
    os.chmod(other.with_suffix(".key"), 0o600)
    is_refused(verify(desk, "dev-1", "--cp", other, "--key", other.with_suffix(".key")), desk)


def test_a_certificate_with_another_key(desk, certificates):
    path, other = certificates.make("dev-1"), certificates.make("other")
    os.chmod(other.with_suffix(".key"), 0o600)
    create(desk, "--eid", "dev-1", "--at", "x509", "--cp", path)
    is_refused(verify(desk, "dev-1", "--cp", path, "--key", other.with_suffix(".key")), desk, 2, "E1411")


@pytest.fixture
def provisioned(desk, token):
    """A device whose key and certificate are in the token."""
    done = desk.station.provision(desk.station.profile("hsm-x509", {"verify": "none"}), "hsm-1", "--token", token.uri)
    assert done.status == 0, done
    return done.json["registrationId"]


def test_by_a_key_in_a_token(desk, token, provisioned):
    is_verified(verify(desk, provisioned, "--token", token.uri), "x509")
    uri = token.uri_by_label().replace("?", f";object={provisioned}?")
    is_verified(verify(desk, provisioned, "--certificate-path", uri), "x509")


def test_by_a_certificate_in_a_file_and_its_key_in_a_token(desk, token, certificates, provisioned):
    path = certificates.directory / "stored.der"
    token.pkcs11_tool("--read-object", "--type", "cert", "--label", provisioned, "--output-file", str(path))
    is_verified(verify(desk, provisioned, "--cp", path, "--key", token.key_uri(provisioned, "private")), "x509")
    done = verify(desk, provisioned, "--cp", path, "--token", token.uri)
    assert (done.status, done.cause) == (2, "E1411"), done


def test_a_certificate_without_an_id_needs_its_key_named(desk, token, certificates, provisioned):
    path = certificates.directory / "stored.der"
    token.pkcs11_tool("--read-object", "--type", "cert", "--label", provisioned, "--output-file", str(path))
    token.pkcs11_tool("--write-object", str(path), "--type", "cert", "--label", "bare")
    uri = token.uri.replace("?", ";object=bare?")
    done = verify(desk, provisioned, "--cp", uri)
    is_refused(done, desk, 3, "E4302")
    assert "no ID" in done.stderr, done
    is_verified(verify(desk, provisioned.upper(), "--cp", uri, "--key", token.key_uri(provisioned, "private")), "x509")


def test_a_token_that_does_not_hold_the_device(desk, tokens, provisioned):
    empty = tokens.make("empty")
    is_refused(verify(desk, provisioned, "--token", empty.uri), desk, 3, "E4302")


# -- Disabled enrollments, records, and the rest --------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["symmetricKey", "tpm", "x509"])
def test_a_disabled_enrollment_is_verified_by_its_refusal(desk, request, kind):
    if kind == "tpm":
        material = ["--tpm", request.getfixturevalue("tpm").tcti]
        create(desk, "--eid", "e1", "--at", kind, *material, "--ps", "disabled")
    elif kind == "x509":
        path = request.getfixturevalue("certificates").make("e1")
        os.chmod(path.with_suffix(".key"), 0o600)
        material = ["--cp", path, "--key", path.with_suffix(".key")]
        create(desk, "--eid", "e1", "--at", kind, "--cp", path, "--ps", "disabled")
    else:
        material = ["--primary-key", KEY]
        create(desk, "--eid", "e1", "--at", kind, *material, "--sk", OTHER_KEY, "--ps", "disabled")
    result = is_verified(verify(desk, "e1", *material), kind)
    assert result["status"] == "disabled" and result["verification"] == "refused as disabled, as expected"
    assert "assignedHub" not in result


def test_a_disabled_enrollment_of_another_device_is_not_verified(desk):
    create(desk, "--eid", "e1", "--at", "symmetricKey", "--pk", KEY, "--sk", OTHER_KEY, "--ps", "disabled")
    is_refused(verify(desk, "e1", "--primary-key", MASTER), desk)


def test_the_record_goes_again_when_asked_for(desk):
    create(desk, "--eid", "e1", "--at", "symmetricKey", "--pk", KEY, "--sk", OTHER_KEY)
    assert is_verified(verify(desk, "e1", "--primary-key", KEY, "--delete-record"), "symmetricKey")["recordDeleted"] is True
    assert desk.run("show", "--eid", "e1", noun="registration").status == 3


CONTRADICTIONS = {
    "nothing at hand": [],
    "two kinds": ["--tpm", "swtpm:path=/nowhere", "--primary-key", KEY],
    "two keys": ["--primary-key", KEY, "--derive-from", "/nowhere"],
    "two names": ["--eid", "e2", "--primary-key", KEY],
    "a token beside a TPM": ["--tpm", "swtpm:path=/nowhere", "--token", "pkcs11:token=nosuch"],
    "a token's PIN beside a TPM": ["--tpm", "swtpm:path=/nowhere", "--pin-file", "/nowhere"],
    "a token beside a key": ["--primary-key", KEY, "--token", "pkcs11:token=nosuch"],
    "a token beside a master in a file": ["--derive-from", "/nowhere", "--pin-file", "/nowhere"],
}


@pytest.mark.parametrize("words", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_contradictions_touch_nothing(desk, words):
    done = verify(desk, "e1", *words)
    assert (done.status, done.cause) == (2, "E1411"), done
    assert desk.emulator.ledger() == []


def test_the_id_scope_is_needed_before_anything_is_sent(desk):
    done = desk.run("verify", "e1", "--primary-key", KEY)
    assert (done.status, done.cause) == (2, "E1001") and "--id-scope" in done.stderr, done
    assert desk.emulator.ledger() == []


def test_material_of_another_attestation(desk, tpm):
    create(desk, "--eid", "e1", "--at", "symmetricKey", "--pk", KEY, "--sk", OTHER_KEY)
    is_refused(verify(desk, "e1", "--tpm", tpm.tcti), desk, 2, "E1411")


def test_an_enrollment_that_is_not_there(desk):
    is_refused(verify(desk, "e1", "--primary-key", KEY), desk, 3, "E5108")


def test_a_registration_that_fails(desk):
    create(desk, "--eid", "e1", "--at", "symmetricKey", "--pk", KEY, "--sk", OTHER_KEY, "--ap", "custom", "--wh",
           "https://127.0.0.1:1/nobody", "--av", "2019-03-31")
    done = verify(desk, "e1", "--primary-key", KEY)
    assert (done.status, done.cause) == (1, "E5301") and not done.stdout, done
