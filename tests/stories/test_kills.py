"""Killed at any mutating system call and run again, each job ends with one verified enrollment and no orphan.
MUSTER_KILL_POINTS says how many points of each job are tried (default 100; 0 means every one)."""
import os
import shutil

from lib.history import History
from lib.killer import choose, killer, points_of, recorder, was_killed
from lib.record import record

WORKER_DIED = 4
POINTS = int(os.environ.get("MUSTER_KILL_POINTS", "100")) or 10 ** 9


def try_points(station, job, check, reset=lambda: None, stand_in_broke=lambda: False):
    """`job(serial, wrapper)` runs once; `check(serial, run, point)` looks at the run that follows the kill. A kill may
    also hit the stand-in in the middle of its own bookkeeping; `stand_in_broke` says that nothing is left to work with."""
    log = station.home / "strace.log"
    recorded = job("kill-0", recorder(log))
    assert recorded.status == 0, recorded
    points = choose(points_of(log), POINTS)
    assert len(points) >= min(POINTS, 20), points
    killed = broken = 0
    runs = []
    for number, point in enumerate(points, 1):
        reset()
        cut = job(f"kill-{number}", killer(*point))
        killed += was_killed(cut.status) or cut.status == WORKER_DIED
        if stand_in_broke():
            broken += 1
            continue
        again = job(f"kill-{number}", ())
        assert again.status == 0, (point, cut, again)
        assert again.json["verified"] is True, (point, cut, again)
        check(again, point)
        runs.append(again)
    assert killed >= len(points) // 2
    assert broken <= 1 + len(points) // 100, broken
    record("kill points", 0, 0, {"runs": len(points), "killed": killed})
    return runs


def assert_one_enrollment(station, run, point):
    registration_id = run.json["registrationId"]
    assert station.service.enrollment(registration_id), point
    effects = station.emulator.effects("put", registration_id)
    assert [row["effect"] for row in effects] == ["create"], (point, effects)


def test_derived_key(release_station):
    profile = release_station.profile("derived-key")
    runs = try_points(release_station, lambda serial, wrapper: release_station.provision(profile, serial, wrapper=wrapper),
                      lambda run, point: assert_one_enrollment(release_station, run, point))
    assert History([release_station], runs).problems() == []


def test_hsm(release_station, tokens, token):
    """SoftHSM rewrites its own token object in place; a kill right there loses the whole token, whoever uses it."""
    release_station.env["SOFTHSM2_CONF"] = tokens.configuration
    profile = release_station.profile("hsm-x509")
    saved = tokens.save()

    def job(serial, wrapper):
        return release_station.provision(profile, serial, "--token", token.uri, "--pin-file", token.pin_file, wrapper=wrapper)

    def check(run, point):
        assert_one_enrollment(release_station, run, point)
        for kind in ("privkey", "pubkey", "cert"):
            assert token.objects(kind) == [run.json["registrationId"]], (point, kind, run)

    try_points(release_station, job, check, lambda: tokens.restore(saved), token.is_lost)


def test_tpm(release_station, empty_tpm):
    """The same empty chip each time: its state, the enrollment and the journal are put back."""
    profile = release_station.profile("tpm", {"attestation": {"tpm": {"certificate": "optional"}}})
    empty_tpm.stop()
    factory_state = empty_tpm.save()
    empty_tpm.start()
    seen = []

    def job(serial, wrapper):
        return release_station.provision(profile, serial, "--tpm", empty_tpm.tcti, wrapper=wrapper)

    def reset():
        empty_tpm.stop()
        empty_tpm.restore(factory_state)
        empty_tpm.start()
        for row in release_station.service.enrollments():
            release_station.service.delete(row["registrationId"])
        for path in release_station.home.glob("journal.db*"):
            path.unlink()
        shutil.rmtree(release_station.out, ignore_errors=True)
        seen[:] = release_station.emulator.effects("put")

    def check(run, point):
        effects = release_station.emulator.effects("put")[len(seen):]
        assert [row["effect"] for row in effects] == ["create"], (point, effects)
        assert len(release_station.service.enrollments()) == 1, point
        assert empty_tpm.loaded() == [], point

    try_points(release_station, job, check, reset)
