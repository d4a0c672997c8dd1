"""The emulator's sign-in authority and management API as an independent client sees them: what holds, and what does not."""
import http.client
import json
import socket
import urllib.parse

import pytest

from lib.sign_in import SignIn

DPS = "https://azure-devices-provisioning.net"
LIST = "/subscriptions/{}/providers/Microsoft.Devices/provisioningServices"
VERSION = "api-version=2021-10-15"  # the first one holds


@pytest.fixture
def make_sign_in(station):
    def make(*arguments, application="bench"):
        station.emulator.restart("--application", application, *arguments)
        station.renew_login()
        return SignIn(station, application.split(":")[0])
    return make


def call(sign_in, token, path="/enrollments/query", method="POST", body=None):
    service = sign_in.station.service
    return service.request(method, path, body if body is not None else {"query": "*"}, {"Authorization": f"Bearer {token}"})


def test_a_token_of_ours_holds(make_sign_in):
    sign_in = make_sign_in()
    assert call(sign_in, sign_in.fetch_token(DPS)) == (200, [])


@pytest.mark.parametrize("damage", ["expired", "another audience", "tampered", "unsigned", "empty"])
def test_a_token_that_does_not_hold(make_sign_in, damage):
    sign_in = make_sign_in()
    token = sign_in.fetch_token("https://management.azure.com" if damage == "another audience" else DPS)
    head, body, signature = token.split(".")
    token = {"tampered": f"{head}.{body[:-2]}AA.{signature}", "unsigned": f"{head}.{body}.", "empty": ""}.get(damage, token)
    if damage == "expired":
        make_sign_in("--clock-offset", "3601")
    status, answer = call(sign_in, token)
    assert (status, answer["errorCode"]) == (401, 401002)


def test_a_role_that_only_reads(make_sign_in):
    sign_in = make_sign_in(application="bench:role=reader")
    token = sign_in.fetch_token(DPS)
    assert call(sign_in, token)[0] == 200
    document = {"registrationId": "e1", "attestation": {"type": "symmetricKey"}}
    assert call(sign_in, token, "/enrollments/e1", "PUT", document)[0] == 403


def test_the_management_list_page_by_page(make_sign_in):
    sign_in = make_sign_in("--instance", "a", "--instance", "b:group=other", "--instance", "c", "--page-size", "2")
    token = sign_in.fetch_token("https://management.azure.com")
    path = LIST.format(sign_in.authority["subscription"])
    status, page = call(sign_in, token, f"{path}?{VERSION}", "GET")
    assert status == 200 and [row["name"] for row in page["value"]] == ["a", "b"], page
    link = urllib.parse.urlsplit(page["nextLink"])
    status, page = call(sign_in, token, f"{link.path}?{link.query}", "GET")
    assert status == 200 and [row["name"] for row in page["value"]] == ["c"] and "nextLink" not in page, page


def test_a_request_that_names_no_host_is_answered(make_sign_in):
    """HTTP/1.0 needs none."""
    sign_in = make_sign_in()
    token = sign_in.fetch_token("https://management.azure.com")
    path = LIST.format(sign_in.authority["subscription"])
    host, port = sign_in.host().rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=60) as plain, \
            sign_in.station.service.context.wrap_socket(plain, server_hostname=host) as connection:
        connection.sendall(f"GET {path}?{VERSION} HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        rows = json.load(answer)["value"]
    assert answer.status == 200 and rows[0]["properties"]["serviceOperationsHostName"] == "localhost", rows


@pytest.mark.parametrize("path, status, code", [
    (LIST.format("11111111-2222-3333-4444-555555555555"), 404, "SubscriptionNotFound"),
    ("/subscriptions/{}/resourceGroups/nobody/providers/Microsoft.Devices/provisioningServices/emulator", 404, "ResourceGroupNotFound"),
    ("/subscriptions/{}/resourceGroups/bench/providers/Microsoft.Devices/provisioningServices/nobody", 404, "ResourceNotFound")])
def test_what_the_management_api_does_not_know(make_sign_in, path, status, code):
    sign_in = make_sign_in()
    token = sign_in.fetch_token("https://management.azure.com")
    answered, body = call(sign_in, token, f"{path}?{VERSION}".format(sign_in.authority["subscription"]), "GET")
    assert (answered, body["error"]["code"]) == (status, code)


def test_the_management_api_takes_no_token_of_the_service(make_sign_in):
    sign_in = make_sign_in()
    status, body = call(sign_in, sign_in.fetch_token(DPS), f"{LIST}?{VERSION}".format(sign_in.authority["subscription"]), "GET")
    assert (status, body["error"]["code"]) == (401, "InvalidAuthenticationToken")
    status, body = call(sign_in, sign_in.fetch_token(DPS), LIST.format(sign_in.authority["subscription"]), "GET")
    assert (status, body["error"]["code"]) == (400, "BadRequest")


def test_without_applications_there_is_no_authority(station):
    status, _ = station.service.request("POST", "/tenant/oauth2/v2.0/token", {})
    assert status == 404 and "authority" not in station.emulator.about
