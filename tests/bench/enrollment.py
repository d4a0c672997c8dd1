"""Creating one enrollment, as a process: CPU time and memory of `muster enrollment create` against curl sending the same request, run
by turns. And then all of the bench import: many enrollments against a load tool that sends the same bodies."""
# needs: time wrk
import base64
import hashlib
import hmac
import importlib
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.emulator import Emulator
from lib.paths import RELEASE
from lib.program import environment
from lib.software_token import write_secret

MEMORY_ROUNDS = 5
ROUNDS = 60
LIMIT = 1.2
BODY = ('{{"registrationId":"{id}","optionalDeviceInformation":{{}},"attestation":{{"type":"symmetricKey","symmetricKey":{{}}}},'
        '"capabilities":{{"iotEdge":false}},"initialTwin":{{"tags":{{}},"properties":{{"desired":{{}}}}}},'
        '"reprovisionPolicy":{{"updateHubAssignment":true,"migrateDeviceData":true}}}}')


def token(connection_string):
    parts = dict(part.split("=", 1) for part in connection_string.split(";"))
    resource_name = urllib.parse.quote(parts["HostName"].split(":")[0], safe="")
    expiry = int(time.time()) + 3600
    digest = hmac.new(base64.b64decode(parts["SharedAccessKey"]), f"{resource_name}\n{expiry}".encode(), hashlib.sha256).digest()
    return (f"SharedAccessSignature sr={resource_name}&sig={urllib.parse.quote(base64.b64encode(digest), safe='')}"
            f"&se={expiry}&skn={parts['SharedAccessKeyName']}")


def run(command, env):
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed: {done.stderr}")
    return done.stderr


def cpu_of(command, env):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(command, env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def memory_of(command, env):
    """Peak in KiB. Asked of a small parent: a process begins with the peak of the one that it was forked from."""
    return int(run(["/usr/bin/time", "-f", "%M", *command], env).split()[-1])


def measure_create():
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        emulator = Emulator(directory / "dps", build=RELEASE)
        env = environment(RELEASE, directory)
        login = write_secret(directory / "login", emulator.connection_string + "\n")
        header = f"Authorization: {token(emulator.connection_string)}"
        cpu, memory = {"muster": 0.0, "curl": 0.0}, {"muster": 0, "curl": 0}
        try:
            for number in range(MEMORY_ROUNDS + ROUNDS):
                commands = {
                    "muster": [RELEASE / "muster", "enrollment", "create", "--eid", f"m-{number}", "--at", "symmetricKey",
                               "--login-file", login, "--ca-file", emulator.ca_file, "-o", "json"],
                    "curl": ["curl", "-q", "-sS", "-f", "--http1.1", "--cacert", emulator.ca_file, "-X", "PUT", "-H", header,
                             "-H", "Content-Type: application/json; charset=utf-8", "-d", BODY.format(id=f"c-{number}"),
                             f"{emulator.url}/enrollments/c-{number}?api-version=2021-10-01"],
                }
                for name, command in commands.items():
                    if number < MEMORY_ROUNDS:
                        memory[name] = max(memory[name], memory_of(command, env))
                    else:
                        cpu[name] += cpu_of(command, env)
        finally:
            emulator.stop()
    cpu_ratio, memory_ratio = cpu["muster"] / cpu["curl"], memory["muster"] / memory["curl"]
    is_good = cpu_ratio <= LIMIT and memory_ratio <= LIMIT
    for name in cpu:
        print(f"{name:8} {cpu[name] / ROUNDS * 1e3:6.2f} ms CPU  {memory[name] / 1024:6.1f} MiB at most")
    print(f"muster / curl: CPU {cpu_ratio:.2f}, memory {memory_ratio:.2f}; at most {LIMIT}: {'yes' if is_good else 'NO'}")
    return is_good


def main():
    good = [measure_create(), importlib.import_module("import").main() == 0]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
