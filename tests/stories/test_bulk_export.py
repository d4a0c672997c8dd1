"""muster enrollment export: whole files or none, keys only when asked for, and what import takes back."""
import csv
import io
import json
import stat

import pytest

from lib.bulk import KEYS, multiply, symmetric
from lib.enrollment import EnrollmentDesk, endorsement_key, storage_root_key
from lib.killer import TRACED

HUB = "hub-1.azure-devices.net"


@pytest.fixture
def desk(station):
    desk = EnrollmentDesk(station)
    for document in (symmetric("one", deviceId="Dev=1", iotHubs=[HUB], allocationPolicy="hashed",
                               initialTwin={"tags": {"note": 'a "quoted", text\n'}, "properties": {"desired": {"n": 12345678901234567890}}}),
                     symmetric("two", provisioningStatus="disabled", capabilities={"iotEdge": True})):
        status, answer = desk.service.put(document["registrationId"], document)
        assert status == 200, answer
    return desk


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_a_table_for_people(desk):
    path = desk.home / "all.csv"
    done = desk.run("export", path)
    assert done.status == 0 and done.stdout == "", done
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    one, two = rows_of(path.read_text())
    assert (one["registrationId"], one["deviceId"], one["iotHubs"], one["primaryKey"]) == ("one", "Dev=1", HUB, "")
    assert json.loads(one["tags"]) == {"note": 'a "quoted", text\n'} and "12345678901234567890" in one["properties"]
    assert (two["provisioningStatus"], two["iotEdge"]) == ("disabled", "true")
    assert desk.emulator.requests("mechanism") == []


def test_keys_are_included_when_asked_for(desk):
    path = desk.home / "all.csv"
    assert desk.run("export", path, "--include-keys").status == 0
    assert [row["primaryKey"] for row in rows_of(path.read_text())] == [KEYS["primaryKey"]] * 2


def test_standard_output(desk):
    done = desk.run("export", "-")
    assert [json.loads(line) for line in done.stdout.splitlines()] == desk.service.enrollments(), done
    assert len(rows_of(desk.run("export", "-", "--format", "CSV").stdout)) == 2


@pytest.mark.parametrize("name", ["all.csv", "all.jsonl"])
def test_what_is_exported_can_be_imported(desk, name):
    path = desk.home / name
    assert desk.run("export", path, "--include-keys").status == 0
    same = desk.run("import", path)
    assert same.status == 0 and same.json["already"] == 2, same
    before = desk.service.enrollments()
    for document in before:
        desk.service.delete(document["registrationId"])
    again = desk.run("import", path, "--restart")
    assert again.status == 0 and again.json["written"] == 2, again
    for old, new in zip(before, desk.service.enrollments()):
        changing = ("etag", "createdDateTimeUtc", "lastUpdatedDateTimeUtc")
        assert {k: v for k, v in old.items() if k not in changing} == {k: v for k, v in new.items() if k not in changing}


@pytest.mark.parametrize("name", ["all.csv", "all.jsonl"])
@pytest.mark.parametrize("mode", ["update", "update-if-match"])
def test_an_update_without_keys_is_refused(desk, name, mode):
    """The service would make new ones, which no device has."""
    path = desk.home / name
    assert desk.run("export", path).status == 0
    done = desk.run("import", path, "--mode", mode)
    assert (done.status, done.cause) == (2, "E1430"), done
    assert done.stderr.count("attestation.symmetricKey: lacks keys") == 2 and "--include-keys" in done.stderr, done
    path.unlink()
    assert desk.run("export", path, "--include-keys").status == 0
    done = desk.run("import", path, "--mode", mode)
    assert done.status == 0 and done.json["written"] == 2, done
    status, mechanism = desk.service.request("POST", "/enrollments/one/attestationmechanism")
    assert mechanism["symmetricKey"] == KEYS, status


def test_certificates_are_updated_from_json_lines(desk, certificates):
    certificate = certificates.make("first", "three").read_text()
    document = {"registrationId": "three", "attestation": {"type": "x509", "x509": {"clientCertificates": {
        "primary": {"certificate": certificate}}}}}
    assert desk.service.put("three", document)[0] == 200
    before = desk.service.enrollment("three")["attestation"]
    table, lines = desk.home / "all.csv", desk.home / "all.jsonl"
    for path in (table, lines):
        assert desk.run("export", path, "--include-keys").status == 0
    done = desk.run("import", table, "--mode", "update")
    assert (done.status, done.cause) == (2, "E1430") and "'certificate'" in done.stderr and "JSON Lines" in done.stderr, done
    lines.write_text(lines.read_text().replace('"provisioningStatus":"enabled"', '"provisioningStatus":"disabled"'))
    done = desk.run("import", lines, "--mode", "update")
    assert done.status == 0 and done.json["written"] == 3, done
    after = desk.service.enrollment("three")
    assert after["provisioningStatus"] == "disabled" and after["attestation"] == before


def test_a_hub_by_its_own_member_stays(desk):
    document = {"registrationId": "pinned", "attestation": {"type": "tpm", "tpm": {"endorsementKey": endorsement_key()}}, "iotHubHostName": HUB}
    assert desk.service.put("pinned", document)[0] == 200
    before = desk.service.enrollment("pinned")
    assert before["iotHubHostName"] == HUB
    path = desk.home / "all.csv"
    done = desk.run("export", path, "--include-keys")
    assert done.status == 0 and "no column" not in done.stderr, done
    assert desk.run("import", path, "--mode", "update").json["written"] == 3
    after = desk.service.enrollment("pinned")
    assert all(after[name] == before[name] for name in before if name not in ("etag", "lastUpdatedDateTimeUtc"))


def test_what_has_no_column_is_told(desk):
    """An update from the table would take it away."""
    keys = {"endorsementKey": endorsement_key(), "storageRootKey": storage_root_key()}
    assert desk.service.put("srk", {"registrationId": "srk", "attestation": {"type": "tpm", "tpm": keys}})[0] == 200
    for target in (desk.home / "all.csv", "-"):
        done = desk.run("export", target, "--format", "csv")
        assert done.status == 0 and "1 of the enrollments hold" in done.stderr and "'attestation.tpm.storageRootKey'" in done.stderr, done
    done = desk.run("export", desk.home / "all.jsonl")
    assert done.status == 0 and "no column" not in done.stderr, done


def test_an_existing_file_stays(desk):
    path = desk.home / "all.csv"
    path.write_text("mine")
    done = desk.run("export", path)
    assert (done.status, done.cause) == (11, "E6101"), done
    assert path.read_text() == "mine"


def test_a_file_is_whole_or_not_there(desk):
    multiply(desk, "one", [f"n-{number:04}" for number in range(900)], "--fault", "query:status=403:skip=1")
    directory = desk.home / "exports"
    directory.mkdir()
    done = desk.run("export", directory / "all.csv")
    assert (done.status, done.cause) == (5, "E5122"), done
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("words", [[], ["a.csv", "b.csv"], ["a.csv", "--format", "xml"]])
def test_wrong_lines(desk, words):
    done = desk.run("export", *words)
    assert (done.status, done.cause) == (2, "E1001"), done
    assert desk.emulator.requests("query") == []


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_what_is_lost_in_the_middle_ends_it(desk, format):
    """A disk that was full for a moment: what comes later goes through. Nobody is asked for the keys of the rest."""
    for number in range(40):
        document = symmetric(f"row-{number}", initialTwin={"tags": {"note": "x" * 200}})
        assert desk.service.put(document["registrationId"], document)[0] == 200
    lost = desk.home / "lost"
    fault = ["strace", "-qq", "-o", "/dev/null", "-P", lost, "-e", "trace=write", "-e", "inject=write:error=ENOSPC:when=1"]
    done = desk.run("export", "-", "--format", format, "--include-keys", env=TRACED,
                    wrapper=["sh", "-c", 'exec "$@" >' + str(lost), "sh", *fault])
    assert (done.status, done.cause) == (11, "E6102") and "No space left" in done.stderr, done
    assert len(desk.emulator.requests("mechanism")) < 40
