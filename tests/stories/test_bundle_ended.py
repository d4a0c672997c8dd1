"""What one of two stations has ended: no bundle and no receipt brings it back without a person."""
import shutil

import pytest

from test_bundle import accept, by_name, export, keys, office, prepared, public_key, send, there  # noqa: F401
from test_offline import spool
from test_outbox import outbox, resolve
from test_retire import retire


def test_a_bundle_from_before_brings_no_retired_device_back(station, office, keys, tmp_path):
    (name,), profile, of_station, of_office = prepared(station, office, 1)
    bundle, receipt = tmp_path / "stick.bundle", tmp_path / "stick.receipt"
    assert export(station, bundle).status == 0
    assert office.provision(profile, "STICK-0").status == 0
    assert retire(office, name).status == 0
    sent = send(office, bundle, receipt, of_station, "--profile", profile)
    assert sent.status == 7 and "[E6021]" in sent.stderr, sent
    assert station.service.enrollment(name) is None
    assert resolve(station, name, "--as", "failed", "--reason", "another board").status == 0
    assert spool(station, station.home / "derived-key.yaml", "STICK-0") == name
    sent, receipt = there(station, office, tmp_path, "again")
    assert sent.status == 0, sent
    assert by_name(accept(station, receipt, of_office)) == {name: ("enrolled", None)}


def test_a_receipt_for_what_was_retired_before_says_so(station, office, keys, tmp_path):
    (name,), profile, of_station, of_office = prepared(station, office, 1)
    bundle, receipt = tmp_path / "stick.bundle", tmp_path / "stick.receipt"
    assert export(station, bundle).status == 0
    assert station.sync().status == 0
    assert retire(station, name).status == 0
    assert send(office, bundle, receipt, of_station, "--profile", profile).status == 0
    taken = accept(station, receipt, of_office)
    assert (taken.status, by_name(taken)) == (7, {name: ("retired", "E6021")}), taken


@pytest.mark.parametrize("end, cause", [("retired", "E6021"), ("failed", "E5186")])
def test_a_bundle_whose_device_was_taken_and_ended_is_no_success(station, office, keys, tmp_path, end, cause):
    (name,), profile, of_station, of_office = prepared(station, office, 1)
    bundle = tmp_path / "stick.bundle"
    assert export(station, bundle).status == 0
    if end == "failed":
        station.emulator.restart("--fault", "put:status=503")
        office.renew_login()
    first = send(office, bundle, tmp_path / "a.receipt", of_station, "--profile", profile, "--patience", "1s")
    assert (first.status == 0) == (end == "retired"), first
    ended = retire(office, name) if end == "retired" else resolve(office, name, "--as", "failed", "--reason", "another board")
    assert ended.status == 0, ended
    again = send(office, bundle, tmp_path / "b.receipt", of_station, "--profile", profile)
    assert (again.status, again.json) == (7, []) and f"[{cause}]" in again.stderr and end in again.stderr, again
    assert accept(station, tmp_path / "b.receipt", of_office).status == 7


def test_a_bundle_whose_device_was_taken_and_waits_for_a_person_is_no_success(station, office, keys, tmp_path):
    """No run sends it, and the receipt releases nothing."""
    (name, other), profile, of_station, of_office = prepared(station, office, 2)
    bundle = tmp_path / "stick.bundle"
    assert export(station, bundle).status == 0
    status, _ = station.service.put(name, {"registrationId": name, "attestation": {"type": "symmetricKey"}})
    assert status == 200
    assert send(office, bundle, tmp_path / "a.receipt", of_station, "--profile", profile).status == 7
    assert (office.rows()[name]["state"], office.rows()[other]["state"]) == ("parked", "released")
    again = send(office, bundle, tmp_path / "b.receipt", of_station, "--profile", profile)
    assert (again.status, again.json) == (7, []), again
    assert f"{name}: [E5186]" in again.stderr and "waits for a person" in again.stderr and f"{other}: " not in again.stderr, again
    assert accept(station, tmp_path / "b.receipt", of_office).status == 7


def ended_there(station, office, tmp_path, end):
    """Taken over by the office, which ends it before the bench hears of anything; the receipt says so."""
    (name,), profile, of_station, of_office = prepared(station, office, 1)
    bundle, receipt = tmp_path / "stick.bundle", tmp_path / "stick.receipt"
    assert export(station, bundle).status == 0
    if end == "failed":
        station.emulator.restart("--fault", "put:status=503")
        station.renew_login()
        office.renew_login()
    if end == "refused":
        assert office.provision(profile, "STICK-0").status == 0
    else:
        send(office, bundle, tmp_path / "first.receipt", of_station, "--profile", profile, "--patience", "1s")
    if end == "failed":
        assert resolve(office, name, "--as", "failed", "--reason", "another board").status == 0
        station.emulator.restart()
        station.renew_login()
        office.renew_login()
    else:
        assert retire(office, name).status == 0
    send(office, bundle, receipt, of_station, "--profile", profile)
    assert station.service.enrollment(name) is None
    return name, receipt, of_office


@pytest.mark.parametrize("end", ["retired", "failed", "refused"])
def test_what_the_other_station_ended_waits_for_a_person(station, office, keys, tmp_path, end):
    name, receipt, of_office = ended_there(station, office, tmp_path, end)
    for _ in range(2):
        taken = accept(station, receipt, of_office)
        assert (taken.status, taken.cause, by_name(taken)) == (7, "E5188", {name: (end, "E5188")}), taken
        assert "muster outbox resolve" in taken.stderr and "muster sync when" not in taken.stderr, taken
        waits = outbox(station, "--waits", "person")[name]
        assert waits["state"] == "parked" and "ended at station" in waits["reason"], waits
    done = station.sync()
    assert (done.status, done.json) == (0, []) and "1 wait for a person" in done.stderr, done
    assert station.sync(name).cause == "E1030"
    manifest = station.home / "devices.csv"
    manifest.write_text("serial\nSTICK-0\n")
    again = station.muster("provision", "--profile", station.home / "derived-key.yaml", "--manifest", manifest, *station.common())
    assert (again.status, again.cause) == (7, "E5188"), again
    assert name in outbox(station, "--waits", "person") and export(station, tmp_path / "other.bundle").cause == "E5185"
    assert station.service.enrollment(name) is None


@pytest.mark.parametrize("way", ["retry", "manifest", "resolve", "anew"])
def test_a_person_decides_what_becomes_of_what_the_other_station_ended(station, office, keys, tmp_path, way):
    name, receipt, of_office = ended_there(station, office, tmp_path, "retired")
    assert accept(station, receipt, of_office).cause == "E5188"
    if way == "retry":
        done = station.muster("outbox", "retry", name, *station.common(), "-o", "json")
        assert (done.status, done.json[0]["state"], done.json[0]["verified"]) == (0, "enrolled", True), done
        taken = accept(station, receipt, of_office)
        assert (taken.status, by_name(taken)) == (0, {name: ("already enrolled", None)}), taken
        return
    if way == "manifest":
        manifest = station.home / "devices.csv"
        manifest.write_text("serial\nSTICK-0\n")
        done = station.muster("provision", "--profile", station.home / "derived-key.yaml", "--manifest", manifest, "--with-retired",
                              *station.common())
        assert (done.status, station.rows()[name]["state"]) == (0, "released"), done
        return
    assert resolve(station, name, "--as", "retired", "--reason", "scrapped").status == 0
    taken = accept(station, receipt, of_office)
    assert (taken.status, by_name(taken), outbox(station)) == (0, {name: ("retired", None)}, {}), taken
    if way == "resolve":
        return
    assert spool(station, station.home / "derived-key.yaml", "STICK-0") == name
    taken = accept(station, receipt, of_office)
    assert by_name(taken) == {name: ("spooled", "E5186")} and name in outbox(station, "--waits", "network"), taken
    sent, receipt = there(station, office, tmp_path, "again")
    assert sent.status == 0, sent
    assert by_name(accept(station, receipt, of_office)) == {name: ("enrolled", None)}


def test_retiring_goes_by_what_this_life_did(station, office, keys, tmp_path):
    """The office had retired the device before a bundle brought it back; others deleted its enrollment since."""
    (name,), profile, _, _ = prepared(station, office, 1)
    assert office.provision(profile, "STICK-0").status == 0
    assert retire(office, name).status == 0
    assert resolve(station, name, "--as", "failed", "--reason", "another board").status == 0
    assert spool(station, station.home / "derived-key.yaml", "STICK-0") == name
    sent, _ = there(station, office, tmp_path)
    assert sent.status == 0, sent
    station.service.delete(name)
    done = retire(office, name)
    assert (done.status, done.cause, office.rows()[name]["state"]) == (3, "E5108", "released"), done


def test_what_was_enrolled_there_and_ended_here_is_told_whatever_the_clocks_say(station, office, keys, tmp_path):
    """The bench, which had no network, ended it later by its own clock and heard of no enrollment."""
    (name,), _, _, of_office = prepared(station, office, 1)
    sent, receipt = there(station, office, tmp_path)
    assert sent.status == 0, sent
    assert resolve(station, name, "--as", "failed", "--reason", "scrapped").status == 0
    taken = accept(station, receipt, of_office)
    assert (taken.status, by_name(taken)) == (7, {name: ("failed", "E5186")}) and "retire it there" in taken.stderr, taken


def test_what_was_verified_here_since_and_ended_there_is_told(station, office, tpm, tmp_path):
    """What it was released by is known also where it has other evidence now."""
    profile = station.profile("tpm")
    name = spool(station, profile, "STICK-T", "--tpm", tpm.tcti)
    of_station = public_key(station)
    bundle = tmp_path / "stick.bundle"
    assert export(station, bundle).status == 0
    other = shutil.copy(profile, office.home / "tpm.yaml")
    assert send(office, bundle, tmp_path / "first.receipt", of_station, "--profile", other).status == 0
    of_office = public_key(office)
    assert accept(station, tmp_path / "first.receipt", of_office).status == 0
    assert station.provision(profile, "STICK-T", "--tpm", tpm.tcti).json["verified"] is True
    assert retire(office, name).status == 0
    send(office, bundle, tmp_path / "second.receipt", of_station, "--profile", other)
    taken = accept(station, tmp_path / "second.receipt", of_office)
    assert (taken.status, by_name(taken)) == (7, {name: ("retired", "E5188")}) and "muster retire" in taken.stderr, taken


def test_an_older_receipt_does_not_undo_what_a_later_one_said(station, office, keys, tmp_path):
    (name,), profile, of_station, of_office = prepared(station, office, 1)
    bundle, receipts = tmp_path / "stick.bundle", [tmp_path / "first.receipt", tmp_path / "second.receipt"]
    assert export(station, bundle).status == 0
    assert send(office, bundle, receipts[0], of_station, "--profile", profile).status == 0
    assert retire(office, name).status == 0
    send(office, bundle, receipts[1], of_station, "--profile", profile)
    for receipt in reversed(receipts):
        taken = accept(station, receipt, of_office)
        assert (taken.status, by_name(taken)) == (7, {name: ("retired", "E5188")}), taken
        assert outbox(station, "--waits", "person")[name]["state"] == "parked"
