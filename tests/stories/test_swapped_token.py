"""A serial that is under way with its key in one token is not taken over by the board with another."""
import base64
import json

import pytest

from lib.custodian import openssl
from test_hsm_wrap import device, unwrap, wrapped_profile  # noqa: F401
from test_offline import evidence_of, offline, spool
from test_outbox import resolve, restart

SERIAL = "swap-1"


@pytest.fixture
def boards(tokens):
    return tokens.make("board-1"), tokens.make("board-2")


def opened(token):
    return ["--token", token.uri, "--pin-file", token.pin_file]


def keys_made(station):
    """(key, token) of each pair that is announced."""
    shown = station.muster("journal", "show", SERIAL, "--journal", station.journal, "-o", "json").json
    bodies = [json.loads(entry["body"]) if isinstance(entry["body"], str) else entry["body"] for entry in shown["entries"]]
    return [(body["keyId"], body["tokenSerial"]) for body in bodies if body.get("step") == "key-make" and "keyType" in body]


def is_refused(done, first, second, state):
    assert (done.status, done.cause) == (7, "E3102"), done
    assert first.serial in done.stderr and second.serial in done.stderr and state in done.stderr, done
    assert second.key_ids() == []


def refused_by_the_service(station, profile, token, *arguments):
    restart(station, "put:status=400")
    assert station.provision(profile, SERIAL, *opened(token), *arguments).cause == "E5103"
    restart(station)


def test_one_that_waits_for_the_network(hsm_station, boards):
    station, (first, second), profile = hsm_station, boards, hsm_station.profile("hsm-x509")
    name = spool(station, profile, SERIAL, *opened(first))
    is_refused(offline(station, profile, SERIAL, *opened(second)), first, second, "spooled")
    is_refused(station.provision(profile, SERIAL, *opened(second)), first, second, "spooled")
    is_refused(station.provision(profile, SERIAL, *opened(second), "--dry-run"), first, second, "spooled")
    assert station.rows()[name]["state"] == "spooled"
    assert len(keys_made(station)) == 1
    assert resolve(station, name, "--as", "retired", "--reason", "board scrapped").status == 0
    done = station.provision(profile, SERIAL, *opened(second))
    assert (done.status, done.json["verified"]) == (0, True), done
    (_, in_first), (_, in_second) = made = keys_made(station)
    assert (in_first, in_second) == (first.serial, second.serial) and len({key for key, _ in made}) == 2


def test_one_that_the_service_had_no_answer_for(hsm_station, boards):
    station, (first, second), profile = hsm_station, boards, hsm_station.profile("hsm-x509")
    restart(station, "put:status=503")
    assert station.provision(profile, SERIAL, *opened(first)).status in (6, 9)
    restart(station)
    [state] = {row["state"] for row in station.rows().values()}
    is_refused(station.provision(profile, SERIAL, *opened(second)), first, second, state)
    done = station.provision(profile, SERIAL, *opened(first))
    assert (done.status, done.json["verified"]) == (0, True), done


def test_one_that_failed_may_come_with_another(hsm_station, boards):
    station, (first, second), profile = hsm_station, boards, hsm_station.profile("hsm-x509")
    refused_by_the_service(station, profile, first)
    done = station.provision(profile, SERIAL, *opened(second))
    assert (done.status, done.json["verified"]) == (0, True), done
    made = keys_made(station)
    assert [token for _, token in made] == [first.serial, second.serial] and len({key for key, _ in made}) == 2


def test_what_was_wrapped_of_one_that_failed_is_wrapped_anew(hsm_station, boards, device, tmp_path):  # noqa: F811
    station, (first, second), profile = hsm_station, boards, wrapped_profile(hsm_station)
    key, public = device
    refused_by_the_service(station, profile, first, "--device-key", public)
    done = station.provision(profile, SERIAL, *opened(second), "--device-key", public)
    assert (done.status, done.json["verified"]) == (0, True), done
    own = unwrap(station.out / f"{SERIAL}.key.wrapped", key, tmp_path / "own.key")
    enrolled = tmp_path / "enrolled.der"
    enrolled.write_bytes(base64.b64decode(evidence_of(done.json)["attestation"]["certificate"]))
    for certificate in (enrolled, station.out / f"{SERIAL}.certificate.pem"):
        assert openssl("pkey", "-in", own, "-pubout") == openssl("x509", "-in", certificate, "-noout", "-pubkey")


def test_one_that_comes_back_to_the_first_gets_another_key_there(hsm_station, boards):
    """The first attempt came to nothing, and so did its key: it is named, and holds nobody up."""
    station, (first, second), profile = hsm_station, boards, hsm_station.profile("hsm-x509")
    for token in boards:
        refused_by_the_service(station, profile, token)
    before, = first.key_ids()
    planned = station.provision(profile, SERIAL, *opened(first), "--dry-run")
    assert planned.status == 0 and before in planned.stderr and first.key_ids() == [before], planned
    refused_by_the_service(station, profile, first)
    assert f"an attempt of '{SERIAL}'" in planned.stderr and len(first.key_ids()) == 2
    done = station.provision(profile, SERIAL, *opened(first))
    assert (done.status, done.json["verified"]) == (0, True), done
    attestation = evidence_of(done.json)["attestation"]
    assert attestation["sameLabelKeyIds"] == [before] and attestation["keyId"] in first.key_ids() and len(first.key_ids()) == 2
    assert len(second.key_ids()) == 1
