"""A device whose key pair is born in an HSM token becomes a verified enrollment."""
import base64
import json

import pytest

from lib import batch
from lib.custodian import Custodian, openssl

SERIAL = "hsm-0001"


def provision(station, token, *arguments, serial=SERIAL):
    return station.provision(station.profile("hsm-x509"), serial, "--token", token.uri, "--pin-file", token.pin_file,
                             *arguments)


def test_is_enrolled_and_verified(hsm_station, token):
    done = provision(hsm_station, token)
    assert done.status == 0, done
    result = done.json
    assert result["attestation"] == "x509"
    assert result["verified"] is True
    assert len(token.key_ids()) == 1
    attributes = token.pkcs11_tool("--list-objects", "--type", "privkey")
    assert "never extractable" in attributes and "always sensitive" in attributes and "local" in attributes
    document = hsm_station.service.enrollment(result["registrationId"])
    assert document["attestation"]["x509"]["clientCertificates"]["primary"]["info"]["subjectName"].startswith(
        f"CN={result['registrationId']}")


def test_second_run_says_already_enrolled_and_makes_no_key(hsm_station, token):
    first = provision(hsm_station, token).json
    puts = hsm_station.emulator.requests("put")
    again = provision(hsm_station, token)
    assert again.status == 0, again
    assert again.json["state"] == "already enrolled"
    assert again.json["evidence"] == first["evidence"]
    assert hsm_station.emulator.requests("put") == puts
    assert len(token.key_ids()) == 1


def test_dry_run_touches_nothing(hsm_station, token):
    done = provision(hsm_station, token, "--dry-run")
    assert done.status == 0, done
    assert token.key_ids() == []
    assert hsm_station.emulator.changes() == []
    assert not hsm_station.journal.exists()


@pytest.mark.parametrize("place", ["the same token", "another token"])
def test_certificate_is_issued_by_an_authority_in(hsm_station, tokens, token, place):
    holder = token if place == "the same token" else tokens.make("authority", pin="135790")
    custodian = Custodian(hsm_station.home / "custody", holder)
    made = custodian.muster("cert", "self-sign", "--key-type", "ec-p384", "--label", "line", "--subject", "CN=line CA", "--ca",
                            "--days", "100", "--out", "line.pem")
    assert made.status == 0, made
    profile = hsm_station.profile("hsm-x509", {"attestation": {"x509": {
        "token": None, "validDays": 50, "skewMinutes": 30,
        "issuer": {"key": holder.key_uri("line", "private"), "certificate": str(custodian.home / "line.pem"),
                   "crlUrl": "http://crl.example/line.crl"}}}})
    done = hsm_station.provision(profile, SERIAL, "--token", token.uri, "--pin-file", token.pin_file)
    assert done.status == 0, done
    assert done.json["verified"] is True
    evidence = json.loads(open(done.json["evidence"]).read())
    leaf = custodian.home / "leaf.der"
    leaf.write_bytes(base64.b64decode(evidence["attestation"]["certificate"]))
    assert ": OK" in openssl("verify", "-x509_strict", "-CAfile", custodian.home / "line.pem", leaf)
    text = openssl("x509", "-in", leaf, "-noout", "-text", "-startdate")
    assert "Issuer: CN = line CA" in text and "http://crl.example/line.crl" in text


@pytest.fixture
def line(hsm_station, tokens):
    """A desk with the line's authority and another one."""
    custodian = Custodian(hsm_station.home / "custody", tokens.make("authority", pin="135790"))
    for name in ("line", "other"):
        custodian.make_authority(name, 100)
    return custodian


def issued_by(station, line, token, serials, *arguments, key="line", certificate="line.pem"):
    """A manifest whose devices get their certificates from that key."""
    profile = station.profile("hsm-x509", {"attestation": {"x509": {
        "token": None, "validDays": 50, "issuer": {"key": line.token.key_uri(key, "private"), "certificate": str(line.home / certificate)}}}})
    return batch.provision(station, batch.manifest(station, serials), "--token", token.uri, "--pin-file", token.pin_file, *arguments,
                           profile=profile)


@pytest.mark.parametrize("wrong, cause", [({"key": "none"}, "E4302"), ({"certificate": "other.pem"}, "E4305"),
                                          ({"certificate": "none.pem"}, "E1002")])
def test_issuer_that_cannot_sign_costs_one_device_and_no_key(hsm_station, line, token, wrong, cause):
    serials = [f"a-{number}" for number in range(5)]
    done = issued_by(hsm_station, line, token, serials, **wrong)
    assert done.cause == cause and "opening the issuer" in done.stderr, done
    assert done.json["ended"] == 1 and token.key_ids() == [], done
    assert "key-make" not in hsm_station.muster("journal", "export", "--entries", "--journal", hsm_station.journal).stdout
    assert issued_by(hsm_station, line, token, serials, "--begin-anew").json["enrolled"] == 5


def test_devices_that_were_certified_need_no_issuer(hsm_station, line, token):
    """Its certificate may be on another machine by then."""
    assert issued_by(hsm_station, line, token, ["a-1"]).json["enrolled"] == 1
    batch.restart(hsm_station, "--fault", "bulk+put+get:status=503:retry-after=0")
    parked = issued_by(hsm_station, line, token, ["b-1"], "--patience", "0", "--batch", "b")
    assert parked.json["parked"] == 1, parked
    batch.restart(hsm_station)
    (line.home / "line.pem").rename(line.home / "gone.pem")
    assert issued_by(hsm_station, line, token, ["a-1"], "--dry-run").status == 0
    assert issued_by(hsm_station, line, token, ["a-1"]).json["before"] == 1
    assert issued_by(hsm_station, line, token, ["b-1"], "--batch", "b").json["enrolled"] == 1
    done = issued_by(hsm_station, line, token, ["c-1"], "--batch", "c")
    assert done.cause == "E1002" and "opening the issuer" in done.stderr, done


def test_issuer_that_cannot_sign_costs_no_second_key_either(hsm_station, line, token):
    """The first one waits, with its certificate."""
    def run(certificate, **changes):
        profile = hsm_station.profile("hsm-x509", {"attestation": {"x509": {
            "token": None, "validDays": 50, "issuer": {"key": line.token.key_uri("line", "private"), "certificate": str(line.home / certificate)},
            **changes}}})
        return hsm_station.provision(profile, SERIAL, "--token", token.uri, "--pin-file", token.pin_file)

    batch.restart(hsm_station, "--fault", "put:status=400")
    assert run("line.pem").cause == "E5103"
    batch.restart(hsm_station)
    before = token.key_ids()
    done = run("none.pem", secondaryKey="own")
    assert done.cause == "E1002" and "opening the issuer" in done.stderr, done
    assert token.key_ids() == before and len(before) == 1
    assert "secondary-key-make" not in hsm_station.muster("journal", "export", "--entries", "--journal", hsm_station.journal).stdout
    done = run("line.pem", secondaryKey="own")
    assert done.status == 0 and before[0] in token.key_ids() and len(token.key_ids()) == 2, done


def test_two_certificates_of_one_key_register_both(hsm_station, token):
    profile = hsm_station.profile("hsm-x509", {"attestation": {"x509": {"validDays": 100, "secondaryValidDays": 200}}})
    done = hsm_station.provision(profile, SERIAL, "--token", token.uri, "--pin-file", token.pin_file)
    assert done.status == 0 and done.json["verified"] is True, done
    assert len(token.key_ids()) == 1
    attestation = json.loads(open(done.json["evidence"]).read())["attestation"]
    found = hsm_station.service.enrollment(done.json["registrationId"])["attestation"]["x509"]["clientCertificates"]
    for ours, theirs in (("certificate", "primary"), ("secondaryCertificate", "secondary")):
        assert attestation[f"{ours}Sha256"] == found[theirs]["info"]["sha256Thumbprint"].lower()
    assert attestation["certificate"] != attestation["secondaryCertificate"]
    assert len(hsm_station.emulator.requests("register")) == 2
    again = hsm_station.provision(profile, SERIAL, "--token", token.uri, "--pin-file", token.pin_file)
    assert again.status == 0 and again.json["state"] == "already enrolled", again


def test_both_certificates_survive_a_cut(hsm_station, token):
    profile = hsm_station.profile("hsm-x509", {"attestation": {"x509": {"secondaryValidDays": 200}}})

    def run():
        return hsm_station.provision(profile, SERIAL, "--token", token.uri, "--pin-file", token.pin_file)

    hsm_station.emulator.restart("--fault", "put:status=400")
    hsm_station.renew_login()
    assert run().cause == "E5103"
    hsm_station.emulator.restart()
    hsm_station.renew_login()
    done = run()
    assert done.status == 0, done
    assert set(hsm_station.service.enrollment(done.json["registrationId"])["attestation"]["x509"]["clientCertificates"]) == {
        "primary", "secondary"}
