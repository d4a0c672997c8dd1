"""muster enrollment create: every option, on the wire and in the store, as az has it."""
import ast
import base64
import json
import os

import pytest

from lib.enrollment import endorsement_key
from lib.software_token import write_secret

EK = endorsement_key()
KEY_1 = base64.b64encode(b"\x01" * 32).decode()
KEY_2 = base64.b64encode(b"\x02" * 64).decode()
HUB_1, HUB_2 = "hub-1.azure-devices.net", "hub-2.azure-devices.net"
TPM = ["--at", "tpm", "--ek", EK]


def body(attestation, **members):
    """What az sends, in its order: members that are there only when they were said go where they belong."""
    order = ["registrationId", "deviceId", "optionalDeviceInformation", "attestation", "capabilities", "initialTwin",
             "provisioningStatus", "reprovisionPolicy", "allocationPolicy", "iotHubs", "customAllocationDefinition"]
    whole = {"registrationId": "e1", "optionalDeviceInformation": {}, "attestation": attestation,
             "capabilities": {"iotEdge": False}, "initialTwin": {"tags": {}, "properties": {"desired": {}}},
             "reprovisionPolicy": {"updateHubAssignment": True, "migrateDeviceData": True}, **members}
    return {name: whole[name] for name in order if name in whole}


TPM_BODY = {"type": "tpm", "tpm": {"endorsementKey": EK}}
SYMMETRIC = {"type": "symmetricKey", "symmetricKey": {}}
TWIN = {"tags": {"a": 1}, "properties": {"desired": {"b": {"c": True}}}}


def twin(tags=None, desired=None):
    return {"initialTwin": {"tags": tags or {}, "properties": {"desired": desired or {}}}}


def policy(update, migrate):
    return {"reprovisionPolicy": {"updateHubAssignment": update, "migrateDeviceData": migrate}}


OPTIONS = [
    # attestation
    (["--attestation-type", "tpm", "--endorsement-key", EK], body(TPM_BODY)),
    (["--at=TPM", f"--ek={EK}"], body(TPM_BODY)),
    (["--at", "symmetrickey"], body(SYMMETRIC)),
    (["--at", "symmetricKey", "--primary-key", KEY_1], body({"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY_1}})),
    (["--at", "symmetricKey", "--pk", KEY_1, "--sk", KEY_2],
     body({"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY_1, "secondaryKey": KEY_2}})),
    (["--at", "symmetricKey", "--secondary-key", KEY_2],
     body({"type": "symmetricKey", "symmetricKey": {"secondaryKey": KEY_2}})),
    # what the device gets
    ([*TPM, "--device-id", "d-1"], body(TPM_BODY, deviceId="d-1")),
    ([*TPM, "-d", "d-1"], body(TPM_BODY, deviceId="d-1")),
    ([*TPM, "--provisioning-status", "disabled"], body(TPM_BODY, provisioningStatus="disabled")),
    ([*TPM, "--prov", "ENABLED"], body(TPM_BODY, provisioningStatus="enabled")),
    ([*TPM, "--ps=Disabled"], body(TPM_BODY, provisioningStatus="disabled")),
    ([*TPM, "--edge-enabled"], body(TPM_BODY, capabilities={"iotEdge": True})),
    ([*TPM, "--ee", "TRUE"], body(TPM_BODY, capabilities={"iotEdge": True})),
    ([*TPM, "--ee", "false"], body(TPM_BODY)),
    ([*TPM, "--ee=true"], body(TPM_BODY, capabilities={"iotEdge": True})),
    # twins
    ([*TPM, "--initial-twin-tags", '{"a":1}', "--initial-twin-properties", "{'b':{'c':True}}"], body(TPM_BODY, initialTwin=TWIN)),
    ([*TPM, "--tags", "{'a':1}", "--props", '{"b":{"c":true}}'], body(TPM_BODY, initialTwin=TWIN)),
    ([*TPM, "--tags", ""], body(TPM_BODY)),
    ([*TPM, "--tags", '{"a":null,"b":{"c":null}}'], body(TPM_BODY, **twin({"b": {}}))),
    ([*TPM, "--tags", "{'version':'1','count':'c'}"], body(TPM_BODY, **twin({"version": "1", "count": "c"}))),
    ([*TPM, "--props", '{"big":12345678901234567890123}'], body(TPM_BODY, **twin(None, {"big": 12345678901234567890123}))),
    ([*TPM, "--device-information", "{'color':'red'}"], body(TPM_BODY, optionalDeviceInformation={"color": "red"})),
    ([*TPM, "--info", '{"color":"red"}'], body(TPM_BODY, optionalDeviceInformation={"color": "red"})),
    ([*TPM, "--device-info", '{"color":"red"}'], body(TPM_BODY, optionalDeviceInformation={"color": "red"})),
    # reprovision
    ([*TPM, "--reprovision-policy", "reprovisionandmigratedata"], body(TPM_BODY)),
    ([*TPM, "--rp", "ReprovisionAndResetData"], body(TPM_BODY, **policy(True, False))),
    ([*TPM, "--rp", "never"], body(TPM_BODY, **policy(False, False))),
    # allocation
    ([*TPM, "--allocation-policy", "hashed"], body(TPM_BODY, allocationPolicy="hashed")),
    ([*TPM, "--ap", "geolatency", "--iot-hubs", f"{HUB_1} {HUB_2}"],
     body(TPM_BODY, allocationPolicy="geoLatency", iotHubs=[HUB_1, HUB_2])),
    ([*TPM, "--ap", "hashed", "--ih", HUB_1, HUB_2], body(TPM_BODY, allocationPolicy="hashed", iotHubs=[HUB_1, HUB_2])),
    ([*TPM, "--ih", HUB_1, "--ap", "hashed", "--ih", HUB_2],
     body(TPM_BODY, allocationPolicy="hashed", iotHubs=[HUB_1, HUB_2])),
    ([*TPM, "--ap", "static", "--ih", HUB_1], body(TPM_BODY, allocationPolicy="static", iotHubs=[HUB_1])),
    ([*TPM, "--iot-hub-host-name", HUB_1], body(TPM_BODY, allocationPolicy="static", iotHubs=[HUB_1])),
    ([*TPM, "--hn", HUB_1], body(TPM_BODY, allocationPolicy="static", iotHubs=[HUB_1])),
    ([*TPM, "--ap", "CUSTOM", "--webhook-url", "https://f.example/api?code=x", "--api-version", "2019-03-31"],
     body(TPM_BODY, allocationPolicy="custom",
          customAllocationDefinition={"webhookUrl": "https://f.example/api?code=x", "apiVersion": "2019-03-31"})),
    ([*TPM, "--ap", "custom", "--wh", "https://f.example/api", "--av", "2021-10-01"],
     body(TPM_BODY, allocationPolicy="custom",
          customAllocationDefinition={"webhookUrl": "https://f.example/api", "apiVersion": "2021-10-01"})),
]


def names(rows):
    return [" ".join(word if len(word) < 40 else "..." for word in row[0])[:100] or "none" for row in rows]


@pytest.mark.parametrize("words, expected", OPTIONS, ids=names(OPTIONS))
def test_option(desk, words, expected):
    done = desk.run("create", "--enrollment-id", "e1", *words)
    assert done.status == 0, done
    row, = desk.emulator.requests("put")
    assert (row["method"], row["path"], row["apiVersion"], row["ifMatch"]) == ("PUT", "/enrollments/e1", "2021-10-01", None)
    assert json.dumps(json.loads(row["body"])) == json.dumps(expected)
    assert [line["op"] for line in desk.emulator.ledger()] == ["put"]
    stored = desk.service.enrollment("e1")
    shown = done.json
    assert shown["etag"] == stored["etag"] and shown["registrationId"] == "e1"
    assert stored["initialTwin"] == expected["initialTwin"]
    for name in ("deviceId", "iotHubs", "provisioningStatus", "reprovisionPolicy", "customAllocationDefinition"):
        assert name not in expected or stored[name] == expected[name]


@pytest.mark.parametrize("words", [["-d", ""], ["-d="], ["--device-id="]], ids=["word", "letter", "name"])
def test_an_empty_device_id_is_sent(desk, words):
    desk.run("create", "--eid", "e1", *TPM, *words)
    assert desk.bodies() == [body(TPM_BODY, deviceId="")]


def test_the_id_is_sent_as_it_is_written(desk):
    done = desk.run("create", "--eid", "Dev:1_a.B-c", *TPM)
    assert done.status == 0, done
    row, = desk.emulator.requests("put")
    assert row["path"] == "/enrollments/Dev%3A1_a.B-c" and json.loads(row["body"])["registrationId"] == "Dev:1_a.B-c"


def test_values_from_files(desk, tmp_path):
    (tmp_path / "twin.json").write_text('{"a": 1}\n')
    (tmp_path / "ek").write_text(EK + "\n")
    done = desk.run("create", "--eid", "e1", "--at", "tpm", f"--ek=@{tmp_path}/ek", "--tags", f"@{tmp_path}/twin.json")
    assert done.status == 0, done
    assert desk.bodies() == [body(TPM_BODY, **twin({"a": 1}))]


def test_keys_from_files(desk):
    files = [write_secret(desk.home / f"key-{n}", key + "\n") for n, key in ((1, KEY_1), (2, KEY_2))]
    done = desk.run("create", "--eid", "e1", "--at", "symmetricKey", "--primary-key-file", files[0],
                    "--secondary-key-file", files[1])
    assert done.status == 0 and "shows its value" not in done.stderr, done
    assert desk.bodies()[0]["attestation"]["symmetricKey"] == {"primaryKey": KEY_1, "secondaryKey": KEY_2}
    files[0].chmod(0o640)
    done = desk.run("create", "--eid", "e2", "--at", "symmetricKey", "--primary-key-file", files[0])
    assert (done.status, done.cause) == (2, "E1005"), done


def test_keys_from_a_descriptor_and_from_the_service_manager(desk):
    given = desk.home / "credentials"
    given.mkdir(mode=0o700)
    write_secret(given / "second", KEY_2)
    reader, writer = os.pipe()
    os.write(writer, KEY_1.encode() + b"\n")
    os.close(writer)
    done = desk.run("create", "--eid", "e1", "--at", "symmetricKey", "--primary-key-file", f"fd:{reader}",
                    "--secondary-key-file", "credential:second", pass_fds=(reader,), env={"CREDENTIALS_DIRECTORY": given})
    os.close(reader)
    assert done.status == 0, done
    assert desk.bodies()[0]["attestation"]["symmetricKey"] == {"primaryKey": KEY_1, "secondaryKey": KEY_2}
    done = desk.run("create", "--eid", "e2", "--at", "symmetricKey", "--primary-key-file", "prompt")
    assert (done.status, done.cause) == (2, "E1113"), done


def test_a_login_in_argv_is_warned_of_once(desk):
    done = desk.station.muster("enrollment", "create", "--eid", "e1", *TPM, "-l", desk.emulator.connection_string, "-n", "other",
                               "-g", "group", "--auth-type", "LOGIN", "--ca-file", desk.emulator.ca_file)
    assert done.status == 0, done
    assert done.stderr.count("shows its value") == 1, done


@pytest.mark.parametrize("front, back", [(["-q"], []), ([], ["--only-show-errors"])], ids=["in front", "at the end"])
def test_who_asks_for_errors_alone_is_not_warned(desk, front, back):
    done = desk.station.muster(*front, "enrollment", "create", "--eid", "e1", "--at", "symmetricKey", "--pk", KEY_1, "--sk", KEY_2,
                               *desk.login(), *back)
    assert (done.status, done.stderr) == (0, ""), done


def test_abbreviations_that_az_takes(desk):
    done = desk.station.muster("enrollment", "create", "--enrollment", "e1", "--att", "symmetricKey", "--primary", KEY_1,
                               "--log", desk.emulator.connection_string, "--ca-file", desk.emulator.ca_file)
    assert done.status == 0, done


def test_dry_run_prints_the_request_and_sends_nothing(desk):
    done = desk.run("create", "--eid", "e1", "--at", "symmetricKey", "--pk", KEY_1, "--ap", "custom", "--wh",
                    "https://f.example/api?code=secret", "--av", "2019-03-31", "--dry-run")
    assert done.status == 0 and KEY_1 not in done.stdout and "code=" not in done.stdout, done
    assert done.json["method"] == "PUT" and done.json["url"].endswith("/enrollments/e1?api-version=2021-10-01"), done
    assert done.json["body"]["attestation"]["symmetricKey"]["primaryKey"] == "***", done
    assert desk.emulator.ledger() == []


# -- What exists already ----------------------------------------------------------------------------------------------

def test_an_enrollment_is_never_overwritten(desk):
    assert desk.run("create", "--eid", "e1", *TPM).status == 0
    done = desk.run("create", "--eid", "E1", *TPM, "--ps", "disabled")
    assert (done.status, done.cause) == (7, "E5109"), done
    assert "409201" in done.stderr and "tracking ID" in done.stderr, done
    assert desk.service.enrollment("e1")["provisioningStatus"] == "enabled"


@pytest.mark.parametrize("attestation", [TPM, ["--at", "symmetricKey", "--pk", KEY_1, "--sk", KEY_2]],
                         ids=["tpm", "symmetricKey"])
def test_if_not_exists_takes_the_same_and_nothing_else(desk, attestation):
    words = ["--eid", "e1", *attestation, "--if-not-exists"]
    first = desk.run("create", *words)
    again = desk.run("create", *words)
    assert first.status == 0 and again.status == 0, again
    assert again.json["etag"] == first.json["etag"] and again.json["attestation"] == first.json["attestation"]
    other = desk.run("create", *words, "--ps", "disabled", "--rp", "never")
    assert (other.status, other.cause) == (7, "E3101"), other
    assert 'provisioningStatus: wanted "disabled", found "enabled"' in other.error["detail"], other
    assert len(desk.emulator.effects("put", "e1")) == 1


# -- What is refused before anything is sent -----------------------------------------------------------------------------

CONTRADICTIONS = [
    (["--at", "tpm"], "--endorsement-key"),
    (["--at", "tpm", "--ek", ""], "--endorsement-key"),
    (["--at", "x509"], "--certificate-path"),
    ([*TPM, "--pk", KEY_1], "--primary-key belongs to attestation symmetricKey"),
    ([*TPM, "--cp", "{certificate}"], "--certificate-path belongs to attestation x509"),
    ([*TPM, "--derive-from", "/nowhere"], "--derive-from belongs to attestation symmetricKey"),
    ([*TPM, "--secondary-key-file", "/nowhere"], "--secondary-key-file belongs to attestation symmetricKey"),
    (["--at", "symmetricKey", "--tpm", "/nowhere"], "--tpm belongs to attestation tpm"),
    (["--at", "symmetricKey", "--ek", EK], "--endorsement-key belongs to attestation tpm"),
    (["--at", "x509", "--cp", "{certificate}", "--sk", KEY_1], "--secondary-key belongs"),
    (["--at", "symmetricKey", "--scp", "{certificate}"], "--secondary-certificate-path belongs"),
    ([*TPM, "--ap", "static"], "exactly one hub"),
    ([*TPM, "--ap", "static", "--ih", HUB_1, HUB_2], "exactly one hub"),
    ([*TPM, "--ap", "static", "--ih", f"{HUB_1} {HUB_2}"], "exactly one hub"),
    ([*TPM, "--hn", f"{HUB_1} {HUB_2}"], "exactly one hub"),
    ([*TPM, "--hn", HUB_1, "--ap", "static"], "--iot-hub-host-name is static"),
    ([*TPM, "--hn", HUB_1, "--ih", HUB_1], "exclude each other"),
    ([*TPM, "--ih", HUB_1], "--iot-hubs needs --allocation-policy"),
    ([*TPM, "--ih", " ", "--ap", "hashed"], "--iot-hubs names no hub"),
    ([*TPM, "--ap", "custom"], "--webhook-url and --api-version"),
    ([*TPM, "--ap", "custom", "--wh", "https://f.example"], "--webhook-url and --api-version"),
    ([*TPM, "--ap", "custom", "--av", "2019-03-31"], "--webhook-url and --api-version"),
    ([*TPM, "--ap", "custom", "--wh", "", "--av", "2019-03-31"], "--webhook-url and --api-version"),
    (["--at", "x509", "--cp", ""], "--certificate-path"),
    (["--at", "symmetricKey", "--pk", ""], "--primary-key is empty"),
    (["--at", "symmetricKey", "--pk", KEY_1, "--sk="], "--secondary-key is empty"),
    ([*TPM, "--wh", "https://f.example"], "--webhook-url belongs to custom"),
    ([*TPM, "--ap", "hashed", "--av", "2019-03-31"], "--api-version belongs to custom"),
]


@pytest.mark.difference(6)
@pytest.mark.parametrize("words, sentence", CONTRADICTIONS, ids=names(CONTRADICTIONS))
def test_contradiction(desk, certificates, words, sentence):
    path = certificates.make("e1")
    done = desk.run("create", "--eid", "e1", *(word.replace("{certificate}", str(path)) for word in words))
    assert (done.status, done.cause) == (2, "E1411") and sentence in done.stderr, done
    assert desk.emulator.ledger() == [] and done.stdout == ""


PYTHON_ONLY = ["(1,2)", "('a',None,[True,{'k':.5}],(3,))", "b'x\\x00\\n'", "{1,2}", "(\"it's\",'\\u00e4',1e16,-0.0,0x10)", "()"]


@pytest.mark.parametrize("value", PYTHON_ONLY)
def test_what_json_has_not_goes_as_python_prints_it(desk, value):
    """As from az, which hands its str() on; with a word of warning."""
    done = desk.run("create", "--eid", "e1", *TPM, "--tags", f"{{'a':{value}}}")
    assert done.status == 0 and "they go as text" in done.stderr, done
    assert desk.bodies()[0]["initialTwin"]["tags"] == {"a": str(ast.literal_eval(value))}


@pytest.mark.parametrize("text", ['{"a":true,\n"b":2,"a":{"c":1,"c":3}}', "{'a':1,'b':2,'a':{'c':3}}"])
def test_of_a_name_that_stands_twice_the_last_goes(desk, text):
    done = desk.run("create", "--eid", "e1", *TPM, "--props", text)
    assert done.status == 0 and "stands twice" in done.stderr, done
    assert desk.bodies()[0]["initialTwin"]["properties"]["desired"] == {"a": {"c": 3}, "b": 2}


MALFORMED = [
    (["--at", "tpm", "--ek", EK, "--tags", "{'a':\n true}"], "E1410", "line 2, column 2"),
    (["--at", "tpm", "--ek", EK, "--props", '{"a":1,\n"b"2}'], "E1410", "line 2, column 4"),
    (["--at", "tpm", "--ek", EK, "--info", "[1]"], "E1410", "--device-information is no collection"),
    (["--at", "tpm", "--ek", EK, "--tags", "@/nowhere/twin.json"], "E1002", "/nowhere/twin.json"),
    (["--at", "x509", "--cp", "/nowhere/c.pem"], "E1002", "/nowhere/c.pem"),
    (["--at", "x509", "--cp", "{garbage}"], "E1401", "garbage"),
    (["--at", "symmetricKey", "--primary-key-file", "/nowhere/key"], "E1002", "/nowhere/key"),
    (["--at", "none"], "E1001", "none"),
    (["--at", "tpm", "--ek", EK, "--ps", "on"], "E1001", "--ps"),
    (["--at", "tpm", "--ek", EK, "--ee", "yes"], "E1001", "yes"),
    (["--at", "tpm", "--ek", EK, "--ap", "nearest"], "E1001", "nearest"),
    (["--at", "tpm", "--ek", EK, "--rp", "always"], "E1001", "always"),
    (["--at", "tpm", "--ek", EK, "--auth-type", "sas"], "E1001", "sas"),
    (["--ek", EK], "E1001", "--attestation-type"),
    (["--at", "tpm", "--ek", EK, "--device", "d"], "E1001", "could be"),
    (["--at", "tpm", "--ek", EK, "--id-scope", "x"], "E1001", "--id-scope"),
    (["--at", "tpm", "--ek", EK, "-d", "--dry-run"], "E1001", "'-d' needs a value"),
    (["--at", "tpm", "--ek", EK, "--ap", "hashed", "--ih", "--if-not-exists"], "E1001", "'--ih' needs a value"),
]


@pytest.mark.parametrize("words, cause, sentence", MALFORMED, ids=names(MALFORMED))
def test_malformed(desk, certificates, words, cause, sentence):
    garbage = certificates.file("garbage", b"\x00\x01garbage")
    done = desk.run("create", "--eid", "e1", *(word.replace("{garbage}", str(garbage)) for word in words))
    assert (done.status, done.cause) == (2, cause) and sentence in done.stderr, done
    assert desk.emulator.ledger() == [] and done.stdout == ""


@pytest.mark.parametrize("identity", ["", "x" * 129], ids=["empty", "long"])
def test_an_id_of_no_length_that_fits(desk, identity):
    done = desk.run("create", "--eid", identity, *TPM)
    assert (done.status, done.cause) == (2, "E1303") and "Give another one" in done.stderr, done
    assert desk.emulator.ledger() == []


@pytest.mark.difference(10)
def test_a_secret_comes_from_a_file_of_its_owner(desk, tmp_path):
    """And the line does not show it then."""
    path = write_secret(tmp_path / "key", f"{KEY_1}\r\n")
    words = ["create", "--eid", "e1", "--at", "symmetricKey", "--pk", f"@{path}", "--sk", KEY_1]
    path.chmod(0o644)
    done = desk.run(*words)
    assert (done.status, done.cause) == (2, "E1005") and "--pk" in done.stderr and desk.emulator.ledger() == [], done
    path.chmod(0o600)
    done = desk.run(*words)
    assert done.status == 0 and "'--pk' shows" not in done.stderr and "'--sk' shows" in done.stderr, done
    assert desk.bodies()[-1]["attestation"]["symmetricKey"] == {"primaryKey": KEY_1, "secondaryKey": KEY_1}


@pytest.mark.parametrize("etag", ["a\rb", "a b", "é", "@{file}"])
def test_what_is_no_etag(desk, tmp_path, etag):
    (tmp_path / "etag").write_bytes(b"a\r\nb\r\n")
    for words in (["update", "--ps", "disabled"], ["delete"], ["registration", "delete"]):
        done = desk.run(*words, "--eid", "e1", "-e", etag.replace("{file}", str(tmp_path / "etag")))
        assert (done.status, done.cause) == (2, "E1001") and "--etag" in done.stderr, done
    assert desk.emulator.ledger() == []


# -- What cannot be right -----------------------------------------------------------------------------------------------

DOUBTFUL = [
    (["--at", "symmetricKey", "--pk", "no base64!"], "attestation.symmetricKey.primaryKey"),
    (["--at", "symmetricKey", "--sk", "c2hvcnQ="], "attestation.symmetricKey.secondaryKey"),
    (["--at", "tpm", "--ek", "14963E8F3BA5B3984110B3C1CA8E8B89"], "attestation.tpm.endorsementKey"),
    (["--at", "tpm", "--ek", EK, "-d", "no spaces"], "deviceId"),
    (["--at", "tpm", "--ek", EK, "--ap", "hashed", "--ih", "hub_1"], "iotHubs"),
]


@pytest.mark.parametrize("words, place", DOUBTFUL, ids=names(DOUBTFUL))
def test_what_cannot_be_right_is_warned_of_or_refused(desk, words, place):
    strict = desk.run("create", "--eid", "e1", *words, "--strict")
    assert (strict.status, strict.cause) == (2, "E1412") and place in strict.stderr, strict
    assert desk.emulator.ledger() == []
    sent = desk.run("create", "--eid", "e1", *words)
    assert place in sent.stderr and "going on" in sent.stderr, sent
    assert len(desk.bodies()) == 1 and sent.status == 1 and "errorCode 400004" in sent.stderr, sent


# -- Certificates: exactly the leaf ------------------------------------------------------------------------------------------

def sent_certificate(desk, path):
    done = desk.run("create", "--eid", "e1", "--at", "x509", "--certificate-path", path)
    assert done.status == 0 and "going on" not in done.stderr, done
    return desk.bodies()[-1]["attestation"]["x509"]["clientCertificates"]["primary"]["certificate"]


@pytest.mark.difference(5)
@pytest.mark.parametrize("kind", ["pem", "crlf", "bom", "text-in-front", "with-key", "key-first", "with-chain", "no-extension"])
def test_a_certificate_file_gives_exactly_the_leaf(desk, certificates, kind):
    path = certificates.make("e1")
    pem, key = path.read_text(), path.with_suffix(".key").read_text()
    content = {"pem": pem, "crlf": pem.replace("\n", "\r\n"), "bom": "\ufeff" + pem, "text-in-front": "Subject: e1\n" + pem,
               "with-key": pem + key, "key-first": key + pem, "no-extension": pem,
               "with-chain": pem + certificates.make("other").read_text()}[kind]
    if kind == "with-chain":
        issuer = certificates.make("issuer")
        path = certificates.issue("e1", issuer)
        pem = path.read_text()
        content = issuer.read_text() + pem
    name = "file" if kind == "no-extension" else f"{kind}.crt"
    sent = sent_certificate(desk, certificates.file(name, content))
    assert sent == pem.strip()
    assert desk.service.enrollment("e1")["attestation"]["x509"]["clientCertificates"]["primary"]["info"]["subjectName"]


def test_a_der_file_gives_its_base64(desk, certificates):
    der = certificates.der(certificates.make("e1"))
    assert sent_certificate(desk, certificates.file("e1.der", der)) == base64.b64encode(der).decode()


def test_both_certificates(desk, certificates):
    first, second = certificates.make("e1"), certificates.make("second", "e1")
    done = desk.run("create", "--eid", "e1", "--at", "X509", "--cp", first, "--scp", second)
    assert done.status == 0, done
    assert desk.run("create", "--eid", "e2", "--at", "x509", "--certificate-path", first,
                    "--secondary-certificate-path", second).status == 0
    one, two = (body["attestation"] for body in desk.bodies())
    assert one == two == {"type": "x509", "x509": {"clientCertificates": {
        "primary": {"certificate": first.read_text().strip()}, "secondary": {"certificate": second.read_text().strip()}}}}


@pytest.mark.difference(5)
def test_a_certificate_that_has_expired(desk, certificates):
    path = certificates.expired("e1")
    done = desk.run("create", "--eid", "e1", "--at", "x509", "--cp", path, "--strict")
    assert (done.status, done.cause) == (2, "E1412") and "expired at 2021-01-01" in done.stderr, done
    done = desk.run("create", "--eid", "e1", "--at", "x509", "--cp", path)
    assert "expired at 2021-01-01" in done.stderr and len(desk.bodies()) == 1, done


@pytest.mark.difference(5)
def test_a_certificate_of_another_name(desk, certificates):
    done = desk.run("create", "--eid", "e1", "--at", "x509", "--cp", certificates.make("e2"), "--strict")
    assert (done.status, done.cause) == (2, "E1412") and "common name" in done.stderr.lower(), done
    assert desk.emulator.ledger() == []


# -- Answers that say nothing ----------------------------------------------------------------------------------------------

@pytest.mark.difference(7)
@pytest.mark.parametrize("fault, sent", [
    ("put:status-after=500:count=1", 1), ("put:cut-after:count=1", 1), ("put:status=503:count=1", 2),
    ("put:cut-before:count=1", 2), ("put:truncated:count=1", 1), ("put:garbage:count=1", 1), ("put:garbage=wrong-id:count=1", 1)])
@pytest.mark.parametrize("attestation", [TPM, ["--at", "symmetricKey"]], ids=["tpm", "symmetricKey"])
def test_never_a_blind_second_create(desk, fault, sent, attestation):
    desk.restart("--ledger-bodies", "--fault", fault)
    done = desk.run("create", "--eid", "e1", *attestation)
    assert done.status == 0, done
    operations = [row["op"] for row in desk.emulator.ledger() if row["op"] in ("put", "get")]
    assert operations[:2] == ["put", "get"] and operations.count("put") == sent, operations
    assert len(desk.emulator.effects("put", "e1")) == 1
    assert done.json["etag"] == desk.service.enrollment("e1")["etag"]


def test_a_create_that_somebody_else_was_faster_with(desk):
    desk.restart("--ledger-bodies", "--fault", "put:status=500:count=1:skip=1")
    assert desk.run("create", "--eid", "e1", *TPM).status == 0
    done = desk.run("create", "--eid", "e1", *TPM, "--rp", "never")
    assert (done.status, done.cause) == (7, "E3101"), done
    assert len(desk.emulator.effects("put", "e1")) == 1


def test_a_create_whose_outcome_cannot_be_read(desk):
    desk.restart("--ledger-bodies", "--fault", "put:status-after=500:count=1", "--fault", "get:status=403")
    done = desk.run("create", "--eid", "e1", *TPM)
    assert (done.status, done.cause) == (9, "E5107") and "may or may not" in done.stderr, done
    assert len(desk.emulator.requests("put")) == 1


def test_throttled_creates_are_sent_again(desk):
    desk.restart("--ledger-bodies", "--fault", "put:status=429:count=2")
    done = desk.run("create", "--eid", "e1", *TPM)
    assert done.status == 0, done
    assert [row["op"] for row in desk.emulator.ledger()] == ["put"] * 3
