"""The service commits and its answer is lost or damaged: muster reads back, confirms, and there is one effect."""
import pytest

SERIAL = "KEY-0001"


def provision_with(station, *faults):
    station.emulator.restart(*[word for fault in faults for word in ("--fault", fault)])
    station.renew_login()
    return station.provision(station.profile("derived-key"), SERIAL)


def assert_one_effect(station, done):
    assert done.status == 0, done
    assert done.json["verified"] is True
    assert [row["effect"] for row in station.emulator.effects("put")] == ["create"]
    assert len(station.service.enrollments()) == 1


@pytest.mark.parametrize("action", ["cut-after", "truncated", "status-after=500", "status-after=503", "garbage",
                                    "garbage=html", "garbage=empty", "garbage=duplicate", "garbage=deep", "garbage=huge"])
def test_lost_on_a_new_connection(station, action):
    assert_one_effect(station, provision_with(station, f"put:{action}:count=1"))


@pytest.mark.parametrize("action", ["cut-after", "truncated"])
def test_lost_on_a_reused_connection(station, action):
    """The first PUT is answered 503, the second goes over the same connection."""
    assert_one_effect(station, provision_with(station, "put:status=503:count=1", f"put:{action}:skip=1:count=1"))


def test_cut_before_the_commit_is_sent_again(station):
    assert_one_effect(station, provision_with(station, "put:cut-before:count=1"))


def test_throttled_once(station):
    assert_one_effect(station, provision_with(station, "put:status=429:retry-after=1:count=1"))


@pytest.mark.parametrize("operation", ["get", "mechanism"])
def test_what_was_read_back_garbled_is_read_again(station, operation):
    assert_one_effect(station, provision_with(station, f"{operation}:garbage:count=1"))


def test_keys_that_are_never_read_back_whole_say_what_is_wrong_with_them(station):
    done = provision_with(station, "mechanism:garbage")
    assert done.status != 0 and "answered 200" not in done.stderr, done


@pytest.mark.parametrize("operation", ["register", "poll"])
def test_verification_survives_a_lost_reply(station, operation):
    assert_one_effect(station, provision_with(station, f"{operation}:cut-after:count=1"))


def test_an_outcome_that_stays_unknown_says_so_and_the_next_run_confirms(station):
    done = provision_with(station, "put:cut-after", "get:cut-before")
    assert done.status in (6, 9), done
    station.emulator.restart()
    station.renew_login()
    assert_one_effect(station, station.provision(station.profile("derived-key"), SERIAL))


def test_enrollment_with_other_content_is_a_conflict_and_stays(station):
    profile = station.profile("derived-key")
    registration_id = station.provision(profile, SERIAL, "--dry-run").json["registrationId"]
    status, before = station.service.put(registration_id, {
        "registrationId": registration_id, "attestation": {"type": "symmetricKey", "symmetricKey": {
            "primaryKey": "A" * 43 + "=", "secondaryKey": "A" * 43 + "="}}})
    assert status == 200, before
    done = station.provision(profile, SERIAL)
    assert (done.status, done.cause) == (7, "E3101"), done
    assert station.service.enrollment(registration_id)["etag"] == before["etag"]


def test_a_station_without_the_journal_recognises_its_device(station):
    profile = station.profile("derived-key")
    assert station.provision(profile, SERIAL).status == 0
    done = station.provision(profile, SERIAL, "--journal", station.home / "other.db", "--out", station.home / "other")
    assert_one_effect(station, done)


def test_a_refusal_does_not_end_what_may_still_land(station):
    """The first sending is lost and not there when it is looked for; the second is refused. The first may still be on its way."""
    refused = provision_with(station, "put:cut-before:count=1", "put:status=403:skip=1:count=1")
    assert (refused.status, refused.cause) == (5, "E5122"), refused
    row, = station.rows().values()
    assert row["state"] == "parked"
    again = provision_with(station, "put:status=403:count=1")
    assert (again.status, again.cause) == (5, "E5122"), again
    row, = station.rows().values()
    assert row["state"] == "parked"
    done = station.sync()
    assert done.status == 0 and done.json[0]["state"] == "enrolled", done
    assert_one_effect(station, station.provision(station.profile("derived-key"), SERIAL))


def test_a_refusal_alone_leaves_nothing(station):
    assert provision_with(station, "put:status=403:count=1").status == 5
    row, = station.rows().values()
    assert row["state"] == "failed"
