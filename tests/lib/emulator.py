"""muster-emulator as a fixture: start, ask the ledger, restart with other faults on the same state."""
import json
import pathlib
import signal
import subprocess

from lib.paths import BUILD
from lib.program import environment
from lib.torture import ANY_NUMBER, TORTURE


class Emulator:
    HUBS = ("hub-1.azure-devices.net", "hub-2.azure-devices.net")

    def __init__(self, directory, *arguments, build=BUILD, wrapper=()):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(exist_ok=True)
        self.build = build
        self.ledger_file = self.directory / "ledger.jsonl"
        self.process = None
        self.start(*arguments, wrapper=wrapper)

    def start(self, *arguments, wrapper=()):
        hubs = [word for hub in self.HUBS for word in ("--hub", hub)]
        self.log = open(self.directory / "log", "ab")
        self.process = subprocess.Popen(
            [*wrapper, self.build / "muster-emulator", "--port", "0", "--state", self.directory / "state",
             "--ledger", self.ledger_file, *hubs, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, text=True,
            env=environment(self.build, self.directory, TORTURE and TORTURE.environment(self.build, ANY_NUMBER)))
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"muster-emulator did not start: {(self.directory / 'log').read_text()}")
        self.about = json.loads(line)

    def stop(self):
        """Returns what it wrote on standard error; a sanitizer report there fails the caller."""
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=20)
            self.process.stdout.close()
            self.log.close()
            self.process = None
        return (self.directory / "log").read_text()

    def restart(self, *arguments, wrapper=()):
        self.stop()
        self.start(*arguments, wrapper=wrapper)

    @property
    def url(self):
        return self.about["url"].rstrip("/")

    @property
    def connection_string(self):
        return self.about["connectionString"]

    @property
    def id_scope(self):
        return self.about["idScope"]

    @property
    def ca_file(self):
        return self.about["caFile"]

    def ledger(self):
        """Every request that reached the service, in order: op, id, effect, status, fault, ..."""
        if not self.ledger_file.exists():
            return []
        # What it writes in this moment has no end yet.
        return [json.loads(line) for line in self.ledger_file.read_text().splitlines(keepends=True) if line.endswith("\n") and line.strip()]

    def requests(self, operation, registration_id=None):
        """Rows of one operation ("put", "register", ...), and if given of one registration ID."""
        return [row for row in self.ledger() if row["op"] == operation
                and registration_id in (None, row["id"])]

    def effects(self, operation, registration_id=None):
        """Those of requests() that changed something."""
        return [row for row in self.requests(operation, registration_id) if row["effect"] != "none"]

    def writes(self, registration_id):
        """What writing this enrollment came to, each time, alone or in a bulk."""
        return [row["effect"] for row in self.changes() if row["op"] in ("put", "bulk") and row["id"] == registration_id]

    def changes(self):
        """All that changed anything."""
        return [row for row in self.ledger() if row["effect"] != "none"]
