"""Ten thousand derived-key devices by `provision --manifest` against a load tool that sends the same bulks to the same emulator and
makes the same HMACs and journal commits: 0.8 of its devices per second, from start to end.

The load tool is wrk, with the bodies that muster sent over as many connections, side by side with a bare loop that writes the rows
muster wrote, in as many commits, into a journal of its own on the same file system, and derives two keys for each device. Neither
waits for the other, so the tool has more overlap than anything may have that records what it is going to send before it sends
it. It composes nothing, reads no answers, and writes no evidence, which muster writes as lines of one file. By turns; the best of
each counts. The journal lies on a disk (MUSTER_BENCH_DIRECTORY, or the system's place for temporary files), and what the service
keeps in memory.

MUSTER_BENCH_DEVICES sets how many."""
# needs: wrk
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.dps import API, Service
from lib.emulator import Emulator
from lib.paths import RELEASE
from lib.program import environment
from lib.station import Station

DEVICES = int(os.environ.get("MUSTER_BENCH_DEVICES", 10_000))
DIRECTORY = os.environ.get("MUSTER_BENCH_DIRECTORY")
TURNS = 3
LEAST = 0.8
LANES, PER_BULK = 4, 10
CHANGE_COUNTER = slice(24, 28)  # in SQLite's header: how many transactions have changed the file

SCRIPT = """
local item, requests, answers = [[ITEM]], 0, 0
function request()
  local items = {}
  for i = 1, SIZE do items[i] = item:gsub("@", string.format("wTURN-%05d", requests * SIZE + i)) end
  requests = requests + 1
  return wrk.format("POST", "/enrollments?API", HEADERS, '{"enrollments":[' .. table.concat(items, ",") .. '],"mode":"create"}')
end
function response(status)
  answers = answers + 1
  if status ~= 200 then os.exit(1) end
  if answers == COUNT then os.exit(0) end
end
"""


class Bench:
    def __init__(self, memory, disk):
        self.memory, self.disk = memory, disk
        self.emulator = Emulator(memory / "dps", build=RELEASE)
        self.service = Service(self.emulator.connection_string, self.emulator.ca_file)
        self.turn = 0

    def muster(self):
        """Devices per second; the station is left for the tool."""
        self.turn += 1
        station = Station(self.disk / f"station-{self.turn}", self.emulator, build=RELEASE)
        manifest = station.home / "devices.csv"
        manifest.write_text("serial\n" + "".join(f"M{self.turn}-{number:05}\n" for number in range(DEVICES)))
        profile = station.profile("derived-key", {"verify": "none", "batch": {"evidence": "lines"}})
        command = [RELEASE / "muster", "provision", "--profile", profile, "--manifest", manifest, "--rate", "1000000",
                   "--login-file", station.login_file, "--ca-file", self.emulator.ca_file, "--id-scope", self.emulator.id_scope,
                   "--journal", station.journal, "-o", "jsonl"]
        with open(station.home / "events.jsonl", "w+") as events:
            begun = time.monotonic()
            process = subprocess.Popen(command, env=environment(RELEASE, station.home), stdin=subprocess.DEVNULL, stdout=events)
            _, status, self.usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - begun
            process.returncode = os.waitstatus_to_exitcode(status)
            events.seek(0)
            report = json.loads(events.readlines()[-1])
        if process.returncode != 0 or report["enrolled"] != DEVICES:
            sys.exit(f"bench: exit {process.returncode}, {report}")
        self.station = station
        return DEVICES / seconds

    def commits(self):
        with open(self.station.journal, "rb") as stream:
            return int.from_bytes(stream.read(100)[CHANGE_COUNTER], "big")

    def item(self):
        """An enrollment as muster sent it, with @ for its ID."""
        registration_id = f"m{self.turn}-00000"
        document = self.service.enrollment(registration_id)
        status, document["attestation"] = self.service.request("POST", f"/enrollments/{registration_id}/attestationmechanism")
        assert status == 200, document
        for name in ("etag", "createdDateTimeUtc", "lastUpdatedDateTimeUtc", "registrationState"):
            document.pop(name, None)
        return json.dumps(document, separators=(",", ":")).replace(registration_id, "@")

    def wrk(self):
        headers = f'{{["Authorization"] = "{self.service.token()}", ["Content-Type"] = "application/json; charset=utf-8"}}'
        script = self.memory / "wrk.lua"
        script.write_text(SCRIPT.replace("ITEM", self.item()).replace("TURN", str(self.turn)).replace("SIZE", str(PER_BULK))
                          .replace("COUNT", str(DEVICES // PER_BULK)).replace("API", API).replace("HEADERS", headers))
        return subprocess.Popen(["wrk", "-t", "1", "-c", str(LANES), "-d", "600s", "-s", script, self.emulator.url], text=True,
                                stdout=subprocess.PIPE)

    def tool(self):
        """Devices per second of both, from the start to the later end."""
        new = self.station.home / "new.db"
        loop = subprocess.Popen([RELEASE / "tests/bare-journal", self.station.journal, new, str(self.commits())], text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert loop.stdout.readline() == "ready\n"
        begun = time.monotonic()
        loop.stdin.write("\n")
        loop.stdin.flush()
        wrk = self.wrk()
        outputs = [process.communicate(timeout=300)[0] for process in (wrk, loop)]
        seconds = time.monotonic() - begun
        if wrk.returncode or loop.returncode:
            sys.exit(f"bench: {outputs}")
        return DEVICES / seconds


def measure(bench):
    best = {"muster": 0.0, "tool": 0.0}
    for _ in range(TURNS):
        rates = {"muster": bench.muster(), "tool": bench.tool()}
        print(f"muster {rates['muster']:.0f}/s, tool {rates['tool']:.0f}/s, {bench.commits()} commits", flush=True)
        best = {name: max(best[name], rates[name]) for name in best}
    usage = bench.usage
    print(f"{(usage.ru_utime + usage.ru_stime) * 1000 / DEVICES:.3f} s CPU per 1,000 devices, resident {usage.ru_maxrss / 1024:.0f} MiB")
    ratio = best["muster"] / best["tool"]
    print(f"{DEVICES} devices: muster {best['muster']:.0f} per second, load tool {best['tool']:.0f}; {ratio:.2f}, at least {LEAST}: "
          f"{'yes' if ratio >= LEAST else 'NO'}")
    return ratio >= LEAST


def main():
    print(f"load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory, tempfile.TemporaryDirectory(dir=DIRECTORY) as disk:
        bench = Bench(pathlib.Path(memory), pathlib.Path(disk))
        try:
            good = measure(bench)
        finally:
            bench.emulator.stop()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
