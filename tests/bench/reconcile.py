"""1,000 devices spooled, sent by one sync, and their journal lost: all are restored, and no enrollment is sent twice.

MUSTER_BENCH_DEVICES sets how many. Counts decide; the times are those of this machine, with its load."""
import os
import pathlib
import resource
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.batch import created, requests
from lib.emulator import Emulator
from lib.paths import RELEASE
from lib.station import Station

DEVICES = int(os.environ.get("MUSTER_BENCH_DEVICES", 1_000))


def timed(what, action, *arguments, **options):
    begun = time.monotonic()
    done = action(*arguments, **options)
    seconds = time.monotonic() - begun
    print(f"{what}: {seconds:.1f} s, {DEVICES / seconds:.0f} devices/s", flush=True)
    return done


def spool_all(station, profile):
    manifest = station.home / "devices.csv"
    manifest.write_text("serial\n" + "".join(f"A17-{number:05}\n" for number in range(DEVICES)))
    done = station.muster("provision", "--profile", profile, "--manifest", manifest, "--offline", "--journal", station.journal,
                          "--out", station.out, timeout=3600)
    if done.status != 6:
        sys.exit(f"bench: {done}")


def say(what, is_so):
    print(f"{what}: {'yes' if is_so else 'NO'}")
    return is_so


def measure(station):
    timed("spooled by one manifest", spool_all, station, station.profile("derived-key", {"verify": "none"}))
    sent = timed("sent by one sync", station.sync, timeout=3600)
    good = say("all are enrolled", sent.status == 0 and len(sent.json) == DEVICES)
    written = created(station)
    good &= say("each was created once", len(written) == DEVICES and set(written.values()) == {1})
    asked = requests(station)
    good &= say("a second sync has nothing to do", station.sync().json == [])
    station.journal.rename(station.home / "lost.db")
    done = timed("reconciled", station.muster, "journal", "reconcile", "--login-file", station.login_file, "--ca-file",
                 station.emulator.ca_file, "--journal", station.journal, "--evidence", station.out, "-o", "json", timeout=3600)
    good &= say("all are released again", done.status == 0 and done.json["released"] == DEVICES)
    good &= say("nothing but reading since", {row["op"] for row in requests(station)[len(asked):]} <= {"query", "get", "mechanism"})
    return good


def main():
    print(f"{DEVICES} devices; load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        emulator = Emulator(pathlib.Path(name) / "dps", build=RELEASE)
        try:
            good = measure(Station(pathlib.Path(name) / "home", emulator, build=RELEASE))
        finally:
            emulator.stop()
    print(f"resident at most {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MiB of any of them")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
