"""A device whose key is derived from a master key becomes a verified enrollment."""
import base64
import hashlib
import hmac
import json
import os
import shutil

import pytest

from lib import batch
from lib.custodian import Custodian
from lib.software_token import write_secret

SERIAL = "KEY-0001"


def derive(master, registration_id):
    return base64.b64encode(hmac.new(base64.b64decode(master), registration_id.encode(), hashlib.sha256).digest()).decode()


def keys_of(service, registration_id):
    status, document = service.request("POST", f"/enrollments/{registration_id}/attestationmechanism")
    assert status == 200, document
    return document["symmetricKey"]


def test_is_enrolled_and_verified(station):
    done = station.provision(station.profile("derived-key"), SERIAL)
    assert done.status == 0, done
    result = done.json
    assert result["device"] == SERIAL
    assert result["attestation"] == "symmetricKey"
    assert result["verified"] is True
    assert result["state"] == "enrolled"
    assert result["hub"] in station.emulator.HUBS
    keys = keys_of(station.service, result["registrationId"])
    assert keys["primaryKey"] == derive(station.masters[0], result["registrationId"])
    assert keys["secondaryKey"] == derive(station.masters[1], result["registrationId"])


def test_second_run_says_already_enrolled_and_sends_no_put(station):
    profile = station.profile("derived-key")
    first = station.provision(profile, SERIAL).json
    puts = station.emulator.requests("put")
    again = station.provision(profile, SERIAL)
    assert again.status == 0, again
    assert again.json["state"] == "already enrolled"
    assert again.json["evidence"] == first["evidence"]
    assert station.emulator.requests("put") == puts


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_profile_that_was_changed_since_is_told_from_a_service_that_changes_what_it_is_sent(station, more):
    assert station.provision(station.profile("derived-key"), SERIAL).status == 0
    done = station.provision(station.profile("derived-key", {"initialTwin": {"tags": {"product": "other"}}}), SERIAL, *more)
    assert (done.status, done.cause) == (7, "E3101"), done
    assert "differs from the profile" in done.stderr and "product" in done.stderr, done


def test_enrollment_that_is_gone_has_a_way_out(station):
    profile = station.profile("derived-key")
    name = station.provision(profile, SERIAL).json["registrationId"]
    station.service.delete(name)
    done = station.provision(profile, SERIAL)
    assert (done.status, done.cause) == (3, "E3109") and "muster retire --force" in done.stderr, done
    done = station.muster("retire", name, "--force", "--reason", "deleted", "--journal", station.journal, "--login-file",
                          station.login_file, "--ca-file", station.emulator.ca_file)
    assert done.status == 0, done
    assert station.provision(profile, SERIAL).json["state"] == "enrolled"


def test_each_stage_is_said_once(station):
    done = station.provision(station.profile("derived-key"), SERIAL, "-v")
    said = [line for line in done.stderr.splitlines() if line.startswith(f"muster: {SERIAL}: ")]
    assert done.status == 0 and len(said) > 3 and len(said) == len(set(said)), done


def test_a_tpm_that_the_environment_names_is_not_its_socket(station):
    done = station.provision(station.profile("derived-key"), SERIAL, env={"MUSTER_TPM": "swtpm:path=/none"})
    assert done.status == 0 and "socket" not in done.json, done
    assert not station.rows()[done.json["registrationId"]].get("socket")


def test_a_tpm_that_is_named_is_not_passed_over_in_silence(station):
    """Who names it takes this profile for another one."""
    done = station.provision(station.profile("derived-key"), SERIAL, "--tpm", "swtpm:path=/none")
    assert (done.status, done.cause) == (2, "E1001") and "is not for TPM devices" in done.stderr, done
    assert station.emulator.ledger() == [] and not station.journal.exists()


def test_a_manifest_names_the_tpms_itself(station):
    manifest = batch.manifest(station, [SERIAL])
    done = batch.provision(station, manifest, "--tpm", "swtpm:path=/none")
    assert (done.status, done.cause) == (2, "E1411") and "--tpm" in done.stderr, done
    done = batch.provision(station, manifest, env={"MUSTER_TPM": "swtpm:path=/none"})
    assert done.status == 0, done


def test_keys_that_go_nowhere_are_told_of(station):
    where = station.common()
    at = where.index("--out")
    arguments = (*where[:at], *where[at + 2:], "-o", "json")
    done = station.muster("provision", "--profile", station.profile("derived-key"), "--serial", SERIAL, *arguments)
    assert done.status == 0 and "--out DIR" in done.stderr and "keyFile" not in done.json, done
    assert "--out DIR" not in station.provision(station.profile("derived-key"), "KEY-0002").stderr


def test_keys_of_a_manifest_that_go_nowhere_are_told_of_once(station):
    where = station.common()
    at = where.index("--out")
    path = batch.manifest(station, batch.serials(3))
    plain = ("provision", "--profile", station.profile("derived-key"), "--manifest", path, *where[:at], *where[at + 2:], "-o", "json")
    assert "nowhere" not in station.muster(*plain, "--dry-run").stderr
    done = station.muster(*plain)
    assert done.status == 0 and done.stderr.count("wrote the keys of 3 devices nowhere; --out DIR") == done.stderr.count("nowhere") == 1, done
    assert "nowhere" not in station.muster(*plain).stderr
    for names, arguments in ((["OUT-1"], ["--out", station.out]), (["OUT-2"], ["--quiet"])):
        batch.manifest(station, names)
        done = station.muster(*plain, *arguments)
        assert done.status == 0 and "nowhere" not in done.stderr, done


def test_device_keys_leave_only_to_a_file_of_ones_own(station):
    result = station.provision(station.profile("derived-key"), SERIAL)
    key = derive(station.masters[0], result.json["registrationId"])
    assert key not in result.stdout + result.stderr
    holders = [path for path in station.files() if key.encode() in path.read_bytes()
               and station.emulator.directory not in path.parents]
    assert all(path.parent.is_relative_to(station.out) and path.stat().st_mode & 0o777 == 0o600 for path in holders)


def test_device_keys_leave_to_a_descriptor_instead(station, tmp_path):
    path = tmp_path / "received"
    with open(path, "wb") as stream:
        done = station.provision(station.profile("derived-key"), SERIAL, "--key-fd", str(stream.fileno()),
                                 pass_fds=[stream.fileno()])
    assert done.status == 0, done
    received = json.loads(path.read_text())
    assert received["primaryKey"] == derive(station.masters[0], done.json["registrationId"])
    assert received["secondaryKey"] == derive(station.masters[1], done.json["registrationId"])
    assert "keyFile" not in done.json
    assert not list(station.out.glob("*.keys.json"))


@pytest.mark.parametrize("output", ["json", "jsonl", "table"])
def test_keys_stand_alone_on_standard_output(station, output):
    """What reads them gets no second document behind the first."""
    single = station.provision(station.profile("derived-key"), SERIAL, "--key-fd", "1", "-o", output)
    assert single.status == 0, single
    assert json.loads(single.stdout)["primaryKey"] == derive(station.masters[0], SERIAL.lower())
    many = batch.provision(station, batch.manifest(station, batch.serials(3)), "--key-fd", "1", "-o", output)
    assert many.status == 0, many
    names, rest = [], many.stdout
    while rest:
        keys, end = json.JSONDecoder().raw_decode(rest)
        names.append(keys["registrationId"])
        rest = rest[end:].lstrip()
    assert sorted(names) == sorted(name for name in station.rows() if name != SERIAL.lower())


def test_a_manifest_run_again_gives_its_keys_to_the_descriptor_again(station, tmp_path):
    """Nobody knows what was read of it before a cut."""
    manifest = batch.manifest(station, batch.serials(3))
    for run in ("first", "second"):
        with open(tmp_path / run, "wb") as stream:
            done = batch.provision(station, manifest, "--key-fd", str(stream.fileno()), pass_fds=[stream.fileno()])
        assert done.status == 0, done
        text = (tmp_path / run).read_text()
        assert [text.count(derive(station.masters[0], name)) for name in sorted(station.rows())] == [1, 1, 1], text


def test_other_keys_than_those_that_are_enrolled_go_to_no_descriptor(station, tmp_path):
    """Of devices of a manifest that were released before, by a master that was exchanged meanwhile."""
    manifest = batch.manifest(station, batch.serials(2))
    assert batch.provision(station, manifest).status == 0
    shutil.rmtree(station.out)
    path = station.home / "keys/primary.key"
    path.unlink()
    write_secret(path, base64.b64encode(os.urandom(32)).decode() + "\n")
    with open(tmp_path / "received", "wb") as stream:
        done = batch.provision(station, manifest, "--key-fd", str(stream.fileno()), pass_fds=[stream.fileno()])
    assert done.status == 7 and "E3101" in done.stderr, done
    assert (tmp_path / "received").read_bytes() == b"" and not list(station.out.glob("*.keys.json"))


def test_keys_that_nobody_takes_are_not_lost_in_silence(station):
    """Whoever was to read them has gone, which is not what "| head" does."""
    reader, writer = os.pipe()
    os.close(reader)
    done = station.provision(station.profile("derived-key"), SERIAL, "--key-fd", str(writer), pass_fds=[writer])
    os.close(writer)
    assert done.status == 11 and "Broken pipe" in done.stderr, done


def test_descriptor_that_cannot_be_written_is_refused(station):
    done = station.provision(station.profile("derived-key"), SERIAL, "--key-fd", "77")
    assert (done.status, done.cause) == (2, "E1001"), done
    assert station.service.enrollments() == []


def test_master_in_the_token_gives_the_device_keys_of_that_master(hsm_station, token):
    for label, master in zip(("primary-master", "secondary-master"), hsm_station.masters):
        token.write_master(label, base64.b64decode(master))
    profile = hsm_station.profile("hsm-derived-key", {"attestation": {"symmetricKey": {
        "primaryMaster": {"key": token.key_uri("primary-master", "secret-key")},
        "secondaryMaster": {"key": token.key_uri("secondary-master", "secret-key")}}}})
    done = hsm_station.provision(profile, SERIAL)
    assert done.status == 0, done
    assert done.json["verified"] is True
    keys = keys_of(hsm_station.service, done.json["registrationId"])
    assert keys["primaryKey"] == derive(hsm_station.masters[0], done.json["registrationId"])
    assert keys["secondaryKey"] == derive(hsm_station.masters[1], done.json["registrationId"])


def test_a_master_in_the_place_of_another_enrolls_nothing(hsm_station, token):
    custodian = Custodian(hsm_station.home / "desk", token)
    custodian.journal = hsm_station.journal
    made = [custodian.muster("key", "generate-master", "--label", label).json for label in ("primary-master", "secondary-master")]
    profile = hsm_station.profile("hsm-derived-key", {"attestation": {"symmetricKey": {
        "primaryMaster": {"key": token.key_uri("primary-master", "secret-key")},
        "secondaryMaster": {"key": token.key_uri("secondary-master", "secret-key")}}}})
    first = hsm_station.provision(profile, SERIAL)
    assert first.status == 0, first
    value = custodian.replace_master(made[1]["keyId"], "secondary-master")
    for serial, more in (("KEY-0002", ()), (SERIAL, ()), ("KEY-0002", ("--dry-run",))):
        done = hsm_station.provision(profile, serial, *more)
        assert done.cause == "E4340" and made[1]["checkValue"] in done.stderr and value in done.stderr, done
    assert len(hsm_station.service.enrollments()) == 1


def test_dry_run_touches_nothing(station):
    done = station.provision(station.profile("derived-key"), SERIAL, "--dry-run")
    assert done.status == 0, done
    assert station.emulator.changes() == []
    assert station.service.enrollments() == []
    assert not station.journal.exists()
    assert not station.out.exists() or list(station.out.iterdir()) == []


def test_a_hub_that_the_profile_does_not_name_is_not_verified(station):
    """A policy that never reprovisions keeps the hub of the first registration, whatever is named since."""
    one, other = station.emulator.HUBS
    terms = {"allocationPolicy": "static", "reprovisionPolicy": "never"}
    first = station.provision(station.profile("derived-key", {**terms, "iotHubs": [one]}), SERIAL)
    assert (first.status, first.json["hub"]) == (0, one), first
    name = first.json["registrationId"]
    moved = {**station.service.enrollment(name), "iotHubs": [other],
             "attestation": {"type": "symmetricKey", "symmetricKey": keys_of(station.service, name)}}
    status, answer = station.service.request("PUT", f"/enrollments/{name}", moved, {"If-Match": "*"})
    assert status == 200, answer
    done = station.provision(station.profile("derived-key", {**terms, "iotHubs": [other]}, "moved"), SERIAL,
                             "--journal", station.home / "another.db", "--out", station.home / "another")
    assert (done.status, done.error["code"]) == (1, "E5301"), done
    assert f"hub '{one}'" in done.stderr, done


def twin(groups, value):
    return {"initialTwin": {"properties": {"desired": {f"g{group}": {"points": {f"p{point}": value for point in range(25)}}
                                                       for group in range(groups)}}}}


def test_a_large_twin_is_recorded_and_the_device_released(station):
    """Indented it would not fit into an entry of the journal: the evidence is one line then."""
    done = station.provision(station.profile("derived-key", twin(110, 1)), SERIAL)
    assert done.status == 0 and done.json["verified"] is True, done
    text = open(done.json["evidence"]).read()
    assert text.count("\n") == 1 and json.loads(text)["enrollment"]["initialTwin"]
    anchored = station.muster("journal", "verify", "--journal", station.journal, "--anchor", done.json["evidence"])
    assert anchored.status == 0, anchored


def test_a_twin_that_could_not_be_recorded_is_refused_before_anything_is_sent(station):
    done = station.provision(station.profile("derived-key", twin(30, '"' * 40)), SERIAL)
    assert (done.status, done.cause) == (2, "E1003") and "initial twin" in done.stderr, done
    assert station.emulator.requests("put") == []


def give_keys(station, masters):
    """What the device was enrolled with, as if the masters had been these."""
    for name, master in zip(("primary", "secondary"), masters):
        (station.home / f"keys/{name}.key").write_text(master + "\n")
    [row] = station.service.enrollments()
    name = row["registrationId"]
    keys = {f"{which}Key": derive(master, name) for which, master in zip(("primary", "secondary"), masters)}
    status, document = station.service.put(name, {**row, "attestation": {"type": "symmetricKey", "symmetricKey": keys}},
                                           headers={"If-Match": row["etag"]})
    assert status == 200, document


@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--offline",)])
def test_two_masters_that_are_one_are_refused(station, more):
    shutil.copy(station.home / "keys/primary.key", station.home / "keys/secondary.key")
    done = station.provision(station.profile("derived-key"), SERIAL, *more)
    assert (done.status, done.cause) == (5, "E4321"), done
    assert station.emulator.changes() == [] and not list(station.out.glob("*.keys.json"))


def test_two_masters_that_are_one_are_sent_for_a_device_that_may_be_enrolled_with_them(station):
    """Its enrollment is looked at and found to be as wanted."""
    profile = station.profile("derived-key")
    station.emulator.restart("--fault", "put:cut-after", "--fault", "get:cut-before")
    station.renew_login()
    done = station.provision(profile, SERIAL, "--patience", "0")
    assert done.status in (6, 9), done
    station.emulator.restart()
    station.renew_login()
    give_keys(station, [station.masters[0]] * 2)
    done = station.sync()
    assert done.status == 0 and done.json[0]["verified"] is True, done
    assert station.provision(profile, SERIAL).status == 0


def test_master_that_could_be_typed_is_refused(station):
    """As muster key does it."""
    profile = station.profile("derived-key")
    master = station.home / "keys/secondary.key"
    random = master.read_text()
    master.write_text(base64.b64encode(b"correct horse battery staple").decode() + "\n")
    for more in (), ("--offline",):
        done = station.provision(profile, SERIAL, *more)
        assert (done.status, done.cause) == (5, "E4313") and str(master) in done.stderr, done
    assert station.emulator.changes() == []
    master.write_text(random)
    assert station.provision(profile, SERIAL).status == 0


TYPED = base64.b64encode(b"correct horse battery staple").decode()


def test_devices_keep_the_keys_of_a_master_that_could_be_typed(station):
    """A new one gets none, and the rest of its manifest is looked at."""
    profile = station.profile("derived-key")
    assert station.provision(profile, SERIAL).status == 0
    give_keys(station, [TYPED, station.masters[1]])
    (station.out / f"{SERIAL.lower()}.keys.json").unlink()
    done = station.provision(profile, SERIAL)
    assert done.status == 0 and done.json["state"] == "already enrolled" and "E4313" in done.stderr, done
    done = batch.provision(station, batch.manifest(station, [SERIAL, "KEY-0002"]), profile=profile)
    assert [row["registrationId"] for row in station.service.enrollments()] == [SERIAL.lower()], done
    assert done.status != 0 and "E4313" in done.stderr, done


def test_parked_device_is_sent_with_the_keys_of_a_master_that_could_be_typed(station):
    profile = station.profile("derived-key")
    station.emulator.restart("--fault", "put+get:status=503:retry-after=0")
    station.renew_login()
    assert station.provision(profile, SERIAL, "--patience", "0").status == 6
    station.emulator.restart()
    station.renew_login()
    (station.home / "keys/primary.key").write_text(TYPED + "\n")
    done = station.provision(profile, SERIAL)
    assert done.status == 0 and done.json["verified"] is True, done
