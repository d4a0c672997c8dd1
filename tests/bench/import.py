"""Enrollments per second of `muster enrollment import` against wrk, which sends the same bodies to the same emulator: bulks of
ten over four connections, and single creates over one. Measured by turns, one right behind the other; the middle one of the turns'
ratios counts, so that a machine whose speed changes from second to second (others may have a share of it) says the same each
time. Twice: by an emulator that answers as fast as it can, whose own work for an enrollment is then more than half of the two
processors', and by one that takes a moment for each request, as a service does that is far away. Bulks against singles by the
latter. All of it lies in memory: the disk of the stand-in is not measured."""
# needs: wrk
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.bulk import KEYS
from lib.dps import API, Service
from lib.emulator import Emulator
from lib.paths import RELEASE
from lib.program import run
from lib.software_token import write_secret

TURNS, FAR_TURNS = 15, 5
SECONDS = 2
BULKED, SINGLE = 40000, 12000
FAR_MS, FAR_BULKED, FAR_SINGLE_ONE, FAR_SINGLE = 5, 20000, 600, 2000
LEAST_OF_TOOL_BULK, LEAST_OF_TOOL_SINGLE, LEAST_OF_SINGLE = 0.8, 0.77, 4

DEVICE = {"registrationId": "%s", "attestation": {"type": "symmetricKey", "symmetricKey": KEYS}, "deviceId": "%s",
          "provisioningStatus": "enabled", "allocationPolicy": "hashed",
          "reprovisionPolicy": {"updateHubAssignment": True, "migrateDeviceData": True},
          "initialTwin": {"tags": {"line": "3"}, "properties": {"desired": {"interval": 60}}}}

SCRIPT = """
local counter = 0
local item = [[DEVICE]]
local function device() counter = counter + 1; local id = "PREFIX-" .. counter; return id, item:format(id, id) end
function request()
  if SIZE == 1 then
    local id, body = device()
    return wrk.format("PUT", "/enrollments/" .. id .. "?API", HEADERS, body)
  end
  local items = {}
  for i = 1, SIZE do local _, body = device(); items[i] = body end
  return wrk.format("POST", "/enrollments?API", HEADERS, '{"enrollments":[' .. table.concat(items, ",") .. '],"mode":"create"}')
end
"""


class Bench:
    def __init__(self, directory, *arguments):
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.emulator = Emulator(directory / "dps", *arguments, build=RELEASE)
        self.service = Service(self.emulator.connection_string, self.emulator.ca_file)
        self.login = write_secret(directory / "login", self.emulator.connection_string)
        self.turn = 0

    def prefix(self, name):
        self.turn += 1
        return f"{name}-{self.turn}"

    def tool(self, size, connections):
        """Devices per second by wrk."""
        headers = f'{{["Authorization"] = "{self.service.token()}", ["Content-Type"] = "application/json"}}'
        script = self.directory / "wrk.lua"
        script.write_text(SCRIPT.replace("DEVICE", compact(DEVICE)).replace("PREFIX", self.prefix("tool")).replace("SIZE", str(size))
                          .replace("API", API).replace("HEADERS", headers))
        done = subprocess.run(["wrk", "-t", "1", "-c", str(connections), "-d", f"{SECONDS}s", "-s", script, self.emulator.url],
                              text=True, check=True, stdout=subprocess.PIPE)
        if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
            sys.exit(f"bench: requests were refused\n{done.stdout}")
        return size * float(re.search(r"Requests/sec:\s*([\d.]+)", done.stdout).group(1))

    def muster(self, count, *arguments):
        """Devices per second by muster, from start to end."""
        prefix = self.prefix("muster")
        path = self.directory / f"{prefix}.jsonl"
        path.write_text("".join(compact(DEVICE) % (f"{prefix}-{n}", f"{prefix}-{n}") + "\n" for n in range(count)))
        done = run("enrollment", "import", path, "--rate", "1000000", "--login-file", self.login, "--ca-file",
                   self.emulator.ca_file, *arguments, home=self.directory, build=RELEASE, timeout=600)
        if done.status != 0 or done.json["written"] != count:
            sys.exit(f"bench: {done}")
        return count / done.json["seconds"]


def compact(document):
    return json.dumps(document, separators=(",", ":"))


def measure(bench, turns, bulked, single, *others):
    """Rates of each turn by wrk and by muster: bulks over four connections, singles over one; then the others."""
    ways = [lambda: bench.tool(10, 4), lambda: bench.muster(bulked), lambda: bench.tool(1, 1),
            lambda: bench.muster(single, "--single", "--parallel", "1"), *others]
    try:
        return list(zip(*([way() for way in ways] for _ in range(turns))))
    finally:
        bench.emulator.stop()


def ratio_of(rates, others):
    return statistics.median(rate / other for rate, other in zip(rates, others))


def report(name, rates, other, others, least):
    ratios = sorted(rate / other for rate, other in zip(rates, others))
    is_good = statistics.median(ratios) >= least
    print(f"{name}: {statistics.median(rates):.0f} devices per second, {other}: {statistics.median(others):.0f}; "
          f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f} in {len(ratios)} turns), at least {least}: "
          f"{'yes' if is_good else 'NO'}", flush=True)
    return is_good


def report_both(where, tool_bulk, bulk, tool_single, single):
    return [report(f"import{where}", bulk, "wrk with the same bulks over 4 connections", tool_bulk, LEAST_OF_TOOL_BULK),
            report(f"single creates over one connection{where}", single, "wrk with the same bodies", tool_single,
                   LEAST_OF_TOOL_SINGLE)]


def main():
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        directory = pathlib.Path(name)
        near = measure(Bench(directory / "near"), TURNS, BULKED, SINGLE)
        bench = Bench(directory / "far", "--fault", f"bulk:delay={FAR_MS}", "--fault", f"put:delay={FAR_MS}")
        *far, singles = measure(bench, FAR_TURNS, FAR_BULKED, FAR_SINGLE_ONE, lambda: bench.muster(FAR_SINGLE, "--single"))
    where = f", a service {FAR_MS} ms away"
    good = report_both("", *near) + report_both(where, *far)
    good.append(report(f"import{where}", far[1], "single creates over as many connections", singles, LEAST_OF_SINGLE))
    print(f"(not judged: without a network between them each device's own work is most of it on either side; muster's bulks over 4 "
          f"connections are {ratio_of(near[1], near[3]):.2f} times its singles over one, wrk's {ratio_of(near[0], near[2]):.2f} times)")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
