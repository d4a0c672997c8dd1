"""Stations that reach everything by a proxy: all of it goes through it, and what it refuses is its refusal."""
import json

import pytest

from lib.proxy import Proxy
from lib.sign_in import SignIn
from lib.software_token import write_secret
from lib.tls_server import WrongServer
from lib.wait import wait_until

SERVICE, DEVICES = "line3.test", "global.test"


@pytest.fixture
def proxy():
    with Proxy() as made:
        yield made


@pytest.fixture
def far(station):
    """The station's service, by names that nobody here finds."""
    station.emulator.restart("--name", SERVICE, "--name", DEVICES)
    station.renew_login()
    return station


def port_of(station):
    return station.emulator.url.rsplit(":", 1)[1]


def service(station, *more):
    return ["--login-file", station.login_file, "--ca-file", station.emulator.ca_file, *more]


def create(station, *more, name="e1", **options):
    return station.muster("enrollment", "create", "--eid", name, "--at", "symmetricKey", *service(station, *more), **options)


def provision(station, proxy, serial="P-1", **options):
    places = dict(zip(station.places()[::2], station.places()[1::2]), **{"--device-endpoint": f"{DEVICES}:{port_of(station)}"})
    return station.muster("provision", "--profile", station.profile("derived-key"), "--serial", serial,
                          *service(station, "--proxy", proxy.url), *[word for pair in places.items() for word in pair],
                          "-o", "json", **options)


# -- What goes through it --


def test_an_enrollment_is_created_through_it(far, proxy):
    done = create(far, "--proxy", proxy.url)
    assert done.status == 0 and done.json["registrationId"] == "e1", done
    assert proxy.hosts == {SERVICE} and len(proxy.targets) == 1, proxy.targets


def test_it_is_told_the_host_and_nothing_else(far, proxy):
    assert create(far, "--proxy", proxy.url).status == 0
    place = f"{SERVICE}:{port_of(far)}"
    lines = proxy.heads[0].rstrip().split("\r\n")
    assert lines[:2] == [f"CONNECT {place} HTTP/1.1", f"Host: {place}"], proxy.heads
    assert {line.split(":")[0] for line in lines[2:]} == {"User-Agent", "Proxy-Connection"}, proxy.heads


def test_a_device_is_provisioned_and_verified_through_it(far, proxy):
    done = provision(far, proxy)
    assert done.status == 0 and done.json["verified"], done
    assert proxy.hosts == {SERVICE, DEVICES}, proxy.targets
    assert far.emulator.requests("register")
    for file in far.files():
        assert proxy.url.encode() not in file.read_bytes(), file


@pytest.fixture
def devices(tmp_path):
    rows = tmp_path / "devices.jsonl"
    rows.write_text("".join(json.dumps({"registrationId": f"d-{i}", "attestation": {"type": "symmetricKey"}}) + "\n"
                            for i in range(200)))
    return rows


def test_devices_of_a_file_go_through_it_on_few_connections(far, proxy, devices):
    done = far.muster("enrollment", "import", devices, *service(far, "--proxy", proxy.url))
    assert done.status == 0, done
    assert all(far.emulator.writes(f"d-{i}") == ["create"] for i in range(200))
    assert proxy.hosts == {SERVICE} and len(proxy.targets) <= 20, proxy.targets


def test_tokens_and_the_management_api_go_through_it(station, proxy):
    """The emulator lists the service by the name that it was asked by."""
    names = ["login.test", "management.test"]
    station.emulator.restart("--application", "bench", "--instance", "line3", *[word for name in names for word in ("--name", name)])
    sign_in, port = SignIn(station), port_of(station)
    done = station.muster("enrollment", "list", "--dps-name", "line3", *sign_in.by_secret(), "--subscription",
                          sign_in.authority["subscription"], "--authority-host", f"https://login.test:{port}",
                          "--management-endpoint", f"https://management.test:{port}", "--ca-file", station.emulator.ca_file,
                          "--proxy", proxy.url)
    assert done.status == 0 and done.json == [], done
    assert proxy.hosts == set(names), proxy.targets


def test_an_answer_that_is_lost_behind_it_is_looked_for(far, proxy):
    far.emulator.restart("--name", SERVICE, "--fault", "put:cut-after:count=1")
    far.renew_login()
    done = create(far, "--proxy", proxy.url)
    assert done.status == 0, done
    assert far.emulator.writes("e1") == ["create"] and far.emulator.requests("get"), far.emulator.ledger()


def test_a_webhook_goes_through_it(far, proxy):
    (far.home / ".config/muster").mkdir(parents=True)
    (far.home / ".config/muster/muster.yaml").write_text(
        f"caFile: {far.emulator.ca_file}\nproxy: {proxy.url}\n"
        "hooks: {mes: {on: [unit-done], webhook: 'https://mes.test:9/in'}}\n")
    done = far.provision(far.profile("derived-key"), "W-1", "--proxy", proxy.url, "--device-endpoint", f"{DEVICES}:{port_of(far)}")
    assert done.status == 0, done
    wait_until(lambda: any(head.startswith("CONNECT mes.test:9 ") for head in proxy.heads), what="the webhook's way")


# -- What does not --


def test_this_machine_is_reached_without_it(station, proxy):
    station.service.put("e1", {"registrationId": "e1", "attestation": {"type": "symmetricKey"}})
    done = station.muster("enrollment", "show", "--eid", "e1", *service(station, "--proxy", proxy.url))
    assert done.status == 0 and proxy.heads == [], done


def test_the_metadata_service_is_asked_without_it(station, proxy):
    station.emulator.restart("--application", "bench", "--metadata-port", "0", "--name", SERVICE)
    about = station.emulator.about["authority"]
    done = station.muster("enrollment", "list", "--dps-name", f"{SERVICE}:{port_of(station)}", "--auth-type", "login",
                          "--sign-in", "managed-identity", "--metadata-endpoint", about["metadataUrl"], "--ca-file",
                          station.emulator.ca_file, "--proxy", proxy.url)
    assert done.status == 0 and proxy.hosts == {SERVICE}, done


@pytest.mark.parametrize("hosts, goes_by", [("line3.localhost", False), ("x.test,localhost", False), (".localhost", False),
                                            ("3.localhost,local,line3.localhost.test", True)])
def test_hosts_that_are_named_are_reached_without_it(station, proxy, hosts, goes_by):
    """curl itself takes what ends in .localhost for this machine."""
    station.emulator.restart("--name", "line3.localhost")
    station.renew_login()
    done = create(station, "--proxy", proxy.url, "--no-proxy", hosts)
    assert done.status == 0 and proxy.hosts == ({"line3.localhost"} if goes_by else set()), done


def test_the_environment_names_none(far, proxy):
    done = create(far, env={"HTTPS_PROXY": proxy.url, "https_proxy": proxy.url, "ALL_PROXY": proxy.url})
    assert (done.status, done.cause) == (6, "E5101") and proxy.heads == [], done
    assert "is not used: name the proxy by --proxy, or as proxy in muster.yaml" in done.stderr, done


def test_the_environments_exceptions_do_not_hold(far, proxy):
    done = create(far, "--proxy", proxy.url, env={"NO_PROXY": "*", "no_proxy": "*"})
    assert done.status == 0 and proxy.hosts == {SERVICE}, done


# -- What stands in the way --


def nothing_reached(station):
    return station.emulator.ledger() == []


def test_what_the_proxy_refuses_the_service_has_not_refused(far):
    with Proxy(status=403) as proxy:
        done = create(far, "--proxy", proxy.url)
        assert (done.status, done.cause) == (5, "E1454") and nothing_reached(far), done
        assert f"through the proxy '{proxy.url}': the proxy, not the service, answered 403" in done.stderr, done
        assert len(proxy.heads) == 1 and "SharedAccess" not in proxy.heads[0]


def test_a_proxy_that_does_not_reach_the_service_is_asked_again(far):
    with Proxy(status=502) as proxy:
        done = create(far, "--proxy", proxy.url)
        assert (done.status, done.cause) == (6, "E5101") and nothing_reached(far), done
        assert "the proxy, not the service, answered 502" in done.stderr, done
        assert len(proxy.heads) > 1


def test_a_proxy_that_is_away_is_said_to_be(far):
    with Proxy() as gone:
        url = gone.url
    done = create(far, "--proxy", url)
    assert (done.status, done.cause) == (6, "E5101") and nothing_reached(far), done
    assert f"through the proxy '{url}': the proxy does not answer" in done.stderr, done


def test_a_proxy_of_a_wrong_name_is_said_to_be(far):
    done = create(far, "--proxy", "http://proxy.test:3128")
    assert (done.status, done.cause) == (6, "E5101") and nothing_reached(far), done
    assert "the proxy has a name that is not found" in done.stderr, done


def test_a_proxy_that_opens_tls_is_noticed(far, proxy, tmp_path):
    """It shows a certificate of its own."""
    server = WrongServer(tmp_path / "other", "unknown-root")
    write_secret(far.login_file, far.emulator.connection_string.replace(port_of(far), str(server.port)) + "\n")
    done = create(far, "--proxy", proxy.url)
    server.stop()
    assert (done.status, done.cause) == (5, "E5102") and server.received == b"", done
    assert f"through the proxy '{proxy.url}': the server's certificate" in done.stderr, done


def test_an_import_that_the_proxy_refused_goes_on_where_it_was(far, devices):
    with Proxy(status=403) as proxy:
        done = far.muster("enrollment", "import", devices, *service(far, "--proxy", proxy.url))
        assert (done.status, done.cause, done.json["open"]) == (5, "E1454", 200) and nothing_reached(far), done
        proxy.status = None
        done = far.muster("enrollment", "import", devices, *service(far, "--proxy", proxy.url))
        assert (done.status, done.json["written"]) == (0, 200), done


def test_a_run_stops_when_the_proxy_refuses_it(far, tmp_path):
    manifest = tmp_path / "devices.csv"
    manifest.write_text("serial\n" + "".join(f"B-{i}\n" for i in range(20)))
    with Proxy(status=403) as proxy:
        done = far.muster("provision", "--profile", far.profile("derived-key"), "--manifest", manifest, *service(far, "--proxy",
                          proxy.url), *far.places())
        assert (done.status, done.cause) == (5, "E1454") and nothing_reached(far), done
        assert len(proxy.heads) <= 3, proxy.heads


# -- A proxy that wants a login --


@pytest.fixture
def guarded():
    with Proxy(login="station:pass:word%41") as made:
        yield made


def login_file(station, text="station:pass:word%41\n"):
    return write_secret(station.home / "proxy-login", text)


def test_a_login_is_asked_for(far, guarded):
    done = create(far, "--proxy", guarded.url)
    assert (done.status, done.cause) == (5, "E1455") and nothing_reached(far), done
    assert "the proxy wants a user and a password (407)" in done.stderr and "--proxy-login-file" in done.error["remedy"], done


def test_a_login_opens_it(far, guarded):
    done = create(far, "--proxy", guarded.url, "--proxy-login-file", login_file(far))
    assert done.status == 0 and guarded.hosts == {SERVICE}, done


def test_a_sync_reads_the_login_once_for_all_profiles(far, guarded):
    """A descriptor is empty after it was read."""
    for number, name in enumerate(("one", "two")):
        profile = far.profile("derived-key", {"profile": name, "verify": "none"}, name=name)
        done = far.muster("provision", "--profile", profile, "--serial", f"P-{number}", "--offline", "--journal", far.journal,
                          "--out", far.out)
        assert done.status == 6, done
    with open(login_file(far)) as login:
        descriptor = login.fileno()
        done = far.sync("--proxy", guarded.url, "--proxy-login-file", f"fd:{descriptor}", pass_fds=[descriptor])
    assert (done.status, [row["state"] for row in done.json]) == (0, ["enrolled"] * 2) and guarded.hosts == {SERVICE}, done


def test_a_wrong_login_is_tried_once(far, guarded):
    done = create(far, "--proxy", guarded.url, "--proxy-login-file", login_file(far, "station:wrong\n"))
    assert (done.status, done.cause) == (5, "E1455") and len(guarded.heads) == 1, done
    assert "the proxy refused the user or password (407)" in done.stderr and "wrong" not in done.stderr, done


def test_an_import_tries_a_wrong_login_once(far, guarded, devices):
    done = far.muster("enrollment", "import", devices, *service(far, "--proxy", guarded.url, "--proxy-login-file",
                      login_file(far, "station:wrong\n")))
    assert (done.status, done.cause, done.json["open"]) == (5, "E1455", 200) and len(guarded.heads) == 1, done


def test_the_login_of_one_proxy_is_not_for_another(far, guarded):
    login_file(far)
    env = configure(far, "proxy: http://127.0.0.1:1\nproxyLoginFile: proxy-login\n")
    done = create(far, "--proxy", guarded.url, env=env)
    assert (done.status, done.cause) == (5, "E1455"), done
    assert guarded.heads and not [head for head in guarded.heads if "Proxy-Authorization" in head]


@pytest.mark.parametrize("text", ["station\n", ":word\n", "station:word\nmore\n"])
def test_a_login_that_is_none_is_refused(far, guarded, text):
    done = create(far, "--proxy", guarded.url, "--proxy-login-file", login_file(far, text))
    assert (done.status, done.cause) == (2, "E1453") and guarded.heads == [], done


def test_a_login_that_others_can_read_is_refused(far, guarded):
    file = login_file(far)
    file.chmod(0o644)
    done = create(far, "--proxy", guarded.url, "--proxy-login-file", file)
    assert done.status != 0 and guarded.heads == [] and "proxy-login" in done.stderr, done


# -- How it is named --


def configure(station, text):
    file = station.home / "muster.yaml"
    file.write_text(text)
    return {"MUSTER_CONFIG": file}


def test_the_configuration_names_it_and_an_option_holds_over_that(far, proxy):
    env = configure(far, f"proxy: {proxy.url}\nnoProxy: factory.test\nproxyLoginFile: proxy-login\n")
    login_file(far)
    assert create(far, env=env).status == 0 and proxy.hosts == {SERVICE}
    with Proxy() as other:
        assert create(far, "--proxy", other.url, name="e2", env=env).status == 0 and other.hosts == {SERVICE}
    done = create(far, "--proxy", "none", name="e3", env=env)
    assert (done.status, done.cause) == (6, "E5101") and "through the proxy" not in done.stderr, done
    assert len(proxy.heads) == 1


@pytest.mark.parametrize("value, words", [
    ("https://p:3128", "proxy has to be http://HOST:PORT or none"), ("http://p", "proxy has to be"),
    ("http://p:0", "proxy has to be"), ("http://p:65536", "proxy has to be"), ("p:3128", "proxy has to be"),
    ("http://p:3128/x", "proxy has to be"), ("http://u:secret-word@p:3128", "proxy must not have '@'")])
def test_a_configuration_with_another_form_is_refused_with_its_place(far, value, words):
    done = create(far, env=configure(far, f"idScope: a\nproxy: {value}\n"))
    assert done.status == 2 and f"muster.yaml:2:8: error E1205: {words}" in done.stderr, done
    assert "secret-word" not in done.stderr and nothing_reached(far), done


@pytest.mark.parametrize("value", ["https://p:3128", "http://p", "http://p:0", "http://p:65536", "p:3128", "http://p:3128/x",
                                   "http://p:3128x", "http://:1", "http://u:secret-word@p:3128"])
@pytest.mark.parametrize("way", ["option", "variable"])
def test_another_form_is_refused_before_anything_is_sent(far, value, way):
    done = create(far, *(("--proxy", value) if way == "option" else ()), env={"MUSTER_PROXY": value} if way == "variable" else {})
    assert (done.status, done.cause) == (2, "E1453") and nothing_reached(far), done
    assert "secret-word" not in done.stderr, done


@pytest.mark.parametrize("value", ["a,,b", "a b", "*", "", "a:443"])
def test_exceptions_that_are_no_hosts_are_refused(far, value):
    done = create(far, "--no-proxy", value)
    assert (done.status, done.cause) == (2, "E1453") and nothing_reached(far), done


def test_where_it_was_named_is_shown(far, proxy):
    env = configure(far, f"proxy: {proxy.url}\n")
    settings = {row["setting"]: row for row in far.muster("config", "show", "-o", "json", env=env).json}
    assert (settings["proxy"]["value"], settings["proxy"]["origin"]) == (proxy.url, "file")
    assert settings["noProxy"]["origin"] == "unset"
    settings = {row["setting"]: row for row in far.muster("config", "show", "-o", "json").json}
    assert (settings["proxy"]["value"], settings["proxy"]["origin"]) == ("none", "default")


@pytest.mark.parametrize("env, verdict, words", [
    ({}, "ok", "none; servers are reached directly"), ({"https_proxy": "http://p:1"}, "warn", "environment's https_proxy"),
    ({"MUSTER_PROXY": "http://p:1", "MUSTER_NO_PROXY": "mes.test"}, "ok", "'http://p:1', but not to mes.test"),
    ({"MUSTER_PROXY": "http://p"}, "fail", "neither http://HOST:PORT nor none")])
def test_the_doctor_says_which(station, env, verdict, words):
    found = [row for row in station.muster("doctor", "-o", "json", env=env).json if row["check"] == "proxy"]
    assert [row["verdict"] for row in found] == [verdict] and words in found[0]["seen"], found
