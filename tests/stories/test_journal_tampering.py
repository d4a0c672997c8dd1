"""Whoever changes a journal or its export is noticed, by muster and by the verifier that shares no code with it. scripts/campaign
tampering and tampered-bytes try more."""
import base64
import hashlib
import io
import json
import random
import re
import shutil
import sqlite3
import subprocess

import pytest

from lib.custodian import Custodian
from lib.journal import fill
from lib.paths import IS_LONG, RELEASE, SCRIPTS
from lib.program import environment
from lib.record import record
from lib.tampering import Record, VERIFIER, chained, edit, entries_of, flipped

EDITS, SEED = 200, 1
NO_MEMORY = 10
# Every how many-th byte of a small export and of a small database.
EXPORT_STEP, STEP = (41, 211) if IS_LONG else (97, 631)


@pytest.fixture
def small(tmp_path):
    return Record(tmp_path, 2)


@pytest.fixture
def large(tmp_path):
    return Record(tmp_path, 240, checkpoints=4)


# -- What an honest journal looks like ---------------------------------------------------------------------------------


def test_an_untouched_journal_is_proven_by_both(small):
    done = small.muster("verify", "--anchor", small.anchor, "--public-key", small.public_key, "-o", "json")
    assert done.returncode == 0, done
    ours = json.loads(done.stdout)
    assert ours.pop("devices") == 2 and ours.pop("structureChecked") is True
    theirs = subprocess.run([SCRIPTS / "verify-journal", "-", "--anchor", small.anchor, "--public-key", small.public_key],
                            input=small.exports[-1], capture_output=True, check=True)
    assert json.loads(theirs.stdout) == ours
    assert ours["verdict"] == "proven" and ours["checkpoints"] == 2 and ours["provenTo"] == ours["entries"] - 1
    assert not small.is_noticed(small.exports[-1])


def test_without_an_anchor_nothing_is_proven(small):
    for done in (small.muster("verify"), small.muster("verify", "--export", "-", stdin=small.exports[-1])):
        assert done.returncode == 8 and b"E6012" in done.stderr and b"not proven" in done.stdout, done
        assert b"ok" not in done.stdout
    theirs = subprocess.run([SCRIPTS / "verify-journal", "-"], input=small.exports[-1], capture_output=True, check=False)
    assert theirs.returncode == 8 and json.loads(theirs.stdout)["verdict"] == "not proven"


def test_words_read_aloud_prove_it_too(small):
    anchor = json.loads(small.anchor.read_text())
    words = f"{anchor['checkpoint']['entry']} {anchor['words']}"
    spoken = words.upper().replace("-", " ")
    for text in (words, spoken):
        assert small.muster("verify", "--words", text).returncode == 0
        assert VERIFIER.verify(io.BytesIO(small.exports[-1]), [VERIFIER.Anchor.of_words(text)])["verdict"] == "proven"
    other = words[:-1] + ("b" if words[-1] != "b" else "d")
    done = small.muster("verify", "--words", other)
    assert done.returncode == 8 and b"E6014" in done.stderr, done
    with pytest.raises(VERIFIER.Refused):
        VERIFIER.verify(io.BytesIO(small.exports[-1]), [VERIFIER.Anchor.of_words(other)])
    done = small.muster("verify", "--words", "12 lusab")
    assert done.returncode == 2 and b"E6016" in done.stderr, done


def test_evidence_is_an_anchor(station):
    done = station.provision(station.profile("derived-key"), "A17-0042")
    assert done.status == 0, done
    evidence = next(station.out.glob("*.evidence.json"))
    export = station.muster("journal", "export", "--entries", "--journal", station.journal).stdout.encode()
    verify = ("journal", "verify", "--journal", station.journal, "--anchor", evidence)
    assert station.muster(*verify).status == 0
    assert VERIFIER.verify(io.BytesIO(export), [VERIFIER.Anchor.of_file(evidence)])["verdict"] == "proven in part"
    evidence.write_text(evidence.read_text().replace("A17-0042", "A17-0043"))
    refused = station.muster(*verify)
    assert (refused.status, refused.cause) == (8, "E6014"), refused
    with pytest.raises(VERIFIER.Refused):
        VERIFIER.verify(io.BytesIO(export), [VERIFIER.Anchor.of_file(evidence)])


# -- Exports -------------------------------------------------------------------------------------------------------------


def test_every_byte_of_a_small_export(tmp_path):
    record = Record(tmp_path, 1, checkpoints=1)
    content = record.exports[-1]
    generator = random.Random(SEED)
    for position in range(generator.randrange(EXPORT_STEP), len(content), EXPORT_STEP):
        assert record.is_noticed(flipped(generator, content, position)), f"byte {position}"


def test_edits_deletions_swaps_and_truncations_of_a_large_export(large):
    generator = random.Random(SEED)
    for number in range(EDITS):
        name, content = edit(generator, large.lines)
        assert large.is_noticed(content), f"{name}, edit {number}"
    record("tampering", 0, SEED, {"edits": EDITS})


def test_rollback_is_noticed_with_an_anchor_and_only_then(large):
    for older in large.exports[:-1]:
        assert large.is_noticed(older)
        assert not large.is_noticed(older, anchor=False)
    assert not large.is_noticed(large.exports[-1])


def test_a_part_is_verified_from_where_it_begins(large):
    entries = json.loads(large.lines[-1])["last"]
    part = large.muster("export", "--entries", "--after", str(entries - 10)).stdout
    assert len(part.splitlines()) == 12
    assert not large.is_noticed(part)
    assert large.is_noticed(part.replace(b"ada", b"eve", 1))


# -- Signatures ------------------------------------------------------------------------------------------------------------


def test_checkpoints_must_be_signed_by_the_key_that_is_asked_for(small, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    stranger = Record(other, 1, checkpoints=1)
    done = small.muster("verify", "--anchor", small.anchor, "--public-key", stranger.public_key)
    assert done.returncode == 8 and b"E6015" in done.stderr, done
    with pytest.raises(VERIFIER.Refused):
        VERIFIER.verify(io.BytesIO(small.exports[-1]), [], [VERIFIER.read_public_key(stranger.public_key)])


def test_a_checkpoint_that_somebody_else_signed_is_noticed(small):
    """With the right digests, and a signature that is good but for another message."""
    entries = entries_of(small.lines)
    bodies = [json.loads(entry["body"]) for entry in entries if entry["stage"] == "journal"]
    entries[-1]["body"] = json.dumps({"checkpoint": {**bodies[-1]["checkpoint"],
                                                     "signature": bodies[0]["checkpoint"]["signature"]}},
                                     separators=(",", ":"))
    assert small.is_noticed(chained(entries))
    entries[-1]["body"] = json.dumps({"checkpoint": {**bodies[-1]["checkpoint"],
                                                     "signature": base64.b64encode(b"0" * 70).decode()}}, separators=(",", ":"))
    assert small.is_noticed(chained(entries))


def test_an_anchor_of_another_state_is_not_replaced(large, tmp_path):
    """The station itself notices a rollback when it is asked for the next checkpoint."""
    before = large.anchor.read_bytes()
    copy = tmp_path / "copy.db"
    fill(copy, 40)
    done = large.muster("checkpoint", "--anchor", large.anchor, "--station-key", large.home / "station.key", journal=copy)
    assert done.returncode == 8 and b"E6013" in done.stderr, done
    fill(copy, 300, first=40)
    done = large.muster("checkpoint", "--anchor", large.anchor, "--station-key", large.home / "station.key", journal=copy)
    assert done.returncode == 8 and b"E6014" in done.stderr, done
    assert large.anchor.read_bytes() == before


def test_the_station_key_is_private(small):
    key = small.home / "station.key"
    assert key.stat().st_mode & 0o777 == 0o600
    key.chmod(0o640)
    done = small.muster("checkpoint")
    assert done.returncode == 2 and b"E1005" in done.stderr, done
    key.chmod(0o600)
    key.write_text("no key")
    done = small.muster("checkpoint")
    assert done.returncode == 2 and b"E6017" in done.stderr, done


def test_a_key_that_is_named_is_not_made_by_mistake(small):
    typo = small.home / "staton.key"
    done = small.muster("checkpoint", "--station-key", typo)
    assert done.returncode == 2 and b"E1002" in done.stderr and b"--new-key" in done.stderr, done
    assert not typo.exists()
    done = small.muster("checkpoint", "--station-key", typo, "--new-key")
    assert done.returncode == 0 and typo.exists() and typo.with_suffix(".pub").exists(), done
    assert small.muster("checkpoint", "--station-key", typo).returncode == 0


def test_a_key_that_was_replaced(small):
    """Only when it is asked for; and then the journal is verified with both."""
    first, other = small.home / "station.pub", small.home / "other.pub"
    assert small.muster("checkpoint", "--station-key", small.home / "other.key", "--new-key").returncode == 0
    before = small.export()
    done = small.muster("checkpoint")
    assert done.returncode == 5 and b"E6040" in done.stderr and b"--new-key" in done.stderr, done
    (small.home / "station.key").rename(small.home / "first.key")
    done = small.muster("checkpoint")
    assert done.returncode == 2 and not (small.home / "station.key").exists(), done
    assert small.export() == before
    assert small.muster("checkpoint", "--anchor", small.anchor, "--station-key", small.home / "first.key", "--new-key").returncode == 0
    for keys, status in (((first, other), 0), ((other, first), 0), ((first,), 8), ((other,), 8)):
        words = [word for key in keys for word in ("--public-key", key)]
        ours = small.muster("verify", "--anchor", small.anchor, *words)
        theirs = subprocess.run([SCRIPTS / "verify-journal", "-", "--anchor", small.anchor, *words], input=small.export(),
                                capture_output=True, check=False)
        assert (ours.returncode, theirs.returncode) == (status, status), (keys, ours, theirs)


def test_a_checkpoint_needs_a_journal(tmp_path):
    done = subprocess.run([RELEASE / "muster", "journal", "checkpoint", "--journal", tmp_path / "none.db"], check=False,
                          env=environment(RELEASE, tmp_path), capture_output=True)
    assert done.returncode == 2 and b"E1002" in done.stderr, done
    assert list(tmp_path.iterdir()) == []


# -- The database ------------------------------------------------------------------------------------------------------------


def test_bytes_of_a_small_database(small, tmp_path):
    """Noticed, or of no consequence: every entry, every device, and finding devices give the same as before."""
    content = small.journal.read_bytes()
    devices = small.muster("export").stdout
    copy = tmp_path / "copy.db"
    shown = small.muster("show", "S0000001", "-o", "json").stdout
    generator = random.Random(SEED)
    noticed = tried = 0
    for position in range(generator.randrange(STEP), len(content), STEP):
        copy.write_bytes(flipped(generator, content, position))
        copy.chmod(0o600)
        tried += 1
        done = small.muster("verify", "--anchor", small.anchor, journal=copy)
        if done.returncode != 0:
            assert done.returncode in (8, 11), done
            noticed += 1
            continue
        assert small.export(copy) == small.exports[-1], f"byte {position}"
        assert small.muster("export", journal=copy).stdout == devices, f"byte {position}"
        assert small.muster("show", "S0000001", "-o", "json", journal=copy).stdout == shown, f"byte {position}"
    assert noticed > 0 and tried > len(content) // STEP - 1


def test_a_file_format_that_nobody_knows_is_damage(small, tmp_path):
    content = bytearray(small.journal.read_bytes())
    content[47] = 5
    copy = tmp_path / "copy.db"
    copy.write_bytes(content)
    copy.chmod(0o600)
    done = small.muster("verify", "--anchor", small.anchor, journal=copy)
    assert done.returncode == 8 and b"E6004" in done.stderr, done


TRIGGERS = ("DROP TRIGGER entry_is_final; DROP TRIGGER entry_is_kept; DROP TRIGGER entry_is_appended;"
            "DROP TRIGGER device_is_kept; DROP TRIGGER device_keeps_its_name;")
CHANGES = [
    ("UPDATE entry SET body = '{\"operation\":\"none\"}' WHERE seq = 2", b"entry 2 "),
    ("UPDATE entry SET operator = 'eve' WHERE seq = 5", b"entry 5 "),
    ("UPDATE entry SET body = body || char(0) || 'more' WHERE seq = 4", b"entry 4 "),
    ("UPDATE entry SET station = station || char(0) WHERE seq = 6", b"entry 6 "),
    ("DELETE FROM entry WHERE seq = 3", b"entry 3 is missing"),
    ("UPDATE entry SET seq = 0 - seq WHERE seq IN (2, 3); UPDATE entry SET seq = 5 + seq WHERE seq < 0", b"entry 2 "),
    ("UPDATE device SET serial = 'S0000009' WHERE registration_id = 'dev-0000001'", b"'dev-0000001'"),
    ("UPDATE device SET serial = serial || char(0) || 'more' WHERE registration_id = 'dev-0000001'", b"'dev-0000001'"),
    ("DELETE FROM device WHERE registration_id = 'dev-0000000'", b"'dev-0000000'"),
    ("DELETE FROM entry WHERE seq >= (SELECT max(seq) - 1 FROM entry)", b"E6013"),
]


@pytest.mark.parametrize("change, named", CHANGES)
def test_a_changed_database_is_refused_and_the_first_bad_place_named(small, tmp_path, change, named):
    copy = tmp_path / "copy.db"
    shutil.copy(small.journal, copy)
    connection = sqlite3.connect(copy)
    connection.executescript("PRAGMA ignore_check_constraints = ON;" + TRIGGERS + change)
    connection.close()
    done = small.muster("verify", "--anchor", small.anchor, journal=copy)
    assert done.returncode == 8 and named in done.stderr, done
    export = small.muster("export", "--entries", journal=copy)
    if export.returncode == 0 and b"device" not in change.encode():
        assert small.is_noticed(export.stdout)


@pytest.mark.parametrize("change, named", [
    ("DROP TRIGGER entry_is_final", b"the trigger 'entry_is_final' is missing"),
    ("CREATE TRIGGER quiet AFTER UPDATE ON device BEGIN SELECT 1; END", b"the trigger 'quiet' is none of muster's"),
    ("DROP INDEX device_serial; CREATE INDEX device_serial ON device(serial, batch)", b"the index 'device_serial' was changed")])
def test_a_changed_schema_is_refused_and_named(small, tmp_path, change, named):
    """Its entries are as they were: an export of them has no tables."""
    copy = tmp_path / "copy.db"
    shutil.copy(small.journal, copy)
    connection = sqlite3.connect(copy)
    connection.executescript(change)
    connection.close()
    for arguments in (("verify", "--anchor", small.anchor), ("checkpoint",)):
        done = small.muster(*arguments, journal=copy)
        assert done.returncode == 8 and b"E6004" in done.stderr and named in done.stderr, done
    assert small.export(journal=copy) == small.exports[-1]


@pytest.mark.parametrize("export", [False, True])
def test_what_there_is_no_memory_for_is_not_called_tampering(small, export):
    what = ["--export", small.home / "export"] if export else []
    (small.home / "export").write_bytes(small.exports[-1])
    preload = {"LD_PRELOAD": RELEASE / "tests/muster-fault-malloc.so"}
    counted = small.muster("verify", "--anchor", small.anchor, *what, env={**preload, "FAULT_MALLOC_COUNT": small.home / "count"})
    assert counted.returncode == 0, counted
    for number in range(1, int((small.home / "count").read_text()) + 1):
        once_or_for_good = "+" if number % 2 else ""
        done = small.muster("verify", "--anchor", small.anchor, *what, env={**preload, "FAULT_MALLOC": f"{number}{once_or_for_good}"})
        assert done.returncode == 0 or (done.returncode == NO_MEMORY and b"E9001" in done.stderr), (number, done)


def test_a_damaged_journal_is_not_written(station):
    profile = station.profile("derived-key")
    assert station.provision(profile, "A17-0042").status == 0
    connection = sqlite3.connect(station.journal)
    connection.executescript(TRIGGERS + "UPDATE entry SET operator = 'eve' WHERE seq = 3")
    connection.close()
    before = station.journal.read_bytes()
    for command in (lambda: station.provision(profile, "A17-0043"),
                    lambda: station.muster("journal", "checkpoint", "--journal", station.journal)):
        done = command()
        assert (done.status, done.cause) == (8, "E6004"), done
        assert "entry 3" in done.stderr and "reconcile" in done.stderr
    assert station.journal.read_bytes() == before
    assert [row["registrationId"] for row in station.service.enrollments()] == ["a17-0042"]


@pytest.mark.parametrize("change", ["serial = 'A17-0099'", "state = 'parked'", "hub = 'other'"])
def test_a_device_whose_row_was_changed_is_not_believed(station, change):
    """Its entries are as they were, and so are the other devices."""
    profile = station.profile("derived-key")
    for serial in ("A17-0042", "A17-0043"):
        assert station.provision(profile, serial).status == 0
    connection = sqlite3.connect(station.journal)
    connection.executescript(f"UPDATE device SET {change} WHERE registration_id = 'a17-0042'")
    connection.close()
    before = station.journal.read_bytes()
    place, decision = ("--journal", station.journal), ("a17-0042", "--reason", "broken")
    for command in (lambda: station.provision(profile, "A17-0042"),
                    lambda: station.muster("retire", *decision, *place, "--login-file", station.login_file, "--ca-file",
                                           station.emulator.ca_file),
                    lambda: station.muster("journal", "verify", *place)):
        done = command()
        assert (done.status, done.cause) == (8, "E6004") and "'a17-0042'" in done.stderr, done
    assert station.journal.read_bytes() == before and station.service.enrollment("a17-0042")
    doctor = station.muster("doctor", *place)
    assert "the row of device 'a17-0042' is not what its entries say" in doctor.stdout, doctor
    assert station.provision(profile, "A17-0043").status == 0


def test_a_decision_is_not_written_over_a_row_that_was_changed(station):
    assert station.provision(station.profile("derived-key"), "A17-0042", "--offline").status == 6
    connection = sqlite3.connect(station.journal)
    connection.executescript("UPDATE device SET serial = 'A17-0099'")
    connection.close()
    before = station.journal.read_bytes()
    done = station.muster("outbox", "resolve", "a17-0042", "--as", "failed", "--reason", "broken", "--journal", station.journal)
    assert (done.status, done.cause) == (8, "E6004"), done
    assert station.journal.read_bytes() == before


def test_a_key_in_a_token_signs_too(small, token, tmp_path):
    custodian = Custodian(tmp_path / "desk", token, build=RELEASE)
    made = custodian.muster("cert", "self-sign", "--key-type", "ec-p256", "--label", "station", "--subject", "CN=line 3",
                            "--days", "30", "--out", tmp_path / "station.pem")
    assert made.status == 0, made
    uri = token.key_uri("station", "private")
    done = small.muster("checkpoint", "--anchor", small.anchor, "--station-key", uri, "--new-key", env=custodian.env)
    assert done.returncode == 0, done
    assert VERIFIER.verify(io.BytesIO(small.export()), [VERIFIER.Anchor.of_file(small.anchor)])["verdict"] == "proven"
    done = small.muster("verify", "--anchor", small.anchor)
    assert done.returncode == 0, done
    before = small.export()
    done = small.muster("checkpoint", "--station-key", uri.replace("station", "other"), env=custodian.env)
    assert done.returncode == 3 and b"E4302" in done.stderr and small.export() == before, done


def counter_of(tpm):
    """By other tools than muster."""
    done = subprocess.run(["tpm2_nvread", "-T", tpm.tcti, "-C", "0x1800100", "0x1800100"], check=True, stdout=subprocess.PIPE)
    return int.from_bytes(done.stdout, "big")


def both_verdicts(record, counter, export=None):
    """(status, cause) by muster, and the status of the second verifier."""
    ours = record.muster("verify", "--counter", counter, "--public-key", record.public_key,
                         *(("--export", "-") if export else ()), stdin=export or b"")
    theirs = subprocess.run([SCRIPTS / "verify-journal", "-", "--counter", str(counter), "--public-key", record.public_key],
                            input=export or record.export(), capture_output=True, check=False)
    return ours.returncode, re.findall(rb"E\d{4}", ours.stderr), theirs.returncode


def test_a_counter_that_was_never_raised_is_a_counter(small):
    done = subprocess.run([SCRIPTS / "verify-journal", "-", "--counter", "0", "--public-key", small.public_key], input=small.exports[-1],
                          capture_output=True, check=False)
    assert done.returncode == 8 and b"Traceback" not in done.stderr, done


def test_a_counter_of_the_tpm_shows_an_older_copy(small, tpm):
    place = f"tpm:index=0x01800100;tcti={tpm.tcti}"
    for _ in range(2):
        older = small.export()
        done = small.muster("checkpoint", "--counter", place)
        assert done.returncode == 0, done
    value = counter_of(tpm)
    assert small.muster("verify", "--counter", place, "--public-key", small.public_key).returncode == 0
    assert both_verdicts(small, str(value)) == (0, [], 0)
    assert both_verdicts(small, str(value), older) == (8, [b"E6013"], 8)
    assert both_verdicts(small, str(value - 1)) == (8, [b"E6014"], 8)
    # A cut after the counter was announced: it may stand at the old value still.
    lines = small.export().splitlines(keepends=True)
    announced = [line for line in lines[:-1] if b'"checkpoint' not in line or line != lines[-2]]
    end = json.loads(announced[-1])
    cut = b"".join(announced) + json.dumps({"schema": "muster.journal/1", "last": end["seq"], "digest": end["digest"]},
                                           separators=(",", ":")).encode() + b"\n"
    assert both_verdicts(small, str(value - 1), cut) == (0, [], 0)
    assert both_verdicts(small, str(value), cut)[::2] == (8, 8)
    # And the next checkpoint goes on.
    assert small.muster("checkpoint", "--counter", place).returncode == 0
    assert both_verdicts(small, str(value + 1)) == (0, [], 0)


def test_an_older_copy_that_was_put_back_is_not_signed_on(small, tpm, tmp_path):
    place = f"tpm:index=0x01800100;tcti={tpm.tcti}"
    copies = [tmp_path / f"copy-{number}.db" for number in range(3)]
    for copy in copies[:2]:
        shutil.copy(small.journal, copy)
        assert small.muster("checkpoint", "--counter", place).returncode == 0
    shutil.copy(small.journal, copies[2])
    value = counter_of(tpm)
    for copy in copies[:2]:
        shutil.copy(copy, small.journal)
        before = small.export()
        done = small.muster("checkpoint", "--counter", place)
        assert done.returncode == 8 and b"E6013" in done.stderr, done
        assert counter_of(tpm) == value and small.export() == before
    shutil.copy(copies[2], small.journal)
    assert small.muster("checkpoint", "--counter", place).returncode == 0
    assert both_verdicts(small, str(value + 1)) == (0, [], 0)


def test_a_counter_of_another_tpm_needs_another_index(small, make_tpm):
    first, second = make_tpm("a"), make_tpm("b")
    for _ in range(2):
        assert small.muster("checkpoint", "--counter", f"tpm:index=0x01800100;tcti={first.tcti}").returncode == 0
    before = small.export()
    done = small.muster("checkpoint", "--counter", f"tpm:index=0x01800100;tcti={second.tcti}")
    assert done.returncode == 8 and b"E6014" in done.stderr and small.export() == before, done
    done = small.muster("checkpoint", "--counter", f"tpm:index=0x01800101;tcti={second.tcti}")
    assert done.returncode == 0, done
    for place in (f"tpm:index=0x01800101;tcti={second.tcti}", f"tpm:index=0x01800100;tcti={first.tcti}"):
        done = small.muster("verify", "--counter", place, "--public-key", small.public_key)
        assert done.returncode == 0, done


def test_a_journal_begins_with_a_counter_that_is_there_when_told_so(small, tpm):
    place = f"tpm:index=0x01800100;tcti={tpm.tcti}"
    other = shutil.copy(small.journal, small.home / "other.db")
    assert small.muster("checkpoint", "--counter", place, journal=other).returncode == 0
    value, before = counter_of(tpm), small.export()
    done = small.muster("checkpoint", "--counter", place)
    assert done.returncode == 8 and b"--new-counter" in done.stderr and small.export() == before, done
    assert counter_of(tpm) == value
    assert small.muster("checkpoint", "--counter", place, "--new-counter").returncode == 0
    assert small.muster("checkpoint", "--counter", place).returncode == 0
    assert both_verdicts(small, str(value + 2)) == (0, [], 0)


@pytest.mark.parametrize("values, is_good", [((2, 2, 3), True), ((2, 4), False), ((4, 3), False), ((2, 3, 5), False)])
def test_a_counter_that_was_taken_further_than_by_one(small, values, is_good):
    """It proves nothing from then on; what others kept of the journal still does, and so does another counter."""
    entries = entries_of(small.lines)
    for value in values:
        for index in ("0x01800100", f"0x0180020{value}"):
            body = json.dumps({"counter": {"index": index, "value": value}}, separators=(",", ":"))
            entries.append({**entries[-1], "registrationId": "", "stage": "journal", "kind": "intent", "body": body})
    content = chained(entries)
    assert not small.is_noticed(content)
    done = small.verify_export(content, "--anchor", small.anchor)
    assert done.returncode == 0 and (b"takes counter 0x01800100" in done.stderr) is not is_good, done
    assert both_verdicts(small, str(values[-1]), content) == (8, [b"E6012"], 8)  # the other one, which no checkpoint covers
    content = chained(entries[:-1])
    assert both_verdicts(small, str(values[-1]), content) == (8, [b"E6012" if is_good else b"E6013"], 8)
    theirs = subprocess.run([SCRIPTS / "verify-journal", "-", "--counter", str(values[-1]), "--public-key", small.public_key],
                            input=content, capture_output=True, check=False)
    assert (b"not proven" in theirs.stdout) is is_good and (b"takes counter" in theirs.stderr) is not is_good, theirs


def append(journal, body):
    """An entry of the journal's own, by who knows the format."""
    connection = sqlite3.connect(journal)
    names = ("seq", "registration_id", "at_ms", "stage", "kind", "attempt", "operator", "station", "body")
    seq, *rest, digest = connection.execute(f"SELECT {', '.join(names)}, digest FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
    values = dict(zip(names, (seq + 1, *rest)), registration_id="", stage="journal", kind="intent",
                  body=json.dumps(body, separators=(",", ":")))
    values["digest"] = hashlib.sha256(digest + b"".join(VERIFIER.netstring(value) for value in values.values())).digest()
    with connection:
        connection.execute(f"INSERT INTO entry ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})", list(values.values()))
    connection.close()


@pytest.mark.parametrize("step", [-55, 2])
def test_a_counter_that_was_begun_anew_leaves_the_others(small, tpm, step):
    """By a version that did not look, of a TPM that was changed; or behind an older copy."""
    old, new = (f"tpm:index=0x0180010{number};tcti={tpm.tcti}" for number in range(2))
    assert small.muster("checkpoint", "--counter", old).returncode == 0
    last = counter_of(tpm)
    for value in (last + 100, last + 100 + step):
        append(small.journal, {"counter": {"index": "0x01800100", "value": value}})
    before = small.export()
    done = small.muster("checkpoint", "--counter", old)
    assert done.returncode == 8 and b"E6013" in done.stderr and b"another index" in done.stderr and small.export() == before, done
    done = small.muster("checkpoint", "--counter", new, "--anchor", small.anchor)
    assert done.returncode == 0, done
    for keys in (("--anchor", small.anchor), ("--counter", new)):
        done = small.muster("verify", *keys, "--public-key", small.public_key)
        assert done.returncode == 0 and b"takes counter 0x01800100" in done.stderr, done
    done = small.muster("verify", "--counter", old, "--public-key", small.public_key)
    assert done.returncode == 8 and b"E6013" in done.stderr, done
    theirs = subprocess.run([SCRIPTS / "verify-journal", "-", "--anchor", small.anchor], input=small.export(), capture_output=True,
                            check=False)
    assert theirs.returncode == 0 and b"takes counter 0x01800100" in theirs.stderr, theirs


def test_a_counter_needs_the_key_and_an_index_of_its_own(small, tpm):
    done = small.muster("verify", "--counter", "7")
    assert done.returncode == 2 and b"public key" in done.stderr, done
    for place in ("tpm:index=0x01800100", "tpm:tcti=device:/dev/tpmrm0", "tpm:index=1;tcti=x", "tpm:index=0x1;index=0x2;tcti=x"):
        assert small.muster("checkpoint", "--counter", place).returncode == 2
    subprocess.run(["tpm2_nvdefine", "-Q", "-T", tpm.tcti, "-C", "o", "-s", "8", "0x1800200"], check=True)
    before = small.export()
    done = small.muster("checkpoint", "--counter", f"tpm:index=0x01800200;tcti={tpm.tcti}")
    assert done.returncode == 2 and b"E2120" in done.stderr and small.export() == before, done


@pytest.mark.parametrize("algorithm", ["ecc256", "rsa2048"])
def test_a_key_in_a_tpm_signs_too(small, tpm, tmp_path, algorithm):
    def tool(name, *arguments):
        subprocess.run([f"tpm2_{name}", "-Q", "-T", tpm.tcti, *arguments], cwd=tmp_path, check=True)

    def make(handle, attributes):
        tool("create", "-C", "0x81000001", "-G", algorithm, "-a", attributes, "-u", "key.pub", "-r", "key.priv")
        tool("load", "-C", "0x81000001", "-u", "key.pub", "-r", "key.priv", "-c", "key.ctx")
        tool("evictcontrol", "-C", "o", "-c", "key.ctx", handle)
        tool("flushcontext", "-t")

    tool("createprimary", "-C", "o", "-G", "ecc", "-c", "srk.ctx")
    tool("evictcontrol", "-C", "o", "-c", "srk.ctx", "0x81000001")
    tool("flushcontext", "-t")
    make("0x81000100", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign|noda")
    tool("readpublic", "-c", "0x81000100", "-f", "pem", "-o", "station.pub")
    place = f"tpm:handle=0x81000100;tcti={tpm.tcti}"
    done = small.muster("checkpoint", "--anchor", small.anchor, "--station-key", place, "--new-key")
    assert done.returncode == 0, done
    assert VERIFIER.verify(io.BytesIO(small.export()), [VERIFIER.Anchor.of_file(small.anchor)])["verdict"] == "proven"
    assert small.muster("verify", "--anchor", small.anchor).returncode == 0
    spki = json.loads(json.loads(small.export().splitlines()[-2])["body"])["checkpoint"]["publicKey"]
    pem = (tmp_path / "station.pub").read_text()
    assert spki == "".join(line for line in pem.splitlines() if not line.startswith("-----"))
    # A wrong password of this one would count.
    make("0x81000101", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign")
    done = small.muster("checkpoint", "--station-key", place.replace("100;", "101;"), "--new-key")
    assert done.returncode == 2 and b"noda" in done.stderr, done
    assert small.muster("checkpoint", "--station-key", place.replace("100;", "102;")).returncode == 3
