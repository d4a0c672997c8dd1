"""A token that really locks: opencryptoki's, after three wrong PINs."""
import subprocess

import pytest

from lib.paths import BUILD
from lib.program import environment
from lib.software_token import write_secret
from lib.terminal import Terminal

locking = pytest.mark.parametrize("module", ["opencryptoki"], indirect=True)


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


@pytest.mark.refuses_a_pin
@locking
def test_a_hundred_restarts_with_a_wrong_pin_burn_one_try_of_a_token_that_locks(bench, tmp_path):
    wrong = write_secret(tmp_path / "wrong", "135791")
    assert [cause(bench, wrong) for _ in range(100)] == ["E4201"] + 99 * ["E4202"]
    assert flags(bench) == ["user-pin-count-low"]
    question, status = type_pin(bench, tmp_path, "246810")
    assert status == 0 and "The last PIN was refused." in question
    assert flags(bench) == []


@pytest.mark.refuses_a_pin
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
