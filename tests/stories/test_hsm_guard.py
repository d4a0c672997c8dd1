"""Masters and issuing keys that could be copied out of their token are told of, once a run, in whatever command uses them."""
import json

import pytest

from lib import batch
from lib.custodian import Custodian


@pytest.fixture
def desk(hsm_station, token):
    """A token with a master in clear and an authority that can leave, made by another tool, beside good ones."""
    desk = Custodian(hsm_station.home / "desk", token)
    token.pkcs11_tool("--keygen", "--key-type", "GENERIC:32", "--label", "weakm", "--id", "01", "--extractable")
    token.pkcs11_tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", "weakca", "--id", "02", "--extractable")
    assert desk.muster("key", "generate-master", "--label", "good").status == 0
    return desk


def warnings(done):
    assert done.status == 0, done
    return [line for line in done.stderr.splitlines() if "can be copied out" in line]


def of_master(done):
    line, = warnings(done)
    return "master key 'weakm'" in line and "sensitive=false, extractable=true" in line and "generate-master" in line


def of_authority(done):
    line, = warnings(done)
    return "private key 'weakca'" in line and "extractable=true" in line


def self_sign(desk):
    return desk.muster("cert", "self-sign", "--key", desk.token.key_uri("weakca", "private"), "--subject", "CN=CA", "--ca", "--days", "99",
                       "--out", "weakca.pem")


def test_a_master_in_clear_derives_with_a_warning(desk):
    assert of_master(desk.muster("key", "derive", "d-1", "d-2", "--master", "pkcs11:object=weakm", "--out", "one"))
    assert of_master(desk.muster("key", "derive", "d-1", "--master", "pkcs11:object=good", "--secondary-master", "pkcs11:object=weakm",
                                 "--out", "two"))
    assert of_master(desk.muster("key", "check-value", "--master", "pkcs11:object=weakm"))
    good = desk.muster("key", "derive", "d-1", "--master", "pkcs11:object=good", "--out", "three")
    assert good.status == 0 and good.stderr == "", good


def test_a_master_in_clear_provisions_with_one_warning(desk, hsm_station):
    token = desk.token
    profile = hsm_station.profile("hsm-derived-key", {"attestation": {"symmetricKey": {
        "primaryMaster": {"key": token.key_uri("weakm", "secret-key")}, "secondaryMaster": {"key": token.key_uri("good", "secret-key")}}}})
    done = batch.provision(hsm_station, batch.manifest(hsm_station, ["a", "b", "c"]), profile=profile)
    assert of_master(done) and done.json["enrolled"] == 3
    assert of_master(hsm_station.muster("hsm", "check", token.uri, "--profile", profile, "-o", "json"))


def test_an_authority_that_can_leave_certifies_with_a_warning(desk):
    assert of_authority(self_sign(desk))
    made = desk.muster("cert", "request", "--key-type", "ec-p256", "--label", "dev", "--subject", "CN=dev", "--out", "dev.csr")
    assert made.status == 0 and made.stderr == "", made
    assert of_authority(desk.muster("cert", "issue", "dev.csr", "--issuer-key", desk.token.key_uri("weakca", "private"),
                                    "--issuer-certificate", "weakca.pem", "--days", "9", "--out", "dev.pem"))


def test_an_authority_that_can_leave_issues_to_devices_with_one_warning(desk, hsm_station):
    assert self_sign(desk).status == 0
    token = desk.token
    profile = hsm_station.profile("hsm-x509", {"attestation": {"x509": {
        "token": None, "validDays": 50, "issuer": {"key": token.key_uri("weakca", "private"),
                                                   "certificate": str(desk.home / "weakca.pem")}}}})
    place = ("--token", token.uri, "--pin-file", token.pin_file)
    assert of_authority(batch.provision(hsm_station, batch.manifest(hsm_station, ["a", "b", "c"]), *place, profile=profile))
    assert of_authority(hsm_station.muster("hsm", "check", token.uri, "--profile", profile, "-o", "json"))
    (desk.home / "serials").write_text("p-1\np-2\n")
    assert of_authority(desk.muster("cert", "produce", "--profile", profile, "--serials", "serials", "--out", "made.jsonl"))
