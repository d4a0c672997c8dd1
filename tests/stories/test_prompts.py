"""What people and terminals do while a secret is asked for: nothing of it is shown or left, and no PIN is tried that nobody meant."""
import json
import os
import signal
import subprocess

import pytest

from lib.canary import children_of
from lib.paths import RELEASE, SOFTHSM_MODULE
from lib.program import environment
from lib.software_token import write_secret
from lib.terminal import Terminal

PIN = "Grüne Ampel  7"


class Prompt:
    """A command that asks, at a terminal of its own."""

    def __init__(self, home, variables, question, *command):
        self.home, self.question, self.command = home, question, [RELEASE / "muster", *map(str, command)]
        self.environment = environment(RELEASE, home, variables)

    def start(self, wrapper=()):
        return Terminal([*wrapper, *self.command], self.environment, self.home)

    def type(self, text, wrapper=()):
        """Exit status, standard output, and all that was shown."""
        terminal = self.start(wrapper)
        terminal.wait_for(self.question)
        assert not terminal.echoes()
        terminal.type(text)
        status, stdout, stderr = terminal.finish()
        return status, stdout, terminal.seen + stdout + stderr


@pytest.fixture
def token(tokens):
    """Its PIN is one that people choose."""
    return tokens.make("line-3", pin=PIN)


@pytest.fixture
def pin_prompt(tmp_path, token):
    uri = token.uri.split("&pin-source")[0]
    return Prompt(tmp_path, {"SOFTHSM2_CONF": token.module.configuration}, "PIN of token 'line-3'", "hsm", "show", uri, "--login", "-o",
                  "json")


@pytest.fixture
def login_prompt(release_station):
    station = release_station
    return Prompt(station.home, {}, "connection string: ", "enrollment", "list", "--login-file", "prompt", "--ca-file",
                  station.emulator.ca_file)


@pytest.fixture(params=["pin_prompt", "login_prompt"])
def prompt(request):
    return request.getfixturevalue(request.param)


def nothing_was_tried(prompt, request):
    """No PIN at the token, nothing at the service."""
    if prompt.question.startswith("PIN"):
        assert not request.getfixturevalue("token").tries_were_burnt()
    else:
        assert not [row for row in request.getfixturevalue("release_station").emulator.ledger() if row["op"] != "none"]


def test_a_pin_with_spaces_and_other_letters(pin_prompt, token, tmp_path):
    status, stdout, shown = pin_prompt.type(PIN + "\n")
    assert status == 0 and json.loads(stdout)["loggedIn"] is True, shown
    assert "Ampel" not in shown
    uri = token.uri.split("&pin-source")[0]
    done = subprocess.run([RELEASE / "muster", "hsm", "show", uri, "--pin-file", write_secret(tmp_path / "pin", PIN), "-o", "json"],
                          env=pin_prompt.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and json.loads(done.stdout)["loggedIn"] is True, done


@pytest.mark.parametrize("words, status", [(["so-246810", "so-246810", PIN, PIN], 0), (["so-246810", "so-24681", "", ""], 2),
                                           (["so-246810", "so-246810", PIN, PIN + " "], 2)])
def test_new_pins_are_typed_twice(tmp_path, tokens, words, status):
    prompt = Prompt(tmp_path, {"SOFTHSM2_CONF": tokens.configuration}, "", "hsm", "init",
                    f"pkcs11:?module-path={SOFTHSM_MODULE}", "--label", "fresh", "-o", "json")
    terminal = prompt.start()
    for question, word in zip(("SO-PIN of the new token: ", "Once more: ", "User PIN of the new token: ", "Once more: "), words):
        if word:
            terminal.wait_for(question)
            terminal.seen = ""
            assert not terminal.echoes()
            terminal.type(word + "\n")
    ended, stdout, stderr = terminal.finish()
    assert ended == status and ("E1452" in stderr) == (status == 2), (stdout, stderr)
    assert "24681" not in terminal.seen + stdout + stderr and "Ampel" not in terminal.seen + stdout + stderr
    if status == 0:
        uri = json.loads(stdout)["uri"]
        done = subprocess.run([RELEASE / "muster", "hsm", "show", uri, "--pin-file", write_secret(tmp_path / "pin", PIN), "-o", "json"],
                              env=prompt.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and json.loads(done.stdout)["loggedIn"] is True, done


def test_control_c(prompt, request):
    """Afterwards the terminal shows again what is typed."""
    terminal = prompt.start()
    terminal.wait_for(prompt.question)
    terminal.type("1357\x03")
    terminal.process.wait(timeout=60)
    assert terminal.echoes()
    status, stdout, stderr = terminal.finish()
    assert status in (1, -signal.SIGINT) and "1357" not in terminal.seen + stdout + stderr, (terminal.seen, stdout, stderr)
    nothing_was_tried(prompt, request)


def test_far_too_much_for_a_pin(pin_prompt, token):
    """Of a million letters the terminal keeps some thousand, which are no PIN."""
    terminal = pin_prompt.start()
    terminal.wait_for(pin_prompt.question)
    terminal.type("13579" * 200_000 + "\n")
    status, stdout, stderr = terminal.finish()
    assert status == 2 and "13579" not in terminal.seen + stdout + stderr, (status, terminal.seen, stdout, stderr)
    assert terminal.left == b""
    assert not token.tries_were_burnt()


def test_a_pin_that_nobody_reads_is_not_left_for_the_shell(tmp_path, tokens):
    """Its reader is killed while it is asked for."""
    prompt = Prompt(tmp_path, {"SOFTHSM2_CONF": tokens.configuration}, "SO-PIN", "hsm", "init",
                    f"pkcs11:?module-path={SOFTHSM_MODULE}", "--label", "new")
    terminal = prompt.start()
    terminal.wait_for(prompt.question)
    worker, = (pid for pid in children_of(terminal.process.pid) if pid != terminal.process.pid)
    os.kill(worker, signal.SIGKILL)
    terminal.type("87654321\n")
    status, stdout, stderr = terminal.finish()
    assert status == 4 and "87654321" not in terminal.seen + stdout + stderr, (status, terminal.seen, stderr)
    assert terminal.left == b""


def call_that_silences(prompt):
    """Which of its calls to a terminal's driver turns the echo off: the first that sets anything."""
    log = prompt.home / "strace.log"
    prompt.type("\x03", ["strace", "-qq", "-o", str(log), "-e", "trace=ioctl"])
    calls = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("ioctl(")]
    return next(number for number, line in enumerate(calls, 1) if "TCSETS" in line)


@pytest.mark.parametrize("fault", ["error=EIO", "retval=0"], ids=["refused", "not-done"])
def test_a_terminal_that_goes_on_showing_what_is_typed(prompt, request, fault):
    """Nobody is asked at one."""
    number = call_that_silences(prompt)
    terminal = prompt.start(["strace", "-qq", "-o", os.devnull, "-e", "trace=ioctl", "-e", f"inject=ioctl:{fault}:when={number}"])
    status, _, stderr = terminal.finish()
    assert status == 2 and "echo" in stderr, stderr
    assert prompt.question not in terminal.seen
    nothing_was_tried(prompt, request)


@pytest.mark.parametrize("words, text, cause", [(("import", "--dry-run"), 'registrationId,attestation,certificate\ndev-1,x509,"{}"\n', "E1430"),
                                                (("list", "--ca-file"), "{}", "E1002")])
def test_no_password_is_asked_for_a_certificate(release_station, certificates, words, text, cause):
    """OpenSSL would, of one that says of itself that it is encrypted: a file or an answer of others would stop a line."""
    begin, rest = certificates.make("dev-1").read_text().split("\n", 1)
    path = release_station.home / "encrypted"
    path.write_text(text.format(f"{begin}\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,{'00' * 16}\n\n{rest}"))
    terminal = Prompt(release_station.home, {}, "", "enrollment", *words, path, "--login-file", release_station.login_file).start()
    try:
        terminal.process.wait(timeout=60)
    finally:
        terminal.process.kill()
    status, stdout, stderr = terminal.finish()
    assert (status, terminal.seen) == (2, "") and cause in stderr, (status, stdout, stderr, terminal.seen)
