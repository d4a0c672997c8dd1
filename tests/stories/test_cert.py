"""Certificates and requests whose keys lie in a token."""
import pytest

from lib.custodian import Custodian, openssl

KEY_TYPES = ["ec-p256", "ec-p384", "ec-p521", "ed25519", "rsa-2048"]
NAME = "CN=dev-1,O=Example"


@pytest.fixture
def custodian(tmp_path, token):
    return Custodian(tmp_path / "home", token)


def request(custodian, *arguments, **options):
    return custodian.muster("cert", "request", "--subject", NAME, *arguments, **options)


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_request_with_a_key_made_for_it(custodian, key_type):
    done = request(custodian, "--key-type", key_type, "--label", "dev-1", "--out", "dev-1.csr")
    assert done.status == 0, done
    said = openssl("req", "-in", custodian.home / "dev-1.csr", "-verify", "-noout", "-subject")
    assert "verify OK" in said and "CN = dev-1, O = Example" in said
    assert custodian.token.key_ids() == [done.json["keyId"]]
    assert "never-extractable=true" in done.json["keyAttributes"]
    assert (custodian.home / "dev-1.csr").stat().st_mode & 0o777 == 0o644


def test_request_with_a_key_that_is_there(custodian):
    made = request(custodian, "--key-type", "ec-p256", "--label", "dev-1").json
    entries = custodian.entries()
    again = request(custodian, "--key", "pkcs11:object=dev-1", "--der", "--out", "again.csr")
    assert again.status == 0, again
    assert again.json["keyId"] == made["keyId"]
    assert "verify OK" in openssl("req", "-inform", "DER", "-in", custodian.home / "again.csr", "-verify", "-noout")
    assert custodian.entries() == entries


def test_key_is_announced_before_it_is_made(custodian):
    made = request(custodian, "--key-type", "ec-p256", "--label", "dev-1").json
    (first, intent), (second, outcome) = custodian.entries()
    assert (first, second) == ("intent", "outcome")
    assert intent["keyId"] == outcome["keyId"] == made["keyId"]
    assert intent["tokenSerial"] == custodian.token.serial


def test_people_get_the_request_itself(custodian):
    done = request(custodian, "--key-type", "ec-p256", "--label", "dev-1", "-o", "table")
    assert "verify OK" in openssl("req", "-verify", "-noout", stdin=done.stdout)


@pytest.mark.parametrize("arguments,cause", [
    ([], "E1001"),
    (["--key", "pkcs11:object=x", "--key-type", "ec-p256"], "E1001"),
    (["--key-type", "ec-p256"], "E1001"),
    (["--key", "pkcs11:object=nobody"], "E4302"),
    (["--key-type", "ec-p255", "--label", "x"], "E4108"),
    (["--key-type", "ec-p256", "--label", "x", "--subject", "CN=a,XX=b"], "E4305"),
    (["--key-type", "ec-p256", "--label", "x", "--out", "there"], "E6101"),
])
def test_refused_without_a_key_made(custodian, arguments, cause):
    (custodian.home / "there").write_text("mine")
    done = request(custodian, *arguments)
    assert done.cause == cause, done
    assert custodian.token.key_ids() == []
    assert (custodian.home / "there").read_text() == "mine"
