"""The journal as people and other systems read it: list, show, export."""
import concurrent.futures
import contextlib
import csv
import hashlib
import io
import json
import pathlib
import re
import sqlite3
import subprocess

import pytest

from lib import batch
from lib.custodian import openssl
from lib.journal import fill
from lib.killer import killer
from lib.paths import TOP
from lib.program import environment
from lib.software_token import write_secret
from lib.station import Station
from lib.wait import wait_until

SERIAL = "A17-0042"


@pytest.fixture
def provisioned(station):
    """A station with one released derived-key device."""
    done = station.provision(station.profile("derived-key", {"deviceId": "pump-42"}), SERIAL)
    assert done.status == 0, done
    station.done = done.json
    return station


@pytest.fixture
def filled(tmp_path):
    """A station whose journal has 1,200 devices, more than two pages; no service is needed to read it."""

    class NoService:
        connection_string = "HostName=localhost;SharedAccessKeyName=p;SharedAccessKey=MDEyMzQ1Njc4OTAxMjM0NQ=="

    station = Station(tmp_path / "home", NoService())
    fill(station.journal, 1200)
    return station


def journal(station, verb, *arguments, **options):
    return station.muster("journal", verb, "--journal", station.journal, *arguments, **options)


def test_list_shows_what_happened_last(provisioned):
    refused = provisioned.provision(provisioned.profile("tpm"), "A17-0043", "--tpm", "swtpm:path=/nowhere")
    assert refused.status == 4, refused
    rows = journal(provisioned, "list", "-o", "json").json
    assert [row["serial"] for row in rows] == [SERIAL]
    assert rows[0]["state"] == "released"
    assert rows[0]["registrationId"] == provisioned.done["registrationId"]
    table = journal(provisioned, "list").stdout
    assert SERIAL in table and "released" in table and "STATE" in table


@pytest.mark.parametrize("arguments, count", [
    (("--state", "released"), 500), (("--state", "failed"), 0), (("--state", "failed", "--state", "released"), 500),
    (("--limit", "10000"), 1200), (("--limit", "3"), 3), (("--since", "1s"), 0), (("--since", "2025-11-24"), 500),
    (("--since", "2025-11-24T16:15:00Z"), 300), (("--since", "2025-11-24T16:15:00+01:00", "--limit", "2000"), 1200)])
def test_list_filters_by_state_and_time(filled, arguments, count):
    done = journal(filled, "list", "-o", "jsonl", *arguments)
    assert done.status == 0, done
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == count
    assert [row["updated"] for row in lines] == sorted((row["updated"] for row in lines), reverse=True)


@pytest.mark.parametrize("arguments", [("--state", "done"), ("--since", "yesterday"), ("--since", "2h30"), ("--since", "-1h"),
                                       ("--limit", "10001")])
def test_list_refuses_filters_it_does_not_understand(filled, arguments):
    done = journal(filled, "list", *arguments)
    assert (done.status, done.cause) == (2, "E1001"), done


def test_show_knows_a_device_by_every_name(provisioned):
    by_serial = journal(provisioned, "show", SERIAL, "-o", "json")
    assert by_serial.status == 0, by_serial
    device = by_serial.json
    assert device["registrationId"] == provisioned.done["registrationId"]
    assert device["evidenceSha256"] == hashlib.sha256(open(device["evidence"], "rb").read()).hexdigest()
    stages = [(entry["stage"], entry["kind"]) for entry in device["entries"] if entry["kind"] != "note"]
    assert stages == [("enroll", "intent"), ("enroll", "outcome"), ("confirm", "outcome"), ("verify", "intent"),
                      ("verify", "outcome"), ("release", "outcome")]
    for name in (device["registrationId"].upper(), "pump-42"):
        assert journal(provisioned, "show", name, "-o", "json").json == device
    people = journal(provisioned, "show", SERIAL).stdout
    assert device["profileSha256"] in people and "created true" in people


def test_show_finds_keys_as_others_write_them(filled):
    digest = hashlib.sha256(b"dev-0000777").hexdigest()
    colons = ":".join(digest[i:i + 2] for i in range(0, 64, 2)).upper()
    for name in (digest, digest.upper(), colons, "S0000777", "DEV-0000777"):
        done = journal(filled, "show", name, "-o", "json")
        assert done.status == 0, done
        assert done.json["registrationId"] == "dev-0000777"


def test_show_says_that_there_is_no_such_device(filled):
    done = journal(filled, "show", "S7777777")
    assert (done.status, done.cause) == (3, "E6010"), done
    done = journal(filled, "show", "--by", "device-id", "S0000001")
    assert (done.status, done.cause) == (3, "E6010"), done


def test_show_refuses_to_guess_between_two_devices(station):
    profile = station.profile("derived-key", {"registrationId": "{serial}", "deviceId": "pump-2"}, name="one")
    assert station.provision(profile, "pump-1").status == 0
    profile = station.profile("derived-key", {"registrationId": "{serial}", "deviceId": "pump-1"}, name="two")
    assert station.provision(profile, "pump-2").status == 0
    done = journal(station, "show", "pump-1")
    assert (done.status, done.cause) == (2, "E6011"), done
    assert journal(station, "show", "--by", "device-id", "pump-1", "-o", "json").json["serial"] == "pump-2"


def test_export_gives_every_device_once_in_the_order_of_changes(filled):
    done = journal(filled, "export")
    assert done.status == 0, done
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["serial"] for row in rows] == [f"S{i:07}" for i in range(1200)]
    done = journal(filled, "export", "--since", rows[-2]["updated"])
    assert [json.loads(line)["serial"] for line in done.stdout.splitlines()] == ["S0001198", "S0001199"]
    assert journal(filled, "export", "--state", "parked").stdout == ""


@pytest.mark.parametrize("variable", ["json", "yaml", "table", "none", "jsonl", "tsv"])
def test_a_format_for_all_commands_keeps_nothing_from_being_exported(provisioned, variable):
    """Only what the line asks for is refused."""
    for arguments in ([], ["--csv"], ["--entries"], [SERIAL]):
        plain, done = journal(provisioned, "export", *arguments), journal(provisioned, "export", *arguments, env={"MUSTER_OUTPUT": variable})
        assert done.status == 0 and done.stdout, done
        assert (done.stdout == plain.stdout) != (variable == "tsv" and not arguments), (plain, done)
        asked = journal(provisioned, "export", *arguments, "-o", "yaml", env={"MUSTER_OUTPUT": variable})
        assert asked.status == 2 and asked.error["code"] == "E1001", asked


def test_a_format_for_all_commands_gives_way_to_the_line(provisioned):
    """Wherever it stands there."""
    for words in (["-o", "json", "journal", "list"], ["journal", "list", "-o", "json"]):
        done = provisioned.muster(*words, "--journal", provisioned.journal, env={"MUSTER_OUTPUT": "tsv"})
        assert done.json[0]["serial"] == SERIAL, done


def test_export_as_csv_is_read_by_a_csv_reader(filled):
    done = journal(filled, "export", "--csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert len(rows) == 1200
    assert rows[42]["serial"] == "S0000042" and rows[42]["state"] == "released" and rows[42]["attempt"] == "1"


def test_export_as_csv_leaves_no_formula(station):
    profile = station.profile("derived-key", {"registrationId": "dev-1"})
    assert station.provision(profile, "=HYPERLINK(\"x\",1)").status == 0
    row = next(csv.DictReader(io.StringIO(journal(station, "export", "--csv").stdout)))
    assert row["serial"] == "'=HYPERLINK(\"x\",1)"


def test_export_of_a_device_is_its_evidence(provisioned):
    device = journal(provisioned, "show", SERIAL, "-o", "json").json
    written = open(device["evidence"], "rb").read().decode()
    assert journal(provisioned, "export", SERIAL).stdout == written
    out = provisioned.home / "copy"
    assert journal(provisioned, "export", SERIAL, "--out", out).status == 0
    copies = list(out.iterdir())
    assert [copy.read_text() for copy in copies] == [written]
    assert copies[0].stat().st_mode & 0o777 == 0o600
    again = journal(provisioned, "export", SERIAL, "--out", out)
    assert (again.status, again.cause) == (11, "E6101"), again


def test_export_of_a_device_that_was_never_released_says_so(make_emulator, tmp_path):
    station = Station(tmp_path / "home", make_emulator("--fault", "put:status=400"))
    assert station.provision(station.profile("derived-key"), SERIAL).status != 0
    done = journal(station, "export", SERIAL)
    assert (done.status, done.cause) == (3, "E6103"), done


@pytest.mark.parametrize("arguments", [("--csv", SERIAL), ("--entries", SERIAL), ("--out", "x"), ("--entries", "--csv"),
                                       ("--entries", "--since", "1h"), ("--after", "3"), ("--entries", "--after", "999999"), ("-o", "yaml"), ("-o", "json", SERIAL)])
def test_export_refuses_what_makes_no_sense(filled, arguments):
    done = journal(filled, "export", *arguments)
    assert (done.status, done.cause) == (2, "E1001"), done


def test_readers_do_not_hold_the_writer_up(station):
    """An export whose output nobody reads stands still in the middle; provisioning goes on."""
    fill(station.journal, 1200)
    export = subprocess.Popen([station.build / "muster", "journal", "export", "--journal", station.journal],
                              env=environment(station.build, station.home), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        first = export.stdout.readline()
        done = station.provision(station.profile("derived-key", {"idScope": "0ne00000000"}), SERIAL, timeout=60)
        assert done.status == 0, done
        rest = export.stdout.read()
        assert export.wait(timeout=60) == 0, export.stderr.read()
    finally:
        export.kill()
        export.wait()
    serials = [json.loads(line)["serial"] for line in (first + rest).splitlines()]
    assert serials == [f"S{i:07}" for i in range(1200)] + [SERIAL]


def test_reading_a_journal_that_does_not_exist_makes_none(station):
    for verb, operands in (("list", ()), ("show", (SERIAL,)), ("export", ())):
        done = journal(station, verb, *operands)
        assert (done.status, done.cause) == (2, "E1002"), done
    assert not station.journal.exists()


@pytest.mark.parametrize("words", [(), ("--station-key", "other.key", "--new-key")])
def test_a_public_half_that_was_cut_off_is_made_again(station, words):
    assert station.provision(station.profile("derived-key"), SERIAL).status == 0
    key = station.home / (words[1] if words else "station.key")
    arguments = ("journal", "checkpoint", "--journal", station.journal, *words)
    station.muster(*arguments, wrapper=killer("renameat2", 2))
    assert key.exists() and not key.with_suffix(".pub").exists()
    assert station.muster(*arguments).status == 0
    assert key.with_suffix(".pub").read_text() == openssl("pkey", "-in", key, "-pubout")


def test_a_public_half_is_written_beside_no_other_key(station):
    """Of a key that is only named it may be elsewhere on purpose."""
    assert station.provision(station.profile("derived-key"), SERIAL).status == 0
    key = write_secret(station.home / "named.key", openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"))
    done = station.muster("journal", "checkpoint", "--journal", station.journal, "--station-key", key)
    assert done.status == 0 and not key.with_suffix(".pub").exists(), done


def test_a_journal_that_may_not_grow_is_an_error(station):
    """A limit on the size of files (ulimit -f, LimitFSIZE=) is as a full disk, and ends nothing by a signal."""
    done = station.provision(station.profile("derived-key"), SERIAL, wrapper=["sh", "-c", 'ulimit -f 8; exec "$@"', "sh"])
    assert done.status == 11 and done.cause in ("E6001", "E6005"), done
    assert not station.emulator.requests("put")


def test_a_public_key_that_others_check_by_is_not_replaced(station):
    """It is of a key that was moved away: a new one gets no place there."""
    assert station.provision(station.profile("derived-key"), SERIAL).status == 0
    public = station.home / "station.pub"
    public.write_text("of the key in the safe")
    done = station.muster("journal", "checkpoint", "--journal", station.journal)
    assert (done.status, done.cause) == (11, "E6101"), done
    assert public.read_text() == "of the key in the safe" and not (station.home / "station.key").exists()


def entries_of(path):
    with contextlib.closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT * FROM entry ORDER BY seq").fetchall()


def test_an_anchor_that_cannot_be_written_is_told_before_anything_is_signed(station):
    assert station.provision(station.profile("derived-key"), "SN-1").status == 0

    def entries():
        done = station.muster("journal", "export", "--entries", "--journal", station.journal, "-o", "jsonl")
        assert done.status == 0, done
        return done.stdout

    before = entries()
    done = station.muster("journal", "checkpoint", "--journal", station.journal, "--anchor", "/nonexistent/a.json", "-o", "json")
    assert (done.status, done.cause) == (11, "E6102"), done
    assert entries() == before and not (station.home / "station.key").exists()


def test_a_journal_that_is_made_is_told(station):
    """A name that was mistyped is another journal's."""
    profile = station.profile("derived-key")
    first, second = station.provision(profile, "SN-1"), station.provision(profile, "SN-2")
    assert f"journal '{station.journal}' is new" in first.stderr and "is new" not in second.stderr, (first, second)
    station.journal = station.home / "other.db"
    assert "is new" not in station.provision(profile, "SN-3", "-q").stderr


def test_an_older_journal_is_read_after_its_upgrade(station):
    """Its entries stay as they are, and who only reads is told what to do."""
    with contextlib.closing(sqlite3.connect(station.journal)) as database:
        database.executescript((pathlib.Path(__file__).parent / "journal-7.sql").read_text())
    station.journal.chmod(0o600)
    before, entries = station.journal.read_bytes(), entries_of(station.journal)
    for words in (["list"], ["show", "A-1"], ["export"], ["verify"]):
        refused = station.muster("journal", *words, "--journal", station.journal)
        assert (refused.status, refused.cause) == (11, "E6022") and "muster journal upgrade" in refused.stderr, refused
    assert station.journal.read_bytes() == before
    for was_older in (True, False):
        done = station.muster("journal", "upgrade", "--journal", station.journal, "-o", "json")
        assert (done.status, done.json["upgraded"]) == (0, was_older), done
    assert {row["serial"]: row["state"] for row in station.rows().values()} == {"A-1": "released", "A-2": "released"}
    verified = station.muster("journal", "verify", "--journal", station.journal, "-o", "json")
    assert (verified.cause, verified.json["devices"]) == ("E6012", 2), verified
    assert entries_of(station.journal)[:len(entries)] == entries


CUT = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size = 1")
database.execute("BEGIN IMMEDIATE")
for _ in range(200):
    database.execute("INSERT INTO entry SELECT max(seq) + 1, '', 0, 'x', 'note', 1, '', '', hex(zeroblob(1000)), zeroblob(32) FROM entry")
os._exit(0)
"""


def test_an_older_journal_whose_run_was_cut_is_upgraded_by_nobody_who_reads(station):
    """What the run left is taken back, and then it is as any other of its version."""
    with contextlib.closing(sqlite3.connect(station.journal)) as database:
        database.executescript((pathlib.Path(__file__).parent / "journal-7.sql").read_text())
    entries = entries_of(station.journal)
    left = station.journal.with_name(station.journal.name + "-journal")
    for words in (["list"], ["verify"], ["upgrade"]):
        subprocess.run(["python3", "-c", CUT, station.journal], check=True)
        for path in (station.journal, left):
            path.chmod(0o600)
        assert left.stat().st_size > 0
        done = station.muster("journal", *words, "--journal", station.journal, "-o", "json")
        if words != ["upgrade"]:
            assert (done.status, done.cause) == (11, "E6022"), done
            assert entries_of(station.journal) == entries
    assert (done.status, done.json["upgraded"]) == (0, True), done
    assert entries_of(station.journal)[:len(entries)] == entries


def test_an_upgrade_makes_no_journal(station):
    done = station.muster("journal", "upgrade", "--journal", station.home / "none.db")
    assert (done.status, done.cause) == (2, "E1002") and not (station.home / "none.db").exists(), done


# -- Backup ----------------------------------------------------------------------------------------------------------


def backup_command(journal, copy):
    """As muster-journal(1) names it."""
    [line] = re.findall(r"^\.B (.*sqlite3 .*)$", (TOP / "man/muster-journal.1").read_text(), re.MULTILINE)
    for mark, plain in ((r"\-", "-"), (r"\(aq", "'"), (r"\(dq", '"')):
        line = line.replace(mark, plain)
    assert "journal.db" in line and "copy.db" in line
    return line.replace("journal.db", str(journal)).replace("copy.db", str(copy))


def test_a_backup_while_a_run_writes_is_whole_and_taken(release_station):
    """Whatever the umask of who makes it."""
    station = release_station
    copies = []
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        run = pool.submit(batch.provision, station, batch.manifest(station, batch.serials(80)), "--rate", str(batch.RATE))
        wait_until(lambda: run.done() or station.journal.exists() and station.journal.stat().st_size, what="the journal")
        while not run.done():
            copy = station.home / f"copy-{len(copies)}.db"
            done = subprocess.run(["sh", "-c", backup_command(station.journal, copy)], text=True, capture_output=True, umask=0o022)
            assert done.returncode == 0 and not done.stderr, done
            copies.append(copy)
        assert run.result().status == 0, run.result()
    counts = []
    for copy in copies:
        assert copy.stat().st_mode & 0o777 == 0o600
        verified = station.muster("journal", "verify", "--journal", copy, "-o", "json")
        listed = station.muster("journal", "list", "--journal", copy, "-o", "json")
        assert verified.cause == "E6012", verified  # it holds together, and nothing that is kept elsewhere was shown
        assert listed.status == 0, listed
        counts.append(len(listed.json))
    assert counts == sorted(counts) and any(0 < count for count in counts), counts
