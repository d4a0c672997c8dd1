"""The journal is lost; what the service and the evidence files know makes it again. MUSTER_RECONCILE_DEVICES sets how many
devices (40)."""
import json
import os

import pytest

from lib import batch
from lib.killer import TRACED
from lib.station import Station
from test_offline import evidence_of, spool
from test_retire import retire

DEVICES = int(os.environ.get("MUSTER_RECONCILE_DEVICES", 40))
STAYING = ("serial", "deviceId", "service", "attestation", "keyKind", "keySha256", "keyId", "profile", "profileSha256",
           "operator", "station", "state", "hub", "verification", "etag", "evidence", "evidenceSha256", "attemptId")


def devices_of(station):
    done = station.muster("journal", "export", "--journal", station.journal)
    assert done.status == 0, done
    return {row["registrationId"]: row for row in map(json.loads, done.stdout.splitlines())}


def reconcile(station, *arguments, evidence=None, **options):
    return station.muster("journal", "reconcile", "--journal", station.journal, "--evidence", evidence or station.out, "--login-file",
                          station.login_file, "--ca-file", station.emulator.ca_file, "-o", "json", *arguments, **options)


def lose_journal(station):
    station.journal.rename(station.home / "lost.db")


def assert_restored(before, after):
    assert before.keys() == after.keys()
    for name, row in before.items():
        assert {member: after[name].get(member) for member in STAYING} == {member: row.get(member) for member in STAYING}


def test_all_released_devices_are_restored_without_a_put(release_station):
    station = release_station
    profile = station.profile("derived-key", {"verify": "none"})
    for number in range(DEVICES):
        done = station.provision(profile, f"A17-{number:05}")
        assert done.status == 0, done
    before = devices_of(station)
    lose_journal(station)
    puts = len(station.emulator.requests("put"))
    done = reconcile(station)
    assert done.status == 0, done
    assert done.json == {"released": DEVICES, "retired": 0, "differing": 0, "parked": 0, "foreign": 0, "known": 0}
    assert_restored(before, devices_of(station))
    verified = station.muster("journal", "verify", "--journal", station.journal, "-o", "json")
    assert verified.json["devices"] == DEVICES and verified.cause == "E6012", verified
    again = station.provision(profile, "A17-00000")
    assert again.status == 0 and again.json["state"] == "already enrolled", again
    assert len(station.emulator.requests("put")) == puts


def test_a_verification_that_was_put_off_is_made_up_for_after_the_journal_was_lost(station, tpm):
    profile = station.profile("tpm")
    name = spool(station, profile, "A17-0042", "--tpm", tpm.tcti)
    assert station.sync().json[0]["verified"] is False
    lose_journal(station)
    assert reconcile(station).json["released"] == 1
    assert devices_of(station)[name]["verification"] == "put-off"
    back = station.provision(profile, "A17-0042", "--tpm", tpm.tcti)
    assert (back.status, back.json["verified"]) == (0, True), back
    assert devices_of(station)[name]["verification"] == "verified"


@pytest.mark.parametrize("second", [None, 200])
def test_a_key_in_a_token_is_known_again(hsm_station, token, second):
    station = hsm_station
    profile = station.profile("hsm-x509", {"attestation": {"x509": {"secondaryValidDays": second}}})
    arguments = ("--token", token.uri, "--pin-file", token.pin_file)
    assert station.provision(profile, "A17-0042", *arguments).status == 0
    before = devices_of(station)
    lose_journal(station)
    assert reconcile(station).json["released"] == 1
    assert_restored(before, devices_of(station))
    again = station.provision(profile, "A17-0042", *arguments)
    assert again.status == 0 and again.json["state"] == "already enrolled", again
    assert len(station.emulator.effects("put")) == 1
    audit = station.muster("hsm", "audit", token.uri, "--pin-file", token.pin_file, "--journal", station.journal, "-o", "json")
    assert audit.status == 0 and audit.json["findings"] == [], audit


def test_a_changed_enrollment_of_a_journal_made_again_lives_whatever_becomes_of_its_verification(hsm_station, token):
    station = hsm_station
    profile = station.profile("hsm-x509", {"attestation": {"x509": {"token": None}}})
    arguments = ("--token", token.uri, "--pin-file", token.pin_file)
    name = station.provision(profile, "A17-0042", *arguments).json["registrationId"]
    lose_journal(station)
    assert reconcile(station).json["released"] == 1
    for status in ("disabled", "enabled"):
        assert station.muster("enrollment", "update", "--eid", name, "--provisioning-status", status, "--login-file",
                              station.login_file, "--ca-file", station.emulator.ca_file).status == 0
    station.emulator.restart("--fault", "register:status=400")
    station.renew_login()
    for _ in range(2):
        assert station.provision(profile, "A17-0042", *arguments).status != 0
        assert devices_of(station)[name]["state"] == "parked"
    station.emulator.restart()
    station.renew_login()
    assert station.provision(profile, "A17-0042", *arguments).json["verified"] is True


def test_a_tpm_is_known_again(station, tpm):
    profile = station.profile("tpm")
    assert station.provision(profile, "A17-0042", "--tpm", tpm.tcti).status == 0
    before = devices_of(station)
    lose_journal(station)
    assert reconcile(station).json["released"] == 1
    assert_restored(before, devices_of(station))
    again = station.provision(profile, "A17-0042", "--tpm", tpm.tcti)
    assert again.status == 0 and again.json["state"] == "already enrolled", again
    assert len(station.emulator.requests("put")) == 1


def test_what_does_not_fit_together_is_told_apart(station, tpm, make_tpm):
    service = station.service
    derived = station.profile("derived-key")
    for serial in ("gone-1", "lost-1"):
        assert station.provision(derived, serial).status == 0
    assert station.provision(station.profile("tpm"), "tpm-1", "--tpm", tpm.tcti).status == 0
    service.delete("gone-1")
    (station.out / "lost-1.evidence.json").unlink()
    tpm_id = next(row["registrationId"] for row in service.enrollments() if row["attestation"]["type"] == "tpm")
    other = make_tpm("other")
    stranger = Station(station.home / "stranger", station.emulator)
    assert stranger.provision(stranger.profile("tpm", {"registrationId": "stranger"}), "x", "--tpm", other.tcti).status == 0
    document = service.enrollment("stranger")
    service.delete(tpm_id)
    service.delete("stranger")
    status, _ = service.put(tpm_id, {"registrationId": tpm_id, "attestation": document["attestation"]})
    assert status == 200
    status, _ = service.put("foreign-1", {"registrationId": "foreign-1", "attestation": {"type": "symmetricKey"}})
    assert status == 200
    lose_journal(station)
    puts = len(station.emulator.requests("put"))
    done = reconcile(station)
    assert done.status == 0, done
    assert done.json == {"released": 0, "retired": 1, "differing": 1, "parked": 1, "foreign": 1, "known": 0}
    rows = devices_of(station)
    assert {name: row["state"] for name, row in rows.items()} == {"gone-1": "retired", "lost-1": "parked", tpm_id: "parked"}
    assert rows[tpm_id]["cause"] == "E3101"
    done = station.provision(derived, "lost-1")
    assert done.status == 0 and done.json["verified"] is True, done
    assert len(station.emulator.requests("put")) == puts
    assert devices_of(station)["lost-1"]["state"] == "released"


def test_a_journal_that_is_there_is_not_touched(station):
    assert station.provision(station.profile("derived-key"), "A17-0042").status == 0
    before = station.journal.read_bytes()
    done = reconcile(station)
    assert (done.status, done.cause) == (11, "E6018"), done
    assert station.journal.read_bytes() == before


def test_a_folder_that_is_not_there_makes_no_journal(station):
    assert station.provision(station.profile("derived-key"), "A17-0042").status == 0
    lose_journal(station)
    done = reconcile(station, evidence=station.home / "evidnce")
    assert (done.status, done.cause) == (2, "E1002") and "evidnce" in done.stderr, done
    assert not station.journal.exists()
    assert reconcile(station).json["released"] == 1


def test_one_of_two_folders_is_not_passed_over(station):
    """What is in it would be restored as parked."""
    assert station.provision(station.profile("derived-key"), "A17-0042").status == 0
    lose_journal(station)
    (station.home / "other").mkdir()
    done = reconcile(station, "--evidence", station.home / "other")
    assert (done.status, done.cause) == (2, "E1001") and "'--evidence' is given twice" in done.stderr, done
    assert not station.journal.exists()
    assert reconcile(station, evidence=station.out, env={"MUSTER_OUT": station.home / "other"}).json["released"] == 1


def test_rows_name_evidence_from_the_root_on(station):
    assert station.provision(station.profile("derived-key"), "A17-0042").status == 0
    before = devices_of(station)
    lose_journal(station)
    assert reconcile(station, evidence=station.out.relative_to(station.home)).json["released"] == 1
    assert_restored(before, devices_of(station))


def test_a_cut_reconcile_goes_on(make_emulator, tmp_path):
    station = Station(tmp_path / "home", make_emulator("--fault", "query:status=400:count=1"))
    profile = station.profile("derived-key", {"verify": "none"})
    for number in range(3):
        assert station.provision(profile, f"A17-{number}").status == 0
    before = devices_of(station)
    lose_journal(station)
    done = reconcile(station)
    assert (done.status, done.cause) == (1, "E5103"), done
    assert reconcile(station).json["released"] == 3
    assert reconcile(station).json == {"released": 0, "retired": 0, "differing": 0, "parked": 0, "foreign": 0, "known": 3}
    assert_restored(before, devices_of(station))


def test_what_no_page_had_is_asked_for_before_it_is_called_retired(station, tpm):
    """As of a device that was enrolled while the pages were read."""
    profile = station.profile("derived-key", {"verify": "none"})
    for number in range(3):
        assert station.provision(profile, f"A17-{number}").status == 0
    assert batch.provision(station, batch.manifest(station, ["Q-1", "Q-2"])).status == 0
    assert station.provision(station.profile("tpm"), "T-1", "--tpm", tpm.tcti).status == 0
    lines = station.profile("derived-key", {"batch": {"evidence": "lines"}, "verify": "none"}, name="lines")
    assert batch.provision(station, batch.manifest(station, ["L-1", "L-2"]), profile=lines).status == 0
    before = devices_of(station)
    for name in ("a17-1", "l-2"):
        az(station, "delete", name)
    az(station, "update", "q-2", "--ps", "disabled")
    lose_journal(station)
    batch.restart(station, "--fault", "query:garbage=array:count=1")
    count = len(station.emulator.ledger())
    done = reconcile(station)
    assert done.status == 0, done
    assert done.json == {"released": 5, "retired": 3, "differing": 0, "parked": 0, "foreign": 0, "known": 0}
    asked = [row for row in station.emulator.ledger()[count:] if row["op"] == "get"]
    assert sorted(row["id"] for row in asked) == sorted(before)
    assert {row["effect"] for row in station.emulator.ledger()[count:]} == {"none"}
    after = devices_of(station)
    assert {name for name, row in after.items() if row["state"] == "retired"} == {"a17-1", "l-2", "q-2"}
    for serial in ("A17-0", "T-1", "Q-1", "L-1"):
        [name] = [name for name, row in after.items() if row["serial"] == serial]
        assert after[name]["state"] == "released" and retire(station, name).status == 0 and station.service.enrollment(name) is None


def test_what_no_page_had_waits_for_the_disk_together(station):
    profile = station.profile("derived-key", {"verify": "none"})
    log, syncs = station.home / "strace.log", []
    for numbers in (range(1), range(1, 6)):
        for number in numbers:
            assert station.provision(profile, f"A17-{number}").status == 0
            az(station, "delete", f"a17-{number}")
        lose_journal(station)
        done = reconcile(station, wrapper=["strace", "-f", "-qq", "-o", log, "-e", "trace=fsync,fdatasync"], env=TRACED)
        assert (done.status, done.json["retired"]) == (0, numbers[-1] + 1), done
        syncs.append(log.read_text().count("sync("))
    assert syncs[0] == syncs[1] > 0, syncs


def test_whether_a_device_is_retired_is_not_guessed(station):
    """Cut off where it could not be asked for, it goes on there."""
    profile = station.profile("derived-key", {"verify": "none"})
    for number in range(3):
        assert station.provision(profile, f"A17-{number}").status == 0
        az(station, "delete", f"a17-{number}")
    lose_journal(station)
    batch.restart(station, "--fault", "get:status=403:skip=2:count=1")
    done = reconcile(station)
    assert done.status == 5 and len(devices_of(station)) == 2, done
    done = reconcile(station)
    assert (done.status, done.json["retired"]) == (0, 1), done
    assert {row["state"] for row in devices_of(station).values()} == {"retired"}
    assert "E6012" in station.muster("journal", "verify", "--journal", station.journal).stderr


def test_a_device_id_that_is_the_registration_id_is_claimed_again(station):
    """Where nothing says so but the enrollment, in which it is left out."""
    profile = station.profile("derived-key")
    assert station.provision(profile, "X1").status == 0
    for path in station.out.glob("*"):
        path.unlink()
    before = devices_of(station)["x1"]["deviceId"]
    lose_journal(station)
    assert reconcile(station).json["parked"] == 1
    assert devices_of(station)["x1"]["deviceId"] == before == "x1"
    manifest = station.home / "devices.csv"
    manifest.write_text("serial,deviceId\nY1,x1\n")
    done = batch.provision(station, manifest, profile=profile)
    assert (done.status, done.cause) == (7, "E3110"), done
    assert station.provision(profile, "X1").json["verified"] is True


def finished(station):
    """A journal that reconcile has made, of one device; then another one comes to the service."""
    assert station.provision(station.profile("derived-key"), "A17-0").status == 0
    lose_journal(station)
    assert reconcile(station).json["released"] == 1
    other = Station(station.home / "other", station.emulator)
    assert other.provision(other.profile("derived-key"), "THEIRS-1").status == 0


def use(station):
    """As soon as anything is written."""
    assert station.muster("journal", "checkpoint", "--journal", station.journal).status == 0


def test_a_journal_that_was_made_again_and_is_in_use_is_not_touched(station):
    finished(station)
    use(station)
    before = station.journal.read_bytes()
    done = reconcile(station)
    assert (done.status, done.cause) == (11, "E6018") and "--again" in done.stderr, done
    assert station.journal.read_bytes() == before
    done = reconcile(station, "--again")
    assert done.status == 0 and (done.json["known"], done.json["parked"]) == (1, 1), done


def test_a_journal_that_was_made_again_and_not_used_since_can_be_made_once_more(station):
    finished(station)
    done = reconcile(station)
    assert done.status == 0 and (done.json["known"], done.json["parked"]) == (1, 1), done


def test_a_journal_that_was_made_again_takes_no_other_service_in_unasked(station, make_emulator):
    """Not even unused, nor cut off."""
    finished(station)
    elsewhere = Station(station.home / "elsewhere", make_emulator("--fault", "query:status=400:count=1", name="elsewhere"))
    elsewhere.journal = station.journal
    before = station.journal.read_bytes()
    for _ in range(2):
        done = reconcile(elsewhere, evidence=station.out)
        assert (done.status, done.cause) == (11, "E6018") and "--again" in done.stderr, done
    assert station.journal.read_bytes() == before
    done = reconcile(elsewhere, "--again", evidence=station.out)
    assert (done.status, done.cause) == (1, "E5103"), done
    assert reconcile(station).cause == "E6018"
    assert reconcile(elsewhere, evidence=station.out).status == 0


def test_a_second_reading_that_was_cut_goes_on(station):
    """Whatever was written in between."""
    finished(station)
    use(station)
    batch.restart(station, "--fault", "query:status=400:count=1")
    done = reconcile(station, "--again")
    assert (done.status, done.cause) == (1, "E5103"), done
    use(station)
    done = reconcile(station)
    assert done.status == 0 and (done.json["known"], done.json["parked"]) == (1, 1), done


def test_a_second_reading_that_nobody_asked_for_goes_on_until_the_journal_is_used(station):
    """The journal was whole before it was cut."""
    finished(station)
    batch.restart(station, "--fault", "query:status=400:count=2")
    for _ in range(2):
        done = reconcile(station)
        assert (done.status, done.cause) == (1, "E5103"), done
    use(station)
    before = station.journal.read_bytes()
    done = reconcile(station)
    assert (done.status, done.cause) == (11, "E6018") and "--again" in done.stderr, done
    assert station.journal.read_bytes() == before
    batch.restart(station, "--fault", "query:status=400:count=1")
    done = reconcile(station, "--again")
    assert (done.status, done.cause) == (1, "E5103"), done
    use(station)
    done = reconcile(station)
    assert done.status == 0 and (done.json["known"], done.json["parked"]) == (1, 1), done


@pytest.mark.parametrize("use_it", [False, True], ids=["unused", "used"])
def test_what_an_unasked_second_reading_has_restored_is_no_use_of_the_journal(release_station, use_it):
    """More than a page of devices comes in before it is cut."""
    station = release_station
    assert station.provision(station.profile("derived-key", {"verify": "none"}), "A17-0").status == 0
    lose_journal(station)
    assert reconcile(station).json["released"] == 1
    other = Station(station.home / "other", station.emulator, build=station.build)
    listed = batch.manifest(other, [f"THEIRS-{number:03}" for number in range(120)])
    assert batch.provision(other, listed, profile=other.profile("derived-key", {"verify": "none"})).status == 0
    batch.restart(station, "--fault", "query:status=400:count=1:skip=1")
    done = reconcile(station)
    assert (done.status, done.cause) == (1, "E5103"), done
    assert len(station.rows()) > 1
    if use_it:
        use(station)
        assert reconcile(station).cause == "E6018"
        return
    done = reconcile(station)
    assert done.status == 0 and len(station.rows()) == 121, done


def test_a_journal_of_its_own_is_not_touched_by_a_second_reading_either(station):
    assert station.provision(station.profile("derived-key"), "A17-0042").status == 0
    before = station.journal.read_bytes()
    done = reconcile(station, "--again")
    assert (done.status, done.cause) == (11, "E6018"), done
    assert station.journal.read_bytes() == before


def test_evidence_of_another_service_does_not_count(station, make_emulator):
    assert station.provision(station.profile("derived-key"), "A17-0042").status == 0
    lose_journal(station)
    text = (station.out / "a17-0042.evidence.json").read_text()
    evidence = json.loads(text)
    (station.out / "a17-0042.evidence.json").write_text(text.replace(evidence["service"], "other.azure-devices-provisioning.net"))
    assert reconcile(station).json == {"released": 0, "retired": 0, "differing": 0, "parked": 1, "foreign": 0, "known": 0}


@pytest.mark.parametrize("digests, counts, states", [
    (["abc", None], {"released": 2, "parked": 1}, {"r-0": "released", "r-1": "parked", "r-2": "released"}),
    (["a" * 64, "a" * 64], {"released": 1, "differing": 2}, {"r-0": "released", "r-1": "parked", "r-2": "parked"})])
def test_one_evidence_file_keeps_no_other_device_lost(station, digests, counts, states):
    """With a key's digest that is none, or two with the same one."""
    profile = station.profile("derived-key")
    for number in range(3):
        assert station.provision(profile, f"R-{number}").status == 0
    for number, digest in enumerate(digests, 1):
        path = station.out / f"r-{number}.evidence.json"
        evidence = json.loads(path.read_text())
        if digest:
            evidence["attestation"]["ekSha256"] = digest
        path.write_text(json.dumps(evidence))
    lose_journal(station)
    done = reconcile(station)
    assert done.status == 0 and "going on" in done.stderr, done
    assert done.json == {"released": 0, "retired": 0, "differing": 0, "parked": 0, "foreign": 0, "known": 0, **counts}
    assert {name: row["state"] for name, row in devices_of(station).items()} == states


def test_evidence_that_no_entry_has_room_for_is_passed_over(station):
    assert station.provision(station.profile("derived-key"), "R-0").status == 0
    path = station.out / "r-0.evidence.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "more": "x" * 70000}))
    lose_journal(station)
    done = reconcile(station)
    assert done.status == 0 and "too large" in done.stderr and done.json["parked"] == 1, done


def test_a_retired_device_that_is_kept_disabled_stays_retired(station):
    profile = station.profile("derived-key")
    for serial in ("R-0", "R-1"):
        assert station.provision(profile, serial).status == 0
    disabled = station.profile("derived-key", {"provisioningStatus": "disabled"}, name="disabled")
    assert station.provision(disabled, "R-2").status == 0
    assert retire(station, "R-1", "--disable").status == 0
    lose_journal(station)
    done = reconcile(station)
    assert done.status == 0 and (done.json["released"], done.json["retired"]) == (2, 1), done
    assert {name: row["state"] for name, row in devices_of(station).items()} == {"r-0": "released", "r-1": "retired", "r-2": "released"}


def az(station, verb, name, *arguments):
    """What others do, without the journal."""
    done = station.muster("enrollment", verb, "--eid", name, *arguments, "--login-file", station.login_file, "--ca-file",
                          station.emulator.ca_file)
    assert done.status == 0, done


def state_after_loss(station, name):
    lose_journal(station)
    done = reconcile(station)
    assert done.status == 0, done
    return devices_of(station)[name]["state"], done.json


def is_left_alone(station, name):
    """Neither by retire, nor by retire when the device was restored, does it go: (what retire said before and after the loss)."""
    before = station.service.enrollment(name)
    with_journal = retire(station, name)
    state, counts = state_after_loss(station, name)
    done = retire(station, name)
    assert station.service.enrollment(name) == before and done.status != 0, done
    return with_journal.cause, state, counts, done.cause


@pytest.mark.parametrize("key, status", [("others", "enabled"), ("others", "disabled"), ("same", "enabled")])
def test_the_enrollment_that_another_station_made_since_is_not_this_devices(station, tmp_path, key, status):
    """No digest tells derived keys: the attempt does that wrote the enrollment."""
    profile = station.profile("derived-key")
    assert station.provision(profile, "Q-1").status == 0
    az(station, "delete", "q-1")
    other = Station(tmp_path / "other", station.emulator)
    if key == "same":
        done = station.provision(profile, "Q-1", "--journal", station.home / "desk.db", "--out", station.home / "desk")
    else:
        done = other.provision(other.profile("derived-key", {"provisioningStatus": status, "verify": "none"}), "Q-1")
    assert done.status == 0 and done.json["state"] == "enrolled", done
    before, state, counts, after = is_left_alone(station, "q-1")
    assert (before, state, after) == ("E5120", "parked", "E6020")
    assert (counts["released"], counts["retired"], counts["differing"], counts["parked"]) == (0, 0, 1, 0)
    assert devices_of(station)["q-1"]["cause"] == "E3101"
    [row] = station.muster("outbox", "list", "--journal", station.journal, "-o", "json").json
    assert (row["registrationId"], row["waitsFor"]) == ("q-1", "person")
    puts, registered = len(station.emulator.effects("put")), len(station.emulator.effects("register"))
    done = station.provision(profile, "Q-1")
    assert len(station.emulator.effects("put")) == puts
    assert (done.status, done.cause) == ((0, None) if key == "same" else (7, "E3101")), done
    if key == "same":
        # Shown and taken over: now it is.
        mark = station.service.enrollment("q-1")["optionalDeviceInformation"]
        assert done.json["verified"] and evidence_of(done.json)["enrollment"]["optionalDeviceInformation"] == mark, done
        assert len(station.emulator.effects("register")) == registered + 1
        assert retire(station, "q-1").status == 0 and station.service.enrollment("q-1") is None


def test_the_enrollment_that_others_created_since_is_not_this_devices(station):
    """No attempt wrote it."""
    assert station.provision(station.profile("derived-key"), "Q-1").status == 0
    az(station, "delete", "q-1")
    az(station, "create", "q-1", "--at", "symmetricKey")
    before, state, counts, after = is_left_alone(station, "q-1")
    assert (before, state, after) == ("E5110", "parked", "E6020") and counts["differing"] == 1


@pytest.mark.parametrize("kind, what", [("derived-key", ("--pk", "bXVzdGVyLWtleS1vZi1vdGhlcnMtMDAwMDAwMDAwMDE=")),
                                        ("derived-key", ("--ps", "disabled", "--tags", '{"a":1}')),
                                        ("tpm", ("--info", '{"note":"rack 5"}'))])
def test_what_others_wrote_before_the_journal_was_lost_they_have_written_after_it(station, tpm, kind, what):
    profile = station.profile(kind, {"provisioningStatus": "disabled"} if "--ps" in what else None)
    more = ("--tpm", tpm.tcti) if kind == "tpm" else ()
    name = station.provision(profile, "Q-1", *more).json["registrationId"]
    written = devices_of(station)[name]["etag"]
    az(station, "update", name, *what)
    before, state, counts, after = is_left_alone(station, name)
    assert (before, state, after) == ("E5110", "released", "E5110") and counts["released"] == 1
    assert devices_of(station)[name]["etag"] == written
    assert retire(station, name, "--force").status == 0
    assert station.service.enrollment(name) is None


def test_a_derived_key_is_known_again_whoever_wrote_the_enrollment_first(station):
    """Also where others did, or the profile has information of its own."""
    profile = station.profile("derived-key", {"deviceInformation": {"rack": 5}})
    line = station.provision(profile, "Q-1", "--journal", station.home / "line.db", "--out", station.home / "line")
    assert line.status == 0, line
    for serial, state in (("Q-1", "already enrolled"), ("Q-2", "enrolled")):
        done = station.provision(profile, serial)
        assert done.status == 0 and done.json["state"] == state, done
    before = devices_of(station)
    lose_journal(station)
    assert reconcile(station).json["released"] == 2
    assert_restored(before, devices_of(station))
    for name in before:
        assert retire(station, name).status == 0
        assert station.service.enrollment(name) is None


def test_what_a_batch_wrote_is_known_again_though_no_answer_had_its_etag(station):
    assert batch.provision(station, batch.manifest(station, ["Q-1", "Q-2"])).status == 0
    evidence = [json.loads(path.read_text()) for path in station.out.glob("*.evidence.json")]
    assert [piece["confirmed"] for piece in evidence] == ["by the answer"] * 2
    assert not any("etag" in piece["enrollment"] for piece in evidence)
    az(station, "delete", "q-2")
    az(station, "create", "q-2", "--at", "symmetricKey")
    lose_journal(station)
    assert reconcile(station).json["released"] == 1
    assert {name: row["state"] for name, row in devices_of(station).items()} == {"q-1": "released", "q-2": "parked"}
    az(station, "update", "q-1", "--tags", '{"a":1}')
    assert retire(station, "q-1").cause == "E5110"
    assert retire(station, "q-1", "--force").status == 0 and station.service.enrollment("q-1") is None


def test_what_was_kept_disabled_goes_also_after_the_journal_was_lost(station):
    name = station.provision(station.profile("derived-key"), "Z-1").json["registrationId"]
    assert retire(station, name, "--disable").status == 0
    assert state_after_loss(station, name)[0] == "retired"
    assert retire(station, name, "--disable").status == 0 and station.service.enrollment(name)
    done = retire(station, name)
    assert done.status == 0 and "was kept disabled until now and is deleted" in done.stderr, done
    assert station.service.enrollment(name) is None


@pytest.mark.parametrize("what", [("--ps", "enabled"), ("--info", '{"note":"rack 5"}')])
def test_what_was_kept_disabled_and_written_since_stays_also_after_the_journal_was_lost(station, tpm, what):
    name = station.provision(station.profile("tpm"), "Z-1", "--tpm", tpm.tcti).json["registrationId"]
    assert retire(station, name, "--disable").status == 0
    lose_journal(station)
    assert reconcile(station).json["retired"] == 1
    az(station, "update", name, *what)
    done = retire(station, name)
    assert (done.status, done.cause) == (7, "E5110") and station.service.enrollment(name), done
    assert retire(station, name, "--force").status == 0 and station.service.enrollment(name) is None


def test_devices_of_other_stations_wait_for_them_and_can_be_left_out(station, tmp_path):
    other = Station(tmp_path / "other", station.emulator)
    assert other.provision(other.profile("derived-key"), "THEIRS-1").status == 0
    assert station.provision(station.profile("derived-key"), "OURS-1").status == 0
    lose_journal(station)
    done = reconcile(station, "--evidence-only")
    assert done.status == 0 and (done.json["released"], done.json["parked"], done.json["foreign"]) == (1, 0, 1), done
    station.journal.unlink()
    done = reconcile(station)
    assert done.status == 0 and (done.json["released"], done.json["parked"]) == (1, 1), done
    [row] = station.muster("outbox", "list", "--journal", station.journal, "-o", "json").json
    assert (row["registrationId"], row["waitsFor"]) == ("theirs-1", "device")
    done = station.sync("theirs-1")
    assert done.json == [] and "theirs-1: its hardware has to be here" in done.stderr, done


@pytest.mark.parametrize("call, known", [(2, 0), (4, 3)])
def test_a_folder_that_cannot_be_read_to_its_end_is_not_taken_for_one_that_ends(station, call, known):
    """As a stick or a disk is on which a dead station's evidence was saved: looking for lines, and then for files."""
    profile = station.profile("derived-key", {"verify": "none"})
    for number in range(3):
        assert station.provision(profile, f"A17-{number}").status == 0
    lose_journal(station)
    fault = ["strace", "-qq", "-o", "/dev/null", "-e", "trace=getdents64", "-e", f"inject=getdents64:error=EIO:when={call}+"]
    done = reconcile(station, wrapper=fault, env=TRACED)
    assert (done.status, done.cause) == (11, "E7018"), done
    assert station.journal.exists() == (known > 0)
    done = reconcile(station)
    assert done.status == 0 and done.json["known"] == known, done


def test_evidence_of_another_service_is_said(station):
    profile = station.profile("derived-key", {"verify": "none"})
    for number in range(2):
        assert station.provision(profile, f"A17-{number}").status == 0
    lose_journal(station)
    assert "another service" not in reconcile(station).stderr
    lose_journal(station)
    for path in station.out.glob("*.evidence.json"):
        text = path.read_text()
        path.write_text(text.replace(json.loads(text)["service"], "old.azure-devices-provisioning.net"))
    done = reconcile(station)
    assert done.status == 0 and "2 evidence files" in done.stderr and "another service" in done.stderr, done
