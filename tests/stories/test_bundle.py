"""Spooled devices go to another station on a stick, and its receipt comes back."""
import base64
import hashlib
import json
import pathlib
import shutil
import subprocess

import pytest

from lib.paths import RELEASE
from lib.station import Station
from lib.tls_server import WrongServer
from test_offline import evidence_of, spool
from test_retire import retire


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


def accept(station, receipt, key, **options):
    return station.muster("bundle", "accept", receipt, "--from", key, "--journal", station.journal, "--out", station.out,
                          "-o", "json", **options)


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


def test_nothing_to_export_is_told(station, tmp_path):
    station.provision(station.profile("derived-key"), "STICK-0")
    done = export(station, tmp_path / "stick.bundle")
    assert (done.status, done.cause) == (2, "E5185"), done


@pytest.mark.parametrize("kind", ["tpm"])
def test_a_tpm_goes_there_and_back_unverified(station, office, tpm, tmp_path, kind):
    profile = station.profile(kind)
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
    back = station.provision(profile, "STICK-T", "--tpm", tpm.tcti)
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
    assert spooled.status == 6 and "ready and waits to be sent" in spooled.stderr, spooled
    bundle, receipt = tmp_path / "stick.bundle", tmp_path / "stick.receipt"
    assert export(station, bundle).status == 0
    assert bundle.stat().st_size > 1024 * 1024
    sent = send(office, bundle, receipt, public_key(station), "--profile", other, "--rate", "1000000", timeout=900)
    assert sent.status == 0 and {row["state"] for row in sent.json} == {"enrolled"}, sent.stderr
    taken = accept(station, receipt, public_key(office), timeout=900)
    assert taken.status == 0 and len(taken.json) == 1100, taken.stderr
    assert {row["state"] for row in station.rows().values()} == {"released"}
