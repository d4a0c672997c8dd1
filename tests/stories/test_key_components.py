"""A master that comes in components: each of several people holds one, none knows the key, and one that is mistyped is named."""
import base64
import hashlib
import hmac
import os

import pytest

from lib.custodian import Custodian
from lib.paths import RELEASE
from lib.program import environment
from lib.software_token import write_secret
from lib.terminal import Terminal

CHECK_TEXT = b"muster check value 1"


def check_value(key):
    return hmac.new(key, CHECK_TEXT, hashlib.sha256).hexdigest()[:10]


def text(key):
    return base64.b64encode(key).decode()


def whole(parts):
    return bytes(a ^ b ^ c for a, b, c in zip(*parts))


@pytest.fixture
def custodian(tmp_path, token):
    return Custodian(tmp_path / "home", token)


@pytest.fixture
def parts(custodian):
    keys = [os.urandom(32) for _ in range(3)]
    for number, key in enumerate(keys, 1):
        write_secret(custodian.home / f"part{number}", text(key) + "\n")
    return keys


def import_parts(custodian, sources, values, *arguments, **options):
    words = [word for source in sources for word in ("--component", source)]
    words += [word for value in values for word in ("--component-check-value", value)]
    return custodian.muster("key", "import-master", "--label", "master", *words, *arguments, **options)


def files(parts):
    return [f"part{number}" for number in range(1, len(parts) + 1)]


def values(parts):
    return [check_value(part) for part in parts]


def nothing_was_made(custodian, done, status, cause, secrets):
    assert (done.status, done.cause) == (status, cause), done
    assert not custodian.journal.exists() and custodian.token.objects("secrkey") == []
    for key in secrets:
        assert text(key) not in done.stdout + done.stderr and key.hex() not in done.stdout + done.stderr
    return done.error["detail"]


def test_the_master_is_what_all_of_them_make(custodian, parts):
    done = import_parts(custodian, files(parts), [value.upper() for value in values(parts)], "--check-value", check_value(whole(parts)))
    assert done.status == 0, done
    assert done.json["checkValue"] == check_value(whole(parts)) and done.json["origin"] == "imported"
    derived = custodian.muster("key", "derive", "dev-1", "--master", "pkcs11:object=master", "--key-fd", "1")
    assert derived.json["primaryKey"] == text(hmac.new(whole(parts), b"dev-1", hashlib.sha256).digest())
    intent, outcome = custodian.entries()
    assert intent[1]["components"] == [value.upper() for value in values(parts)] and outcome[0] == "outcome"
    assert not any(text(key).encode() in custodian.journal.read_bytes() for key in [*parts, whole(parts)])


def test_from_descriptors(custodian, parts):
    opened = [os.open(custodian.home / name, os.O_RDONLY) for name in files(parts)]
    try:
        done = import_parts(custodian, [f"fd:{number}" for number in opened], values(parts), pass_fds=opened)
    finally:
        for number in opened:
            os.close(number)
    assert done.status == 0 and done.json["checkValue"] == check_value(whole(parts)), done


@pytest.mark.parametrize("number", [1, 2, 3])
def test_one_that_is_wrong_is_named_and_not_shown(custodian, parts, number):
    wrong = bytes([parts[number - 1][0] ^ 1]) + parts[number - 1][1:]
    write_secret(custodian.home / f"part{number}", text(wrong) + "\n")
    done = import_parts(custodian, files(parts), values(parts))
    detail = nothing_was_made(custodian, done, 2, "E1421", [*parts, wrong])
    assert f"component {number} " in detail and check_value(parts[number - 1]) in detail
    assert check_value(wrong) not in done.stdout + done.stderr


def test_components_in_another_order_are_not_those(custodian, parts):
    done = import_parts(custodian, ["part2", "part1", "part3"], values(parts))
    assert "component 1 " in nothing_was_made(custodian, done, 2, "E1421", parts)


def test_a_whole_that_is_another_is_refused(custodian, parts):
    done = import_parts(custodian, files(parts)[:2], values(parts)[:2], "--check-value", check_value(whole(parts)))
    assert "the master is not" in nothing_was_made(custodian, done, 2, "E1421", parts)


def test_a_master_from_a_file_may_have_to_be_a_certain_one(custodian, parts):
    done = custodian.muster("key", "import-master", "--label", "master", "--from", "part1", "--check-value", check_value(parts[1]))
    nothing_was_made(custodian, done, 2, "E1421", parts)
    done = custodian.muster("key", "import-master", "--label", "master", "--from", "part1", "--check-value", check_value(parts[0]))
    assert done.status == 0, done


def test_components_that_make_no_key(custodian, parts):
    write_secret(custodian.home / "short", text(parts[0][:24]))
    write_secret(custodian.home / "typed", text(b"correct horse battery staple, yes"[:32]))
    one, two, three = values(parts)
    for sources, checks, cause, words in [
        (["part1"], [one], "E1422", "not 1"),
        (["part1", "part2"], [one], "E1422", "2 components and 1 check values"),
        (["part1", "part2"], [], "E1422", "2 components and 0 check values"),
        (["part1", "part2"], [one, two, three], "E1422", "3 check values"),
        (["part1", "part2"], [one, two[:9]], "E1422", "ten hexadecimal"),
        (["part1", "part2", "part1"], [one, two, one], "E1422", "components 1 and 3 are the same"),
        (["part1", "short"], [one, check_value(parts[0][:24])], "E1422", "component 2 has 24"),
        (["part1"] * 9, [one] * 9, "E1422", "not 9"),
        (["part1", "typed"], [one, check_value(b"correct horse battery staple, yes"[:32])], "E4313", "component 2"),
        (["part1", "nowhere"], [one, two], "E1002", "component 2"),
    ]:
        done = import_parts(custodian, sources, checks)
        status = 5 if cause == "E4313" else 2
        assert words in nothing_was_made(custodian, done, status, cause, parts), done
    (custodian.home / "part2").chmod(0o640)
    nothing_was_made(custodian, import_parts(custodian, files(parts), values(parts)), 2, "E1005", parts)
    (custodian.home / "part2").chmod(0o600)
    done = import_parts(custodian, files(parts), values(parts), "--from", "part1")
    nothing_was_made(custodian, done, 2, "E1001", parts)
    assert import_parts(custodian, files(parts), values(parts)).status == 0


def test_each_holder_can_look_at_his_own(custodian, parts):
    for source, key in zip(files(parts), parts):
        done = custodian.look("key", "check-value", "--component", source)
        assert done.status == 0 and done.json["checkValue"] == check_value(key), done
    done = custodian.look("key", "check-value", "--component", "part1", "--master-file", "part2")
    assert (done.status, done.cause) == (2, "E1001"), done


class Desk:
    """Three people at one terminal, one after the other."""

    def __init__(self, custodian, parts):
        checks = [word for value in values(parts) for word in ("--component-check-value", value)]
        self.terminal = Terminal(
            [str(word) for word in [RELEASE / "muster", "key", "import-master", "--label", "master", *["--component", "prompt"] * len(parts),
                                    *checks, "--token", custodian.token.uri, "--pin-file", custodian.token.pin_file, "--journal",
                                    custodian.journal, "-o", "json"]],
            environment(RELEASE, custodian.home, custodian.env), custodian.home)

    def type(self, question, words):
        self.terminal.wait_for(question)
        assert not self.terminal.echoes()
        self.terminal.seen = ""
        self.terminal.type(words + "\n")

    def finish(self):
        status, stdout, stderr = self.terminal.finish()
        return status, stdout, self.terminal.seen + stdout + stderr


def test_typed_by_three_people(custodian, parts):
    desk, mistyped = Desk(custodian, parts), text(os.urandom(32))
    desk.type("component 1: ", text(parts[0]))
    desk.type("component 2: ", mistyped)
    desk.type("component 2 again: ", "A" + text(parts[1]))
    desk.type("component 2 again: ", text(parts[1]))
    desk.type("component 3: ", text(parts[2]))
    status, stdout, shown = desk.finish()
    assert status == 0 and check_value(whole(parts)) in stdout, shown
    assert custodian.token.objects("secrkey") == ["master"]
    assert not any(words in shown for words in [mistyped, *map(text, parts)])


def test_typed_wrong_three_times(custodian, parts):
    desk, mistyped = Desk(custodian, parts), text(os.urandom(32))
    desk.type("component 1: ", text(parts[0]))
    desk.type("component 2: ", mistyped)
    desk.type("component 2 again: ", mistyped)
    desk.type("component 2 again: ", mistyped)
    status, _, shown = desk.finish()
    assert status == 2 and "component 2 is not the one" in shown and mistyped not in shown, shown
    assert not custodian.journal.exists() and custodian.token.objects("secrkey") == []
