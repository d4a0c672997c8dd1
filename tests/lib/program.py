"""Runs muster with an environment of its own and captures all that comes of it."""
import collections
import json
import os
import re
import subprocess
import time
import zlib

from lib import output_page
from lib.paths import IS_LONG, build_of_story, is_sanitized, story
from lib.torture import TORTURE

SANITIZER_REPORT = re.compile(r"(AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|runtime error:)")


# To look for leaks takes as long as all else of a short run. Each story looks in a part of its runs, always the same ones; each
# unit test does, and each run of the long form.
LEAKS_ONE_IN = 1 if IS_LONG else 4
started = collections.Counter()


def looks_for_leaks():
    name = story()
    started[name] += 1
    return zlib.crc32(f"{name} {started[name]}".encode()) % LEAKS_ONE_IN == 0


def environment(build, home, extra=None):
    """Nothing of the caller's; state and configuration under `home`."""
    result = {"PATH": "/usr/bin:/bin", "HOME": str(home), "XDG_STATE_HOME": f"{home}/state", "LC_ALL": "C.UTF-8"}
    if is_sanitized(build):
        result["MUSTER_INSECURE_MEMORY"] = "1"
        result["UBSAN_OPTIONS"] = "print_stacktrace=1"
        if not looks_for_leaks():
            result["ASAN_OPTIONS"] = "detect_leaks=0"
    result.update(extra or {})
    return {name: str(value) for name, value in result.items()}


class Run:
    """One finished run."""

    def __init__(self, arguments, status, stdout, stderr, seconds):
        self.arguments = arguments
        self.seconds = seconds
        self.status = status
        self.stdout = stdout
        self.stderr = stderr

    @property
    def json(self):
        return json.loads(self.stdout)

    @property
    def error(self):
        """The error that was reported last: as an object with -o json, else read from the sentence and its remedy."""
        if self.stderr.rstrip().endswith("}"):
            error = json.loads(self.stderr.strip().splitlines()[-1])
            assert not output_page.problems_of_error(error), self
            return error
        code, detail, remedy = re.findall(r"^muster: \[(E\d{4})\] (.*)(?:\n  try   (.*))?", self.stderr, re.MULTILINE)[-1]
        return {"code": code, "detail": detail, "remedy": remedy, "exit": self.status}

    @property
    def cause(self):
        """The E-code of the first error that was reported, or None."""
        lines = [line for line in self.stderr.splitlines() if "warning: " not in line]
        found = re.findall(r"\bE(\d{4})\b", "\n".join(lines))
        return f"E{found[0]}" if found else None

    def __repr__(self):
        words = " ".join(str(word) for word in self.arguments)
        return f"$ {words}\nexit {self.status}\n-- stdout\n{self.stdout}\n-- stderr\n{self.stderr}"


def run(*arguments, home, build=None, program="muster", wrapper=(), env=None, timeout=120, stdin=None,
        pass_fds=()):
    build = build or build_of_story()
    command = [*wrapper, build / program, *arguments]
    started = time.monotonic()
    done = subprocess.run(command, env=environment(build, home, env), cwd=home, timeout=timeout, text=True,
                          errors="replace", stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, pass_fds=pass_fds)
    result = Run(command, done.returncode, done.stdout, done.stderr, time.monotonic() - started)
    assert not SANITIZER_REPORT.search(done.stderr), result
    assert program != "muster" or not (unsaid := output_page.problems(arguments, done.stdout)), (unsaid, result)
    if TORTURE and not wrapper and not stdin and not pass_fds:
        TORTURE.repeat(command, environment(build, home, env), home)
    return result
