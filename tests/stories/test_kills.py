"""Killed at any mutating system call and run again, each job ends with one verified enrollment and no orphan.
MUSTER_KILL_POINTS says how many points are tried of each kind of device (default 40, in the long form 100; 0 means every one); every
third of them is killed a second time while it recovers. `scripts/campaign kills` tries any number."""
import os

from lib.history import History
from lib.kill_jobs import DerivedKey, Hsm, HsmTwoKeys, Tpm, kill_at, points_to_kill_at
from lib.killer import choose
from lib.paths import IS_LONG
from lib.record import record

POINTS = int(os.environ.get("MUSTER_KILL_POINTS", "100" if IS_LONG else "40")) or 10 ** 9


def try_points(job, most=POINTS):
    points = choose(points_to_kill_at(job), most)
    assert len(points) >= min(most, 20), points
    killed = broken = 0
    runs = []
    for number, point in enumerate(points, 1):
        chain = [point, points[-number]] if number % 3 == 0 else [point]
        count, run = kill_at(job, f"kill-{number}", chain)
        killed += count
        broken += run is None
        runs += [run] if run else []
    assert killed >= len(points) // 2
    assert broken <= 2 + len(points) // 50, broken
    record("kill points", 0, 0, {"runs": len(points), "killed": killed})
    return runs


def test_derived_key(release_station):
    runs = try_points(DerivedKey(release_station))
    assert History([release_station], runs).problems() == []


def test_hsm(release_station, tokens, token):
    try_points(Hsm(release_station, tokens, token), POINTS // 2)


def test_hsm_with_two_keys(release_station, tokens, token):
    try_points(HsmTwoKeys(release_station, tokens, token), POINTS // 2)


def test_tpm(release_station, empty_tpm):
    try_points(Tpm(release_station, empty_tpm))
