"""What stations did to one service, and whether it was right: the invariants that no run, however it was cut or misled, may
break. Judged from journals, the service's ledger and the state of chips and tokens, never from what muster says of itself;
what it said is only held against them.

I1 no loss       what was shown as enrolled is in the service, as written down, and in a journal
I2 no duplicate  one live enrollment for a registration ID and for a key, over all stations
I3 no overwrite  no enrollment is changed by a create
I4 three ends    done, refused with a reason, or parked with one; nothing stays half-way, nothing refused was enrolled
I5 no leak       no secret in anything that was scanned
I6 no counter    PIN tries and lockout counters as before
I7 no orphan     objects in a token are those of the journal; a chip's handles as before
I8 bounded       no run took longer than it may
I9 evidence      each create has its intent before it and an outcome behind; the chain verifies
I10 fixed terms  every row of a batch has the same profile"""
import collections
import importlib.machinery
import importlib.util
import io
import json
import pathlib
import sqlite3

from lib.canary import found_in
from lib.paths import SCRIPTS

ENDS = ("released", "failed", "retired")


def load_verifier():
    loader = importlib.machinery.SourceFileLoader("verify_journal", str(SCRIPTS / "verify-journal"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


VERIFIER = load_verifier()


class Record:
    """One station's journal, as rows."""

    def __init__(self, station):
        self.export = b""
        self.devices, self.entries = [], []
        if pathlib.Path(station.journal).exists():
            with sqlite3.connect(f"file:{station.journal}?mode=ro", uri=True) as journal:
                journal.row_factory = sqlite3.Row
                self.devices = [dict(row) for row in journal.execute("SELECT * FROM device")]
                self.entries = [dict(row) for row in journal.execute("SELECT * FROM entry ORDER BY seq")]
            journal.close()
            done = station.muster("journal", "export", "--entries", "--journal", station.journal)
            assert done.status == 0, done
            self.export = done.stdout.encode()


class History:
    def __init__(self, stations, runs=(), run_seconds_max=120):
        """`runs`: everything that was started, each with .status, .stdout and .seconds. To be looked at when all is quiet."""
        emulator = stations[0].emulator
        self.records = [Record(station) for station in stations]
        self.ledger = emulator.ledger()
        self.enrollments = {row["registrationId"]: row for row in stations[0].service.enrollments()}
        self.runs = list(runs)
        self.run_seconds_max = run_seconds_max
        self.counters = []  # (name, before, after)
        self.objects = []   # (token, registration IDs of its private keys)
        self.handles = []   # (chip, what is loaded)
        self.scanned = []   # (name, bytes)
        self.canaries = {}  # name -> bytes

    def devices(self):
        return [row for record in self.records for row in record.devices]

    def entries(self):
        """Of every station, with the body as an object."""
        for record in self.records:
            for entry in record.entries:
                yield {**entry, "body": json.loads(entry["body"])}

    def problems(self):
        return [f"{name}: {problem}" for name, invariant in INVARIANTS.items() for problem in invariant(self)]


def results_of(run):
    """The devices that a run said are done."""
    if run.status != 0:
        return []
    if "\n{" in run.stdout:
        found = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    else:
        found = json.loads(run.stdout)
        found = found if isinstance(found, list) else [found]
    return [row for row in found if row.get("state") in ("enrolled", "already enrolled")]


def is_etag(etag, enrollment):
    """A bulk's answer tells none."""
    return etag is None or enrollment["etag"].strip('"') == etag.strip('"')


def no_loss(history):
    released = {row["registration_id"] for row in history.devices() if row["state"] == "released"}
    for run in history.runs:
        for result in results_of(run):
            name = result["registrationId"]
            if name not in history.enrollments:
                yield f"{name} was shown as enrolled and is not in the service"
            if name not in released:
                yield f"{name} was shown as enrolled and no journal has it released"
    for row in history.devices():
        enrollment = history.enrollments.get(row["registration_id"])
        if row["state"] == "released" and (not enrollment or not is_etag(row["etag"], enrollment)):
            yield f"{row['registration_id']} is released, and the service has another or none"


def no_duplicate(history):
    live = collections.Counter()
    for row in history.ledger:
        if row["collection"] == "enrollments" and row["effect"] in ("create", "delete"):
            live[row["id"].lower()] += 1 if row["effect"] == "create" else -1
            if live[row["id"].lower()] > 1:
                yield f"{row['id']} was created twice"
    names = collections.defaultdict(set)
    for row in history.devices():
        if row["key_digest"] and row["state"] == "released":
            names[row["key_digest"]].add(row["registration_id"])
    yield from (f"one key has the names {sorted(several)}" for several in names.values() if len(several) > 1)


def no_overwrite(history):
    for row in history.ledger:
        if row["op"] in ("put", "bulk") and row["collection"] == "enrollments" and row["effect"] not in ("none", "create"):
            yield f"{row['id']} was changed: {row['effect']}"


def three_ends(history):
    attempts = {enrollment.get("optionalDeviceInformation", {}).get("musterAttempt") for enrollment in history.enrollments.values()}
    for row in history.devices():
        if row["state"] not in ENDS and not (row["state"] == "parked" and row["cause"]):
            yield f"{row['registration_id']} stays {row['state']} at {row['stage']}"
        if row["state"] == "failed" and (not row["cause"] or row["attempt_id"] in attempts):
            yield f"{row['registration_id']} failed without a reason, or is enrolled nevertheless"


def no_leak(history):
    for name, content in history.scanned:
        yield from (f"{secret} is in {name}" for secret in found_in(content, history.canaries))


def no_counter(history):
    yield from (f"{name} was {before} and is {after}" for name, before, after in history.counters if before != after)


def no_orphan(history):
    kept = {row["registration_id"] for row in history.devices() if row["state"] == "released" and row["key_id"]}
    for token, names in history.objects:
        if len(names) != len(set(names)) or set(names) != kept:
            yield f"{token} holds keys of {sorted(names)}, the journal {sorted(kept)}"
    yield from (f"{chip} has {handles} loaded" for chip, handles in history.handles if handles)


def bounded(history):
    for run in history.runs:
        if run.seconds > history.run_seconds_max:
            yield f"{run.seconds:.0f} s: {run}"


def evidence(history):
    intents, outcomes = collections.defaultdict(set), set()
    for entry in history.entries():
        if entry["stage"] == "enroll" and entry["kind"] == "intent":
            intents[entry["registration_id"]].add(entry["body"].get("bodySha256"))
        if entry["kind"] == "outcome" and entry["stage"] in ("enroll", "confirm"):
            outcomes.add(entry["registration_id"])
    for row in history.ledger:
        name = row["id"].lower()
        if row["op"] not in ("put", "bulk") or row["effect"] != "create":
            continue
        # A bulk has one body for ten devices.
        if not intents[name] or (row["op"] == "put" and row["bodySha256"] not in intents[name]):
            yield f"{row['id']} was created without an intent"
        elif name not in outcomes:
            yield f"{row['id']} was created and no outcome is written"
    for number, record in enumerate(history.records, 1):
        if record.export:
            try:
                VERIFIER.verify(io.BytesIO(record.export), [])
            except VERIFIER.Refused as refused:
                yield f"journal {number}: {refused}"


def fixed_terms(history):
    profiles = collections.defaultdict(set)
    for row in history.devices():
        if row["batch"]:
            profiles[row["batch"]].add(row["profile_digest"])
    yield from (f"batch {batch} has {len(several)} profiles" for batch, several in profiles.items() if len(several) > 1)


INVARIANTS = {"I1": no_loss, "I2": no_duplicate, "I3": no_overwrite, "I4": three_ends, "I5": no_leak, "I6": no_counter,
              "I7": no_orphan, "I8": bounded, "I9": evidence, "I10": fixed_terms}
