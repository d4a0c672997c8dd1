"""muster enrollment update: what is said changes, everything else goes back byte for byte."""
import base64
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib.enrollment import endorsement_key
from lib.tls_server import ScriptedService
from lib.wait import wait_until

EK, EK_2 = endorsement_key(), endorsement_key(2)
KEY_1, KEY_2, KEY_3 = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2, 3))
HUB_1, HUB_2 = "hub-1.azure-devices.net", "hub-2.azure-devices.net"
HOOK = {"webhookUrl": "https://f.example/api?code=x", "apiVersion": "2019-03-31"}
READ_ONLY = ("registrationState", "createdDateTimeUtc", "lastUpdatedDateTimeUtc")


def put(desk, document):
    status, answer = desk.service.put("e1", {"registrationId": "e1", **document})
    assert status == 200, answer
    return answer


def tpm(**members):
    return {"attestation": {"type": "tpm", "tpm": {"endorsementKey": EK}},
            "initialTwin": {"tags": {"t": 1}, "properties": {"desired": {"p": {"q": True}}}},
            "optionalDeviceInformation": {"color": "red"}, "deviceId": "d-1", **members}


def update(desk, *words, status=0):
    done = desk.run("update", "--enrollment-id", "e1", *words)
    assert done.status == status, done
    return done


def sent(desk):
    rows = [row for row in desk.emulator.requests("put") if row["ifMatch"]]
    return rows[-1], json.loads(rows[-1]["body"])


def expected(read, changes):
    """What was read, without what only the service writes, with these members changed (None: removed)."""
    whole = {name: value for name, value in read.items() if name not in READ_ONLY}
    for path, value in changes.items():
        *way, last = path.split(".")
        place = whole
        for name in way:
            place = place.setdefault(name, {})
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return whole


OPTIONS = [
    ([], {}),
    (["--ek", EK_2], {"attestation.tpm.endorsementKey": EK_2}),
    (["--device-id", "d-2"], {"deviceId": "d-2"}),
    (["-d", ""], {"deviceId": None}),
    (["--provisioning-status", "Disabled"], {"provisioningStatus": "disabled"}),
    (["--edge-enabled"], {"capabilities.iotEdge": True}),
    (["--ee", "false"], {"capabilities.iotEdge": False}),
    (["--ps=ENABLED", "--endorsement-key", EK_2], {"attestation.tpm.endorsementKey": EK_2}),
    (["--reprovision-policy", "reprovisionandresetdata"],
     {"reprovisionPolicy": {"updateHubAssignment": True, "migrateDeviceData": False}}),
    (["--initial-twin-tags", '{"n":3}', "--initial-twin-properties", "{'n':4}"],
     {"initialTwin.tags": {"n": 3}, "initialTwin.properties.desired": {"n": 4}}),
    (["--rp", "never"], {"reprovisionPolicy": {"updateHubAssignment": False, "migrateDeviceData": False}}),
    (["--tags", "{'n':2}"], {"initialTwin.tags": {"n": 2}}),
    (["--tags", ""], {"initialTwin.tags": {}}),
    (["--props", '{"n":2}'], {"initialTwin.properties.desired": {"n": 2}}),
    (["--props", ""], {"initialTwin.properties.desired": {}}),
    (["--tags", "", "--props", ""], {"initialTwin.tags": {}, "initialTwin.properties.desired": {}}),
    (["--info", "{'color':'blue'}"], {"optionalDeviceInformation": {"color": "blue"}}),
    (["--device-information", '{"color":"green"}'], {"optionalDeviceInformation": {"color": "green"}}),
    (["--info", ""], {"optionalDeviceInformation": {}}),
    (["--ap", "hashed"], {"allocationPolicy": "hashed"}),
    (["--ap", "geolatency", "--ih", HUB_1, HUB_2], {"allocationPolicy": "geoLatency", "iotHubs": [HUB_1, HUB_2]}),
    (["--ap", "static", "--ih", HUB_2], {"allocationPolicy": "static", "iotHubs": [HUB_2]}),
    (["--hn", HUB_1], {"allocationPolicy": "static", "iotHubs": [HUB_1]}),
    (["--iot-hub-host-name", HUB_2], {"allocationPolicy": "static", "iotHubs": [HUB_2]}),
    (["--allocation-policy", "HASHED", "--iot-hubs", f"{HUB_1} {HUB_2}"],
     {"allocationPolicy": "hashed", "iotHubs": [HUB_1, HUB_2]}),
    (["--ap", "custom", "--webhook-url", HOOK["webhookUrl"], "--api-version", HOOK["apiVersion"]],
     {"allocationPolicy": "custom", "customAllocationDefinition": HOOK}),
    (["--ap", "custom", "--wh", HOOK["webhookUrl"], "--av", HOOK["apiVersion"]],
     {"allocationPolicy": "custom", "customAllocationDefinition": HOOK}),
]


@pytest.mark.parametrize("words, changes", OPTIONS, ids=[" ".join(w)[:40] or "nothing" for w, _ in OPTIONS])
def test_option(desk, words, changes):
    put(desk, tpm())
    read = desk.service.enrollment("e1")
    done = update(desk, *words)
    row, body = sent(desk)
    assert (row["method"], row["path"], row["ifMatch"]) == ("PUT", "/enrollments/e1", read["etag"])
    assert json.dumps(body, sort_keys=True) == json.dumps(expected(read, changes), sort_keys=True)
    stored = desk.service.enrollment("e1")
    assert done.json["etag"] == stored["etag"] != read["etag"]
    assert {name: stored.get(name) for name in ("deviceId", "initialTwin", "optionalDeviceInformation")} == \
        {name: body.get(name) for name in ("deviceId", "initialTwin", "optionalDeviceInformation")}


def test_symmetric_keys_always_go_back(desk):
    put(desk, {"attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY_1, "secondaryKey": KEY_2}}})
    for words, keys in (([], (KEY_1, KEY_2)), (["--pk", KEY_3], (KEY_3, KEY_2)), (["--sk", KEY_1], (KEY_3, KEY_1)),
                        (["--primary-key", KEY_1, "--secondary-key", KEY_2], (KEY_1, KEY_2))):
        update(desk, *words)
        assert sent(desk)[1]["attestation"] == {"type": "symmetricKey", "symmetricKey": dict(zip(("primaryKey", "secondaryKey"), keys))}
    assert len(desk.emulator.requests("mechanism")) == 4


@pytest.mark.parametrize("words, goes", [([], False), (["--pk", KEY_3], False), (["--pk", KEY_3, "--sk", KEY_1], True)])
def test_without_the_keys_that_go_back_nothing_is_written(desk, words, goes):
    """The service would make new ones, and the device's would end."""
    put(desk, {"attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY_1, "secondaryKey": KEY_2}}})
    desk.restart("--ledger-bodies", "--fault", "mechanism:garbage=no-keys")
    done = desk.run("update", "--eid", "e1", "--ps", "disabled", *words)
    assert (done.status, done.cause) == ((0, None) if goes else (6, "E5121")), done
    assert len(desk.emulator.requests("put")) == int(goes)


UPDATE, SHOW = ["update", "--eid", "e1", "--ps", "disabled"], ["show", "--eid", "e1", "--show-keys"]


@pytest.mark.parametrize("operation, fault, words, cause", [
    ("get", "cut-before", UPDATE, "E5101"), ("mechanism", "truncated", SHOW, "E5101"),
    *((operation, f"garbage={kind}", words, "E5121") for operation in ("get", "mechanism") for kind in ("html", "huge")
      for words in (UPDATE, SHOW))])
def test_what_only_is_read_leaves_nothing_unknown(desk, operation, fault, words, cause):
    put(desk, {"attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY_1, "secondaryKey": KEY_2}}})
    desk.restart("--fault", f"{operation}:{fault}")
    done = desk.run(*words, timeout=400)
    assert (done.status, done.cause) == (6, cause), done
    assert desk.emulator.requests("put") == []


def test_certificates_are_replaced_and_removed(desk, certificates):
    first, second, third = (certificates.make(name, "e1") for name in ("first", "second", "third"))
    pem = {path: path.read_text().strip() for path in (first, second, third)}
    put(desk, {"attestation": {"type": "x509", "x509": {"clientCertificates": {
        "primary": {"certificate": pem[first]}, "secondary": {"certificate": pem[second]}}}}})
    info = desk.service.enrollment("e1")["attestation"]["x509"]["clientCertificates"]
    steps = [
        (["--ps", "disabled"], {"primary": info["primary"], "secondary": info["secondary"]}),
        (["--scp", third], {"primary": info["primary"], "secondary": {"certificate": pem[third]}}),
        (["--rc", "--cp", third], {"primary": {"certificate": pem[third]}, "secondary": None}),
        (["--remove-secondary-certificate"], {"primary": None}),
        (["--rc", "true", "--scp", first], {"secondary": {"certificate": pem[first]}}),
        (["--certificate-path", second, "--secondary-certificate-path", third],
         {"primary": {"certificate": pem[second]}, "secondary": {"certificate": pem[third]}}),
        (["--remove-certificate", "TRUE"], {"secondary": None}),
        (["--rsc=false", "--ps", "enabled"], {"secondary": None}),
    ]
    for words, sides in steps:
        before = desk.service.enrollment("e1")["attestation"]["x509"]["clientCertificates"]
        update(desk, *words)
        assert sent(desk)[1]["attestation"]["x509"]["clientCertificates"] == {
            side: value or before[side] for side, value in sides.items()}


# -- The ways in which az changes what nobody asked for ---------------------------------------------------------------

@pytest.mark.difference(4)
def test_hubs_survive_a_change_of_policy(desk):
    put(desk, tpm(allocationPolicy="hashed", iotHubs=[HUB_1, HUB_2]))
    update(desk, "--ap", "geoLatency")
    assert desk.service.enrollment("e1")["iotHubs"] == [HUB_1, HUB_2]
    update(desk, "--ih", HUB_2)
    stored = desk.service.enrollment("e1")
    assert (stored["allocationPolicy"], stored["iotHubs"]) == ("geoLatency", [HUB_2])


@pytest.mark.difference(4)
def test_a_changed_policy_drops_a_stale_custom_definition(desk):
    put(desk, tpm(allocationPolicy="custom", customAllocationDefinition=HOOK))
    update(desk, "--wh", "https://g.example/api")
    assert sent(desk)[1]["customAllocationDefinition"] == {**HOOK, "webhookUrl": "https://g.example/api"}
    update(desk, "--ap", "hashed")
    assert "customAllocationDefinition" not in sent(desk)[1]


@pytest.mark.difference(4)
def test_host_name_of_a_hub_works_on_update(desk):
    put(desk, tpm(allocationPolicy="hashed", iotHubs=[HUB_1, HUB_2]))
    done = update(desk, "--hn", HUB_2)
    assert (done.json["allocationPolicy"], done.json["iotHubs"]) == ("static", [HUB_2])


@pytest.mark.difference(2)
@pytest.mark.parametrize("words, cleared", [
    (["-d", ""], "deviceId"), (["--info", ""], "optionalDeviceInformation"), (["--tags", ""], "initialTwin.tags"),
    (["--props", ""], "initialTwin.properties.desired")], ids=["d", "info", "tags", "props"])
def test_empty_texts_clear_exactly_that(desk, words, cleared):
    put(desk, tpm())
    read = desk.service.enrollment("e1")
    update(desk, *words)
    stored = desk.service.enrollment("e1")
    changes = {cleared: None if cleared == "deviceId" else {}, "etag": stored["etag"]}
    assert expected(stored, {}) == expected(read, changes)


SYMMETRIC = {"attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY_1, "secondaryKey": KEY_2}}}
HOOKED = tpm(allocationPolicy="custom", customAllocationDefinition=HOOK)
EMPTY = [(SYMMETRIC, "--pk"), (SYMMETRIC, "--sk"), (tpm(), "--ek"), (tpm(), "--cp"), (tpm(), "--scp"), (tpm(), "--pk"), (HOOKED, "--wh"),
         (HOOKED, "--av"), (tpm(), "--wh"), (tpm(allocationPolicy="hashed", iotHubs=[HUB_1]), "--hn")]


@pytest.mark.parametrize("document, option", EMPTY, ids=[f"{document['attestation']['type']}{option}" for document, option in EMPTY])
def test_other_empty_texts_change_nothing(desk, document, option):
    """As with az: what is left of a variable that nobody set."""
    put(desk, document)
    read = desk.service.enrollment("e1")
    read["attestation"] = document["attestation"]
    done = update(desk, option, "", "--ps", "disabled")
    assert " is empty, going on without it" in done.stderr, done
    assert sent(desk)[1] == expected(read, {"provisioningStatus": "disabled"})


@pytest.mark.difference(2)
def test_a_twin_is_never_wrapped(desk):
    put(desk, tpm(initialTwin={"tags": {"version": "1", "count": "c", "metadata": {"m": 1}}, "properties": {"desired": {}}}))
    for _ in range(2):
        update(desk, "--ps", "disabled")
    assert desk.service.enrollment("e1")["initialTwin"]["tags"] == {"version": "1", "count": "c", "metadata": {"m": 1}}


ODD = ('{"zeta":1e400, "registrationId":"e1",\n"attestation":{"type":"tpm","tpm":{"endorsementKey":"%s","storageRootKey":null},'
       '"credentialPolicyName":"p"},"etag":"b2Rk","big":123456789012345678901234567890,"escaped":"\\u00e9\\/",'
       '"initialTwin":{"tags":{"n":1.10,"additional_properties":{}},"properties":{"desired":{}}},"deviceId":null,'
       '"createdDateTimeUtc":"2026-01-01T00:00:00Z","lastUpdatedDateTimeUtc":"2026-01-01T00:00:00Z" , "last":[1 , 2] }' % EK)


@pytest.mark.difference(2)
def test_untouched_members_go_back_byte_for_byte(desk, tmp_path):
    with ScriptedService(tmp_path / "server", {("GET", "/enrollments/e1"): ODD, ("PUT", "/enrollments/e1"): ODD}) as service:
        done = desk.station.muster("enrollment", "update", "--eid", "e1", "--ps", "disabled", "--login-file", service.login_file,
                                   "--ca-file", service.ca_file)
        assert done.status == 0, done
        method, _, headers, body = service.requests[-1]
    assert (method, headers["If-Match"]) == ("PUT", "b2Rk")
    start = ODD.index('"createdDateTimeUtc"')
    assert body.decode() == ODD[:start] + '"last":[1 , 2] ,"provisioningStatus":"disabled"}'


# -- Etags --------------------------------------------------------------------------------------------------------------

@pytest.mark.difference(1)
@pytest.mark.parametrize("words, if_match", [([], "{etag}"), (["--etag", "{etag}"], "{etag}"), (["-e", "*"], "*"),
                                             (["--force"], "*")], ids=["read", "given", "star", "force"])
def test_if_match(desk, words, if_match):
    etag = put(desk, tpm())["etag"]
    update(desk, "--ps", "disabled", *(word.format(etag=etag) for word in words))
    assert sent(desk)[0]["ifMatch"] == if_match.format(etag=etag)


@pytest.mark.difference(1)
def test_what_changed_meanwhile_is_explained_member_by_member(desk):
    put(desk, tpm())
    desk.restart("--ledger-bodies", "--fault", "get:delay-after=4000:count=1")
    with ThreadPoolExecutor() as pool:
        running = pool.submit(desk.run, "update", "--eid", "e1", "--rp", "never")
        wait_until(lambda: desk.emulator.requests("get", "e1"), 60, "reading the enrollment")
        desk.overwrite("e1", tpm(provisioningStatus="disabled", deviceId="d-9"))
        done = running.result()
    assert (done.status, done.cause) == (7, "E5110"), done
    detail = done.error["detail"]
    assert 'provisioningStatus: was "enabled", is now "disabled"' in detail, done
    assert 'deviceId: was "d-1", is now "d-9"' in detail and "tracking ID" in detail, done
    stored = desk.service.enrollment("e1")
    assert stored["deviceId"] == "d-9" and stored["reprovisionPolicy"]["updateHubAssignment"] is True


def test_an_etag_that_is_old(desk):
    etag = put(desk, tpm())["etag"]
    done = update(desk, "--ps", "disabled", "--etag", "b2xk", status=7)
    assert done.cause == "E5110" and etag in done.error["detail"], done
    assert desk.service.enrollment("e1")["provisioningStatus"] == "enabled"


@pytest.mark.parametrize("fault, puts", [
    ("put:status-after=500:count=1", 1), ("put:cut-after:count=1", 1), ("put:status=503:count=1", 2),
    ("put:cut-before:count=1", 2), ("put:garbage:count=1", 1), ("put:garbage=wrong-id:count=1", 1)])
@pytest.mark.parametrize("force", [[], ["--force"]], ids=["etag", "force"])
def test_an_update_without_an_answer_is_read_back(desk, fault, puts, force):
    put(desk, tpm())
    desk.restart("--ledger-bodies", "--fault", fault)
    done = update(desk, "--ps", "disabled", *force)
    assert done.json["provisioningStatus"] == "disabled"
    assert len(desk.emulator.requests("put")) == puts and len(desk.emulator.effects("put")) == 1
    assert done.json["etag"] == desk.service.enrollment("e1")["etag"]


# -- Refused ------------------------------------------------------------------------------------------------------------

CONTRADICTIONS = [
    ("tpm", ["--cp", "{certificate}"], "--certificate-path belongs to attestation x509"),
    ("tpm", ["--rc"], "--remove-certificate belongs"),
    ("tpm", ["--pk", KEY_1], "--primary-key belongs"),
    ("tpm", ["--ih", HUB_1], "--iot-hubs needs --allocation-policy"),
    ("tpm", ["--ap", "static"], "exactly one hub"),
    ("tpm", ["--ap", "custom", "--wh", "https://f.example"], "--webhook-url and --api-version"),
    ("tpm", ["--wh", "https://f.example"], "--webhook-url belongs to custom"),
    ("tpm", ["--hn", HUB_1, "--ap", "static"], "--iot-hub-host-name is static"),
    ("symmetricKey", ["--ek", EK], "--endorsement-key belongs to attestation tpm"),
    ("symmetricKey", ["--rsc"], "--remove-secondary-certificate belongs"),
    ("x509", ["--sk", KEY_1], "--secondary-key belongs"),
    ("x509", ["--rc"], "only certificate"),
    ("x509", ["--rc", "--rsc"], "only certificate"),
]


@pytest.mark.difference(6)
@pytest.mark.parametrize("kind, words, sentence", CONTRADICTIONS, ids=[f"{k} {' '.join(w)[:40]}" for k, w, _ in CONTRADICTIONS])
def test_contradiction(desk, certificates, kind, words, sentence):
    path = certificates.make("e1")
    put(desk, {"tpm": tpm(), "symmetricKey": {"attestation": {"type": "symmetricKey"}},
               "x509": {"attestation": {"type": "x509", "x509": {"clientCertificates": {
                   "primary": {"certificate": path.read_text()}}}}}}[kind])
    done = update(desk, *(word.replace("{certificate}", str(path)) for word in words), status=2)
    assert done.cause == "E1411" and sentence in done.stderr, done
    assert len(desk.emulator.requests("put")) == 1


MALFORMED = [
    (["--at", "tpm"], "E1001"), (["--tags", "{'a'"], "E1410"), (["--cp", "/nowhere"], "E1002"), (["--ps", "on"], "E1001"),
    (["--etag", "x", "--force"], "E1411"), (["--rc", "yes"], "E1001"), (["--hn", HUB_1, "--ih", HUB_1], "E1411")]


@pytest.mark.parametrize("words, cause", MALFORMED, ids=[" ".join(w) for w, _ in MALFORMED])
def test_malformed(desk, words, cause):
    done = update(desk, *words, status=2)
    assert done.cause == cause, done
    assert desk.emulator.ledger() == []


def test_an_update_of_what_is_not_there(desk):
    assert update(desk, "--ps", "disabled", status=3).cause == "E5108"
    assert desk.emulator.requests("put") == []


def test_dry_run_reads_and_writes_nothing(desk):
    put(desk, {"attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY_1, "secondaryKey": KEY_2}}})
    done = update(desk, "--pk", KEY_3, "--dry-run")
    assert KEY_1 not in done.stdout and KEY_2 not in done.stdout and KEY_3 not in done.stdout
    assert done.json["ifMatch"] == desk.service.enrollment("e1")["etag"] and done.json["method"] == "PUT"
    assert len(desk.emulator.requests("put")) == 1
