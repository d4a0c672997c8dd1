"""The same device again: from another socket, under another spelling of its serial, at two stations at the same time."""
import hashlib
import json
import pathlib
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib import batch
from lib.station import Station
from lib.wait import wait_until
from test_journal_reconcile import reconcile
from test_retire import retire

SERIAL = "KEY-0001"


def creates(station):
    return [row["effect"] for row in station.emulator.effects("put")]


def test_in_another_socket(station, make_tpm):
    """The chip moved: the same keys behind another TCTI."""
    profile, first, second = station.profile("tpm"), make_tpm("a"), make_tpm("b")
    done = station.provision(profile, SERIAL, "--tpm", first.tcti)
    assert done.status == 0, done
    for chip in (first, second):
        subprocess.run(["tpm2_shutdown", "-T", chip.tcti, "-c"], check=True)
        chip.stop()
    second.restore(first.save())
    second.start()
    again = station.provision(profile, SERIAL, "--tpm", second.tcti)
    assert again.status == 0 and again.json["state"] == "already enrolled", again
    assert again.json["evidence"] == done.json["evidence"] and creates(station) == ["create"]


@pytest.mark.parametrize("what, status", [("warn", 0), ("refuse", 7), ("pass", 0)])
def test_another_device_whose_serial_differs_by_letter_case(station, what, status):
    """A scanner with its capitals locked: the IDs differ, so nothing else would tell."""
    assert station.provision(station.profile("derived-key", {"registrationId": "one-{serial.lower}"}), "ab-1").status == 0
    other = station.profile("derived-key", {"registrationId": "two-{serial.lower}", "batch": {"lookAlikes": what}}, name="two")
    done = station.provision(other, "AB-1")
    assert done.status == status and ("differ only by letter case" in done.stderr) == (what != "pass"), done
    assert (done.cause == "E3102") == (what == "refuse"), done
    done = station.provision(other, "AB-2")
    assert done.status == 0 and "letter case" not in done.stderr, done


@pytest.mark.parametrize("serial", ["key-0001", "Key-0001"])
def test_under_another_spelling_of_its_serial(station, serial):
    """Registration IDs have no letter case: it would be the same device for the service."""
    profile = station.profile("derived-key", {"registrationId": "{serial}"})
    assert station.provision(profile, SERIAL).status == 0
    done = station.provision(profile, serial)
    assert (done.status, done.cause) == (7, "E3108") and SERIAL in done.stderr and "with key" not in done.stderr, done
    assert creates(station) == ["create"]


def test_an_equal_enrollment_of_another_station_is_none_of_ours(station, tmp_path):
    """The answer to a batch's create is lost, and what is read back was created by the other station meanwhile."""
    profile, path = station.profile("derived-key", {"verify": "none"}), batch.manifest(station, [SERIAL])
    other = Station(tmp_path / "other", station.emulator)
    shutil.copytree(station.home / "keys", other.home / "keys", dirs_exist_ok=True)
    station.emulator.restart("--fault", "put:cut-before:count=1", "--fault", "get:delay=8000:count=1")
    station.renew_login()
    other.renew_login()
    with ThreadPoolExecutor() as threads:
        first = threads.submit(batch.provision, station, path, profile=profile)
        wait_until(lambda: station.emulator.requests("put"), 60, "the create that is lost")
        done = other.provision(shutil.copy(profile, other.home), SERIAL)
        assert (done.status, done.json["state"]) == (0, "enrolled"), done
        done = first.result()
    assert (done.status, done.json["adopted"], done.json["enrolled"]) == (0, 1, 0), done
    assert creates(station) == ["create"]
    enrollment = station.service.enrollment(name := next(iter(station.rows())))
    evidence = json.loads((station.out / f"{name}.evidence.json").read_text())
    assert (evidence["created"], evidence["confirmed"]) == (False, "read back"), evidence
    assert evidence["enrollment"]["optionalDeviceInformation"] == enrollment["optionalDeviceInformation"]


def test_at_two_stations_at_the_same_time(station):
    """One creates, the other finds that it is the same device and adopts it."""
    profile = station.profile("derived-key")
    station.emulator.restart("--fault", "put:delay-after=3000:count=1")
    station.renew_login()

    def provision(name):
        return station.provision(profile, SERIAL, "--journal", station.home / f"{name}.db", "--out", station.home / name)

    with ThreadPoolExecutor() as pool:
        done = list(pool.map(provision, ["one", "two"]))
    for one in done:
        assert one.status == 0 and one.json["verified"] is True, one
    assert creates(station) == ["create"]
    assert sorted(one.json["state"] for one in done) == ["already enrolled", "enrolled"]


@pytest.mark.parametrize("kind", ["derived-key", "tpm"])
def test_a_registration_that_another_one_ended_is_made_anew(station, tpm, kind):
    """A device has one operation at the service: whoever registers as it later ends the one that is polled."""
    station.emulator.restart("--fault", "poll:status=404:count=1")
    station.renew_login()
    done = station.provision(station.profile(kind), SERIAL, *(["--tpm", tpm.tcti] if kind == "tpm" else []))
    assert done.status == 0 and done.json["verified"] is True, done
    assert creates(station) == ["create"]


def test_a_registration_that_others_end_again_and_again(station):
    """It is left for another run, and is no mistake in an ID or a scope."""
    profile = station.profile("derived-key")
    station.emulator.restart("--fault", "poll:status=404")
    station.renew_login()
    done = station.provision(profile, SERIAL)
    assert (done.status, done.cause) == (6, "E5303"), done
    assert len(station.emulator.requests("register")) == 4
    assert {row["state"] for row in station.rows().values()} == {"parked"}
    station.emulator.restart()
    station.renew_login()
    assert station.provision(profile, SERIAL).json["verified"] is True
    assert creates(station) == ["create"]


def test_a_manifest_at_two_stations_at_the_same_time(station):
    """Every device is created once, and verified by both."""
    names = batch.serials(40)
    path = batch.manifest(station, names)
    profile = station.profile("derived-key")

    def provision(name):
        return station.muster("provision", "--profile", profile, "--manifest", path, *station.common(), "--journal",
                              station.home / f"{name}.db", "--out", station.home / name, "-o", "json")

    with ThreadPoolExecutor() as pool:
        done = list(pool.map(provision, ["one", "two"]))
    for one in done:
        assert one.status == 0 and one.json["verified"] == len(names), one
    assert batch.created(station) == {name.lower(): 1 for name in names}


def is_a_conflict_of_attestations(station, done, name, was, wanted):
    """And the journal says what it did."""
    assert (done.status, done.cause) == (7, "E3107"), done
    assert was in done.stderr and wanted in done.stderr and "muster retire" in done.stderr, done
    row = station.rows()[name]
    assert (row["state"], row["attestation"]) == ("released", was)


@pytest.mark.parametrize("is_gone", [False, True], ids=["", "its enrollment is gone"])
def test_a_released_device_with_another_attestation(hsm_station, token, is_gone):
    """Nothing of the device would be shown, nor asked of the service."""
    station, options = hsm_station, ["--token", token.uri, "--pin-file", token.pin_file]
    name = station.provision(station.profile("derived-key"), SERIAL).json["registrationId"]
    if is_gone:
        station.service.delete(name)
    for more in ([], ["--dry-run"]):
        done = station.provision(station.profile("hsm-x509"), SERIAL, *options, *more)
        is_a_conflict_of_attestations(station, done, name, "symmetricKey", "x509")
    assert token.key_ids() == []


def test_a_released_device_with_another_attestation_in_a_manifest(hsm_station, token):
    station = hsm_station
    assert batch.provision(station, batch.manifest(station, ["one"])).status == 0
    done = batch.provision(station, batch.manifest(station, ["one", "two"]), "--token", token.uri, "--pin-file", token.pin_file,
                           "--batch", "other", profile=station.profile("hsm-x509"))
    is_a_conflict_of_attestations(station, done, "one", "symmetricKey", "x509")
    assert (done.json["before"], done.json["enrolled"]) == (0, 1), done


def test_a_chip_with_another_attestation(station, tpm):
    """The other way round, where the service would have been asked."""
    name = "gateway-1"
    profile = station.profile("tpm", {"registrationId": name})
    assert station.provision(profile, SERIAL, "--tpm", tpm.tcti).status == 0
    done = station.provision(station.profile("derived-key", {"registrationId": name}), SERIAL)
    is_a_conflict_of_attestations(station, done, name, "tpm", "symmetricKey")


def test_once_retired_it_comes_back_with_another_attestation(hsm_station, token):
    station, options = hsm_station, ["--token", token.uri, "--pin-file", token.pin_file]
    name = station.provision(station.profile("derived-key"), SERIAL).json["registrationId"]
    done = station.muster("retire", name, "--reason", "gets a token", "--journal", station.journal, "--login-file", station.login_file,
                          "--ca-file", station.emulator.ca_file)
    assert done.status == 0, done
    done = station.provision(station.profile("hsm-x509"), SERIAL, *options)
    assert (done.status, done.json["state"], done.json["verified"]) == (0, "enrolled", True), done
    assert station.rows()[name]["attestation"] == "x509"


def update(station, name, *arguments):
    done = station.muster("enrollment", "update", "--eid", name, *arguments, "--login-file", station.login_file, "--ca-file",
                          station.emulator.ca_file)
    assert done.status == 0, done


def evidence(done):
    return json.loads(pathlib.Path(done.json["evidence"]).read_text())


@pytest.mark.parametrize("kind", ["derived-key", "tpm", "hsm-x509"])
def test_an_enrollment_that_was_changed_since_is_verified_anew(hsm_station, token, tpm, kind):
    """Its hub was changed by hand, and the profile with it: the device has never registered so."""
    station, hubs = hsm_station, hsm_station.emulator.HUBS
    hardware = {"derived-key": [], "tpm": ["--tpm", tpm.tcti], "hsm-x509": ["--token", token.uri, "--pin-file", token.pin_file]}[kind]
    first, second = (station.profile(kind, {"allocationPolicy": "static", "iotHubs": [hub]}, f"to-{hub[:5]}") for hub in hubs)
    before = station.provision(first, SERIAL, *hardware)
    assert before.status == 0 and before.json["hub"] == hubs[0], before
    name = before.json["registrationId"]
    assert station.provision(second, SERIAL, *hardware).cause == "E3101"
    update(station, name, "--iot-hubs", hubs[1])
    count = len(station.emulator.requests("register"))
    tried = station.provision(second, SERIAL, *hardware, "--dry-run")
    assert tried.status == 0 and tried.json["verified"] is False, tried
    assert len(station.emulator.requests("register")) == count and station.rows()[name]["hub"] == hubs[0]
    after = station.provision(second, SERIAL, *hardware)
    assert after.status == 0 and (after.json["state"], after.json["hub"], after.json["verified"]) == ("already enrolled", hubs[1], True)
    assert len(station.emulator.requests("register")) > count
    told, enrolled = evidence(after), station.service.enrollment(name)
    assert (told["created"], told["enrollment"]["etag"], told["enrollment"]["iotHubs"]) == (False, enrolled["etag"], [hubs[1]])
    assert told["profile"]["sha256"] == hashlib.sha256(second.read_bytes()).hexdigest() == station.rows()[name]["profileSha256"]
    count = len(station.emulator.requests("register"))
    assert station.provision(second, SERIAL, *hardware).json["verified"] is True
    assert len(station.emulator.requests("register")) == count and creates(station) == ["create", "update"]
    assert "E6012" in station.muster("journal", "verify", "--journal", station.journal).stderr
    assert retire(station, name).status == 0
    assert station.service.enrollment(name) is None


def made_again(station, name, keeps_mark):
    """Deleted and created by others with the same keys, long after the station was done with it."""
    found = station.service.enrollment(name)
    status, mechanism = station.service.request("POST", f"/enrollments/{name}/attestationmechanism")
    assert status == 200 and found["optionalDeviceInformation"]["musterAttempt"], found
    batch.restart(station, *(["--clock-offset", "1800"] if keeps_mark else []))
    station.service.delete(name)
    members = [member for member in found if member not in ("etag", "createdDateTimeUtc", "lastUpdatedDateTimeUtc", "registrationState")
               and (keeps_mark or member != "optionalDeviceInformation")]
    station.service.put(name, {**{member: found[member] for member in members}, "attestation": mechanism})
    batch.restart(station)


@pytest.mark.parametrize("keeps_mark", [False, True], ids=["bare", "with-mark"])
def test_an_enrollment_of_a_bulk_that_was_made_again_is_verified_anew(station, keeps_mark):
    """No etag is known of it: its mark and the service's clock tell."""
    profile, name = station.profile("derived-key"), "bulk-1"
    assert batch.provision(station, batch.manifest(station, [name, "bulk-2"]), profile=profile).status == 0
    made_again(station, name, keeps_mark)
    count = len(station.emulator.requests("register", name))
    for _ in range(2):
        done = station.provision(profile, name)
        assert done.status == 0 and (done.json["state"], done.json["verified"]) == ("already enrolled", True), done
        assert len(station.emulator.requests("register", name)) == count + 1
    told, enrolled = evidence(done), station.service.enrollment(name)
    assert (told["created"], told["enrollment"]["etag"]) == (False, enrolled["etag"])


def test_an_enrollment_of_a_bulk_that_others_wrote_soon_after_is_verified_anew(station):
    """Before the station's clock could say so; and their version is not taken for the device's before it registered with that."""
    profile, names = station.profile("derived-key"), ["bulk-1", "bulk-2"]
    assert batch.provision(station, batch.manifest(station, names), profile=profile).status == 0
    batch.restart(station, "--clock-offset", "120")
    for name in names:
        for status in ("disabled", "enabled"):
            update(station, name, "--provisioning-status", status)
    batch.restart(station)
    count = len(station.emulator.requests("register"))
    done = station.provision(profile, names[0])
    assert done.status == 0 and (done.json["state"], done.json["verified"]) == ("already enrolled", True), done
    assert len(station.emulator.requests("register")) == count + 1
    assert station.provision(profile, names[1], "--dry-run").status == 0 and not station.rows()[names[1]].get("etag")


def test_an_enrollment_of_a_bulk_is_known_by_its_version_once_it_was_read(station):
    """As it was released it stays, and then others write it, there and back."""
    profile, name = station.profile("derived-key"), "bulk-1"
    assert batch.provision(station, batch.manifest(station, [name]), profile=profile).status == 0
    assert not station.rows()[name].get("etag")
    count = len(station.emulator.requests("register"))
    for _ in range(2):
        assert station.provision(profile, name).json["verified"] is True
        assert station.rows()[name].get("etag") == station.service.enrollment(name)["etag"]
    assert len(station.emulator.requests("register")) == count
    for status in ("disabled", "enabled"):
        update(station, name, "--provisioning-status", status)
    assert station.provision(profile, name).json["verified"] is True
    assert len(station.emulator.requests("register")) == count + 1


def test_what_cannot_be_verified_anew_is_not_said_to_be(station):
    """Its profile wants no verification any more."""
    done = station.provision(station.profile("derived-key"), SERIAL)
    assert done.json["verified"] is True, done
    name = done.json["registrationId"]
    for status in ("disabled", "enabled"):
        update(station, name, "--provisioning-status", status)
    profile = station.profile("derived-key", {"verify": "none"}, "unverified")
    for _ in range(2):
        done = station.provision(profile, SERIAL)
        assert done.status == 0 and (done.json["verified"], done.json.get("hub")) == (False, None), done
    assert station.rows()[name]["verification"] == "not-asked"
    assert evidence(done)["verification"]["verified"] is False


def test_a_changed_enrollment_that_the_device_cannot_use_waits(station):
    profile = station.profile("derived-key")
    done = station.provision(profile, SERIAL)
    name = done.json["registrationId"]
    for status in ("disabled", "enabled"):
        update(station, name, "--provisioning-status", status)
    station.emulator.restart("--fault", "register:status=401")
    station.renew_login()
    assert station.provision(profile, SERIAL).status != 0
    assert station.rows()[name]["state"] == "parked"
    station.emulator.restart()
    station.renew_login()
    done = station.provision(profile, SERIAL)
    assert done.status == 0 and done.json["verified"] is True, done
    assert station.rows()[name]["state"] == "released" and creates(station) == ["create", "update", "update"]


def test_a_serial_that_comes_later_is_recorded(station, tpm):
    """And is the device's from then on, said or not."""
    profile = station.profile("tpm")

    def provision(*arguments):
        return station.muster("provision", "--profile", profile, "--tpm", tpm.tcti, *station.common(), "-o", "json", *arguments)

    name = provision().json["registrationId"]
    assert "serial" not in station.rows()[name]
    assert provision("--serial", "T2", "--dry-run").status == 0
    assert "serial" not in station.rows()[name]
    done = provision("--serial", "T2")
    assert (done.status, done.json["state"], done.json["device"]) == (0, "already enrolled", "T2"), done
    row = station.rows()[name]
    assert (row["serial"], row["state"]) == ("T2", "released")
    assert station.muster("journal", "show", "T2", "--journal", station.journal).status == 0
    done = provision("--serial", "T9")
    assert (done.status, done.cause) == (7, "E3103") and "T2" in done.stderr, done
    done = provision()
    assert (done.status, done.json["device"]) == (0, "T2"), done
    assert station.rows()[name]["serial"] == "T2"
    doctor = station.muster("doctor", "--journal", station.journal)
    assert "E6004" not in doctor.stdout, doctor


def test_a_serial_of_another_device_is_not_recorded(station, make_tpm):
    profile, first, second = station.profile("tpm"), make_tpm("a"), make_tpm("b")
    assert station.provision(profile, SERIAL, "--tpm", first.tcti).status == 0
    done = station.muster("provision", "--profile", profile, "--tpm", second.tcti, *station.common(), "-o", "json")
    assert done.status == 0, done
    again = station.provision(profile, SERIAL, "--tpm", second.tcti)
    assert (again.status, again.cause) == (7, "E3102"), again
    assert "serial" not in station.rows()[done.json["registrationId"]]


def test_a_device_that_waits_keeps_its_serial(station, tpm):
    profile = station.profile("tpm")
    station.emulator.restart("--fault", "register:status=400")
    station.renew_login()
    done = station.provision(profile, SERIAL, "--tpm", tpm.tcti)
    assert done.status != 0, done
    station.emulator.restart()
    station.renew_login()
    done = station.muster("provision", "--profile", profile, "--tpm", tpm.tcti, *station.common(), "-o", "json")
    assert (done.status, done.json["device"]) == (0, SERIAL), done
    [row] = station.rows().values()
    assert (row["serial"], row["state"]) == (SERIAL, "released")


def named(station, row, *arguments):
    """A run of one device, with the device ID that it is given."""
    path = station.home / f"{row}.csv"
    path.write_text(f"serial,deviceId\n{row}\n")
    profile = station.profile("derived-key", {"registrationId": "{serial.lower}", "verify": "none"})
    return batch.provision(station, path, *arguments, profile=profile)


def assert_taken(station, done, serial, others):
    assert (done.status, done.json["failed"]) == (7, 1) and "[E3110]" in done.stderr and f"'{others}'" in done.stderr, done
    assert station.service.enrollment(serial) is None and serial not in station.rows()


def test_under_the_device_id_of_another(station):
    """The hub has one device of a name. Names differ by letter case, too."""
    assert named(station, "sn-a,pump-1").status == 0
    assert_taken(station, named(station, "sn-b,pump-1"), "sn-b", "sn-a")
    assert named(station, "sn-c,Pump-1").status == 0
    assert named(station, "sn-a,pump-1").status == 0
    assert retire(station, "sn-a").status == 0
    assert named(station, "sn-b,pump-1").status == 0
    assert station.rows()["sn-b"]["deviceId"] == "pump-1"


def test_under_the_registration_id_of_another(station):
    """Which is its device ID where none is given."""
    assert named(station, "sn-a,").status == 0
    assert_taken(station, named(station, "sn-b,sn-a"), "sn-b", "sn-a")
    assert named(station, "sn-c,sn-d").status == 0
    assert_taken(station, named(station, "sn-d,"), "sn-d", "sn-c")


def test_under_the_device_id_of_one_that_waits_and_of_one_that_failed(station):
    assert named(station, "sn-a,pump-1", "--offline").status == 6
    assert_taken(station, named(station, "sn-b,pump-1", "--offline"), "sn-b", "sn-a")
    assert station.sync().status == 0
    station.emulator.restart("--fault", "put+bulk:status=400:count=1")
    station.renew_login()
    assert named(station, "sn-c,pump-3").status == 1
    assert station.rows()["sn-c"]["state"] == "failed"
    assert named(station, "sn-d,pump-3").status == 0
    done = named(station, "sn-c,pump-3")
    assert done.status == 7 and "[E3110]" in done.stderr and station.rows()["sn-c"]["state"] == "failed", done


def at_hub(station, number, serial):
    """A run of one device, pump-1 at that hub."""
    path = station.home / f"{serial}.csv"
    path.write_text(f"serial,deviceId\n{serial},pump-1\n")
    profile = station.profile("derived-key", {"registrationId": "{serial.lower}", "allocationPolicy": "static",
                                              "iotHubs": [f"hub-{number}.azure-devices.net"]}, f"hub-{number}")
    return batch.provision(station, path, profile=profile)


def test_a_device_of_another_hub_does_not_hide_the_one_that_has_the_device_id(station):
    for number, serial in ((1, "sn-a"), (2, "sn-b")):
        assert at_hub(station, number, serial).status == 0
    assert_taken(station, at_hub(station, 1, "sn-c"), "sn-c", "sn-a")
    assert_taken(station, at_hub(station, 2, "sn-d"), "sn-d", "sn-b")
    assert retire(station, "sn-a").status == 0
    assert at_hub(station, 1, "sn-c").status == 0


def test_what_two_devices_are_called_names_neither(station):
    """Nothing is decided of the one that was changed last."""
    for number, serial in ((1, "sn-a"), (2, "sn-b")):
        assert at_hub(station, number, serial).status == 0
    for done in (retire(station, "pump-1"), station.muster("journal", "show", "pump-1", "--journal", station.journal),
                 station.muster("outbox", "resolve", "pump-1", "--as", "failed", "--reason", "x", "--journal", station.journal)):
        assert (done.status, done.cause) == (2, "E6011") and all(f"'{name}'" in done.stderr for name in ("sn-a", "sn-b")), done
    assert {row["state"] for row in station.rows().values()} == {"released"}
    assert all(station.service.enrollment(name) for name in ("sn-a", "sn-b"))
    # One that has ended is not meant.
    assert retire(station, "sn-b").status == 0
    done = retire(station, "pump-1")
    assert done.status == 0 and done.json["registrationId"] == "sn-a", done


def test_a_registration_id_that_another_has_as_device_id_is_told_apart(station):
    for number, serial in ((1, "pump-1"), (2, "sn-b")):
        assert at_hub(station, number, serial).status == 0
    refused = retire(station, "pump-1")
    assert (refused.status, refused.cause) == (2, "E6011") and "--by" in refused.stderr, refused
    done = retire(station, "pump-1", "--by", "registration-id")
    assert done.status == 0 and done.json["registrationId"] == "pump-1", done
    assert station.service.enrollment("pump-1") is None and station.service.enrollment("sn-b")


def test_a_device_id_is_free_at_another_hub_and_another_service(station, make_emulator):
    profiles = [station.profile("derived-key", {"registrationId": "{serial.lower}", "allocationPolicy": "static",
                                                "iotHubs": [f"hub-{number}.azure-devices.net"]}, f"hub-{number}") for number in (1, 2)]
    for number, serial in enumerate(("sn-a", "sn-b")):
        path = station.home / f"{serial}.csv"
        path.write_text(f"serial,deviceId\n{serial},pump-1\n")
        done = batch.provision(station, path, profile=profiles[number])
        assert done.status == 0, done
    station.emulator = make_emulator(name="other")
    station.renew_login()
    path = station.home / "sn-c.csv"
    path.write_text("serial,deviceId\nsn-c,pump-1\n")
    done = batch.provision(station, path, profile=profiles[0])
    assert done.status == 0, done


def test_released_devices_that_share_a_device_id_stay_released(station):
    """As a journal has them that was made again from two."""
    profile = station.profile("derived-key", {"registrationId": "{serial.lower}"})
    for serial in ("sn-a", "sn-b"):
        path = station.home / f"{serial}.csv"
        path.write_text(f"serial,deviceId\n{serial},pump-1\n")
        assert batch.provision(station, path, profile=profile).status == 0
        station.journal.rename(station.home / f"{serial}.db")
    assert reconcile(station).status == 0
    for serial in ("sn-a", "sn-b"):
        done = batch.provision(station, station.home / f"{serial}.csv", profile=profile)
        assert (done.status, done.json["before"]) == (0, 1), done
