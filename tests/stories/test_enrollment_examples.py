"""The examples of az's own help, word for word but for the four words in front: judged by what goes over the wire."""
import base64
import json
import shlex

import pytest

from lib.enrollment import endorsement_key

EK = "14963E8F3BA5B3984110B3C1CA8E8B89"  # the examples' own, which no service takes
KEY_1, KEY_2 = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
HUBS = [f"hub-{n}.azure-devices.net" for n in (1, 2, 3)]
VALUES = {"dps_name": "my-dps", "resource_group_name": "rg", "resource_group": "rg", "enrollment_id": "e1", "device_id": "d1",
          "symmetric_key_enrollment_id": "e1", "primary_key": KEY_1, "secondary_key": KEY_2, "new_primary_key": KEY_2,
          "reprovision_type": "never", "iot_hub_host_name": HUBS[0], "iot_hub_host_name1": HUBS[0],
          "iot_hub_host_name2": HUBS[1], "iot_hub_host_name3": HUBS[2], "webhook_url": "https://f.example/api",
          "api_version": "2019-03-31"}
TARGET = "-g {resource_group_name} --dps-name {dps_name} --enrollment-id {enrollment_id} "
MIGRATE = {"updateHubAssignment": True, "migrateDeviceData": True}
NEVER = {"updateHubAssignment": False, "migrateDeviceData": False}
TPM = {"type": "tpm", "tpm": {"endorsementKey": EK}}


def run(desk, certificates, verb, text):
    for name, value in VALUES.items():
        text = text.replace("{" + name + "}", value)
    text = text.replace("/certificates/", f"{certificates.directory}/")
    return desk.station.muster("enrollment", verb, *shlex.split(text), *desk.login())


def body(attestation, **members):
    return {"registrationId": "e1", "optionalDeviceInformation": {}, "attestation": attestation,
            "capabilities": {"iotEdge": False}, "initialTwin": {"tags": {}, "properties": {"desired": {}}},
            "reprovisionPolicy": MIGRATE, **members}


CREATE = [
    ("--attestation-type tpm --endorsement-key " + EK, body(TPM)),
    ("--attestation-type symmetrickey --primary-key {primary_key} --secondary-key {secondary_key}",
     body({"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY_1, "secondaryKey": KEY_2}})),
    ("--attestation-type tpm --reprovision-policy {reprovision_type} --endorsement-key " + EK, body(TPM, reprovisionPolicy=NEVER)),
    ("--attestation-type tpm --allocation-policy static --endorsement-key " + EK + " --iot-hubs {iot_hub_host_name}",
     body(TPM, allocationPolicy="static", iotHubs=HUBS[:1])),
    ("--attestation-type tpm --allocation-policy hashed --endorsement-key " + EK +
     " --iot-hubs {iot_hub_host_name1} {iot_hub_host_name2}", body(TPM, allocationPolicy="hashed", iotHubs=HUBS[:2])),
    ('--attestation-type tpm --allocation-policy geolatency --endorsement-key ' + EK +
     ' --iot-hubs "{iot_hub_host_name1} {iot_hub_host_name2}"', body(TPM, allocationPolicy="geoLatency", iotHubs=HUBS[:2])),
    ("--attestation-type symmetrickey --allocation-policy custom --webhook-url {webhook_url} --api-version {api_version}",
     body({"type": "symmetricKey", "symmetricKey": {}}, allocationPolicy="custom",
          customAllocationDefinition={"webhookUrl": "https://f.example/api", "apiVersion": "2019-03-31"})),
]


@pytest.mark.parametrize("text, expected", CREATE, ids=[text[19:70] for text, _ in CREATE])
def test_create(desk, certificates, text, expected):
    done = run(desk, certificates, "create", TARGET + text)
    assert done.status == (1 if EK in text else 0), done
    assert EK not in text or "errorCode 400004" in done.stderr, done
    assert desk.bodies() == [expected]


def test_create_with_a_certificate_and_python_twins(desk, certificates):
    pem = certificates.make("Certificate", "e1").read_text().strip()
    done = run(desk, certificates, "create", TARGET +
               "--attestation-type x509 --certificate-path /certificates/Certificate.pem --provisioning-status disabled "
               "--initial-twin-properties \"{'location':{'region':'US'}}\" --initial-twin-tags \"{'version':'1'}\" "
               "--device-info \"{'color':'red'}\" --device-id {device_id}")
    assert done.status == 0, done
    assert desk.bodies() == [body(
        {"type": "x509", "x509": {"clientCertificates": {"primary": {"certificate": pem}}}}, deviceId="d1",
        provisioningStatus="disabled", optionalDeviceInformation={"color": "red"},
        initialTwin={"tags": {"version": "1"}, "properties": {"desired": {"location": {"region": "US"}}}})]


UPDATE = [
    ("x509", "--certificate-path /certificates/NewCertificate.pem --etag AAAAAAAAAAA=",
     lambda sent: "BEGIN CERTIFICATE" in sent["attestation"]["x509"]["clientCertificates"]["primary"]["certificate"]),
    ("tpm", "--endorsement-key " + EK + " --etag AAAAAAAAAAA=", lambda sent: sent["attestation"]["tpm"]["endorsementKey"] == EK),
    ("symmetricKey", "--primary-key {new_primary_key} --etag AAAAAAAAAAA=",
     lambda sent: sent["attestation"]["symmetricKey"] == {"primaryKey": KEY_2, "secondaryKey": KEY_2}),
    ("tpm", "--reprovision-policy {reprovision_type} --etag AAAAAAAAAAA=", lambda sent: sent["reprovisionPolicy"] == NEVER),
    ("tpm", "--allocation-policy geolatency --etag AAAAAAAAAAA= --iot-hubs {iot_hub_host_name1} {iot_hub_host_name2} "
     "{iot_hub_host_name3}", lambda sent: (sent["allocationPolicy"], sent["iotHubs"]) == ("geoLatency", HUBS)),
    ("tpm", "--initial-twin-properties \"{'location':{'region':'USA'}}\" --initial-twin-tags \"{'version1':'2'}\" "
     "--device-info \"{'color':'red'}\"",
     lambda sent: sent["initialTwin"] == {"tags": {"version1": "2"}, "properties": {"desired": {"location": {"region": "USA"}}}}
     and sent["optionalDeviceInformation"] == {"color": "red"}),
]


@pytest.mark.parametrize("kind, text, holds", UPDATE, ids=[text[2:50] for _, text, _ in UPDATE])
def test_update(desk, certificates, kind, text, holds):
    certificates.make("NewCertificate", "e1")
    attestation = {"tpm": {"type": "tpm", "tpm": {"endorsementKey": endorsement_key()}},
                   "symmetricKey": {"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY_1, "secondaryKey": KEY_2}},
                   "x509": {"type": "x509", "x509": {"clientCertificates": {
                       "primary": {"certificate": certificates.make("e1").read_text()}}}}}[kind]
    status, answer = desk.service.put("e1", {"registrationId": "e1", "attestation": attestation})
    assert status == 200, answer
    done = run(desk, certificates, "update", TARGET + text)
    row = desk.emulator.requests("put")[-1]
    assert row["ifMatch"] == ("AAAAAAAAAAA=" if "--etag" in text else answer["etag"]), done
    assert holds(json.loads(row["body"])), done
    assert done.status in (0, 1, 7), done


@pytest.mark.parametrize("text", ["--dps-name {dps_name} -g {resource_group} --enrollment-id {enrollment_id}",
                                  "--dps-name {dps_name} -g {resource_group} --enrollment-id {symmetric_key_enrollment_id} --show-keys"],
                         ids=["show", "show-keys"])
def test_show(desk, certificates, text):
    status, answer = desk.service.put("e1", {"registrationId": "e1", "attestation": {"type": "symmetricKey"}})
    assert status == 200, answer
    done = run(desk, certificates, "show", text)
    assert done.status == 0 and ("symmetricKey" in done.json["attestation"]) == ("--show-keys" in text), done


@pytest.mark.parametrize("verb, text, if_match", [
    ("list", "-g {resource_group_name} --dps-name {dps_name}", None),
    ("delete", TARGET, "*"),
    ("delete", TARGET + "--etag AAAAAAAAAAA=", "AAAAAAAAAAA=")], ids=["list", "delete", "delete-etag"])
def test_list_and_delete(desk, certificates, verb, text, if_match):
    status, answer = desk.service.put("e1", {"registrationId": "e1", "attestation": {"type": "symmetricKey"}})
    assert status == 200, answer
    done = run(desk, certificates, verb, text)
    assert done.status == (7 if if_match == "AAAAAAAAAAA=" else 0), done
    if verb == "list":
        assert [row["registrationId"] for row in done.json] == ["e1"]
    else:
        assert desk.emulator.requests("delete")[-1]["ifMatch"] == if_match and done.stdout == ""
