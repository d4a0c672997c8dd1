"""The same stories on four PKCS#11 modules. What a module cannot do is refused with the reason, and stands in
muster-hsm(1)."""
import json
import subprocess

import pytest
import yaml

from lib.custodian import openssl
from lib.paths import BUILD
from lib.program import environment
from lib.soft_modules import Nss, OpenCryptoki, SoftHsm, TpmModule
from lib.software_token import write_secret
from lib.software_tpm import SoftwareTpm
from lib.station import Station
from lib.terminal import Terminal

# What does not work, and the cause that says so; everything else works.
REFUSED = {
    ("provision ec-p256", "opencryptoki"): "E4108",  # no elliptic curves
    # It says of no key that it was made inside, and hands out what is not extractable.
    ("provision ec-p256", "nss"): "E4301",
    ("provision rsa-2048", "nss"): "E4301",
    # It takes "verify" for "decrypt", and makes no key that may sign only.
    ("provision ec-p256", "tpm2"): "E4107",
    ("provision rsa-2048", "tpm2"): "E4107",
    ("certify", "nss"): "E4301",
    ("certify", "tpm2"): "E4107",
    ("produce", "nss"): "E4301",
    ("produce", "tpm2"): "E4107",
    ("master", "nss"): "E4301",
    ("master", "tpm2"): "E4108",  # it makes no secrets
}


def make_tpm_module(directory):
    tpm = SoftwareTpm(directory / "t").start()
    module = TpmModule(directory, tpm)
    module.tpm = tpm
    return module


MAKERS = {"softhsm": SoftHsm, "nss": Nss, "opencryptoki": OpenCryptoki, "tpm2": make_tpm_module}


@pytest.fixture
def module(request, short):
    """A new token of the module, initialised by muster where that is how it is done."""
    made = MAKERS[request.param](short)
    yield made
    made.stop()
    if hasattr(made, "tpm"):
        made.tpm.stop()


@pytest.fixture
def bench(module, tmp_path, emulator):
    station = Station(tmp_path / "home", emulator)
    configuration = station.home / "muster.yaml"
    configuration.write_text(yaml.safe_dump({"modules": {module.name: module.entry}}))
    station.env["MUSTER_CONFIG"] = configuration
    station.wrapper = module.wrapper
    station.module = module
    if hasattr(module, "so_pin_file"):
        made = station.muster("hsm", "init", module.fresh_uri, "--any-module", "--label", module.label,
                              "--so-pin-file", module.so_pin_file, "--pin-file", module.pin_file)
        assert made.status == 0, made
    return station


everywhere = pytest.mark.parametrize("module", MAKERS, indirect=True)


def expect(story, bench, done):
    """True when the story goes on."""
    cause = REFUSED.get((story, bench.module.name))
    if cause is None:
        assert done.status == 0, done
        return True
    assert done.cause == cause, done
    return False


def show(bench, *arguments):
    done = bench.muster("hsm", "show", bench.module.uri, "--pin-file", bench.module.pin_file, "-o", "json", *arguments)
    assert done.status == 0, done
    return done.json


def objects(bench, kind):
    return [row for row in show(bench)["objects"] if row["kind"] == kind]


def provision(bench, key_type, serial="m-0001", pin_file=None):
    profile = bench.profile("hsm-x509", {"attestation": {"x509": {"keyType": key_type}}}, name=key_type)
    return bench.provision(profile, serial, "--token", bench.module.uri, "--pin-file", pin_file or bench.module.pin_file)


@everywhere
@pytest.mark.parametrize("key_type", ["ec-p256", "rsa-2048"])
def test_a_key_is_born_in_the_token_and_enrolled(bench, key_type):
    done = provision(bench, key_type)
    if not expect(f"provision {key_type}", bench, done):
        assert objects(bench, "private-key") == []
        return
    assert done.json["verified"] is True
    key, = objects(bench, "private-key")
    assert key["keyType"] == key_type
    assert key["attributes"]["sensitive"] is True and key["attributes"]["extractable"] is False
    again = provision(bench, key_type)
    assert again.json["state"] == "already enrolled", again
    assert len(objects(bench, "private-key")) == len(objects(bench, "certificate")) == 1


@everywhere
def test_a_wrong_pin_costs_one_try_however_often_it_is_run(bench, tmp_path):
    wrong = write_secret(tmp_path / "wrong", "13579135"[:len(bench.module.pin_file.read_text())])
    causes = [provision(bench, "rsa-2048", pin_file=wrong).cause for _ in range(4)]
    assert causes == ["E4201", "E4202", "E4202", "E4202"]
    assert bench.muster("hsm", "acknowledge", bench.module.uri).status == 0
    assert show(bench)["loggedIn"] is True


def custody(bench, noun, verb, *arguments, pin_file=None):
    return bench.muster(noun, verb, "--token", bench.module.uri, "--pin-file", pin_file or bench.module.pin_file, "--journal",
                        bench.journal, "-o", "json", *arguments)


@everywhere
def test_an_authority_is_born_in_the_token_and_issues(bench):
    made = custody(bench, "cert", "self-sign", "--key-type", "rsa-2048", "--label", "line", "--subject", "CN=line CA", "--ca",
                   "--days", "100", "--out", bench.home / "line.pem")
    if not expect("certify", bench, made):
        return
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=dev-1", "-keyout",
            bench.home / "dev.key", "-out", bench.home / "dev.csr")
    issued = custody(bench, "cert", "issue", bench.home / "dev.csr", "--issuer-key", "pkcs11:object=line;type=private",
                     "--issuer-certificate", bench.home / "line.pem", "--days", "50", "--out", bench.home / "dev.pem")
    assert issued.status == 0, issued
    assert "OK" in openssl("verify", "-CAfile", bench.home / "line.pem", "-purpose", "sslclient", bench.home / "dev.pem")


@everywhere
def test_two_keys_in_one_session_and_the_journal_agrees(bench):
    profile = bench.profile("hsm-x509", {"attestation": {"x509": {"keyType": "rsa-2048", "token": None}}})
    (bench.home / "serials").write_text("m-1\nm-2\n")
    made = custody(bench, "cert", "produce", "--profile", profile, "--serials", bench.home / "serials", "--out",
                   bench.home / "made.jsonl")
    if expect("produce", bench, made):
        rows = [json.loads(line) for line in (bench.home / "made.jsonl").read_text().splitlines()]
        assert [row["registrationId"] for row in rows] == ["m-1", "m-2"]
        assert len(objects(bench, "private-key")) == 2
    else:
        assert objects(bench, "private-key") == []


@everywhere
def test_a_master_is_made_in_the_token_and_derives(bench):
    made = custody(bench, "key", "generate-master", "--label", "primary")
    if not expect("master", bench, made):
        return
    for name in ("one", "two"):
        done = custody(bench, "key", "derive", "dev-1", "--master", "pkcs11:object=primary", "--out", bench.home / name)
        assert done.status == 0, done
    assert (bench.home / "one").read_text() == (bench.home / "two").read_text()
    key = json.loads((bench.home / "one").read_text())
    assert key["registrationId"] == "dev-1" and len(key["primaryKey"]) == 44


@pytest.mark.parametrize("module", ["tpm2"], indirect=True)
def test_two_keys_that_a_tpm_holds_already_sign_by_turns(bench):
    for label in ("one", "two"):
        bench.module.ptool("addkey", "--algorithm=ecc256", f"--label={bench.module.label}", "--userpin=246810", f"--key-label={label}")
    for label in ("one", "two", "one"):
        out = bench.home / f"{label}.csr"
        out.unlink(missing_ok=True)
        done = custody(bench, "cert", "request", "--key", f"pkcs11:object={label};type=private", "--subject", f"CN={label}", "--out", out)
        assert done.status == 0, done
        assert "verify OK" in openssl("req", "-in", out, "-verify", "-noout")


# -- A token that really locks ----------------------------------------------------------------------------------------


def foreign_login(bench, pin):
    """Somebody else's program."""
    subprocess.run([*bench.wrapper, "pkcs11-tool", "--module", bench.module.entry["path"], "--token-label", bench.module.label,
                    "--login", "--pin", pin, "--list-objects"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def flags(bench):
    done = bench.muster("hsm", "show", bench.module.uri, "-o", "json")
    assert done.status == 0, done
    return [flag for flag in done.json["token"]["flags"] if flag.startswith("user-pin-") and flag != "user-pin-set"]


def cause(bench, pin_file):
    return bench.muster("hsm", "show", bench.module.uri, "--pin-file", pin_file).cause


def type_pin(bench, tmp_path, pin):
    terminal = Terminal([*map(str, bench.wrapper), BUILD / "muster", "hsm", "show", bench.module.uri, "--login", "-o", "json"],
                        environment(BUILD, bench.home, bench.env), tmp_path)
    question = terminal.wait_for("PIN of token")
    terminal.type(f"{pin}\n")
    return question, terminal.finish()[0]


locking = pytest.mark.parametrize("module", ["opencryptoki"], indirect=True)


@locking
def test_a_hundred_restarts_with_a_wrong_pin_burn_one_try_of_a_token_that_locks(bench, tmp_path):
    wrong = write_secret(tmp_path / "wrong", "135791")
    assert [cause(bench, wrong) for _ in range(100)] == ["E4201"] + 99 * ["E4202"]
    assert flags(bench) == ["user-pin-count-low"]
    question, status = type_pin(bench, tmp_path, "246810")
    assert status == 0 and "The last PIN was refused." in question
    assert flags(bench) == []


@locking
def test_a_token_on_its_way_to_being_locked(bench, tmp_path):
    """A wrong PIN of somebody else: only a person is asked. Two: nobody is. Three: it is locked."""
    right = bench.module.pin_file
    foreign_login(bench, "135791")
    assert flags(bench) == ["user-pin-count-low"]
    assert cause(bench, right) == "E4205"
    question, status = type_pin(bench, tmp_path, "246810")
    assert status == 0 and "A wrong PIN was tried before." in question
    for _ in range(2):
        foreign_login(bench, "135791")
    assert "user-pin-final-try" in flags(bench)
    assert cause(bench, right) == "E4203"
    assert "user-pin-final-try" in flags(bench)
    foreign_login(bench, "135791")
    assert "user-pin-locked" in flags(bench)
    assert cause(bench, right) == "E4204"
