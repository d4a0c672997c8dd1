"""Devices that wait for the network or a person: seen, put back, or decided about."""
import base64
import contextlib
import hashlib
import sqlite3

import pytest

from lib import batch
from test_offline import device_ids, given_ids, offline, spool


def outbox(station, *arguments):
    done = station.muster("outbox", "list", "--journal", station.journal, "-o", "json", *arguments)
    assert done.status == 0, done
    return {row["registrationId"]: row for row in done.json}


def retry(station, *arguments):
    return station.muster("outbox", "retry", *station.common(), "-o", "json", *arguments)


def resolve(station, name, *arguments):
    return station.muster("outbox", "resolve", name, "--journal", station.journal, "-o", "json", *arguments)


def restart(station, *faults):
    station.emulator.restart(*[word for fault in faults for word in ("--fault", fault)])
    station.renew_login()


def foreign(station, name):
    """An enrollment of that ID with other keys."""
    status, document = station.service.put(name, {"registrationId": name, "attestation": {
        "type": "symmetricKey", "symmetricKey": {"primaryKey": "A" * 43 + "=", "secondaryKey": "A" * 43 + "="}}})
    assert status == 200, document


def conflicting(station, budget, serial="WAIT-1"):
    """Spooled, and enrolled otherwise by somebody else meanwhile."""
    name = spool(station, station.profile("derived-key", {"retryBudget": budget}), serial)
    foreign(station, name)
    done = station.sync()
    assert (done.status, done.cause) == (7, "E3101"), done
    return name


def test_spooled_device_waits_for_the_network(station):
    name = spool(station, station.profile("derived-key"), "WAIT-1")
    row = outbox(station)[name]
    assert (row["state"], row["waitsFor"], row["failures"]) == ("spooled", "network", 0)
    assert outbox(station, "--waits", "person") == {}
    shown = station.muster("outbox", "show", "WAIT-1", "--journal", station.journal, "-o", "json")
    assert (shown.status, shown.json["registrationId"]) == (0, name), shown


def test_certificate_of_a_spooled_device_is_watched(hsm_station, token):
    station = hsm_station
    profile = station.profile("hsm-x509", {"attestation": {"x509": {"validDays": 20}}})
    name = spool(station, profile, "wait-x", "--token", token.uri, "--pin-file", token.pin_file)
    assert outbox(station)[name]["expires"]
    done = station.sync()
    assert done.status == 0, done
    assert "expires at" in done.stderr


def test_finished_device_is_not_in_the_outbox(station):
    station.provision(station.profile("derived-key"), "WAIT-1")
    assert outbox(station) == {}
    shown = station.muster("outbox", "show", "WAIT-1", "--journal", station.journal)
    assert (shown.status, shown.cause) == (2, "E5185"), shown


def test_device_that_could_not_be_reached_is_sent_by_sync(station):
    """Derived keys need no hardware, so what the bench could not finish is not lost with the device's leaving."""
    restart(station, "put:cut-after:count=1", "get:cut-before")
    profile = station.profile("derived-key")
    done = station.provision(profile, "WAIT-1")
    assert done.status in (6, 9), done
    [name] = outbox(station, "--waits", "network")
    restart(station)
    assert station.sync().status == 0
    assert outbox(station) == {}
    assert station.service.enrollment(name)


def test_devices_that_could_not_be_reached_wait_through_a_refused_credential(station):
    restart(station, "bulk+put+get:status=503:retry-after=0")
    batch.provision(station, batch.manifest(station, batch.serials(4)), "--patience", "0", profile=station.profile("derived-key"))
    restart(station, "bulk+put+get:status=403")
    for _ in range(2):
        assert station.sync().status == 5
        assert len(outbox(station, "--waits", "network")) == 4
    restart(station)
    done = station.sync()
    assert (done.status, len(done.json)) == (0, 4), done
    assert outbox(station) == {}


@pytest.mark.parametrize("faults", [["bulk+put+get:status=503:retry-after=0"], ["bulk+put:cut-after", "get:status=503:retry-after=0"]])
def test_ids_of_devices_that_could_not_be_reached_are_kept(station, faults):
    profile = station.profile("derived-key", {"deviceId": "made-{serial}"})
    restart(station, *faults)
    done = batch.provision(station, given_ids(station), "--patience", "0", profile=profile)
    assert done.status in (6, 9) and len(outbox(station, "--waits", "network")) == 3, done
    restart(station)
    done = station.sync()
    assert done.status == 0, done
    assert device_ids(station) == {"given-1": "device-1", "given-2": "given-2", "given-3": "made-OFF-3"}


@pytest.mark.parametrize("faults", [None, ["bulk+put+get:status=503:retry-after=0"], ["bulk+put:cut-after", "get:status=503:retry-after=0"]])
def test_a_device_id_that_was_given_is_not_made_anew(station, faults):
    """By `provision` with the device, which has no manifest to say it again."""
    profile = station.profile("derived-key", {"registrationId": "{serial.lower}"})
    manifest = station.home / "manifest.csv"
    manifest.write_text("serial,deviceId\nS-2,other-2\n")
    restart(station, *(faults or []))
    batch.provision(station, manifest, *(["--patience", "0"] if faults else ["--offline"]), profile=profile)
    assert (list(outbox(station)), station.rows()["s-2"]["deviceId"]) == (["s-2"], "other-2")
    restart(station)
    done = station.provision(profile, "S-2")
    assert (done.status, done.json["deviceId"]) == (0, "other-2"), done
    assert (station.service.enrollment("s-2")["deviceId"], station.rows()["s-2"]["deviceId"]) == ("other-2", "other-2")
    again = station.provision(profile, "S-2")
    assert (again.status, again.json["state"]) == (0, "already enrolled"), again


def test_a_device_id_that_was_given_is_kept_by_another_profile(station):
    """It is the one before that says whether it was given."""
    template = {"registrationId": "{serial.lower}", "deviceId": "made-{serial}"}
    manifest = station.home / "manifest.csv"
    manifest.write_text("serial,deviceId\nS-2,other-2\nS-3,other-3\nS-4,made-S-4\n")
    batch.provision(station, manifest, "--offline", profile=station.profile("derived-key", template))
    tags = {"initialTwin": {"tags": {"product": "another"}}}
    for serial, change, expected in (("S-2", tags, "other-2"), ("S-3", {"deviceId": "new-{serial}"}, "other-3"),
                                     ("S-4", {"deviceId": "new-{serial}"}, "new-S-4")):
        done = station.provision(station.profile("derived-key", template | change, name=serial), serial)
        assert (done.status, done.json["deviceId"]) == (0, expected), done
        assert station.service.enrollment(serial.lower())["deviceId"] == expected


def test_a_device_id_is_made_anew_by_another_template(station):
    spool(station, station.profile("derived-key", {"deviceId": "old-{serial}"}), "WAIT-1")
    done = station.provision(station.profile("derived-key", {"deviceId": "new-{serial}"}), "WAIT-1")
    assert (done.status, done.json["deviceId"]) == (0, "new-WAIT-1"), done


@pytest.mark.parametrize("faults", [None, ["bulk+put+get:status=503:retry-after=0"], ["bulk+put:cut-after", "get:status=503:retry-after=0"]])
def test_what_a_manifest_does_not_verify_sync_does_not(station, faults):
    """Of those that were spooled and those that could not be reached."""
    path = batch.manifest(station, batch.serials(6))
    profile = station.profile("derived-key")
    restart(station, *(faults or []))
    batch.provision(station, path, "--verify", "sample:2", *(["--patience", "0"] if faults else ["--offline"]), profile=profile)
    assert len(outbox(station, "--waits", "network")) == 6
    restart(station)
    done = station.sync()
    assert done.status == 0, done
    assert sorted(row["device"] for row in done.json if row["verified"]) == ["SN-00002", "SN-00005"], done
    assert len(station.rows("--verification", "verified")) == 2 and len(station.rows("--verification", "not-asked")) == 4


def test_device_that_needs_its_hardware_says_so(station, tpm):
    restart(station, "put:cut-after:count=1", "get:cut-before")
    profile = station.profile("tpm")
    assert station.provision(profile, "WAIT-T", "--tpm", tpm.tcti).status in (6, 9)
    [name] = outbox(station, "--waits", "device")
    restart(station)
    assert station.sync().json == []
    again = retry(station, name)
    assert (again.status, again.cause, again.json) == (4, "E5181", []), again
    assert "its hardware has to be here" in again.stderr
    assert station.provision(profile, "WAIT-T", "--tpm", tpm.tcti).json["verified"] is True


def test_a_device_that_was_named_and_is_not_sent_is_a_failure(station, tpm):
    """What waits besides is none, and what can be sent is."""
    restart(station, "put:cut-after:count=1", "get:cut-before")
    assert station.provision(station.profile("tpm"), "WAIT-T", "--tpm", tpm.tcti).status in (6, 9)
    [chip] = outbox(station, "--waits", "device")
    restart(station)
    letter = conflicting(station, 1)
    spool(station, station.profile("derived-key"), "WAIT-2")
    done = station.sync("WAIT-T", "WAIT-2")
    assert (done.status, done.cause, len(done.json)) == (4, "E5181", 1), done
    done = station.sync(letter)
    assert (done.status, done.cause, done.json) == (1, "E1030", []) and "1 wait for a person, 0 for their hardware" in done.stderr, done
    done = station.sync(letter, chip)
    assert (done.status, done.cause, done.json) == (1, "E1030", []) and "1 wait for a person, 1 for their hardware" in done.stderr, done
    done = station.sync()
    assert (done.status, done.json) == (0, []), done
    assert (station.sync("WAIT-2").status, retry(station, chip, "-q").status) == (0, 4)


def assert_waits_for_its_hardware(station, name):
    """Neither a sync nor a retry passes it as one that could not be asked."""
    assert outbox(station, "--waits", "device")[name]["cause"] == "E5201"
    done = station.sync()
    assert (done.status, done.json) == (0, []) and "0 wait for a person, 1 for their hardware" in done.stderr, done
    assert "its hardware has to be here" in retry(station, name).stderr
    assert station.rows()[name]["state"] == "parked"


def assert_is_not_spooled(station, profile, serial, *hardware):
    """No sync would take it."""
    before = station.rows()
    done = offline(station, profile, serial, *hardware)
    assert done.cause == "E5181" and "tried again with a network" in done.stderr, done
    assert station.rows() == before


def test_spooled_device_that_could_not_register_is_not_sent_without_its_token(hsm_station, token):
    station = hsm_station
    profile = station.profile("hsm-x509")
    hardware = ["--token", token.uri, "--pin-file", token.pin_file]
    name = spool(station, profile, "wait-x", *hardware)
    restart(station, "register:status=401")
    assert station.provision(profile, "wait-x", *hardware).cause == "E5201"
    restart(station)
    assert_is_not_spooled(station, profile, "wait-x", *hardware)
    assert_waits_for_its_hardware(station, name)
    assert station.provision(profile, "wait-x", *hardware).json["verified"] is True


def test_device_that_came_back_and_could_not_register_is_not_sent_once_more(station, tpm):
    profile = station.profile("tpm")
    name = spool(station, profile, "WAIT-T", "--tpm", tpm.tcti)
    assert station.sync().status == 0
    restart(station, "register:status=401")
    assert station.provision(profile, "WAIT-T", "--tpm", tpm.tcti).cause == "E5201"
    restart(station)
    assert_is_not_spooled(station, profile, "WAIT-T", "--tpm", tpm.tcti)
    assert_waits_for_its_hardware(station, name)
    assert station.provision(profile, "WAIT-T", "--tpm", tpm.tcti).json["verified"] is True
    assert outbox(station) == {}


@pytest.mark.parametrize("amiss, cause", [("fault", "E5105"), ("--id-scope", "E5108"), ("--device-endpoint", "E5102")])
def test_spooled_device_whose_registration_found_no_service_is_sent_without_it(station, tpm, make_emulator, amiss, cause):
    """Nor is it held against the device what somebody typed."""
    typed = {"--id-scope": lambda: "0ne00000000", "--device-endpoint": lambda: make_emulator(name="other").url.removeprefix("https://")}
    profile = station.profile("tpm")
    name = spool(station, profile, "WAIT-T", "--tpm", tpm.tcti)
    batch.restart(station, *(["--fault", "register:status=503"] if amiss == "fault" else []))
    done = station.provision(profile, "WAIT-T", "--tpm", tpm.tcti, *([amiss, typed[amiss]()] if amiss in typed else []))
    assert done.cause == cause, done
    assert list(outbox(station, "--waits", "network")) == [name]
    batch.restart(station)
    done = station.sync()
    assert (done.status, done.json[0]["verified"]) == (0, False), done
    assert outbox(station) == {}


def test_spooled_device_whose_record_could_not_be_deleted_has_registered(station, tpm):
    profile = station.profile("tpm", {"verify": "register-then-delete-record"})
    name = spool(station, profile, "WAIT-T", "--tpm", tpm.tcti)
    batch.restart(station, "--fault", "registration:status=403")
    done = station.provision(profile, "WAIT-T", "--tpm", tpm.tcti)
    assert done.cause == "E5122", done
    assert list(outbox(station, "--waits", "network")) == [name]


def assert_noted_with_its_row(station, name):
    """What is cut behind the new note finds the row of the same profile."""
    with contextlib.closing(sqlite3.connect(station.journal)) as db:
        entries = db.execute("SELECT seq, stage, body FROM entry WHERE registration_id = ? ORDER BY seq", (name,)).fetchall()
    notes = [at for at, (_, stage, body) in enumerate(entries) if stage == "enroll" and '"spooled":' in body]
    (seq, _, _), (next_seq, stage, body) = entries[notes[-1]:notes[-1] + 2]
    assert len(notes) == 2 and (next_seq, stage) == (seq + 1, "device") and '"profileSha256":' in body, entries


@pytest.mark.parametrize("faults", [["put:cut-after:count=1", "get:status=503:retry-after=0"], ["put+get:status=503:retry-after=0"]],
                         ids=["sent", "not sent"])
def test_spooled_device_that_was_taken_up_with_another_profile_is_sent_by_that(station, faults):
    name = spool(station, station.profile("derived-key"), "WAIT-1")
    other = station.profile("derived-key", {"initialTwin": {"tags": {"product": "other"}}}, name="other")
    restart(station, *faults)
    assert station.provision(other, "WAIT-1", "--patience", "0").status in (6, 9)
    assert list(outbox(station, "--waits", "network")) == [name]
    restart(station)
    done = station.sync()
    assert done.status == 0 and done.json[0]["verified"] is True, done
    assert station.service.enrollment(name)["initialTwin"]["tags"]["product"] == "other"


def test_spooled_tpm_that_was_taken_up_with_another_profile_is_sent_by_that(station, tpm):
    name = spool(station, station.profile("tpm"), "WAIT-T", "--tpm", tpm.tcti)
    other = station.profile("tpm", {"initialTwin": {"tags": {"product": "other"}}}, name="other")
    restart(station, "put+get:status=503:retry-after=0")
    assert station.provision(other, "WAIT-T", "--tpm", tpm.tcti, "--patience", "0").status == 6
    assert_noted_with_its_row(station, name)
    restart(station)
    done = station.sync()
    assert done.status == 0 and done.json[0]["state"] == "enrolled", done
    assert station.service.enrollment(name)["initialTwin"]["tags"]["product"] == "other"


def test_spooled_device_that_another_profile_is_not_for_is_sent_by_its_own(station):
    """That one's master derives other keys."""
    name = spool(station, station.profile("derived-key"), "WAIT-1")
    other = station.profile("derived-key", {"attestation": {"symmetricKey": {"primaryMaster": {"file": "keys/secondary.key"}}}}, name="other")
    done = station.provision(other, "WAIT-1")
    assert (done.status, done.cause) == (5, "E5183"), done
    assert list(outbox(station, "--waits", "network")) == [name]
    assert station.sync().json[0]["verified"] is True


def test_dead_letter_after_the_budget_and_retry_puts_it_back(station):
    name = conflicting(station, 1)
    row = outbox(station, "--waits", "person")[name]
    assert (row["state"], row["failures"], row["cause"]) == ("dead-letter", 1, "E3101")
    assert "other content" in row["reason"]
    requests = len(station.emulator.ledger())
    done = station.sync()
    assert (done.status, done.json) == (0, []) and "1 wait for a person, 0 for their hardware" in done.stderr, done
    assert len(station.emulator.ledger()) == requests
    station.service.delete(name)
    done = retry(station, "WAIT-1", "--reason", "deleted the other one")
    assert done.status == 0, done
    assert done.json[0]["verified"] is True
    assert outbox(station) == {}


def test_within_the_budget_it_is_no_dead_letter(station):
    name = conflicting(station, 2)
    assert outbox(station)[name]["state"] == "parked"
    assert retry(station, name).status == 7
    assert outbox(station)[name]["state"] == "parked"
    assert retry(station, "--all").status == 7
    assert outbox(station)[name]["failures"] == 1


def test_refused_credential_makes_no_dead_letters(station):
    name = spool(station, station.profile("derived-key", {"retryBudget": 1}), "WAIT-1")
    restart(station, "put:status=403")
    assert station.sync().status == 5
    assert outbox(station)[name]["state"] == "spooled"
    restart(station)
    assert station.sync().status == 0


def test_what_the_service_refuses_for_good_is_a_dead_letter_at_once(station):
    name = spool(station, station.profile("derived-key"), "WAIT-1")
    restart(station, "put:status=400")
    assert station.sync().status != 0
    assert outbox(station, "--waits", "person")[name]["state"] == "dead-letter"


def test_what_the_service_refuses_in_each_run_is_a_dead_letter_in_the_end(station):
    """No sync tries it; provision does, because somebody has it in hand."""
    profile = station.profile("derived-key", {"retryBudget": 2})
    restart(station, "put:status=400")
    assert station.provision(profile, "WAIT-1").status == 1
    assert outbox(station) == {} and {row["state"] for row in station.rows().values()} == {"failed"}
    assert station.provision(profile, "WAIT-1").status == 1
    [row] = outbox(station, "--waits", "person").values()
    assert (row["state"], row["failures"], row["cause"]) == ("dead-letter", 2, "E5103")
    restart(station)
    assert station.sync().json == []
    assert station.provision(profile, "WAIT-1").json["verified"] is True


@pytest.mark.parametrize("state", ["failed", "retired"])
def test_a_decision_ends_the_waiting_and_is_recorded(station, state):
    name = conflicting(station, 1)
    done = resolve(station, name, "--as", state, "--reason", "scrapped", "--operator", "linh")
    assert done.status == 0, done
    assert outbox(station) == {}
    shown = station.muster("journal", "show", name, "--journal", station.journal, "-o", "json").json
    assert shown["state"] == state
    assert {name: shown[name] for name in ("state", "operator", "updated")} == {name: done.json[name] for name in ("state", "operator", "updated")}
    [entry] = [entry for entry in shown["entries"] if entry["stage"] == "outbox"]
    assert (entry["operator"], entry["body"]) == ("linh", {"resolved": state, "reason": "scrapped"})
    verified = station.muster("journal", "verify", "--journal", station.journal)
    assert "E6012" in verified.stderr, verified


@pytest.mark.parametrize("state", ["failed", "retired"])
def test_board_that_was_given_up_is_not_enrolled_for_the_one_in_its_place(station, make_tpm, tmp_path, state):
    profile = station.profile("tpm", {"registrationId": "{serial.lower}"})
    scrapped, good = make_tpm("s"), make_tpm("g")
    name = spool(station, profile, "WAIT-T", "--tpm", scrapped.tcti)
    assert resolve(station, name, "--as", state, "--reason", "scrapped").status == 0
    restart(station, f"put:status=503:id={name}")
    assert station.provision(profile, "WAIT-T", "--tpm", good.tcti).status in (6, 9)
    assert list(outbox(station, "--waits", "device")) == [name]
    restart(station)
    assert station.sync().json == []
    exported = station.muster("bundle", "export", tmp_path / "stick.bundle", "--journal", station.journal)
    assert exported.cause == "E5185", exported
    done = station.provision(profile, "WAIT-T", "--tpm", good.tcti)
    assert (done.status, done.json["verified"]) == (0, True), done
    key = base64.b64decode(station.service.enrollment(name)["attestation"]["tpm"]["endorsementKey"])
    assert hashlib.sha256(key).hexdigest() == station.rows()[name]["keySha256"]


@pytest.mark.parametrize("state", ["failed", "retired"])
def test_device_that_was_given_up_gets_a_new_certificate(hsm_station, token, state):
    station = hsm_station
    profile = station.profile("hsm-x509")
    hardware = ["--token", token.uri, "--pin-file", token.pin_file]
    name = spool(station, profile, "wait-x", *hardware)
    before = station.rows()[name]
    assert resolve(station, name, "--as", state, "--reason", "board scrapped").status == 0
    done = station.provision(profile, "wait-x", *hardware)
    assert (done.status, done.json["verified"]) == (0, True), done
    after = station.rows()[name]
    assert not {before["keySha256"], before["keyId"], before["attemptId"]} & {after["keySha256"], after["keyId"], after["attemptId"]}


@pytest.mark.parametrize("arguments", [[], ["--as", "failed"], ["--reason", "x"], ["--as", "released", "--reason", "x"]])
def test_a_decision_without_state_or_reason_is_refused(station, arguments):
    name = conflicting(station, 1)
    done = resolve(station, name, *arguments)
    assert (done.status, done.cause) == (2, "E1001"), done
    assert outbox(station)[name]["state"] == "dead-letter"


def test_a_finished_device_cannot_be_decided_about(station):
    name = station.provision(station.profile("derived-key"), "WAIT-1").json["registrationId"]
    done = resolve(station, name, "--as", "failed", "--reason", "x")
    assert (done.status, done.cause) == (2, "E5185"), done
    assert station.rows()[name]["state"] == "released"


def test_retry_needs_to_be_told_what(station):
    spool(station, station.profile("derived-key"), "WAIT-1")
    assert retry(station).cause == "E1001"
    assert retry(station, "nobody").cause == "E6010"
