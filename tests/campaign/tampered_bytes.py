"""A bit of every byte of a small export, and of a small journal's database, is flipped. Of the export both verifiers notice each; of the
database muster notices it, or all that it holds reads as before: every entry and device, through every index. That is asked of SQLite
each time, and of muster's own commands one time in eight."""
import pathlib
import random
import sqlite3
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.fork_server import ForkServer
from lib.tampering import LoadedRecord, Record, flipped
from part import Part

ASKED_OF_MUSTER = 8
READERS = [["export", "--entries"], ["export"], ["show", "S0000001", "-o", "json"]]
QUESTIONS = ["SELECT * FROM entry ORDER BY seq", "SELECT * FROM device ORDER BY registration_id", "PRAGMA integrity_check"]


class Export:
    def __init__(self, record):
        self.record = LoadedRecord(record)

    def problem(self, generator, position):
        return None if self.record.is_noticed(flipped(generator, self.record.exports[-1], position)) else "was not noticed"

    def stop(self):
        self.record.server.stop()


class Database:
    """A copy of a journal, and what can be read of it."""

    def __init__(self, record, directory):
        self.content = record.journal.read_bytes()
        self.copy = directory / "copy.db"
        self.verifier = self.server("verify", "--anchor", record.anchor)
        self.readers = [self.server(*words) for words in READERS]
        self.put(self.content)
        self.before = self.rows(), self.shown()

    def server(self, verb, *words):
        return ForkServer(self.copy.parent, "journal", verb, "--journal", self.copy, *words)

    def put(self, content):
        self.copy.write_bytes(content)
        self.copy.chmod(0o600)

    def rows(self):
        """Each index is compared with its table, too."""
        connection = sqlite3.connect(f"file:{self.copy}?mode=ro&immutable=1", uri=True)
        try:
            return [connection.execute(question).fetchall() for question in QUESTIONS]
        finally:
            connection.close()

    def shown(self):
        return [reader.run() for reader in self.readers]

    def problem(self, generator, position):
        self.put(flipped(generator, self.content, position))
        done = self.verifier.run()
        if done.returncode in (8, 11):
            return None
        if done.returncode != 0:
            return f"muster ends with {done.returncode}"
        if self.rows() != self.before[0]:
            return "was not noticed, and rows are others"
        if generator.randrange(ASKED_OF_MUSTER) == 0 and self.shown() != self.before[1]:
            return "was not noticed, and muster shows other things"
        return None

    def stop(self):
        for server in (self.verifier, *self.readers):
            server.stop()


def make_record(directory, *arguments):
    directory.mkdir()
    return Record(directory, *arguments)


def main():
    part = Part("tampered bytes", __doc__, count=0)
    with tempfile.TemporaryDirectory() as name:
        home = pathlib.Path(name)
        exported, stored = make_record(home / "export", 1, 1), make_record(home / "database", 2)
        sizes = {"export": len(exported.exports[-1]), "database": stored.journal.stat().st_size}
        cells = [(place, position) for place, size in sizes.items() for position in range(size)]
        chosen = part.choose(cells)

        def lane(directory, cells):
            places = {"export": Export(exported), "database": Database(stored, directory)}
            try:
                for place, position in cells:
                    generator = random.Random(f"{part.options.seed} {place} {position}")
                    part.judge(f"{place} {position}", places[place].problem(generator, position))
            finally:
                for place in places.values():
                    place.stop()

        part.side_by_side(chosen, lane)
    return part.finish(bytes=len(chosen), possible=len(cells))


if __name__ == "__main__":
    sys.exit(main())
