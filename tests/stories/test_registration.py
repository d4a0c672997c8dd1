"""muster registration: the service's records of devices that have registered."""
import base64

import pytest

from emulator_client import Device, Service
from lib.enrollment import EnrollmentDesk

KEY = base64.b64encode(b"\x01" * 32).decode()


@pytest.fixture
def desk(station):
    return EnrollmentDesk(station)


def enroll(desk, registration_id):
    status, answer = desk.service.put(registration_id, {
        "registrationId": registration_id,
        "attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY}}})
    assert status == 200, answer


def register(desk, registration_id):
    service = Service.__new__(Service)  # one that runs already
    service.about, service.scope = desk.emulator.about, desk.emulator.id_scope
    service.host = desk.emulator.url.removeprefix("https://")
    Device(service, registration_id, KEY).provision()


def registration(desk, verb, *words, status=0):
    done = desk.run(verb, *words, noun="registration")
    assert done.status == status, done
    return done


def test_show_and_delete(desk):
    enroll(desk, "r1")
    register(desk, "r1")
    shown = registration(desk, "show", "--eid", "r1").json
    assert shown == desk.service.registration("r1") and shown["status"] == "assigned"
    assert registration(desk, "show", "--rid", "r1", "-o", "tsv").stdout.startswith("r1\tassigned\t")
    assert registration(desk, "delete", "--enrollment-id", "r1", "--etag", "b2xk", status=7).cause == "E5110"
    assert registration(desk, "delete", "--enrollment-id", "r1", "--etag", shown["etag"]).stdout == ""
    assert desk.service.registration("r1") is None and desk.service.enrollment("r1")
    assert registration(desk, "show", "--registration-id", "r1", status=3).cause == "E5111"
    assert registration(desk, "delete", "--rid", "r1", status=3).cause == "E5111"


def test_the_words_of_az_are_the_same_command(desk):
    enroll(desk, "r1")
    register(desk, "r1")
    done = desk.run("registration", "show", "--eid", "r1")
    assert done.status == 0 and done.json == desk.service.registration("r1"), done
    assert desk.run("registration", "delete", "--eid", "r1").status == 0
    assert desk.service.registration("r1") is None and desk.service.enrollment("r1")
    wrong = desk.run("registration", "sho", "--eid", "r1")
    assert (wrong.status, wrong.cause) == (2, "E1001") and "did you mean 'show'" in wrong.stderr, wrong


@pytest.mark.parametrize("fault", ["registration:status-after=500:count=1", "registration:cut-before:count=1"])
def test_a_deletion_without_an_answer_is_read_back(desk, fault):
    enroll(desk, "r1")
    register(desk, "r1")
    desk.restart("--fault", fault)
    registration(desk, "delete", "--eid", "r1")
    assert desk.service.registration("r1") is None


def test_list_of_individual_enrollments(desk):
    for number in range(4):
        enroll(desk, f"r{number}")
    for number in (1, 3):
        register(desk, f"r{number}")
    assert [row["registrationId"] for row in registration(desk, "list").json] == ["r1", "r3"]
    assert [row["registrationId"] for row in registration(desk, "list", "--top", "1").json] == ["r1"]
    assert registration(desk, "list", "--top", "0", status=2).cause == "E1001"


def test_list_of_a_group(desk):
    status, answer = desk.service.request("PUT", "/enrollmentGroups/g1", {
        "enrollmentGroupId": "g1", "attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY}}})
    assert status == 200, answer
    assert registration(desk, "list", "--group-id", "g1").json == []


@pytest.mark.parametrize("verb, words", [("show", []), ("delete", []), ("show", ["--eid", "x" * 129]), ("list", ["--gid", ""])],
                         ids=["show", "delete", "long", "empty-group"])
def test_malformed(desk, verb, words):
    registration(desk, verb, *words, status=2)
    assert desk.emulator.ledger() == []
