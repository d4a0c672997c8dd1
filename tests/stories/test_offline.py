"""Without an uplink: the hardware's work is done at once, and what is spooled is sent later, from the journal."""
import json
import pathlib

import pytest

from lib.batch import manifest, serials
from test_derived_key import derive, keys_of

COUNT = 6


def unreachable(station):
    """Places for a run that must not need them."""
    return ["--journal", station.journal, "--out", station.out]


def offline(station, profile, serial, *arguments, **options):
    return station.muster("provision", "--profile", profile, "--serial", serial, "--offline", *unreachable(station), "-o", "json",
                          *arguments, **options)


def spool(station, profile, serial, *arguments):
    done = offline(station, profile, serial, *arguments)
    assert (done.status, done.cause) == (6, "E5180"), done
    assert done.json["state"] == "spooled"
    assert done.json["verified"] is False
    return done.json["registrationId"]


def evidence_of(result):
    return json.loads(pathlib.Path(result["evidence"]).read_text())


def test_derived_key_devices_are_spooled_then_sent_and_verified(station):
    profile = station.profile("derived-key")
    ids = [spool(station, profile, f"OFF-{number}") for number in range(COUNT)]
    assert station.emulator.ledger() == []
    assert {row["state"] for row in station.rows().values()} == {"spooled"}
    keys = {name: json.loads((station.out / f"{name}.keys.json").read_text()) for name in ids}
    done = station.sync()
    assert done.status == 0, done
    assert {row["registrationId"]: (row["state"], row["verified"]) for row in done.json} == {name: ("enrolled", True) for name in ids}
    assert {row["state"] for row in station.rows("--state", "released").values()} == {"released"}
    for name in ids:
        assert keys_of(station.service, name)["primaryKey"] == derive(station.masters[0], name) == keys[name]["primaryKey"]
    puts = station.emulator.requests("put")
    again = station.sync()
    assert (again.status, again.json) == (0, []), again
    repeated = station.provision(profile, "OFF-0")
    assert (repeated.status, repeated.json["state"]) == (0, "already enrolled"), repeated
    assert station.emulator.requests("put") == puts


def test_devices_of_a_manifest_that_wait_are_counted_and_no_mistakes(station):
    done = station.muster("provision", "--profile", station.profile("derived-key"), "--manifest", manifest(station, serials(COUNT)),
                          "--offline", *unreachable(station))
    assert (done.status, done.cause) == (6, "E5180"), done
    assert done.stderr.count("E5180") == 1 and f"{COUNT} devices are ready" in done.stderr, done


def test_no_key_is_in_the_journal(station):
    name = spool(station, station.profile("derived-key"), "OFF-1")
    key = derive(station.masters[0], name)
    holders = [path for path in station.files() if key.encode() in path.read_bytes()]
    assert holders == [station.out / f"{name}.keys.json"]


def test_tpm_device_is_sent_after_it_has_left_and_verified_when_it_comes_back(station, tpm):
    profile = station.profile("tpm")
    name = spool(station, profile, "OFF-T", "--tpm", tpm.tcti)
    tpm.stop()
    done = station.sync()
    assert done.status == 0, done
    assert (done.json[0]["state"], done.json[0]["verified"]) == ("enrolled", False)
    assert set(station.rows("--verification", "put-off")) == {name}
    assert station.rows("--verification", "verified") == {}
    evidence = evidence_of(done.json[0])
    assert evidence["verification"] == {"verified": False, "result": "not possible: the device was not at hand"}
    assert evidence["attestation"]["ekCertificate"]
    assert any(check["check"] == "possession" and check["verdict"] == "ok" for check in evidence["attestation"]["ekChecks"])
    assert evidence["spooled"]["station"]
    assert station.service.registration(name) is None
    puts = station.emulator.requests("put")
    tpm.start()
    back = station.provision(profile, "OFF-T", "--tpm", tpm.tcti)
    assert (back.status, back.json["verified"]) == (0, True), back
    assert evidence_of(back.json)["verification"]["verified"] is True
    assert set(station.rows("--verification", "verified")) == {name}
    assert station.emulator.requests("put") == puts


def test_token_device_is_sent_without_its_token_or_verified_with_it(hsm_station, token):
    station = hsm_station
    profile = station.profile("hsm-x509")
    hardware = ["--token", token.uri, "--pin-file", token.pin_file]
    names = [spool(station, profile, serial, *hardware) for serial in ("off-x1", "off-x2")]
    done = station.sync(names[0])
    assert done.status == 0, done
    assert [(row["registrationId"], row["verified"]) for row in done.json] == [(names[0], False)]
    done = station.sync(*hardware)
    assert done.status == 0, done
    assert [(row["registrationId"], row["verified"]) for row in done.json] == [(names[1], True)]
    assert len(token.key_ids()) == 2


def test_sync_takes_any_name_and_refuses_one_that_is_none(station):
    names = [spool(station, station.profile("derived-key"), serial) for serial in ("OFF-1", "OFF-2", "OFF-3")]
    asked = len(station.emulator.ledger())
    done = station.sync("OFF-1", "nope")
    assert (done.status, done.cause) == (3, "E6010") and "nope" in done.stderr, done
    assert len(station.emulator.ledger()) == asked
    done = station.sync("OFF-1", names[1].upper())
    assert done.status == 0 and sorted(row["registrationId"] for row in done.json) == names[:2], done
    assert station.rows()[names[2]]["state"] == "spooled"
    done = station.sync("OFF-1")
    assert (done.status, done.json) == (0, []) and "waits for nothing" in done.stderr, done


def given_ids(station):
    """A device ID of its own, one that is the registration ID, and none."""
    manifest = station.home / "manifest.csv"
    manifest.write_text("serial,registrationId,deviceId\nOFF-1,given-1,device-1\nOFF-2,given-2,given-2\nOFF-3,given-3,\n")
    return manifest


def device_ids(station):
    return {row["registrationId"]: row.get("deviceId", row["registrationId"]) for row in station.service.enrollments()}


@pytest.mark.parametrize("template, third", [(None, "given-3"), ("made-{serial}", "made-OFF-3")])
def test_ids_given_by_a_manifest_are_kept(station, template, third):
    command = ["provision", "--profile", station.profile("derived-key", {"deviceId": template}), "--manifest", given_ids(station),
               "--offline", *unreachable(station), "-o", "json"]
    planned = station.muster(*command, "--dry-run")
    assert planned.status == 0 and (planned.json["spooled"], planned.json["yieldPercent"]) == (0, 0), planned
    done = station.muster(*command)
    assert done.status == 6 and "3 devices are ready and wait to be sent" in done.stderr and "failed" not in done.stderr, done
    assert station.rows()["given-1"]["state"] == "spooled"
    done = station.sync()
    assert done.status == 0, done
    assert device_ids(station) == {"given-1": "device-1", "given-2": "given-2", "given-3": third}


def test_sync_uses_the_profile_as_it_was(station):
    profile = station.profile("derived-key", {"initialTwin": {"tags": {"batch": "before"}}})
    name = spool(station, profile, "OFF-1")
    station.profile("derived-key", {"initialTwin": {"tags": {"batch": "after"}}})
    assert station.sync().status == 0
    assert station.service.enrollment(name)["initialTwin"]["tags"]["batch"] == "before"


def test_lost_copy_of_the_profile_is_told_and_nothing_is_sent(station):
    spool(station, station.profile("derived-key"), "OFF-1")
    for path in (station.home / "profiles").iterdir():
        path.unlink()
    done = station.sync()
    assert (done.status, done.cause) == (1, "E5182"), done
    assert station.emulator.changes() == []


def test_a_profile_without_its_master_holds_up_no_other(station):
    """What it lacks is told with its name, and the others are sent."""
    first = spool(station, station.profile("derived-key"), "OFF-1")
    other = station.home / "keys/other.key"
    other.write_text((station.home / "keys/primary.key").read_text())
    other.chmod(0o600)
    profile = station.profile("derived-key", {"profile": "lone", "attestation": {"symmetricKey": {"primaryMaster": {"file": "keys/other.key"}}}},
                              name="lone")
    second = spool(station, profile, "OFF-2")
    away = other.rename(station.home / "keys/away.key")
    done = station.sync()
    assert (done.status, done.cause) == (2, "E1002") and "1 devices of profile 'lone'" in done.stderr, done
    assert "not sent" not in done.stderr
    assert {name: row["state"] for name, row in station.rows().items()} == {first: "released", second: "spooled"}
    away.rename(other)
    assert station.sync().status == 0
    assert_sent_once(station, [first, second])


def test_another_master_is_refused(station):
    name = spool(station, station.profile("derived-key"), "OFF-1")
    path = station.home / "keys/primary.key"
    path.write_text((station.home / "keys/secondary.key").read_text())
    done = station.sync()
    assert (done.status, done.cause) == (5, "E5183"), done
    assert station.emulator.changes() == []
    assert station.rows()[name]["state"] == "spooled"


def test_no_run_gives_other_keys_to_a_spooled_device(station):
    """Those that it was given are on their way into it."""
    profile = station.profile("derived-key")
    name = spool(station, profile, "OFF-1")
    path = station.home / "keys/primary.key"
    first = path.read_text()
    path.write_text((station.home / "keys/secondary.key").read_text())
    for done in station.provision(profile, "OFF-1"), offline(station, profile, "OFF-1"):
        assert (done.status, done.cause) == (5, "E5183"), done
    assert station.emulator.changes() == []
    assert station.rows()[name]["state"] == "spooled"
    path.write_text(first)
    assert station.provision(profile, "OFF-1").status == 0
    assert keys_of(station.service, name)["primaryKey"] == derive(station.masters[0], name)


def test_a_run_that_is_refused_leaves_what_was_spooled(station):
    """Another profile, which gives it other keys."""
    name = spool(station, station.profile("derived-key"), "OFF-1")
    other = station.home / "keys/other.key"
    other.write_text((station.home / "keys/secondary.key").read_text())
    other.chmod(0o600)
    profile = station.profile("derived-key", {"attestation": {"symmetricKey": {"primaryMaster": {"file": "keys/other.key"}}}}, name="other")
    for done in station.provision(profile, "OFF-1"), offline(station, profile, "OFF-1"):
        assert (done.status, done.cause) == (5, "E5183"), done
    done = station.sync()
    assert done.status == 0, done
    assert keys_of(station.service, name)["primaryKey"] == derive(station.masters[0], name)


def test_keys_of_others_in_the_way_are_seen_before_anything_is_sent(station):
    station.out.mkdir(mode=0o700)
    (station.out / "off-1.keys.json").write_text("{}\n")
    done = station.provision(station.profile("derived-key"), "OFF-1")
    assert (done.status, done.cause) == (11, "E6101"), done
    assert station.emulator.changes() == []


def test_a_file_that_cannot_be_read_is_not_said_to_have_other_keys(station):
    station.out.mkdir(mode=0o700)
    (station.out / "off-1.keys.json").mkdir()
    done = station.provision(station.profile("derived-key"), "OFF-1")
    assert (done.status, done.cause) == (11, "E6102") and "other keys" not in done.stderr and "directory" in done.stderr, done
    assert station.emulator.changes() == []


def test_online_run_finishes_a_spooled_device(station):
    profile = station.profile("derived-key")
    name = spool(station, profile, "OFF-1")
    done = station.provision(profile, "OFF-1")
    assert (done.status, done.json["state"], done.json["verified"]) == (0, "enrolled", True), done
    assert station.rows()[name]["state"] == "released"
    assert station.sync().json == []


def test_second_offline_run_notes_nothing_new(station):
    profile = station.profile("derived-key")
    name = spool(station, profile, "OFF-1")
    assert spool(station, profile, "OFF-1") == name
    shown = station.muster("journal", "show", name, "--journal", station.journal, "-o", "json").json
    assert sum("spooled" in entry["body"] for entry in shown["entries"]) == 1


def test_dry_run_spools_nothing(station):
    done = offline(station, station.profile("derived-key"), "OFF-1", "--dry-run")
    assert (done.status, done.json["state"]) == (0, "planned"), done
    assert not station.journal.exists()


def assert_sent_once(station, names):
    assert sorted(station.rows("--state", "released")) == sorted(names)
    for name in names:
        assert station.emulator.writes(name) == ["create"]


def entries(station):
    done = station.muster("journal", "export", "--entries", "--journal", station.journal)
    assert done.status == 0, done
    return done.stdout


def test_many_are_sent_ten_at_a_time(station):
    manifest = station.home / "manifest.csv"
    manifest.write_text("serial\n" + "".join(f"OFF-{number:02}\n" for number in range(45)))
    done = station.muster("provision", "--profile", station.profile("derived-key", {"verify": "none"}), "--manifest", manifest,
                          "--offline", *unreachable(station), "-o", "json")
    assert done.status == 6, done
    done = station.sync()
    assert done.status == 0 and {row["state"] for row in done.json} == {"enrolled"} and len(done.json) == 45, done
    assert {row["state"] for row in station.rows().values()} == {"released"}
    for row in done.json:
        assert evidence_of(row)["confirmed"] == "by the answer"
        assert station.emulator.writes(row["registrationId"]) == ["create"]
    assert len(station.emulator.effects("bulk")) == 44 and len(station.emulator.requests("put")) == 1
    assert station.emulator.requests("get") == station.emulator.requests("mechanism") == []
    assert station.sync().json == []


def test_credential_that_is_refused_concerns_few(station):
    profile = station.profile("derived-key", {"verify": "none"})
    names = [spool(station, profile, f"OFF-{number:02}") for number in range(14)]
    station.emulator.restart("--fault", "put+bulk+get:status=401")
    station.renew_login()
    done = station.sync()
    assert done.status == 5 and "stopped after 3 refusals" in done.error["detail"], done
    waiting = station.muster("outbox", "list", "--journal", station.journal, "-o", "json").json
    assert sorted(row["registrationId"] for row in waiting) == sorted(names)
    assert sum("reason" in row for row in waiting) <= 10
    station.emulator.restart()
    station.renew_login()
    assert station.sync().status == 0
    assert_sent_once(station, names)


def test_sync_without_network_leaves_all_as_it_was(station):
    profile = station.profile("derived-key")
    names = [spool(station, profile, f"OFF-{number}") for number in range(2)]
    station.emulator.stop()
    before = entries(station)
    done = station.sync(timeout=300)
    assert done.status == 6, done
    assert entries(station) == before
    assert {row["state"] for row in station.rows().values()} == {"spooled"}
    station.emulator.start()
    station.renew_login()
    assert station.sync().status == 0
    assert_sent_once(station, names)


def test_sync_whose_answers_are_lost_sends_nothing_twice(station):
    profile = station.profile("derived-key")
    names = [spool(station, profile, f"OFF-{number}") for number in range(2)]
    station.emulator.restart("--fault", "put:cut-after:count=2")
    station.renew_login()
    assert station.sync().status == 0
    assert_sent_once(station, names)
