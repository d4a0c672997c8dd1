"""A board that was replaced: found by its key for ever, and its evidence is kept."""
import hashlib
import json
import pathlib
import re
import shutil

import pytest

from test_outbox import restart
from test_retire import retire

SERIAL, NAME = "RM-1", "rm-1"


@pytest.fixture
def boards(station, make_tpm):
    """Two boards that had one name after each other; the evidence of each, as it was written."""
    profile = station.profile("tpm", {"registrationId": "{serial.lower}"})
    texts = []
    for number in range(2):
        done = station.provision(profile, SERIAL, "--tpm", make_tpm(f"board{number}").tcti)
        assert done.status == 0, done
        texts.append(pathlib.Path(done.json["evidence"]).read_text())
        if number == 0:
            assert retire(station, NAME, reason="RMA-2231: dead").status == 0
    return texts


def key_of(text):
    return json.loads(text)["attestation"]["ekSha256"]


def journal(station, *arguments):
    return station.muster("journal", *arguments, "--journal", station.journal)


def make_again(station):
    station.journal.unlink()
    done = station.muster("journal", "reconcile", "--journal", station.journal, "--evidence", station.out, "--login-file", station.login_file,
                          "--ca-file", station.emulator.ca_file, "-o", "json")
    assert done.status == 0, done


def test_what_a_link_leads_to_is_no_evidence(station, make_tpm, tmp_path):
    """It is replaced, and what others put behind it is not copied."""
    other = tmp_path / "others"
    other.write_text("of another")
    station.out.mkdir(exist_ok=True)
    (station.out / f"{NAME}.evidence.json").symlink_to(other)
    done = station.provision(station.profile("derived-key"), SERIAL)
    assert done.status == 0 and "is a link" in done.stderr, done
    path = station.out / f"{NAME}.evidence.json"
    assert not path.is_symlink() and json.loads(path.read_text())["registrationId"] == NAME
    assert other.read_text() == "of another" and sorted(p.name for p in station.out.glob("*.evidence*.json")) == [path.name]


def test_the_board_before_is_found_by_its_key(station, boards):
    old, new = map(key_of, boards)
    for name, more in ((old, ()), (old.upper(), ("--by", "key"))):
        done = journal(station, "show", name, *more, "-o", "json")
        assert done.status == 0, done
        assert (done.json["registrationId"], done.json["keySha256"]) == (NAME, new)
        life = done.json["formerLife"]
        assert (life["key"], life["reason"]) == (old, "RMA-2231: dead")
        assert life["from"] <= life["until"]
    shown = journal(station, "show", old)
    assert "formerLife" in shown.stdout and "RMA-2231: dead" in shown.stdout, shown
    for name in (NAME, new):
        assert "formerLife" not in journal(station, "show", name, "-o", "json").json
    for name, more in ((old, ("--by", "serial")), (old, ("--by", "key-id")), ("0" * 64, ())):
        done = journal(station, "show", name, *more)
        assert (done.status, done.cause) == (3, "E6010"), done


def test_a_life_ends_when_it_is_retired_and_not_with_the_enrollment_that_was_kept(station, make_tpm):
    profile = station.profile("tpm", {"registrationId": "{serial.lower}"})
    board = make_tpm("board0")
    for reason in ("RMA-1: looked at", "RMA-2: dead"):
        done = station.provision(profile, SERIAL, "--tpm", board.tcti)
        assert done.status == 0, done
        assert retire(station, NAME, "--disable", reason=reason).status == 0
        assert retire(station, NAME, reason="scrapped").status == 0
    assert station.provision(profile, SERIAL, "--tpm", make_tpm("board1").tcti).status == 0
    life = journal(station, "show", key_of(pathlib.Path(done.json["evidence"]).with_name(f"{NAME}.evidence.1.json").read_text()), "-o", "json")
    assert life.json["formerLife"]["reason"] == "RMA-2: dead", life


@pytest.mark.parametrize("state", ["failed", "retired"])
def test_the_board_that_was_given_up_has_the_reason_and_the_time_of_that(station, make_tpm, state):
    profile = station.profile("tpm", {"registrationId": "{serial.lower}"})
    restart(station, "put:cut-after:count=1", "get:cut-before")
    assert station.provision(profile, SERIAL, "--tpm", make_tpm("board0").tcti).status in (6, 9)
    restart(station)
    old = station.rows()[NAME]["keySha256"]
    for words in (["retry", "--reason", "looked at"], ["resolve", "--as", state, "--reason", "RMA-77: dead"]):
        more = station.common() if words[0] == "retry" else ["--journal", station.journal]
        done = station.muster("outbox", *words, NAME, *more)
        # To be sent again it needs its hardware.
        assert done.status == (4 if words[0] == "retry" else 0), done
    station.service.delete(NAME)
    assert station.provision(profile, SERIAL, "--tpm", make_tpm("board1").tcti).status == 0
    shown = journal(station, "show", old, "-o", "json").json
    [decided] = [entry for entry in shown["entries"] if "resolved" in entry["body"]]
    assert (shown["formerLife"]["reason"], shown["formerLife"]["until"]) == ("RMA-77: dead", decided["at"])


def test_nothing_is_decided_about_the_board_of_now_by_the_key_of_the_one_before(station, boards):
    old, new = map(key_of, boards)
    done = retire(station, old)
    assert (done.status, done.cause) == (3, "E6010") and f"'{NAME}'" in done.stderr, done
    assert station.service.enrollment(NAME) and station.rows()[NAME]["state"] == "released"
    assert retire(station, new).status == 0


def test_the_evidence_of_each_is_exported(station, boards):
    old, new = map(key_of, boards)
    for name, text in ((old, boards[0]), (new, boards[1]), (NAME, boards[1])):
        done = journal(station, "export", name)
        assert (done.status, done.stdout) == (0, text), done
    assert journal(station, "export", NAME, "--all").stdout == "".join(boards)
    for name, more, written in ((old, (), {1: 0}), (NAME, ("--all",), {1: 0, 2: 1})):
        out = station.home / f"out-{len(written)}"
        assert journal(station, "export", name, "--out", out, *more).status == 0
        names = {1: f"{NAME}.evidence.1.json", 2: f"{NAME}.evidence.json"}
        assert {path.name: path.read_text() for path in out.iterdir()} == {names[k]: boards[v] for k, v in written.items()}
    done = station.muster("journal", "export", "--all", "--journal", station.journal)
    assert (done.status, done.cause) == (2, "E1001"), done


def test_its_file_is_kept(station, boards, make_tpm):
    files = {path.name: path.read_text() for path in station.out.iterdir()}
    assert files == {f"{NAME}.evidence.1.json": boards[0], f"{NAME}.evidence.json": boards[1]}
    assert retire(station, NAME).status == 0
    # Of a run that was cut behind the copy; and a name that is somebody's.
    (station.out / f"{NAME}.evidence.2.json").write_text("mine")
    (station.out / f"{NAME}.evidence.3.json").write_text(boards[1])
    profile = station.profile("tpm", {"registrationId": "{serial.lower}"})
    assert station.provision(profile, SERIAL, "--tpm", make_tpm("board2").tcti).status == 0
    assert sorted(path.name for path in station.out.iterdir()) == \
        [f"{NAME}.evidence.{number}.json" for number in (1, 2, 3)] + [f"{NAME}.evidence.json"]
    assert (station.out / f"{NAME}.evidence.2.json").read_text() == "mine"


def test_a_journal_that_was_lost_knows_it_again(station, boards):
    old, new = map(key_of, boards)
    make_again(station)
    row = station.rows()[NAME]
    assert (row["state"], row["keySha256"]) == ("released", new)
    assert journal(station, "show", old, "-o", "json").json["formerLife"]["key"] == old
    assert journal(station, "export", old).stdout == boards[0]
    assert journal(station, "export", NAME).stdout == boards[1]
    assert "E6012" in journal(station, "verify").stderr


def test_certificates_and_keys_in_a_token(hsm_station, token):
    station, profile, found = hsm_station, hsm_station.profile("hsm-x509"), []
    for _ in range(2):
        done = station.provision(profile, SERIAL, "--token", token.uri, "--pin-file", token.pin_file)
        assert done.status == 0, done
        found.append(pathlib.Path(done.json["evidence"]).read_text())
        assert retire(station, NAME).status == 0
    first = json.loads(found[0])["attestation"]
    thumbprint = ":".join(re.findall("..", first["certificateSha256"].upper()))
    for name in (thumbprint, first["keyId"]):
        assert journal(station, "export", name).stdout == found[0]
        assert journal(station, "show", name, "-o", "json").json["formerLife"]["reason"] == "RMA-2231: board replaced"


def test_a_life_that_was_released_twice_is_one(station, boards):
    """As journal export --all writes them: by number, the last one of now."""
    old, _ = map(key_of, boards)
    again = [f"{text} " for text in boards]
    for number, text in enumerate((again[0], boards[0], again[1]), 1):
        (station.out / f"{NAME}.evidence.{number}.json").write_text(text)
    make_again(station)
    shown = journal(station, "show", NAME, "-o", "json").json["entries"]
    assert sum(entry["stage"] == "retire" and entry["kind"] == "outcome" for entry in shown) == 1
    assert journal(station, "export", old).stdout == boards[0]
    assert station.rows()[NAME]["state"] == "released"


def test_evidence_that_is_missing_does_not_take_that_of_an_earlier_life_for_itself(station):
    profile = station.profile("derived-key", {"registrationId": "{serial.lower}"})
    first, second = station.home / "a", station.home / "b"
    station.out = first
    assert station.provision(profile, "S-1").status == 0
    assert retire(station, "S-1").status == 0
    station.out = second
    assert station.provision(profile, "S-1").status == 0
    shutil.rmtree(second)
    station.out = first
    assert station.provision(profile, "S-1").status == 0
    done = station.muster("journal", "show", "S-1", "--journal", station.journal, "-o", "json")
    written = (first / "s-1.evidence.json").read_bytes()
    assert hashlib.sha256(written).hexdigest() in done.stdout, done
    assert len(list(first.glob("s-1.evidence*.json"))) == 2
