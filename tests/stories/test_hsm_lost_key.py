"""A device waits, and its key is not in the token any more: no other takes the place of one that may be in use."""
import pytest

from test_bundle import export
from test_hsm_terms import SERIAL, fail, key_in, opened, park, profile_of, provision
from test_hsm_wrap import device, wrapped_profile  # noqa: F401
from test_offline import evidence_of, offline, spool
from test_outbox import resolve


def lose(token):
    key_id, = token.key_ids()
    for kind in ("privkey", "pubkey"):
        token.pkcs11_tool("--delete-object", "--type", kind, "--id", key_id)


def runs(station, token, profile, *arguments):
    return (offline(station, profile, SERIAL, *opened(token), *arguments), provision(station, token, profile, *arguments),
            provision(station, token, profile, "--dry-run", *arguments))


def assert_refused(station, token, runs):
    for done in runs:
        assert (done.status, done.cause) == (3, "E4320"), done
    assert token.key_ids() == []


def test_what_was_wrapped_is_what_the_device_has(hsm_station, token, device):  # noqa: F811
    station, profile, here = hsm_station, wrapped_profile(hsm_station), ("--device-key", device[1])
    spool(station, profile, SERIAL, *opened(token), *here)
    files = {path: path.read_bytes() for path in station.out.iterdir()}
    assert station.out / f"{SERIAL}.key.wrapped" in files
    lose(token)
    assert_refused(station, token, runs(station, token, profile, *here))
    assert {path: path.read_bytes() for path in files} == files
    assert station.rows()[SERIAL]["state"] == "spooled"
    sent = station.sync()
    assert sent.status == 0 and sent.json[0]["state"] == "enrolled", sent


def test_what_left_in_a_bundle_may_be_enrolled(hsm_station, token, tmp_path):
    station, profile = hsm_station, profile_of(hsm_station)
    spool(station, profile, SERIAL, *opened(token))
    assert export(station, tmp_path / "stick.bundle").status == 0
    lose(token)
    assert_refused(station, token, runs(station, token, profile))
    assert resolve(station, SERIAL, "--as", "retired", "--reason", "the token was cleared").status == 0
    assert provision(station, token, profile).status == 0


def test_what_may_be_enrolled_is_left_to_a_person(hsm_station, token):
    station, profile = hsm_station, profile_of(hsm_station)
    park(station, token, profile)
    lose(token)
    assert_refused(station, token, runs(station, token, profile))


@pytest.mark.parametrize("begin", [fail, lambda station, token, profile: spool(station, profile, SERIAL, *opened(token))],
                         ids=["refused", "spooled"])
def test_what_nobody_has_is_made_anew_and_told(hsm_station, token, begin):
    station, profile = hsm_station, profile_of(hsm_station)
    begin(station, token, profile)
    before = key_in(token)
    lose(token)
    done = provision(station, token, profile)
    assert done.status == 0 and done.json["verified"] is True and "made anew" in done.stderr, done
    assert key_in(token) != before


@pytest.mark.parametrize("which", ["", "+secondary"])
def test_another_key_in_the_place_of_a_released_devices_is_told(hsm_station, token, which):
    """Under its ID and label, as a run with an older journal could have made it."""
    station = hsm_station
    profile = profile_of(station, **({"secondaryKey": "own", "secondaryValidDays": 200} if which else {}))
    done = provision(station, token, profile)
    assert done.status == 0, done
    label = SERIAL + which
    key_id = evidence_of(done.json)["attestation"]["secondaryKeyId" if which else "keyId"]
    for kind in ("privkey", "pubkey", "cert"):
        token.pkcs11_tool("--delete-object", "--type", kind, "--id", key_id)
    token.pkcs11_tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", label, "--id", key_id)
    for arguments in ([], ["--dry-run"]):
        done = provision(station, token, profile, *arguments)
        assert (done.status, done.cause) == (3, "E4302") and "another" in done.stderr, done
    assert station.rows()[SERIAL]["state"] == "released"
