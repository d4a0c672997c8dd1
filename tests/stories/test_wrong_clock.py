"""A station whose clock is wrong while nobody tells it: what its time gets into is not believed later, and time does not go back."""
import csv
import io
import json
import pathlib

import pytest

from lib import batch
from test_offline import offline, spool
from test_retire import retire

FAKETIME = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


@pytest.fixture
def station(release_station, tokens):
    """The library and the sanitizers do not go together."""
    release_station.env["SOFTHSM2_CONF"] = tokens.configuration
    return release_station


def turn(station, clock):
    """The environment of a run whose clock is so far off."""
    (station.home / ".faketimerc").write_text(clock + "\n")
    return {"LD_PRELOAD": FAKETIME, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def spool_at(station, clock, profile, serial, *arguments):
    done = offline(station, profile, serial, *arguments, env=turn(station, clock))
    assert (done.status, done.cause) == (6, "E5180"), done
    return done.json["registrationId"]


def assert_refused(done):
    assert (done.status, done.cause) == (5, "E5202") and "is behind an entry of journal" in done.stderr, done


@pytest.mark.parametrize("secondary", ["none", "own"])
def test_a_certificate_that_is_not_valid_yet_is_not_sent_and_is_made_anew_with_the_device(station, token, secondary):
    profile = station.profile("hsm-x509", {"attestation": {"x509": {"secondaryKey": "own"}}} if secondary == "own" else {})
    hardware = ["--token", token.uri, "--pin-file", token.pin_file]
    name = spool_at(station, "+10y", profile, "ahead-1", *hardware)
    before = station.rows()[name]
    done = station.sync(*hardware)
    assert (done.status, done.cause) == (1, "E4325"), done
    assert station.emulator.changes() == []
    assert station.rows()[name]["state"] == "dead-letter"
    done = station.provision(profile, "ahead-1", *hardware)
    assert (done.status, done.json["verified"]) == (0, True), done
    after = station.rows()[name]
    assert before["keySha256"] != after["keySha256"] and before["attemptId"] != after["attemptId"]
    assert station.emulator.writes(name) == ["create"]


def test_without_a_network_a_clock_behind_the_journal_is_refused(station):
    profile = station.profile("derived-key")
    first = spool(station, profile, "behind-1")
    assert_refused(offline(station, profile, "behind-2", env=turn(station, "-50y")))
    assert_refused(offline(station, profile, "behind-2", env=turn(station, "-6m")))
    assert set(station.rows()) == {first}
    assert spool_at(station, "-2m", profile, "behind-2") in station.rows()


def test_a_run_that_failed_for_its_clock_does_not_make_it_believed(station):
    profile = station.profile("derived-key")
    spool(station, profile, "behind-1")
    slow = turn(station, "-400d")
    assert_refused(offline(station, profile, "behind-2", env=slow))
    done = station.provision(profile, "behind-2", env=slow)
    assert (done.status, done.cause) == (5, "E5102"), done
    assert_refused(offline(station, profile, "behind-3", env=slow))


def test_where_no_network_is_a_bundle_stands_for_the_time(station):
    profile = station.profile("derived-key")
    spool_at(station, "+1d", profile, "ahead-1")
    assert_refused(offline(station, profile, "ahead-2"))
    done = station.muster("bundle", "export", station.home / "ahead.bundle", "--journal", station.journal)
    assert done.status == 0, done
    spool(station, profile, "ahead-2")


def test_with_a_network_the_journal_of_a_clock_that_was_ahead_is_taken_up_again(station):
    profile = station.profile("derived-key")
    spool_at(station, "+1d", profile, "ahead-1")
    assert_refused(offline(station, profile, "ahead-2"))
    assert station.provision(profile, "ahead-2").status == 0
    spool(station, profile, "ahead-3")
    assert station.sync().status == 0
    assert {row["state"] for row in station.rows().values()} == {"released"}


def test_a_released_device_whose_certificate_expired_since_is_told_of(station, token):
    profile = station.profile("hsm-x509", {"attestation": {"x509": {"validDays": 2}}})
    hardware = ["--token", token.uri, "--pin-file", token.pin_file]
    assert station.provision(profile, "aged-1", *hardware).status == 0
    for days, words in ((1, []), (3, ["E5184", "aged-1", "muster retire"])):
        batch.restart(station, "--clock-offset", str(days * 86400))
        done = station.provision(profile, "aged-1", *hardware, env=turn(station, f"+{days}d"))
        assert (done.status, done.json["state"]) == (0, "already enrolled"), done
        assert all(word in done.stderr for word in words) and ("expired" in done.stderr) == bool(words), done


def test_a_released_device_whose_certificate_expired_is_not_asked_late_to_register(station, token):
    """Nobody had asked it to; now it could not, and stays what it is until it is retired."""
    hardware = ["--token", token.uri, "--pin-file", token.pin_file]
    unasked, asked = (station.profile("hsm-x509", {"attestation": {"x509": {"validDays": 2}}, "verify": verify}, verify)
                      for verify in ("none", "register"))
    name = station.provision(unasked, "aged-2", *hardware).json["registrationId"]
    before = station.rows()[name]
    assert (before["state"], before["verification"]) == ("released", "not-asked")
    batch.restart(station, "--clock-offset", str(3 * 86400))
    late = turn(station, "+3d")
    done = station.provision(asked, "aged-2", *hardware, env=late)
    assert (done.status, done.cause) == (0, None), done
    assert (done.json["state"], done.json["verified"]) == ("already enrolled", False), done
    assert all(word in done.stderr for word in ("E5184", "muster retire")), done
    after = station.rows()[name]
    assert (after["state"], after["verification"]) == ("released", "not-asked")
    assert station.emulator.requests("register") == []
    done = retire(station, name, env=late)
    assert done.status == 0 and len(station.emulator.effects("delete", name)) == 1, done
    assert station.rows()[name]["state"] == "retired"


def test_who_follows_by_entries_misses_nothing_when_the_clock_is_set_back(station):
    """By the time of the last change it does: what came since is older."""
    profile = station.profile("derived-key", {"verify": "none"})

    def provision(serial, clock):
        done = station.provision(profile, serial, env=turn(station, clock))
        assert done.status == 0, done
        return done.json["registrationId"]

    def export(since):
        done = station.muster("journal", "export", "--journal", station.journal, "--since", since)
        assert done.status == 0, done
        return [(row["registrationId"], row["state"], row["entry"]) for row in map(json.loads, done.stdout.splitlines())]

    seen = [provision("A-1", "+4m"), provision("B-1", "+0")]
    rows = export("entry:0")
    assert [name for name, *_ in rows] == seen
    seen.append(provision("C-1", "+0"))
    assert retire(station, "b-1").status == 0
    last = f"entry:{rows[-1][2]}"
    rows = export(last)
    assert [row[:2] for row in rows] == [("c-1", "released"), ("b-1", "retired")]
    listed = station.rows("--since", last)
    assert {name: row["entry"] for name, row in listed.items()} == {name: entry for name, _, entry in rows}
    assert export(f"entry:{rows[-1][2]}") == []
    table = station.muster("journal", "export", "--csv", "--since", last, "--journal", station.journal).stdout
    assert [row["entry"] for row in csv.DictReader(io.StringIO(table))] == [str(row[2]) for row in rows]
    for wrong in (f"entry:{rows[-1][2] + 100}", "entry:", "entry:-1", "entry:x"):
        done = station.muster("journal", "export", "--since", wrong, "--journal", station.journal)
        assert (done.status, done.cause) == (2, "E1001"), done
