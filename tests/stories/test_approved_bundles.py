"""Devices that were made without a network are sent by a station that wants approvals: theirs come with them, also on a stick."""
import shutil

import pytest

from lib.approvals import Person
from lib.station import Station
from test_approvals import ceremony  # noqa: F401


def spool(station, profile, path, *arguments):
    done = station.muster("provision", "--profile", profile, "--manifest", path, "--offline", "--journal", station.journal, "--out",
                          station.out, "-o", "json", *arguments)
    assert done.status == 6, done


def test_what_was_spooled_without_is_not_sent(ceremony):  # noqa: F811
    ceremony.demand(0)
    spool(ceremony.station, ceremony.profile, ceremony.manifest)
    ceremony.demand(1)
    done = ceremony.station.sync()
    assert done.status == 5 and "E6150" in done.stdout + done.stderr, done
    assert ceremony.station.emulator.requests("put") == []
    assert ceremony.ask().status == 0 and ceremony.grant(ceremony.carol).status == 0
    spool(ceremony.station, ceremony.profile, ceremony.manifest, "--approval", ceremony.file)
    assert ceremony.station.sync().status == 0


def test_what_was_spooled_with_too_few_is_not_sent(ceremony):  # noqa: F811
    ceremony.demand(1)
    assert ceremony.ask().status == 0 and ceremony.grant(ceremony.carol).status == 0
    spool(ceremony.station, ceremony.profile, ceremony.manifest, "--approval", ceremony.file)
    ceremony.demand(2)
    done = ceremony.station.sync()
    assert done.status == 5 and "E6154" in done.stdout + done.stderr, done
    assert ceremony.station.emulator.requests("put") == []
    ceremony.demand(1)
    assert ceremony.station.sync().status == 0


class Stick:
    """Devices that another station spooled, which may ask for nothing."""

    def __init__(self, ceremony, home):
        self.ceremony, self.laptop = ceremony, Station(home, ceremony.station.emulator)
        (home / "keys").rename(home / "unused")
        shutil.copytree(ceremony.station.home / "keys", home / "keys")
        self.profile = home / "derived-key.yaml"
        shutil.copy(ceremony.profile, self.profile)
        self.bundle, self.key = home / "stick.bundle", home / "laptop.pub"

    def write(self, *arguments):
        spool(self.laptop, self.profile, self.ceremony.manifest, *arguments)
        if not self.key.exists():
            Person(self.laptop.home, "laptop")
        done = self.laptop.muster("bundle", "export", self.bundle, "--journal", self.laptop.journal, "--key", self.laptop.home / "laptop.key")
        assert done.status == 0, done
        return self

    def list(self):
        path = self.ceremony.folder / "muster.yaml"
        path.write_text(path.read_text().replace("}", ", stations: stations.pem}"))
        (self.ceremony.folder / "stations.pem").write_text(self.key.read_text())

    def send(self, receipt):
        station = self.ceremony.station
        return station.muster("bundle", "send", self.bundle, "--from", self.key, "--receipt", station.home / receipt, *station.common(),
                              "--profile", self.profile, "-o", "json")


@pytest.fixture
def stick(ceremony, tmp_path):  # noqa: F811
    return Stick(ceremony, tmp_path / "laptop")


def test_a_bundle_of_any_station_is_no_way_round(stick):
    stick.write()
    stick.ceremony.refused(stick.send("one"), 5, "E6159")
    stick.list()
    done = stick.send("two")
    assert done.status == 5 and "E6150" in done.stdout + done.stderr, done
    assert stick.ceremony.station.emulator.requests("put") == []


def test_nor_is_it_where_only_the_profile_demands_approvals(ceremony, tmp_path):  # noqa: F811
    """A genuine approval by the same profile would let pass whatever devices a station has put it beside."""
    ceremony.demand(0)
    ceremony.profile = ceremony.station.profile("derived-key", {"approvals": 2})
    stick = Stick(ceremony.install(tmp_path / "etc").approved(), tmp_path / "laptop")
    stick.laptop.wrapper = ceremony.station.wrapper
    stick.write("--approval", ceremony.file)
    ceremony.refused(stick.send("one"), 5, "E6159")
    stick.list()
    assert stick.send("two").status == 0


def test_a_bundle_of_a_listed_station_with_approvals_is_sent(stick):
    station = stick.ceremony.approved().station
    stick.laptop.env["MUSTER_CONFIG"] = station.env["MUSTER_CONFIG"]
    stick.write("--approval", stick.ceremony.file)
    stick.list()
    done = stick.send("receipt")
    assert done.status == 0 and [row["state"] for row in done.json] == ["enrolled"] * 3, done


def test_a_later_bundle_brings_the_approvals_that_were_missing(stick):
    stick.write()
    stick.list()
    first = stick.bundle
    done = stick.send("one")
    assert done.status == 5 and "E6150" in done.stdout + done.stderr, done
    station = stick.ceremony.approved().station
    stick.laptop.env["MUSTER_CONFIG"] = station.env["MUSTER_CONFIG"]
    stick.bundle = stick.laptop.home / "second.bundle"
    stick.write("--approval", stick.ceremony.file)
    done = stick.send("two")
    assert done.status == 0 and [row["state"] for row in done.json] == ["enrolled"] * 3, done
    stick.bundle = first
    stick.send("three")
    assert {row["state"] for row in station.rows().values()} == {"released"}
