"""A device waits, and its key is not in the token any more, or another is in its place: no other takes the place of one that may be in
use."""
import pytest

from test_bundle import export
from test_hsm_terms import SERIAL, entries, fail, key_in, opened, park, profile_of, provision
from test_hsm_wrap import device, wrapped_profile  # noqa: F401
from test_offline import evidence_of, offline, spool
from test_outbox import resolve


def lose(token):
    key_id, = token.key_ids()
    for kind in ("privkey", "pubkey"):
        token.pkcs11_tool("--delete-object", "--type", kind, "--id", key_id)


def replace(token):
    """Another key of its ID and label, as in a token that was put back from a backup."""
    label, key_id = token.objects("privkey")[0], token.key_ids()[0]
    lose(token)
    token.pkcs11_tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", label, "--id", key_id, "--extractable")


FATES = pytest.mark.parametrize("spoil", [lose, replace], ids=["lost", "replaced"])


def runs(station, token, profile, *arguments):
    return (offline(station, profile, SERIAL, *opened(token), *arguments), provision(station, token, profile, *arguments),
            provision(station, token, profile, "--dry-run", *arguments))


def assert_refused(station, token, runs, left=None):
    """What is in the token stays as it is."""
    for done in runs:
        assert (done.status, done.cause) == (3, "E4320"), done
        assert ("is another" in done.stderr) == bool(left), done
    assert (key_in(token) if left else token.key_ids()) == (left or [])


def left_in(token):
    return key_in(token) if token.key_ids() else None


def certificates_of(station):
    return [body["certificate"] for _, body in entries(station) if "certificate" in body]


@FATES
def test_what_was_wrapped_is_what_the_device_has(hsm_station, token, device, spoil):  # noqa: F811
    station, profile, here = hsm_station, wrapped_profile(hsm_station), ("--device-key", device[1])
    spool(station, profile, SERIAL, *opened(token), *here)
    files = {path: path.read_bytes() for path in station.out.iterdir()}
    assert station.out / f"{SERIAL}.key.wrapped" in files
    spoil(token)
    certified, left = certificates_of(station), left_in(token)
    told = station.sync(*opened(token))
    assert (told.status, told.cause) == (3, "E4302") or "E4302" in told.stdout, told
    assert "enrolled with" not in told.stdout + told.stderr and "which waits" in told.stdout + told.stderr, told
    assert_refused(station, token, runs(station, token, profile, *here), left)
    assert certificates_of(station) == certified and {path: path.read_bytes() for path in files} == files
    assert station.rows()[SERIAL]["state"] == "spooled"
    sent = station.sync()
    assert sent.status == 0 and sent.json[0]["state"] == "enrolled", sent


@FATES
def test_what_left_in_a_bundle_may_be_enrolled(hsm_station, token, tmp_path, spoil):
    station, profile = hsm_station, profile_of(hsm_station)
    spool(station, profile, SERIAL, *opened(token))
    assert export(station, tmp_path / "stick.bundle").status == 0
    spoil(token)
    certified, left = certificates_of(station), left_in(token)
    assert_refused(station, token, runs(station, token, profile), left)
    assert certificates_of(station) == certified
    assert resolve(station, SERIAL, "--as", "retired", "--reason", "the token was cleared").status == 0
    if not left:
        assert provision(station, token, profile).status == 0


@FATES
def test_what_may_be_enrolled_is_left_to_a_person(hsm_station, token, spoil):
    station, profile = hsm_station, profile_of(hsm_station)
    park(station, token, profile)
    spoil(token)
    certified, left = certificates_of(station), left_in(token)
    assert_refused(station, token, runs(station, token, profile), left)
    assert certificates_of(station) == certified


@FATES
def test_a_secondary_key_is_none_that_may_be_exchanged(hsm_station, token, spoil):
    station = hsm_station
    profile = profile_of(station, secondaryKey="own", secondaryValidDays=200)
    park(station, token, profile)
    secondary = next(body["keyId"] for _, body in entries(station) if "secondaryOf" in body)
    for kind in ("privkey", "pubkey"):
        token.pkcs11_tool("--delete-object", "--type", kind, "--id", secondary)
    if spoil is replace:
        token.pkcs11_tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", SERIAL + "+secondary", "--id", secondary)
    for done in runs(station, token, profile):
        assert (done.status, done.cause) == (3, "E4320") and "the secondary key" in done.stderr, done
    assert sorted(token.objects("privkey")) == [SERIAL, *([SERIAL + "+secondary"] if spoil is replace else [])]


@FATES
@pytest.mark.parametrize("begin", [fail, lambda station, token, profile: spool(station, profile, SERIAL, *opened(token))],
                         ids=["refused", "spooled"])
def test_what_nobody_has_is_made_anew_and_told(hsm_station, token, begin, spoil):
    station, profile = hsm_station, profile_of(hsm_station)
    begin(station, token, profile)
    before = key_in(token)
    spoil(token)
    left = left_in(token)
    done = provision(station, token, profile)
    assert done.status == 0 and done.json["verified"] is True and "made anew" in done.stderr, done
    assert key_in(token) not in (before, left) and ("another of its ID" in done.stderr) == bool(left), done


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
