"""Kills a job at its n-th mutating system call, for every such call or for an even choice of them."""
import collections
import pathlib
import re
import signal

MUTATING = ("write", "pwrite64", "writev", "sendto", "sendmsg", "rename", "renameat", "renameat2", "unlink", "unlinkat", "link",
            "linkat", "ftruncate", "fsync", "fdatasync", "syncfs", "mkdir")

# LeakSanitizer cannot work where something else traces the program.
TRACED = {"ASAN_OPTIONS": "detect_leaks=0"}


def recorder(log):
    return ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={','.join(MUTATING)}", "-e", "signal=none"]


def points_of(log):
    """(system call, n), for the process that makes most of each: strace counts by process and call."""
    counts = collections.Counter()
    for line in pathlib.Path(log).read_text(errors="replace").splitlines():
        found = re.match(r"(\d+)\s+(\w+)\(", line)
        if found:
            counts[found.groups()] += 1
    most = collections.Counter()
    for (_, call), count in counts.items():
        most[call] = max(most[call], count)
    return [(call, n) for call in MUTATING for n in range(1, most[call] + 1)]


def choose(points, limit):
    """At most `limit`, evenly spread."""
    if len(points) <= limit:
        return points
    return [points[i * len(points) // limit] for i in range(limit)]


def killer(call, n, workers=True):
    """Without its workers, which then are as fast as by themselves, only muster is killed."""
    return ["strace", *(["-f"] if workers else []), "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={n}"]


def was_killed(status):
    return status in (-signal.SIGKILL, 128 + signal.SIGKILL)


def go_on(run, acknowledge):
    """The run after a cut. Between a PIN and its answer somebody has to say first that the PIN is right."""
    again = run()
    if again.cause != "E4207":
        return again
    acknowledged = acknowledge()
    assert acknowledged.status == 0, acknowledged
    return run()
