"""The service takes no more enrollments: the batch ends soon, says so in the service's words, and goes on when there is room."""
from lib.batch import created, manifest, provision, released, requests, restart, serials

DEVICES = 120
ROOM = 4  # writes
LANES = 4


def test_a_batch_that_finds_no_more_room(station):
    path = manifest(station, serials(DEVICES))
    restart(station, "--fault", f"bulk+put:status=403:skip={ROOM}")
    done = provision(station, path, "--verify", "none")
    assert done.status == 5 and "Injected fault" in done.error["detail"] and "403" in done.error["detail"], done
    enrolled = created(station)
    assert 0 < len(enrolled) < DEVICES and set(enrolled.values()) == {1}
    assert released(station) == set(enrolled)
    # The third in a row stops it, when others may be under way; until then a bulk may be among those that are tried once more.
    refused = [row["op"] for row in requests(station) if row["status"] == 403]
    assert 1 <= len(refused) < 3 + LANES, refused
    restart(station)
    again = provision(station, path, "--verify", "none")
    assert again.status == 0 and again.json["before"] == len(enrolled), again
    enrolled = created(station)
    assert len(enrolled) == DEVICES and set(enrolled.values()) == {1}
    assert released(station) == set(enrolled)


def test_one_device_that_finds_no_room(station):
    profile = station.profile("derived-key")
    restart(station, "--fault", "put:status=403")
    done = station.provision(profile, "A17-0042")
    assert done.status == 5 and "Injected fault" in done.error["detail"], done
    assert len(station.emulator.requests("put")) == 1 and station.service.enrollments() == []
    restart(station)
    again = station.provision(profile, "A17-0042")
    assert again.status == 0 and again.json["verified"] is True, again
