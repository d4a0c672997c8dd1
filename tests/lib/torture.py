"""Commands of stories, repeated while what they call fails: MUSTER_TORTURE=MOST:LOG. After each command that a story runs, the same is run
again and again, each time with another call of muster, of its workers and of the service stand-in failing that has not failed on
this way before, until a run finds none, at most MOST times. A run may fail or not, but not by a signal or without a word. Each is a
line of LOG. The stories themselves need not pass then: what they are to do has been done, and more."""
import json
import mmap
import os
import pathlib
import struct
import subprocess
import tempfile

STATUS_MAX = 11
WORKERS = ("muster-tpm-worker", "muster-hsm-worker")
# What fault-calls.c maps.
LANES, WAYS = 16, 1 << 20
TABLE_SIZE = 4 * 2 * LANES + WAYS // 8
# Of a process that answers many.
ANY_NUMBER = 1 << 30


class Torture:
    def __init__(self, setting):
        most, log = setting.split(":", 1)
        self.most, self.log = int(most), pathlib.Path(log)
        self.lane = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        self.path = self.log.with_suffix(".seen")
        with open(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as table:
            os.truncate(self.path, TABLE_SIZE)
            self.table = mmap.mmap(table.fileno(), TABLE_SIZE)

    def arm(self, is_armed):
        struct.pack_into("=I", self.table, 4 * self.lane, is_armed)

    def failed(self):
        return struct.unpack_from("=I", self.table, 4 * (LANES + self.lane))[0]

    def environment(self, build, calls=1):
        library = pathlib.Path(build) / "tests/muster-fault-calls.so"
        return {"LD_PRELOAD": str(library), "FAULT_CALLS": f"{self.path}:{self.lane}:{calls}"} if library.exists() else {}

    def run(self, command, environment, home, workers):
        return subprocess.run(command, env={**environment, **self.environment(pathlib.Path(command[0]).parent),
                                            "MUSTER_WORKER_DIR": str(workers)},
                              cwd=home, timeout=300, text=True, errors="replace", stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def wrap_workers(self, directory, build):
        """They get an environment of their own, which knows nothing of this."""
        words = " ".join(f"{name}={value}" for name, value in self.environment(build).items())
        for name in WORKERS:
            path = directory / name
            path.write_text(f"#!/bin/sh\n{words} exec {build / name}\n")
            path.chmod(0o755)

    def repeat(self, command, environment, home):
        command = [str(word) for word in command]
        with tempfile.TemporaryDirectory() as workers:
            self.wrap_workers(pathlib.Path(workers), pathlib.Path(command[0]).parent)
            for _ in range(self.most):
                before = self.failed()
                self.arm(True)
                try:
                    done = self.run(command, environment, home, workers)
                finally:
                    self.arm(False)
                if self.failed() == before:
                    break
                self.judge(command, done)

    def last_ways(self):
        """By program: where the call came from that failed last."""
        paths = self.path.parent.glob(f"{self.path.name}.{self.lane}.*")
        return {path.suffix[1:]: path.read_text().splitlines() for path in paths}

    def judge(self, command, done):
        is_good = done.returncode == 0 or 0 < done.returncode <= STATUS_MAX and bool(done.stderr.strip())
        row = {"command": command[1:], "status": done.returncode, "good": is_good, "ways": {} if is_good else self.last_ways(),
               "stderr": "" if is_good else done.stderr}
        with self.log.open("a") as stream:
            stream.write(json.dumps(row) + "\n")


TORTURE = Torture(os.environ["MUSTER_TORTURE"]) if os.environ.get("MUSTER_TORTURE") else None
