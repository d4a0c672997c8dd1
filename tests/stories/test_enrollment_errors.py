"""What the commands about enrollments print: the service's JSON with its members sorted, and of every error of the service its
code, message, tracking ID and a remedy, with an exit status of ours."""
import json
import re

import pytest

from lib.enrollment import EnrollmentDesk, endorsement_key


EK = endorsement_key()
FALSE_EK = "14963E8F3BA5B3984110B3C1CA8E8B89"
TPM = ["--at", "tpm", "--ek", EK]
SHOW = ["show", "--eid", "e1"]


@pytest.fixture
def desk(station):
    return EnrollmentDesk(station)


def wrong_login(desk):
    """Of a policy that has another key."""
    path = desk.station.login_file
    path.write_text(re.sub("SharedAccessKey=.*", "SharedAccessKey=" + "A" * 43 + "=", path.read_text()))


def exists(desk):
    assert desk.run("create", "--eid", "e1", *TPM).status == 0


def misbehave(status):
    return lambda desk: desk.restart("--fault", f"get:status={status}")


CLASSES = [
    # status of the service, what is done, how it came to that, exit status, cause, errorCode, message
    (400, ["create", "--eid", "e1", "--at", "tpm", "--ek", FALSE_EK], None, 1, "E5103", "400004", "Endorsement key is invalid"),
    (401, SHOW, wrong_login, 5, "E5201", "401002", "Unauthorized"),
    (403, SHOW, misbehave(403), 5, "E5122", "403", ""),
    (404, SHOW, None, 3, "E5108", "404201", "not found"),
    (409, ["create", "--eid", "e1", *TPM], exists, 7, "E5109", "409201", "already exists"),
    (412, ["delete", "--eid", "e1", "--etag", "b2xk"], exists, 7, "E5110", "412", ""),
    (429, SHOW, misbehave(429), 6, "E5104", "429", ""),
    (500, SHOW, misbehave(500), 6, "E5105", "500", ""),
]


def test_a_write_that_never_succeeds_names_its_enrollment(desk):
    exists(desk)
    desk.restart("--fault", "put:status=500:retry-after=0")
    done = desk.run("update", "--eid", "e1", "--ps", "disabled", timeout=400)
    assert (done.status, done.cause) == (6, "E5105"), done
    assert "updating enrollment 'e1'" in done.error["detail"], done


@pytest.mark.difference(8)
@pytest.mark.parametrize("status, words, prepare, exit_status, cause, number, message", CLASSES,
                         ids=[str(row[0]) for row in CLASSES])
def test_an_error_of_the_service(desk, status, words, prepare, exit_status, cause, number, message):
    if prepare:
        prepare(desk)
    done = desk.run(*words, timeout=400)
    assert (done.status, done.cause, done.stdout) == (exit_status, cause, ""), done
    error = done.error
    assert re.search(rf"errorCode {number}\d*\b", error["detail"]) and message in error["detail"], error
    assert re.search(r"tracking ID [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", error["detail"]), error
    assert (error["code"], error["exit"]) == (cause, exit_status) and error["remedy"], error
    assert desk.emulator.ledger()[-1]["status"] == status


@pytest.mark.difference(8)
@pytest.mark.parametrize("words", [SHOW, ["list"], ["update", "--eid", "e1", "--ps", "disabled"],
                                   ["create", "--eid", "a1", *TPM]], ids=lambda words: words[0])
def test_what_is_printed_is_the_services_json_sorted(desk, words):
    exists(desk)
    done = desk.run(*words)
    assert done.status == 0, done
    assert done.stdout == json.dumps(done.json, indent=2, sort_keys=True) + "\n"
    shown = done.json[0] if words == ["list"] else done.json
    stored = desk.service.enrollment(shown["registrationId"])
    assert {name: shown[name] for name in stored} == stored
