"""What a power cut may leave of the journal. A run is recorded by strace; then, at every system call, the disk is made as a
cut may leave it: whatever was not synced is there, missing, or torn at a sector. Each such disk must open, hold together, and
hold every entry that was committed before something outside could know of it. Controls in modes known to be unsafe must be
caught, and the safe ones must not."""
import pathlib
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.emulator import Emulator
from lib.paths import RELEASE
from lib.station import Station
from part import Part

SECTOR = 512
CALLS = "openat,pwrite64,write,sendto,ftruncate,fsync,fdatasync,unlink,close"
STRACE = ["strace", "-f", "-qq", "-y", "-xx", "-s", "10000000", "-e", f"trace={CALLS}", "-e", "signal=none"]
TLS_DATA = 0x17
DEVICES = 3

UNSAFE = [("delete", "full"), ("delete", "off"), ("wal", "normal"), ("memory", "full"), ("off", "full")]
SAFE = [("truncate", "full"), ("delete", "extra"), ("persist", "full"), ("wal", "full")]


# -- The recording -----------------------------------------------------------------------------------------------

def unhex(text):
    return bytes.fromhex(text.replace("\\x", ""))


def operations(log, directory):
    """(what, path, offset or size, data) of everything that touched files of `directory`, and ("effect",) for what others
    can see: bytes on standard output and TLS application data."""
    call = re.compile(r"^(?:\d+\s+)?(\w+)\((.*)\)\s+= (-?\d+)(?:<(.*)>)?$")
    string = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
    for line in pathlib.Path(log).read_text().splitlines():
        found = call.match(line)
        if not found or int(found.group(3)) < 0:
            continue
        name, arguments, result, opened = found.groups()
        texts = [unhex(text) for text in string.findall(arguments)]
        descriptor = re.match(r"(\d+)<([^>]*)>", arguments)
        if name == "openat":
            path = unhex(opened or "").decode()
            if path.startswith(directory) and "O_CREAT" in arguments:
                yield "create", path, 0, b""
            continue
        if name == "unlink":
            path = texts[0].decode()
            if path.startswith(directory):
                yield "unlink", path, 0, b""
            continue
        if not descriptor:
            continue
        number, path = int(descriptor.group(1)), unhex(descriptor.group(2)).decode(errors="replace")
        if name == "write" and number == 1 or name == "sendto" and texts and texts[0][:1] == bytes([TLS_DATA]):
            yield "effect", "", 0, b""
        elif path.startswith(directory):
            numbers = [int(word) for word in re.findall(r", (\d+)", arguments)]
            if name == "pwrite64":
                yield "write", path, numbers[-1], texts[0]
            elif name == "ftruncate":
                yield "truncate", path, numbers[-1], b""
            elif name in ("fsync", "fdatasync"):
                yield "sync", path, 0, b""


# -- The disk ------------------------------------------------------------------------------------------------------

def apply(content, change):
    what, offset, data = change
    if what == "truncate":
        return content[:offset].ljust(offset, b"\0")
    return content[:offset].ljust(offset, b"\0") + data + content[offset + len(data):]


class Disk:
    """What is safe, and what is only in memory. A name that is made again is another file."""

    def __init__(self):
        self.files = 0
        self.content, self.changes = {}, {}  # by file
        self.names, self.name_changes = {}, []  # path -> file; (path, file or None)

    def new_file(self):
        self.files += 1
        self.content[self.files], self.changes[self.files] = b"", []
        return self.files

    def do(self, what, path, offset, data):
        names = self.live_names()
        if what == "create":
            if path not in names:
                self.name_changes.append((path, self.new_file()))
        elif what == "unlink":
            self.name_changes.append((path, None))
        elif what != "sync":
            self.changes[names[path]].append((what, offset, data))
        elif path in names:
            self.content[names[path]] = self.live_content(names[path])
            self.changes[names[path]] = []
        else:
            self.names, self.name_changes = names, []

    def with_changes(self, changes):
        names = dict(self.names)
        for path, file in changes:
            names[path] = file
        return {path: file for path, file in names.items() if file}

    def live_names(self):
        return self.with_changes(self.name_changes)

    def live_content(self, file):
        content = self.content[file]
        for change in self.changes[file]:
            content = apply(content, change)
        return content

    def live(self):
        return {path: self.live_content(file) for path, file in self.live_names().items()}

    def after_cut(self, chance):
        """One of the disks that a cut now may leave."""
        kept = [change for change in self.name_changes if chance.random() < 0.5]
        return {path: self.cut_content(file, chance) for path, file in self.with_changes(kept).items()}

    def cut_content(self, file, chance):
        content, share = self.content[file], chance.choice((0.1, 0.5, 0.9))
        for change in self.changes[file]:
            if chance.random() >= share:
                continue
            what, offset, data = change
            if what == "write" and len(data) > SECTOR and chance.random() < 0.2:
                sectors = [data[at:at + SECTOR] for at in range(0, len(data), SECTOR)]
                for number, sector in enumerate(sectors):
                    if chance.random() < 0.5:
                        content = apply(content, ("write", offset + number * SECTOR, sector))
            else:
                content = apply(content, change)
        return content


# -- The judge -------------------------------------------------------------------------------------------------------

class Judge:
    def __init__(self, directory, name, query):
        self.directory, self.name, self.query = pathlib.Path(directory), name, query

    def rows(self, files):
        """All rows of the database in these files; ValueError when it does not hold together."""
        for old in self.directory.iterdir():
            old.unlink()
        for path, content in files.items():
            (self.directory / pathlib.Path(path).name).write_bytes(content)
        database = self.directory / self.name
        if not database.exists() or database.stat().st_size == 0:
            return []
        connection = sqlite3.connect(database)
        try:
            if connection.execute("PRAGMA quick_check").fetchall() != [("ok",)]:
                raise ValueError("does not hold together")
            if not connection.execute("SELECT 1 FROM sqlite_schema").fetchall():
                return []
            return connection.execute(self.query).fetchall()
        except sqlite3.DatabaseError as error:
            raise ValueError(str(error)) from error
        finally:
            connection.close()


def explore(recording, judge, states, seed):
    """(states looked at, lost, corrupt, first finding)."""
    operations = list(recording)
    is_point = [what != "effect" or number > 0 and operations[number - 1][0] != "effect"
                for number, (what, *_) in enumerate(operations)]
    each = max(1, -(-states // max(1, sum(is_point))))
    disk, chance = Disk(), random.Random(seed)
    promised, seen, lost, corrupt, first = [], 0, 0, 0, None
    for number, (what, path, offset, data) in enumerate(operations):
        if what != "effect":
            disk.do(what, path, offset, data)
        elif is_point[number]:
            promised = judge.rows(disk.live())
        for _ in range(each if is_point[number] else 0):
            seen += 1
            try:
                rows = judge.rows(disk.after_cut(chance))
                if rows[:len(promised)] == promised:
                    continue
                lost += 1
                why = f"{len(rows)} rows of {len(promised)} promised"
            except ValueError as error:
                corrupt += 1
                why = str(error)
            first = first or f"at call {number} ({what} {pathlib.Path(path).name}): {why}"
    return seen, lost, corrupt, first


# -- What is recorded ---------------------------------------------------------------------------------------------------

def record_muster(directory):
    """Devices with derived keys, one run each, into one journal."""
    directory = pathlib.Path(directory)
    emulator = Emulator(directory / "dps", build=RELEASE)
    try:
        station = Station(directory / "home", emulator, build=RELEASE)
        station.journal = directory / "journal" / "journal.db"
        station.journal.parent.mkdir(mode=0o700)
        profile = station.profile("derived-key")
        for number in range(DEVICES):
            log = directory / f"log-{number}"
            run = station.provision(profile, f"cut-{number}", wrapper=[*STRACE, "-o", log])
            if run.status != 0:
                sys.exit(f"the recorded run failed: {run}")
            yield from operations(log, f"{station.journal.parent}")
    finally:
        emulator.stop()


CONTROL = """
import sqlite3, sys
mode, synchronous, path = sys.argv[1:]
connection = sqlite3.connect(path, isolation_level=None)
connection.execute(f"PRAGMA journal_mode={mode}")
connection.execute(f"PRAGMA synchronous={synchronous}")
connection.execute("CREATE TABLE entry (seq INTEGER PRIMARY KEY, body TEXT, digest BLOB)")
connection.execute("CREATE INDEX by_digest ON entry(digest)")
for n in range(1, 13):
    connection.execute("BEGIN IMMEDIATE")
    for k in range(3):
        connection.execute("INSERT INTO entry (body, digest) VALUES (?, ?)", ("x" * 900, bytes([n, k]) * 16))
    connection.execute("COMMIT")
    print(n, flush=True)
"""


def record_control(directory, mode, synchronous):
    place = pathlib.Path(directory) / "control"
    place.mkdir()
    log = pathlib.Path(directory) / "log"
    subprocess.run([*STRACE, "-o", log, "/usr/bin/python3", "-c", CONTROL, mode, synchronous, place / "journal.db"],
                   check=True, stdout=subprocess.DEVNULL)
    return list(operations(log, str(place)))


def run_one(name, record, query, states, seed):
    with tempfile.TemporaryDirectory() as directory, tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        result = explore(record(directory), Judge(place, "journal.db", query), states, seed)
    seen, lost, corrupt, first = result
    print(f"{name:22} {seen:>9,} states  {lost:>7,} lost  {corrupt:>7,} corrupt{'  ' + first if first else ''}", flush=True)
    return seen, lost + corrupt


def main():
    part = Part("crash states", __doc__, states=200000, control_states=5000)
    options = part.options
    query = "SELECT seq, digest FROM entry ORDER BY seq"
    seen, bad = run_one("muster", record_muster, query, options.states, options.seed)
    part.judge("muster", None if seen > 0 and bad == 0 else f"{bad} of {seen}")
    for modes, is_unsafe in ((UNSAFE, True), (SAFE, False)):
        for mode in modes:
            control, bad = run_one(" ".join(mode), lambda directory, mode=mode: record_control(directory, *mode), query,
                                   options.control_states, options.seed)
            part.judge(" ".join(mode), None if control > 0 and (bad > 0) == is_unsafe else f"{bad} of {control}")
    return part.finish(states=seen, unsafe_controls=len(UNSAFE), safe_controls=len(SAFE))


if __name__ == "__main__":
    sys.exit(main())
