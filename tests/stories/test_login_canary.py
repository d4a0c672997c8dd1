"""Client secret, token and policy key are nowhere but where they belong, whether muster comes in or is turned away."""
import base64
import json

import pytest

from lib.canary import found_in, watch
from lib.program import environment
from lib.proxy import Proxy
from lib.sign_in import SignIn
from lib.software_token import write_secret

# What every token of the emulator begins with.
TOKEN = base64.urlsafe_b64encode(json.dumps({"typ": "JWT", "alg": "HS256"}, separators=(",", ":")).encode()).rstrip(b"=")


@pytest.fixture
def sign_in(release_station):
    release_station.emulator.restart("--application", "bench", "--application", "guest:role=none")
    release_station.renew_login()
    release_station.service.put("e1", {"registrationId": "e1", "attestation": {"type": "symmetricKey"}})
    return SignIn(release_station)


def lines(sign_in):
    guest = SignIn(sign_in.station, "guest")
    wrong = write_secret(sign_in.station.home / "wrong-secret", "a-secret-that-is-wrong-all-over")
    subscription = ["--subscription", sign_in.authority["subscription"]]
    return {
        "token": (0, [*sign_in.service(), "--auth-type", "login", *sign_in.by_secret()]),
        "key by name": (0, [*sign_in.service("emulator"), *sign_in.by_secret(), *subscription]),
        "wrong secret": (5, [*sign_in.service(), "--auth-type", "login", *sign_in.by_secret(file=wrong)]),
        "no role": (5, [*sign_in.service(), "--auth-type", "login", *guest.by_secret()]),
        "no keys": (5, [*sign_in.service("emulator"), *guest.by_secret(), *subscription]),
    }


@pytest.mark.parametrize("kind", ["token", "key by name", "wrong secret", "no role", "no keys"])
def test_no_secret_of_a_sign_in_is_found_anywhere(sign_in, kind):
    station = sign_in.station
    status, words = lines(sign_in)[kind]
    key = station.emulator.connection_string.split("SharedAccessKey=")[1].strip()
    canaries = {"token": TOKEN, "key": base64.b64decode(key), "secret": sign_in.secret().encode(),
                "guest's secret": SignIn(station, "guest").secret().encode(), "wrong secret": b"a-secret-that-is-wrong-all-over"}
    before = set(station.files())
    seen = watch([station.build / "muster", "enrollment", "show", "-vvv", "--eid", "e1", *words], canaries, cwd=station.home,
                 env=environment(station.build, station.home, station.env))
    assert seen["status"] == status, seen["output"].decode()
    assert found_in(seen["output"], canaries) == []
    assert found_in(seen["watched"], canaries) == []
    for path in set(station.files()) - before:
        assert found_in(path.read_bytes(), canaries) == [], path
    assert seen["memory"] == []


@pytest.mark.parametrize("password, status", [("the-word-of-the-proxy", 0), ("a-word-that-it-does-not-take", 5)])
def test_no_login_of_a_proxy_is_found_anywhere(release_station, password, status):
    station = release_station
    station.emulator.restart("--name", "line3.test")
    station.renew_login()
    canaries = {"password": password.encode(), "login": f"bench:{password}".encode()}
    file = write_secret(station.home / "proxy-login", f"bench:{password}\n")
    before = set(station.files())
    with Proxy(login="bench:the-word-of-the-proxy") as proxy:
        seen = watch([station.build / "muster", "enrollment", "list", "-vvv", "--login-file", station.login_file,
                      "--ca-file", station.emulator.ca_file, "--proxy", proxy.url, "--proxy-login-file", file], canaries,
                     cwd=station.home, env=environment(station.build, station.home, station.env))
    assert seen["status"] == status, seen["output"].decode()
    assert found_in(seen["output"], canaries) == []
    assert found_in(seen["watched"], canaries) == []
    for path in set(station.files()) - before:
        assert found_in(path.read_bytes(), canaries) == [], path
    assert seen["memory"] == []
