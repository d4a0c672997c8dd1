"""muster enrollment show and delete: one enrollment as the service has it."""
import json

import pytest

from lib.enrollment import EnrollmentDesk

KEYS = {"primaryKey": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", "secondaryKey": "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="}


@pytest.fixture
def desk(station):
    return EnrollmentDesk(station)


def put(desk, registration_id, **members):
    status, answer = desk.service.put(registration_id, {
        "registrationId": registration_id, "attestation": {"type": "symmetricKey", "symmetricKey": KEYS}, **members})
    assert status == 200, answer
    return answer


def test_show_prints_the_services_json_sorted(desk):
    put(desk, "e1", initialTwin={"tags": {"z": 1, "a": {"y": 2, "b": 3}}, "properties": {"desired": {}}})
    done = desk.run("show", "--enrollment-id", "e1")
    assert done.status == 0, done
    assert done.json == desk.service.enrollment("e1")
    assert done.stdout == json.dumps(done.json, indent=2, sort_keys=True) + "\n"


@pytest.mark.parametrize("words, shown", [
    (["--show-keys"], True), (["--keys", "TRUE"], True), (["--show-keys=false"], False), ([], False)])
def test_keys_are_shown_when_asked_for(desk, words, shown):
    put(desk, "e1")
    done = desk.run("show", "--eid", "e1", *words)
    assert done.status == 0, done
    assert done.json["attestation"].get("symmetricKey") == (KEYS if shown else None), done
    assert len(desk.emulator.requests("mechanism")) == int(shown)


def test_show_of_what_is_not_there(desk):
    done = desk.run("show", "--eid", "nobody")
    assert (done.status, done.cause) == (3, "E5108"), done
    assert "404201" in done.error["detail"] and "tracking ID" in done.error["detail"] and done.error["remedy"], done


@pytest.mark.parametrize("words, if_match", [([], "*"), (["--etag", "{etag}"], "{etag}"), (["-e={etag}"], "{etag}")])
def test_delete(desk, words, if_match):
    etag = put(desk, "e1")["etag"]
    done = desk.run("delete", "--enrollment-id", "e1", *(word.replace("-e=", "-e").format(etag=etag) for word in words))
    assert done.status == 0 and done.stdout == "", done
    assert desk.service.enrollment("e1") is None


def test_delete_that_is_not_sent(desk):
    put(desk, "e1")
    before = desk.emulator.ledger()
    done = desk.run("delete", "--eid", "e1", "--dry-run")
    assert done.status == 0 and (done.json["method"], done.json["ifMatch"]) == ("DELETE", "*"), done
    assert "/enrollments/e1?" in done.json["url"] and "body" not in done.json
    assert desk.emulator.ledger() == before


def test_delete_with_an_old_etag(desk):
    put(desk, "e1")
    done = desk.run("delete", "--eid", "e1", "--etag", "b2xk")
    assert (done.status, done.cause) == (7, "E5110"), done
    assert desk.service.enrollment("e1")


@pytest.mark.parametrize("fault", ["delete:status-after=500:count=1", "delete:cut-after:count=1",
                                   "delete:status=500:count=1", "delete:cut-before:count=1"])
def test_a_deletion_without_an_answer_is_read_back(desk, fault):
    desk.restart("--clock-offset", "-600")
    put(desk, "e1")
    desk.restart("--fault", fault)
    done = desk.run("delete", "--eid", "e1")
    assert done.status == 0, done
    assert desk.service.enrollment("e1") is None
    assert len(desk.emulator.effects("delete", "e1")) == 1


def test_a_deletion_whose_outcome_cannot_be_read(desk):
    put(desk, "e1")
    desk.restart("--fault", "delete:cut-after:count=1", "--fault", "get:status=403")
    done = desk.run("delete", "--eid", "e1")
    assert (done.status, done.cause) == (9, "E5107") and "may or may not" in done.stderr, done
    assert len(desk.emulator.requests("delete")) == 1


def test_the_last_deletion_that_is_sent_is_read_back_too(desk):
    desk.restart("--clock-offset", "-600")
    put(desk, "e1")
    desk.restart("--fault", "delete:status=500:count=5:retry-after=0", "--fault", "delete:status-after=500:skip=5:retry-after=0")
    done = desk.run("delete", "--eid", "e1", timeout=240)
    assert done.status == 0 and len(desk.emulator.requests("delete")) == 6, done
    assert desk.service.enrollment("e1") is None


def test_a_deletion_without_an_answer_spares_what_was_written_since(desk):
    """By the service's clock; so it may be what somebody made anew."""
    desk.restart("--clock-offset", "600")
    put(desk, "e1")
    desk.restart("--fault", "delete:cut-before:count=1")
    done = desk.run("delete", "--eid", "e1")
    assert (done.status, done.cause) == (7, "E5110") and "there was no clear answer" in done.stderr, done
    assert desk.service.enrollment("e1") and len(desk.emulator.requests("delete")) == 1


@pytest.mark.parametrize("identity", ["", "x" * 129], ids=["empty", "long"])
@pytest.mark.parametrize("verb", ["show", "delete"])
def test_ids_that_fit_no_path(desk, verb, identity):
    done = desk.run(verb, "--eid", identity)
    assert (done.status, done.cause) == (2, "E1303"), done
    assert desk.emulator.ledger() == []


def test_the_id_is_needed(desk):
    done = desk.run("show")
    assert (done.status, done.cause) == (2, "E1001") and "--enrollment-id" in done.stderr, done
