"""A PKCS#11 module that lies, loses things and falls over: muster ends with a cause, never with a crash; nothing is enrolled
that the token did not truly make; and a PIN goes to nobody but the token that was opened."""
import json
import shutil
import subprocess

import pytest
import yaml

from lib.program import environment
from lib.software_token import SoftwareTokens, write_secret
from lib.station import Station
from lib.wait import wait_until
from test_offline import spool

FINE = None
# What the module does, and the causes that may come of it.
FAULTS = [
    # It cannot be asked.
    ("C_Initialize=0x5", {"E4101"}), ("C_Initialize=0x30", {"E4101"}), ("C_Initialize=0x8", {"E4101"}),
    ("C_GetSlotList=0x30", {"E4107"}), ("many-slots", {"E4109"}),
    ("C_GetSlotInfo=0x5", {"E4107"}), ("C_GetTokenInfo=0x30", {"E4107"}), ("C_GetTokenInfo=0xe0", {"E4103"}),
    ("not-text", {"E4103"}),
    ("no-session", {"E4107"}), ("C_OpenSession=0xb1", {"E4107"}),
    # The PIN.
    ("locked", {"E4204"}), ("expired", {"E4204"}), ("final-try", {"E4203"}), ("count-low", {"E4205"}),
    ("pin-refused", {"E4201"}), ("pin-locked", {"E4204"}), ("long-pins", {"E1006"}),
    ("no-pin-length", FINE), ("crossed-pin-length", FINE),
    ("C_Login=0x30", {"E4107"}), ("C_Login=0x32", {"E4106"}), ("C_Login=0x80000001", {"E4107"}), ("C_Login=0x104", {"E4107"}),
    ("reinserted", {"E4106"}), ("C_GetTokenInfo=0x32@3", {"E4106"}),
    # Looking for things.
    ("C_FindObjectsInit=0x30", {"E4107"}), ("C_FindObjects=0x6", {"E4107"}), ("many-objects", {"E4109"}),
    ("C_FindObjectsInit=0xb3", {"E4106"}),
    # The key.
    ("C_GetMechanismInfo=0x30", {"E4107"}), ("no-curves", {"E4108"}),
    ("C_GenerateKeyPair=0x31", {"E4107"}), ("C_GenerateKeyPair=0xd1", {"E4108"}), ("C_GenerateKeyPair=0x13", {"E4108"}),
    ("extractable", {"E4301"}), ("may-decrypt", {"E4301"}), ("may-wrap", {"E4301"}), ("not-local", {"E4301"}),
    ("was-extractable", {"E4301"}), ("not-boolean", {"E4109"}), ("nothing-known", FINE),
    ("C_GetAttributeValue=0x30", {"E4107"}), ("C_GetAttributeValue=0x30@5", {"E4107"}), ("C_GetAttributeValue=0x11@19", {"E4107", "E4109"}),
    ("huge-attribute", {"E4109"}), ("off-curve", {"E4109"}), ("cut-point", {"E4109"}), ("bare-point", FINE),
    ("empty-point", {"E4109"}), ("another-curve", {"E4109"}), ("wrong-key", {"E4304", "E4109"}),
    ("C_DestroyObject=0x30", FINE),
    # Signing.
    ("C_SignInit=0x82", {"E4107"}), ("C_SignInit=0x100000000", {"E4107"}), ("C_Sign=0x150", {"E4109"}),
    ("C_Sign=0x30@2", {"E4107", "E9003"}),
    ("bad-signature", {"E4304"}), ("huge-signature", {"E4109"}), ("empty-signature", {"E4109", "E4304"}),
    ("short-signature", {"E4109", "E4304"}),
    # The session or its login is lost in the middle: once more, with the PIN that was accepted, on the same token only.
    ("lost", FINE), ("lost-device", FINE), ("lost-login", FINE), ("C_GetSessionInfo=0xb3", {"E4106"}),
    ("lost-other", {"E4106"}), ("lost-gone", {"E4106"}), ("lost-low", {"E4205"}), ("lost-pin", {"E4201"}),
    # The worker's end.
    ("crash", {"E7002"}), ("abort", {"E7002"}), ("ends-well", {"E7002"}), ("shuts-the-door", {"E7002"}),
    ("answers-itself", {"E7003", "E7002"}), ("hang", {"E4102"}),
    # Storing and finding again.
    ("C_CreateObject=0x31", {"E4107"}), ("twice", {"E4303", "E4306", "E4109"}),
]
NO_LOGIN = {"locked", "expired", "final-try", "count-low", "reinserted", "C_GetTokenInfo=0x32@3", "not-text", "long-pins"}
# One login more, with a PIN that was accepted.
AGAIN = {"lost", "lost-device", "lost-login", "lost-pin", "C_GetSessionInfo=0xb3"}
# The certificate is stored last, when the device with its right key is enrolled; the run ends before it is released.
LATE = {"C_CreateObject=0x31", "twice", "C_Sign=0x30@2"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory, make_shared_emulator):
    """One station, one token as it was made, and the bent module where nobody else can change it."""
    directory = tmp_path_factory.mktemp("faults")
    station = Station(directory / "home", make_shared_emulator())
    station.token = SoftwareTokens(directory / "softhsm").make("line-3")
    station.saved = station.token.module.save()
    station.module = directory / "fault.so"
    shutil.copy(station.build / "tests/muster-fault.so", station.module)
    station.module.chmod(0o755)
    station.configuration = station.home / "muster.yaml"
    station.env["MUSTER_CONFIG"] = station.configuration
    station.uri = f"pkcs11:token=line-3;serial={station.token.serial}?module-name=fault"
    station.profile_file = station.profile("hsm-x509")
    station.logins = directory / "logins"
    return station


def bend(shop, fault, **variables):
    values = {"SOFTHSM2_CONF": shop.token.module.configuration, "MUSTER_FAULT": fault, "MUSTER_FAULT_LOGINS": shop.logins, **variables}
    entry = {"path": str(shop.module), "environment": [f"{name}={value}" for name, value in values.items()]}
    shop.configuration.write_text(yaml.safe_dump({"modules": {"fault": entry}}))


def begin(shop, fault, **variables):
    """Nothing is left of the story before."""
    shop.token.module.restore(shop.saved)
    shop.logins.unlink(missing_ok=True)
    shutil.rmtree(shop.home / "state", ignore_errors=True)
    bend(shop, fault, **variables)


def logins(shop):
    return len(shop.logins.read_bytes()) if shop.logins.exists() else 0


def provision(shop, serial, pin_file=None, profile=None):
    return shop.provision(profile or shop.profile_file, serial, "--token", shop.uri, "--pin-file", pin_file or shop.token.pin_file)


@pytest.mark.parametrize("number", range(len(FAULTS)), ids=[fault for fault, _ in FAULTS])
def test_ends_with_a_cause(shop, number):
    fault, causes = FAULTS[number]
    serial = f"fault-{number}"
    begin(shop, fault)
    done = provision(shop, serial)
    enrolled = [row["registrationId"] for row in shop.service.enrollments()]
    if causes is FINE:
        assert done.status == 0 and done.json["verified"] is True, done
        assert serial in enrolled
    else:
        assert 0 < done.status <= 11 and done.cause in causes, done
        assert serial not in enrolled or fault in LATE, done
    assert logins(shop) <= (fault not in NO_LOGIN) + (fault in AGAIN)
    assert logins(shop) == 2 or fault not in AGAIN


def test_the_table_is_long_enough():
    assert len({fault for fault, _ in FAULTS}) == len(FAULTS) >= 60


def test_a_hundred_restarts_with_a_wrong_pin_burn_one_try(shop, tmp_path):
    """What a service manager does with a station that has the wrong PIN."""
    tries = tmp_path / "tries"
    wrong = write_secret(tmp_path / "wrong", "135791")
    begin(shop, "none", MUSTER_FAULT_TRIES=tries)
    causes = [shop.muster("hsm", "show", shop.uri, "--pin-file", wrong).cause for _ in range(100)]
    assert causes == ["E4201"] + 99 * ["E4202"]
    assert (tries.read_text(), logins(shop)) == ("2", 1)


def test_a_pin_that_is_refused_after_a_lost_session_is_remembered(shop):
    begin(shop, "lost-pin")
    assert provision(shop, "lost-1").cause == "E4201"
    bend(shop, "none", MUSTER_FAULT_LOGINS=shop.logins)
    assert provision(shop, "lost-1").cause == "E4202"
    assert logins(shop) == 2
    assert shop.muster("hsm", "acknowledge", shop.uri).status == 0
    assert provision(shop, "lost-1").json["verified"] is True


@pytest.mark.parametrize("verb", [
    ["cert", "request", "--key", "pkcs11:object=key;type=private", "--subject", "CN=key", "--out", "key.csr"],
    ["cert", "produce", "--profile", "profile.yaml", "--serials", "serials", "--out", "out.jsonl"],
    ["key", "derive", "dev-1", "--master", "pkcs11:object=master", "--out", "derived"],
    ["key", "generate-master", "--label", "other"],
], ids=lambda verb: " ".join(verb[:2]))
def test_a_custodian_meets_that_refusal_once(shop, verb):
    begin(shop, "none")
    custody = ["--token", shop.uri, "--pin-file", shop.token.pin_file, "--journal", shop.home / "custody.db"]
    for made in (["cert", "request", "--key-type", "ec-p256", "--label", "key", "--subject", "CN=key"],
                 ["key", "generate-master", "--label", "master"]):
        assert shop.muster(*made, *custody).status == 0
    shop.profile("hsm-x509", {"attestation": {"x509": {"token": None}}}, "profile")
    (shop.home / "serials").write_text("a-1\n")
    shop.logins.unlink()
    bend(shop, "lost-pin", MUSTER_FAULT_LOGINS=shop.logins)
    assert shop.muster(*verb, *custody).cause == "E4201"
    bend(shop, "none", MUSTER_FAULT_LOGINS=shop.logins)
    assert shop.muster(*verb, *custody).cause == "E4202"
    assert logins(shop) == 2
    for name in ("custody.db", "key.csr", "out.jsonl", "derived"):
        (shop.home / name).unlink(missing_ok=True)


def test_the_last_try_is_never_spent(shop, tmp_path):
    tries = tmp_path / "tries"
    wrong = write_secret(tmp_path / "wrong", "135791")
    begin(shop, "none", MUSTER_FAULT_TRIES=tries)

    def show(pin_file):
        return shop.muster("hsm", "show", shop.uri, "--pin-file", pin_file, "-o", "json")

    assert show(wrong).cause == "E4201"
    assert show(shop.token.pin_file).cause == "E4202"
    assert shop.muster("hsm", "acknowledge", shop.uri).status == 0
    assert show(wrong).cause == "E4201"
    assert shop.muster("hsm", "acknowledge", shop.uri).status == 0
    refused = show(shop.token.pin_file)
    assert (refused.status, refused.cause) == (5, "E4203"), refused
    assert (tries.read_text(), logins(shop)) == ("1", 2)


def test_the_right_pin_after_an_acknowledged_refusal_resets_the_counter(shop, tmp_path):
    tries = tmp_path / "tries"
    begin(shop, "none", MUSTER_FAULT_TRIES=tries)
    assert shop.muster("hsm", "show", shop.uri, "--pin-file", write_secret(tmp_path / "wrong", "135791")).cause == "E4201"
    assert shop.muster("hsm", "acknowledge", shop.uri).status == 0
    assert shop.muster("hsm", "show", shop.uri, "--pin-file", shop.token.pin_file).status == 0
    assert tries.read_text() == "3"


# -- An answer that does not come ----------------------------------------------------------------------------------------

@pytest.fixture
def wrong(tmp_path):
    return write_secret(tmp_path / "wrong", "135791")


# A counter of wrong PINs that keeps nothing: the flags of the token warn of nothing.
HIDDEN = {"MUSTER_FAULT_TRIES": "/dev/null"}


def show(shop, pin_file):
    return shop.muster("hsm", "show", shop.uri, "--pin-file", pin_file, "-o", "json")


def begin_show(shop, pin_file):
    command = [shop.build / "muster", "hsm", "show", shop.uri, "--pin-file", pin_file]
    return subprocess.Popen(command, env=environment(shop.build, shop.home, shop.env), cwd=shop.home, text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_a_module_that_dies_in_a_login_is_not_given_the_pin_again(shop, wrong, tmp_path):
    begin(shop, "dies-in-login", **HIDDEN)
    assert show(shop, wrong).cause == "E7002"
    for pin_file in (wrong, wrong, shop.token.pin_file):
        refused = show(shop, pin_file)
        assert (refused.status, refused.cause) == (5, "E4207") and "line-3" in refused.stderr, refused
    assert logins(shop) == 1


def test_an_acknowledgement_allows_one_try_whatever_comes_of_it(shop, wrong):
    begin(shop, "dies-in-login", **HIDDEN)
    assert show(shop, wrong).cause == "E7002"
    assert shop.muster("hsm", "acknowledge", shop.uri).status == 0
    assert show(shop, wrong).cause == "E7002"
    assert show(shop, wrong).cause == "E4207" and logins(shop) == 2
    assert shop.muster("hsm", "acknowledge", shop.uri).status == 0
    bend(shop, "none", **HIDDEN)
    assert show(shop, shop.token.pin_file).json["loggedIn"] is True
    assert list((shop.home / "state/muster/pin-refusals").iterdir()) == []


def test_an_acknowledgement_is_kept_where_no_pin_was_sent(shop, wrong, tmp_path):
    begin(shop, "none", **HIDDEN)
    assert show(shop, wrong).cause == "E4201"
    assert shop.muster("hsm", "acknowledge", shop.uri).status == 0
    assert show(shop, write_secret(tmp_path / "empty", "")).cause == "E4002"
    [marker] = (shop.home / "state/muster/pin-refusals").iterdir()
    assert json.loads(marker.read_text())["acknowledged"] is True
    assert show(shop, shop.token.pin_file).json["loggedIn"] is True


def test_a_station_that_is_killed_in_a_login_does_not_try_the_pin_again(shop, wrong):
    begin(shop, "hangs-in-login", **HIDDEN)
    with begin_show(shop, wrong) as killed:
        wait_until(lambda: logins(shop) == 1, what="the login")
        killed.kill()
    bend(shop, "none", MUSTER_FAULT_LOGINS=shop.logins, **HIDDEN)
    assert show(shop, wrong).cause == "E4207" and logins(shop) == 1


def test_a_place_that_an_older_muster_left_says_nothing_of_a_pin(shop, wrong):
    """It was made before the PIN was read."""
    begin(shop, "dies-in-login", **HIDDEN)
    assert show(shop, wrong).cause == "E7002"
    [place] = (shop.home / "state/muster/pin-refusals").iterdir()
    content = json.loads(place.read_text())
    assert content.pop("sent") is True
    place.write_text(json.dumps(content))
    bend(shop, "none", **HIDDEN)
    assert show(shop, shop.token.pin_file).json["loggedIn"] is True


@pytest.mark.parametrize("code", ["0xE0", "0x30"])
def test_a_token_that_goes_before_the_login_was_sent_no_pin(shop, code):
    begin(shop, f"C_GetTokenInfo={code}@3")
    done = show(shop, shop.token.pin_file)
    assert done.cause == "E4106" and "no login was tried" in done.stderr and logins(shop) == 0, done
    bend(shop, "none")
    assert show(shop, shop.token.pin_file).json["loggedIn"] is True


def test_of_two_that_log_in_at_once_the_second_waits_for_the_answer(shop, wrong, tmp_path):
    begin(shop, "hangs-in-login", MUSTER_FAULT_GO=tmp_path / "go", **HIDDEN)
    with begin_show(shop, wrong) as first:
        wait_until(lambda: logins(shop) == 1, what="the login")
        with begin_show(shop, wrong) as second:
            (tmp_path / "go").touch()
            said = [process.communicate()[1] for process in (first, second)]
    assert "[E4201]" in said[0] and "[E4202]" in said[1] and logins(shop) == 1, said
    begin(shop, "hangs-in-login", MUSTER_FAULT_GO=tmp_path / "gone")
    with begin_show(shop, shop.token.pin_file) as first:
        wait_until(lambda: logins(shop) == 1, what="the login")
        with begin_show(shop, shop.token.pin_file) as second:
            (tmp_path / "gone").touch()
            said = [process.communicate()[1] for process in (first, second)]
    assert (first.returncode, second.returncode, logins(shop)) == (0, 0, 2), said


def test_a_login_that_somebody_made_before_says_nothing_of_the_pin(shop, wrong):
    begin(shop, "none", **HIDDEN)
    assert show(shop, wrong).cause == "E4201"
    assert shop.muster("hsm", "acknowledge", shop.uri).status == 0
    bend(shop, "in-already", **HIDDEN)
    assert show(shop, shop.token.pin_file).json["loggedIn"] is True
    [marker] = (shop.home / "state/muster/pin-refusals").iterdir()
    assert json.loads(marker.read_text())["acknowledged"] is True


def test_a_token_without_hmac_is_refused_and_nothing_falls_back_to_software(shop):
    begin(shop, "none")
    token = ["--token", shop.uri, "--pin-file", shop.token.pin_file, "--journal", shop.home / "masters.db"]
    assert shop.muster("key", "generate-master", "--label", "master", *token).status == 0
    bend(shop, "no-hmac")
    for arguments in (["key", "derive", "dev-1", "--master", "pkcs11:object=master", "--out", "derived", *token],
                      ["key", "generate-master", "--label", "other", *token],
                      ["key", "check-value", "--master", "pkcs11:object=master", *token]):
        refused = shop.muster(*arguments)
        assert (refused.status, refused.cause) == (4, "E4108"), refused
        assert "HMAC-SHA256" in refused.stderr, refused
    assert not (shop.home / "derived").exists()
    assert shop.token.objects("secrkey") == ["master"]


def test_a_token_that_keeps_its_label_is_not_said_to_have_another(shop, tmp_path):
    begin(shop, "keeps-label")
    made = shop.muster("hsm", "init", "pkcs11:?module-name=fault", "--any-module", "--label", "line-9", "-o", "json", "--so-pin-file",
                       write_secret(tmp_path / "so", "12345678"), "--pin-file", shop.token.pin_file)
    assert made.status == 0 and made.json["label"] == "Certificate DB", made
    assert "keeps the label 'Certificate DB': 'line-9'" in made.stderr, made


# -- Random numbers that repeat themselves -----------------------------------------------------------------------------

def test_a_key_that_was_made_before_stops_with_both_records(shop):
    begin(shop, "repeats")
    first = provision(shop, "repeat-1")
    assert first.status == 0 and first.json["verified"] is True, first
    second = provision(shop, "repeat-2")
    assert (second.status, second.cause) == (7, "E4314"), second
    assert "'repeat-2'" in second.stderr and "device 'repeat-1'" in second.stderr, second
    assert shop.token.objects("privkey") == ["repeat-1"]
    assert "repeat-2" not in [row["registrationId"] for row in shop.service.enrollments()]
    bend(shop, "none")
    assert provision(shop, "repeat-2").status == 0


# -- Two keys of one device ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("fault,cause,words", [
    ("repeats", "E4314", "made the same key a second time"),
    ("C_GenerateKeyPair=0x31@2", "E4107", "making the device's secondary key"),
    ("C_SignInit=0x30@2", "E4107", "certifying the key"),
])
def test_what_goes_wrong_with_the_second_leaves_none_of_both(shop, fault, cause, words):
    profile = shop.profile("hsm-x509", {"attestation": {"x509": {"secondaryKey": "own"}}}, "two-keys")
    serial = f"two-{cause}-{len(words)}"
    begin(shop, fault)
    done = provision(shop, serial, profile=profile)
    assert done.cause == cause and words in done.stderr, done
    for kind in ("privkey", "pubkey", "cert"):
        assert shop.token.objects(kind) == [], done.stderr
    assert serial not in [row["registrationId"] for row in shop.service.enrollments()]
    bend(shop, "none")
    assert provision(shop, serial, profile=profile).status == 0
    assert len(shop.token.objects("privkey")) == 2


def test_a_failure_with_the_second_leaves_the_first_as_it_was(shop):
    """A device that waits for its enrollment gets a second key by another profile."""
    profile = shop.profile("hsm-x509", {"attestation": {"x509": {"secondaryKey": "own"}}}, "two-keys")
    serial = "two-later"

    def first_key():
        shown = shop.muster("hsm", "show", shop.uri, "--pin-file", shop.token.pin_file, "-o", "json")
        return {row["publicSha256"] for row in shown.json["objects"] if row["kind"] == "private-key" and row["label"] == serial}

    begin(shop, "none")
    spool(shop, shop.profile_file, serial, "--token", shop.uri, "--pin-file", shop.token.pin_file)
    before = first_key()
    bend(shop, "C_GenerateKeyPair=0x31")
    assert provision(shop, serial, profile=profile).cause == "E4107"
    bend(shop, "none")
    assert provision(shop, serial, profile=profile).status == 0
    assert first_key() == before and len(before) == 1


# -- Random numbers that repeat themselves, for a custodian ---------------------------------------------------------------

def test_a_custodians_key_that_was_made_before_is_destroyed(shop):
    begin(shop, "repeats")

    def request(label):
        return shop.muster("cert", "request", "--token", shop.uri, "--pin-file", shop.token.pin_file, "--journal",
                           shop.home / "custody.db", "--key-type", "ec-p256", "--label", label, "--subject", f"CN={label}",
                           "-o", "json")

    first = request("one")
    assert first.status == 0, first
    second = request("two")
    assert (second.status, second.cause) == (7, "E4314"), second
    assert "'two'" in second.stderr and first.json["keyId"] in second.stderr, second
    assert shop.token.objects("privkey") == ["one"]


# -- A full token ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("second", [{}, {"secondaryKey": "own"}], ids=["one key", "two keys"])
def test_a_production_that_a_full_token_ended_is_made_whole(shop, second):
    """Nobody gets two keys: the file has what was made, and another file the serials of the rest."""
    begin(shop, "C_GenerateKeyPair=0x31@16")
    shop.profile("hsm-x509", {"attestation": {"x509": {"token": None, **second}}}, "profile")
    serials = [f"A-{number:02}" for number in range(20)]
    (shop.home / "serials").write_text("".join(f"{serial}\n" for serial in serials))

    def produce(serials, out):
        return shop.muster("cert", "produce", "--profile", "profile.yaml", "--serials", serials, "--out", out, "--token", shop.uri,
                           "--pin-file", shop.token.pin_file, "--journal", shop.home / "full.db", "-o", "json")

    def made(out):
        return [json.loads(line)["registrationId"] for line in (shop.home / out).read_text().splitlines()]

    done = produce("serials", "first.jsonl")
    assert done.cause == "E4107" and "first.jsonl.rest" in done.stderr, done
    first, rest = made("first.jsonl"), (shop.home / "first.jsonl.rest").read_text().split()
    assert f"{len(first)} of 20" in done.stderr and 0 < len(first) < 20
    assert first + [serial.lower() for serial in rest] == [serial.lower() for serial in serials]
    bend(shop, "none")
    again = produce("serials", "again.jsonl")
    assert (again.status, again.cause) == (7, "E4317") and not (shop.home / "again.jsonl").exists(), again
    (shop.home / "again.jsonl").write_text("")
    assert produce("first.jsonl.rest", "again.jsonl").cause == "E6101"
    done = produce("first.jsonl.rest", "rest.jsonl")
    assert done.status == 0 and made("rest.jsonl") == [serial.lower() for serial in rest], done
    assert len(shop.token.key_ids()) == len(set(shop.token.objects("privkey"))) == 20 * (2 if second else 1)
    for name in ("full.db", "first.jsonl", "first.jsonl.rest", "again.jsonl", "rest.jsonl"):
        (shop.home / name).unlink()
