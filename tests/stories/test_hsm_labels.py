"""Software looks for a device's key by its label, so muster makes none beside another one of that label without a word."""
import json
import pathlib
import shutil

import pytest

from lib.custodian import Custodian
from lib.enrollment import EnrollmentDesk
from test_outbox import resolve, restart
from test_retire import retire

SERIAL, NAME = "HX-1", "hx-1"


@pytest.fixture
def profile(hsm_station):
    return hsm_station.profile("hsm-x509")


def provision(station, profile, token, serial=SERIAL, *arguments):
    return station.provision(profile, serial, "--token", token.uri, "--pin-file", token.pin_file, *arguments)


def audit(station, token):
    done = station.muster("hsm", "audit", token.uri, "--pin-file", token.pin_file, "--journal", station.journal, "-o", "json")
    return done, [(row["finding"], row["keyId"]) for row in done.json["findings"]]


def verify(station, *words):
    endpoint = station.emulator.url.removeprefix("https://")
    return EnrollmentDesk(station).run("verify", *words, "--id-scope", station.emulator.id_scope, "--device-endpoint", endpoint)


def key_of(done):
    return json.loads(pathlib.Path(done.json["evidence"]).read_text())["attestation"]


def test_the_same_token_after_a_retirement(hsm_station, token, profile):
    first = provision(hsm_station, profile, token)
    assert first.status == 0 and "same label" not in first.stderr, first
    old = key_of(first)["keyId"]
    assert retire(hsm_station, NAME).status == 0
    done, found = audit(hsm_station, token)
    assert (done.status, found) == (8, [("key-retired", old)]), done
    again = provision(hsm_station, profile, token)
    assert again.status == 0 and "same label" in again.stderr and old in again.stderr, again
    assert key_of(again)["keyId"] != old
    assert key_of(again)["sameLabelKeyIds"] == [old]
    uri = token.uri.replace("?", f";object={NAME}?")
    done = verify(hsm_station, NAME, "--token", uri)
    assert done.status == 0 and done.json["verified"] is True, done
    done = verify(hsm_station, NAME, "--certificate-path", uri)
    assert done.status == 0 and done.json["verified"] is True, done
    for kind in ("cert", "pubkey", "privkey"):
        token.pkcs11_tool("--delete-object", "--type", kind, "--id", old)
    done, found = audit(hsm_station, token)
    assert (done.status, found) == (0, []), done


def test_a_life_that_was_given_up_is_not_taken_up_again_by_a_run_that_came_to_nothing(hsm_station, token, profile):
    """Who gave it up was mistaken: its enrollment is there, and trusts the key that is in the token."""
    restart(hsm_station, "register:status=400")
    assert provision(hsm_station, profile, token).status != 0
    before = hsm_station.rows()[NAME]
    assert before["state"] == "parked" and token.key_ids() == [before["keyId"]]
    assert resolve(hsm_station, NAME, "--as", "failed", "--reason", "mistaken").status == 0
    restart(hsm_station)
    taken = {"deviceId": "unit-7"}
    assert hsm_station.provision(hsm_station.profile("derived-key", taken), "D-1").status == 0
    clash = hsm_station.profile("hsm-x509", taken, name="clash")
    assert provision(hsm_station, clash, token).cause == "E3110"
    done = provision(hsm_station, profile, token)
    assert (done.status, done.cause) == (7, "E3101") and "same label" in done.stderr, done
    row = hsm_station.rows()[NAME]
    assert row["attemptId"] != before["attemptId"] and sorted(token.key_ids()) == sorted([before["keyId"], row["keyId"]])
    hsm_station.service.delete(NAME)
    # That one did get to it.
    done = provision(hsm_station, profile, token)
    assert done.status == 0 and hsm_station.rows()[NAME]["attemptId"] == row["attemptId"], done
    assert key_of(done)["keyId"] == row["keyId"] and before["keyId"] in token.key_ids()


def test_several_certificates_and_none_is_enrolled(hsm_station, token, profile):
    assert provision(hsm_station, profile, token).status == 0
    assert retire(hsm_station, NAME).status == 0
    assert provision(hsm_station, profile, token).status == 0
    desk = EnrollmentDesk(hsm_station)
    certificate = hsm_station.home / "other.der"
    token.pkcs11_tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", "other", "--id", "0a")
    token.pkcs11_tool("--read-object", "--type", "cert", "--id", key_of_row(hsm_station), "--output-file", str(certificate))
    assert desk.run("create", "--eid", "elsewhere", "--at", "x509", "--cp", certificate).status == 0
    uri = token.uri.replace("?", f";object={NAME}?")
    token.pkcs11_tool("--delete-object", "--type", "cert", "--id", key_of_row(hsm_station))
    token.pkcs11_tool("--write-object", str(certificate), "--type", "cert", "--label", NAME, "--id", "0b")
    token.pkcs11_tool("--write-object", str(certificate), "--type", "cert", "--label", NAME, "--id", "0c")
    done = verify(hsm_station, "elsewhere", "--token", uri)
    assert (done.status, done.cause) == (5, "E4303"), done


def key_of_row(station):
    return station.rows()[NAME]["keyId"]


def test_a_key_of_a_part_of_the_journal_that_was_lost(hsm_station, token, profile):
    """Somebody put the journal of yesterday back. Nothing is made beside a living device's key, and nobody says to destroy it."""
    assert provision(hsm_station, profile, token, "HX-0").status == 0
    yesterday = hsm_station.home / "yesterday.db"
    shutil.copy(hsm_station.journal, yesterday)
    done = provision(hsm_station, profile, token)
    assert done.status == 0, done
    living = key_of(done)["keyId"]
    shutil.copy(yesterday, hsm_station.journal)
    before, puts = token.key_ids(), hsm_station.emulator.requests("put")
    for more in (("--dry-run",), ()):
        done = provision(hsm_station, profile, token, SERIAL, *more)
        assert (done.status, done.cause) == (7, "E4317") and living in done.stderr, done
    assert sorted(token.key_ids()) == sorted(before) and hsm_station.emulator.requests("put") == puts
    done, found = audit(hsm_station, token)
    assert ("object-without-row", living) in found
    assert all("destroy it with" not in row["remedy"] and "muster enrollment show" in row["remedy"] for row in done.json["findings"])
    # It is still the device's.
    uri = token.uri.replace("?", f";object={NAME}?")
    assert verify(hsm_station, NAME, "--token", uri).status == 0


def test_a_key_that_was_produced_before(hsm_station, token, profile):
    custodian = Custodian(hsm_station.home, token)
    (hsm_station.home / "serials").write_text(f"{SERIAL}\n")
    done = custodian.muster("cert", "produce", "--profile", profile, "--serials", "serials", "--out", "out.jsonl")
    assert done.status == 0, done
    before = token.key_ids()
    done = provision(hsm_station, profile, token)
    assert (done.status, done.cause) == (7, "E4317"), done
    assert token.key_ids() == before


def test_a_label_of_another_device(hsm_station, token):
    profile = hsm_station.profile("hsm-x509", {"attestation": {"x509": {"keyLabel": "device"}}})
    assert provision(hsm_station, profile, token).status == 0
    done = provision(hsm_station, profile, token, "HX-2")
    assert (done.status, done.cause) == (7, "E4317") and f"'{NAME}', which is released" in done.stderr, done
    assert retire(hsm_station, NAME).status == 0
    done = provision(hsm_station, profile, token, "HX-2")
    assert done.status == 0 and f"'{NAME}' that has ended" in done.stderr, done


def test_a_secondary_key_of_its_own(hsm_station, token):
    profile = hsm_station.profile("hsm-x509", {"attestation": {"x509": {"secondaryKey": "own"}}})
    first = key_of(provision(hsm_station, profile, token))
    assert retire(hsm_station, NAME).status == 0
    again = key_of(provision(hsm_station, profile, token))
    assert again["sameLabelKeyIds"] == [first["keyId"]]
    assert again["secondarySameLabelKeyIds"] == [first["secondaryKeyId"]]
