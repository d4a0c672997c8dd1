"""The judge of long runs: it finds nothing in a good history, and each thing that may be wrong in a bad one."""
import copy
import json

import pytest

from lib.history import INVARIANTS, History


@pytest.fixture
def good(release_station, tokens, token):
    """Two devices of different kinds, one of them provisioned twice, and one that was refused."""
    release_station.env["SOFTHSM2_CONF"] = tokens.configuration
    derived, hsm = release_station.profile("derived-key"), release_station.profile("hsm-x509")
    at_token = ["--token", token.uri, "--pin-file", token.pin_file]
    runs = [release_station.provision(derived, "S-1"), release_station.provision(derived, "S-1"),
            release_station.provision(hsm, "H-1", *at_token)]
    assert [run.status for run in runs] == [0, 0, 0], runs
    history = History([release_station], runs)
    history.objects.append(("line-3", token.objects("privkey")))
    history.handles.append(("chip", []))
    history.counters.append(("PIN tries of line-3", 0, 0))
    history.canaries["master"] = b"a master key of a factory"
    history.scanned.append(("the journal", release_station.journal.read_bytes()))
    return history


def test_nothing_is_found_in_a_good_history(good):
    assert good.problems() == []
    assert len(good.devices()) == 2 and len(good.enrollments) == 2


def lose_enrollment(history):
    history.enrollments.pop("s-1")


def put_other_etag(history):
    history.enrollments["h-1"]["etag"] = '"another"'


def lose_row(history):
    history.records[0].devices = [row for row in history.devices() if row["registration_id"] != "s-1"]


def create_again(history):
    history.ledger.append(next(row for row in history.ledger if row["effect"] == "create"))


def share_key(history):
    history.records.append(copy.copy(history.records[0]))
    history.records[1].devices = [{**row, "registration_id": "h-2"} for row in history.devices() if row["key_digest"]]
    history.enrollments["h-2"] = history.enrollments["h-1"]


def overwrite(history):
    row = next(row for row in history.ledger if row["effect"] == "create")
    history.ledger.append({**row, "effect": "update"})


def stay_half_way(history):
    history.devices()[0]["state"] = "working"


def refuse_what_is_enrolled(history):
    history.runs, row = [], history.devices()[0]
    row.update(state="failed", cause=3101)


def park_without_reason(history):
    history.devices()[0].update(state="parked", cause=0)


def leak(history):
    history.scanned.append(("a log", b"x" + history.canaries["master"].hex().encode()))


def burn_a_try(history):
    history.counters.append(("PIN tries of line-4", 0, 1))


def leave_an_object(history):
    history.objects[0] = ("line-3", [*history.objects[0][1], "stray"])


def lose_an_object(history):
    history.objects[0] = ("line-3", [])


def leave_a_handle(history):
    history.handles[0] = ("chip", ["0x80000000"])


def take_too_long(history):
    history.runs[0].seconds = history.run_seconds_max + 1


def drop_intents(history):
    history.records[0].entries = [row for row in history.records[0].entries if row["kind"] != "intent"]


def drop_outcomes(history):
    history.records[0].entries = [row for row in history.records[0].entries if row["kind"] != "outcome"]


def send_another_body(history):
    for row in history.records[0].entries:
        body = json.loads(row["body"])
        if "bodySha256" in body:
            row["body"] = json.dumps({**body, "bodySha256": "0" * 64})


def break_the_chain(history):
    lines = history.records[0].export.splitlines(keepends=True)
    history.records[0].export = b"".join(lines[:3] + lines[4:])


def mix_profiles(history):
    for number, row in enumerate(history.devices()):
        row.update(batch="b", profile_digest=str(number))


SPOILED = [(lose_enrollment, "I1"), (put_other_etag, "I1"), (lose_row, "I1"), (create_again, "I2"), (share_key, "I2"),
           (overwrite, "I3"), (stay_half_way, "I4"), (refuse_what_is_enrolled, "I4"), (park_without_reason, "I4"), (leak, "I5"),
           (burn_a_try, "I6"), (leave_an_object, "I7"), (lose_an_object, "I7"), (leave_a_handle, "I7"), (take_too_long, "I8"),
           (drop_intents, "I9"), (drop_outcomes, "I9"), (send_another_body, "I9"), (break_the_chain, "I9"), (mix_profiles, "I10")]


def test_what_is_wrong_is_named(good):
    assert {named for _, named in SPOILED} == INVARIANTS.keys()
    for spoil, named in SPOILED:
        history = copy.deepcopy(good)
        spoil(history)
        found = {problem.split(":")[0] for problem in history.problems()}
        assert named in found, (spoil.__name__, found)
