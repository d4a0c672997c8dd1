"""A device with a TPM becomes a verified enrollment."""
import base64
import hashlib
import subprocess

import pytest

SERIAL = "TPM-0001"
EK_HANDLE = "0x81010001"


def public_of_ek(tpm, directory):
    """The marshalled TPM2B_PUBLIC, read by other tools."""
    path = directory / "ek.pub"
    subprocess.run(["tpm2_readpublic", "-Q", "-T", tpm.tcti, "-c", EK_HANDLE, "-f", "tss", "-o", path], check=True)
    return path.read_bytes()


def default_registration_id(public):
    """Base32 of the SHA-256 of the marshalled public area, lower case, without padding."""
    return base64.b32encode(hashlib.sha256(public).digest()).decode().rstrip("=").lower()


def test_is_enrolled_and_verified(station, tpm):
    done = station.provision(station.profile("tpm"), SERIAL, "--tpm", tpm.tcti)
    assert done.status == 0, done
    result = done.json
    public = public_of_ek(tpm, station.home)
    assert result["attestation"] == "tpm"
    assert result["verified"] is True
    assert result["registrationId"] == default_registration_id(public)
    document = station.service.enrollment(result["registrationId"])
    assert base64.b64decode(document["attestation"]["tpm"]["endorsementKey"]) == public
    assert station.service.registration(result["registrationId"])["status"] == "assigned"


def test_nothing_is_left_on_the_chip(station, tpm):
    before = tpm.capability("handles-persistent"), tpm.capability("handles-nv-index"), tpm.loaded()
    assert station.provision(station.profile("tpm"), SERIAL, "--tpm", tpm.tcti).status == 0
    assert (tpm.capability("handles-persistent"), tpm.capability("handles-nv-index"), tpm.loaded()) == before


def test_second_run_says_already_enrolled_and_sends_no_put(station, tpm):
    profile = station.profile("tpm")
    first = station.provision(profile, SERIAL, "--tpm", tpm.tcti).json
    puts = station.emulator.requests("put")
    again = station.provision(profile, SERIAL, "--tpm", tpm.tcti)
    assert again.status == 0, again
    assert again.json["state"] == "already enrolled"
    assert again.json["registrationId"] == first["registrationId"]
    assert again.json["evidence"] == first["evidence"]
    assert station.emulator.requests("put") == puts


def test_an_empty_tpm_gets_the_ek_of_the_tcg_template(station, empty_tpm):
    profile = station.profile("tpm", {"attestation": {"tpm": {"certificate": "optional"}}})
    done = station.provision(profile, SERIAL, "--tpm", empty_tpm.tcti)
    assert done.status == 0, done
    assert empty_tpm.capability("handles-persistent") == [EK_HANDLE]
    subprocess.run(["tpm2_createek", "-Q", "-T", empty_tpm.tcti, "-G", "rsa", "-c", station.home / "ek.ctx",
                    "-u", station.home / "template.pub", "-f", "tss"], check=True)
    assert (station.home / "template.pub").read_bytes() == public_of_ek(empty_tpm, station.home)


def test_a_required_certificate_that_is_missing_fails_the_device(station, empty_tpm):
    profile = station.profile("tpm", {"attestation": {"tpm": {"certificate": "required"}}})
    done = station.provision(profile, SERIAL, "--tpm", empty_tpm.tcti)
    assert (done.status, done.cause) == (1, "E2202"), done
    assert station.service.enrollments() == []


def test_one_chip_under_two_serials_is_refused(station, tpm):
    profile = station.profile("tpm")
    assert station.provision(profile, SERIAL, "--tpm", tpm.tcti).status == 0
    done = station.provision(profile, "TPM-0002", "--tpm", tpm.tcti)
    assert (done.status, done.cause) == (7, "E3103"), done


@pytest.mark.parametrize("registration_id", ["{ek.sha256.base32}", "{serial}"])
def test_another_chip_under_a_serial_that_is_taken_is_refused(station, make_tpm, registration_id):
    """Both records are on the screen."""
    profile = station.profile("tpm", {"registrationId": registration_id})
    first = station.provision(profile, SERIAL, "--tpm", make_tpm("a").tcti)
    assert first.status == 0, first
    done = station.provision(profile, SERIAL, "--tpm", make_tpm("b").tcti)
    assert (done.status, done.cause) == (7, "E3102") and first.json["registrationId"] in done.stderr, done
    assert len(station.emulator.effects("put")) == 1


def test_dry_run_touches_nothing(station, tpm):
    before = tpm.capability("handles-persistent"), tpm.loaded()
    done = station.provision(station.profile("tpm"), SERIAL, "--tpm", tpm.tcti, "--dry-run")
    assert done.status == 0, done
    assert (tpm.capability("handles-persistent"), tpm.loaded()) == before
    assert station.emulator.changes() == []
    assert not station.journal.exists()


def test_dry_run_makes_no_ek(station, empty_tpm):
    done = station.provision(station.profile("tpm"), SERIAL, "--tpm", empty_tpm.tcti, "--dry-run")
    assert (done.status, done.cause) == (1, "E2227"), done
    assert "a real run would make" in done.stderr, done
    assert empty_tpm.capability("handles-persistent") == []
    assert station.emulator.changes() == []
