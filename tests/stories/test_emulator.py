"""The local service, as the vendors' SDKs meet it."""
import base64
import email.utils
import json
import os
import ssl
import subprocess
import time

import pytest

from emulator_client import BUILD, HUBS, Device, Service, derive, make_certificate, sign, symmetric, x509


@pytest.fixture
def make_service(tmp_path):
    made = []

    def make(*arguments, name="dps", **options):
        made.append(Service(tmp_path / name, *arguments, **options))
        return made[-1]

    yield make
    for service in made:
        service.stop()


@pytest.fixture
def service(make_service):
    return make_service()


def error(answer):
    document = answer.json
    assert answer.headers["x-ms-error-code"] == str(document["errorCode"])
    assert answer.headers["x-ms-request-id"] == document["trackingId"]
    assert answer.status == document["errorCode"] // 1000
    assert document["message"]
    assert len(document["timestampUtc"]) == len("2026-11-23T10:41:07.1230000Z")
    return document["errorCode"]


# -- Enrollments --------------------------------------------------------------------------------------------------


def test_create_read_update_delete(service):
    created = service.put(symmetric("dev-1", deviceId="Device-1"))
    assert created.status == 200, created
    assert created.headers["content-type"].startswith("application/json")
    document = created.json
    assert document["provisioningStatus"] == "enabled"
    assert document["reprovisionPolicy"] == {"updateHubAssignment": True, "migrateDeviceData": True}
    assert document["capabilities"] == {"iotEdge": False}
    assert len(base64.b64decode(document["attestation"]["symmetricKey"]["primaryKey"])) == 64
    assert base64.b64decode(document["etag"]).startswith(b'"')

    read = service.call("GET", "/enrollments/DEV-1").json
    assert read["attestation"] == {"type": "symmetricKey"}
    assert read["etag"] == document["etag"]
    mechanism = service.call("POST", "/enrollments/dev-1/attestationmechanism").json
    assert mechanism == document["attestation"]

    assert error(service.put(symmetric("dev-1"))) == 409201
    assert error(service.put(symmetric("dev-1"), If_Match="d3Jvbmc=")) == 412001
    changed = service.put({**document, "provisioningStatus": "Disabled"}, If_Match=document["etag"]).json
    assert changed["provisioningStatus"] == "disabled"
    assert changed["etag"] != document["etag"]
    assert changed["createdDateTimeUtc"] == document["createdDateTimeUtc"]
    quoted = service.put({**document, "deviceId": "other"}, If_Match=f'"{changed["etag"]}"')
    assert quoted.json["deviceId"] == "other"
    assert service.put(document, If_Match="*").status == 200
    assert error(service.put(symmetric("nobody"), If_Match="*")) == 404201

    assert error(service.call("DELETE", "/enrollments/dev-1", headers={"If-Match": document["etag"]})) == 412001
    gone = service.call("DELETE", "/enrollments/dev-1")
    assert (gone.status, gone.raw) == (204, b"")
    assert error(service.call("GET", "/enrollments/dev-1")) == 404201
    assert error(service.call("DELETE", "/enrollments/dev-1")) == 404201
    assert service.effects("dev-1") == ["create", "update", "update", "update", "delete"]


@pytest.mark.parametrize("change", [
    {"registrationId": "other"},
    {"registrationId": "a b"},
    {"deviceId": "no/slash"},
    {"attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": "c2hvcnQ="}}},
    {"attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": "A" * 88}}},
    {"attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": "not base64!"}}},
    {"attestation": {"type": "none"}},
    {"attestation": None},
    {"attestation": {"type": "tpm", "tpm": {"endorsementKey": "AToAAQALAAMAsgAg"}}},
    {"attestation": {"type": "x509", "x509": {"clientCertificates": {"primary": {"certificate": "MIIB"}}}}},
    {"attestation": {"type": "x509", "x509": {"clientCertificates": {}}}},
    {"attestation": {"type": "x509", "x509": {"caReferences": {"primary": "ca"}}}},
    {"iotHubHostName": "other.azure-devices.net"},
    {"iotHubs": ["other.azure-devices.net"]},
    {"iotHubs": "hub-a.azure-devices.net"},
    {"provisioningStatus": "paused"},
    {"allocationPolicy": "nearest"},
    {"allocationPolicy": "static"},
    {"allocationPolicy": "custom"},
    {"customAllocationDefinition": {"webhookUrl": "https://x.example/", "apiVersion": "2018-04-01"}},
    {"customAllocationDefinition": {"webhookUrl": "ftp://x.example/", "apiVersion": "2021-10-01"}},
    {"capabilities": {"iotEdge": "yes"}},
    {"reprovisionPolicy": {"updateHubAssignment": True}},
    {"initialTwin": {"tags": []}},
    {"optionalDeviceInformation": "text"},
], ids=lambda change: json.dumps(change)[:60])
def test_is_as_strict_as_the_service(service, change):
    document = {**symmetric("dev-1"), **change}
    assert error(service.call("PUT", "/enrollments/dev-1", document)) == 400004
    assert error(service.call("GET", "/enrollments/dev-1")) == 404201


def test_takes_what_clients_spell_their_own_way(service):
    document = symmetric("dev:1", allocationPolicy="geolatency", initialTwin=None, etag="", unknownMember=7)
    answer = service.call("PUT", "/Enrollments/dev%3A1/", document)
    assert answer.status == 200, answer
    assert answer.json["allocationPolicy"] == "geoLatency"
    assert service.call("POST", "/enrollments/dev%3a1/attestationMechanism").status == 200


def test_requests_that_are_no_requests(service):
    assert error(service.call("GET", "/enrollments/dev-1", version=None)) == 400001
    assert error(service.call("GET", "/enrollments/dev-1", version="2017-01-01")) == 400001
    assert error(service.call("PATCH", "/enrollments/dev-1", "{}")) == 405001
    assert error(service.call("GET", "/nothing/here/at/all/of/it")) == 404002
    assert error(service.call("PUT", "/enrollments/dev-1", "{}", {"Content-Type": "text/plain"})) == 415001
    for body in ("{", "[]", '{"a":1,"a":2}', "{} x"):
        assert error(service.call("PUT", "/enrollments/dev-1", body)) == 400004
    assert error(service.call("PUT", "/enrollments/dev-1", json.dumps(symmetric("dev-1", x="y" * 98400)))) == 413001
    assert service.call("PUT", "/enrollments/dev-1", json.dumps(symmetric("dev-1", x="y" * 90000))).status == 200


def test_groups(service):
    group = {"enrollmentGroupId": "line-3", "attestation": {"type": "symmetricKey"}}
    document = service.put_group(group).json
    assert document["attestation"]["symmetricKey"]["primaryKey"]
    assert error(service.put_group(group)) == 409201
    assert "symmetricKey" not in service.call("GET", "/enrollmentgroups/line-3").json["attestation"]
    assert service.call("POST", "/enrollmentgroups/line-3/attestationmechanism").json == document["attestation"]
    page = service.call("POST", "/enrollmentGroups/query", {"query": "SELECT * FROM enrollmentGroups"})
    assert page.headers["x-ms-item-type"] == "EnrollmentGroup"
    assert [row["enrollmentGroupId"] for row in page.json] == ["line-3"]
    tpm = {**group, "enrollmentGroupId": "tpms", "attestation": {"type": "tpm", "tpm": {"endorsementKey": "AAAA"}}}
    assert error(service.put_group(tpm)) == 400004
    assert service.call("DELETE", "/enrollmentGroups/line-3").status == 204


# -- Bulk and query ---------------------------------------------------------------------------------------------


def test_bulk_items_stand_by_themselves(service):
    service.put(symmetric("b-2"))
    items = [symmetric(f"b-{number}") for number in range(5)] + [symmetric("b-5", provisioningStatus="odd")]
    answer = service.call("POST", "/enrollments/", {"mode": "create", "enrollments": items})
    assert answer.status == 200
    assert answer.json["isSuccessful"] is False
    errors = {row["registrationId"]: row["errorCode"] for row in answer.json["errors"]}
    assert errors == {"b-2": 409201, "b-5": 400004}
    assert [service.effects(f"b-{number}") for number in range(6)] == [["create"]] * 5 + [[]]

    etag = service.call("GET", "/enrollments/b-0").json["etag"]
    updates = [symmetric("b-0", etag=etag, deviceId="x"), symmetric("b-1", etag="d3Jvbmc=")]
    result = service.call("POST", "/enrollments", {"mode": "updateIfMatchEtag", "enrollments": updates}).json
    assert [row["errorCode"] for row in result["errors"]] == [412001]
    deleted = service.call("POST", "/enrollments", {"mode": "delete", "enrollments": [{"registrationId": "b-0"}]})
    assert deleted.json == {"errors": [], "isSuccessful": True}
    assert error(service.call("GET", "/enrollments/b-0")) == 404201


def test_bulk_as_a_whole_is_refused(service):
    for body in ({"mode": "create", "enrollments": [symmetric(f"x-{i}") for i in range(11)]},
                 {"mode": "create", "enrollments": [symmetric("x-1"), symmetric("X-1")]},
                 {"mode": "create", "enrollments": []},
                 {"mode": "replace", "enrollments": [symmetric("x-1")]}):
        assert error(service.call("POST", "/enrollments", body)) == 400004
    assert service.call("POST", "/enrollments/query", {"query": "*"}).json == []


def test_query_pages(service):
    for number in range(7):
        service.put(symmetric(f"q-{number}"))
    seen, token, pages = [], None, 0
    while True:
        headers = {"x-ms-max-item-count": "3", **({"x-ms-continuation": token} if token else {})}
        answer = service.call("POST", "/enrollments/query", {"query": "SELECT * FROM enrollments"}, headers)
        assert answer.headers["x-ms-item-type"] == "Enrollment"
        seen += [row["registrationId"] for row in answer.json]
        assert not any("symmetricKey" in row["attestation"] for row in answer.json)
        pages += 1
        token = answer.headers.get("x-ms-continuation")
        if token is None:
            break
    assert (seen, pages) == ([f"q-{number}" for number in range(7)], 3)
    for query in ("*", "", "select *"):
        assert len(service.call("POST", "/enrollments/query", {"query": query}).json) == 7
    assert error(service.call("POST", "/enrollments/query", {"query": "DROP TABLE"})) == 400004
    assert error(service.call("POST", "/enrollments/query", {"query": "*"}, {"x-ms-max-item-count": "0"})) == 400004


# -- Who may ----------------------------------------------------------------------------------------------------


def test_signatures(service):
    host, port = service.host.split(":")

    def ask(token):
        return service.request("GET", "/enrollments/dev-1", headers={"Authorization": token} if token else {})

    for good in (service.token(), service.token(resource=f"{host}:{port}"), service.token(resource=host.upper()),
                 service.token(resource=f"{host}/enrollments"), service.token(quote=False),
                 service.token(resource=f"{host}%2fenrollments%2fdev-1", quote=False),
                 service.token(seconds=-200)):
        assert error(ask(good)) == 404201, good
    other = base64.b64encode(b"x" * 32).decode()
    for bad in (None, "Bearer abc", "SharedAccessSignature x", service.token(key=other), service.token(seconds=-400),
                service.token(resource="elsewhere.example"), service.token(resource=f"{host}/registrations"),
                service.token(resource=f"{host}/enroll"), service.token(policy="nobody"),
                service.token() + "&sr=again"):
        assert error(ask(bad)) == 401002, bad


def test_policies_have_rights(make_service):
    service = make_service("--policy", "reader=EnrollmentRead", "--policy", "line=EnrollmentRead, EnrollmentWrite")
    policies = json.loads((service.directory / "state" / "instance.json").read_text())["policies"]
    keys = {row["keyName"]: row for row in policies}
    assert os.stat(service.directory / "state" / "instance.json").st_mode & 0o777 == 0o600

    def ask(policy, method, path, body=None, which="primaryKey"):
        token = service.token(key=keys[policy][which], policy=policy)
        return service.request(method, path, body, {"Authorization": token})

    assert error(ask("reader", "PUT", "/enrollments/dev-1", symmetric("dev-1"))) == 401002
    assert ask("line", "PUT", "/enrollments/dev-1", symmetric("dev-1")).status == 200
    assert ask("reader", "GET", "/enrollments/dev-1", which="secondaryKey").status == 200
    assert error(ask("reader", "POST", "/enrollments/dev-1/attestationmechanism")) == 401002
    assert error(ask("line", "GET", "/registrations/dev-1")) == 401002


# -- Devices ----------------------------------------------------------------------------------------------------


def test_symmetric_key_device(service):
    keys = service.put(symmetric("dev-1", deviceId="Device-1")).json["attestation"]["symmetricKey"]
    accepted = Device(service, "dev-1", keys["primaryKey"]).register()
    assert accepted.status == 202
    assert accepted.json == {"operationId": accepted.json["operationId"], "status": "assigning"}
    assert accepted.headers["retry-after"] == "0"
    state = Device(service, "dev-1", keys["primaryKey"]).finish(accepted)
    assert (state["status"], state["substatus"], state["deviceId"]) == ("assigned", "initialAssignment", "Device-1")
    assert state["assignedHub"] in HUBS
    assert state["symmetricKey"] == {}
    record = service.call("GET", "/registrations/dev-1").json
    assert (record["etag"], record["createdDateTimeUtc"]) == (state["etag"], state["createdDateTimeUtc"])
    assert service.call("GET", "/enrollments/dev-1").json["registrationState"] == record

    again = Device(service, "dev-1", keys["secondaryKey"]).provision()
    assert again["substatus"] == "reprovisionedToInitialAssignment"
    old = Device(service, "dev-1", keys["primaryKey"], version="2018-04-01").provision()
    assert old["substatus"] == "initialAssignment"

    path = f"/{service.scope}/registrations/dev-1"
    looked = service.request("POST", path, {"registrationId": "dev-1"}, Device(service, "dev-1", keys["primaryKey"]).headers())
    assert looked.json["status"] == "assigned"
    assert service.call("DELETE", "/registrations/dev-1").status == 204
    assert error(service.call("GET", "/registrations/dev-1")) == 404202


def test_devices_that_are_refused(service):
    keys = service.put(symmetric("dev-1")).json["attestation"]["symmetricKey"]
    other = base64.b64encode(b"x" * 64).decode()
    assert error(Device(service, "dev-1", other).register()) == 401002
    assert error(Device(service, "dev-1").register()) == 401002
    assert error(Device(service, "dev-2", other).register()) == 404201
    headers = Device(service, "dev-1", keys["primaryKey"]).headers()
    path = f"/{service.scope}/registrations/dev-1/register"
    assert error(service.request("PUT", path, {"registrationId": "dev-2"}, headers)) == 400004
    assert error(service.request("PUT", path.replace(service.scope, "0ne00000000"), {}, headers)) == 404001
    no_name = {"Authorization": sign(keys["primaryKey"], f"{service.scope}/registrations/dev-1")}
    assert error(service.request("PUT", path, {}, no_name)) == 401002
    gone = f"/{service.scope}/registrations/dev-1/operations/5.0000000000000000.none"
    assert error(service.request("GET", gone, headers=headers)) == 404202


def test_disabled_enrollment(service):
    keys = service.put(symmetric("dev-1", provisioningStatus="disabled")).json["attestation"]["symmetricKey"]
    state = Device(service, "dev-1", keys["primaryKey"]).provision()
    assert state["status"] == "disabled"
    assert "assignedHub" not in state


def test_group_device_uses_the_derived_key(service):
    group = {"enrollmentGroupId": "Line-3", "attestation": {"type": "symmetricKey"}}
    master = service.put_group(group).json["attestation"]["symmetricKey"]["primaryKey"]
    assert error(Device(service, "g-1", master).register()) == 401002
    state = Device(service, "g-1", derive(master, "g-1")).provision()
    assert (state["status"], state["deviceId"]) == ("assigned", "g-1")
    assert state["symmetricKey"]["enrollmentGroupId"] == "Line-3"
    rows = service.call("POST", "/registrations/line-3/query")
    assert rows.headers["x-ms-item-type"] == "DeviceRegistration"
    assert [row["registrationId"] for row in rows.json] == ["g-1"]


def encodings(path):
    pem = path.read_text()
    der = ssl.PEM_cert_to_DER_cert(pem)
    return pem, base64.b64encode(der).decode(), base64.b64encode(pem.encode()).decode()


def test_x509_device(service, tmp_path):
    certificate, key = make_certificate(tmp_path, "dev-x")
    stranger = make_certificate(tmp_path, "dev-y")
    (tmp_path / "twin").mkdir()
    twin = make_certificate(tmp_path / "twin", "dev-x")
    for text in encodings(certificate):
        service.call("DELETE", "/enrollments/dev-x")
        answer = service.put(x509("dev-x", text))
        assert answer.status == 200, answer
        primary = answer.json["attestation"]["x509"]["clientCertificates"]["primary"]
        assert set(primary) == {"info"}
    assert set(primary["info"]) == {"subjectName", "sha1Thumbprint", "sha256Thumbprint", "issuerName", "notBeforeUtc",
                                    "notAfterUtc", "serialNumber", "version"}
    assert primary["info"]["subjectName"] == "CN=dev-x"
    state = Device(service, "dev-x", certificate=(certificate, key)).provision()
    assert state["status"] == "assigned"
    assert "x509" in state
    assert error(Device(service, "dev-x", certificate=stranger).register()) == 401002
    assert error(Device(service, "dev-x", certificate=twin).register()) == 401002
    assert error(Device(service, "dev-x").register()) == 401002

    read = service.call("GET", "/enrollments/dev-x").json
    kept = service.put({**read, "deviceId": "renamed"}, If_Match=read["etag"])
    assert kept.status == 200, kept
    assert Device(service, "dev-x", certificate=(certificate, key)).provision()["status"] == "assigned"


def test_x509_group(service, tmp_path):
    authority = make_certificate(tmp_path, "line-ca", authority=True)
    leaf = make_certificate(tmp_path, "leaf-1", issuer=authority)
    group = {"enrollmentGroupId": "line-x", "attestation": {"type": "x509", "x509": {"signingCertificates": {
        "primary": {"certificate": authority[0].read_text()}}}}}
    assert service.put_group(group).status == 200
    state = Device(service, "leaf-1", certificate=leaf).provision()
    assert (state["status"], state["x509"]["enrollmentGroupId"]) == ("assigned", "line-x")
    assert error(Device(service, "leaf-1", certificate=make_certificate(tmp_path, "leaf-2")).register()) == 401002
    (tmp_path / "b").mkdir()
    assert error(Device(service, "leaf-1", certificate=make_certificate(tmp_path / "b", "leaf-1")).register()) == 401002


# -- Allocation -------------------------------------------------------------------------------------------------


def hub_device(service, hub, device_id):
    return service.call("GET", f"/emulator/hubs/{hub}/devices/{device_id}")


def move(service, registration_id, reprovision):
    """Assigned to the first hub, then enrolled for the second with another twin, then registered again."""
    document = symmetric(registration_id, iotHubs=[HUBS[0]], reprovisionPolicy=reprovision,
                         initialTwin={"tags": {"was": "first"}})
    document = service.put(document).json
    device = Device(service, registration_id, document["attestation"]["symmetricKey"]["primaryKey"])
    assert device.provision()["assignedHub"] == HUBS[0]
    document.update(iotHubs=[HUBS[1]], initialTwin={"tags": {"was": "second"}})
    assert service.put(document, If_Match="*").status == 200
    return device.provision()


def test_reprovision_policies(service):
    migrated = move(service, "m-1", {"updateHubAssignment": True, "migrateDeviceData": True})
    assert (migrated["assignedHub"], migrated["substatus"]) == (HUBS[1], "deviceDataMigrated")
    assert hub_device(service, HUBS[1], "m-1").json["tags"] == {"was": "first"}
    assert error(hub_device(service, HUBS[0], "m-1")) == 404202
    reset = move(service, "m-2", {"updateHubAssignment": True, "migrateDeviceData": False})
    assert (reset["assignedHub"], reset["substatus"]) == (HUBS[1], "deviceDataReset")
    assert hub_device(service, HUBS[1], "m-2").json["tags"] == {"was": "second"}
    never = move(service, "m-3", {"updateHubAssignment": False, "migrateDeviceData": False})
    assert never["assignedHub"] == HUBS[0]
    assert hub_device(service, HUBS[0], "m-3").json["tags"] == {"was": "first"}


def test_pinned_static_and_nearest_hub(make_service):
    service = make_service(hubs=("far.azure-devices.net,latency=90", "near.azure-devices.net,latency=5"))

    def hub_of(registration_id, **members):
        keys = service.put(symmetric(registration_id, **members)).json["attestation"]["symmetricKey"]
        return Device(service, registration_id, keys["primaryKey"]).provision()["assignedHub"]

    assert hub_of("a-1", allocationPolicy="geoLatency") == "near.azure-devices.net"
    assert hub_of("a-2", iotHubHostName="far.azure-devices.net") == "far.azure-devices.net"
    assert hub_of("a-3", allocationPolicy="static", iotHubs=["far.azure-devices.net"]) == "far.azure-devices.net"


# -- State ------------------------------------------------------------------------------------------------------


def test_a_restart_keeps_everything(service):
    keys = service.put(symmetric("dev-1")).json["attestation"]["symmetricKey"]
    accepted = Device(service, "dev-1", keys["primaryKey"]).register()
    before = service.about, open(service.about["caFile"]).read()
    service.kill()
    service.start()
    assert service.about["idScope"] == before[0]["idScope"]
    assert service.about["connectionString"].split(";")[1:] == before[0]["connectionString"].split(";")[1:]
    assert open(service.about["caFile"]).read() == before[1]
    assert service.call("POST", "/enrollments/dev-1/attestationmechanism").json["symmetricKey"] == keys
    assert Device(service, "dev-1", keys["primaryKey"]).finish(accepted)["status"] == "assigned"


def test_one_state_has_one_emulator(service):
    with pytest.raises(RuntimeError, match="E7101"):
        Service(service.directory)


# -- Faults -----------------------------------------------------------------------------------------------------


def is_cut(service, document):
    try:
        service.put(document)
    except (ConnectionError, ssl.SSLError, OSError):
        return True
    except Exception as problem:
        return type(problem).__name__ in ("RemoteDisconnected", "IncompleteRead", "BadStatusLine")
    return False


def test_faults_before_and_after_the_commit(make_service):
    service = make_service("--fault", "put:cut-before:count=1", "--fault", "put:cut-after:skip=1:count=1:id=f-2",
                           "--fault", "put:status=500:count=2:id=f-3", "--fault", "put:status-after=503:id=f-4",
                           "--fault", "put:truncated:id=f-5", "--fault", "get:status=429:retry-after=7:count=1")
    assert is_cut(service, symmetric("f-1"))
    assert service.effects("f-1") == []
    assert service.put(symmetric("f-1")).status == 200
    assert error(service.call("GET", "/enrollments/none")) == 429001
    assert error(service.call("GET", "/enrollments/none")) == 404201
    assert service.put(symmetric("f-2")).status == 200
    assert is_cut(service, symmetric("f-2"))
    assert [service.put(symmetric("f-3")).status for _ in range(3)] == [500, 500, 200]
    assert service.put(symmetric("f-4")).status == 503
    assert service.effects("f-4") == ["create"]
    assert is_cut(service, symmetric("f-5"))
    assert service.effects("f-5") == ["create"]
    rows = [row for row in service.ledger() if row["id"] == "f-3"]
    assert [(row["op"], row["attempt"], row["fault"], row["status"]) for row in rows] == [
        ("put", 1, "status", 500), ("put", 2, "status", 500), ("put", 3, "", 200)]


def test_delays_hold_nobody_else_up(make_service):
    service = make_service("--fault", "put:delay=4000:id=slow", "--fault", "put:trickle=400:id=drip")
    slow = service.connect()
    begun = time.monotonic()
    slow.request("PUT", "/enrollments/slow?api-version=2021-10-01", json.dumps(symmetric("slow")),
                 {"Authorization": service.token(), "Content-Type": "application/json"})
    for number in range(10):
        assert service.put(symmetric(f"quick-{number}")).status == 200
    assert service.effects("slow") == []
    assert slow.getresponse().status == 200
    assert time.monotonic() - begun >= 4
    begun = time.monotonic()
    assert service.put(symmetric("drip")).json["registrationId"] == "drip"
    assert time.monotonic() - begun > 1


def test_a_late_duplicate(make_service):
    service = make_service("--fault", "put:replay=100:count=1")
    assert service.put(symmetric("late")).status == 200
    limit = time.monotonic() + 10
    while len([row for row in service.ledger() if row["id"] == "late"]) < 2:
        assert time.monotonic() < limit
        time.sleep(0.01)
    assert [(row["fault"], row["status"]) for row in service.ledger()] == [("replay", 200), ("replay", 409)]


def test_half_a_bulk(make_service):
    service = make_service("--fault", "bulk:partial=2:count=1")
    answer = service.call("POST", "/enrollments", {"mode": "create", "enrollments": [symmetric(f"p-{i}") for i in range(4)]})
    assert answer.status == 500
    assert [service.effects(f"p-{number}") for number in range(4)] == [["create"], ["create"], [], []]


@pytest.mark.parametrize("option, waits", [("", "1"), (":retry-after=7", "7"), (":retry-after=none", None)])
def test_too_many_in_a_bulk(make_service, option, waits):
    service = make_service("--fault", f"bulk:throttled=2:count=1{option}")
    documents = [symmetric(f"t-{number}") for number in range(4)]
    answer = service.call("POST", "/enrollments", {"mode": "create", "enrollments": documents})
    assert answer.status == 200 and not answer.json["isSuccessful"] and answer.headers.get("retry-after") == waits
    assert [(row["registrationId"], row["errorCode"]) for row in answer.json["errors"]] == [("t-2", 429001), ("t-3", 429001)]
    assert [service.effects(f"t-{number}") for number in range(4)] == [["create"], ["create"], [], []]
    assert [row["status"] for row in service.ledger() if row["id"]] == [200, 200, 429, 429]
    rest = service.call("POST", "/enrollments", {"mode": "create", "enrollments": documents[2:]})
    assert rest.json == {"errors": [], "isSuccessful": True} and "retry-after" not in rest.headers


@pytest.mark.parametrize("kind", ["text", "html", "empty", "array", "wrong-id", "no-etag", "duplicate", "deep", "no-keys"])
def test_garbage(make_service, kind):
    service = make_service("--fault", f"put:garbage={kind}")
    answer = service.put(symmetric("dev-1"))
    assert answer.status == 200
    try:
        document = answer.json
    except (ValueError, RecursionError):
        document = None
    is_right = isinstance(document, dict) and document.get("registrationId") == "dev-1" and isinstance(document["etag"], str)
    assert not is_right or kind == "duplicate"
    assert service.effects("dev-1") == ["create"]


def test_odd_refusals(make_service):
    service = make_service("--fault", "put:redirect:count=1", "--fault", "put:status=429:retry-after=date:count=1",
                           "--fault", "put:status=429:retry-after=none:count=1")
    away = service.put(symmetric("o-1"))
    assert (away.status, away.headers["location"]) == (307, "https://elsewhere.invalid/enrollments/o-1")
    assert service.put(symmetric("o-1")).headers["retry-after"].endswith("GMT")
    assert "retry-after" not in service.put(symmetric("o-1")).headers
    assert service.effects("o-1") == []


def test_a_clock_of_its_own(make_service):
    service = make_service("--clock-offset", "7200")
    refused = service.call("GET", "/enrollments/dev-1")
    assert error(refused) == 401002
    seen = email.utils.parsedate_to_datetime(refused.headers["date"]).timestamp()
    assert abs(seen - time.time() - 7200) < 60
    late = service.token(seconds=7200 + 60)
    assert service.request("GET", "/enrollments/dev-1", headers={"Authorization": late}).status == 404


def test_throttle(make_service):
    service = make_service("--throttle", "fixed:3/3600:count=item", "--throttle", "bucket:2/3600:on=register")
    assert service.put(symmetric("t-1")).status == 200
    answer = service.call("POST", "/enrollments", {"mode": "create", "enrollments": [symmetric("t-2"), symmetric("t-3")]})
    assert answer.status == 200
    refused = service.put(symmetric("t-4"))
    assert error(refused) == 429001
    assert 0 < int(refused.headers["retry-after"]) <= 3600
    device = Device(service, "t-9", base64.b64encode(b"x" * 32).decode())
    assert [device.register().status for _ in range(3)] == [404, 404, 429]


def test_stops_with_requests_in_flight(make_service):
    service = make_service("--fault", "put:delay=600000", "--fault", "get:trickle=1")
    service_connections = []
    for method, path in (("PUT", "/enrollments/a"), ("GET", "/enrollments/a")):
        connection = service.connect()
        connection.request(method, f"{path}?api-version=2021-10-01", json.dumps(symmetric("a")),
                           {"Authorization": service.token(), "Content-Type": "application/json"})
        service_connections.append(connection)
    time.sleep(0.2)
    service.stop()
    for connection in service_connections:
        connection.close()


# -- Command line -----------------------------------------------------------------------------------------------


def run(*arguments):
    return subprocess.run([BUILD / "muster-emulator", *arguments], capture_output=True, text=True, timeout=20,
                          env={"PATH": "/usr/bin:/bin", "MUSTER_INSECURE_MEMORY": "1"})


def test_help_and_version(tmp_path):
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("--state", "--fault", "cut-after", "sliding"):
        assert word in done.stdout
    done = run("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "muster-emulator")


@pytest.mark.parametrize("arguments", [
    (), ("--stat",), ("--state",), ("--port", "65536"), ("extra",), ("--hub", "a b"), ("--hub", "a.example", "--hub", "A.example"),
    ("--policy", "x=Everything"), ("--fault", "put"), ("--throttle", "fixed"), ("--allocation", "custom"), ("--address", "here"),
], ids=" ".join)
def test_a_wrong_line_gets_one_sentence(tmp_path, arguments):
    state = () if arguments == () or arguments[0].startswith("--stat") else ("--state", str(tmp_path / "state"))
    done = run(*state, *arguments)
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert done.stderr.startswith("muster-emulator: E1001 ")


def test_a_port_that_is_taken(service, tmp_path):
    done = run("--state", str(tmp_path / "other"), "--port", service.host.split(":")[1])
    assert done.returncode == 4
    assert "E7102" in done.stderr
