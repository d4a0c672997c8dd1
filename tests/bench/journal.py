"""A journal of a million devices: a lookup against one among ten (1 ms more), a start after a kill (1 s), memory (64 MiB).

MUSTER_BENCH_ROWS sets how many devices. The start plays back what a writer left that was killed in a transaction; memory is that of
exporting all devices and the whole chain."""
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.paths import RELEASE
from lib.program import environment
from lib.wait import wait_until

ROWS = int(os.environ.get("MUSTER_BENCH_ROWS", 1_000_000))
LOOKUP_LIMIT_MS = 1
START_LIMIT_MS = 1000
RESIDENT_LIMIT_MIB = 64
LOOKUPS = 51


class Journal:
    def __init__(self, path, rows):
        self.path = path
        self.rows = rows
        self.environment = environment(RELEASE, path.parent)
        self.fill(rows)

    def fill(self, rows, first=0):
        subprocess.run([RELEASE / "tests/journal-fill", self.path, str(rows), str(first)], env=self.environment, check=True)

    def run(self, verb, *arguments):
        """Milliseconds and peak memory in MiB of a command whose output nobody needs."""
        begun = time.monotonic()
        process = subprocess.Popen([RELEASE / "muster", "journal", verb, "--journal", self.path, *arguments],
                                   env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"bench: muster journal {verb} ended with {process.returncode}")
        return (time.monotonic() - begun) * 1e3, usage.ru_maxrss / 1024

    def lookup(self, number):
        return self.run("show", "--by", "serial", f"S{number % self.rows:07}")[0]

    def kill_a_writer(self):
        """In a transaction that is in the file already: it has to be played back."""
        companion = self.path.with_name(self.path.name + "-journal")
        writer = subprocess.Popen([RELEASE / "tests/journal-fill", self.path, "2000000", str(self.rows)], env=self.environment)
        wait_until(lambda: companion.exists() and companion.stat().st_size > 100_000, what="a spilt transaction")
        writer.send_signal(signal.SIGKILL)
        writer.wait()


def say(what, value, limit, unit):
    is_good = value <= limit
    print(f"{what}: {value:.2f} {unit}; at most {limit}: {'yes' if is_good else 'NO'}")
    return is_good


def main():
    with tempfile.TemporaryDirectory() as name:
        small = Journal(pathlib.Path(name) / "small.db", 10)
        large = Journal(pathlib.Path(name) / "large.db", ROWS)
        print(f"{ROWS} devices, {large.path.stat().st_size / 2 ** 20:.0f} MiB")
        pairs = [(large.lookup(number * 7919), small.lookup(number)) for number in range(LOOKUPS)]
        good = say("a lookup beyond one among ten", statistics.median(one - other for one, other in pairs), LOOKUP_LIMIT_MS, "ms")
        large.kill_a_writer()
        good &= say("a start with recovery", large.run("list", "--limit", "1")[0], START_LIMIT_MS, "ms")
        good &= say("resident while all is exported", large.run("export")[1], RESIDENT_LIMIT_MIB, "MiB")
        good &= say("resident while the chain is exported", large.run("export", "--entries")[1], RESIDENT_LIMIT_MIB, "MiB")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
