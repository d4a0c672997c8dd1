"""A run that goes on in the background while its service goes away and comes back."""
import json
import subprocess

from lib.batch import created, restart
from lib.program import environment
from lib.wait import wait_until

PATIENT = 240  # seconds that a loaded machine may take for what is waited for


class Run:
    """A muster with -o jsonl. For `with`: nothing of it is left behind."""

    def __init__(self, station, *arguments):
        self.station, self.files = station, [station.home / "run.out", station.home / "run.err"]
        command = [station.build / "muster", *arguments, "-o", "jsonl"]
        with open(self.files[0], "wb") as stdout, open(self.files[1], "wb") as stderr:
            self.process = subprocess.Popen(list(map(str, command)), env=environment(station.build, station.home, station.env),
                                            cwd=station.home, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    @property
    def stderr(self):
        return self.files[1].read_text()

    def lines(self):
        return [json.loads(line) for line in self.files[0].read_text().splitlines(keepends=True) if line.endswith("\n")]

    def events(self, name):
        return [line for line in self.lines() if line.get("event") == name]

    def wait_for(self, name, count=1):
        def come():
            assert self.process.poll() is None or len(self.events(name)) >= count, (self.process.returncode, self.stderr)
            return len(self.events(name)) >= count
        wait_until(come, PATIENT, f"event '{name}'")
        return self.events(name)[-1]

    def end(self):
        """Its status."""
        return self.process.wait(timeout=PATIENT)

    def signal(self, number):
        self.process.send_signal(number)


def lose_service(run, after):
    """Killed as by a cut cable, when so many enrollments are there; whatever was under way has no answer."""
    wait_until(lambda: len(created(run.station)) >= after, PATIENT, f"{after} enrollments")
    run.station.emulator.process.kill()
    run.station.emulator.stop()


def bring_back(station):
    """At the same address, with all that it had."""
    restart(station)
