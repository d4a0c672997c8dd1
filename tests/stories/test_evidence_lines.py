"""Evidence of a manifest's devices as lines of one file; a journal that is held against them, and a lost one made again from them."""
import errno
import hashlib
import json
import os
import random
import stat
import subprocess

import pytest

from lib.batch import Ordeal, manifest, provision, serials
from lib.killer import TRACED
from lib.paths import SCRIPTS
from test_journal_reconcile import assert_restored, devices_of, lose_journal, reconcile
from test_retire import retire

LINES = {"verify": "none", "batch": {"evidence": "lines"}}


def lines_of(station):
    path, = station.out.glob("batch-*.evidence.jsonl")
    return path, path.read_text().splitlines(keepends=True)


def test_each_device_has_a_line_and_no_file(station):
    names = serials(30)
    listed = manifest(station, names)
    profile = station.profile("derived-key", LINES)
    done = provision(station, listed, profile=profile)
    assert (done.status, done.json["enrolled"]) == (0, 30), done
    path, lines = lines_of(station)
    digest = hashlib.sha256(listed.read_bytes()).hexdigest()
    assert path.name == f"batch-{digest[:16]}.evidence.jsonl" and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(station.out.glob("*.evidence.json")) == []
    said = {json.loads(line)["registrationId"]: line for line in lines}
    assert len(lines) == 30 and said.keys() == {name.lower() for name in names}
    for name, row in devices_of(station).items():
        assert row["evidence"] == str(path)
        assert row["evidenceSha256"] == hashlib.sha256(said[name].encode()).hexdigest()
        shown = station.muster("journal", "export", "--journal", station.journal, name)
        assert shown.stdout == said[name]
    again = provision(station, listed, profile=profile)
    assert (again.status, again.json["before"]) == (0, 30), again
    assert lines_of(station) == (path, lines)


@pytest.mark.parametrize("form", ["files", "lines"])
def test_where_the_former_folder_is_gone_all_evidence_comes_to_this_one(station, form):
    """The journal has it, and says where it is from then on."""
    names = serials(5)
    profile = station.profile("derived-key", {"verify": "none", "batch": {"evidence": form}})
    assert provision(station, manifest(station, names[:4]), "--batch", "first", profile=profile).status == 0
    before = devices_of(station)
    former, station.out = station.out.rename(station.home / "away"), station.home / "other"
    listed = manifest(station, names)
    done = provision(station, listed, "--batch", "second", profile=profile)
    assert (done.status, done.json["before"], done.json["enrolled"]) == (0, 4, 1), done
    after = devices_of(station)
    assert not (station.home / "out").exists() and {os.path.dirname(row["evidence"]) for row in after.values()} == {str(station.out)}
    for name, row in before.items():
        assert after[name]["state"] == "released" and after[name]["evidenceSha256"] == row["evidenceSha256"]
        kept = former / os.path.basename(row["evidence"])
        assert sorted((station.out / kept.name).read_text().splitlines()) == sorted(kept.read_text().splitlines())
    files = {path: path.read_bytes() for path in station.out.iterdir()}
    again = provision(station, listed, "--batch", "second", profile=profile)
    assert (again.status, again.json["before"]) == (0, 5), again
    assert devices_of(station) == after and {path: path.read_bytes() for path in station.out.iterdir()} == files
    assert station.muster("journal", "verify", "--journal", station.journal).cause in (None, "E6012")
    lose_journal(station)
    assert reconcile(station).status == 0
    for name, row in devices_of(station).items():
        assert [row[member] for member in ("state", "evidence")] == [after[name][member] for member in ("state", "evidence")]


def test_what_a_cut_left_in_pieces_is_written_again(station):
    listed = manifest(station, serials(12))
    profile = station.profile("derived-key", LINES)
    assert provision(station, listed, profile=profile).status == 0
    path, lines = lines_of(station)
    # A hole in the middle that took the end of its line along, a line that is missing, and the beginning of one.
    left = "".join(lines[:4] + ["\0" * len(lines[4])] + lines[5:8] + lines[9:11] + [lines[11][:100]])
    path.write_text(left)
    done = provision(station, listed, profile=profile)
    assert (done.status, done.json["before"]) == (0, 12), done
    after = path.read_text()
    assert after.startswith(left + "\n")
    assert sorted(after[len(left) + 1:].splitlines(keepends=True)) == sorted(lines[4:6] + [lines[8], lines[11]])


def test_what_stands_in_the_files_place_is_not_written_to(station):
    listed = manifest(station, serials(3))
    profile = station.profile("derived-key", LINES)
    digest = hashlib.sha256(listed.read_bytes()).hexdigest()
    other = station.home / "other"
    other.write_text("mine\n")
    station.out.mkdir(parents=True)
    link = station.out / f"batch-{digest[:16]}.evidence.jsonl"
    os.symlink(other, link)
    done = provision(station, listed, profile=profile)
    assert done.status == 11 and str(link) in done.stderr, done
    assert other.read_text() == "mine\n"
    link.unlink()
    done = provision(station, listed, profile=profile)
    assert done.status == 0, done
    assert len(lines_of(station)[1]) == 3


def events(done):
    return [row for row in map(json.loads, done.stdout.splitlines()) if row.get("event") == "device"]


def file_of(station, listed):
    return station.out / f"batch-{hashlib.sha256(listed.read_bytes()).hexdigest()[:16]}.evidence.jsonl"


def test_where_the_lines_are_there_the_file_is_only_read(station):
    """In an archive, say, where nobody may write."""
    listed = manifest(station, serials(4))
    profile = station.profile("derived-key", LINES)
    assert provision(station, listed, profile=profile).status == 0
    path, lines = lines_of(station)
    archived = path.rename(station.home / "archived")
    archived.chmod(0o400)
    os.symlink(archived, path)
    again = provision(station, listed, profile=profile)
    assert (again.status, again.json["before"]) == (0, 4), again
    assert archived.read_text() == "".join(lines)


def test_a_line_that_has_no_room_is_that_devices_failure_and_leaves_no_piece(release_station):
    station = release_station
    listed = manifest(station, serials(20))
    profile = station.profile("derived-key", LINES)
    full = ["strace", "-f", "-qq", "-o", station.home / "trace", "-P", file_of(station, listed), "-e", "trace=write", "-e",
            "inject=write:error=ENOSPC:when=13"]
    done = provision(station, listed, "-o", "jsonl", profile=profile, wrapper=full)
    told = events(done)
    assert len(told) == 20 and [row["cause"] for row in told if "cause" in row] == ["E6102"], done
    assert len(lines_of(station)[1]) == 19
    again = provision(station, listed, profile=profile)
    assert (again.status, again.json["before"], again.json["failed"]) == (0, 19, 0), again
    assert len({json.loads(line)["registrationId"] for line in lines_of(station)[1]}) == len(lines_of(station)[1]) == 20


def test_a_file_that_cannot_be_read_doubles_no_line(release_station):
    station = release_station
    listed = manifest(station, serials(30))
    profile = station.profile("derived-key", LINES)
    assert provision(station, listed, profile=profile).status == 0
    path, lines = lines_of(station)
    torn = ["strace", "-f", "-qq", "-o", station.home / "trace", "-P", path, "-e", "trace=read", "-e",
            "inject=read:error=EIO:when=2"]
    assert provision(station, listed, profile=profile, wrapper=torn).status != 0
    again = provision(station, listed, profile=profile)
    assert (again.status, again.json["before"]) == (0, 30), again
    assert path.read_text() == "".join(lines)


def test_a_later_sync_writes_lines_of_the_same_file(station):
    listed = manifest(station, serials(6))
    profile = station.profile("derived-key", LINES)
    assert provision(station, listed, "--offline", profile=profile).status == 6
    done = station.sync()
    assert done.status == 0, done
    path, lines = lines_of(station)
    assert len(lines) == 6 and {row["evidence"] for row in devices_of(station).values()} == {str(path)}


def test_a_single_device_has_a_file(station):
    profile = station.profile("derived-key", LINES)
    assert station.provision(profile, "A17-0042").status == 0
    assert [entry.name for entry in station.out.glob("*.evidence.*")] == ["a17-0042.evidence.json"]


# -- The file was kept elsewhere ------------------------------------------------------------------------------------------


def verify(station, path):
    """muster's verdict on the journal, held against this file, and that of the program that needs no muster: they agree."""
    export = station.muster("journal", "export", "--entries", "--journal", station.journal)
    theirs = subprocess.run([SCRIPTS / "verify-journal", "-", "--anchor", path], input=export.stdout, capture_output=True, text=True,
                            check=False, timeout=60)
    done = station.muster("journal", "verify", "--journal", station.journal, "--anchor", path, "-o", "json")
    assert theirs.returncode == done.status, (theirs, done)
    assert theirs.stderr.count("is no evidence") == done.stderr.count("is no evidence"), (theirs, done)
    return done


def test_each_line_is_an_anchor(station):
    assert provision(station, manifest(station, serials(12)), profile=station.profile("derived-key", LINES)).status == 0
    path, lines = lines_of(station)
    last = max(json.loads(line)["journal"]["entry"] for line in lines)
    done = verify(station, path)
    assert (done.status, done.json["provenTo"]) == (0, last), done
    path.write_text("".join(lines[:5] + ["\n", "\0" * 100, "\n"] + lines[5:] + lines[:2] + [lines[2][:200]]))
    done = verify(station, path)
    assert done.status == 0 and done.stderr.count("is no evidence") == 2 and f"line 7 of '{path}'" in done.stderr, done
    for number in (0, 6, 11):
        changed = lines[number].replace('"created":true', '"created":false')
        assert changed != lines[number]
        path.write_text("".join(lines[:number] + [changed] + lines[number + 1:]))
        done = verify(station, path)
        assert (done.status, done.cause) == (8, "E6014") and f"of '{json.loads(changed)['registrationId']}'" in done.stderr, done
    beyond = lines[3].replace(f'"entry":{json.loads(lines[3])["journal"]["entry"]}', '"entry":999999')
    path.write_text("".join(lines[:3] + [beyond]))
    assert verify(station, path).cause == "E6013"
    for text in ("", "\n\n", lines[0][:50], "{}\n", lines[0] + '{"schema":"muster.anchor/1"}\n'):
        path.write_text(text)
        done = verify(station, path)
        assert (done.status, done.cause) == (2, "E6016"), done


def test_lines_are_nothing_but_evidence(station):
    assert provision(station, manifest(station, serials(3)), profile=station.profile("derived-key", LINES)).status == 0
    path, lines = lines_of(station)
    anchor = station.home / "anchor.json"
    assert station.muster("journal", "checkpoint", "--journal", station.journal, "--anchor", anchor).status == 0
    assert verify(station, anchor).status == 0
    path.write_text("".join(lines) + json.dumps(json.loads(anchor.read_text())) + "\n")
    done = verify(station, path)
    assert (done.status, done.cause) == (2, "E6016"), done
    path.write_text("".join(lines) + lines[0].replace("{", '{"padding":"' + "x" * 256 * 1024 + '",', 1))
    done = verify(station, path)
    assert done.status == 0 and f"line 4 of '{path}' is no evidence" in done.stderr, done


def test_a_line_of_another_journal_is_told(station):
    """As where a run for practice, with a journal of its own, wrote to the same folder."""
    listed = manifest(station, serials(3))
    profile = station.profile("derived-key", LINES)
    assert provision(station, listed, profile=profile).status == 0
    path, lines = lines_of(station)
    theirs, place = lines[1], json.loads(lines[1])["journal"]
    whose = f"evidence of '{json.loads(theirs)['registrationId']}'"
    for member, value, cause in (("digest", hashlib.sha256(b"theirs").hexdigest(), "E6014"), ("entry", 999999, "E6013")):
        said, other = (f'"{member}":{json.dumps(it)}' for it in (place[member], value))
        path.write_text("".join([lines[0], theirs.replace(said, other), lines[2]]))
        done = verify(station, path)
        assert (done.status, done.cause) == (8, cause) and whose in done.stderr, done
    path.write_text(lines[0] + lines[2])
    assert verify(station, path).status == 0


# -- The journal is lost ------------------------------------------------------------------------------------------------

NONE = {"released": 0, "retired": 0, "differing": 0, "parked": 0, "foreign": 0, "known": 0}
NAME = "sn-00003"


def restore(station, **wanted):
    """From the service and the evidence, and nothing is sent for it."""
    sent = station.emulator.requests("put")
    lose_journal(station)
    done = reconcile(station)
    assert done.status == 0 and done.json == {**NONE, **wanted}, done
    assert station.emulator.requests("put") == sent
    return done


def assert_as_before(before, after):
    """A batch, which reads nothing back, saw no entity tags."""
    assert_restored({name: {**row, "etag": row.get("etag") or after[name]["etag"]} for name, row in before.items()}, after)


def exported(station, name):
    """What was recorded of all its lives."""
    done = station.muster("journal", "export", "--journal", station.journal, "--all", name)
    assert done.status == 0, done
    return done.stdout


def digests_of(path):
    """Of the lines that are whole, and of which device."""
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            yield hashlib.sha256(line).hexdigest(), json.loads(line)["registrationId"]
        except ValueError:
            pass


def test_a_lost_journal_is_made_again_from_lines(station):
    profile = station.profile("derived-key", LINES)
    lists = [manifest(station, serials(count, prefix), f"{prefix}.csv") for count, prefix in ((30, "SN"), (5, "TN"))]
    for listed in lists:
        assert provision(station, listed, profile=profile).status == 0
    assert station.provision(profile, "A17-0042").status == 0
    before = devices_of(station)
    done = restore(station, released=36)
    assert "going on" not in done.stderr, done
    assert_as_before(before, devices_of(station))
    again = provision(station, lists[0], profile=profile)
    assert (again.status, again.json["before"]) == (0, 30), again
    assert len(list(station.out.glob("*.evidence.*"))) == 3


@pytest.mark.parametrize("is_gone", [False, True])
@pytest.mark.parametrize("lives", [("lines", "lines"), ("file", "lines"), ("lines", "file"), ("file", "lines", "file", "file", "lines")])
def test_former_lives_are_in_lines_and_files(station, lives, is_gone):
    profile = station.profile("derived-key", LINES)
    listed = manifest(station, serials(6))
    for number, life in enumerate(lives):
        if number > 0:
            assert retire(station, NAME).status == 0
        done = station.provision(profile, NAME.upper()) if life == "file" else provision(station, listed, "--with-retired", profile=profile)
        assert done.status == 0, done
    before, told = devices_of(station), exported(station, NAME)
    if is_gone:
        station.service.delete(NAME)
    restore(station, released=6 - is_gone, retired=int(is_gone))
    after = devices_of(station)
    assert exported(station, NAME) == told
    assert after[NAME]["state"] == ("retired" if is_gone else "released")
    for member in ("evidence", "evidenceSha256", "attemptId"):
        assert after[NAME][member] == before[NAME][member]
    if not is_gone:
        assert_as_before(before, after)


def test_what_a_cut_left_in_pieces_is_passed_over(station):
    listed = manifest(station, serials(12))
    profile = station.profile("derived-key", LINES)
    assert provision(station, listed, profile=profile).status == 0
    before = devices_of(station)
    path, lines = lines_of(station)
    path.write_text("".join(lines[:4] + ["\n", "\0" * len(lines[4]), "\n"] + lines[5:11] + [lines[11][:100]]))
    done = restore(station, released=10, parked=2)
    warned = [line for line in done.stderr.splitlines() if "going on" in line]
    assert len(warned) == 2 and f"line 6 of '{path}'" in warned[0] and f"line 13 of '{path}'" in warned[1], done
    sent = station.emulator.requests("put")
    done = provision(station, listed, profile=profile)
    assert (done.status, done.json["before"]) == (0, 10) and station.emulator.requests("put") == sent, done
    after = devices_of(station)
    assert {row["state"] for row in after.values()} == {"released"} and after.keys() == before.keys()
    assert {row["evidenceSha256"] for row in after.values()} <= {digest for digest, _ in digests_of(path)}


def test_a_line_that_is_whole_but_for_its_newline_counts(station):
    profile = station.profile("derived-key", LINES)
    assert provision(station, manifest(station, serials(3)), profile=profile).status == 0
    before = devices_of(station)
    path, lines = lines_of(station)
    path.write_text("".join(lines)[:-1])
    restore(station, released=3)
    assert_as_before(before, devices_of(station))


def test_lines_of_another_service_do_not_count(station):
    profile = station.profile("derived-key", LINES)
    assert provision(station, manifest(station, serials(5)), profile=profile).status == 0
    path, lines = lines_of(station)
    service = json.loads(lines[0])["service"]
    path.write_text("".join(lines[:2]) + "".join(lines[2:]).replace(service, "old.azure-devices-provisioning.net"))
    assert "3 evidence files or lines" in restore(station, released=2, parked=3).stderr


@pytest.mark.parametrize("evidence_only", [False, True])
@pytest.mark.parametrize("call, error, cause, status", [("openat", "EACCES", "E1002", 2), ("read", "EIO", "E7018", 11)])
def test_a_file_that_cannot_be_read_is_not_taken_for_one_that_says_nothing(station, call, error, cause, status, evidence_only):
    """What is parked for want of its evidence would stay so: the journal has it, and it is not looked for again."""
    profile = station.profile("derived-key", LINES)
    assert provision(station, manifest(station, serials(80)), profile=profile).status == 0
    before = devices_of(station)
    path, lines = lines_of(station)
    assert sum(map(len, lines)) > 64 * 1024
    lose_journal(station)
    when = {"openat": "1+", "read": "2+"}[call]
    fault = ["strace", "-qq", "-o", "/dev/null", "-P", path, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}"]
    arguments = ["--evidence-only"] if evidence_only else []
    done = reconcile(station, *arguments, wrapper=fault, env=TRACED)
    assert (done.status, done.cause) == (status, cause), done
    assert f"'{path}': {os.strerror(getattr(errno, error))}" in done.stderr, done
    assert not station.journal.exists()
    done = reconcile(station, *arguments)
    assert done.status == 0 and done.json == {**NONE, "released": 80}, done
    assert_as_before(before, devices_of(station))


class LinesOrdeal(Ordeal):
    """After each run, cut or not, what the file has of a device is what the journal has."""

    def __init__(self, station, *arguments):
        super().__init__(station, *arguments)
        self.profile = station.profile("derived-key", LINES)
        self.wrong = []

    def provision(self, *arguments, path=None, wrapper=()):
        return provision(self.station, path or self.path, *self.arguments, *arguments, profile=self.profile, wrapper=wrapper)

    def files(self):
        return self.station.out.glob("batch-*.evidence.jsonl")

    def one_run(self, phase, wrapper=()):
        run = super().one_run(phase, wrapper)
        if self.station.journal.exists():
            rows = devices_of(self.station)
            self.wrong += [name for path in self.files() for digest, name in digests_of(path)
                           if (rows[name]["state"], rows[name]["evidenceSha256"]) != ("released", digest)]
        return run

    def problems(self):
        yield from (f"the file has a line of {name} that the journal does not" for name in self.wrong)
        yield from super().problems()
        whole = {digest for path in self.files() for digest, _ in digests_of(path)}
        yield from (f"{name} has no line" for name, row in devices_of(self.station).items() if row["evidenceSha256"] not in whole)


def test_kills_leave_no_device_without_its_line(release_station):
    ordeal = LinesOrdeal(release_station, 60, 10, random.Random(7))
    ordeal.run()
    assert ordeal.killed > 0 and list(ordeal.problems()) == []
    before = devices_of(release_station)
    restore(release_station, released=len(before))
    assert_as_before(before, devices_of(release_station))
