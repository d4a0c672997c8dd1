"""A device that was released ends by decision, and its serial is free for what replaces it."""
import base64
import contextlib
import hashlib
import re
import sqlite3
import time

import pytest

from lib import batch
from lib.killer import choose, killer, points_of, recorder, was_killed
from lib.software_token import write_secret
from lib.tampering import link
from lib.wait import wait_until
from test_offline import evidence_of, spool
from test_outbox import restart

SERIAL = "RMA-1"
POINTS = 12


def retire(station, *arguments, reason="RMA-2231: board replaced", **options):
    return station.muster("retire", *arguments, "--reason", reason, "--journal", station.journal, "--login-file", station.login_file,
                          "--ca-file", station.emulator.ca_file, "-o", "json", **options)


def released(station, serial=SERIAL, profile="derived-key", *arguments):
    done = station.provision(station.profile(profile), serial, *arguments)
    assert done.status == 0, done
    return done.json["registrationId"]


def looked_only(station, count):
    """Since so many rows of the ledger it was asked for once, and nothing was sent."""
    return [(row["op"], row["effect"]) for row in station.emulator.ledger()[count:]] == [("get", "none")]


def entries(station, name):
    shown = station.muster("journal", "show", name, "--journal", station.journal, "-o", "json")
    assert shown.status == 0, shown
    return [entry for entry in shown.json["entries"] if entry["stage"] == "retire"]


@pytest.mark.parametrize("word", ["", " ", "\t "])
def test_who_and_why_are_said(station, word):
    name = station.provision(station.profile("derived-key"), "SN-1").json["registrationId"]
    for done in (retire(station, name, reason=word), retire(station, name, "--operator", word),
                 station.provision(station.profile("derived-key"), "SN-2", "--operator", word)):
        assert (done.status, done.cause) == (2, "E1001"), done
    assert station.service.enrollment(name) and list(station.rows()) == [name]


def test_enrollment_goes_and_the_reason_stays(station):
    name = released(station)
    done = retire(station, SERIAL, "--operator", "linh")
    assert (done.status, done.json["state"]) == (0, "retired"), done
    assert station.service.enrollment(name) is None
    intent, outcome = entries(station, name)
    assert (intent["kind"], intent["body"]["effect"]) == ("intent", "delete")
    assert outcome["operator"] == "linh"
    assert outcome["body"] == {"enrollment": "deleted", "reason": "RMA-2231: board replaced"}
    assert "E6012" in station.muster("journal", "verify", "--journal", station.journal).stderr


def test_the_former_life_of_a_device_was_spooled(station):
    """What was noted then is not held against what it is now."""
    profile = station.profile("derived-key")
    name = spool(station, profile, SERIAL)
    assert station.sync().status == 0
    assert retire(station, SERIAL).status == 0
    restart(station, "put:cut-before", "get:cut-before")
    assert station.provision(profile, SERIAL).status != 0
    assert station.rows()[name]["state"] == "parked"
    restart(station)
    done = station.sync()
    assert done.status == 0 and done.json[0]["state"] == "enrolled", done
    assert "spooled" not in evidence_of(done.json[0])


@pytest.mark.parametrize("end", ["retired", "given up"])
def test_what_comes_back_by_itself_is_of_no_batch(station, end):
    if end == "given up":
        restart(station, "put+get+bulk:status=503:retry-after=0")
    path = batch.manifest(station, [SERIAL])
    done = batch.provision(station, path, "--patience", "0")
    [name] = station.rows()
    digest = station.rows()[name]["batch"]
    if end == "retired":
        assert done.status == 0 and digest, done
        assert retire(station, name).status == 0
    else:
        assert station.rows()[name]["state"] == "parked" and digest, done
        done = station.muster("outbox", "resolve", name, "--as", "failed", "--reason", "scrapped", "--journal", station.journal)
        assert done.status == 0, done
        restart(station)
    assert released(station) == name
    assert "batch" not in station.rows()[name]


def test_serial_is_free_for_another_board(station, make_tpm):
    old, new = make_tpm("old"), make_tpm("new")
    before = released(station, SERIAL, "tpm", "--tpm", old.tcti)
    refused = station.provision(station.profile("tpm"), SERIAL, "--tpm", new.tcti)
    assert (refused.status, refused.cause) == (7, "E3102"), refused
    assert "muster retire" in refused.stderr
    assert retire(station, SERIAL).status == 0
    after = released(station, SERIAL, "tpm", "--tpm", new.tcti)
    assert after != before
    assert station.service.enrollment(after)
    assert {name: row["state"] for name, row in station.rows().items()} == {before: "retired", after: "released"}


def test_the_same_device_can_come_back(station):
    name = released(station)
    assert retire(station, name).status == 0
    assert released(station) == name
    assert [row["effect"] for row in station.emulator.effects("put", name)] == ["create", "create"]


def test_a_derived_key_is_that_of_the_board_before(station):
    first = released(station)
    plain = station.provision(station.profile("derived-key"), "RMA-2")
    assert plain.status == 0 and "E4318" not in plain.stderr, plain
    assert "derivedAgain" not in evidence_of(plain.json)["attestation"]
    ended = retire(station, first)
    assert ended.status == 0 and "gets the same" in ended.stderr, ended
    done = station.provision(station.profile("derived-key"), SERIAL)
    assert done.status == 0 and "E4318" in done.stderr, done
    assert evidence_of(done.json)["attestation"]["derivedAgain"] is True


def test_a_manifest_that_is_run_again_does_not_bring_it_back(station):
    path = batch.manifest(station, ["RMA-1", "RMA-2"])
    assert batch.provision(station, path).status == 0
    assert retire(station, "rma-1").status == 0
    done = batch.provision(station, path)
    assert done.status == 7, done
    assert "E6021" in done.stdout + done.stderr and "'rma-1' was retired" in done.stdout + done.stderr
    assert station.service.enrollment("rma-1") is None
    assert {name: row["state"] for name, row in station.rows().items()} == {"rma-1": "retired", "rma-2": "released"}


def test_a_manifest_brings_it_back_when_told_to(station):
    path = batch.manifest(station, ["RMA-1", "RMA-2"])
    assert batch.provision(station, path).status == 0
    assert retire(station, "rma-1").status == 0
    done = batch.provision(station, path, "--with-retired")
    assert done.status == 0, done
    assert (done.json["enrolled"], done.json["before"]) == (1, 1), done
    assert station.service.enrollment("rma-1")
    assert [row["state"] for row in station.rows().values()] == ["released", "released"]
    count = len(batch.requests(station))
    assert batch.provision(station, path, "--with-retired").status == 0
    assert len(batch.requests(station)) == count


def test_what_comes_back_is_said_of_a_manifest_alone(station):
    done = station.provision(station.profile("derived-key"), SERIAL, "--with-retired")
    assert (done.status, done.cause) == (2, "E1411"), done


def test_disabled_it_stays_and_its_record_goes(station):
    name = released(station)
    assert station.service.registration(name)
    done = retire(station, name, "--disable")
    assert (done.status, done.json["state"]) == (0, "retired"), done
    assert station.service.enrollment(name)["provisioningStatus"] == "disabled"
    assert station.service.registration(name) is None


def test_what_was_kept_disabled_goes_when_retired_again(station):
    name = released(station)
    assert retire(station, name, "--disable").status == 0
    count = len(station.emulator.ledger())
    assert retire(station, name, "--disable").status == 0 and looked_only(station, count)
    kept = station.service.enrollment(name)
    row = station.rows()[name]
    done = retire(station, name, reason="RMA-2240: scrapped")
    assert (done.status, done.json["state"]) == (0, "retired"), done
    assert f"'{name}' was kept disabled until now and is deleted" in done.stderr, done
    assert station.service.enrollment(name) is None and station.rows()[name] == row
    (_, first), (intent, second) = entries(station, name)[:2], entries(station, name)[2:]
    assert first["body"] == {"enrollment": "disabled", "reason": "RMA-2231: board replaced", "etag": kept["etag"]}
    assert (intent["body"]["effect"], second["body"]) == ("delete", {"enrollment": "deleted", "reason": "RMA-2240: scrapped"})
    count = len(station.emulator.ledger())
    again = retire(station, name)
    assert again.status == 0 and "kept" not in again.stderr and looked_only(station, count), again
    assert "E6012" in station.muster("journal", "verify", "--journal", station.journal).stderr


def set_status(station, name, status):
    done = station.muster("enrollment", "update", "--eid", name, "--ps", status, "--login-file", station.login_file, "--ca-file",
                          station.emulator.ca_file)
    assert done.status == 0, done


def test_what_was_kept_disabled_and_is_used_again_stays(station):
    """Somebody enabled it: that is not for a second retirement to end without a word."""
    name = released(station)
    assert retire(station, name, "--disable").status == 0
    set_status(station, name, "enabled")
    done = retire(station, name)
    assert (done.status, done.cause) == (7, "E5110"), done
    assert station.service.enrollment(name)["provisioningStatus"] == "enabled" and len(entries(station, name)) == 2
    assert retire(station, name, "--force").status == 0
    assert station.service.enrollment(name) is None


def forget_etags(journal):
    """As it was written before they were: with digests that fit."""
    names = ("seq", "registrationId", "atMs", "stage", "kind", "attempt", "operator", "station", "body")
    digest = bytes(32)
    with contextlib.closing(sqlite3.connect(journal)) as db, db:
        trigger, = db.execute("SELECT sql FROM sqlite_schema WHERE name = 'entry_is_final'").fetchone()
        db.execute("DROP TRIGGER entry_is_final")
        for *row, body in db.execute("SELECT seq, registration_id, at_ms, stage, kind, attempt, operator, station, body FROM entry "
                                     "ORDER BY seq").fetchall():
            body = re.sub(',"etag":"[^,}]*"', "", body) if row[3] == "retire" else body
            digest, _ = link(digest, tuple(zip(names, (*row, body))))
            db.execute("UPDATE entry SET body = ?, digest = ? WHERE seq = ?", (body, digest, row[0]))
        db.execute(trigger)


def test_what_an_older_muster_kept_disabled_goes_only_while_it_is(station):
    name = released(station)
    assert retire(station, name, "--disable").status == 0
    forget_etags(station.journal)
    assert "etag" not in entries(station, name)[-1]["body"]
    set_status(station, name, "enabled")
    done = retire(station, name)
    assert (done.status, done.cause) == (7, "E5110") and station.service.enrollment(name), done
    set_status(station, name, "disabled")
    assert retire(station, name).status == 0
    assert station.service.enrollment(name) is None


def come_back_in_vain(station, name):
    """The device is retired and its enrollment kept; provisioned again it finds that in its way, and a person gives it up."""
    assert retire(station, name, "--disable").status == 0
    refused = station.provision(station.profile("derived-key"), SERIAL)
    assert (refused.status, refused.cause) == (7, "E3101"), refused
    assert retire(station, name).cause == "E6020" and station.service.enrollment(name)
    done = station.muster("outbox", "resolve", name, "--as", "retired", "--reason", "scrap", "--journal", station.journal)
    assert done.status == 0, done


def test_what_was_kept_disabled_goes_also_when_its_device_came_back_in_vain(station):
    name = released(station)
    come_back_in_vain(station, name)
    done = retire(station, name, reason="RMA-2240: scrapped")
    assert (done.status, done.json["state"]) == (0, "retired") and "kept disabled until now and is deleted" in done.stderr, done
    assert station.service.enrollment(name) is None
    count = len(station.emulator.ledger())
    assert retire(station, name).status == 0 and looked_only(station, count)
    assert "E6012" in station.muster("journal", "verify", "--journal", station.journal).stderr
    assert released(station) == name and retire(station, name).status == 0


def test_what_was_kept_disabled_stays_when_others_wrote_it_while_its_device_came_back_in_vain(station):
    name = released(station)
    come_back_in_vain(station, name)
    set_status(station, name, "enabled")
    set_status(station, name, "disabled")
    done = retire(station, name)
    assert (done.status, done.cause) == (7, "E5110") and station.service.enrollment(name), done
    station.service.delete(name)
    done = retire(station, name)
    assert done.status == 0 and "is gone" in done.stderr, done


def test_what_was_kept_disabled_and_is_gone_is_recorded(station):
    name = released(station)
    assert retire(station, name, "--disable").status == 0
    station.service.delete(name)
    done = retire(station, name)
    assert done.status == 0 and "is gone" in done.stderr, done
    assert entries(station, name)[-1]["body"]["enrollment"] == "gone"


def test_again_nothing_is_written(station):
    name = released(station)
    assert retire(station, name).status == 0
    count = len(station.emulator.ledger())
    again = retire(station, name)
    assert (again.status, again.json["state"]) == (0, "retired"), again
    assert looked_only(station, count)
    assert len(entries(station, name)) == 2


def test_what_others_wrote_is_not_deleted_unless_forced(station):
    name = released(station)
    updated = station.muster("enrollment", "update", "--eid", name, "--ps", "disabled", "--login-file", station.login_file, "--ca-file",
                             station.emulator.ca_file)
    assert updated.status == 0, updated
    done = retire(station, name)
    assert (done.status, done.cause) == (7, "E5110"), done
    assert (station.rows()[name]["state"], entries(station, name)) == ("released", [])
    assert retire(station, name, "--force").status == 0
    assert station.service.enrollment(name) is None


@pytest.mark.parametrize("ways", [(), ("--disable",)], ids=["deleted", "disabled"])
@pytest.mark.parametrize("is_batch", [False, True], ids=["single", "batch"])
def test_what_is_read_without_an_etag_is_not_ended_unless_forced(station, is_batch, ways):
    """The row of a batch has none, which is normal; a service whose answer has none protects nothing."""
    if is_batch:
        assert batch.provision(station, batch.manifest(station, [SERIAL])).status == 0
    name = SERIAL.lower() if is_batch else released(station)
    written = time.time()
    restart(station, "get:garbage=no-etag", "delete:cut-before:count=1")
    before = station.service.enrollment(name)
    done = retire(station, name, *ways)
    assert (done.status, done.cause) == (6, "E5121") and "without an etag" in done.stderr, done
    assert station.service.enrollment(name) == before and entries(station, name) == []
    assert station.rows()[name]["state"] == "released" and not station.emulator.effects("delete", name)
    restart(station, "delete:cut-before:count=1", *([] if ways else ["get:garbage=no-etag"]))
    # What was written in the second of the deletion could be somebody else's.
    wait_until(lambda: time.time() > written + 2)
    assert retire(station, name, *ways, *([] if ways else ["--force"])).status == 0
    assert (station.service.enrollment(name) or {}).get("provisioningStatus") == ("disabled" if ways else None)


@pytest.mark.parametrize("before", [None, {"rack": 4}])
def test_an_enrollment_that_lost_its_mark_is_still_this_devices(station, before):
    """Others wrote it, but no attempt: --force ends it, so that the board cannot register any more."""
    name = released(station, SERIAL, "derived-key") if before is None else station.provision(
        station.profile("derived-key", {"deviceInformation": before}), SERIAL).json["registrationId"]
    done = station.muster("enrollment", "update", "--eid", name, "--info", '{"note":"rack 5"}', "--login-file", station.login_file,
                          "--ca-file", station.emulator.ca_file)
    assert done.status == 0 and station.service.enrollment(name)["optionalDeviceInformation"] == {"note": "rack 5"}
    done = retire(station, name)
    assert (done.status, done.cause) == (7, "E5110") and "another device" not in done.stderr, done
    assert station.service.enrollment(name) and entries(station, name) == []
    done = retire(station, name, "--force")
    assert done.status == 0 and "left as it is" not in done.stderr, done
    assert station.service.enrollment(name) is None and entries(station, name)[-1]["body"]["enrollment"] == "deleted"


def test_an_enrollment_without_a_mark_that_has_a_tpm_is_not_that_of_a_derived_key(station, tpm):
    """Its key is not this device's, whoever wrote it."""
    name = released(station)
    enroll_for_another(station, name)
    done = station.muster("enrollment", "create", "--eid", name, "--at", "tpm", "--tpm", tpm.tcti, "--login-file", station.login_file,
                          "--ca-file", station.emulator.ca_file)
    assert done.status == 0, done
    ek = base64.b64decode(station.service.enrollment(name)["attestation"]["tpm"]["endorsementKey"])
    is_left_to_another(station, name, hashlib.sha256(ek).hexdigest())


def enroll_for_another(station, name):
    """As the desk does whose own journal does not know the device: what is there goes by hand, and its board is enrolled."""
    assert station.muster("enrollment", "delete", "--eid", name, "--login-file", station.login_file, "--ca-file",
                          station.emulator.ca_file).status == 0
    return {"serial": SERIAL, "options": ("--journal", station.home / "desk.db", "--out", station.home / "desk")}


def is_left_to_another(station, name, key_digest):
    """The other device's enrollment stays and the row says why, with force only."""
    before = station.service.enrollment(name)
    refused = retire(station, name)
    assert (refused.status, refused.cause, entries(station, name)) == (7, "E5120", []), refused
    assert "another device" in refused.stderr and "--force" in refused.stderr
    count = len(station.emulator.ledger())
    done = retire(station, name, "--force")
    assert (done.status, done.json["state"]) == (0, "retired") and "left as it is" in done.stderr, done
    assert station.service.enrollment(name) == before
    assert {row["effect"] for row in station.emulator.ledger()[count:]} == {"none"}
    intent, outcome = entries(station, name)
    assert (intent["body"]["effect"], intent["body"]["forced"]) == ("none", True)
    assert outcome["body"] == {"enrollment": "replaced", "reason": "RMA-2231: board replaced", "etag": before["etag"],
                               **({"keySha256": key_digest} if key_digest else {})}


@pytest.mark.parametrize("how", ["desk", "az"])
def test_the_enrollment_of_the_board_that_replaced_it_stays(station, make_tpm, how):
    """Another station enrolled it, or its key was put in by hand."""
    profile = station.profile("tpm", {"registrationId": "{serial.lower}"})
    old, new = make_tpm("old"), make_tpm("new")
    name = station.provision(profile, SERIAL, "--tpm", old.tcti).json["registrationId"]
    if how == "desk":
        other = enroll_for_another(station, name)
        done = station.provision(profile, other["serial"], "--tpm", new.tcti, *other["options"])
        assert done.status == 0 and done.json["state"] == "enrolled", done
    else:
        done = station.muster("enrollment", "update", "--eid", name, "--tpm", new.tcti, "--login-file", station.login_file,
                              "--ca-file", station.emulator.ca_file)
        assert done.status == 0, done
    ek = base64.b64decode(station.service.enrollment(name)["attestation"]["tpm"]["endorsementKey"])
    is_left_to_another(station, name, hashlib.sha256(ek).hexdigest())
    again = station.provision(profile, "RMA-2", "--tpm", old.tcti)
    assert again.status == 0 and again.json["state"] == "enrolled", again


def test_the_enrollment_of_another_derived_key_stays(station):
    """What it is for, the attempt that wrote it says: the keys are the same."""
    name = released(station)
    other = enroll_for_another(station, name)
    assert station.provision(station.profile("derived-key"), other["serial"], *other["options"]).json["state"] == "enrolled"
    is_left_to_another(station, name, None)


def test_the_enrollment_of_another_certificate_stays(hsm_station, token):
    station, with_token = hsm_station, ("--token", token.uri, "--pin-file", token.pin_file)
    name = released(station, SERIAL, "hsm-x509", *with_token)
    other = enroll_for_another(station, name)
    profile = station.profile("hsm-x509", {"attestation": {"x509": {"keyLabel": "other-{serial.lower}"}}}, name="other")
    done = station.provision(profile, other["serial"], *with_token, *other["options"])
    assert done.status == 0 and done.json["state"] == "enrolled", done
    found = station.service.enrollment(name)["attestation"]["x509"]["clientCertificates"]["primary"]["info"]["sha256Thumbprint"]
    is_left_to_another(station, name, found.lower())


def test_what_another_station_enrolled_and_this_one_took_over_is_deleted_when_forced(station):
    """It is this device's, whoever wrote it first."""
    name = station.provision(station.profile("derived-key"), SERIAL, "--journal", station.home / "line.db", "--out",
                             station.home / "line").json["registrationId"]
    released(station)
    assert [row["effect"] for row in station.emulator.effects("put", name)] == ["create"]
    assert station.muster("enrollment", "update", "--eid", name, "--ps", "disabled", "--login-file", station.login_file, "--ca-file",
                          station.emulator.ca_file).status == 0
    assert retire(station, name).cause == "E5110"
    assert retire(station, name, "--force").status == 0
    assert station.service.enrollment(name) is None
    assert entries(station, name)[0]["body"]["forced"] is True


def test_what_the_service_does_not_have_is_retired_only_when_forced(station):
    """It may be another service."""
    name = released(station)
    station.service.delete(name)
    done = retire(station, name)
    assert (done.status, done.cause) == (3, "E5108"), done
    assert station.rows()[name]["state"] == "released"
    assert retire(station, name, "--force").status == 0
    assert entries(station, name)[-1]["body"]["enrollment"] == "gone"


def test_a_device_that_waits_is_not_retired(station):
    done = station.provision(station.profile("derived-key"), SERIAL, "--offline")
    assert done.status == 6, done
    done = retire(station, SERIAL)
    assert (done.status, done.cause) == (2, "E6020"), done
    assert "outbox resolve" in done.stderr


def give_up(station, name, state="retired"):
    done = station.muster("outbox", "resolve", name, "--as", state, "--reason", "scrap", "--journal", station.journal)
    assert done.status == 0, done


def test_what_is_at_the_service_of_a_device_that_was_given_up_goes(station):
    """Nobody had looked for it."""
    name = parked_at_the_service(station)
    give_up(station, name)
    done = retire(station, name)
    assert done.status == 0 and f"'{name}' was left until now and is deleted" in done.stderr, done
    assert station.service.enrollment(name) is None
    count = len(station.emulator.ledger())
    assert retire(station, name).status == 0 and looked_only(station, count)


def parked_at_the_service(station):
    """It is enrolled, and could not register."""
    batch.restart(station, "--fault", "register:status=400")
    assert station.provision(station.profile("derived-key"), SERIAL).status != 0
    (name, row), = station.rows().items()
    assert station.service.enrollment(name) and row["state"] == "parked"
    return name


def test_what_was_given_up_and_is_not_at_the_service_is_no_failure(station):
    name = parked_at_the_service(station)
    give_up(station, name)
    station.service.delete(name)
    done = retire(station, name)
    assert done.status == 0 and "is gone" in done.stderr and entries(station, name)[-1]["body"]["enrollment"] == "gone", done


def test_of_what_was_never_sent_nothing_is_asked(station):
    """Another station may have enrolled it since."""
    assert station.provision(station.profile("derived-key"), SERIAL, "--offline").status == 6
    name, = station.rows()
    give_up(station, name)
    other = {"options": ("--journal", station.home / "desk.db", "--out", station.home / "desk")}
    assert station.provision(station.profile("derived-key"), SERIAL, *other["options"]).status == 0
    count = len(station.emulator.ledger())
    assert retire(station, name).status == 0 and len(station.emulator.ledger()) == count
    assert station.service.enrollment(name)


def test_what_a_second_life_left_goes(station):
    """What was released in the first says nothing of it."""
    name = released(station)
    assert retire(station, name).status == 0
    assert parked_at_the_service(station) == name
    give_up(station, name)
    done = retire(station, name)
    assert done.status == 0 and "was left until now and is deleted" in done.stderr, done
    assert station.service.enrollment(name) is None and "cause" not in {k for k, v in station.rows()[name].items() if v}


def test_what_a_life_left_is_not_forgotten_for_one_that_was_never_sent(station):
    name = parked_at_the_service(station)
    give_up(station, name)
    assert station.provision(station.profile("derived-key"), SERIAL, "--offline").status == 6
    give_up(station, name)
    done = retire(station, name)
    assert done.status == 0 and "was left until now and is deleted" in done.stderr, done
    assert station.service.enrollment(name) is None


def test_what_was_left_goes_also_when_its_device_failed_since(station):
    name = parked_at_the_service(station)
    give_up(station, name)
    batch.restart(station, "--fault", "put:status=403")
    assert station.provision(station.profile("derived-key"), SERIAL).status == 5
    assert station.rows()[name]["state"] == "failed"
    done = retire(station, name)
    assert (done.status, done.json["state"]) == (0, "retired") and "is deleted" in done.stderr, done
    assert station.service.enrollment(name) is None


def test_what_was_left_in_the_place_of_what_was_kept_goes(station):
    name = released(station)
    assert retire(station, name, "--disable").status == 0
    station.service.delete(name)
    assert parked_at_the_service(station) == name
    give_up(station, name)
    done = retire(station, name)
    assert done.status == 0 and "is deleted" in done.stderr and station.service.enrollment(name) is None, done


def test_what_was_left_is_asked_of_its_own_service_alone(station):
    name = parked_at_the_service(station)
    give_up(station, name)
    login = write_secret(station.home / "elsewhere", station.login_file.read_text().replace("localhost", "127.0.0.1"))
    refused = station.muster("retire", name, "--reason", "x", "--journal", station.journal, "--login-file", login, "--ca-file",
                             station.emulator.ca_file, "-o", "json")
    assert (refused.status, refused.cause) == (7, "E3105"), refused
    done = retire(station, name)
    assert done.status == 0 and station.service.enrollment(name) is None, done


def test_what_was_kept_disabled_goes_also_when_its_device_failed_since(station):
    name = released(station)
    assert retire(station, name, "--disable").status == 0
    station.emulator.restart("--fault", "put:status=403")
    station.renew_login()
    assert station.provision(station.profile("derived-key"), SERIAL).status == 5
    assert station.rows()[name]["state"] == "failed"
    done = retire(station, name)
    assert (done.status, done.json["state"]) == (0, "retired") and "kept disabled until now and is deleted" in done.stderr, done
    assert station.service.enrollment(name) is None


def test_what_others_wrote_after_a_refused_retirement_is_not_deleted(station):
    name = released(station)
    batch.restart(station, "--fault", "delete:status=403")
    assert retire(station, name).status == 5
    batch.restart(station)
    done = station.muster("enrollment", "update", "--eid", name, "--tags", '{"customer":"acme"}', "--login-file", station.login_file,
                          "--ca-file", station.emulator.ca_file)
    assert done.status == 0, done
    done = retire(station, name)
    assert (done.status, done.cause) == (7, "E5110") and station.service.enrollment(name), done
    assert retire(station, name, "--force").status == 0 and station.service.enrollment(name) is None


def test_a_service_of_another_name_is_not_asked(station):
    """Neither for what it does not have nor for what it has."""
    name = released(station)
    login = write_secret(station.home / "elsewhere", station.login_file.read_text().replace("localhost", "127.0.0.1"))
    there = station.service.enrollment(name)
    arguments = [*("--reason", "x"), "--journal", station.journal, "--login-file", login, "--ca-file", station.emulator.ca_file, "-o", "json"]
    refused = station.muster("retire", name, *arguments)
    assert (refused.status, refused.cause) == (7, "E3105") and "127.0.0.1" in refused.stderr and "localhost" in refused.stderr, refused
    done = station.muster("retire", name, "--force", *arguments)
    assert done.status == 0 and "is left as it is" in done.stderr and station.service.enrollment(name) == there, done
    assert entries(station, name)[-1]["body"]["enrollment"] == "elsewhere"
    done = retire(station, name)
    assert done.status == 0 and "was left until now and is deleted" in done.stderr and station.service.enrollment(name) is None, done


def with_another_certificate(station, token, name):
    """As when it was renewed at the service."""
    renewed = station.home / "renewed.pem"
    signed = station.muster("cert", "self-sign", "--token", token.uri, "--pin-file", token.pin_file, "--key", f"pkcs11:object={name}", "--subject",
                            f"CN={name}", "--days", "400", "--out", renewed, "--journal", station.journal)
    assert signed.status == 0, signed
    done = station.muster("enrollment", "update", "--eid", name, "--cp", renewed, "--login-file", station.login_file, "--ca-file",
                          station.emulator.ca_file)
    assert done.status == 0, done


def test_an_enrollment_whose_certificate_was_renewed_is_still_this_devices(hsm_station, token):
    station = hsm_station
    name = released(station, SERIAL, "hsm-x509", "--token", token.uri, "--pin-file", token.pin_file)
    with_another_certificate(station, token, name)
    done = retire(station, name)
    assert (done.status, done.cause) == (7, "E5110") and "another device" not in done.stderr, done
    assert retire(station, name, "--force").status == 0 and station.service.enrollment(name) is None


def test_a_certificate_that_came_in_vain_does_not_hide_the_one_that_was_kept(hsm_station, token):
    station, with_token = hsm_station, ("--token", token.uri, "--pin-file", token.pin_file)
    name = released(station, SERIAL, "hsm-x509", *with_token)
    assert retire(station, name, "--disable").status == 0
    set_status(station, name, "enabled")
    refused = station.provision(station.profile("hsm-x509"), SERIAL, *with_token)
    assert (refused.status, refused.cause) == (7, "E3101"), refused
    give_up(station, name)
    done = retire(station, name)
    assert (done.status, done.cause) == (7, "E5110") and station.service.enrollment(name), done
    assert retire(station, name, "--force").status == 0 and station.service.enrollment(name) is None


@pytest.mark.parametrize("reason", [(), ("--reason", "")])
def test_a_reason_must_be_given(station, reason):
    name = released(station)
    done = station.muster("retire", name, *reason, "--journal", station.journal, "--login-file", station.login_file)
    assert (done.status, done.cause) == (2, "E1001"), done
    assert station.service.enrollment(name)


def test_a_device_that_is_not_known(station):
    released(station)
    assert retire(station, "nobody").cause == "E6010"


@pytest.mark.parametrize("how", [(), ("--disable",)])
def test_a_lost_answer_is_read_back(station, how):
    name = released(station)
    station.emulator.restart("--fault", "delete+put:cut-after:count=1")
    station.renew_login()
    done = retire(station, name, *how)
    assert (done.status, done.json["state"]) == (0, "retired"), done


def test_what_was_kept_disabled_is_read_back_too(station):
    name = released(station)
    assert retire(station, name, "--disable").status == 0
    for fault, status in (("delete:status=403", 5), ("delete:cut-after:count=1", 0)):
        station.emulator.restart("--fault", fault)
        station.renew_login()
        done = retire(station, name)
        assert done.status == status, done
    assert station.service.enrollment(name) is None and entries(station, name)[-1]["body"]["enrollment"] == "deleted"


@pytest.mark.parametrize("how", [(), ("--disable",)])
def test_killed_at_any_system_call_it_goes_on(release_station, how):
    station, log = release_station, release_station.home / "strace.log"
    name = released(station)
    assert retire(station, name, *how, wrapper=recorder(log)).status == 0
    points, killed = choose(points_of(log), POINTS), 0
    assert len(points) == POINTS
    for point in points:
        station.service.delete(name)
        released(station)
        killed += was_killed(retire(station, name, *how, wrapper=killer(*point)).status)
        done = retire(station, name, *how)
        assert (done.status, done.json["state"]) == (0, "retired"), (point, done)
    assert killed >= len(points) // 2
