"""A PIN comes from a file, a descriptor, the service manager or a person, and is read by the module's process alone."""
import json
import os
import re

import pytest

from lib.paths import BUILD, SOFTHSM_MODULE
from lib.program import environment, run
from lib.software_token import write_secret
from lib.terminal import Terminal


@pytest.fixture
def show(tmp_path, token):
    uri = token.uri.split("&pin-source")[0]

    def call(*arguments, env=None, **options):
        return run("hsm", "show", uri, "-o", "json", *arguments, home=tmp_path,
                   env={"SOFTHSM2_CONF": token.module.configuration, **(env or {})}, **options)

    call.uri = uri
    return call


@pytest.fixture
def at_terminal(tmp_path, token, show):
    def call(pin):
        variables = environment(BUILD, tmp_path, {"SOFTHSM2_CONF": token.module.configuration})
        terminal = Terminal([BUILD / "muster", "hsm", "show", show.uri, "--login", "-o", "json"], variables, tmp_path)
        question = terminal.wait_for("PIN of token 'line-3'")
        assert not terminal.echoes()
        terminal.type(f"{pin}\n")
        status, stdout, stderr = terminal.finish()
        assert pin not in terminal.seen + stdout + stderr
        return question, status, stdout, stderr

    return call


def test_from_a_descriptor(show, token):
    reader, writer = os.pipe()
    os.write(writer, token.pin.encode())
    os.close(writer)
    assert show("--pin-fd", str(reader), pass_fds=[reader]).json["loggedIn"] is True
    os.close(reader)


def test_a_descriptor_that_is_none(show):
    refused = show("--pin-fd", "77")
    assert (refused.status, refused.cause) == (2, "E1001"), refused


@pytest.mark.parametrize("number", range(3, 12))
def test_a_descriptor_that_only_muster_has(show, number):
    """Nothing of its own is taken for it: where it has a journal or a lock, for one."""
    refused = show("--pin-fd", str(number))
    assert (refused.status, refused.cause) == (2, "E1001") and "not an open descriptor" in refused.stderr, refused


def test_from_standard_input(show, token, tmp_path):
    """Before a file that the environment names."""
    write_secret(tmp_path / "another", "0000")
    write_secret(tmp_path / "pin", token.pin)
    with open(tmp_path / "pin") as stdin:
        done = show("--pin-fd", "0", stdin=stdin, env={"MUSTER_PIN_FILE": tmp_path / "another"})
    assert (done.status, done.json["loggedIn"]) == (0, True), done


@pytest.mark.refuses_a_pin
def test_what_the_uri_says_holds_over_the_environment_and_an_option_over_both(token, tmp_path):
    wrong = write_secret(tmp_path / "wrong", "135791")
    variables = {"SOFTHSM2_CONF": token.module.configuration, "MUSTER_PIN_FILE": wrong}
    assert "pin-source" in token.uri
    shown = run("hsm", "show", token.uri, "-o", "json", home=tmp_path, env=variables)
    assert shown.status == 0 and shown.json["loggedIn"] is True and not token.tries_were_burnt(), shown
    assert run("hsm", "show", token.uri, "--pin-file", wrong, home=tmp_path, env=variables).cause == "E4201"


def test_from_the_service_manager(show, token, tmp_path):
    (tmp_path / "credentials").mkdir(mode=0o700)
    write_secret(tmp_path / "credentials/hsm-pin", token.pin)
    assert show(env={"CREDENTIALS_DIRECTORY": tmp_path / "credentials"}).json["loggedIn"] is True


def test_a_credential_that_an_access_list_lets_in(show, token, tmp_path):
    """The list's mask shows as the group's rights."""
    (tmp_path / "credentials").mkdir(mode=0o700)
    write_secret(tmp_path / "credentials/hsm-pin", token.pin).chmod(0o440)
    assert show(env={"CREDENTIALS_DIRECTORY": tmp_path / "credentials"}).json["loggedIn"] is True


def test_a_credential_that_others_can_read(show, token, tmp_path):
    (tmp_path / "credentials").mkdir(mode=0o700)
    write_secret(tmp_path / "credentials/hsm-pin", token.pin).chmod(0o644)
    assert show(env={"CREDENTIALS_DIRECTORY": tmp_path / "credentials"}).cause == "E1005"


def test_nobody_is_asked_without_a_terminal(show):
    refused = show("--login")
    assert (refused.status, refused.cause) == (2, "E4002"), refused


def test_a_person_types_it_unseen(at_terminal, token):
    _, status, stdout, stderr = at_terminal(token.pin)
    assert status == 0, stderr
    assert json.loads(stdout)["loggedIn"] is True


@pytest.mark.refuses_a_pin
def test_no_pin_is_tried_whose_refusal_could_not_be_remembered(show, token, tmp_path):
    """Else a service that is started again and again would use up all tries."""
    wrong = write_secret(tmp_path / "wrong", "135791")
    refused = show("--pin-file", wrong, env={"XDG_STATE_HOME": "/proc/nowhere"})
    assert refused.status == 11 and "no PIN is tried on token 'line-3'" in refused.stderr, refused
    assert not token.tries_were_burnt()
    assert show("--pin-file", token.pin_file).json["loggedIn"] is True
    kept = tmp_path / "state/muster/pin-refusals"
    assert list(kept.iterdir()) == []
    assert show("--pin-file", wrong).cause == "E4201"
    [marker] = kept.iterdir()
    assert json.loads(marker.read_text())["token"] == "line-3" and token.tries_were_burnt()


def test_a_person_may_try_again_and_is_told(at_terminal, show, token, tmp_path):
    """A program may not, until somebody has typed the right one."""
    assert show("--pin-file", write_secret(tmp_path / "wrong", "135791")).cause == "E4201"
    assert show("--pin-file", token.pin_file).cause == "E4202"
    question, status, _, stderr = at_terminal(token.pin)
    assert "The last PIN was refused." in question
    assert status == 0, stderr
    assert show("--pin-file", token.pin_file).json["loggedIn"] is True


def test_a_key_is_sought_in_the_token_that_it_names_not_in_that_of_the_environment(tmp_path, tokens):
    line, authority = tokens.make("line"), tokens.make("ca")

    def request(key):
        return run("cert", "request", "--key", key, "--subject", "CN=x", "--journal", tmp_path / "journal.db", home=tmp_path,
                   env={"SOFTHSM2_CONF": tokens.configuration, "MUSTER_TOKEN": line.uri})

    for token in (line, authority):
        token.pkcs11_tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", token.label, "--id", "01")
    assert request("pkcs11:object=line;type=private").status == 0
    named = authority.uri.replace("?", ";object=ca;type=private?")
    assert request(named).status == 0
    # A token that the environment names more fully is that one.
    assert request("pkcs11:token=line;object=line;type=private").status == 0


def test_the_token_of_the_environment_is_left_only_for_another_one(tmp_path, tokens):
    line = tokens.make("line")
    line.pkcs11_tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", "line", "--id", "01")
    query = f"?module-path={SOFTHSM_MODULE}&pin-source={line.pin_file}"
    whole = f"pkcs11:model=SoftHSM%20v2;manufacturer=SoftHSM%20project;serial={line.serial};token=line;object=line;type=private"
    for key, token in [(whole, f"pkcs11:token=line{query}"),
                       ("pkcs11:token=line;object=line;type=private", f"pkcs11:serial={line.serial}{query}"),
                       ("pkcs11:token=line;object=line;type=private?module-name=softhsm2", f"pkcs11:token=line{query}"),
                       (f"pkcs11:object=line;type=private?module-path={SOFTHSM_MODULE}",
                        f"pkcs11:token=line?module-name=softhsm2&pin-source={line.pin_file}")]:
        done = run("cert", "request", "--key", key, "--subject", "CN=x", "--journal", tmp_path / "journal.db", home=tmp_path,
                   env={"SOFTHSM2_CONF": tokens.configuration, "MUSTER_TOKEN": token})
        assert done.status == 0, (key, token, done)


def test_no_pin_is_sent_to_the_token_of_the_environment_for_a_key_of_another(tmp_path, tokens):
    line, other = tokens.make("line"), tokens.make("other", pin="97531864")
    other.pkcs11_tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", "k", "--id", "01")
    module = f"module-path={SOFTHSM_MODULE}"
    for key, token in [(f"pkcs11:serial={other.serial};object=k;type=private?{module}", f"pkcs11:token=line?{module}"),
                       (f"pkcs11:token=other;object=k;type=private?{module}", f"pkcs11:serial={line.serial}?{module}"),
                       (f"pkcs11:serial={other.serial};object=k;type=private", f"pkcs11:token=line?{module}&pin-source={line.pin_file}")]:
        done = run("cert", "request", "--key", key, "--subject", "CN=x", "--journal", tmp_path / "journal.db", home=tmp_path,
                   env={"SOFTHSM2_CONF": tokens.configuration, "MUSTER_TOKEN": token, "MUSTER_PIN_FILE": other.pin_file})
        assert not line.tries_were_burnt() and (done.status == 0 or "module" in done.stderr), (key, token, done)
    done = run("cert", "request", "--key", f"pkcs11:token=line;serial={line.serial};object=none?{module}&pin-source={line.pin_file}",
               "--subject", "CN=x", "--journal", tmp_path / "journal.db", home=tmp_path,
               env={"SOFTHSM2_CONF": tokens.configuration, "MUSTER_TOKEN": f"pkcs11:token=line?{module}"})
    assert done.cause == "E4302", done


# -- What the module's process is given ---------------------------------------------------------------------------------

def test_a_variable_is_handed_on_to_the_module_that_names_it(tmp_path, token):
    """Also one that muster itself throws away. It warns of one that it does not have."""
    (tmp_path / "muster.yaml").write_text(f"modules: {{soft: {{path: {SOFTHSM_MODULE}, environment: [SOFTHSM2_CONF, LD_DEBUG]}}}}\n")
    show = ("hsm", "show", "pkcs11:token=line-3", "-o", "json")
    variables = {"SOFTHSM2_CONF": token.module.configuration, "MUSTER_CONFIG": tmp_path / "muster.yaml"}
    plain = run(*show, home=tmp_path, env=variables)
    assert plain.status == 0 and "module 'soft' is to get the variable 'LD_DEBUG'" in plain.stderr, plain
    wordy = run(*show, home=tmp_path, env={**variables, "LD_DEBUG": "statistics"})
    assert wordy.status == 0 and "is to get" not in wordy.stderr, wordy
    # Its dynamic linker says how it was told: once for muster, once for its worker.
    assert len(set(re.findall(r"^ *(\d+):", wordy.stderr, re.MULTILINE))) == 2, wordy


@pytest.mark.parametrize("bytes_of", ["{}\n\n", "{}\nother\n", "\n{}", "\t{}", "{}\x7f", "\ufeff{}\n"])
def test_a_pin_that_nobody_can_have_costs_no_try(show, token, bytes_of):
    pin_file = write_secret(token.pin_file.parent / "odd", bytes_of.format(token.pin))
    done = show("--pin-file", pin_file)
    assert (done.status, done.cause) == (2, "E1006") and token.pin not in done.stderr, done
    assert not token.tries_were_burnt()


@pytest.mark.parametrize("bytes_of", ["{}", "{}\n", "{}\r\n"])
def test_the_end_of_the_line_is_no_part_of_a_pin(show, token, bytes_of):
    assert show("--pin-file", write_secret(token.pin_file.parent / "line", bytes_of.format(token.pin))).json["loggedIn"] is True
