"""The same profile, byte for byte, in two folders that have other files beside it, and one journal for both."""
import base64
import json
import os
import shutil

import pytest

from lib.software_token import write_secret
from test_bundle import export, public_key, send
from test_derived_key import derive, keys_of
from test_offline import spool


@pytest.fixture
def lines(station):
    """Two folders with the profile, and the primary master of each."""
    profile = station.profile("derived-key")
    made = []
    for name in "line-1", "line-2":
        folder = station.home / name
        (folder / "keys").mkdir(parents=True)
        master = base64.b64encode(os.urandom(32)).decode()
        write_secret(folder / "keys/primary.key", master + "\n")
        write_secret(folder / "keys/secondary.key", station.masters[1] + "\n")
        made.append((shutil.copy(profile, folder / "profile.yaml"), master))
    return made


def assert_key(station, name, master):
    assert keys_of(station.service, name)["primaryKey"] == derive(master, name)


def park(station, profile, serial):
    station.emulator.restart("--fault", "put+get:status=503:retry-after=0")
    station.renew_login()
    done = station.provision(profile, serial, "--patience", "0")
    assert done.status == 6 and station.rows()[serial.lower()]["state"] == "parked", done
    station.emulator.restart()
    station.renew_login()


def test_what_is_spooled_is_sent_by_the_files_of_its_own_folder(station, lines):
    names = [spool(station, profile, f"LINE-{number}") for number, (profile, _) in enumerate(lines)]
    done = station.sync()
    assert done.status == 0 and [row["verified"] for row in done.json] == [True, True], done
    for name, (_, master) in zip(names, lines):
        assert_key(station, name, master)


def test_what_is_parked_is_sent_by_the_files_of_its_own_folder(station, lines):
    (first, _), (second, master) = lines
    spool(station, first, "LINE-0")
    park(station, second, "LINE-1")
    done = station.sync()
    assert done.status == 0, done
    assert_key(station, "line-1", master)
    evidence = json.loads((station.out / "line-1.evidence.json").read_text())
    assert evidence["profile"]["sha256"] == json.loads((station.out / "line-0.evidence.json").read_text())["profile"]["sha256"]


def test_run_that_takes_up_a_parked_device_from_another_folder_leaves_it_to_that(station, lines):
    (first, _), (second, master) = lines
    for profile in first, second:
        park(station, profile, "LINE-1")
    assert station.sync().status == 0
    assert_key(station, "line-1", master)


def test_link_to_a_profile_goes_by_the_files_beside_the_link(station, lines):
    (first, _), (second, master) = lines
    second.unlink()
    second.symlink_to(first)
    name = spool(station, second, "LINE-1")
    assert station.sync().status == 0
    assert_key(station, name, master)


def test_folder_that_is_gone_is_replaced_by_the_one_that_is_named_again(station, lines):
    profile, master = lines[0]
    name = spool(station, profile, "LINE-0")
    moved = profile.parent.rename(station.home / "moved")
    done = station.sync()
    assert (done.status, done.cause) == (2, "E1002"), done
    spool(station, moved / "profile.yaml", "LINE-0")
    assert station.sync().status == 0
    assert_key(station, name, master)


def test_profile_without_files_beside_it_is_kept_once(station, lines):
    for (profile, _), name in zip(lines, ("a", "b")):
        text = profile.read_text().replace("keys/primary.key", str(station.home / "keys/primary.key"))
        profile.write_text(text.replace("keys/secondary.key", str(station.home / "keys/secondary.key")))
        spool(station, profile, f"LINE-{name}")
    assert len(list((station.home / "profiles").iterdir())) == 1
    assert station.sync().status == 0


def test_copy_that_is_gone_is_told(station, lines):
    name = spool(station, lines[0][0], "LINE-0")
    shutil.rmtree(station.home / "profiles")
    done = station.sync()
    assert (done.status, done.cause) == (1, "E5182"), done
    assert spool(station, lines[0][0], "LINE-0") == name
    assert station.sync().status == 0


def test_bundle_is_sent_by_the_folder_that_was_named_last(station, lines, tmp_path):
    """On the station that sends it the profile lay elsewhere before, with other keys beside it."""
    (first, _), (second, master) = lines
    office = type(station)(tmp_path / "office", station.emulator)
    spool(office, first, "OFFICE-1")
    name = spool(station, second, "LINE-1")
    key = public_key(station)
    assert export(station, tmp_path / "stick").status == 0
    wrong = send(office, tmp_path / "stick", tmp_path / "receipt", key, "--profile", first)
    assert (wrong.status, wrong.cause) == (5, "E5183"), wrong
    wrong = send(office, tmp_path / "stick", tmp_path / "receipt-1", key, "--profile", second, "--profile", first)
    assert (wrong.status, wrong.cause) == (5, "E5183"), wrong
    done = send(office, tmp_path / "stick", tmp_path / "receipt-2", key, "--profile", first, "--profile", second)
    assert done.status == 0, done
    assert_key(station, name, master)
