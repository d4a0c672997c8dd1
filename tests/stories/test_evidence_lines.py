"""Evidence of a manifest's devices as lines of one file."""
import hashlib
import json
import os
import stat

from lib.batch import manifest, provision, serials
from test_journal_reconcile import devices_of

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
