"""What a row without a version has at the service goes only while nobody wrote it; and a device that is retired again is looked for."""
import base64
import json

import pytest

from lib import batch
from test_offline import spool
from test_outbox import restart
from test_retire import SERIAL, entries, looked_only, released, retire, set_status, with_another_certificate


# -- What came with a bulk: no answer had an etag -----------------------------------------------------------------


def az(station, verb, name, *arguments):
    """What others do, without the journal."""
    done = station.muster("enrollment", verb, "--eid", name, *arguments, "--login-file", station.login_file, "--ca-file",
                          station.emulator.ca_file)
    assert done.status == 0, done


def of_a_bulk(station, kind="derived-key", *arguments, way="manifest", settings=None, tpm=None):
    """A released device whose row names no version."""
    profile = station.profile(kind, {"registrationId": "{serial.lower}", **(settings or {})})
    path = batch.manifest(station, [SERIAL])
    if tpm:
        path.write_text(f"serial,tpm\n{SERIAL},{tpm.tcti}\n")
    if way == "manifest":
        done = batch.provision(station, path, *arguments, profile=profile)
    else:
        spool(station, profile, SERIAL, *arguments)
        done = station.sync()
    assert done.status == 0, done
    [(name, row)] = station.rows().items()
    assert row["state"] == "released" and not row.get("etag") and station.service.enrollment(name), row
    return name


def is_of_nobody(station, name, cause, *ways):
    """Left as it is and not taken for this device's, unless forced."""
    before = station.service.enrollment(name)
    done = retire(station, name, *ways)
    assert (done.status, done.cause) == (7, cause) and station.service.enrollment(name) == before, done
    assert station.rows()[name]["state"] == "released" and entries(station, name) == []


@pytest.mark.parametrize("ways", [(), ("--disable",)], ids=["deleted", "disabled"])
@pytest.mark.parametrize("way", ["manifest", "sync"])
@pytest.mark.parametrize("settings", [{}, {"provisioningStatus": "disabled", "verify": "none", "deviceInformation": {"rack": 5}},
                                      {"allocationPolicy": "custom", "customAllocation": {"webhookUrl": "https://localhost:9/h?code=s3cret",
                                                                                          "apiVersion": "2019-03-31"}, "verify": "none"}],
                         ids=["registered", "disabled", "webhook"])
def test_what_a_bulk_wrote_and_nobody_since_goes_unforced(station, way, settings, ways):
    name = of_a_bulk(station, way=way, settings=settings)
    assert bool(station.service.registration(name)) is not bool(settings)
    done = retire(station, name, *ways)
    assert (done.status, done.json["state"]) == (0, "retired"), done
    assert (station.service.enrollment(name) or {}).get("provisioningStatus") == ("disabled" if ways else None)


OTHERS = {"keys": ("--pk", base64.b64encode(b"p" * 32).decode(), "--sk", base64.b64encode(b"s" * 32).decode(), "--device-id", "new-owner"),
          "hold": ("--ps", "disabled", "--tags", '{"legal": "hold"}')}


@pytest.mark.parametrize("ways", [(), ("--disable",)], ids=["deleted", "disabled"])
@pytest.mark.parametrize("others", OTHERS)
@pytest.mark.parametrize("way", ["manifest", "sync"])
def test_what_a_bulk_wrote_and_others_since_stays(station, way, others, ways):
    """The mark in it is ours still."""
    name = of_a_bulk(station, way=way)
    az(station, "update", name, *OTHERS[others])
    is_of_nobody(station, name, "E5110", *ways)
    assert retire(station, name, "--force").status == 0 and station.service.enrollment(name) is None


@pytest.mark.parametrize("ways", [(), ("--disable",)], ids=["deleted", "disabled"])
def test_what_a_bulk_wrote_and_is_another_boards_since_stays(station, make_tpm, ways):
    old, new = make_tpm("old"), make_tpm("new")
    name = of_a_bulk(station, "tpm", tpm=old)
    az(station, "update", name, "--tpm", new.tcti)
    is_of_nobody(station, name, "E5120", *ways)
    before = station.service.enrollment(name)
    done = retire(station, name, "--force", *ways)
    assert done.status == 0 and "left as it is" in done.stderr and station.service.enrollment(name) == before, done


def test_what_a_bulk_wrote_and_has_another_certificate_since_stays(hsm_station, token):
    station = hsm_station
    name = of_a_bulk(station, "hsm-x509", "--token", token.uri, "--pin-file", token.pin_file)
    with_another_certificate(station, token, name)
    is_of_nobody(station, name, "E5110")


def test_what_others_created_anew_after_a_bulk_is_compared_with_what_was_released(station):
    """Written once, and with our mark in it: as from a file that was exported and edited."""
    name = of_a_bulk(station)
    found = station.service.enrollment(name)
    station.service.delete(name)
    status, made = station.service.put(name, {
        "registrationId": name, "deviceId": "new-owner", "attestation": {"type": "symmetricKey"},
        "optionalDeviceInformation": found["optionalDeviceInformation"]})
    assert status == 200 and made["createdDateTimeUtc"] == made["lastUpdatedDateTimeUtc"], made
    is_of_nobody(station, name, "E5110")


@pytest.mark.parametrize("others", [("--tags", '{"legal": "hold"}'), ("--ps", "disabled", "--tags", '{"legal": "hold"}')])
def test_what_others_wrote_after_a_retirement_of_a_bulk_device_was_refused_stays(station, others):
    name = of_a_bulk(station)
    batch.restart(station, "--fault", "put:status=403")
    assert retire(station, name, "--disable").status == 5
    batch.restart(station)
    az(station, "update", name, *others)
    before = station.service.enrollment(name)
    done = retire(station, name, "--disable")
    assert (done.status, done.cause) == (7, "E5110") and station.service.enrollment(name) == before, done


# -- Again ---------------------------------------------------------------------------------------------------------


def is_there_again(station, name, *ways):
    """It is told, not called retired, and ended when forced."""
    before, known = station.service.enrollment(name), entries(station, name)
    done = retire(station, name, *ways)
    assert (done.status, done.cause) == (7, "E5110") and station.service.enrollment(name) == before, done
    assert entries(station, name) == known
    done = retire(station, name, *ways, "--force")
    assert (done.status, done.json["state"]) == (0, "retired"), done
    assert (station.service.enrollment(name) or {}).get("provisioningStatus") == ("disabled" if ways else None)
    count = len(station.emulator.ledger())
    assert retire(station, name, *ways).status == 0 and looked_only(station, count)
    assert "E6012" in station.muster("journal", "verify", "--journal", station.journal).stderr
    return done


@pytest.mark.parametrize("is_bulk", [False, True], ids=["single", "bulk"])
def test_what_was_kept_disabled_and_is_enabled_again_is_told(station, is_bulk):
    name = of_a_bulk(station) if is_bulk else released(station)
    assert retire(station, name, "--disable").status == 0
    set_status(station, name, "enabled")
    is_there_again(station, name, "--disable")


def test_what_was_kept_disabled_and_is_gone_is_recorded_by_whoever_would_keep_it(station):
    name = released(station)
    assert retire(station, name, "--disable").status == 0
    station.service.delete(name)
    done = retire(station, name, "--disable")
    assert done.status == 0 and "is gone" in done.stderr and entries(station, name)[-1]["body"]["enrollment"] == "gone", done


def bring_back(station, name, found):
    """As from a file that was exported before."""
    path = station.home / "export.jsonl"
    path.write_text(json.dumps({key: value for key, value in found.items() if key not in ("etag", "registrationState")}) + "\n")
    done = station.muster("enrollment", "import", path, "--login-file", station.login_file, "--ca-file", station.emulator.ca_file)
    assert done.status == 0 and station.service.enrollment(name), done


@pytest.mark.parametrize("ways", [(), ("--disable",)], ids=["deleted", "disabled"])
@pytest.mark.parametrize("is_bulk", [False, True], ids=["single", "bulk"])
def test_what_was_deleted_and_came_back_is_told(station, tpm, is_bulk, ways):
    name = of_a_bulk(station, "tpm", tpm=tpm) if is_bulk else released(station, SERIAL, "tpm", "--tpm", tpm.tcti)
    found = station.service.enrollment(name)
    assert retire(station, name).status == 0
    bring_back(station, name, found)
    done = is_there_again(station, name, *ways)
    assert f"'{name}' was there again until now and is {'disabled' if ways else 'deleted'}" in done.stderr, done


def test_what_another_device_has_there_since_is_no_matter(station):
    """The next board's, which another station enrolled."""
    name = released(station)
    assert retire(station, name).status == 0
    other = {"options": ("--journal", station.home / "desk.db", "--out", station.home / "desk")}
    assert station.provision(station.profile("derived-key"), SERIAL, *other["options"]).status == 0
    before = station.service.enrollment(name)
    for ways in ((), ("--disable",), ("--force",)):
        count = len(station.emulator.ledger())
        assert retire(station, name, *ways).status == 0 and looked_only(station, count)
    assert station.service.enrollment(name) == before and len(entries(station, name)) == 2


def test_what_came_back_is_ended_after_a_cut_too(station, tpm):
    name = released(station, SERIAL, "tpm", "--tpm", tpm.tcti)
    found = station.service.enrollment(name)
    assert retire(station, name).status == 0
    bring_back(station, name, found)
    batch.restart(station, "--fault", "delete:status=403")
    assert retire(station, name, "--force").status == 5
    batch.restart(station)
    assert retire(station, name, "--force").status == 0 and station.service.enrollment(name) is None
    assert entries(station, name)[-1]["body"]["enrollment"] == "deleted"


def test_whether_it_is_there_again_is_not_guessed(station):
    name = released(station)
    assert retire(station, name).status == 0
    restart(station, "get:status=403")
    assert retire(station, name).status == 5 and station.rows()[name]["state"] == "retired"
