"""A device whose secondary certificate is of a key pair of its own: both are made, proven, enrolled and shown."""
import base64
import json
import os
import pathlib
import subprocess

import pytest

from lib.custodian import Custodian, openssl
from lib.killer import killer
from test_bundle import accept, export, public_key, send
from test_bundle import office  # noqa: F401
from test_emulator_webhook import webhook  # noqa: F401
from test_hsm_wrap import cut_and_run_again, register, unwrap
from test_hsm_wrap import device  # noqa: F401
from test_offline import evidence_of, spool
from test_retire import retire

SERIAL = "two-1"
KINDS = ("privkey", "pubkey", "cert")


def shown_as(station, name, *arguments):
    """The device that the journal has by this name, or the exit status."""
    done = station.muster("journal", "show", name, "--journal", station.journal, "-o", "json", *arguments)
    return done.json["registrationId"] if done.status == 0 else done.status


@pytest.fixture
def station(hsm_station):
    return hsm_station


def two_keys(station, **changes):
    return station.profile("hsm-x509", {"attestation": {"x509": {"token": None, "secondaryKey": "own", **changes}}}, "two-keys")


def provision(station, token, profile, *arguments, serial=SERIAL, **options):
    return station.provision(profile, serial, "--token", token.uri, "--pin-file", token.pin_file, *arguments, **options)


def audit(station, token):
    done = station.muster("hsm", "audit", token.uri, "--pin-file", token.pin_file, "--journal", station.journal, "-o", "json")
    assert done.status == 0 and done.json["findings"] == [], done
    return done.json["keys"], done.json["objects"]


def labels(serial=SERIAL):
    return [serial, f"{serial}+secondary"]


def certificates(station, attestation):
    """Both as files."""
    paths = []
    for name in ("certificate", "secondaryCertificate"):
        paths.append(station.home / f"{name}.der")
        paths[-1].write_bytes(base64.b64decode(attestation[name]))
    return paths


def check_possession(station, attestation):
    """The requests that the keys signed stand beside the certificates that were issued for them."""
    for name, certificate in zip(("certificateRequest", "secondaryCertificateRequest"), certificates(station, attestation)):
        request = station.home / f"{name}.der"
        request.write_bytes(base64.b64decode(attestation[name]))
        assert "verify OK" in openssl("req", "-inform", "DER", "-in", request, "-noout", "-verify")
        assert openssl("req", "-inform", "DER", "-in", request, "-noout", "-pubkey") == public_of(certificate)


def attestation_of(done):
    return evidence_of(done.json)["attestation"]


def public_of(certificate):
    return openssl("x509", "-in", certificate, "-noout", "-pubkey")


def test_each_certificate_is_of_its_own_key(station, token):
    profile = two_keys(station, validDays=100, secondaryValidDays=200)
    done = provision(station, token, profile)
    assert done.status == 0 and done.json["verified"] is True, done
    for kind in KINDS:
        assert sorted(token.objects(kind)) == labels()
    attestation = attestation_of(done)
    found = station.service.enrollment(SERIAL)["attestation"]["x509"]["clientCertificates"]
    for ours, theirs in (("certificate", "primary"), ("secondaryCertificate", "secondary")):
        assert attestation[f"{ours}Sha256"] == found[theirs]["info"]["sha256Thumbprint"].lower()
    primary, secondary = certificates(station, attestation)
    assert public_of(primary) != public_of(secondary)
    assert {attestation["keyId"], attestation["secondaryKeyId"]} == set(token.key_ids())
    for attributes in (attestation["keyAttributes"], attestation["secondaryKeyAttributes"]):
        assert "local=true" in attributes and "never-extractable=true" in attributes
    assert len(station.emulator.requests("register")) == 2
    assert evidence_of(done.json)["verification"]["registeredWith"] == ["certificate", "secondaryCertificate"]
    assert "certificateRequest" not in attestation
    assert audit(station, token) == (2, 6)
    again = provision(station, token, profile)
    assert again.status == 0 and again.json["state"] == "already enrolled", again
    assert len(token.key_ids()) == 2


def test_the_journal_shows_a_device_by_the_names_of_both_keys(station, token):
    attestation = attestation_of(provision(station, token, two_keys(station)))
    assert provision(station, token, two_keys(station), serial="two-2").status == 0
    for name in ("keyId", "secondaryKeyId", "certificateSha256", "secondaryCertificateSha256"):
        assert shown_as(station, attestation[name]) == shown_as(station, attestation[name].upper()) == SERIAL
        assert shown_as(station, attestation[name], "--by", "key-id" if "Id" in name else "key") == SERIAL
        assert shown_as(station, attestation[name], "--by", "key" if "Id" in name else "key-id") == 3
        assert shown_as(station, "0" * len(attestation[name])) == 3


def test_the_journal_shows_a_device_by_both_certificates_of_its_key(station, token):
    profile = station.profile("hsm-x509", {"attestation": {"x509": {"token": None, "secondaryValidDays": 200}}})
    attestation = attestation_of(provision(station, token, profile))
    for name in ("certificateSha256", "secondaryCertificateSha256"):
        assert shown_as(station, attestation[name]) == SERIAL
    assert shown_as(station, attestation["certificateSha256"][::-1]) == 3


def test_the_device_registers_once_with_each_certificate(station, token, webhook):  # noqa: F811
    """A webhook that chooses the hub is told which certificate the device showed."""
    hub = station.emulator.HUBS[0]
    webhook.answers = [(200, {"iotHubHostName": hub})] * 2
    profile = station.profile("hsm-x509", {"attestation": {"x509": {"token": None, "secondaryKey": "own"}}, "iotHubs": [hub],
                                           "allocationPolicy": "custom", "customAllocation": {
                                               "webhookUrl": webhook.url, "apiVersion": "2021-10-01"}})
    done = provision(station, token, profile)
    assert done.status == 0 and done.json["verified"] is True, done
    attestation = attestation_of(done)
    assert [question["deviceRuntimeContext"]["x509"]["clientCertificate"] for _, _, question in webhook.asked] == [
        attestation["certificate"], attestation["secondaryCertificate"]]


def test_each_key_shows_its_certificate_again(station, token):
    assert provision(station, token, two_keys(station)).status == 0
    for label in labels():
        shown = station.muster("enrollment", "verify", "--login-file", station.login_file, "--ca-file", station.emulator.ca_file,
                               "--enrollment-id", SERIAL, "--id-scope", station.emulator.id_scope, "--device-endpoint",
                               station.emulator.url.removeprefix("https://"), "--token", token.uri.replace("?", f";object={label}?"), "--pin-file",
                               token.pin_file)
        assert shown.status == 0 and shown.json["verified"] is True, shown


def test_a_secondary_key_that_is_not_there_any_more_is_noticed(station, token):
    assert provision(station, token, two_keys(station)).status == 0
    token.pkcs11_tool("--delete-object", "--type", "cert", "--label", f"{SERIAL}+secondary")
    found = station.muster("hsm", "audit", token.uri, "--pin-file", token.pin_file, "--journal", station.journal, "-o", "json")
    assert [(row["finding"], row["label"]) for row in found.json["findings"]] == [("certificate-missing", SERIAL)]
    token.pkcs11_tool("--delete-object", "--type", "privkey", "--label", f"{SERIAL}+secondary")
    again = provision(station, token, two_keys(station))
    assert again.cause == "E4302" and "the secondary key that device" in again.stderr, again


def cut_short(station, token, profile, *arguments, serial=SERIAL):
    """Enrollment is refused by a service in trouble; the next one is well again."""
    station.emulator.restart("--fault", "put:status=400")
    station.renew_login()
    assert provision(station, token, profile, *arguments, serial=serial).cause == "E5103"
    station.emulator.restart()
    station.renew_login()


def test_both_keys_are_taken_up_after_a_cut(station, token):
    profile = two_keys(station)
    cut_short(station, token, profile)
    before = token.key_ids()
    done = provision(station, token, profile)
    assert done.status == 0 and done.json["verified"] is True, done
    assert sorted(token.key_ids()) == sorted(before) and len(before) == 2
    assert audit(station, token) == (2, 6)


def test_a_device_does_not_lose_its_secondary_key_by_another_profile(station, token):
    profile = two_keys(station)
    cut_short(station, token, profile)
    other = provision(station, token, station.profile("hsm-x509", {"attestation": {"x509": {"token": None}}}))
    assert other.cause == "E4301" and "has a key of its own" in other.stderr, other
    assert len(token.key_ids()) == 2
    assert provision(station, token, profile).status == 0


def test_a_device_gets_a_secondary_key_by_another_profile(station, token):
    cut_short(station, token, station.profile("hsm-x509", {"attestation": {"x509": {"token": None, "secondaryValidDays": 200}}}))
    done = provision(station, token, two_keys(station))
    assert done.status == 0 and done.json["verified"] is True, done
    primary, secondary = certificates(station, attestation_of(done))
    assert public_of(primary) != public_of(secondary)
    assert audit(station, token) == (2, 6)


def test_a_key_that_was_announced_is_not_taken_for_one_that_was_certified(release_station, tokens, token):
    """The certificate that the journal has is of the primary key; the secondary one was cut off while it was made."""
    station = release_station
    station.env["SOFTHSM2_CONF"] = tokens.configuration
    cut_short(station, token, station.profile("hsm-x509", {"attestation": {"x509": {"token": None, "secondaryValidDays": 200}}}))
    for n in range(5, 12):  # until it is there and is about to sign
        cut = provision(station, token, two_keys(station), wrapper=killer("sendmsg", n))
        if sorted(token.objects("privkey")) == labels():
            break
    assert cut.status != 0 and sorted(token.objects("privkey")) == labels(), cut
    token.pkcs11_tool("--delete-object", "--type", "pubkey", "--label", labels()[1])
    done = provision(station, token, two_keys(station))
    assert done.status == 0 and done.json["verified"] is True, done
    assert audit(station, token) == (2, 6)


def test_a_lost_journal_knows_both_again(station, token):
    profile = two_keys(station)
    attestation = attestation_of(provision(station, token, profile))
    for path in station.home.glob("journal.db*"):
        path.unlink()
    made = station.muster("journal", "reconcile", "--evidence", station.out, "--journal", station.journal, "--login-file",
                          station.login_file, "--ca-file", station.emulator.ca_file, "-o", "json")
    assert made.status == 0 and made.json["released"] == 1, made
    assert shown_as(station, attestation["secondaryKeyId"]) == shown_as(station, attestation["secondaryCertificateSha256"]) == SERIAL
    again = provision(station, token, profile)
    assert again.status == 0 and again.json["state"] == "already enrolled", again
    assert audit(station, token) == (2, 6)


def test_without_a_network_both_wait(station, token):
    spool(station, two_keys(station), SERIAL, "--token", token.uri, "--pin-file", token.pin_file)
    assert len(token.key_ids()) == 2 and station.emulator.changes() == []
    sent = station.sync("--token", token.uri, "--pin-file", token.pin_file)
    assert sent.status == 0 and sent.json[0]["verified"] is True, sent
    assert set(station.service.enrollment(SERIAL)["attestation"]["x509"]["clientCertificates"]) == {"primary", "secondary"}
    assert audit(station, token) == (2, 6)


def test_another_station_sends_both(station, token, office, tmp_path):  # noqa: F811
    profile = two_keys(station)
    spool(station, profile, SERIAL, "--token", token.uri, "--pin-file", token.pin_file)
    of_station = public_key(station)
    bundle, receipt = tmp_path / "stick.bundle", tmp_path / "stick.receipt"
    assert export(station, bundle).status == 0
    sent = send(office, bundle, receipt, of_station, "--profile", profile)
    assert sent.status == 0 and sent.json[0]["verified"] is False, sent
    found = station.service.enrollment(SERIAL)["attestation"]["x509"]["clientCertificates"]
    taken = accept(station, receipt, public_key(office))
    assert taken.status == 0, taken
    attestation = json.loads((station.out / f"{SERIAL}.evidence.json").read_text())["attestation"]
    for ours, theirs in (("certificate", "primary"), ("secondaryCertificate", "secondary")):
        assert attestation[f"{ours}Sha256"] == found[theirs]["info"]["sha256Thumbprint"].lower()
    later = provision(station, token, profile)
    assert later.status == 0 and later.json["verified"] is True, later
    assert audit(station, token) == (2, 6)


def test_what_replaces_a_retired_device_has_two_new_keys(station, token):
    profile = two_keys(station)
    assert provision(station, token, profile).status == 0
    old = set(token.key_ids())
    assert retire(station, SERIAL).status == 0
    cut_short(station, token, profile)
    done = provision(station, token, profile)
    assert done.status == 0 and done.json["verified"] is True, done
    attestation = attestation_of(done)
    assert not {attestation["keyId"], attestation["secondaryKeyId"]} & old
    done = station.muster("hsm", "audit", token.uri, "--pin-file", token.pin_file, "--journal", station.journal, "-o", "json")
    assert {row["keyId"] for row in done.json["findings"] if row["finding"] == "key-retired"} == old
    assert (done.json["keys"], done.json["objects"], len(done.json["findings"])) == (4, 12, 2), done


def test_devices_of_a_manifest_have_two_keys_each(station, token):
    profile = two_keys(station, sessions=3)
    manifest = station.home / "batch.csv"
    manifest.write_text("serial\n" + "".join(f"many-{number}\n" for number in range(7)))
    done = station.muster("provision", "--profile", profile, "--manifest", manifest, *station.common(), "-o", "json", "--token",
                          token.uri, "--pin-file", token.pin_file)
    assert done.status == 0, done
    assert (done.json["enrolled"], done.json["verified"]) == (7, 7), done
    assert len(set(token.key_ids())) == 14 and audit(station, token) == (14, 42)
    for row in station.service.enrollments():
        found = row["attestation"]["x509"]["clientCertificates"]
        assert found["primary"]["info"]["sha256Thumbprint"] != found["secondary"]["info"]["sha256Thumbprint"]


# -- Issued ------------------------------------------------------------------------------------------------------------------


CLIENT, SERVER = ("sslclient", "1.3.6.1.5.5.7.3.2"), ("sslserver", "1.3.6.1.5.5.7.3.1")


FAKETIME, = pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1")


def verdicts(root, leaf, purpose=CLIENT, days=0):
    """What OpenSSL and GnuTLS say of it, so many days from now."""
    later = {**os.environ, "LD_PRELOAD": str(FAKETIME), "FAKETIME": f"{days:+}d", "FAKETIME_DISABLE_SHM": "1"}
    for command in (["openssl", "verify", "-x509_strict", "-purpose", purpose[0], "-CAfile", root, leaf],
                    ["certtool", "--verify", "--verify-purpose", purpose[1], "--load-ca-certificate", root, "--infile", leaf]):
        done = subprocess.run(command, env=later, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        yield done.returncode == 0, done.stdout


def make_authority(custodian, name):
    made = custodian.muster("cert", "self-sign", "--key-type", "ec-p256", "--label", name, "--subject", f"CN={name} CA", "--ca",
                            "--days", "1000", "--out", f"{name}.pem")
    assert made.status == 0, made
    return custodian.home / f"{name}.pem"


@pytest.fixture
def issued(station, tokens, token):
    """Both certificates of a device in PEM, the authority that issued them, and another."""
    custodian = Custodian(station.home / "custody", tokens.make("authority", pin="135790"))
    root, other = make_authority(custodian, "line"), make_authority(custodian, "other")
    profile = two_keys(station, validDays=100, secondaryValidDays=200, issuer={
        "key": custodian.token.key_uri("line", "private"), "certificate": str(root), "crlUrl": "http://crl.example/line.crl"})
    done = provision(station, token, profile)
    assert done.status == 0 and done.json["verified"] is True, done
    check_possession(station, attestation_of(done))
    leaves = []
    for der in certificates(station, attestation_of(done)):
        leaves.append(der.with_suffix(".pem"))
        openssl("x509", "-inform", "DER", "-in", der, "-out", leaves[-1])
    return leaves, root, other


def test_other_programs_accept_both_certificates_and_only_as_they_are_meant(issued):
    leaves, root, other = issued
    rows = [
        ("as issued", {}, [True, True], ""),
        ("just before the first ends", {"days": 99}, [True, True], ""),
        ("when the first has ended", {"days": 101}, [False, True], "expired"),
        ("when both have ended", {"days": 201}, [False, False], "expired"),
        ("too early", {"days": -1}, [False, False], "not yet"),
        ("as a server", {"purpose": SERVER}, [False, False], "purpose"),
        ("another authority", {"root": other}, [False, False], "issuer"),
    ]
    for name, changes, expected, words in rows:
        for leaf, is_good in zip(leaves, expected):
            for accepted, said in verdicts(**{"root": root, "leaf": leaf, **changes}):
                assert accepted is is_good, (name, leaf, said)
                assert is_good or words in said.lower(), (name, leaf, said)


# -- Wrapped out -------------------------------------------------------------------------------------------------------------


def wrapped_profile(station):
    return two_keys(station, key={"lives": "wrapped-to-device"})


def test_both_keys_go_to_the_device(station, token, device, tmp_path):  # noqa: F811
    done = provision(station, token, wrapped_profile(station), "--device-key", device[1])
    assert done.status == 0 and done.json["verified"] is True, done
    for kind in KINDS:
        assert token.objects(kind) == []
    attestation = attestation_of(done)
    for wrapped, certificate in (("wrappedKey", "certificate"), ("secondaryWrappedKey", "secondary-certificate")):
        assert attestation[wrapped]["destroyedInToken"] is True
        own = unwrap(attestation[wrapped]["file"], device[0], tmp_path / wrapped)
        pem = station.out / f"{SERIAL}.{certificate}.pem"
        assert openssl("pkey", "-in", own, "-pubout") == public_of(pem)
        assert register(station.emulator, SERIAL, pem, own) in (200, 202)
    assert audit(station, token) == (0, 0)
    again = provision(station, token, wrapped_profile(station), "--device-key", device[1])
    assert again.status == 0 and again.json["state"] == "already enrolled", again


def test_a_device_that_comes_back_gets_new_keys(station, token, device):  # noqa: F811
    """Its old ones were destroyed; that says nothing of those that were made since."""
    profile = wrapped_profile(station)
    assert provision(station, token, profile, "--device-key", device[1]).status == 0
    assert retire(station, SERIAL).status == 0
    for path in station.out.iterdir():
        path.unlink()
    cut_short(station, token, profile, "--device-key", device[1])
    before = len(station.emulator.requests("register"))
    done = provision(station, token, profile, "--device-key", device[1])
    assert done.status == 0 and done.json["verified"] is True, done
    assert len(station.emulator.requests("register")) == before + 2
    assert token.key_ids() == [] and audit(station, token) == (0, 0)


@pytest.mark.parametrize("verify,is_kept", [("none", False), ("register", True)])
def test_without_a_network_wrapped_keys_wait_only_for_their_verification(station, token, device, verify, is_kept):  # noqa: F811
    profile = station.profile("hsm-x509", {"attestation": {"x509": {"token": None, "secondaryKey": "own", "key": {
        "lives": "wrapped-to-device"}}}, "verify": verify})
    hardware = ["--token", token.uri, "--pin-file", token.pin_file]
    spool(station, profile, SERIAL, *hardware, "--device-key", device[1])
    assert len(token.key_ids()) == 2 * is_kept
    sent = station.sync(*(hardware if is_kept else []))
    assert sent.status == 0 and [row["verified"] for row in sent.json] == [is_kept], sent
    attestation = evidence_of(sent.json[0])["attestation"]
    assert attestation["wrappedKey"]["destroyedInToken"] is attestation["secondaryWrappedKey"]["destroyedInToken"] is True
    assert token.key_ids() == [] and audit(station, token) == (0, 0)


CUTS = [("fsync", n) for n in (6, 12, 18, 24, 30)] + [("sendmsg", n) for n in range(4, 13)] + [("renameat2", n) for n in range(1, 5)]


@pytest.mark.parametrize("call,n", CUTS)
def test_a_cut_leaves_nothing_but_what_the_journal_says(release_station, tokens, token, device, tmp_path, call, n):  # noqa: F811
    station = release_station
    cut_and_run_again(station, tokens, token, wrapped_profile(station), device, killer(call, n), SERIAL)
    for wrapped, certificate in (("key.wrapped", "certificate"), ("secondary-key.wrapped", "secondary-certificate")):
        own = unwrap(station.out / f"{SERIAL}.{wrapped}", device[0], tmp_path / "own.key")
        assert openssl("pkey", "-in", own, "-pubout") == public_of(station.out / f"{SERIAL}.{certificate}.pem")
    assert [row["effect"] for row in station.emulator.effects("put", SERIAL)] == ["create"]
    assert audit(station, token) == (0, 0)
