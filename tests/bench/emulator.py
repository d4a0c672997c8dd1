"""How many enrollments per second muster-emulator takes: wrk, eight kept connections, a new enrollment per request."""
# needs: wrk
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.dps import API, Service
from lib.emulator import Emulator
from lib.paths import RELEASE

LIMIT = 3000
SECONDS = 10

SCRIPT = """
local counter, thread_number = 0, 0
local body = [[{"registrationId":"%s","attestation":{"type":"symmetricKey","symmetricKey":{"primaryKey":"]] ..
  [[MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=","secondaryKey":"MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="}},]] ..
  [["deviceId":"%s","provisioningStatus":"enabled","allocationPolicy":"hashed","reprovisionPolicy":]] ..
  [[{"updateHubAssignment":true,"migrateDeviceData":true},"initialTwin":{"tags":{"line":"3"},]] ..
  [["properties":{"desired":{"interval":60}}}}]]
function setup(thread) thread_number = thread_number + 1; thread:set("number", thread_number) end
function request()
  counter = counter + 1
  local id = "bench-" .. number .. "-" .. counter
  return wrk.format("PUT", "/enrollments/" .. id .. "?API", HEADERS, body:format(id, id))
end
"""


def measure(emulator, directory):
    service = Service(emulator.connection_string, emulator.ca_file)
    headers = f'{{["Authorization"] = "{service.token()}", ["Content-Type"] = "application/json"}}'
    script = directory / "put.lua"
    script.write_text(SCRIPT.replace("API", API).replace("HEADERS", headers))
    done = subprocess.run(["wrk", "-t", "1", "-c", "8", "-d", f"{SECONDS}s", "-s", script, emulator.url], text=True,
                          check=True, stdout=subprocess.PIPE)
    print(done.stdout, file=sys.stderr)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        sys.exit("bench: requests were refused")
    return float(re.search(r"Requests/sec:\s*([\d.]+)", done.stdout).group(1))


def main():
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        emulator = Emulator(directory / "dps", build=RELEASE)
        try:
            rate = measure(emulator, directory)
        finally:
            emulator.stop()
    print(f"{rate:.0f} PUTs per second over 8 connections; at least {LIMIT}: {'yes' if rate >= LIMIT else 'NO'}")
    return 0 if rate >= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
