"""The same device again: from another socket, under another spelling of its serial, at two stations at the same time."""
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

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


@pytest.mark.parametrize("serial", ["key-0001", "Key-0001"])
def test_under_another_spelling_of_its_serial(station, serial):
    """Registration IDs have no letter case: it would be the same device for the service."""
    profile = station.profile("derived-key", {"registrationId": "{serial}"})
    assert station.provision(profile, SERIAL).status == 0
    done = station.provision(profile, serial)
    assert (done.status, done.cause) == (7, "E3103") and SERIAL in done.stderr, done
    assert creates(station) == ["create"]


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
