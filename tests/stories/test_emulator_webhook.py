"""Custom allocation: the webhook is really called, and what comes of each of its answers."""
import http.server
import json
import threading

import pytest

from emulator_client import HUBS, Device, Service, symmetric


class Webhook:
    """Answers what the test says, one after the other; keeps what it was asked."""

    def __init__(self):
        self.answers = []
        self.asked = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.asked.append((self.path, self.headers, json.loads(body)))
                status, answer = outer.answers.pop(0)
                content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/api/choose?code=secret-of-the-function"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def webhook():
    made = Webhook()
    yield made
    made.stop()


@pytest.fixture
def service(tmp_path):
    made = Service(tmp_path / "dps", "--webhook-scale", "0")
    yield made
    made.stop()


def enroll(service, webhook, registration_id="dev-1", **members):
    definition = {"webhookUrl": webhook.url, "apiVersion": "2021-10-01"}
    answer = service.put(symmetric(registration_id, allocationPolicy="custom", customAllocationDefinition=definition,
                                   **members))
    assert answer.status == 200, answer
    return Device(service, registration_id, answer.json["attestation"]["symmetricKey"]["primaryKey"])


def test_chooses_the_hub_and_speaks_to_the_device(service, webhook):
    device = enroll(service, webhook, initialTwin={"tags": {"from": "enrollment"}})
    webhook.answers = [(200, {"iotHubHostName": HUBS[1], "initialTwin": {"tags": {"from": "webhook"}},
                              "payload": {"greeting": "hello"}, "extra": 1})]
    state = device.provision(payload={"model": "m1"})
    assert (state["assignedHub"], state["substatus"]) == (HUBS[1], "initialAssignment")
    assert state["payload"] == {"greeting": "hello"}
    twin = service.call("GET", f"/emulator/hubs/{HUBS[1]}/devices/dev-1").json
    assert twin["tags"] == {"from": "webhook"}

    path, headers, question = webhook.asked[0]
    assert path == "/api/choose?code=secret-of-the-function"
    assert headers["Content-Type"].startswith("application/json")
    assert question["linkedHubs"] == list(HUBS)
    context = question["deviceRuntimeContext"]
    assert context == {"registrationId": "dev-1", "symmetricKey": {}, "payload": {"model": "m1"}}
    enrollment = question["individualEnrollment"]
    assert enrollment["attestation"] == {"type": "symmetricKey"}
    assert enrollment["etag"].startswith('"')
    assert enrollment["customAllocationDefinition"]["webhookUrl"].endswith("/api/choose?****")

    webhook.answers = [(200, {"iotHubHostName": HUBS[0].upper()})]
    assert device.provision()["substatus"] == "deviceDataMigrated"
    again = webhook.asked[1][2]["deviceRuntimeContext"]
    assert (again["currentIotHubHostName"], again["currentDeviceId"]) == (HUBS[1], "dev-1")


def test_is_called_under_never_but_cannot_move(service, webhook):
    device = enroll(service, webhook, reprovisionPolicy={"updateHubAssignment": False, "migrateDeviceData": False})
    webhook.answers = [(200, {"iotHubHostName": HUBS[0]}), (200, {"iotHubHostName": HUBS[0], "payload": {"n": 2}})]
    assert device.provision()["assignedHub"] == HUBS[0]
    state = device.provision()
    assert (state["assignedHub"], state["payload"]) == (HUBS[0], {"n": 2})
    assert webhook.asked[1][2]["linkedHubs"] == [HUBS[0]]


@pytest.mark.parametrize("status, answer, code", [
    (200, {"iotHubHostName": None}, 400208),
    (200, {"iotHubHostName": ""}, 400208),
    (200, {}, 400208),
    (401, {}, 400209),
    (400, {}, 400207),
    (404, {}, 400207),
    (200, {"iotHubHostName": "other.azure-devices.net"}, 400207),
    (200, b"<html>", 400207),
])
def test_failures_end_in_failed_not_in_an_http_error(service, webhook, status, answer, code):
    device = enroll(service, webhook)
    webhook.answers = [(status, answer)]
    state = device.provision()
    assert (state["status"], state["errorCode"]) == ("failed", code)
    if status not in (200, 401):
        assert state["errorMessage"] == f"Custom allocation failed with status code: {status}"
    webhook.answers = [(200, {"iotHubHostName": HUBS[0]})]
    assert device.provision()["status"] == "assigned"


def test_is_asked_again_while_it_is_busy(service, webhook):
    device = enroll(service, webhook)
    webhook.answers = [(429, {}), (503, {}), (500, {}), (200, {"iotHubHostName": HUBS[0]})]
    assert device.provision()["status"] == "assigned"
    assert len(webhook.asked) == 4
    webhook.answers = [(500, {})] * 11
    state = device.provision()
    assert state["errorMessage"] == "Custom allocation failed with status code: 500"
    assert webhook.answers == []


def test_nobody_there(service, webhook):
    device = enroll(service, webhook)
    webhook.stop()
    state = device.provision()
    assert (state["status"], state["errorCode"]) == ("failed", 400207)


def test_is_not_called_for_a_disabled_enrollment(service, webhook):
    assert enroll(service, webhook, provisioningStatus="disabled").provision()["status"] == "disabled"
    assert webhook.asked == []
