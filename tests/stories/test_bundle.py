"""Spooled devices go to another station on a stick, and its receipt comes back."""
import base64
import copy
import hashlib
import json
import pathlib
import shutil
import subprocess

import pytest

from lib import batch
from lib.dps import Service
from lib.killer import killer, points_of, recorder, was_killed
from lib.paths import RELEASE
from lib.software_token import write_secret
from lib.station import Station
from lib.tls_server import WrongServer
from lib.wait import wait_until
from test_hooks import events
from test_hooks_owed import last_calls, last_points
from test_hsm_wrap import make_device
from test_offline import entries, evidence_of, offline, spool
from test_outbox import outbox, resolve
from test_retire import retire
from test_wrong_clock import spool_at


@pytest.fixture
def office(tmp_path, emulator):
    """A second station with the credential, and a journal of its own."""
    return Station(tmp_path / "office", emulator)


def public_key(station):
    done = station.muster("journal", "checkpoint", "--journal", station.journal)
    assert done.status == 0, done
    return station.home / "station.pub"


def export(station, path):
    return station.muster("bundle", "export", path, "--journal", station.journal, "-o", "json")


def send(office, path, receipt, key, *arguments, **options):
    return office.muster("bundle", "send", path, "--from", key, "--receipt", receipt, *office.common(), "-o", "json", *arguments,
                         **options)


def accept(station, receipt, key, *arguments, **options):
    return station.muster("bundle", "accept", receipt, "--from", key, "--journal", station.journal, "--out", station.out,
                          "-o", "json", *arguments, **options)


@pytest.fixture
def keys(station, office):
    """Masters are where the profile says on both stations; each has the other's public key."""
    shutil.copytree(station.home / "keys", office.home / "keys", dirs_exist_ok=True)


def prepared(station, office, count=2):
    profile = station.profile("derived-key")
    names = [spool(station, profile, f"STICK-{number}") for number in range(count)]
    other = office.home / "derived-key.yaml"
    shutil.copy(profile, other)
    # The first run makes the office's journal, and with it its key.
    assert office.provision(other, "OFFICE-1").status == 0
    return names, other, public_key(station), public_key(office)


def test_there_and_back(station, office, keys, tmp_path):
    names, profile, of_station, of_office = prepared(station, office)
    bundle, receipt = tmp_path / "stick.bundle", tmp_path / "stick.receipt"
    done = export(station, bundle)
    assert (done.status, done.json["devices"]) == (0, 2), done
    sent = send(office, bundle, receipt, of_station, "--profile", profile)
    assert sent.status == 0, sent
    assert {row["registrationId"]: (row["state"], row["verified"]) for row in sent.json} == {name: ("enrolled", True) for name in names}
    taken = accept(station, receipt, of_office)
    assert taken.status == 0, taken
    assert {row["registrationId"]: (row["state"], row["verified"]) for row in taken.json} == {name: ("enrolled", True) for name in names}
    assert {row["state"] for row in station.rows().values()} == {"released"}
    for name in names:
        evidence = json.loads((station.out / f"{name}.evidence.json").read_text())
        assert evidence["receipt"]["sha256"]
        assert evidence["spooled"]["at"] < evidence["at"]
        assert evidence["enrollment"]["registrationId"] == name
    anchors = [word for name in names for word in ("--anchor", station.out / f"{name}.evidence.json")]
    verified = station.muster("journal", "verify", "--journal", station.journal, *anchors)
    assert verified.status == 0, verified
    puts = station.emulator.requests("put")
    assert accept(station, receipt, of_office).json[0]["state"] == "already enrolled"
    assert station.sync().json == []
    assert send(office, bundle, tmp_path / "again.receipt", of_station).status == 0
    assert station.emulator.requests("put") == puts


def test_hooks_of_both_stations_are_told(station, office, keys, tmp_path):
    """The bench's learn what became of its devices, as by a sync; and once only."""
    names, profile, of_station, of_office = prepared(station, office)
    bundle, receipt = tmp_path / "stick.bundle", tmp_path / "stick.receipt"
    told = {}
    for place in (station, office):
        told[place] = place.home / "mes"
        told[place].mkdir()
        path = place.home / "muster.yaml"
        path.write_text(json.dumps({"hooks": {"mes": {"on": ["unit-done", "batch-done"], "folder": str(told[place])}}}))
        place.env["MUSTER_CONFIG"] = path

    assert export(station, bundle).status == 0
    assert send(office, bundle, receipt, of_station, "--profile", profile).status == 0
    assert {event["data"]["registrationId"]: event["data"]["state"] for event in events(told[office], 3)[:2]} == dict.fromkeys(names, "enrolled")
    assert accept(station, receipt, of_office, "--operator", "ada").status == 0
    *units, batch_done = (event["data"] for event in events(told[station], 3))
    rows = station.rows()
    for unit in units:
        row = rows[unit["registrationId"]]
        assert (unit["state"], unit["verified"], unit["operator"], unit["profile"]) == ("enrolled", True, "ada", row["profile"])
        assert (unit["serial"], unit["deviceId"], unit["hub"], unit["evidence"]) == (row["serial"], row["deviceId"], row["hub"], row["evidence"])
    assert sorted(unit["registrationId"] for unit in units) == sorted(names)
    assert (batch_done["devices"], batch_done["failed"], "profile" in batch_done) == (2, 0, False)
    assert accept(station, receipt, of_office).json[0]["state"] == "already enrolled"
    wait_until(lambda: not list((station.home / "hooks").glob("*.json")), 60, "an empty spool")
    assert len(list(told[station].glob("*.json"))) == 3


def test_what_a_receipt_releases_is_told_wherever_it_is_cut(station, office, keys, tmp_path):
    """The next time the device is enrolled already, and no matter of hooks."""
    names, profile, of_station, of_office = prepared(station, office, 1)
    station.build = RELEASE  # the sanitizers' does not like to be traced
    sent, receipt = there(station, office, tmp_path)
    assert sent.status == 0, sent

    def copied(name):
        """The station as it is now, with a folder of its own that is told."""
        made = copy.copy(station)
        made.home = tmp_path / name
        shutil.copytree(station.home, made.home)
        made.journal, made.out, made.env = made.home / "journal.db", made.home / "out", {"MUSTER_CONFIG": made.home / "muster.yaml"}
        (made.home / "mes").mkdir()
        made.env["MUSTER_CONFIG"].write_text(json.dumps({"hooks": {"mes": {"on": ["unit-done"], "folder": str(made.home / "mes")}}}))
        return made

    log = tmp_path / "log"
    assert accept(copied("whole"), receipt, of_office, wrapper=last_calls(log)).status == 0
    points = last_points(log, 4)
    killed = 0
    for call, n in points:
        place = copied(f"{call}-{n}")
        killed += was_killed(accept(place, receipt, of_office, wrapper=killer(call, n, workers=False)).status)
        done = accept(place, receipt, of_office)
        assert done.status == 0, done
        [unit] = events(place.home / "mes", 1)
        assert (unit["data"]["registrationId"], unit["data"]["state"], unit["data"]["verified"]) == (*names, "enrolled", True)
    assert killed >= 4


def test_hooks_are_told_of_what_the_other_station_could_not_send(station, office, keys, tmp_path):
    (name,), profile, of_station, of_office = prepared(station, office, 1)
    assert office.provision(profile, "STICK-0").status == 0
    sent, receipt = there(station, office, tmp_path)
    assert sent.status == 7, sent
    folder = tmp_path / "mes"
    folder.mkdir()
    path = station.home / "muster.yaml"
    path.write_text(json.dumps({"hooks": {"mes": {"on": ["unit-done", "batch-done"], "folder": str(folder)}}}))
    station.env["MUSTER_CONFIG"] = path
    assert accept(station, receipt, of_office).status == 7
    unit, batch_done = (event["data"] for event in events(folder, 2))
    assert (unit["registrationId"], unit["state"], unit["cause"]) == (name, "failed", "E5186")
    assert (batch_done["devices"], batch_done["failed"]) == (1, 1)


def test_bundle_and_receipt_mixed_up_are_told(station, office, keys, tmp_path):
    """Neither is damaged, and neither has to be made again."""
    _, profile, of_station, of_office = prepared(station, office, 1)
    bundle, receipt = tmp_path / "stick.bundle", tmp_path / "stick.receipt"
    assert export(station, bundle).status == 0
    assert send(office, bundle, receipt, of_station, "--profile", profile).status == 0
    wrong = accept(station, bundle, of_office)
    assert (wrong.status, wrong.cause) == (2, "E6160") and "is a bundle, not a receipt" in wrong.stderr, wrong
    wrong = send(office, receipt, tmp_path / "other.receipt", of_station)
    assert (wrong.status, wrong.cause) == (2, "E6160") and "is a receipt, not a bundle" in wrong.stderr, wrong


@pytest.mark.parametrize("is_written", [False, True], ids=["as-sent", "written-since"])
def test_what_the_other_station_sent_is_retired_unforced_while_nobody_wrote_it(station, office, keys, tmp_path, is_written):
    names, profile, of_station, of_office = prepared(station, office)
    bundle, receipt = tmp_path / "stick.bundle", tmp_path / "stick.receipt"
    assert export(station, bundle).status == 0
    assert send(office, bundle, receipt, of_station, "--profile", profile).status == 0
    assert accept(station, receipt, of_office).status == 0
    if is_written:
        key = base64.b64encode(b"o" * 32).decode()
        done = office.muster("enrollment", "update", "--eid", names[0], "--pk", key, "--sk", key, "--login-file", office.login_file,
                             "--ca-file", office.emulator.ca_file)
        assert done.status == 0, done
    done = retire(station, names[0])
    assert (done.status, done.cause) == ((7, "E5110") if is_written else (0, None)), done
    assert bool(station.service.enrollment(names[0])) is is_written


def test_a_receipt_brings_no_retired_device_back(station, office, keys, tmp_path):
    (name,), profile, of_station, of_office = prepared(station, office, 1)
    bundle, receipt = tmp_path / "stick.bundle", tmp_path / "stick.receipt"
    assert export(station, bundle).status == 0
    assert send(office, bundle, receipt, of_station, "--profile", profile).status == 0
    assert accept(station, receipt, of_office).json[0]["state"] == "enrolled"
    assert retire(station, name).status == 0
    again = accept(station, receipt, of_office)
    assert again.json[0]["state"] == "retired", again
    assert station.rows()[name]["state"] == "retired"



def there(station, office, tmp_path, name="stick", **options):
    """A bundle of all that is spooled goes to the office, which has the profile, and the receipt comes."""
    bundle, receipt = tmp_path / f"{name}.bundle", tmp_path / f"{name}.receipt"
    assert export(station, bundle).status == 0
    return send(office, bundle, receipt, public_key(station), "--profile", office.home / "derived-key.yaml", **options), receipt


def by_name(done):
    return {row["registrationId"]: (row["state"], row.get("cause")) for row in done.json}


def test_one_device_that_differs_holds_up_no_other(station, office, keys, tmp_path):
    names, profile, _, of_office = prepared(station, office, 3)
    assert office.provision(profile, "STICK-0").status == 0
    sent, receipt = there(station, office, tmp_path)
    assert (sent.status, sent.cause) == (7, "E5186"), sent
    assert sent.stderr.count("stick-0") >= 1 and "1 of 3 devices" in sent.error["detail"], sent
    assert by_name(sent) == {name: ("enrolled", None) for name in names[1:]}
    taken = accept(station, receipt, of_office)
    assert (taken.status, taken.cause) == (7, "E5186"), taken
    assert by_name(taken) == {names[0]: ("refused", "E5186"), names[1]: ("enrolled", None), names[2]: ("enrolled", None)}
    assert list(outbox(station)) == [names[0]]
    done = station.sync(names[0])
    assert (done.status, done.json[0]["state"]) == (0, "already enrolled"), done
    assert station.emulator.writes(names[0]) == ["create"]


def test_a_device_that_is_unknown_or_another_one_holds_up_no_other_of_a_receipt(station, office, keys, tmp_path):
    names, _, _, of_office = prepared(station, office, 3)
    sent, receipt = there(station, office, tmp_path)
    assert sent.status == 0, sent
    assert resolve(station, names[0], "--as", "retired", "--reason", "lost").status == 0
    assert spool(station, station.home / "derived-key.yaml", "STICK-0") == names[0]
    taken = accept(station, receipt, of_office)
    assert (taken.status, taken.cause) == (7, "E5186"), taken
    assert by_name(taken) == {names[0]: ("spooled", "E5186"), names[1]: ("enrolled", None), names[2]: ("enrolled", None)}
    assert station.sync(names[0]).status == 0
    taken = accept(station, receipt, of_office)
    assert (taken.status, by_name(taken)[names[0]]) == (7, ("released", "E5186")), taken
    assert by_name(taken)[names[1]] == ("already enrolled", None)
    other = Station(tmp_path / "other", station.emulator)
    shutil.copytree(station.home / "keys", other.home / "keys", dirs_exist_ok=True)
    spool(other, other.profile("derived-key"), "STICK-1")
    taken = accept(other, receipt, of_office)
    assert taken.status == 7 and by_name(taken)[names[2]] == ("released", "E5186"), taken


def test_a_serial_that_is_another_device_here_is_refused(station, office, keys, tmp_path):
    names, profile, _, of_office = prepared(station, office, 2)
    manifest = office.home / "devices.csv"
    manifest.write_text("serial,registrationId\nSTICK-0,other-0\n")
    done = office.muster("provision", "--profile", profile, "--manifest", manifest, *office.common())
    assert done.status == 0, done
    sent, receipt = there(station, office, tmp_path)
    assert sent.status == 7 and "[E3102]" in sent.stderr, sent
    assert station.service.enrollment(names[0]) is None
    assert by_name(accept(station, receipt, of_office)) == {names[0]: ("refused", "E3102"), names[1]: ("enrolled", None)}


def test_a_device_id_that_is_another_device_here_is_refused(station, office, keys, tmp_path):
    names, profile, _, of_office = prepared(station, office, 2)
    manifest = office.home / "devices.csv"
    manifest.write_text(f"serial,registrationId,deviceId\nOTHER-0,other-0,{names[0]}\n")
    done = office.muster("provision", "--profile", profile, "--manifest", manifest, *office.common())
    assert done.status == 0, done
    sent, receipt = there(station, office, tmp_path)
    assert sent.status == 7 and "[E3110]" in sent.stderr, sent
    assert station.service.enrollment(names[0]) is None
    assert by_name(accept(station, receipt, of_office)) == {names[0]: ("refused", "E3110"), names[1]: ("enrolled", None)}


def test_an_endorsement_key_that_is_another_device_here_is_refused(station, office, keys, tpm, tmp_path):
    names, _, _, of_office = prepared(station, office, 1)
    mine = spool(station, station.profile("tpm", {"registrationId": "{serial.lower}"}), "STICK-T", "--tpm", tpm.tcti)
    theirs = office.profile("tpm", {"registrationId": "{serial.lower}"})
    assert office.provision(theirs, "OFFICE-T", "--tpm", tpm.tcti).status == 0
    sent, receipt = there(station, office, tmp_path)
    assert sent.status == 7 and "[E3103]" in sent.stderr and "office-t" in sent.stderr, sent
    assert station.service.enrollment(mine) is None
    assert by_name(accept(station, receipt, of_office)) == {mine: ("refused", "E3103"), names[0]: ("enrolled", None)}


def test_a_bundle_is_no_secret_to_the_journal_wherever_its_export_is_cut(release_station, tmp_path):
    """Another station could send what this one makes anew, because it knows of none; an entry alone is in nobody's way."""
    station, log = release_station, tmp_path / "strace.log"
    spool(station, station.profile("derived-key"), "STICK-0")
    public_key(station)
    assert station.muster("bundle", "export", tmp_path / "stick.bundle", "--journal", station.journal, wrapper=recorder(log)).status == 0
    killed = 0
    for number, point in enumerate(points_of(log)):
        last = tmp_path / f"{number}.bundle"
        done = station.muster("bundle", "export", last, "--journal", station.journal, wrapper=killer(*point))
        killed += was_killed(done.status)
        if last.exists():
            digest = hashlib.sha256(json.loads(last.read_text())["content"].encode()).hexdigest()
            assert digest in entries(station), point
        last.unlink(missing_ok=True)
        assert export(station, last).status == 0, point
    assert killed > 5
    assert station.sync().status == 0


def test_a_device_that_was_made_ready_twice_fits_the_receipt_for_either(station, office, empty_tpm, tmp_path):
    """What the second time noted of the key is not what the first did, which made it; it is the same key."""
    profile = station.profile("tpm", {"registrationId": "{serial.lower}", "attestation": {"tpm": {"certificate": "optional"}}})
    manifest, bundle, receipt = station.home / "devices.csv", tmp_path / "stick.bundle", tmp_path / "stick.receipt"
    manifest.write_text(f"serial,tpm\nSTICK-T,{empty_tpm.tcti}\n")
    done = station.muster("provision", "--offline", "--profile", profile, "--manifest", manifest, "--verify", "none", "--journal",
                          station.journal, "--out", station.out, "--id-scope", station.emulator.id_scope)
    assert done.status == 6, done
    assert export(station, bundle).status == 0
    name = spool(station, profile, "STICK-T", "--tpm", empty_tpm.tcti)
    assert [word in entries(station).replace("\\", "") for word in ('"ekMadeByStation":true', '"ekMadeByStation":false')] == [True, True]
    sent = send(office, bundle, receipt, public_key(station), "--profile", shutil.copy(profile, office.home))
    assert sent.status == 0, sent
    taken = accept(station, receipt, public_key(office))
    assert (taken.status, by_name(taken)) == (0, {name: ("enrolled", None)}), taken


def test_a_receipt_of_what_was_not_sent_says_that_it_waits(station, office, keys, tmp_path):
    names, profile, of_station, of_office = prepared(station, office)
    for path in (office.home / "profiles").glob("*"):
        path.unlink()
    bundle, receipt = tmp_path / "stick.bundle", tmp_path / "stick.receipt"
    assert export(station, bundle).status == 0
    assert send(office, bundle, receipt, of_station).status == 1
    taken = accept(station, receipt, of_office)
    assert (taken.status, taken.cause) == (6, "E5180"), taken
    assert by_name(taken) == {name: ("spooled", "E5180") for name in names}
    assert set(outbox(station)) == set(names)
    older = receipt
    newer = tmp_path / "newer.receipt"
    assert send(office, bundle, newer, of_station, "--profile", profile).status == 0
    first = accept(station, newer, of_office)
    again = accept(station, older, of_office)
    assert (again.status, by_name(again)) == (0, {name: ("already enrolled", None) for name in names}), again
    assert [(row["verified"], row["hub"]) for row in again.json] == [(True, row["hub"]) for row in first.json]


def test_no_secret_is_on_the_stick(station, office, keys, tmp_path):
    names, profile, of_station, _ = prepared(station, office)
    bundle, receipt = tmp_path / "stick.bundle", tmp_path / "stick.receipt"
    assert export(station, bundle).status == 0
    assert send(office, bundle, receipt, of_station, "--profile", profile).status == 0
    secrets = [json.loads((station.out / f"{name}.keys.json").read_text())[key] for name in names for key in ("primaryKey", "secondaryKey")]
    text = bundle.read_text() + receipt.read_text()
    assert not any(secret in text for secret in secrets + station.masters)
    assert bundle.stat().st_mode & 0o777 == receipt.stat().st_mode & 0o777 == 0o600


def test_sent_by_both_stations_is_one_enrollment(station, office, keys, tmp_path):
    names, profile, of_station, of_office = prepared(station, office, 1)
    bundle, receipt = tmp_path / "stick.bundle", tmp_path / "stick.receipt"
    assert export(station, bundle).status == 0
    assert station.sync().status == 0
    assert send(office, bundle, receipt, of_station, "--profile", profile).status == 0
    assert accept(station, receipt, of_office).json[0]["state"] == "already enrolled"
    assert [row["effect"] for row in station.emulator.effects("put", names[0])] == ["create"]


@pytest.mark.parametrize("scope", [None, "0ne00000000"])
def test_a_device_of_a_receipt_is_in_the_service_that_it_was_sent_to(station, office, keys, make_emulator, tmp_path, scope):
    """Nothing was sent from here, whatever ID scope was typed here."""
    profile, other = station.profile("derived-key", {"verify": "none"}), make_emulator(name="other")
    work = ["provision", "--profile", profile, "--manifest", batch.manifest(station, ["one", "two"]), "--journal", station.journal, "--out",
            station.out]
    assert station.muster(*work, "--offline", *(["--id-scope", scope] if scope else [])).status == 6
    assert office.provision(shutil.copy(profile, office.home), "OFFICE-1").status == 0
    sent, receipt = there(station, office, tmp_path)
    assert sent.status == 0, sent
    assert accept(station, receipt, public_key(office)).status == 0
    assert {row["service"] for row in station.rows().values()} == {station.emulator.id_scope}
    elsewhere = write_secret(station.home / "elsewhere", other.connection_string + "\n")
    for typed in ([], ["--id-scope", other.id_scope]):
        done = station.muster(*work, "--login-file", elsewhere, "--ca-file", other.ca_file, *typed)
        assert (done.status, done.cause) == (7, "E3105"), done
    assert Service(other.connection_string, other.ca_file).enrollments() == []
    back = station.muster(*work, "--login-file", station.login_file, "--ca-file", station.emulator.ca_file, "-o", "json")
    assert (back.status, back.json["before"]) == (0, 2), back


def test_the_scope_that_was_typed_here_counts_no_more_where_the_other_station_had_none(station, office, keys, make_emulator, tmp_path):
    """Its evidence names the service's host."""
    profile, other = station.profile("derived-key", {"verify": "none"}), make_emulator(name="other")
    work = ["provision", "--profile", profile, "--serial", "STICK-0", "--journal", station.journal, "--out", station.out, "-o", "json"]
    assert station.muster(*work, "--offline", "--id-scope", other.id_scope).status == 6
    copy = shutil.copy(profile, office.home)
    assert office.provision(copy, "OFFICE-1").status == 0
    bundle, receipt = tmp_path / "stick.bundle", tmp_path / "stick.receipt"
    assert export(station, bundle).status == 0
    sent = office.muster("bundle", "send", bundle, "--from", public_key(station), "--receipt", receipt, "--profile", copy, "--login-file",
                         office.login_file, "--ca-file", office.emulator.ca_file, "--journal", office.journal, "--out", office.out)
    assert sent.status == 0, sent
    assert accept(station, receipt, public_key(office)).status == 0
    assert [row.get("service") for row in station.rows().values()] == [None]
    elsewhere = write_secret(station.home / "elsewhere", other.connection_string + "\n")
    done = station.muster(*work, "--login-file", elsewhere, "--ca-file", other.ca_file, "--id-scope", other.id_scope)
    assert (done.status, done.cause) == (7, "E3105"), done
    assert Service(other.connection_string, other.ca_file).enrollments() == []
    back = station.muster(*work, "--login-file", station.login_file, "--ca-file", station.emulator.ca_file)
    assert (back.status, back.json["state"]) == (0, "already enrolled"), back


def test_a_changed_bundle_is_refused(station, office, keys, tmp_path):
    _, profile, of_station, _ = prepared(station, office, 1)
    bundle = tmp_path / "stick.bundle"
    assert export(station, bundle).status == 0
    bundle.write_text(bundle.read_text().replace("STICK-0", "STICK-9"))
    changes = station.emulator.changes()
    done = send(office, bundle, tmp_path / "r", of_station, "--profile", profile)
    assert (done.status, done.cause) == (8, "E6030"), done
    assert station.emulator.changes() == changes


def test_a_bundle_of_another_station_is_refused(station, office, keys, tmp_path):
    _, profile, of_station, of_office = prepared(station, office, 1)
    bundle = tmp_path / "stick.bundle"
    assert export(station, bundle).status == 0
    done = send(office, bundle, tmp_path / "r", of_office, "--profile", profile)
    assert (done.status, done.cause) == (5, "E6031"), done
    assert not pathlib.Path(tmp_path / "r").exists()


def test_without_its_profile_nothing_is_sent(station, office, keys, tmp_path):
    names, profile, of_station, _ = prepared(station, office, 1)
    for path in (office.home / "profiles").glob("*"):
        path.unlink()
    bundle = tmp_path / "stick.bundle"
    assert export(station, bundle).status == 0
    done = send(office, bundle, tmp_path / "r", of_station)
    assert (done.status, done.cause) == (1, "E5182"), done
    assert station.service.enrollment(names[0]) is None
    assert send(office, bundle, tmp_path / "r2", of_station, "--profile", profile).status == 0


def test_a_receipt_for_another_device_is_a_conflict(station, office, keys, tmp_path):
    names, profile, of_station, of_office = prepared(station, office, 1)
    bundle, receipt = tmp_path / "stick.bundle", tmp_path / "stick.receipt"
    assert export(station, bundle).status == 0
    assert send(office, bundle, receipt, of_station, "--profile", profile).status == 0
    done = station.muster("outbox", "resolve", names[0], "--as", "retired", "--reason", "lost", "--journal", station.journal)
    assert done.status == 0, done
    station.service.delete(names[0])
    spool(station, station.profile("derived-key"), "STICK-0")
    done = accept(station, receipt, of_office)
    assert (done.status, done.cause) == (7, "E5186"), done
    assert station.rows()[names[0]]["state"] == "spooled"


def sign_again(station, path, change):
    """The bundle with its content changed, and signed by the same station."""
    document = json.loads(path.read_text())
    content = json.loads(document["content"])
    change(content)
    document["content"] = json.dumps(content)
    digest = hashlib.sha256(document["content"].encode()).hexdigest()
    done = subprocess.run(["openssl", "dgst", "-sha256", "-sign", station.home / "station.key"], check=True, stdout=subprocess.PIPE,
                          input=f"muster.bundle/1 {digest}\n".encode())
    document["signature"] = base64.b64encode(done.stdout).decode()
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("member, value", [
    ("registrationId", "batch/devices.csv"), ("registrationId", "../../../../tmp/pwned"), ("registrationId", "Stick-0"),
    ("registrationId", ""), ("serial", "S\n1"), ("deviceId", "a/b"), ("profileSha256", "abc"), ("keySha256", "ab" * 31), ("attemptId", "x" * 32),
    ("keyId", "../id"), ("attemptId", None), ("spooled", None), ("spooled", [])])
def test_a_bundle_of_no_such_device_is_refused_whole(station, office, keys, tmp_path, member, value):
    _, profile, of_station, _ = prepared(station, office)
    bundle = tmp_path / "stick.bundle"
    assert export(station, bundle).status == 0

    def rename(content):
        content["devices"][-1][member] = value

    sign_again(station, bundle, rename)
    before = office.muster("journal", "export", "--journal", office.journal).stdout
    done = send(office, bundle, tmp_path / "r", of_station, "--profile", profile)
    assert (done.status, done.cause) == (8, "E6030"), done
    assert office.muster("journal", "export", "--journal", office.journal).stdout == before
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("which", ["certificate", "secondaryCertificate"])
def test_a_certificate_that_expired_meanwhile_is_not_sent(hsm_station, office, token, tmp_path, which):
    station = hsm_station
    profile = station.profile("hsm-x509", {"attestation": {"x509": {"secondaryKey": "own"}}})
    name = spool(station, profile, "stick-x", "--token", token.uri, "--pin-file", token.pin_file)
    of_station = public_key(station)
    bundle = tmp_path / "stick.bundle"
    assert export(station, bundle).status == 0
    expired = WrongServer(tmp_path / "expired", "expired").directory / "server.pem"
    der = subprocess.run(["openssl", "x509", "-in", expired, "-outform", "DER"], check=True, stdout=subprocess.PIPE).stdout

    def expire(content):
        content["devices"][0]["spooled"]["attestation"][which] = base64.b64encode(der).decode()

    sign_again(station, bundle, expire)
    done = send(office, bundle, tmp_path / "r", of_station, "--profile", profile)
    assert (done.status, done.cause) == (1, "E5184"), done
    assert office.rows()[name]["state"] == "dead-letter"
    assert station.emulator.changes() == []


def test_expired_ones_hold_up_no_others(hsm_station, office, token, tmp_path):
    """However many they are: each is a dead letter, and what comes behind them is sent."""
    station = hsm_station
    profile = station.profile("hsm-x509", {"verify": "none"})
    names = [spool(station, profile, f"stick-{number}", "--token", token.uri, "--pin-file", token.pin_file) for number in range(6)]
    bundle = tmp_path / "stick.bundle"
    assert export(station, bundle).status == 0
    expired = WrongServer(tmp_path / "expired", "expired").directory / "server.pem"
    der = subprocess.run(["openssl", "x509", "-in", expired, "-outform", "DER"], check=True, stdout=subprocess.PIPE).stdout

    def expire(content):
        for device in content["devices"]:
            if device["registrationId"] != names[-1]:
                device["spooled"]["attestation"]["certificate"] = base64.b64encode(der).decode()

    sign_again(station, bundle, expire)
    done = send(office, bundle, tmp_path / "r", public_key(station), "--profile", profile)
    assert done.status == 1 and "in a row" not in done.stderr, done
    assert {name: row["state"] for name, row in office.rows().items()} == {
        name: "released" if name == names[-1] else "dead-letter" for name in names}
    assert [row["id"] for row in station.emulator.ledger() if row["effect"] == "create"] == [names[-1]]


def test_a_certificate_that_expired_meanwhile_is_made_anew_with_the_device(release_station, tokens, token, tmp_path):
    station = release_station
    office = Station(tmp_path / "office", station.emulator, RELEASE)
    station.env["SOFTHSM2_CONF"] = office.env["SOFTHSM2_CONF"] = tokens.configuration
    profile = station.profile("hsm-x509", {"attestation": {"x509": {"validDays": 1}}})
    hardware = ["--token", token.uri, "--pin-file", token.pin_file]
    name = spool_at(station, "-3d", profile, "stick-x", *hardware)
    of_station, bundle = public_key(station), tmp_path / "stick.bundle"
    assert export(station, bundle).status == 0
    digest = station.rows()[name]["keySha256"]
    assert send(office, bundle, tmp_path / "r", of_station, "--profile", profile).cause == "E5184"
    before = office.rows()[name]
    done = office.provision(profile, "stick-x", *hardware)
    assert (done.status, done.json["verified"]) == (0, True), done
    after = office.rows()[name]
    assert before["keySha256"] == digest != after["keySha256"] and before["attemptId"] != after["attemptId"]
    assert station.emulator.writes(name) == ["create"] and len(token.key_ids()) == 1


def test_a_file_of_another_kind_takes_no_memory_before_it_is_refused(release_station, tmp_path):
    """Of 16 MB, and taken apart it would be a thousand."""
    station = release_station
    assert station.provision(station.profile("derived-key"), "STICK-0").status == 0
    other = tmp_path / "other.receipt"
    other.write_text('{"schema":"muster.receipt/1","content":[' + "0," * (8 * 1024 * 1024) + "0]}")
    done = accept(station, other, public_key(station), wrapper=("prlimit", f"--as={512 * 1024 * 1024}"))
    assert (done.status, done.cause) == (8, "E6030") and "is no receipt" in done.error["detail"], done


def test_nothing_to_export_is_told(station, tmp_path):
    station.provision(station.profile("derived-key"), "STICK-0")
    done = export(station, tmp_path / "stick.bundle")
    assert (done.status, done.cause) == (2, "E5185"), done


def test_a_key_that_was_destroyed_here_is_not_said_to_be_there(hsm_station, office, token, tmp_path):
    station, (_, public) = hsm_station, make_device(tmp_path, "board")
    profile = station.profile("hsm-x509", {"verify": "none", "attestation": {"x509": {"token": None, "key": {"lives": "wrapped-to-device"}}}})
    name = spool(station, profile, "stick-w", "--token", token.uri, "--pin-file", token.pin_file, "--device-key", public)
    assert token.key_ids() == []
    of_station = public_key(station)
    bundle, receipt = tmp_path / "stick.bundle", tmp_path / "stick.receipt"
    assert export(station, bundle).status == 0
    sent = send(office, bundle, receipt, of_station, "--profile", shutil.copy(profile, office.home))
    assert sent.status == 0, sent
    assert evidence_of(sent.json[0])["attestation"]["wrappedKey"]["destroyedInToken"] is True
    taken = accept(station, receipt, public_key(office))
    assert (taken.status, [row["registrationId"] for row in taken.json]) == (0, [name]), taken


@pytest.mark.parametrize("is_gone", [False, True], ids=["there", "gone"])
def test_a_tpm_goes_there_and_back_unverified(station, office, tpm, tmp_path, is_gone):
    """Its enrollment is not made again where it was deleted meanwhile."""
    profile = station.profile("tpm")
    name = spool(station, profile, "STICK-T", "--tpm", tpm.tcti)
    of_station = public_key(station)
    bundle, receipt = tmp_path / "stick.bundle", tmp_path / "stick.receipt"
    assert export(station, bundle).status == 0
    other = office.home / "tpm.yaml"
    shutil.copy(profile, other)
    sent = send(office, bundle, receipt, of_station, "--profile", other)
    assert (sent.status, sent.json[0]["verified"]) == (0, False), sent
    taken = accept(station, receipt, office.home / "station.pub")
    assert (taken.status, taken.json[0]["verified"]) == (0, False), taken
    if is_gone:
        station.service.delete(name)
    back = station.provision(profile, "STICK-T", "--tpm", tpm.tcti)
    if is_gone:
        assert (back.status, back.cause, station.service.enrollments()) == (3, "E3109", []), back
        return
    assert (back.status, back.json["verified"], back.json["registrationId"]) == (0, True, name), back
    assert evidence_of(back.json)["verification"]["verified"] is True


def test_as_many_devices_as_a_line_makes_in_a_day(emulator, tmp_path):
    """Of eleven hundred the bundle is more than a megabyte."""
    station, office = [Station(tmp_path / name, emulator, build=RELEASE) for name in ("line", "office")]
    shutil.copytree(station.home / "keys", office.home / "keys", dirs_exist_ok=True)
    profile, manifest = station.profile("derived-key", {"verify": "none"}), station.home / "devices.csv"
    manifest.write_text("serial\n" + "".join(f"DAY-{number:04}\n" for number in range(1100)))
    other = office.home / "derived-key.yaml"
    shutil.copy(profile, other)
    assert office.provision(other, "OFFICE-1").status == 0
    spooled = station.muster("provision", "--profile", profile, "--manifest", manifest, "--offline", "--journal", station.journal, "--out",
                             station.out, "--id-scope", station.emulator.id_scope, timeout=600)
    assert spooled.status == 6 and "1100 devices are ready and wait to be sent" in spooled.stderr, spooled
    bundle, receipt = tmp_path / "stick.bundle", tmp_path / "stick.receipt"
    assert export(station, bundle).status == 0
    assert bundle.stat().st_size > 1024 * 1024
    sent = send(office, bundle, receipt, public_key(station), "--profile", other, "--rate", "1000000", timeout=900)
    assert sent.status == 0 and {row["state"] for row in sent.json} == {"enrolled"}, sent.stderr
    taken = accept(station, receipt, public_key(office), timeout=900)
    assert taken.status == 0 and len(taken.json) == 1100, taken.stderr
    assert {row["state"] for row in station.rows().values()} == {"released"}
