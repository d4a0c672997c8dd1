"""A key that is made in the station's token and lives in the device: it leaves wrapped for that device alone, and is destroyed."""
import hashlib
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from lib import batch
from lib.custodian import openssl
from lib.killer import go_on, killer, points_of, recorder, was_killed
from lib.program import run
from test_journal_reconcile import lose_journal, reconcile
from test_offline import evidence_of, spool
from test_retire import retire

SERIAL = "wrap-1"
WORKER_DIED = 4
FAKETIME = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


def wrapped_profile(station, **changes):
    return station.profile("hsm-x509", {"attestation": {"x509": {"token": None, "key": {"lives": "wrapped-to-device", **changes}}}},
                           "wrapped")


def make_device(tmp_path, name):
    key, public = tmp_path / f"{name}.key", tmp_path / f"{name}.pub"
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
    openssl("pkey", "-in", key, "-pubout", "-out", public)
    return key, public


@pytest.fixture
def device(tmp_path):
    """The device's own RSA key, which never leaves it, and the public half that the line has of it."""
    return make_device(tmp_path, "device")


@pytest.fixture
def other(tmp_path):
    """The board that comes in its place."""
    return make_device(tmp_path, "other")


def provision(station, token, profile, *arguments, serial=SERIAL, **options):
    return station.provision(profile, serial, "--token", token.uri, "--pin-file", token.pin_file, *arguments, **options)


def unwrap(wrapped, key, out):
    """As muster-hsm(1) says it."""
    subprocess.run(["bash", "-euc", """
        head -c 256 "$1" |
        openssl pkeyutl -decrypt -inkey "$2" -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha1 > "$3.aes"
        tail -c +257 "$1" |
        openssl enc -d -id-aes256-wrap-pad -K "$(od -An -v -tx1 "$3.aes" | tr -d ' \\n')" -iv A65959A6 |
        openssl pkey -inform DER -out "$3"
        rm "$3.aes"
        """, "unwrap", wrapped, key, out], check=True)
    return out


def register(emulator, registration_id, certificate, key):
    """The status that a device with these gets, by mutual TLS."""
    done = subprocess.run(["curl", "-sS", "--cacert", emulator.ca_file, "--cert", certificate, "--key", key, "-X", "PUT", "-w",
                           "\n%{http_code}", "-H", "Content-Type: application/json", "-d", json.dumps({"registrationId": registration_id}),
                           f"{emulator.url}/{emulator.id_scope}/registrations/{registration_id}/register?api-version=2021-06-01"],
                          check=True, text=True, stdout=subprocess.PIPE)
    return int(done.stdout.splitlines()[-1])


def test_the_device_gets_the_key_and_registers_with_it(hsm_station, token, device, tmp_path):
    key, public = device
    done = provision(hsm_station, token, wrapped_profile(hsm_station), "--device-key", public)
    assert done.status == 0 and done.json["verified"] is True, done
    for kind in ("privkey", "pubkey", "cert"):
        assert token.objects(kind) == []
    attestation = json.loads(open(done.json["evidence"]).read())["attestation"]
    wrapped = attestation["wrappedKey"]
    assert attestation["keyLives"] == "wrapped-to-device" and wrapped["destroyedInToken"] is True
    assert " extractable=true" in attestation["keyAttributes"] and "never-extractable=false" in attestation["keyAttributes"]
    assert wrapped["method"] == "RSA-OAEP SHA-1, AES-256 CKM_AES_KEY_WRAP_PAD"
    content = open(wrapped["file"], "rb").read()
    assert os.stat(wrapped["file"]).st_mode & 0o777 == 0o600
    assert hashlib.sha256(content).hexdigest() == wrapped["sha256"]
    own = unwrap(wrapped["file"], key, tmp_path / "own.key")
    certificate = hsm_station.out / f"{SERIAL}.certificate.pem"
    assert openssl("pkey", "-in", own, "-pubout") == openssl("x509", "-in", certificate, "-noout", "-pubkey")
    assert register(hsm_station.emulator, SERIAL, certificate, own) in (200, 202)
    again = provision(hsm_station, token, wrapped_profile(hsm_station), "--device-key", public)
    assert again.status == 0 and again.json["state"] == "already enrolled", again


def test_the_journal_tells_the_whole_story(hsm_station, token, device):
    assert provision(hsm_station, token, wrapped_profile(hsm_station), "--device-key", device[1]).status == 0
    entries = [json.loads(line) for line in hsm_station.muster("journal", "export", "--entries", "--journal", hsm_station.journal)
               .stdout.splitlines()]
    told = [(row["kind"], json.loads(row["body"]).get("step")) for row in entries if "body" in row]
    steps = [row for row in told if row[1] in ("wrap-out", "key-destroy")]
    assert steps == [("intent", "wrap-out"), ("outcome", "wrap-out"), ("intent", "key-destroy"), ("outcome", "key-destroy")]
    audit = run("hsm", "audit", token.uri, "--journal", hsm_station.journal, "-o", "json", home=hsm_station.home, env=hsm_station.env)
    assert audit.status == 0 and audit.json["keys"] == 0, audit


def test_the_key_of_a_device_that_a_sample_leaves_out_waits_for_nothing(hsm_station, token, device):
    manifest = hsm_station.home / "boards.csv"
    manifest.write_text(f"serial,deviceKey\nwrap-1,{device[1]}\nwrap-2,{device[1]}\n")
    hardware = ["--token", token.uri, "--pin-file", token.pin_file]
    done = batch.provision(hsm_station, manifest, "--offline", "--verify", "sample:1", *hardware,
                           profile=wrapped_profile(hsm_station))
    assert len(hsm_station.rows("--state", "spooled")) == 2 and len(token.key_ids()) == 1, done
    sent = hsm_station.sync(*hardware)
    assert sent.status == 0 and sorted(row["verified"] for row in sent.json) == [False, True], sent
    assert token.key_ids() == []


def test_public_keys_lie_in_a_folder(hsm_station, token, device):
    folder = hsm_station.home / "devices"
    folder.mkdir()
    profile = wrapped_profile(hsm_station, deviceKeys="devices")
    missing = provision(hsm_station, token, profile)
    assert missing.cause == "E1002" and f"{SERIAL}.pem" in missing.stderr, missing
    assert token.key_ids() == []
    (folder / f"{SERIAL}.pem").write_bytes(device[1].read_bytes())
    assert provision(hsm_station, token, profile).status == 0


def test_no_key_leaves_where_the_profile_does_not_say_so(hsm_station, token, device):
    refused = provision(hsm_station, token, hsm_station.profile("hsm-x509"), "--device-key", device[1])
    assert (refused.status, refused.cause) == (2, "E1001"), refused
    assert not hsm_station.journal.exists()


@pytest.mark.parametrize("arguments", [
    None, ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
])
def test_only_a_good_rsa_key_can_be_wrapped_to(hsm_station, token, tmp_path, arguments):
    public = tmp_path / "public"
    if arguments:
        openssl("genpkey", *arguments, "-out", tmp_path / "key")
        openssl("pkey", "-in", tmp_path / "key", "-pubout", "-out", public)
    else:
        public.write_text("no key\n")
    refused = provision(hsm_station, token, wrapped_profile(hsm_station), "--device-key", public)
    assert (refused.status, refused.cause) == (2, "E4316"), refused
    assert provision(hsm_station, token, wrapped_profile(hsm_station)).cause == "E4316"
    assert token.key_ids() == []


def test_a_file_of_that_name_is_never_replaced(hsm_station, token, device):
    hsm_station.out.mkdir()
    (hsm_station.out / f"{SERIAL}.key.wrapped").write_text("mine")
    refused = provision(hsm_station, token, wrapped_profile(hsm_station), "--device-key", device[1])
    assert refused.cause == "E6101", refused
    assert (hsm_station.out / f"{SERIAL}.key.wrapped").read_text() == "mine"
    assert hsm_station.service.enrollments() == []


def state_of(station):
    return station.muster("journal", "show", SERIAL, "--journal", station.journal, "-o", "json").json["state"]


def written(station):
    return {path.name: path.read_bytes() for path in station.out.iterdir()}


@pytest.mark.parametrize("how", ["option", "folder", "manifest"])
def test_what_was_wrapped_for_one_device_is_not_anothers(hsm_station, token, device, other, how):
    """The board was changed: its key could not open what is there."""
    station, folder, listed = hsm_station, hsm_station.home / "devices", hsm_station.home / "lot.csv"
    folder.mkdir()
    profile = wrapped_profile(station, **({"deviceKeys": "devices"} if how == "folder" else {}))

    def come(public):
        (folder / f"{SERIAL}.pem").write_bytes(public.read_bytes())
        if how != "manifest":
            return provision(station, token, profile, *(["--device-key", public] if how == "option" else []))
        listed.write_text(f"serial,deviceKey\n{SERIAL},{public}\n")
        return batch.provision(station, listed, "--begin-anew", "--token", token.uri, "--pin-file", token.pin_file, profile=profile)

    assert come(device[1]).status == 0
    before = written(station)
    refused = come(other[1])
    assert refused.status == 7 and "E3102" in refused.stdout + refused.stderr, refused
    assert "wrapped for another" in refused.stdout + refused.stderr and written(station) == before
    assert come(device[1]).status == 0
    if how == "folder":
        (folder / f"{SERIAL}.pem").unlink()
        assert provision(station, token, profile).status == 0
    assert len(station.emulator.effects("put") + station.emulator.effects("bulk")) == 1 and token.key_ids() == []


def test_what_replaces_it_gets_a_key_of_its_own(hsm_station, token, device, other, tmp_path):
    """Files of the one before are in the way before a key is made, however often it is tried."""
    profile = wrapped_profile(hsm_station)
    assert provision(hsm_station, token, profile, "--device-key", device[1]).status == 0
    assert retire(hsm_station, SERIAL).status == 0
    before = written(hsm_station)
    for _ in range(2):
        refused = provision(hsm_station, token, profile, "--device-key", other[1])
        assert refused.cause == "E6101" and f"{SERIAL}.key.wrapped" in refused.stderr, refused
        assert written(hsm_station) == before and token.key_ids() == []
    hsm_station.out.rename(hsm_station.home / "of the first")
    done = provision(hsm_station, token, profile, "--device-key", other[1])
    assert done.status == 0 and done.json["state"] == "enrolled", done
    unwrap(hsm_station.out / f"{SERIAL}.key.wrapped", other[0], tmp_path / "own.key")


def test_nobody_here_can_verify_it_anew(hsm_station, token, device):
    """Its enrollment was changed, and its key is the device's alone by now."""
    profile = wrapped_profile(hsm_station)
    name = provision(hsm_station, token, profile, "--device-key", device[1]).json["registrationId"]
    for status in ("disabled", "enabled"):
        done = hsm_station.muster("enrollment", "update", "--eid", name, "--provisioning-status", status, "--login-file",
                                  hsm_station.login_file, "--ca-file", hsm_station.emulator.ca_file)
        assert done.status == 0, done
    for _ in range(2):
        done = provision(hsm_station, token, profile, "--device-key", device[1])
        assert done.status == 0 and done.json["verified"] is False, done
    assert evidence_of(done.json)["verification"]["result"] == "not since the enrollment was changed"
    assert retire(hsm_station, name).status == 0


def test_what_was_spooled_is_not_wrapped_for_another(hsm_station, token, device, other):
    profile = wrapped_profile(hsm_station)
    hardware = ["--token", token.uri, "--pin-file", token.pin_file]
    spool(hsm_station, profile, SERIAL, *hardware, "--device-key", device[1])
    before = written(hsm_station)
    for offline in ([], ["--offline"]):
        refused = provision(hsm_station, token, profile, "--device-key", other[1], *offline)
        assert (refused.status, refused.cause) == (7, "E3102") and written(hsm_station) == before, refused
        assert "muster outbox resolve" in refused.stderr and state_of(hsm_station) == "spooled"
    assert provision(hsm_station, token, profile, "--device-key", device[1]).status == 0


def test_what_is_parked_waits_for_its_own_board(hsm_station, token, device, other):
    profile = wrapped_profile(hsm_station)
    hsm_station.emulator.restart("--fault", "register:status=400")
    hsm_station.renew_login()
    assert provision(hsm_station, token, profile, "--device-key", device[1]).cause == "E5103"
    before = hsm_station.muster("journal", "show", SERIAL, "--journal", hsm_station.journal, "-o", "json").json
    assert provision(hsm_station, token, profile, "--device-key", other[1]).cause == "E3102"
    after = hsm_station.muster("journal", "show", SERIAL, "--journal", hsm_station.journal, "-o", "json").json
    assert (after["state"], after.get("cause")) == (before["state"], before.get("cause")) and after["state"] == "parked"


def test_where_nothing_came_of_it_another_board_gets_a_key_of_its_own(hsm_station, token, device, other, tmp_path):
    """The one it was wrapped for was the wrong one, or is dead."""
    profile = wrapped_profile(hsm_station)
    hsm_station.emulator.restart("--fault", "put:status=400")
    hsm_station.renew_login()
    assert provision(hsm_station, token, profile, "--device-key", device[1]).cause == "E5103"
    assert state_of(hsm_station) == "failed"
    certificate = hsm_station.out / f"{SERIAL}.certificate.pem"
    first = openssl("x509", "-in", certificate, "-noout", "-pubkey")
    hsm_station.emulator.restart()
    hsm_station.renew_login()
    done = provision(hsm_station, token, profile, "--device-key", other[1])
    assert done.status == 0 and token.key_ids() == [], done
    own = unwrap(hsm_station.out / f"{SERIAL}.key.wrapped", other[0], tmp_path / "own.key")
    assert openssl("pkey", "-in", own, "-pubout") == openssl("x509", "-in", certificate, "-noout", "-pubkey") != first
    assert provision(hsm_station, token, profile, "--device-key", device[1]).cause == "E3102"


def test_a_file_that_is_lost_is_said(hsm_station, token, device):
    profile = wrapped_profile(hsm_station)
    done = provision(hsm_station, token, profile, "--device-key", device[1])
    assert done.status == 0 and "not there any more" not in done.stderr, done
    (hsm_station.out / f"{SERIAL}.key.wrapped").unlink()
    again = provision(hsm_station, token, profile, "--device-key", device[1])
    assert again.status == 0 and "not there any more" in again.stderr and "muster retire" in again.stderr, again


@pytest.mark.parametrize("fate", ["refused", "gone"])
def test_a_released_device_is_looked_at_before_its_key_is_wrapped_anew(hsm_station, token, device, fate):
    """Its verification was put off, and its file was handed on."""
    station, profile = hsm_station, wrapped_profile(hsm_station)
    name = spool(station, profile, SERIAL, "--token", token.uri, "--pin-file", token.pin_file, "--device-key", device[1])
    assert station.sync().json[0]["verified"] is False
    (station.out / f"{SERIAL}.key.wrapped").rename(station.home / "handed-on")
    files, before = written(station), station.rows()[name]
    assert (before["state"], before["verification"]) == ("released", "put-off")
    if fate == "gone":
        station.service.delete(name)
    else:
        batch.restart(station, "--fault", "get:status=403")
    done = provision(station, token, profile, "--device-key", device[1])
    assert (done.status, done.cause) == ((3, "E3109") if fate == "gone" else (5, "E5122")), done
    assert "was destroyed here" not in done.stderr and len(token.key_ids()) == 1, done
    after = station.rows()[name]
    assert (after["state"], after["verification"]) == ("released", "put-off") and written(station) == files, after
    if fate == "gone":
        assert station.service.enrollments() == []
        return
    batch.restart(station)
    done = provision(station, token, profile, "--device-key", device[1])
    assert (done.status, done.json["verified"]) == (0, True) and "is destroyed here once the device is verified" in done.stderr, done
    assert token.key_ids() == [] and station.rows()[name]["state"] == "released"


def spoil(path, how):
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "cut": content[:100], "changed": bytes([content[0] ^ 1]) + content[1:]}[how])
    return content


def fits(station, key, tmp_path, name=""):
    """The device can use what it gets."""
    own = unwrap(station.out / f"{SERIAL}.{name}key.wrapped", key, tmp_path / "own.key")
    certificate = station.out / f"{SERIAL}.{name}certificate.pem"
    return openssl("pkey", "-in", own, "-pubout") == openssl("x509", "-in", certificate, "-noout", "-pubkey")


@pytest.mark.parametrize("how", ["missing", "empty", "cut", "changed"])
def test_a_key_whose_file_is_spoilt_is_wrapped_anew_before_it_is_destroyed(hsm_station, token, device, tmp_path, how):
    station, profile = hsm_station, wrapped_profile(hsm_station)
    here = ["--token", token.uri, "--pin-file", token.pin_file, "--device-key", device[1]]
    spool(station, profile, SERIAL, *here)
    wrapped = station.out / f"{SERIAL}.key.wrapped"
    spoil(wrapped, how)
    done = station.provision(profile, SERIAL, *here)
    assert done.status == 0 and done.json["verified"] is True and token.key_ids() == [], done
    assert fits(station, device[0], tmp_path)
    assert evidence_of(done.json)["attestation"]["wrappedKey"]["sha256"] == hashlib.sha256(wrapped.read_bytes()).hexdigest()


@pytest.mark.parametrize("how,name", [("missing", ""), ("changed", ""), ("missing", "secondary-"), ("cut", "secondary-")])
def test_no_key_is_destroyed_whose_file_is_spoilt(hsm_station, token, device, tmp_path, how, name):
    """Without the device nobody can wrap it anew: nothing is sent of it, and it goes on waiting."""
    station, hardware = hsm_station, ["--token", token.uri, "--pin-file", token.pin_file]
    profile = wrapped_profile(station)
    if name:
        profile = station.profile("hsm-x509", {"attestation": {"x509": {
            "token": None, "key": {"lives": "wrapped-to-device"}, "secondaryKey": "own", "secondaryValidDays": 200}}})
    spool(station, profile, SERIAL, *hardware, "--device-key", device[1])
    keys, wrapped = token.key_ids(), station.out / f"{SERIAL}.{name}key.wrapped"
    content = spoil(wrapped, how)
    for _ in range(2):
        done = station.sync(*hardware)
        assert done.status == 3 and "E4331" in done.stdout + done.stderr and str(wrapped) in done.stdout + done.stderr, done
        assert token.key_ids() == keys and station.rows()[SERIAL]["state"] == "spooled" and station.service.enrollments() == []
    if how == "missing":
        wrapped.write_bytes(content)
        done = station.sync(*hardware)
        assert done.status == 0 and done.json[0]["verified"] is True, done
    else:
        assert station.provision(profile, SERIAL, *hardware, "--device-key", device[1]).status == 0
    assert token.key_ids() == [] and fits(station, device[0], tmp_path, name)


@pytest.mark.parametrize("how", ["missing", "changed"])
def test_a_device_that_was_put_off_keeps_its_last_copy(hsm_station, token, device, tmp_path, how):
    """Released while its token was away; its file is lost, and the device's public key too."""
    station, folder, hardware = hsm_station, hsm_station.home / "devices", ["--token", token.uri, "--pin-file", token.pin_file]
    profile, public = wrapped_profile(station, deviceKeys="devices"), folder / f"{SERIAL}.pem"
    folder.mkdir()
    public.write_bytes(device[1].read_bytes())
    spool(station, profile, SERIAL, *hardware)
    assert station.sync().json[0]["verified"] is False
    spoil(station.out / f"{SERIAL}.key.wrapped", how)
    public.unlink()
    done = station.provision(profile, SERIAL, *hardware)
    assert (done.status, done.json["verified"]) == (0, True) and len(token.key_ids()) == 1, done
    assert done.stderr.count("stays in token") == 1 and "--device-key" in done.stderr, done
    row = station.rows()[SERIAL]
    assert (row["state"], row["verification"]) == ("released", "verified"), row
    assert evidence_of(done.json)["attestation"]["wrappedKey"]["destroyedInToken"] is False
    again = station.provision(profile, SERIAL, *hardware)
    assert again.status == 0 and again.json["state"] == "already enrolled" and len(token.key_ids()) == 1, again
    public.write_bytes(device[1].read_bytes())
    done = station.provision(profile, SERIAL, *hardware)
    assert (done.status, done.json["verified"]) == (0, True) and "wrapped anew" in done.stderr, done
    assert token.key_ids() == [] and fits(station, device[0], tmp_path)


@pytest.mark.parametrize("how", ["single", "manifest", "own secondary"])
def test_devices_that_were_put_off_and_delivered_are_verified_and_their_keys_stay(hsm_station, token, device, tmp_path, how):
    """The keys are with the devices, and so is what they were wrapped for."""
    station, folder, listed = hsm_station, hsm_station.home / "devices", hsm_station.home / "lot.csv"
    serials, hardware = [SERIAL, "wrap-2"], ["--token", token.uri, "--pin-file", token.pin_file]
    profile = station.profile("hsm-x509", {"attestation": {"x509": {
        "token": None, "key": {"lives": "wrapped-to-device", "deviceKeys": "devices"},
        **({"secondaryKey": "own", "secondaryValidDays": 200} if how == "own secondary" else {})}}})
    folder.mkdir()
    listed.write_text("\n".join(["serial", *serials]) + "\n")
    for serial in serials:
        (folder / f"{serial}.pem").write_bytes(device[1].read_bytes())
        spool(station, profile, serial, *hardware)
    assert [row["verified"] for row in station.sync().json] == [False, False]
    keys, delivered = token.key_ids(), tmp_path / "delivered"
    delivered.mkdir()
    wrapped = list(station.out.glob("*key.wrapped"))
    for path in wrapped:
        path.rename(delivered / path.name)
    folder.rename(tmp_path / "gone")

    def run_all():
        if how == "manifest":
            return [batch.provision(station, listed, *hardware, profile=profile)]
        return [station.provision(profile, serial, *hardware) for serial in serials]

    done = run_all()
    assert [each.status for each in done] == [0] * len(done) and token.key_ids() == keys, done
    told = "".join(each.stderr for each in done)
    assert told.count("stays in token") == 2 and "a copy back" in told and "--device-key" in told, told
    assert {(row["state"], row["verification"]) for row in station.rows("--state", "released").values()} == {("released", "verified")}
    registrations = station.emulator.requests("register")
    for each in run_all():
        assert each.status == 0 and "stays in token" not in each.stderr, each
    assert station.emulator.requests("register") == registrations and token.key_ids() == keys
    for path in wrapped:
        shutil.copy(delivered / path.name, path)
    assert [each.status for each in run_all()] == [0] * len(done) and token.key_ids() == []
    assert fits(station, device[0], tmp_path)
    for each in run_all():
        assert each.status == 0 and "not there" not in each.stderr, each


def test_a_key_that_stayed_is_gone_when_the_device_comes_that_it_was_wrapped_for(hsm_station, token, device, other, tmp_path):
    """Also after a run that was cut short by the service."""
    station, hardware = hsm_station, ["--token", token.uri, "--pin-file", token.pin_file]
    folder = station.home / "devices"
    folder.mkdir()
    (folder / f"{SERIAL}.pem").write_bytes(device[1].read_bytes())
    profile = wrapped_profile(station, deviceKeys="devices")
    spool(station, profile, SERIAL, *hardware)
    assert station.sync().json[0]["verified"] is False
    (station.out / f"{SERIAL}.key.wrapped").unlink()
    (folder / f"{SERIAL}.pem").unlink()
    batch.restart(station, "--fault", "register:status=400")
    assert station.provision(profile, SERIAL, *hardware).cause == "E5103" and len(token.key_ids()) == 1
    batch.restart(station)
    done = station.provision(profile, SERIAL, *hardware)
    assert (done.status, done.json["verified"]) == (0, True) and "stays in token" in done.stderr and len(token.key_ids()) == 1, done
    assert station.provision(profile, SERIAL, *hardware, "--device-key", other[1]).cause == "E3102"
    done = station.provision(profile, SERIAL, *hardware, "--device-key", device[1])
    assert (done.status, done.json["verified"]) == (0, True) and "wrapped anew" in done.stderr and token.key_ids() == [], done
    assert fits(station, device[0], tmp_path)


def test_a_journal_made_again_knows_for_whom_it_was_wrapped(hsm_station, token, device, other):
    profile = wrapped_profile(hsm_station)
    assert provision(hsm_station, token, profile, "--device-key", device[1]).status == 0
    hsm_station.journal.unlink()
    done = hsm_station.muster("journal", "reconcile", "--evidence", hsm_station.out, "--journal", hsm_station.journal, "--login-file",
                              hsm_station.login_file, "--ca-file", hsm_station.emulator.ca_file)
    assert done.status == 0, done
    assert provision(hsm_station, token, profile, "--device-key", other[1]).cause == "E3102"


@pytest.mark.parametrize("secondary", ["same", "own"])
def test_a_journal_made_again_knows_what_left_the_token(hsm_station, token, device, secondary):
    """Nobody looks for a key there that was destroyed, neither its device's next run nor the audit."""
    profile = hsm_station.profile("hsm-x509", {"attestation": {"x509": {
        "token": None, "key": {"lives": "wrapped-to-device"}, "secondaryKey": secondary}}})
    assert provision(hsm_station, token, profile, "--device-key", device[1]).status == 0

    def outcomes():
        shown = hsm_station.muster("journal", "show", SERIAL, "--journal", hsm_station.journal, "-o", "json").json["entries"]
        bodies = [entry["body"] for entry in shown if entry["kind"] == "outcome" and "step" in entry["body"]]
        return sorted([{name: value for name, value in body.items() if name != "reconciled"} for body in bodies
                       if body["step"].endswith(("wrap-out", "key-destroy"))], key=lambda body: body["step"])

    before = outcomes()
    assert len(before) == (4 if secondary == "own" else 2)
    hsm_station.journal.unlink()
    done = hsm_station.muster("journal", "reconcile", "--evidence", hsm_station.out, "--journal", hsm_station.journal, "--login-file",
                              hsm_station.login_file, "--ca-file", hsm_station.emulator.ca_file)
    assert done.status == 0, done
    again = provision(hsm_station, token, profile, "--device-key", device[1])
    assert again.status == 0 and again.json["state"] == "already enrolled", again
    audit = run("hsm", "audit", token.uri, "--journal", hsm_station.journal, "-o", "json", home=hsm_station.home, env=hsm_station.env)
    assert audit.status == 0 and audit.json["keys"] == 0, audit
    assert outcomes() == before


def test_a_key_does_not_change_its_kind_of_life(hsm_station, token, device):
    """Made to be wrapped out, cut off, and taken up by a profile under which no key leaves."""
    profile = wrapped_profile(hsm_station)
    hsm_station.emulator.restart("--fault", "put:status=400")
    hsm_station.renew_login()
    assert provision(hsm_station, token, profile, "--device-key", device[1]).cause == "E5103"
    assert len(token.key_ids()) == 1
    hsm_station.emulator.restart()
    hsm_station.renew_login()
    other = provision(hsm_station, token, hsm_station.profile("hsm-x509", {"attestation": {"x509": {"token": None}}}))
    assert other.cause == "E4301" and "wrapped out" in other.stderr, other
    assert provision(hsm_station, token, profile, "--device-key", device[1]).status == 0


@pytest.mark.parametrize("verify,is_kept", [("none", False), ("register", True)])
def test_without_a_network_the_key_waits_only_for_its_verification(hsm_station, token, device, verify, is_kept):
    profile = hsm_station.profile("hsm-x509", {"attestation": {"x509": {"token": None, "key": {"lives": "wrapped-to-device"}}},
                                               "verify": verify})
    hardware = ["--token", token.uri, "--pin-file", token.pin_file]
    spool(hsm_station, profile, SERIAL, *hardware, "--device-key", device[1])
    assert len(token.key_ids()) == is_kept
    sent = hsm_station.sync(*(hardware if is_kept else []))
    assert sent.status == 0 and [row["verified"] for row in sent.json] == [is_kept], sent
    assert token.key_ids() == []
    assert evidence_of(sent.json[0])["attestation"]["wrappedKey"]["destroyedInToken"] is True
    audit = run("hsm", "audit", token.uri, "--journal", hsm_station.journal, "-o", "json", home=hsm_station.home, env=hsm_station.env)
    assert audit.status == 0 and audit.json["keys"] == 0, audit


@pytest.mark.parametrize("verify", ["none", "register"])
def test_where_the_certificate_expired_meanwhile_another_key_is_made_and_wrapped(release_station, tokens, token, device, tmp_path,
                                                                                 verify):
    """With verify none the first one is destroyed by then."""
    station = release_station
    station.env["SOFTHSM2_CONF"] = tokens.configuration
    profile = station.profile("hsm-x509", {"attestation": {"x509": {
        "token": None, "validDays": 1, "key": {"lives": "wrapped-to-device"}}}, "verify": verify})
    hardware = ["--token", token.uri, "--pin-file", token.pin_file, "--device-key", device[1]]
    spool(station, profile, SERIAL, *hardware)
    first = (station.out / f"{SERIAL}.key.wrapped").read_bytes()
    batch.restart(station, "--clock-offset", str(3 * 86400))
    (station.home / ".faketimerc").write_text("+3d\n")
    done = station.provision(profile, SERIAL, *hardware, env={"LD_PRELOAD": FAKETIME, "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    assert done.status == 0, done
    assert (station.out / f"{SERIAL}.key.wrapped").read_bytes() != first and token.key_ids() == []
    own = unwrap(station.out / f"{SERIAL}.key.wrapped", device[0], tmp_path / "own.key")
    assert openssl("pkey", "-in", own, "-pubout") == openssl("x509", "-in", station.out / f"{SERIAL}.certificate.pem", "-noout", "-pubkey")


POINTS = [("fsync", n) for n in (3, 6, 9, 12, 15, 18, 21)] + [("sendmsg", n) for n in range(3, 9)] + [("renameat2", n) for n in range(1, 5)]


def cut_and_run_again(station, tokens, token, profile, device, cutter, serial=SERIAL):
    """In the end the device is verified, and nothing is on the token."""
    station.env["SOFTHSM2_CONF"] = tokens.configuration
    cut = provision(station, token, profile, "--device-key", device[1], serial=serial, wrapper=cutter)
    assert cut.status in (0, WORKER_DIED) or was_killed(cut.status), cut
    again = go_on(lambda: provision(station, token, profile, "--device-key", device[1], serial=serial),
                  lambda: station.muster("hsm", "acknowledge", token.uri))
    assert again.status == 0 and again.json["verified"] is True, (cut, again)
    for kind in ("privkey", "pubkey", "cert"):
        assert token.objects(kind) == []


@pytest.mark.parametrize("call,n", POINTS)
def test_a_cut_leaves_nothing_but_what_the_journal_says(release_station, tokens, token, device, tmp_path, call, n):
    station = release_station
    cut_and_run_again(station, tokens, token, wrapped_profile(station), device, killer(call, n))
    own = unwrap(station.out / f"{SERIAL}.key.wrapped", device[0], tmp_path / "own.key")
    certificate = station.out / f"{SERIAL}.certificate.pem"
    assert openssl("pkey", "-in", own, "-pubout") == openssl("x509", "-in", certificate, "-noout", "-pubkey")
    assert [row["effect"] for row in station.emulator.effects("put", SERIAL)] == ["create"]
    audit = run("hsm", "audit", token.uri, "--journal", station.journal, "-o", "json", home=station.home, env=station.env, build=station.build)
    assert audit.status == 0, audit


def cut_at_its_destruction(station, token, profile, device, step="key-destroy", key_is_there=False):
    """Verified, its key to be destroyed next, and not released: of the cuts before a run's end there is one at which that is so."""
    log = station.home / "strace.log"
    assert provision(station, token, profile, "--device-key", device[1], serial="whole", wrapper=recorder(log)).status == 0
    syncs = max(n for call, n in points_of(log) if call in ("fsync", "fdatasync"))
    for n in range(syncs, 0, -1):
        serial = f"cut-{n}"
        provision(station, token, profile, "--device-key", device[1], serial=serial, wrapper=killer("fsync,fdatasync", n, workers=False))
        shown = station.muster("journal", "show", serial, "--journal", station.journal, "-o", "json").json
        steps = [(entry["kind"], entry["body"].get("step")) for entry in shown["entries"]]
        if ("intent", step) in steps and shown["state"] == "working" and (token.key_ids() or not key_is_there):
            return serial
    raise AssertionError("no cut between the destruction's announcement and the release")


@pytest.mark.parametrize("what", ["deleted", "edited", "nothing"])
def test_what_was_verified_before_a_cut_counts_for_the_enrollment_as_it_was(release_station, tokens, token, device, what):
    """Others had their reasons: the device has not registered with what is made in its place."""
    station, profile = release_station, wrapped_profile(release_station)
    station.env["SOFTHSM2_CONF"] = tokens.configuration
    name = cut_at_its_destruction(station, token, profile, device)
    if what == "deleted":
        station.service.delete(name)
    for status in ("disabled", "enabled") if what == "edited" else ():
        done = station.muster("enrollment", "update", "--eid", name, "--provisioning-status", status, "--login-file", station.login_file,
                              "--ca-file", station.emulator.ca_file)
        assert done.status == 0, done
    for _ in range(2):
        done = go_on(lambda: provision(station, token, profile, "--device-key", device[1], serial=name),
                     lambda: station.muster("hsm", "acknowledge", token.uri))
        assert (done.status, done.json["verified"]) == (0, what == "nothing"), done
    told = evidence_of(done.json)["verification"]["result"]
    assert told.startswith("registered") if what == "nothing" else told == "not since the enrollment was changed"
    assert station.rows()[name]["verification"] == ("verified" if what == "nothing" else "not-asked")


@pytest.mark.parametrize("how", ["missing", "changed"])
@pytest.mark.parametrize("name", ["", "secondary-"])
def test_a_key_whose_destruction_was_only_announced_is_wrapped_anew(release_station, tokens, token, device, tmp_path, name, how):
    """The file was lost meanwhile, and the key is in the token as before."""
    station = release_station
    station.env["SOFTHSM2_CONF"] = tokens.configuration
    profile = wrapped_profile(station) if not name else station.profile("hsm-x509", {"attestation": {"x509": {
        "token": None, "key": {"lives": "wrapped-to-device"}, "secondaryKey": "own", "secondaryValidDays": 200}}})
    serial = cut_at_its_destruction(station, token, profile, device, f"{name}key-destroy", key_is_there=True)
    assert len(token.key_ids()) == 1
    wrapped = station.out / f"{serial}.{name}key.wrapped"
    spoil(wrapped, how)
    done = go_on(lambda: provision(station, token, profile, "--device-key", device[1], serial=serial),
                 lambda: station.muster("hsm", "acknowledge", token.uri))
    assert (done.status, done.json["verified"]) == (0, True) and token.key_ids() == [], done
    own, certificate = unwrap(wrapped, device[0], tmp_path / "own.key"), station.out / f"{serial}.{name}certificate.pem"
    assert openssl("pkey", "-in", own, "-pubout") == openssl("x509", "-in", certificate, "-noout", "-pubkey")


def test_a_retired_board_of_a_journal_made_again_makes_room_for_another(hsm_station, token, device, other):
    """Also where the first run with that one fails: the former one's file lies there."""
    profile = wrapped_profile(hsm_station)
    first = provision(hsm_station, token, profile, "--device-key", device[1])
    assert first.status == 0 and retire(hsm_station, first.json["registrationId"]).status == 0, first
    lose_journal(hsm_station)
    assert reconcile(hsm_station).status == 0
    refused = provision(hsm_station, token, profile, "--device-key", other[1])
    assert refused.cause == "E6101", refused
    for path in hsm_station.out.glob("*"):
        if "evidence" not in path.name:
            path.rename(hsm_station.home / path.name)
    done = provision(hsm_station, token, profile, "--device-key", other[1])
    assert (done.status, done.json["verified"]) == (0, True), done


def test_files_of_a_former_life_are_not_replaced_in_the_folder_they_are_in(hsm_station, token, device, other):
    """The board that came in its place was wrapped for in another folder, which is gone."""
    station, profile, opened = hsm_station, wrapped_profile(hsm_station), ["--token", token.uri, "--pin-file", token.pin_file]
    assert provision(station, token, profile, "--device-key", device[1]).status == 0
    former = {path: path.read_bytes() for path in station.out.iterdir()}
    assert station.out / f"{SERIAL}.key.wrapped" in former and retire(station, SERIAL).status == 0
    first, station.out = station.out, station.home / "out-2"
    spool(station, profile, SERIAL, *opened, "--device-key", other[1])
    station.out.rename(station.home / "away")
    station.out = first
    done = provision(station, token, profile, "--device-key", other[1])
    assert (done.status, done.cause) == (11, "E6101"), done
    assert {path: path.read_bytes() for path in former} == former
    station.out = station.home / "out-3"
    done = provision(station, token, profile, "--device-key", other[1])
    assert done.status == 0 and done.json["verified"] is True, done


def test_file_that_this_life_announced_is_replaced_however_its_folder_is_named(hsm_station, token, device):
    station, profile = hsm_station, wrapped_profile(hsm_station)
    spool(station, profile, SERIAL, "--token", token.uri, "--pin-file", token.pin_file, "--device-key", device[1])
    (station.out / f"{SERIAL}.key.wrapped").unlink()
    station.out = station.home / "keys/../out"
    done = provision(station, token, profile, "--device-key", device[1])
    assert done.status == 0 and (station.out / f"{SERIAL}.key.wrapped").exists(), done


@pytest.mark.parametrize("move", [pathlib.Path.rename, shutil.copytree])
def test_file_of_this_life_is_replaced_in_a_folder_that_was_renamed_or_copied(hsm_station, token, device, tmp_path, move):
    """By what is in it; another one there stays."""
    station, profile = hsm_station, wrapped_profile(hsm_station)
    opened = ["--token", token.uri, "--pin-file", token.pin_file, "--device-key", device[1]]
    spool(station, profile, SERIAL, *opened)
    former, station.out = station.out, station.home / "out-2"
    move(former, station.out)
    wrapped = station.out / f"{SERIAL}.key.wrapped"
    content = wrapped.read_bytes()
    shutil.rmtree(former, ignore_errors=True)
    wrapped.write_bytes(content[:-1])
    done = provision(station, token, profile, "--device-key", device[1])
    assert (done.status, done.cause) == (11, "E6101") and wrapped.read_bytes() == content[:-1], done
    wrapped.write_bytes(content)
    done = provision(station, token, profile, "--device-key", device[1])
    assert done.status == 0 and done.json["verified"] is True, done
    unwrap(wrapped, device[0], tmp_path / "made")
    register(station.emulator, SERIAL, station.out / f"{SERIAL}.certificate.pem", tmp_path / "made")


def test_audit_asks_no_certificate_of_a_key_that_leaves(hsm_station, token, device):
    """It is released while its token is away, so its key waits there for the verification."""
    station, profile = hsm_station, wrapped_profile(hsm_station)
    spool(station, profile, SERIAL, "--token", token.uri, "--pin-file", token.pin_file, "--device-key", device[1])
    assert station.sync().json[0]["state"] == "enrolled"
    done = station.muster("hsm", "audit", token.uri, "--pin-file", token.pin_file, "--journal", station.journal, "-o", "json")
    assert done.status == 0 and done.json["findings"] == [], done
