"""muster enrollment list: conditions, formats, and a hundred thousand rows that are never all in memory."""
import json
import subprocess

import pytest

from lib.bulk import multiply, run_measured, symmetric
from lib.enrollment import EnrollmentDesk
from lib.paths import RELEASE
from lib.program import environment
from lib.tls_server import ScriptedService

HUB = "hub-1.azure-devices.net"


@pytest.fixture
def desk(station):
    return EnrollmentDesk(station)


@pytest.fixture
def full_desk(desk):
    for document in (symmetric("a-1"), symmetric("a-2", provisioningStatus="disabled"),
                     symmetric("b-1", allocationPolicy="static", iotHubs=[HUB]), symmetric("b-2", deviceId="Other")):
        status, answer = desk.service.put(document["registrationId"], document)
        assert status == 200, answer
    return desk


def names(done):
    assert done.status == 0, done
    return [row["registrationId"] for row in done.json]


def test_the_services_json_sorted(full_desk):
    done = full_desk.run("list")
    assert names(done) == ["a-1", "a-2", "b-1", "b-2"]
    assert done.stdout == json.dumps(full_desk.service.enrollments(), indent=2, sort_keys=True) + "\n"
    query = full_desk.emulator.requests("query")[0]
    assert query["status"] == 200


@pytest.mark.difference(3)
def test_what_is_asked(full_desk):
    full_desk.restart("--ledger-bodies")
    assert len(names(full_desk.run("list"))) == 4
    assert full_desk.bodies("query") == [{"query": "SELECT * FROM enrollments"}]


def test_nothing_is_an_empty_array(desk):
    assert desk.run("list").stdout == "[]\n"
    assert desk.run("list", "-o", "jsonl").stdout == ""


@pytest.mark.parametrize("words, expected", [
    (["--provisioning-status", "Disabled"], ["a-2"]), (["--ps=enabled"], ["a-1", "b-1", "b-2"]), (["--at", "TPM"], []),
    (["--attestation-type", "symmetrickey"], ["a-1", "a-2", "b-1", "b-2"]), (["--hub", HUB.upper()], ["b-1"]),
    (["--id-prefix", "A-"], ["a-1", "a-2"]), (["--id-prefix", "b", "--top", "1"], ["b-1"]), (["--top", "3"], ["a-1", "a-2", "b-1"]),
    (["--top", "-1"], ["a-1", "a-2", "b-1", "b-2"]), (["--ps", "disabled", "--hub", HUB], [])])
def test_conditions(full_desk, words, expected):
    assert names(full_desk.run("list", *words)) == expected


@pytest.mark.parametrize("words", [["--top", "0"], ["--top=-2"], ["--top", "x"], ["--top="], ["--ps", "off"], ["--fields", "a,,b"],
                                   ["--fields", "etag,etag"], ["--rate", "0"], ["--rate", "5/x"], ["surplus"]])
def test_wrong_lines_send_nothing(desk, words):
    done = desk.run("list", *words)
    assert (done.status, done.cause) == (2, "E1001"), done
    assert desk.emulator.ledger() == []


def test_pages_follow_each_other(full_desk):
    """Two rows a page at most: --top asks for what is still wanted."""
    multiply(full_desk, "a-1", [f"c-{n:04}" for n in range(1200)])
    done = full_desk.run("list", "--top", "1100", "-o", "jsonl")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 1100 and len({row["registrationId"] for row in rows}) == 1100
    assert len(full_desk.emulator.requests("query")) == 3


def test_a_name_that_is_nowhere_is_told(full_desk):
    done = full_desk.run("list", "--fields", "registrationId,deviceId,devicId")
    assert done.status == 0 and "nothing that was listed has 'devicId'" in done.stderr and "'deviceId'" not in done.stderr, done
    done = full_desk.run("list", "--fields", "registrationId,devicId", "--id-prefix", "none")
    assert done.stdout == "[]\n" and "devicId" not in done.stderr, done


def test_a_service_that_names_a_page_as_its_own_next_one(station, tmp_path):
    answers = {("POST", "/enrollments/query"): json.dumps([symmetric("a-1")])}
    with ScriptedService(tmp_path / "service", answers, "x-ms-continuation: again\r\n") as service:
        done = station.muster("enrollment", "list", "--login-file", service.login_file, "--ca-file", service.ca_file)
        assert done.cause == "E5121" and "the page after this one is this one" in done.stderr, done
        assert len([row for row in service.requests if row[0] == "POST"]) == 2


def test_formats(full_desk):
    table = full_desk.run("list", "-o", "table").stdout.splitlines()
    assert table[0].split()[:2] == ["REGISTRATION", "ID"] and len(table) == 5
    rows = full_desk.run("list", "-o", "tsv", "--fields", "registrationId,attestation.type,iotHubs,nothing").stdout.splitlines()
    assert rows[2].split("\t") == ["b-1", "symmetricKey", HUB, ""]
    chosen = full_desk.run("list", "--fields", " registrationId, deviceId\t", "--id-prefix", "b").json
    assert chosen == [{"registrationId": "b-1", "deviceId": None}, {"registrationId": "b-2", "deviceId": "Other"}]
    assert full_desk.run("list", "-o", "yaml", "--fields", "registrationId").stdout.splitlines() == [
        "- registrationId: a-1", "- registrationId: a-2", "- registrationId: b-1", "- registrationId: b-2"]
    assert full_desk.run("list", "-o", "none").stdout == ""


def test_a_page_that_is_too_large_is_asked_for_in_parts(desk):
    """Each enrollment has 20 KB of tags, so 500 of them are more than muster takes in one answer."""
    desk.service.put("big", symmetric("big", initialTwin={"tags": {"text": "x" * 20000}, "properties": {"desired": {}}}))
    multiply(desk, "big", [f"big-{n:03}" for n in range(120)])
    assert len(names(desk.run("list"))) == 121


@pytest.mark.parametrize("fault", ["query:status=500:count=1", "query:cut-after:count=1", "query:truncated:count=1:skip=1",
                                   "query:status=429:retry-after=1:count=1"])
def test_a_lost_page_is_asked_for_again(desk, fault):
    desk.service.put("one", symmetric("one"))
    multiply(desk, "one", [f"n-{n:04}" for n in range(900)], "--fault", fault)
    assert len(names(desk.run("list"))) == 901


@pytest.mark.parametrize("kind", ["html", "empty", "deep", "huge", "text"])
def test_garbage_is_no_page(full_desk, kind):
    full_desk.restart("--fault", f"query:garbage={kind}")
    done = full_desk.run("list")
    assert (done.status, done.cause) == (6, "E5121"), done


def test_a_page_that_never_comes_is_a_service_out_of_reach(full_desk):
    full_desk.restart("--fault", "query:cut-before")
    done = full_desk.run("list", timeout=400)
    assert (done.status, done.cause) == (6, "E5101"), done


def test_the_first_row_is_there_before_the_last_page(desk):
    """The second page hangs until somebody has seen a row of the first."""
    desk.service.put("one", symmetric("one"))
    multiply(desk, "one", [f"n-{n:04}" for n in range(900)], "--fault", "query:delay=600000:skip=1")
    process = subprocess.Popen([desk.station.build / "muster", "enrollment", "list", *map(str, desk.login())], cwd=desk.home,
                               env=environment(desk.station.build, desk.home), stdout=subprocess.PIPE, text=True)
    try:
        assert [process.stdout.readline() for _ in range(2)] == ["[\n", "  {\n"]
        assert process.poll() is None
        assert len(desk.emulator.requests("query")) == 1
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_hundred_thousand_in_little_memory(release_station, tmp_path):
    desk = EnrollmentDesk(release_station)
    desk.service.put("one", symmetric("one", initialTwin={"tags": {"line": "3"}, "properties": {"desired": {"interval": 60}}}))
    multiply(desk, "one", (f"device-{n:06}" for n in range(100000)))
    output = tmp_path / "list.jsonl"
    status, resident = run_measured(RELEASE, desk.home, output, "enrollment", "list", "-o", "jsonl", *desk.login())
    assert status == 0
    assert resident < 32 * 1024, resident
    with output.open() as stream:
        assert len({json.loads(line)["registrationId"] for line in stream}) == 100001
