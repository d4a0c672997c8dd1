"""Fields of a manifest as scanners, spreadsheets and people with bad intentions leave them: each is refused at its place, before
anything is begun, and shown without doing any harm; what is only another way to write a table is taken."""
import os

import pytest

from lib.batch import created, provision

HEAD = b"serial,deviceId\n"
REFUSED = {
    "empty": (HEAD + b"A,a\n,b\n", "3:1"),
    "129 letters": (HEAD + b"A,a\n" + b"B" * 129 + b",b\n", "3:1"),
    "device ID of 129 letters": (HEAD + b"A,a\nB," + b"b" * 129 + b"\n", "3:3"),
    "NUL": (HEAD + b"A,a\nB\0C,b\n", "3:"),
    "no UTF-8": (HEAD + b"A,a\nB\xff,b\n", "3:"),
    "letters that look like others": (HEAD + b"A,a\n\xd0\x90,b\n", "3:1"),
    "a space that is none": (HEAD + b"A,a\nB\xc2\xa0,b\n", "3:1"),
    "a path": (HEAD + b"A,a\n../../etc/passwd,b\n", "3:1"),
    "a path alone": (HEAD + b"A,a\n..,../b\n", "3:"),
    "quotes": (HEAD + b"A,a\n\"B\"\"C\",b\n", "3:1"),
    "a line in a field": (HEAD + b"A,a\n\"B\r\nC\",b\n", "3:1"),
    "letters that drive a terminal": (HEAD + b"A,a\n\x1b[2J\x1b]0;owned\x07,b\n", "3:1"),
    "a formula": (HEAD + b"A,a\n=cmd|' /C calc'!A0,b\n", "3:1"),
    "a question to a database": (HEAD + b"A,a\n';DROP TABLE device;--,b\n", "3:1"),
    "a million columns": (b"serial" + b",x" * 1_000_000 + b"\nA\n", "1:"),
    "a field of a million letters": (HEAD + b"A,a\n" + b"B" * 1_000_000 + b",b\n", "3:1"),
}
TAKEN = {
    "a mark of the byte order": b"\xef\xbb\xbf" + HEAD + b"A,a\n",
    "line ends of two kinds": b"serial,deviceId\r\nA,a\nB,b\r\nC,c",
    "quotes around": b'"serial","deviceId"\n"A","a"\n',
}


@pytest.fixture
def run(station):
    def run(content):
        path = station.home / "devices.csv"
        path.write_bytes(content)
        return provision(station, path, "--verify", "none")

    return run


@pytest.mark.parametrize("content, place", REFUSED.values(), ids=REFUSED)
def test_refused_at_its_place(station, run, content, place):
    done = run(content)
    assert done.status == 2 and f"devices.csv:{place}" in done.stderr, done
    assert not any(letter in done.stdout + done.stderr for letter in "\x1b\x07\0"), done
    assert len(done.stderr) < 8000, len(done.stderr)
    assert station.emulator.ledger() == [] and not station.journal.exists()


@pytest.mark.parametrize("content", TAKEN.values(), ids=TAKEN)
def test_taken(station, run, content):
    done = run(content)
    assert done.status == 0, done
    assert set(created(station)) == set("abc"[:done.json["enrolled"]]) and done.json["enrolled"] == done.json["rows"] > 0


@pytest.mark.parametrize("option", ["--operator", "--out"])
def test_names_that_are_not_text_are_refused_before_anything_is_sent(station, option):
    profile = station.profile("derived-key")
    if option == "--out":
        station.out = os.fsdecode(os.fsencode(station.home) + b"/B\xfcro")
        done = station.provision(profile, "A-1")
    else:
        done = station.provision(profile, "A-1", option, os.fsdecode(b"J\xfcrg"))
    assert done.status == 2 and "not UTF-8" in done.stderr, done
    assert station.emulator.ledger() == [], done
    station.out = station.home / "B\u00fcro"
    assert station.provision(profile, "A-1", "--operator", "J\u00fcrg").status == 0
    assert "not proven" in station.muster("journal", "verify", "--journal", station.journal).stderr


def test_two_devices_never_share_a_file(station):
    profile = station.profile("derived-key", {"registrationId": "{serial}"})
    names = [station.provision(profile, serial).json["registrationId"] for serial in ("a:1", "a_1", "a.1")]
    assert names == ["a:1", "a_1", "a.1"]
    assert sorted(path.name for path in station.out.glob("*.keys.json")) == ["a+1.keys.json", "a.1.keys.json", "a_1.keys.json"]
