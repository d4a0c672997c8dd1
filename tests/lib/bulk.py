"""Many enrollments at once: made behind the emulator's back, and how much memory a run took."""
import json
import pathlib
import re
import sqlite3
import subprocess
import time

from lib.program import environment

KEYS = {"primaryKey": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", "secondaryKey": "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="}


def symmetric(registration_id, **members):
    return {"registrationId": registration_id, "attestation": {"type": "symmetricKey", "symmetricKey": KEYS}, **members}


def names(count, prefix="dev"):
    return [f"{prefix}-{number:04}" for number in range(count)]


def lines_file(desk, documents, name="devices.jsonl"):
    """Closed to others, since it may hold keys."""
    path = desk.home / name
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    path.chmod(0o600)
    return path


def devices_file(desk, count):
    return lines_file(desk, [symmetric(name) for name in names(count)])


def sums(done):
    return {name: done.json[name] for name in ("written", "already", "refused", "differs", "open") if done.json[name]}


def multiply(desk, model, identities, *arguments):
    """Copies of the enrollment `model` under these IDs, straight in the stopped emulator's store."""
    desk.emulator.stop()
    store = next((desk.emulator.directory / "state").glob("*.db"))
    with sqlite3.connect(store) as database:
        text, = database.execute("SELECT document FROM enrollments WHERE id = ?", (model,)).fetchone()
        assert text.count(f'"{model}"') == 1, text
        database.executemany("INSERT INTO enrollments (id, document) VALUES (?, ?)",
                             ((name, text.replace(f'"{model}"', json.dumps(name))) for name in identities))
    database.close()
    desk.emulator.start(*arguments)
    desk.station.renew_login()


def run_measured(build, home, output, *arguments):
    """Exit status and the most KiB that were resident. The usage that wait4() tells counts this program before exec."""
    highest = 0
    with open(output, "wb") as stream:
        process = subprocess.Popen([build / "muster", *map(str, arguments)], env=environment(build, home), cwd=home,
                                   stdin=subprocess.DEVNULL, stdout=stream)
        while process.poll() is None:
            highest = max(highest, resident(process.pid))
            time.sleep(0.002)
    return process.returncode, highest


def resident(pid):
    """The high-water mark of a running muster; 0 before exec and after the end."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) if found and status.startswith("Name:\tmuster\n") else 0
