"""Signing in with a client secret: tokens of Entra ID in place of a shared access policy's key."""
import pytest

from lib.sign_in import SignIn


@pytest.fixture
def make_sign_in(station):
    def make(*arguments, application="bench"):
        station.emulator.restart("--application", application, *arguments)
        station.renew_login()
        return SignIn(station, application.split(":")[0])
    return make


def show(sign_in, *words):
    return sign_in.station.muster("enrollment", "show", "--eid", "e1", *words)


def put(station):
    status, answer = station.service.put("e1", {"registrationId": "e1", "attestation": {"type": "symmetricKey"}})
    assert status == 200, answer


def test_a_token_opens_the_service(make_sign_in):
    sign_in = make_sign_in()
    put(sign_in.station)
    done = show(sign_in, *sign_in.service(), "--auth-type", "login", *sign_in.by_secret())
    assert done.status == 0 and done.json["registrationId"] == "e1", done
    assert sign_in.tokens_asked() == 1


def test_a_device_is_provisioned_with_one_token(make_sign_in):
    sign_in = make_sign_in()
    station = sign_in.station
    done = station.muster("provision", "--profile", station.profile("derived-key"), "--serial", "T-1",
                          *sign_in.service(), "--auth-type", "login", *sign_in.by_secret(), *station.places(), "-o", "json")
    assert done.status == 0 and done.json["verified"], done
    assert sign_in.tokens_asked() == 1


def test_a_wrong_secret_is_refused_and_not_tried_again(make_sign_in):
    sign_in = make_sign_in()
    done = show(sign_in, *sign_in.service(), "--auth-type", "login", *sign_in.by_secret(file=sign_in.wrong_secret()))
    assert (done.status, done.cause) == (5, "E5210") and "AADSTS7000215" in done.stderr, done
    assert sign_in.tokens_asked() == 1 and not sign_in.station.emulator.requests("get")


def test_a_token_without_a_role_is_refused(make_sign_in):
    sign_in = make_sign_in(application="bench:role=none")
    done = show(sign_in, *sign_in.service(), "--auth-type", "login", *sign_in.by_secret())
    assert (done.status, done.cause) == (5, "E5122"), done


def test_a_reader_reads_and_does_not_write(make_sign_in):
    sign_in = make_sign_in(application="bench:role=reader")
    put(sign_in.station)
    words = [*sign_in.service(), "--auth-type", "login", *sign_in.by_secret()]
    assert show(sign_in, *words).status == 0
    done = sign_in.station.muster("enrollment", "delete", "--eid", "e1", *words)
    assert (done.status, done.cause) == (5, "E5122"), done


@pytest.mark.parametrize("missing", ["tenant", "client-id"])
def test_what_is_missing_is_named(make_sign_in, missing):
    sign_in = make_sign_in()
    done = show(sign_in, *sign_in.service(), "--auth-type", "login", *sign_in.by_secret(**{missing: None}))
    assert (done.status, done.cause) == (2, "E1110") and f"--{missing}" in done.stderr, done
    assert sign_in.tokens_asked() == 0


def test_an_authority_without_tls_is_refused(make_sign_in):
    sign_in = make_sign_in()
    done = show(sign_in, *sign_in.service(), "--auth-type", "login", *sign_in.by_secret(), "--authority-host",
                "http://localhost:1")
    assert (done.status, done.cause) == (2, "E1111"), done


def test_a_secret_that_others_can_read_is_refused(make_sign_in):
    sign_in = make_sign_in()
    file = sign_in.wrong_secret()
    file.chmod(0o644)
    done = show(sign_in, *sign_in.service(), "--auth-type", "login", *sign_in.by_secret(file=file))
    assert (done.status, done.cause) == (2, "E1005"), done


@pytest.mark.parametrize("fault, cause", [("token:status=503:count=1:retry-after=0", None), ("token:garbage=html", "E5211"),
                                          ("token:garbage=empty", "E5211")])
def test_an_authority_that_stumbles(make_sign_in, fault, cause):
    sign_in = make_sign_in("--fault", fault)
    put(sign_in.station)
    done = show(sign_in, *sign_in.service(), "--auth-type", "login", *sign_in.by_secret())
    assert (done.status, done.cause) == ((0, None) if cause is None else (6, cause)), done
