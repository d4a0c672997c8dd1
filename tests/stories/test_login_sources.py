"""Where a secret may come from: a file, a descriptor, the service manager, a person at the terminal. And `muster config show`."""
import os
import pty
import select
import time

import pytest

from lib.program import environment
from lib.software_token import write_secret


@pytest.fixture
def filled(station):
    station.service.put("e1", {"registrationId": "e1", "attestation": {"type": "symmetricKey"}})
    return station


def show(station, source, **options):
    return station.muster("enrollment", "show", "--eid", "e1", "--login-file", source, "--ca-file", station.emulator.ca_file,
                          **options)


# -- Descriptors -----------------------------------------------------------------------------------------------------

def test_a_descriptor(filled):
    reader, writer = os.pipe()
    os.write(writer, filled.emulator.connection_string.encode() + b"\n")
    os.close(writer)
    done = show(filled, f"fd:{reader}", pass_fds=(reader,))
    os.close(reader)
    assert done.status == 0, done


@pytest.mark.parametrize("source, cause", [("fd:200", "E1006"), ("fd:x", "E1006"), ("fd:-1", "E1006"), ("fd:0", "E1006")])
def test_a_descriptor_that_gives_nothing(filled, source, cause):
    done = show(filled, source)
    assert (done.status, done.cause) == (2, cause), done
    assert not filled.emulator.requests("get")


# -- The service manager ---------------------------------------------------------------------------------------------

def test_a_credential_of_the_service_manager(filled):
    directory = filled.home / "credentials"
    directory.mkdir(mode=0o700)
    file = write_secret(directory / "dps.login", filled.emulator.connection_string)
    given = {"CREDENTIALS_DIRECTORY": directory}
    file.chmod(0o440)  # the mask of an access control list
    assert show(filled, "credential:dps.login", env=given).status == 0
    file.chmod(0o404)
    assert show(filled, "credential:dps.login", env=given).cause == "E1005"
    file.chmod(0o400)
    for name, cause in (("nobody", "E1002"), ("../login", "E1006"), ("", "E1006"), ("..", "E1006")):
        done = show(filled, f"credential:{name}", env=given)
        assert (done.status, done.cause) == (2, cause), done
    assert show(filled, "credential:dps.login").cause == "E1002"


# -- The terminal ----------------------------------------------------------------------------------------------------

def type_at_terminal(station, keys):
    """Exit status and all that the terminal showed."""
    pid, terminal = pty.fork()
    if pid == 0:
        program = station.build / "muster"
        os.execve(program, [program, "enrollment", "show", "--eid", "e1", "--login-file", "prompt", "--ca-file",
                            str(station.emulator.ca_file)], environment(station.build, station.home, station.env))
    shown, typed, is_asked, limit = b"", b"", False, time.monotonic() + 60
    os.set_blocking(terminal, False)
    while time.monotonic() < limit:
        if not is_asked and b"connection string: " in shown:
            typed = keys[os.write(terminal, keys):]
            is_asked = True
        if typed and select.select([], [terminal], [], 0)[1]:
            typed = typed[os.write(terminal, typed):]
        if not select.select([terminal], [], [], 0 if typed else 1)[0]:
            continue
        try:
            part = os.read(terminal, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    assert is_asked, shown
    return status, shown


def test_a_person_types_unseen(filled):
    secret = filled.emulator.connection_string.encode()
    status, shown = type_at_terminal(filled, b"mistake\x15" + secret + b"x\x7f\r")
    assert status == 0 and b"registrationId" in shown, shown
    assert secret[-20:] not in shown


@pytest.mark.parametrize("keys, status", [(b"\r", 2), (b"abc\x03", 1)])
def test_a_person_types_nothing(filled, keys, status):
    assert type_at_terminal(filled, keys)[0] == status
    assert not filled.emulator.requests("get")


def test_a_person_pastes_far_too_much(filled):
    status, shown = type_at_terminal(filled, b"HostName=" + b"x" * 1_000_000 + b"\r\r")
    assert status == 2 and b"xxxx" not in shown, shown
    assert not filled.emulator.requests("get")


def test_no_terminal_to_ask_at(filled):
    done = show(filled, "prompt", wrapper=("setsid", "--wait"))
    assert (done.status, done.cause) == (2, "E1113"), done


@pytest.mark.parametrize("change, words", [
    (lambda path: path.chmod(0o640), "has mode 0640"), (lambda path: os.chown(path, 12345, -1), "belongs to another user (uid 12345)"),
    (lambda path: (path.unlink(), os.mkfifo(path, 0o600)), "is not a regular file")], ids=["mode", "owner", "pipe"])
def test_a_file_that_is_no_place_for_a_secret(filled, change, words):
    """What is wrong with it is said, and no more."""
    change(filled.login_file)
    done = show(filled, filled.login_file)
    assert (done.status, done.cause) == (2, "E1005") and words in done.stderr and "(chown)" in done.stderr, done
    assert ("mode 0" in done.stderr.splitlines()[0]) == words.startswith("has mode"), done


# -- config show -----------------------------------------------------------------------------------------------------

def config(station, *words, **options):
    done = station.muster("config", "show", *words, "-o", "json", **options)
    assert done.status == 0, done
    return {row["setting"]: row for row in done.json}


def test_config_show_says_what_holds_and_from_where(station):
    directory = station.home / ".config/muster"
    directory.mkdir(parents=True)
    (directory / "muster.yaml").write_text("tenant: from-file\nclientId: from-file\nclientSecretFile: secret\n"
                                           "dpsName: from-file\nmodules: {soft: {path: /usr/lib/soft.so}}\n")
    path = str(directory / "muster.yaml")
    rows = config(station, "--client-id", "from-option", env={"MUSTER_SUBSCRIPTION": "from-variable", "MUSTER_AUTH_TYPE": "login"})
    seen = {key: (row.get("value"), row["origin"], row.get("place")) for key, row in rows.items()}
    assert seen["clientId"] == ("from-option", "option", "--client-id")
    assert seen["subscription"] == ("from-variable", "environment", "MUSTER_SUBSCRIPTION")
    assert seen["authType"] == ("login", "environment", "MUSTER_AUTH_TYPE")
    assert seen["tenant"] == ("from-file", "user file", path)
    assert seen["clientSecretFile"] == (f"{directory}/secret", "user file", path)
    assert seen["modules.soft"] == ("/usr/lib/soft.so", "user file", path)
    assert seen["authorityHost"] == ("https://login.microsoftonline.com", "default", None)
    assert seen["signIn"] == ("client-secret", "default", None)
    assert seen["loginFile"] == (None, "unset", None)
    assert seen["dpsName"] == ("from-file", "user file", path)
    assert config(station, "--login-file", "x")["dpsName"]["origin"] == "unset"
    alone = config(station, env={"MUSTER_CONFIG": path})
    assert (alone["tenant"]["origin"], alone["tenant"]["place"]) == ("file", path)


def test_config_show_says_how_long_a_tpm_may_take(station):
    rows = config(station)
    assert [(rows[f"tpmDeadlines.{name}"]["value"], rows[f"tpmDeadlines.{name}"]["origin"])
            for name in ("command", "activation", "keyCreation")] == [("5", "default"), ("30", "default"), ("120", "default")]
    assert (rows["tpmNetwork"]["value"], rows["tpmNetwork"]["origin"]) == ("false", "default")
    assert rows["ekCertificateCache"]["origin"] == "unset"
    file = station.home / "muster.yaml"
    file.write_text("tpmDeadlines: {activation: 90}\ntpmNetwork: true\nekCertificateCache: cache\n"
                    "ekCertificateServices: {INTC: {url: https://ek.example}}\nhooks: {mes: {on: [unit-done], folder: events}}\n"
                    "modules: {soft: {path: /usr/lib/soft.so}}\napprovals: {needed: 1, approvers: people.pem}\n")
    rows = config(station, env={"MUSTER_CONFIG": file})
    for name, value in {"tpmDeadlines.activation": "90", "tpmNetwork": "true", "ekCertificateCache": f"{station.home}/cache",
                        "ekCertificateServices.INTC": "https://ek.example", "hooks.mes": "folder",
                        "modules.soft": "/usr/lib/soft.so", "approvals.needed": "1", "approvals.approvers": f"{station.home}/people.pem"}.items():
        assert rows[name] == {"setting": name, "value": value, "origin": "file", "place": str(file)}, rows[name]
    assert rows["tpmDeadlines.command"] == {"setting": "tpmDeadlines.command", "value": "5", "origin": "default"}


def test_config_show_says_what_else_a_run_goes_by(station):
    rows = config(station, "--rate", "100", "--device-endpoint", "devices.example", "--journal", station.journal,
                  env={"MUSTER_TPM": "device:/dev/tpmrm1", "MUSTER_TOKEN": "pkcs11:token=a"})
    seen = {key: (row.get("value"), row["origin"]) for key, row in rows.items()}
    assert seen["rate"] == ("100", "option") and seen["deviceEndpoint"] == ("devices.example", "option")
    assert seen["tpm"] == ("device:/dev/tpmrm1", "environment") and seen["token"] == ("pkcs11:token=a", "environment")
    assert seen["out"] == (str(station.journal.parent / "evidence"), "default")
    assert seen["socketMap"] == ("/etc/muster/sockets", "default") and seen["operator"][1] == "default"
    assert seen["pinFile"] == seen["profile"] == seen["approvals.stations"] == (None, "unset")
    assert config(station)["rate"]["origin"] == "default"
    path = str(station.configure("rate: 100/10\npatience: 90\n"))
    rows = config(station, "--rate", "7")
    assert rows["patience"] == {"setting": "patience", "value": "90", "origin": "user file", "place": path}
    assert (rows["rate"]["value"], rows["rate"]["origin"]) == ("7", "option")


def test_config_show_masks_a_secret(station):
    done = station.muster("config", "show", "--login", station.emulator.connection_string)
    assert done.status == 0 and "***" in done.stdout and "SharedAccessKey" not in done.stdout + done.stderr, done


def test_config_show_says_what_the_profile_says(station):
    station.configure("idScope: 0ne000000AA\n")
    profile = station.profile("derived-key", {"idScope": "0ne000000BB", "deviceEndpoint": "devices.example"})
    for words, env in ((["--profile", profile], {}), ([], {"MUSTER_PROFILE": profile})):
        rows = config(station, *words, env=env)
        assert [(rows[key]["value"], rows[key]["origin"], rows[key]["place"]) for key in ("idScope", "deviceEndpoint")] == [
            ("0ne000000BB", "profile", str(profile)), ("devices.example", "profile", str(profile))]
    rows = config(station, "--profile", profile, "--id-scope", "0ne000000CC")
    assert (rows["idScope"]["value"], rows["idScope"]["origin"]) == ("0ne000000CC", "option")
    assert config(station)["idScope"]["value"] == "0ne000000AA"


URI_WITH_PIN = "pkcs11:token=line-3?pin-value=98761234"
NAKED_SECRET = "Xy8Q~kOvq0Rt.secret-of-an-application"


@pytest.mark.parametrize("name, value", [
    ("token", URI_WITH_PIN), ("token", "pkcs11:token=line-3;PIN-VALUE=98761234"), ("client-key", URI_WITH_PIN), ("login-file", URI_WITH_PIN),
    ("tpm", "HostName=a;SharedAccessKeyName=b;SharedAccessKey=c2Vj"), ("dps-name", "HostName=a;SharedAccessKeyName=b;SharedAccessKey=c2Vj"),
    ("login-file", "HostName=a;SharedAccessKeyName=b;SharedAccessKey=c2Vj"), ("client-secret-file", NAKED_SECRET),
    ("proxy-login-file", "bench:word"), ("pin-file", "98761234"), ("device-endpoint", "https://bench:word@devices.example"),
    ("journal", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=")])
def test_config_show_shows_nothing_that_may_be_a_secret(station, name, value):
    variable = "MUSTER_" + name.upper().replace("-", "_")
    for words, env in (([f"--{name}", value], {}), ([], {variable: value})):
        for form in ("json", "tsv", "table", "yaml"):
            done = station.muster("config", "show", *words, "-o", form, env=env)
            assert done.status == 0 and value not in done.stdout + done.stderr, done
            assert f"({len(value)} characters that may be a secret)" in done.stdout, done


@pytest.mark.parametrize("key, value", [
    ("loginFile", "HostName=a;SharedAccessKeyName=b;SharedAccessKey=c2Vj"), ("clientSecretFile", NAKED_SECRET), ("clientKey", URI_WITH_PIN),
    ("dpsName", "HostName=a;SharedAccessKeyName=b;SharedAccessKey=c2Vj"), ("tenant", "HostName=a;SharedAccessKeyName=b;SharedAccessKey=c2Vj"),
    ("modules: {soft: {path", "/usr/lib/SharedAccessKey=c2Vj}}"), ("ekCertificateServices: {INTC: {url", "https://bench:word@ek.example/}}")])
def test_config_show_shows_nothing_of_a_file_that_may_be_a_secret(station, key, value):
    station.configure(f"{key}: {value}\n")
    done = station.muster("config", "show", "-o", "json")
    assert done.status in (0, 2) and value.rstrip("}") not in done.stdout + done.stderr, done
    assert done.status == 2 or "characters that may be a secret" in done.stdout, done


def test_config_show_shows_where_secrets_are(station):
    (station.home / "pin").write_text("1")
    seen = {"--login-file": "credential:muster.login", "--client-secret-file": "fd:7", "--client-key": "pkcs11:token=a;object=b",
            "--pin-file": "pin", "--client-certificate": "/etc/muster/client.pem", "--token": "pkcs11:token=a?pin-source=file:/etc/muster/pin"}
    rows = config(station, *[word for pair in seen.items() for word in pair])
    assert {row.get("place"): row["value"] for row in rows.values() if row["origin"] == "option"} == seen


def test_config_file_that_is_wrong(station):
    file = station.home / "wrong.yaml"
    file.write_text("signIn: magic\n")
    done = station.muster("config", "show", env={"MUSTER_CONFIG": file})
    assert done.status == 2 and "wrong.yaml:1" in done.stderr, done


def test_a_configuration_that_is_a_pipe_is_not_waited_for(station):
    file = station.home / "muster.yaml"
    os.mkfifo(file, 0o600)
    done = station.muster("config", "show", env={"MUSTER_CONFIG": file}, timeout=30)
    assert (done.status, done.cause) == (2, "E1002") and "is not a regular file" in done.stderr, done


def test_login_from_the_configuration(filled):
    file = filled.home / "muster.yaml"
    file.write_text(f"loginFile: login\ncaFile: {filled.emulator.ca_file}\n")
    done = filled.muster("enrollment", "show", "--eid", "e1", env={"MUSTER_CONFIG": file})
    assert done.status == 0, done


# -- doctor ----------------------------------------------------------------------------------------------------------

def doctor(station, text):
    file = station.home / "muster.yaml"
    file.write_text(text)
    done = station.muster("doctor", "-o", "json", env={"MUSTER_CONFIG": file})
    rows = {row["check"]: row for row in done.json}
    return rows["DPS login"]["verdict"], rows["DPS login"]["seen"]


def test_doctor_reads_what_a_sign_in_needs(station):
    secret = write_secret(station.home / "secret", "secret")
    text = "dpsName: line-3\nauthType: login\ntenant: t\nclientId: c\nclientSecretFile: secret\n"
    assert doctor(station, text) == ("ok", "service 'line-3', signing in by client-secret")
    assert doctor(station, text.replace("tenant: t\n", ""))[0] == "fail"
    secret.chmod(0o644)
    assert doctor(station, text)[0] == "fail"
    assert doctor(station, "loginFile: login\n")[1].startswith("policy 'provisioningserviceowner' at ")
    assert doctor(station, "loginFile: prompt\n") == ("ok", "'prompt' is opened when it is needed")
    assert doctor(station, "{}\n")[0] == "warn"
