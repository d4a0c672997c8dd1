"""A device is enrolled with a certificate of its profile's terms: one that an earlier run made by others is made anew, or refused."""
import base64
import json

import pytest

from lib import batch
from lib.custodian import Custodian, openssl
from lib.killer import go_on, killer
from test_bundle import export
from test_hsm_wrap import device, unwrap  # noqa: F401
from test_offline import evidence_of, offline, spool
from test_outbox import resolve, restart
from test_retire import retire

SERIAL = "terms-1"
CHANGES = {"keyType": "rsa-2048", "subject": "CN={registrationId},O=Other", "validDays": 100, "secondaryValidDays": 200, "skewMinutes": 60,
           "keyLabel": "other-{registrationId}"}


def profile_of(station, name="hsm-x509", document=None, **x509):
    return station.profile("hsm-x509", {"attestation": {"x509": {"token": None, **x509}}, **(document or {})}, name)


def opened(token):
    return ["--token", token.uri, "--pin-file", token.pin_file]


def provision(station, token, profile, *arguments, **options):
    return station.provision(profile, SERIAL, *opened(token), *arguments, **options)


def certificate_of(result, path):
    """What was enrolled, as OpenSSL reads it."""
    path.write_bytes(base64.b64decode(evidence_of(result)["attestation"]["certificate"]))
    return openssl("x509", "-in", path, "-noout", "-text")


def audit(station, token):
    done = station.muster("hsm", "audit", token.uri, "--pin-file", token.pin_file, "--journal", station.journal, "-o", "json")
    return [row["finding"] for row in done.json["findings"]]


def key_in(token):
    """Its public half tells it from another of the same ID."""
    key_id, = token.key_ids()
    path = token.module.directory / "public.der"
    token.pkcs11_tool("--read-object", "--type", "pubkey", "--id", key_id, "--output-file", str(path))
    return path.read_bytes()


def entries(station):
    shown = station.muster("journal", "show", SERIAL, "--journal", station.journal, "-o", "json").json
    return [(entry["kind"], json.loads(entry["body"]) if isinstance(entry["body"], str) else entry["body"]) for entry in shown["entries"]]


def certified(station):
    return [body["certificateTerms"] for kind, body in entries(station) if "certificateTerms" in body]


def fail(station, token, profile, *arguments):
    """The service refuses it: the certificate is made, and nothing is enrolled."""
    restart(station, "put:status=400")
    assert provision(station, token, profile, *arguments).cause == "E5103"
    restart(station)


def park(station, token, profile, *arguments):
    """Nobody knows whether it is enrolled."""
    restart(station, "put:status=503")
    assert provision(station, token, profile, *arguments).status in (6, 9)
    restart(station)


def is_refused(station, token, done, *words):
    assert (done.status, done.cause) == (7, "E4319"), done
    assert all(word in done.stderr for word in (*words, "muster outbox resolve")), done
    assert audit(station, token) == []


# -- Made anew ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHANGES)
def test_what_came_to_nothing_is_made_anew(hsm_station, token, tmp_path, name):
    station = hsm_station
    fail(station, token, profile_of(station))
    before = key_in(token)
    profile = profile_of(station, **{name: CHANGES[name]})
    planned = provision(station, token, profile, "--dry-run")
    assert planned.status == 0 and "made anew" in planned.stderr and key_in(token) == before, planned
    done = provision(station, token, profile)
    assert done.status == 0 and done.json["verified"] is True, done
    assert name in done.stderr and "made anew" in done.stderr, done
    assert key_in(token) != before and audit(station, token) == []
    former, present = certified(station)
    assert present[name] == (CHANGES[name] if isinstance(CHANGES[name], int) else CHANGES[name].replace("{registrationId}", SERIAL))
    assert former.get(name) != present[name]
    text = certificate_of(done.json, tmp_path / "leaf.der")
    assert ("O = Other" in text) == (name == "subject") and ("rsaEncryption" in text) == (name == "keyType")
    again = provision(station, token, profile)
    assert again.status == 0 and "made anew" not in again.stderr and key_in(token) != before, again


def test_what_was_spooled_is_made_anew(hsm_station, token, tmp_path):
    """With the device at hand, with a network and without."""
    station = hsm_station
    spool(station, profile_of(station), SERIAL, *opened(token))
    keys = [key_in(token)]
    done = offline(station, profile_of(station, keyType="rsa-2048"), SERIAL, *opened(token))
    assert done.cause == "E5180" and "made anew" in done.stderr, done
    keys.append(key_in(token))
    done = provision(station, token, profile_of(station, subject="CN={registrationId},O=Other", keyType="rsa-2048"))
    assert done.status == 0 and "made anew" in done.stderr and done.json["verified"] is True, done
    keys.append(key_in(token))
    assert len(set(keys)) == 3 and audit(station, token) == []
    assert "O = Other" in certificate_of(done.json, tmp_path / "leaf.der")


def test_what_is_spooled_anew_is_sent(hsm_station, token, tmp_path):
    station = hsm_station
    spool(station, profile_of(station), SERIAL, *opened(token))
    spool(station, profile_of(station, subject="CN={registrationId},O=Other"), SERIAL, *opened(token))
    sent = station.sync(*opened(token))
    assert sent.status == 0 and sent.json[0]["verified"] is True, sent
    assert "O = Other" in certificate_of(sent.json[0], tmp_path / "leaf.der") and audit(station, token) == []


@pytest.fixture
def line(hsm_station, tokens):
    """A desk with two authorities, and a second certificate of the first one's key."""
    custodian = Custodian(hsm_station.home / "custody", tokens.make("authority", pin="135790"))
    for name in ("line", "other"):
        custodian.make_authority(name, 5000)
    made = custodian.muster("cert", "self-sign", "--key", custodian.token.key_uri("line", "private"), "--subject", "CN=line CA", "--ca",
                            "--days", "6000", "--out", "renewed.pem")
    assert made.status == 0, made
    return custodian


def issued_by(station, line, key="line", certificate="line.pem"):
    return profile_of(station, issuer={"key": line.token.key_uri(key, "private"), "certificate": str(line.home / certificate)})


def test_another_issuer_issues_anew(hsm_station, line, token, tmp_path):
    station = hsm_station
    fail(station, token, profile_of(station))
    fail(station, token, issued_by(station, line))
    done = provision(station, token, issued_by(station, line, "other", "other.pem"))
    assert done.status == 0 and "line CA" in done.stderr and "other CA" in done.stderr, done
    assert "Issuer: CN = other CA" in certificate_of(done.json, tmp_path / "leaf.der")
    assert [terms.get("issuer", "none").split(",")[0] for terms in certified(station)] == ["none", "CN=line CA", "CN=other CA"]


@pytest.mark.parametrize("certificate", ["renewed.pem", "gone.pem"])
def test_an_issuer_whose_certificate_was_renewed_or_is_elsewhere_is_the_same(hsm_station, line, token, certificate):
    station = hsm_station
    fail(station, token, issued_by(station, line))
    before = key_in(token)
    done = provision(station, token, issued_by(station, line, certificate=certificate))
    assert done.status == 0 and "made anew" not in done.stderr and key_in(token) == before, done


def test_an_issuer_that_cannot_sign_leaves_the_former_key(hsm_station, line, token):
    station = hsm_station
    fail(station, token, profile_of(station))
    before = key_in(token)
    done = provision(station, token, issued_by(station, line, "other"))
    assert done.cause == "E4305" and "opening the issuer" in done.stderr and key_in(token) == before, done
    assert audit(station, token) == []
    done = provision(station, token, profile_of(station))
    assert done.status == 0 and key_in(token) == before, done


def test_only_the_second_certificates_terms_differ(hsm_station, token):
    station = hsm_station
    fail(station, token, profile_of(station, secondaryKey="own"))
    before = set(token.key_ids())
    done = provision(station, token, profile_of(station, secondaryKey="own", secondaryValidDays=200))
    assert done.status == 0 and "validDays 3650, not 200" in done.stderr and set(token.key_ids()) == before, done
    assert [terms["validDays"] for terms in certified(station)] == [3650, 3650, 3650, 200] and audit(station, token) == []


def test_a_profile_without_its_second_key_makes_nothing_anew(hsm_station, token):
    station = hsm_station
    fail(station, token, profile_of(station, secondaryKey="own"))
    before = len(entries(station))
    done = provision(station, token, profile_of(station, validDays=100))
    assert done.cause == "E4301" and "has a key of its own" in done.stderr, done
    assert not [body for _, body in entries(station)[before:] if body.get("step", "").endswith(("key-make", "key-sweep"))]
    assert provision(station, token, profile_of(station, secondaryKey="own")).status == 0


POINTS = [("fdatasync", n) for n in range(1, 12)] + [("fsync", n) for n in range(1, 12)] + [("sendmsg", n) for n in range(4, 14)]


@pytest.mark.parametrize("call,n", POINTS)
def test_a_cut_while_it_is_made_anew(release_station, tokens, token, call, n):
    """What the token holds is what the journal says, then and in the end."""
    station = release_station
    station.env["SOFTHSM2_CONF"] = tokens.configuration
    fail(station, token, profile_of(station))
    profile = profile_of(station, validDays=100)
    provision(station, token, profile, wrapper=killer(call, n))
    go_on(lambda: station.muster("hsm", "show", token.uri), lambda: station.muster("hsm", "acknowledge", token.uri))
    assert set(audit(station, token)) <= {"key-unfinished", "object-without-id"}
    done = provision(station, token, profile)
    assert done.status == 0 and done.json["verified"] is True, done
    assert certified(station)[-1]["validDays"] == 100 and audit(station, token) == []
    assert [row["effect"] for row in station.emulator.effects("put", SERIAL)] == ["create"]


# -- Refused -----------------------------------------------------------------------------------------------------------------


def test_one_that_may_be_enrolled_is_not_made_anew(hsm_station, token):
    station = hsm_station
    park(station, token, profile_of(station))
    before, row = key_in(token), station.rows()[SERIAL]
    done = provision(station, token, profile_of(station, "other", validDays=100, document={"profile": "edited"}))
    is_refused(station, token, done, "validDays 3650, not 100", "'edited'", row["state"])
    assert station.rows()[SERIAL] == row and key_in(token) == before
    done = provision(station, token, profile_of(station))
    assert done.status == 0 and key_in(token) == before, done


def test_one_that_may_be_enrolled_is_ended_by_a_person(hsm_station, token):
    station = hsm_station
    park(station, token, profile_of(station))
    is_refused(station, token, provision(station, token, profile_of(station, keyType="rsa-2048")))
    assert resolve(station, SERIAL, "--as", "retired", "--reason", "begun with the wrong key type").status == 0
    done = provision(station, token, profile_of(station, keyType="rsa-2048"))
    assert done.status == 0 and "other terms" not in done.stderr, done


def test_one_that_is_enrolled_and_comes_back_to_be_verified(hsm_station, token):
    station = hsm_station
    spool(station, profile_of(station), SERIAL, *opened(token))
    assert station.sync().json[0]["verified"] is False
    is_refused(station, token, provision(station, token, profile_of(station, subject="CN={registrationId},O=Other")))
    done = provision(station, token, profile_of(station))
    assert done.status == 0 and done.json["verified"] is True, done


def test_one_that_left_in_a_bundle(hsm_station, token, tmp_path):
    """Another station may have sent it."""
    station = hsm_station
    spool(station, profile_of(station), SERIAL, *opened(token))
    assert export(station, tmp_path / "stick.bundle").status == 0
    for run in (provision(station, token, profile_of(station, validDays=100)),
                offline(station, profile_of(station, validDays=100), SERIAL, *opened(token))):
        is_refused(station, token, run)
        assert station.rows()[SERIAL]["state"] == "spooled"
    assert provision(station, token, profile_of(station)).status == 0


def test_one_that_may_be_enrolled_gets_no_second_key(hsm_station, token):
    station = hsm_station
    park(station, token, profile_of(station))
    before = token.key_ids()
    is_refused(station, token, provision(station, token, profile_of(station, secondaryKey="own")), "secondaryKey")
    assert token.key_ids() == before and provision(station, token, profile_of(station)).status == 0


def test_devices_of_a_manifest_are_refused_likewise(hsm_station, token):
    station = hsm_station
    path = batch.manifest(station, [SERIAL, "terms-2"])
    restart(station, "bulk+put+get:status=503:retry-after=0")
    parked = batch.provision(station, path, *opened(token), "--patience", "0", profile=profile_of(station))
    assert parked.json["parked"] > 0, parked
    restart(station)
    done = batch.provision(station, path, *opened(token), "--begin-anew", profile=profile_of(station, validDays=100))
    assert "E4319" in done.stderr and done.json["enrolled"] == 2 - parked.json["parked"], done


# -- Wrapped for a device ----------------------------------------------------------------------------------------------------


def wrapped(station, verify="register", **x509):
    return profile_of(station, document={"verify": verify}, key={"lives": "wrapped-to-device"}, **x509)


def test_a_key_that_was_wrapped_is_made_anew_where_nothing_came_of_it(hsm_station, token, device, tmp_path):  # noqa: F811
    station, (key, public) = hsm_station, device
    fail(station, token, wrapped(station), "--device-key", public)
    first = (station.out / f"{SERIAL}.key.wrapped").read_bytes()
    done = provision(station, token, wrapped(station, validDays=100), "--device-key", public)
    assert done.status == 0 and "made anew" in done.stderr, done
    assert (station.out / f"{SERIAL}.key.wrapped").read_bytes() != first and token.key_ids() == []
    own = unwrap(station.out / f"{SERIAL}.key.wrapped", key, tmp_path / "own.key")
    certificate_of(done.json, tmp_path / "enrolled.der")
    for certificate in (tmp_path / "enrolled.der", station.out / f"{SERIAL}.certificate.pem"):
        assert openssl("pkey", "-in", own, "-pubout") == openssl("x509", "-in", certificate, "-noout", "-pubkey")


@pytest.mark.parametrize("verify", ["none", "register"])
def test_a_key_that_the_device_may_have_is_not(hsm_station, token, device, verify):  # noqa: F811
    station, public = hsm_station, device[1]
    spool(station, wrapped(station, verify), SERIAL, *opened(token), "--device-key", public)
    before = (station.out / f"{SERIAL}.key.wrapped").read_bytes()
    is_refused(station, token, provision(station, token, wrapped(station, verify, validDays=100), "--device-key", public))
    assert (station.out / f"{SERIAL}.key.wrapped").read_bytes() == before and station.rows()[SERIAL]["state"] == "spooled"
    assert provision(station, token, wrapped(station, verify), "--device-key", public).status == 0


# -- Taken as it is ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begin", [fail, park, lambda station, token, profile: spool(station, profile, SERIAL, *opened(token))])
def test_what_does_not_concern_the_certificate(hsm_station, token, begin):
    station = hsm_station
    begin(station, token, profile_of(station, subject="CN={registrationId},O=Maker of {serial.lower}"))
    before = key_in(token)
    changed = {"initialTwin": {"tags": {"product": "edited"}}} if begin is not park else {"retryBudget": 9}
    # The template is written otherwise and makes the same.
    done = provision(station, token, profile_of(station, subject="CN={registrationId},O=Maker of {registrationId}", document=changed))
    assert done.status == 0 and "other terms" not in done.stderr and key_in(token) == before, done


def test_a_second_key_comes_beside_the_first(hsm_station, token):
    station = hsm_station
    fail(station, token, profile_of(station, secondaryValidDays=200))
    first = token.key_ids()
    done = provision(station, token, profile_of(station, secondaryKey="own"))
    assert done.status == 0 and "made anew" not in done.stderr and len(token.key_ids()) == 2, done
    assert [terms["validDays"] for terms in certified(station)] == [3650, 3650] and first[0] in token.key_ids()


def test_of_a_released_device_it_is_told(hsm_station, token):
    station = hsm_station
    assert provision(station, token, profile_of(station)).status == 0
    before = key_in(token)
    done = provision(station, token, profile_of(station, validDays=100))
    assert (done.status, done.json["state"]) == (0, "already enrolled") and key_in(token) == before, done
    assert "E4319" in done.stderr and "validDays 3650, not 100" in done.stderr, done
    assert retire(station, SERIAL).status == 0
    done = provision(station, token, profile_of(station, validDays=100))
    assert done.status == 0 and "E4319" not in done.stderr and len(token.key_ids()) == 2, done


def test_of_a_journal_without_terms_nothing_is_asked(hsm_station, token):
    """One that was made again from the evidence, say."""
    station = hsm_station
    assert provision(station, token, profile_of(station)).status == 0
    for path in station.home.glob("journal.db*"):
        path.unlink()
    made = station.muster("journal", "reconcile", "--evidence", station.out, "--journal", station.journal, "--login-file",
                          station.login_file, "--ca-file", station.emulator.ca_file, "-o", "json")
    assert made.status == 0 and made.json["released"] == 1, made
    done = provision(station, token, profile_of(station, validDays=100))
    assert (done.status, done.json["state"]) == (0, "already enrolled") and "other terms" not in done.stderr, done
