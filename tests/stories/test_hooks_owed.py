"""Whatever comes between a device's end and its event, hooks are told of it."""
import json

import pytest

from lib import batch
from lib.killer import killer, points_of, was_killed
from lib.paths import RELEASE
from lib.wait import wait_until
from test_hooks import configure, deliver, events, program, provision, refusing, taken, verdict, wait_for_rest, waiting  # noqa: F401

LAST_CALLS = ("fsync", "fdatasync", "rename", "renameat2", "unlink")


def last_points(log, most):
    """The last ones before the end, where what was done is told."""
    points = points_of(log)
    return [point for call in LAST_CALLS for point in [point for point in points if point[0] == call][-most:]]


def last_calls(log):
    return ["strace", "-f", "-qq", "-o", log, "-e", f"trace={','.join(LAST_CALLS)}", "-e", "signal=none"]


def told_of(folder, name):
    found = [json.loads(path.read_text()) for path in folder.glob("unit-done-*.json")]
    return [event["data"] for event in found if event["data"]["registrationId"] == name]


def offline(station, serial):
    done = station.muster("provision", "--offline", "--profile", station.profile("derived-key"), "--serial", serial, *station.places(), "-o", "json")
    assert done.cause == "E5180", done
    return done.json["registrationId"]


@pytest.mark.parametrize("way", ["sync", "provision"])
def test_what_was_enrolled_is_told_wherever_the_run_is_cut(station, configure, tmp_path, way):
    """No later sync looks at a released device again; and no event is another one for being told late."""
    folder = tmp_path / "mes"
    folder.mkdir()
    configure({"mes": {"on": ["unit-done"], "folder": str(folder)}})
    station.build = RELEASE  # the sanitizers' does not like to be traced

    def enroll(serial, **options):
        if way == "provision":
            return station.provision(station.profile("derived-key"), serial, **options)
        offline(station, serial)
        return station.sync(**options)

    assert enroll("CUT-0", wrapper=last_calls(tmp_path / "log")).status == 0
    points = last_points(tmp_path / "log", 4)
    assert len(points) >= 8
    killed = 0
    for number, (call, n) in enumerate(points, 1):
        name = f"cut-{number}"
        killed += was_killed(enroll(name.upper(), wrapper=killer(call, n, workers=False)).status)
        released = station.rows().get(name, {}).get("state") == "released"
        done = station.sync() if number % 2 and way == "sync" else deliver(station)
        assert done.status == 0, done
        wait_for_rest(station)
        assert deliver(station).status == 0 and waiting(station) == []
        told = [unit["state"] for unit in told_of(folder, name) if unit["state"] != "spooled"]
        assert told == ["enrolled"] or (told == [] and not released), (call, n, told)
        assert told or way == "provision" or station.sync().status == 0
    assert killed >= 4


def test_what_did_not_come_true_is_not_told(station, configure, tmp_path):
    """The event lies there, and the commit was cut off."""
    folder = tmp_path / "mes"
    folder.mkdir()
    configure({"mes": {"on": ["unit-done"], "folder": str(folder)}})
    provision(station)
    events(folder, 1)
    wait_for_rest(station)
    spool = station.home / "hooks"
    event = {"id": "0" * 32, "hook": "mes", "event": "unit-done", "at": "2026-11-28T04:00:00Z", "atMs": 1, "tries": 0,
             "data": {"device": "HOOK-2", "state": "enrolled"}, "promise": {"journal": "journal.db", "entry": 1, "digest": "0" * 64}}
    (spool / f"1795836978758-{'0' * 32}.json.owed").write_text(json.dumps(event))
    event["promise"]["journal"] = "other.db"
    (spool / f"1795836978759-{'1' * 32}.json.owed").write_text(json.dumps(event))
    assert waiting(station) == [] and verdict(station) == "ok"
    assert deliver(station).json["delivered"] == 0
    provision(station, "HOOK-3")
    events(folder, 2)
    assert [path.name[:15] for path in spool.glob("*.owed")] == ["1795836978759-1"]  # of a journal that lies beside this one
    assert {json.loads(path.read_text())["data"]["device"] for path in folder.iterdir()} == {"HOOK-1", "HOOK-3"}


def full_spool(station):
    """Nothing can be written there."""
    closed = 'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; shift; exec "$@"'
    return ["unshare", "--map-root-user", "--mount", "sh", "-ec", closed, "sh", station.home / "hooks"]


def test_what_the_spool_does_not_take_is_owed(station, configure, tmp_path):
    """People are told what, and by whom it is made up for; nothing else is held up."""
    configure({"mes": {"on": ["unit-start", "unit-done", "batch-done"], "command": [program(station, "hook.sh", f"cat >>{tmp_path}/all; echo >>{tmp_path}/all\n")]}})
    provision(station, "HOOK-0")
    wait_for_rest(station)
    done = batch.provision(station, batch.manifest(station, batch.serials(3)), wrapper=full_spool(station))
    assert done.status == 0, done
    assert "hook 'mes' is not told yet of unit-done of 'SN-00001'" in done.stderr and "7 events are owed to hooks" in done.stderr, done
    wait_for_rest(station)
    owed = waiting(station)
    assert [row["state"] for row in owed] == ["owed"] * 7 and verdict(station) == "warn"
    assert deliver(station).json == {"delivered": 7, "left": 0, "setAside": 0}
    assert waiting(station) == [] and verdict(station) == "ok" and deliver(station).json["delivered"] == 0
    told = [json.loads(line) for line in (tmp_path / "all").read_text().splitlines()]
    assert [event["id"] for event in told[3:]] == [row["id"] for row in owed]
    assert [event["type"] for event in told[3:]] == ["muster.unit-start"] * 3 + ["muster.unit-done"] * 3 + ["muster.batch-done"]
    anchor = station.out / "sn-00000.evidence.json"
    assert station.muster("journal", "verify", "--anchor", anchor, "--journal", station.journal).status == 0


def test_the_next_run_tells_what_is_owed_first(station, configure, tmp_path):
    configure({"mes": {"on": ["unit-done"], "command": [refusing(station, tmp_path, "none")]}})
    provision(station, "HOOK-0")
    for serial in ("HOOK-1", "HOOK-2"):
        assert station.provision(station.profile("derived-key"), serial, wrapper=full_spool(station)).status == 0
    provision(station, "HOOK-3")
    wait_until(lambda: len(taken(tmp_path)) == 4, what="all of them")
    assert taken(tmp_path) == ["HOOK-0", "HOOK-1", "HOOK-2", "HOOK-3"]
    wait_for_rest(station)
    assert waiting(station) == []
