"""A journal with checkpoints, what somebody may do to its export, and the two verifiers that must notice."""
import functools
import hashlib
import io
import json
import subprocess

from lib.fork_server import ForkServer
from lib.history import VERIFIER
from lib.journal import fill
from lib.paths import RELEASE
from lib.program import environment


class Record:
    """A journal with checkpoints, its export, and the anchor that was kept elsewhere."""

    def __init__(self, home, devices, checkpoints=2):
        self.home = home
        self.journal = home / "journal.db"
        self.anchor = home / "anchor.json"
        self.public_key = home / "station.pub"
        self.exports = []
        for number in range(checkpoints):
            share = devices // checkpoints
            fill(self.journal, share, first=number * share)
            assert self.muster("checkpoint", "--anchor", self.anchor).returncode == 0
            self.exports.append(self.export())
        self.lines = self.exports[-1].splitlines(keepends=True)

    def muster(self, verb, *arguments, journal=None, stdin=b"", env=None):
        return subprocess.run([RELEASE / "muster", "journal", verb, "--journal", journal or self.journal, *arguments],
                              env=environment(RELEASE, self.home, env), input=stdin, capture_output=True, check=False, timeout=60)

    def export(self, journal=None):
        done = self.muster("export", "--entries", journal=journal)
        assert done.returncode == 0, done
        return done.stdout

    def verify_export(self, content, *arguments):
        return subprocess.run([RELEASE / "muster", "journal", "verify", "--export", "-", "-o", "json", *arguments],
                              env=environment(RELEASE, self.home), input=content, capture_output=True, check=False, timeout=60)

    def is_noticed(self, content, anchor=True):
        """By both, or by neither; whatever is noticed is refused and not only unproven."""
        ours = self.verify_export(content, *(("--anchor", self.anchor) if anchor else ()))
        assert ours.returncode in (0, 8), ours
        is_ours = b"E6012" not in ours.stderr and ours.returncode == 8
        try:
            VERIFIER.verify(io.BytesIO(content), [VERIFIER.Anchor.of_file(self.anchor)] if anchor else [])
            is_theirs = False
        except VERIFIER.Refused:
            is_theirs = True
        assert is_ours == is_theirs, (ours, is_theirs)
        return is_ours


class LoadedRecord(Record):
    """The same journal, and a muster of its own that is loaded once."""

    def __init__(self, record):
        self.__dict__.update(record.__dict__)
        self.server = ForkServer(self.home, "journal", "verify", "--export", "-", "-o", "json", "--anchor", self.anchor)

    def verify_export(self, content, *_):
        return self.server.run(content)


# -- Attacks: (generator, lines of an export) -> what is handed in ---------------------------------------------------------


def spell(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


# Most entries of an edited journal stand where they stood in another one.
@functools.lru_cache(maxsize=65536)
def link(previous, entry):
    """The digest of an entry behind that one, and its line."""
    entry = dict(entry)
    fields = [str(entry[name]).encode() for name in ("seq", "registrationId", "atMs", "stage", "kind", "attempt", "operator", "station",
                                                     "body")]
    digest = hashlib.sha256(previous + b"".join(b"%d:%s," % (len(field), field) for field in fields)).digest()
    return digest, spell({**entry, "digest": digest.hex()})


def chained(entries, after=0, digest=bytes(32)):
    """An export of these entries with digests that fit: what somebody would hand in who knows the format."""
    lines = [spell({"schema": "muster.journal/1", "after": after, "digest": digest.hex()})]
    for number, entry in enumerate(entries, after + 1):
        digest, line = link(digest, tuple({**entry, "seq": number, "digest": None}.items()))
        lines.append(line)
    lines.append(spell({"schema": "muster.journal/1", "last": after + len(entries), "digest": digest.hex()}))
    return "".join(lines).encode()


def edit_byte(generator, lines):
    content = bytearray(b"".join(lines))
    content[generator.randrange(len(content))] ^= generator.randrange(1, 256)
    return bytes(content)


def drop_byte(generator, lines):
    content = bytearray(b"".join(lines))
    del content[generator.randrange(len(content))]
    return bytes(content)


def add_byte(generator, lines):
    content = bytearray(b"".join(lines))
    content.insert(generator.randrange(len(content) + 1), generator.randrange(256))
    return bytes(content)


def delete_lines(generator, lines):
    start = generator.randrange(len(lines))
    return b"".join(lines[:start] + lines[start + generator.randint(1, 5):])


def swap_lines(generator, lines):
    lines = list(lines)
    one, other = generator.sample(range(len(lines)), 2)
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def double_line(generator, lines):
    lines = list(lines)
    lines.insert(generator.randrange(len(lines) + 1), generator.choice(lines))
    return b"".join(lines)


def cut_off(generator, lines):
    content = b"".join(lines)
    return content[:generator.randrange(len(content))]


parsed = functools.lru_cache(maxsize=65536)(json.loads)


def entries_of(lines):
    return [dict(parsed(line)) for line in lines[1:-1]]


def shorten_with_a_good_end(generator, lines):
    """At least the anchored entry is gone, the one before the last."""
    entries = entries_of(lines)
    return chained(entries[:generator.randrange(len(entries) - 1)])


def rewrite_with_good_digests(generator, lines):
    entries = entries_of(lines)
    entry = generator.choice(entries[:-1])
    name = generator.choice(["registrationId", "operator", "station", "body"])
    entry[name] = entry[name] + " " if name == "body" else entry[name] + "x"
    return chained(entries)


def rewrite_without_checkpoints(generator, lines):
    entries = [entry for entry in entries_of(lines) if entry["stage"] != "journal"]
    generator.choice(entries)["operator"] = "eve"
    return chained(entries + entries[-8:])


def delete_with_good_digests(generator, lines):
    entries = entries_of(lines)
    del entries[generator.randrange(len(entries) - 1)]
    return chained(entries)


ATTACKS = [edit_byte, drop_byte, add_byte, delete_lines, swap_lines, double_line, cut_off, shorten_with_a_good_end,
           rewrite_with_good_digests, rewrite_without_checkpoints, delete_with_good_digests]


def edit(generator, lines):
    """One that changes something: its name, and what comes of it."""
    original = b"".join(lines)
    while True:
        attack = generator.choice(ATTACKS)
        content = attack(generator, lines)
        if content != original:
            return attack.__name__, content


def flipped(generator, content, position):
    """One bit of that byte."""
    changed = bytearray(content)
    changed[position] ^= 1 << generator.randrange(8)
    return bytes(changed)
