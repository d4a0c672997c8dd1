"""What is wrong is named: its own E-code, its exit code, a sentence with a remedy, and nothing enrolled."""
import base64
import os
import pathlib
import re
import subprocess

import pytest

from lib import batch
from lib.dps import Service
from lib.ek_authority import EkAuthority
from lib.software_token import write_secret
from lib.tls_server import WrongServer
from lib.wait import wait_until
from test_journal_reconcile import lose_journal, reconcile
from test_offline import offline

SERIAL = "BAD-0001"


def assert_refused(station, done, status, cause):
    assert (done.status, done.cause) == (status, cause), done
    assert done.stdout.strip() in ("", "[]"), done
    assert remedy_of(station, cause) in re.sub(r"\s+", " ", done.stderr), done
    assert station.service.enrollments() == []


def remedy_of(station, cause):
    """The last line of `muster explain`, which a failure has to show too."""
    words = station.muster("explain", cause, "-o", "json").json
    words = words[0] if isinstance(words, list) else words
    return re.sub(r"\s+", " ", words["remedy"])


# -- Another file than was meant --------------------------------------------------------------------------------------

@pytest.mark.parametrize("words", [
    ["provision", "--profile", "FILE", "--serial", SERIAL], ["provision", "--profile", "PROFILE", "--manifest", "FILE"],
    ["enrollment", "import", "FILE"], ["key", "derive", "--master-file", "MASTER", "--ids", "FILE", "--out", "keys.jsonl"],
    ["key", "derive", "--master-file", "MASTER", "@FILE", "--out", "keys.jsonl"],
    ["enrollment", "create", "--enrollment-id", "x", "--attestation-type", "@FILE"], ["enrollment", "list", "@FILE"],
    ["config", "show"]], ids=lambda words: " ".join(words[:2]))
@pytest.mark.parametrize("what", ["master", "login"])
def test_a_secret_that_is_mistaken_for_another_thing_is_not_shown(station, what, words):
    master = station.home / "keys/primary.key"
    file = master if what == "master" else station.login_file
    places = {"FILE": file, "PROFILE": station.profile("derived-key"), "MASTER": station.home / "keys/secondary.key",
              "@FILE": file.read_text().strip()}
    env = {"MUSTER_CONFIG": str(file)} if words[0] == "config" else {}
    login = ["--login-file", station.login_file, "--ca-file", station.emulator.ca_file] if words[0] in ("enrollment", "provision") else []
    done = station.muster(*[places.get(word, word) for word in words], *login, env=env)
    secret = station.masters[0] if what == "master" else station.login_file.read_text().strip().split("SharedAccessKey=")[1]
    assert done.status not in (0, 4) and secret not in done.stdout + done.stderr, done
    assert "may be a secret" in done.stderr or "not a text" in done.stderr or "E1204" in done.stderr, done


# -- Profile and command line -------------------------------------------------------------------------------------

def test_unknown_profile_key(station):
    path = station.profile("derived-key", {"registrationid": "{serial}"})
    done = station.provision(path, SERIAL)
    assert done.status == 2, done
    assert "E1202" in done.stderr and re.search(r"derived-key\.yaml:\d+:\d+", done.stderr) and "^" in done.stderr, done
    assert station.service.enrollments() == []


def test_wrong_type_in_profile(station):
    path = station.profile("derived-key", {"registrationId": ["a", "list"]})
    done = station.provision(path, SERIAL)
    assert done.status == 2 and "E1204" in done.stderr, done
    assert station.service.enrollments() == []


def test_every_mistake_of_a_profile_at_once(station):
    path = station.profile("derived-key", {"registrationId": ["a", "list"], "unknown": 1, "alsoUnknown": 2})
    done = station.muster("profile", "check", path)
    assert done.status == 2, done
    assert (done.stderr + done.stdout).count("E1202") >= 2 and "E1204" in done.stderr + done.stdout, done


@pytest.mark.parametrize("serial", ["A\x1b[2J", "A\nB", " A", "", "x" * 65, "Zürich"])
def test_serial_with_what_no_serial_has(station, serial):
    done = station.provision(station.profile("derived-key"), serial)
    assert done.status == 2 and done.cause in ("E1301", "E1302"), done
    assert "\x1b" not in done.stderr
    assert station.emulator.changes() == []


# -- Environment -----------------------------------------------------------------------------------------------------

def test_variables_that_would_tell_or_divert_are_not_heard(hsm_station, tpm):
    """Keys of TLS sessions, a proxy, a trace of the TPM, another configuration of OpenSSL: each is dropped, and that is said."""
    told = [hsm_station.home / name for name in ("keys.log", "tss.log", "spy.log")]
    given = {"SSLKEYLOGFILE": told[0], "TSS2_LOG": "all+trace", "TSS2_LOGFILE": told[1], "PKCS11SPY_OUTPUT": told[2],
             "HTTPS_PROXY": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1", "ALL_PROXY": "socks5://127.0.0.1:1",
             "OPENSSL_CONF": "/nowhere", "OPENSSL_MODULES": "/nowhere"}
    done = hsm_station.provision(hsm_station.profile("tpm"), SERIAL, "--tpm", tpm.tcti, "-v", env=given)
    assert done.status == 0 and done.json["verified"] is True, done
    assert not any(path.exists() for path in told)
    for name in ("SSLKEYLOGFILE", "HTTPS_PROXY"):
        assert name in done.stderr, done


@pytest.mark.difference(9)
def test_a_proxy_that_is_not_used_is_named_where_nothing_answers(station):
    login = write_secret(station.home / "nowhere", station.login_file.read_text().replace(
        station.emulator.url.removeprefix("https://"), "localhost:1"))
    done = station.muster("enrollment", "show", "--eid", "a", "--login-file", login, "--ca-file", station.emulator.ca_file,
                          env={"HTTPS_PROXY": "http://127.0.0.1:1"}, timeout=300)
    assert (done.status, done.cause) == (6, "E5101") and "the environment's HTTPS_PROXY is not used" in done.stderr, done


# -- TPM ------------------------------------------------------------------------------------------------------------

def test_no_tpm_at_the_tcti(station):
    done = station.provision(station.profile("tpm"), SERIAL, "--tpm", "swtpm:path=/tmp/nothing-here")
    assert_refused(station, done, 4, "E2101")


def test_tpm_that_hangs(station, tpm):
    tpm.hang()
    done = station.provision(station.profile("tpm"), SERIAL, "--tpm", tpm.tcti, timeout=60)
    assert_refused(station, done, 4, "E2102")


def test_tcti_that_is_not_named_fully(station):
    done = station.provision(station.profile("tpm"), SERIAL, "--tpm", "swtpm")
    assert_refused(station, done, 2, "E2001")


def test_tcti_that_is_no_text(station):
    for done in (station.provision(station.profile("tpm"), SERIAL, "--tpm", b"swtpm:path=/tmp/s\xff"),
                 station.muster("tpm", "show", "--tpm", b"swtpm:path=/tmp/s\xff")):
        assert (done.status, done.cause) == (2, "E2001") and "is not UTF-8" in done.stderr, done
    assert not station.journal.exists()


# -- HSM ------------------------------------------------------------------------------------------------------------

def provision_hsm(station, uri, pin_file):
    return station.provision(station.profile("hsm-x509"), SERIAL, "--token", uri, "--pin-file", pin_file)


@pytest.mark.refuses_a_pin
def test_wrong_pin_is_tried_once_and_remembered(hsm_station, token):
    wrong = write_secret(hsm_station.home / "wrong.pin", "999999")
    assert_refused(hsm_station, provision_hsm(hsm_station, token.uri, wrong), 5, "E4201")
    assert_refused(hsm_station, provision_hsm(hsm_station, token.uri, token.pin_file), 5, "E4202")
    acknowledged = hsm_station.muster("hsm", "acknowledge", token.uri)
    assert acknowledged.status == 0, acknowledged
    assert provision_hsm(hsm_station, token.uri, token.pin_file).status == 0


def test_two_tokens_with_one_label(hsm_station, tokens):
    first, second = tokens.make("twin"), tokens.make("twin")
    assert first.serial != second.serial
    assert_refused(hsm_station, provision_hsm(hsm_station, first.uri_by_label(), first.pin_file), 5, "E4104")


def test_uninitialised_token(hsm_station, tokens):
    pin_file = write_secret(hsm_station.home / "pin", "123456")
    uri = "pkcs11:slot-id=0?module-path=/usr/lib/softhsm/libsofthsm2.so"
    assert_refused(hsm_station, provision_hsm(hsm_station, uri, pin_file), 4, "E4105")


def test_token_that_is_not_there(hsm_station, token):
    uri = token.uri.replace(token.serial, "0000000000000000")
    assert_refused(hsm_station, provision_hsm(hsm_station, uri, token.pin_file), 3, "E4103")


def test_pin_file_readable_by_others(hsm_station, token):
    token.pin_file.chmod(0o644)
    assert_refused(hsm_station, provision_hsm(hsm_station, token.uri, token.pin_file), 2, "E1005")


# -- Cloud ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["expired", "wrong-host", "unknown-root"])
def test_server_certificate_that_is_wrong(station, tmp_path, kind):
    server = WrongServer(tmp_path / "server", kind)
    parts = re.sub(r"HostName=[^;]*", f"HostName=localhost:{server.port}", station.emulator.connection_string)
    login = write_secret(station.home / "wrong-login", parts)
    done = station.provision(station.profile("derived-key"), SERIAL, "--login-file", login, "--ca-file", server.ca_file,
                             "--device-endpoint", f"localhost:{server.port}")
    server.stop()
    assert_refused(station, done, 5, "E5102")
    assert server.received == b""


def test_wrong_sas_key(station):
    parts = re.sub(r"SharedAccessKey=.*", "SharedAccessKey=" + "A" * 43 + "=", station.emulator.connection_string)
    login = write_secret(station.home / "wrong-login", parts)
    done = station.provision(station.profile("derived-key"), SERIAL, "--login-file", login)
    assert_refused(station, done, 5, "E5201")


@pytest.mark.parametrize("offset_s", [7200, -7200])
def test_clock_two_hours_off(station, offset_s):
    station.emulator.restart("--clock-offset", str(offset_s))
    station.renew_login()
    done = station.provision(station.profile("derived-key"), SERIAL)
    assert (done.status, done.cause) == (5, "E5202"), done
    assert station.emulator.changes() == []


def test_service_that_is_not_there(station):
    login = write_secret(station.home / "wrong-login", re.sub(r"HostName=[^;]*", "HostName=localhost:1",
                                                              station.emulator.connection_string))
    done = station.provision(station.profile("derived-key"), SERIAL, "--login-file", login)
    assert_refused(station, done, 6, "E5101")
    assert "PROXY" not in done.stderr


def test_login_that_is_not_a_connection_string(station):
    login = write_secret(station.home / "wrong-login", "hello")
    done = station.provision(station.profile("derived-key"), SERIAL, "--login-file", login)
    assert_refused(station, done, 2, "E1102")


def test_login_file_readable_by_others(station):
    station.login_file.chmod(0o640)
    assert_refused(station, station.provision(station.profile("derived-key"), SERIAL), 2, "E1005")


def test_enrollment_exists_with_another_ek(station, make_tpm):
    """By serial: another chip takes the name of one that is enrolled."""
    profile = station.profile("tpm", {"registrationId": "{serial}"})
    first, second = make_tpm("a"), make_tpm("b")
    assert station.provision(profile, SERIAL, "--tpm", first.tcti).status == 0
    before = station.service.enrollments()
    done = station.provision(profile, SERIAL, "--tpm", second.tcti, "--journal", station.home / "other.db")
    assert (done.status, done.cause) == (7, "E3101"), done
    assert "endorsementKey" in done.stderr, done
    assert station.service.enrollments() == before


# -- Where to ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("option, value", [("--id-scope", "bad scope"), ("--id-scope", "0ne/../x"), ("--id-scope", ""),
                                           ("--device-endpoint", "https://localhost:1"), ("--device-endpoint", "a b"),
                                           ("--device-endpoint", "-h")])
def test_place_that_is_none(station, option, value):
    done = station.provision(station.profile("derived-key"), SERIAL, f"{option}={value}")
    assert_refused(station, done, 2, "E1001")
    assert "has to be" in done.stderr and not station.journal.exists(), done


@pytest.mark.parametrize("option", ["--out", "--journal", "--ca-file"])
@pytest.mark.parametrize("verb", [["provision", "--serial", SERIAL], ["sync"]], ids=["provision", "sync"])
def test_place_without_a_name(station, verb, option):
    """The empty variable of a script is not the folder where that was started."""
    profile = ["--profile", station.profile("derived-key")] if verb[0] == "provision" else []
    before = station.files()
    done = station.muster(*verb, *profile, *station.common(), option, "")
    assert (done.status, done.cause) == (2, "E1001") and f"'{option}' needs a value" in done.stderr, done
    assert station.files() == before and station.emulator.ledger() == []


@pytest.mark.parametrize("verb, name, value", [(["enrollment", "list"], "RATE", "abc"), (["sync"], "RATE", "abc"),
                                               (["sync"], "PATIENCE", "1y")])
def test_setting_of_the_environment_is_named_by_its_variable(station, verb, name, value):
    station.provision(station.profile("derived-key"), SERIAL)
    login = ["--login-file", station.login_file, "--ca-file", station.emulator.ca_file]
    journal = ["--journal", station.journal] if verb == ["sync"] else []
    done = station.muster(*verb, *login, *journal, env={f"MUSTER_{name}": value})
    assert (done.status, done.cause) == (2, "E1001"), done
    assert f"MUSTER_{name}=" in done.stderr and f"--{name.lower()}" not in done.stderr, done
    done = station.muster(*verb, *login, *journal, f"--{name.lower()}", value, env={f"MUSTER_{name}": value})
    assert (done.status, done.cause) == (2, "E1001") and f"--{name.lower()}=" in done.stderr, done


@pytest.mark.parametrize("name, value", [("RATE", "abc"), ("RATE", "10/0"), ("PATIENCE", "5x")])
def test_a_setting_that_no_command_takes_holds_nowhere(station, name, value):
    done = station.muster("config", "show", "-o", "json", env={f"MUSTER_{name}": value})
    assert (done.status, done.cause) == (2, "E1001") and f"MUSTER_{name}=" in done.stderr and value in done.stderr, done
    found = station.muster("doctor", "--journal", station.journal, "-o", "json", env={f"MUSTER_{name}": value}).json
    [row] = [row for row in found if row["check"] == "configuration"]
    assert row["verdict"] == "fail" and f"MUSTER_{name}=" in row["seen"] and value in row["seen"], row


OTHER_SCOPE = "0ne00000000"


def mistyped(station, serial, *arguments):
    """Enrolled, and could not register."""
    done = station.provision(station.profile("derived-key"), serial, "--id-scope", OTHER_SCOPE, *arguments)
    assert done.status != 0 and done.cause != "E3105", done
    return serial.lower()


def is_finished(station, name, done):
    assert done.status == 0 and "true" in done.stdout, done
    row = station.rows()[name]
    assert (row["state"], row["service"]) == ("released", station.emulator.id_scope)
    assert len(station.emulator.effects("put", name)) == 1


@pytest.mark.parametrize("way", ["provision", "sync", "outbox retry"])
def test_mistyped_id_scope_is_corrected(station, way):
    name = mistyped(station, SERIAL)
    assert station.rows()[name]["state"] == "parked"
    if way == "provision":
        done = station.provision(station.profile("derived-key"), SERIAL)
    else:
        done = station.muster(*way.split(), name, *station.common(), "-o", "json")
    is_finished(station, name, done)


def test_mistyped_id_scope_of_what_is_spooled(station):
    name = mistyped(station, SERIAL, "--offline")
    is_finished(station, name, station.sync())


def test_mistyped_id_scope_of_a_manifest(station):
    path, profile = batch.manifest(station, ["one", "two"]), station.profile("derived-key")
    done = batch.provision(station, path, "--id-scope", OTHER_SCOPE, profile=profile)
    assert done.status != 0, done
    done = batch.provision(station, path, profile=profile)
    assert (done.status, done.json["yieldPercent"] if "yieldPercent" in done.json else 100) == (0, 100), done
    for name in ("one", "two"):
        is_finished(station, name, station.provision(profile, name))


def test_after_a_decision_that_nothing_is_there_any_id_scope_will_do(station):
    name = mistyped(station, SERIAL)
    station.service.delete(name)
    done = station.muster("outbox", "resolve", name, "--as", "failed", "--reason", "mistyped", "--journal", station.journal)
    assert done.status == 0, done
    assert station.provision(station.profile("derived-key"), SERIAL).json["verified"] is True


@pytest.fixture
def other(make_emulator):
    return make_emulator(name="other")


def login_to(station, other):
    path = station.home / "elsewhere"
    if not path.exists():
        write_secret(path, other.connection_string + "\n")
    return ["--login-file", path, "--ca-file", other.ca_file]


def place_of(station, other):
    return [*login_to(station, other), "--id-scope", other.id_scope, "--device-endpoint", other.url.removeprefix("https://")]


def assert_kept_from(other, done):
    assert (done.status, done.cause) == (7, "E3105"), done
    assert Service(other.connection_string, other.ca_file).enrollments() == []


def test_device_of_another_service(station, other):
    """One that is verified is known to be there; one that waits was sent to that host."""
    profile = station.profile("derived-key")
    assert station.provision(profile, "done").status == 0
    mistyped(station, "waits")
    for serial in ("done", "waits"):
        assert_kept_from(other, station.provision(profile, serial, *place_of(station, other)))
    done = station.provision(profile, "done", "--id-scope", OTHER_SCOPE)
    assert (done.status, done.cause) == (7, "E3105"), done


def test_device_of_another_service_that_was_made_ready_once_more(station, other):
    """A run without a network needs no ID scope, and takes none away."""
    mistyped(station, "waits")
    done = station.muster("provision", "--profile", station.profile("derived-key"), "--serial", "waits", "--offline", "--journal",
                          station.journal, "--out", station.out)
    assert done.cause == "E5180", done
    assert_kept_from(other, station.sync(*place_of(station, other)))
    is_finished(station, "waits", station.sync())


def scopeless(station, *words):
    return station.muster(*words, "--journal", station.journal, "--out", station.out, "-o", "json")


def here(station):
    return ["--login-file", station.login_file, "--ca-file", station.emulator.ca_file]


def test_device_of_another_service_without_any_id_scope(station, other):
    """Nothing is verified, so the host of the sending is all that is known."""
    profile = station.profile("derived-key", {"verify": "none"})
    work = ["provision", "--profile", profile, "--serial", "waits"]
    batch.restart(station, "--fault", "put:cut-after:count=1", "--fault", "get:status=503:retry-after=0")
    assert scopeless(station, *work, *here(station)).status in (6, 9)
    assert station.rows()["waits"]["state"] == "parked"
    for words in (["sync"], work):
        assert_kept_from(other, scopeless(station, *words, *login_to(station, other)))
    batch.restart(station)
    assert scopeless(station, "sync", *here(station)).json[0]["state"] == "enrolled"
    retired = station.muster("retire", "waits", "--reason", "moved", "--journal", station.journal, *here(station))
    assert retired.status == 0, retired
    assert scopeless(station, *work, *login_to(station, other)).json["state"] == "enrolled"


@pytest.mark.parametrize("way", ["provision", "manifest"])
def test_device_that_was_retired_is_free_for_another_service(station, other, way):
    """Also where it had registered, and with another ID scope."""
    profile = station.profile("derived-key")
    assert station.provision(profile, "one").json["verified"] is True
    retired = station.muster("retire", "one", "--reason", "moved", "--journal", station.journal, *here(station))
    assert retired.status == 0, retired
    work = ["--manifest", batch.manifest(station, ["one"]), "--with-retired"] if way == "manifest" else ["--serial", "one"]
    done = scopeless(station, "provision", "--profile", profile, *work, *place_of(station, other))
    assert done.status == 0 and enrolled_at(other) == {"one"} and station.service.enrollments() == [], done
    assert station.rows()["one"]["service"] == other.id_scope
    done = station.provision(profile, "one")
    assert (done.status, done.cause) == (7, "E3105") and station.service.enrollments() == [], done


def place_by_name(station, other):
    return [*login_of(station, other), *place_of(station, other)[4:]]


@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize("way", ["provision", "manifest"])
def test_what_a_life_left_at_one_service_is_not_forgotten_for_one_at_another(station, other, way, others):
    """What others wrote since goes by force."""
    profile = station.profile("derived-key")
    name = "one"
    if way == "provision":
        assert station.provision(profile, name).json["verified"] is True
    else:
        assert batch.provision(station, batch.manifest(station, [name]), profile=profile).status == 0
    retire = ["retire", name, "--reason", "moved", "--journal", station.journal]
    assert station.muster(*retire, *login_of(station, other), "--force").status == 0
    done = scopeless(station, "provision", "--profile", profile, "--serial", name, *place_by_name(station, other))
    assert done.status == 0 and enrolled_at(other) == enrolled_at(station.emulator) == {name}, done
    assert station.muster(*retire, *login_of(station, other)).status == 0
    assert enrolled_at(other) == set() and enrolled_at(station.emulator) == {name}
    if others:
        assert station.muster("enrollment", "update", "--eid", name, "--tags", '{"legal": "hold"}', *here(station)).status == 0
        done = station.muster(*retire, *here(station))
        assert (done.status, done.cause) == (7, "E5110") and enrolled_at(station.emulator) == {name}, done
    done = station.muster(*retire, *here(station), *(["--force"] if others else []))
    assert done.status == 0 and enrolled_at(station.emulator) == set(), done
    for login in (here(station), login_of(station, other)):
        assert station.muster(*retire, *login).status == 0


def test_what_each_of_two_lives_left_is_ended_with_its_own_login(station, other):
    """The last one's comes first only where the login is for no other's."""
    profile = station.profile("derived-key")
    assert station.provision(profile, "one").status == 0
    retire = ["retire", "one", "--reason", "moved", "--journal", station.journal]
    assert station.muster(*retire, *login_of(station, other), "--force").status == 0
    assert scopeless(station, "provision", "--profile", profile, "--serial", "one", *place_by_name(station, other)).status == 0
    assert station.muster(*retire, *here(station), "--force").status == 0
    assert enrolled_at(other) == enrolled_at(station.emulator) == {"one"}
    assert station.muster(*retire, *here(station)).status == 0
    assert enrolled_at(station.emulator) == set() and enrolled_at(other) == {"one"}
    assert station.muster(*retire, *login_of(station, other)).status == 0 and enrolled_at(other) == set()


@pytest.mark.parametrize("scope", [None, "here"])
def test_device_that_another_service_refused_goes_on_here(station, other, scope):
    """Nothing came of that sending, whoever was asked. One that may have arrived holds it there."""
    profile, bad = station.profile("derived-key", {"verify": "none"}), station.home / "bad"
    write_secret(bad, re.sub("SharedAccessKey=.*", f"SharedAccessKey={base64.b64encode(bytes(32)).decode()}", other.connection_string) + "\n")
    assert offline(station, profile, "waits").cause == "E5180"
    there, back = (["--id-scope", other.id_scope], ["--id-scope", station.emulator.id_scope]) if scope else ([], [])
    done = scopeless(station, "sync", "--login-file", bad, "--ca-file", other.ca_file, *there)
    assert (done.status, done.cause) == (5, "E5201"), done
    batch.restart(station, "--fault", "put:cut-after:count=1", "--fault", "get:status=503:retry-after=0")
    done = scopeless(station, "sync", *here(station), *back)
    assert done.status in (6, 9) and done.cause != "E3105", done
    assert_kept_from(other, scopeless(station, "sync", *login_to(station, other), *there))
    batch.restart(station)
    assert scopeless(station, "sync", *here(station), *back).json[0]["state"] == "enrolled"


def test_manifest_of_another_service_without_any_id_scope(station, other):
    """What is released there is not released here."""
    profile, path = station.profile("derived-key", {"verify": "none"}), batch.manifest(station, batch.serials(2))
    work = ["provision", "--profile", profile, "--manifest", path]
    assert scopeless(station, *work, *here(station)).json["enrolled"] == 2
    assert_kept_from(other, scopeless(station, *work, *login_to(station, other)))
    assert scopeless(station, *work, *here(station)).json["before"] == 2


@pytest.mark.parametrize("scope", [None, "typed"])
def test_manifest_of_another_service_after_the_journal_was_lost(station, other, scope):
    """No sending is in the journal then: the evidence says where they were released."""
    profile, path = station.profile("derived-key", {"verify": "none"}), batch.manifest(station, batch.serials(2))
    work = ["provision", "--profile", profile, "--manifest", path]
    there, back = (["--id-scope", other.id_scope], ["--id-scope", station.emulator.id_scope]) if scope else ([], [])
    assert scopeless(station, *work, *here(station), *back).json["enrolled"] == 2
    lose_journal(station)
    assert reconcile(station).json["released"] == 2
    assert_kept_from(other, scopeless(station, *work, *login_to(station, other), *there))
    assert scopeless(station, *work, *here(station), *back).json["before"] == 2


def test_device_of_another_service_whose_evidence_was_lost_with_the_journal(station, other):
    """What is restored as parked may be in the service that it was restored from."""
    name = mistyped(station, SERIAL)
    lose_journal(station)
    station.out.mkdir(exist_ok=True)
    assert reconcile(station).json["parked"] == 1
    profile = station.profile("derived-key")
    assert_kept_from(other, station.provision(profile, SERIAL, *place_of(station, other)))
    unverified = station.profile("derived-key", {"verify": "none"}, name="unverified")
    assert_kept_from(other, scopeless(station, "provision", "--profile", unverified, "--serial", SERIAL, *login_to(station, other)))
    is_finished(station, name, station.provision(profile, SERIAL))


def login_of(station, other):
    """Under another name than this one's, and nothing else is the other's."""
    path = write_secret(station.home / "swapped", other.connection_string.replace("localhost", "127.0.0.1") + "\n")
    both = station.home / "both.pem"
    both.write_text("".join(pathlib.Path(service.ca_file).read_text() for service in (station.emulator, other)))
    return ["--login-file", path, "--ca-file", both]


def work_of(station, way, profile):
    places = [*station.places(), "-o", "json"]
    if way == "manifest":
        return ["provision", "--profile", profile, "--manifest", batch.manifest(station, ["one", "two"]), *places]
    if way == "sync":
        assert batch.provision(station, batch.manifest(station, ["one", "two"]), "--offline", profile=profile).status == 6
        return ["sync", *places]
    return ["provision", "--profile", profile, "--serial", "one", *places]


def enrolled_at(service):
    return {found["registrationId"] for found in Service(service.connection_string, service.ca_file).enrollments()}


@pytest.mark.parametrize("way", ["provision", "sync", "manifest"])
def test_what_the_login_of_another_service_has_enrolled_is_not_enrolled_here_too(station, other, way):
    """With the ID scope of this one, which the login does not know."""
    work = work_of(station, way, station.profile("derived-key"))
    assert station.muster(*work, *login_of(station, other)).status != 0
    there = enrolled_at(other)
    assert there and station.service.enrollments() == []
    done = station.muster(*work, *here(station))
    assert (done.status, done.cause) == (7, "E3105") and "127.0.0.1" in done.stderr and "localhost" in done.stderr, done
    assert enrolled_at(station.emulator).isdisjoint(there) and enrolled_at(other) == there


@pytest.mark.parametrize("verify", ["register", "none"])
@pytest.mark.parametrize("way", ["provision", "manifest"])
def test_what_is_released_is_not_looked_for_with_the_login_of_another_service(station, other, way, verify):
    """Whether that one has it as well or not."""
    work = work_of(station, way, station.profile("derived-key", {"verify": verify}))
    assert station.muster(*work, *here(station)).status == 0
    before = station.rows()
    assert_kept_from(other, station.muster(*work, *login_of(station, other)))
    elsewhere = station.muster(*work, *login_of(station, other), "--journal", station.home / "other.db", "--out", station.home / "other")
    assert enrolled_at(other) == set(before), elsewhere
    done = station.muster(*work, *login_of(station, other))
    assert (done.status, done.cause) == (7, "E3105") and station.rows() == before, done
    assert station.muster(*work, *here(station)).status == 0


def test_a_service_is_known_by_its_name_in_any_letters_and_at_any_port(station):
    work = work_of(station, "provision", station.profile("derived-key"))
    assert station.muster(*work, *here(station)).status == 0
    station.emulator.restart()
    login = write_secret(station.home / "shouted", station.emulator.connection_string.replace("localhost", "LocalHost") + "\n")
    work = work_of(station, "provision", station.profile("derived-key"))
    done = station.muster(*work, "--login-file", login, "--ca-file", station.emulator.ca_file)
    assert (done.status, done.json["state"]) == (0, "already enrolled"), done


def test_a_registration_with_another_service_than_the_login_is_for_proves_nothing(station, other):
    """With the ID scope of the one that the devices are moved from they register there, where they are enrolled as well."""
    profile = station.profile("derived-key", {"verify": "register-then-delete-record"})
    assert station.provision(profile, "one").json["verified"] is True
    work = ["provision", "--profile", profile, "--serial", "one", *station.places(), "--journal", station.home / "new.db", "-o", "json"]
    done = station.muster(*work, *login_of(station, other))
    assert (done.status, done.cause) == (1, "E5301") and station.emulator.id_scope in done.stderr and "127.0.0.1" in done.stderr, done
    row = station.muster("journal", "show", "one", "--journal", station.home / "new.db", "-o", "json").json
    assert row["state"] != "released" and "verification" not in row, row
    assert station.provision(profile, "one").json["verified"] is True


def test_a_record_that_a_lost_deletion_has_deleted_is_no_others(station):
    batch.restart(station, "--fault", "registration:cut-after:count=1")
    done = station.provision(station.profile("derived-key", {"verify": "register-then-delete-record"}), "one")
    assert (done.status, done.json["verified"]) == (0, True), done
    assert [row["effect"] for row in station.emulator.requests("registration", "one")] == ["delete", "none"], station.emulator.ledger()


@pytest.mark.parametrize("way", ["provision", "manifest"])
def test_what_was_released_with_another_id_scope_and_no_proof_is_looked_for(station, way):
    """The service of that name may be another one since, and the scope may have been mistyped. Once found it is known with this one."""
    profile = station.profile("derived-key", {"verify": "none"})
    words = ["--manifest", batch.manifest(station, ["one"])] if way == "manifest" else ["--serial", "one"]
    work = ["provision", "--profile", profile, *words, *station.common(), "-o", "json"]
    assert station.muster(*work, "--id-scope", OTHER_SCOPE).status == 0
    there = station.service.enrollment("one")
    for looks in ([1, 0] if way == "manifest" else [1]):
        before = len(station.emulator.requests("get", "one"))
        done = station.muster(*work)
        assert done.status == 0 and station.service.enrollment("one") == there, done
        assert len(station.emulator.requests("get", "one")) == before + looks + 1, station.emulator.ledger()[-3:]
        assert station.rows()["one"]["service"] == station.emulator.id_scope
    station.service.delete("one")
    done = station.muster(*work, "--id-scope", OTHER_SCOPE)
    assert (done.status, done.cause) == (3, "E3109") and OTHER_SCOPE in done.stderr and station.emulator.id_scope in done.stderr, done
    assert station.service.enrollments() == []


# -- Journal and disk -------------------------------------------------------------------------------------------------

def inject(station, error):
    """Every write to the journal (and SQLite's own file beside it) fails."""
    paths = [word for path in (station.journal, f"{station.journal}-journal") for word in ("-P", str(path))]
    return ["strace", "-f", "-qq", "-o", "/dev/null", *paths, "-e", "trace=pwrite64,write,pwritev,fallocate,ftruncate", "-e",
            f"inject=pwrite64,write,pwritev,fallocate:error={error}"]


def test_disk_full(release_station):
    done = release_station.provision(release_station.profile("derived-key"), SERIAL, wrapper=inject(release_station, "ENOSPC"))
    assert_refused(release_station, done, 11, "E6005")


def test_journal_not_writable(release_station):
    done = release_station.provision(release_station.profile("derived-key"), SERIAL, wrapper=inject(release_station, "EIO"))
    assert_refused(release_station, done, 11, "E6001")


def test_journal_in_a_place_that_is_none(station):
    (station.home / "file").write_text("")
    done = station.provision(station.profile("derived-key"), SERIAL, "--journal", station.home / "file/journal.db")
    assert_refused(station, done, 11, "E6001")


def test_journal_that_is_no_journal(station):
    station.journal.write_bytes(os.urandom(8192))
    station.journal.chmod(0o600)
    done = station.provision(station.profile("derived-key"), SERIAL)
    assert_refused(station, done, 8, "E6004")


def test_journal_busy(station, tpm):
    """A run that waits for its TPM holds the journal; a second one is told so."""
    tpm.hang()
    profile = station.profile("tpm")
    holder = subprocess.Popen([station.build / "muster", "provision", "--profile", profile, "--serial", SERIAL,
                               "--tpm", tpm.tcti, *map(str, station.common())], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              env={**os.environ, "MUSTER_INSECURE_MEMORY": "1"})
    try:
        wait_until(station.journal.exists, what="the journal of the first run")
        done = wait_until(lambda: busy(station), what="a busy journal")
        assert_refused(station, done, 11, "E6002")
    finally:
        tpm.resume()
        holder.wait(timeout=60)
    assert holder.returncode == 0


def busy(station):
    done = station.provision(station.profile("derived-key"), "BAD-0002")
    return done if done.status == 11 else None


# -- Files that others can change -------------------------------------------------------------------------------------

@pytest.mark.parametrize("which", ["profile", "the CA file", "a vendor's root", "a revocation list"])
def test_what_others_can_change_is_not_believed(station, tpm, tmp_path, which):
    """A group may: people work on profiles together."""
    vendor = EkAuthority(tmp_path / "vendor").pin()
    vendor.list_revoked()
    changes = {"attestation": {"tpm": {"certificate": "optional", "roots": str(vendor.roots), "crls": str(vendor.lists)}}}
    files = {"profile": station.profile("tpm", changes), "the CA file": pathlib.Path(station.emulator.ca_file),
             "a vendor's root": vendor.roots / "vendor.pem", "a revocation list": vendor.lists / "vendor.crl"}
    files[which].chmod(0o666)
    done = station.provision(files["profile"], SERIAL, "--tpm", tpm.tcti)
    assert_refused(station, done, 2, "E1007")
    assert files[which].name in done.stderr
    files[which].chmod(0o664)
    assert "E1007" not in station.provision(files["profile"], SERIAL, "--tpm", tpm.tcti).stderr


def test_a_folder_of_roots_that_others_can_add_to_is_not_believed(station, tpm, tmp_path):
    vendor = EkAuthority(tmp_path / "vendor").pin()
    vendor.roots.chmod(0o777)
    profile = station.profile("tpm", {"attestation": {"tpm": {"certificate": "optional", "roots": str(vendor.roots), "crls": None}}})
    assert_refused(station, station.provision(profile, SERIAL, "--tpm", tpm.tcti), 2, "E1007")


def test_a_profile_may_come_through_a_pipe(station):
    text = station.profile("derived-key").read_bytes()
    for path in ("-", "/dev/stdin"):
        reading, writing = os.pipe()
        os.write(writing, text)
        os.close(writing)
        assert station.muster("profile", "check", path, stdin=reading).status == 0
        os.close(reading)
