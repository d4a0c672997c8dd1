"""The service by its name: looked up through the management API, entered with a policy's key or with a token."""
import base64
import json

import pytest

from lib.batch import created, restart
from lib.outage import Run, lose_service
from lib.sign_in import SignIn


@pytest.fixture
def make_sign_in(station):
    def make(*arguments, application="bench", is_filled=True):
        station.emulator.restart("--application", application, *arguments)
        station.renew_login()
        if is_filled:
            station.service.put("e1", {"registrationId": "e1", "attestation": {"type": "symmetricKey"}})
        return SignIn(station, application.split(":")[0])
    return make


def show(sign_in, name, *words):
    return sign_in.station.muster("enrollment", "show", "--eid", "e1", *sign_in.service(name), *sign_in.by_secret(),
                                  "--subscription", sign_in.authority["subscription"], *words)


def lookups(sign_in):
    return len(sign_in.station.emulator.requests("management"))


@pytest.mark.parametrize("name, words, requests", [
    ("emulator", [], 2), ("EMULATOR", [], 2), ("emulator", ["-g", "bench"], 2), ("emulator.somewhere.example", [], 2),
    ("https://emulator.somewhere.example/", [], 2), ("HTTP://emulator.somewhere.example", [], 2)])
def test_by_the_key_of_a_policy(make_sign_in, name, words, requests):
    sign_in = make_sign_in()
    done = show(sign_in, name, *words)
    assert done.status == 0 and done.json["registrationId"] == "e1", done
    assert (lookups(sign_in), sign_in.tokens_asked()) == (requests, 1)


@pytest.mark.parametrize("form", ["{}", "https://{}", "https://{}/", "http://{}"])
def test_a_host_may_be_written_as_an_address(make_sign_in, form):
    """Whatever stands there, only https is spoken."""
    sign_in = make_sign_in()
    done = show(sign_in, form.format(sign_in.host()), "--auth-type", "login")
    assert done.status == 0, done
    assert lookups(sign_in) == 0


@pytest.mark.parametrize("name", ["ftp://host.example", "https://host.example/path", "https://", "a b"])
@pytest.mark.parametrize("way", ["key", "login"])
def test_what_is_no_service_is_told_of_its_option(make_sign_in, name, way):
    sign_in = make_sign_in()
    done = show(sign_in, name, "--auth-type", way)
    assert (done.status, done.cause) == (2, "E1001") and "provisioning service" in done.stderr, done
    assert (lookups(sign_in), sign_in.tokens_asked()) == (0, 0)


def test_a_device_is_provisioned_by_name(make_sign_in):
    sign_in = make_sign_in()
    station = sign_in.station
    done = station.muster("provision", "--profile", station.profile("derived-key"), "--serial", "N-1",
                          *sign_in.service("emulator"), *sign_in.by_secret(), *station.places(), "-o", "json",
                          "--subscription", sign_in.authority["subscription"])
    assert done.status == 0 and done.json["verified"], done
    assert lookups(sign_in) == 2


def test_every_page_is_read(make_sign_in):
    sign_in = make_sign_in("--instance", "emulator", "--instance", "b", "--instance", "c", "--page-size", "1")
    assert show(sign_in, "emulator").status == 0
    assert lookups(sign_in) == 4


def test_a_list_without_end_is_given_up(make_sign_in):
    sign_in = make_sign_in("--page-size", "0")
    done = show(sign_in, "emulator")
    assert (done.status, done.cause) == (6, "E5218") and "100 pages" in done.stderr, done
    assert lookups(sign_in) == 100


@pytest.mark.parametrize("name, words", [
    ("nobody", []), ("nobody", ["-g", "bench"]), ("emulator", ["-g", "elsewhere"]),
    ("emulator", ["--subscription", "11111111-2222-3333-4444-555555555555"])])
def test_a_name_that_is_not_there(make_sign_in, name, words):
    sign_in = make_sign_in()
    done = show(sign_in, name, *words)
    assert (done.status, done.cause) == (3, "E5215"), done
    assert not sign_in.station.emulator.requests("get")


def test_a_name_that_is_there_twice(make_sign_in):
    sign_in = make_sign_in("--instance", "twin:group=a", "--instance", "twin:group=b")
    done = show(sign_in, "twin")
    assert (done.status, done.cause) == (5, "E5216"), done
    assert show(sign_in, "twin", "-g", "a").status == 0


@pytest.mark.parametrize("role, asked", [("management-reader", 2), ("contributor", 1)])
def test_an_identity_that_may_not_read_the_keys(make_sign_in, role, asked):
    sign_in = make_sign_in(application=f"bench:role={role}")
    done = show(sign_in, "emulator")
    assert (done.status, done.cause) == (5, "E5214") and "AuthorizationFailed" in done.stderr, done
    assert lookups(sign_in) == asked


def test_a_service_without_a_policy_that_may_write(make_sign_in):
    sign_in = make_sign_in("--policy", "provisioningserviceowner=ServiceConfig,EnrollmentRead", "--policy", "other=EnrollmentWrite")
    done = show(sign_in, "emulator")
    assert (done.status, done.cause) == (5, "E5217"), done


def test_the_first_policy_that_may_write_is_taken(make_sign_in):
    sign_in = make_sign_in("--policy", "provisioningserviceowner=ServiceConfig,EnrollmentRead",
                           "--policy", "strong=EnrollmentRead,EnrollmentWrite,ServiceConfig")
    done = show(sign_in, "emulator", "-v")
    assert done.cause == "E5108" and "policy 'strong'" in done.stderr, done


def test_a_subscription_is_needed(make_sign_in):
    sign_in = make_sign_in()
    done = sign_in.station.muster("enrollment", "show", "--eid", "e1", *sign_in.service("emulator"), *sign_in.by_secret())
    assert (done.status, done.cause) == (2, "E1110") and "--subscription" in done.stderr, done
    assert sign_in.tokens_asked() == 0


@pytest.mark.parametrize("words", [("--subscription", "a/b"), ("-g", "a/../b"), ("--management-endpoint", "http://localhost:1")])
def test_what_cannot_stand_in_an_address(make_sign_in, words):
    sign_in = make_sign_in()
    done = show(sign_in, "emulator", *words)
    assert done.status == 2 and done.cause in ("E1001", "E1111"), done
    assert sign_in.tokens_asked() == 0


def test_a_name_without_dots_is_a_host_for_tokens(make_sign_in):
    sign_in = make_sign_in("--name", "emulator.localhost", is_filled=False)
    port = sign_in.host().split(":")[1]
    done = show(sign_in, "emulator", "--auth-type", "login", "--dps-suffix", f"localhost:{port}")
    assert done.cause == "E5108", done
    assert lookups(sign_in) == 0


def test_a_connection_string_holds_over_a_name(make_sign_in):
    sign_in = make_sign_in()
    done = show(sign_in, "nobody", "--login-file", sign_in.station.login_file)
    assert done.status == 0 and lookups(sign_in) == 0, done


def test_the_command_line_holds_over_the_environment(make_sign_in):
    sign_in = make_sign_in()
    done = sign_in.station.muster("enrollment", "show", "--eid", "e1", *sign_in.service("emulator"), *sign_in.by_secret(),
                                  "--subscription", sign_in.authority["subscription"],
                                  env={"MUSTER_LOGIN_FILE": "/nonexistent"})
    assert done.status == 0 and lookups(sign_in) == 2, done


def test_a_key_that_is_regenerated_in_the_middle_is_looked_up_again(make_sign_in):
    """The station has none of its own, so nobody could mend that there."""
    sign_in = make_sign_in("--fault", "bulk:delay-after=300000:skip=3", is_filled=False)
    station = sign_in.station
    rows = station.home / "rows.csv"
    rows.write_text("registrationId,attestation\n" + "".join(f"r{number},symmetricKey\n" for number in range(300)))
    with Run(station, "enrollment", "import", rows, *sign_in.service("emulator"), *sign_in.by_secret(),
             "--subscription", sign_in.authority["subscription"]) as run:
        lose_service(run, 31)
        file = station.emulator.directory / "state/instance.json"
        instance = json.loads(file.read_text())
        for policy in instance["policies"]:
            policy["primaryKey"] = policy["secondaryKey"] = base64.b64encode(bytes(32)).decode()
        file.write_text(json.dumps(instance))
        restart(station, "--application", "bench")
        assert run.end() == 0, run.stderr
    assert len(created(station)) == 300 and lookups(sign_in) == 4
