"""The same stories on four PKCS#11 modules. The table of muster-hsm(1) says what comes of each: "yes", or the cause with which
it is refused."""
import base64
import hashlib
import hmac
import json
import os
import re

import pytest

from lib.custodian import openssl
from lib.killer import choose, go_on, killer, points_of, recorder, was_killed
from lib.paths import RELEASE, TOP
from lib.soft_modules import MAKERS
from lib.software_token import write_secret

KEY_TYPES = ["ec-p256", "ec-p384", "ec-p521", "ed25519", "rsa-2048"]
NEEDS = {f"request, {key_type}": f"sign with {key_type} keys" for key_type in KEY_TYPES}
NEEDS["generate-master"] = "derive device keys from a master (HMAC-SHA256)"
WORKER_DIED = 4
KILLS = 4


def cells():
    """(story, module) to what the manual says."""
    page = (TOP / "man/muster-hsm.1").read_text().replace("\\-", "-").split(".SH MODULES")[1]
    heading, *rows = page.split(".nf\n")[1].split("\n.fi")[0].splitlines()
    assert re.split("  +", re.sub(r"\\f.", "", heading)) == ["story", "SoftHSM 2", "NSS softokn", "opencryptoki", "tpm2-pkcs11"]
    table = {}
    for row in rows:
        story, *words = re.split("  +", row)
        table.update({(story, module): word for module, word in zip(MAKERS, words, strict=True)})
    return table


CELLS = cells()


STORIES = []


def story(*names):
    """A test of these rows of the table, on every module."""
    STORIES.extend(names)
    return pytest.mark.parametrize("module", MAKERS, indirect=True)


on_release = pytest.mark.parametrize("bench", [RELEASE], indirect=True, ids=["release"])


def goes_on(name, bench, done):
    """Whether the story goes on; a cell that is refused says so with its cause."""
    word = CELLS[name, bench.module.name]
    assert (done.status, done.cause) == (0, None) if word == "yes" else done.cause == word, (word, done)
    return word == "yes"


def look(bench, verb, *arguments):
    return bench.muster("hsm", verb, bench.module.uri, "--pin-file", bench.module.pin_file, "-o", "json", *arguments)


def objects(bench, kind):
    done = look(bench, "show")
    assert done.status == 0, done
    return [row for row in done.json["objects"] if row["kind"] == kind]


def audit(bench):
    """Token and journal agree; how many keys both have."""
    done = look(bench, "audit", "--journal", bench.journal)
    assert done.status == 0 and done.json["findings"] == [], done
    assert done.json["keys"] == len(objects(bench, "private-key")) + len(objects(bench, "secret-key")), done
    return done.json["keys"]


def custody(bench, noun, verb, *arguments):
    return bench.muster(noun, verb, "--token", bench.module.uri, "--pin-file", bench.module.pin_file, "--journal", bench.journal,
                        "-o", "json", *arguments)


def request(bench, label, key_type=None):
    return custody(bench, "cert", "request", "--key-type", key_type or bench.module.key_type, "--label", label, "--subject",
                   f"CN={label}", "--out", bench.home / f"{label}.csr")


def provision(bench, key_type, serial="m-0001", *arguments, pin_file=None, changes=None, **options):
    profile = bench.profile("hsm-x509", {"attestation": {"x509": {"keyType": key_type, **(changes or {})}}}, name=key_type)
    return bench.provision(profile, serial, "--token", bench.module.uri, "--pin-file", pin_file or bench.module.pin_file, *arguments,
                           **options)


@story("init", "list, show, check")
def test_it_is_listed_shown_and_checked(bench):
    listed = bench.muster("hsm", "list", "-o", "json")
    assert listed.status == 0, listed
    assert bench.module.label.replace("%20", " ") in [row.get("label") for row in listed.json], listed
    shown = look(bench, "show")
    assert goes_on("list, show, check", bench, shown)
    assert shown.json["loggedIn"] is True and shown.json["mechanisms"]
    checked = look(bench, "check")
    assert checked.status == 0, checked
    state = {row["need"]: row["state"] for row in checked.json["needs"]}
    for name, need in NEEDS.items():
        assert (state[need] == "present") == (CELLS[name, bench.module.name] == "yes"), (name, checked)


@story(*(f"request, {key_type}" for key_type in KEY_TYPES))
@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_a_request_for_a_key_that_is_made_for_it(bench, key_type):
    if goes_on(f"request, {key_type}", bench, request(bench, "one", key_type)):
        assert "verify OK" in openssl("req", "-in", bench.home / "one.csr", "-verify", "-noout")
        key, = objects(bench, "private-key")
        assert key["keyType"] == key_type
        assert key["attributes"]["sensitive"] is True and key["attributes"]["extractable"] is False
    else:
        request(bench, "next")  # what a module does not let go of at once
    audit(bench)


@story("self-sign and issue")
def test_an_authority_is_born_in_the_token_and_issues(bench):
    made = custody(bench, "cert", "self-sign", "--key-type", bench.module.key_type, "--label", "line", "--subject", "CN=line CA", "--ca",
                   "--days", "100", "--out", bench.home / "line.pem")
    if not goes_on("self-sign and issue", bench, made):
        return
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=dev-1", "-keyout",
            bench.home / "dev.key", "-out", bench.home / "dev.csr")
    issued = custody(bench, "cert", "issue", bench.home / "dev.csr", "--issuer-key", "pkcs11:object=line;type=private",
                     "--issuer-certificate", bench.home / "line.pem", "--days", "50", "--out", bench.home / "dev.pem")
    assert issued.status == 0, issued
    assert "OK" in openssl("verify", "-CAfile", bench.home / "line.pem", "-purpose", "sslclient", bench.home / "dev.pem")


@story("provision, ec-p256", "provision, rsa-2048")
@pytest.mark.parametrize("key_type", ["ec-p256", "rsa-2048"])
def test_a_key_is_born_in_the_token_and_enrolled(bench, key_type):
    done = provision(bench, key_type)
    if goes_on(f"provision, {key_type}", bench, done):
        assert done.json["verified"] is True
        again = provision(bench, key_type)
        assert again.json["state"] == "already enrolled", again
        assert len(objects(bench, "private-key")) == len(objects(bench, "certificate")) == 1
    else:
        provision(bench, bench.module.key_type)  # what a module does not let go of at once
    audit(bench)


@story("provision, two keys")
def test_each_certificate_of_a_device_is_of_its_own_key(bench):
    done = provision(bench, bench.module.key_type, changes={"secondaryKey": "own"})
    if goes_on("provision, two keys", bench, done):
        assert done.json["verified"] is True
        assert len(objects(bench, "private-key")) == len(objects(bench, "certificate")) == 2
        assert audit(bench) == 2
    else:
        assert audit(bench) == 0


@story("provision two of a manifest")
def test_two_devices_share_one_login(bench):
    profile = bench.profile("hsm-x509", {"attestation": {"x509": {"keyType": bench.module.key_type}}})
    (bench.home / "batch.csv").write_text("serial\nm-0001\nm-0002\n")
    done = bench.muster("provision", "--profile", profile, "--manifest", bench.home / "batch.csv", *bench.common(), "-o", "jsonl",
                        "--token", bench.module.uri, "--pin-file", bench.module.pin_file)
    if goes_on("provision two of a manifest", bench, done):
        assert audit(bench) == 2


@story("provision, wrapped-to-device")
def test_a_key_leaves_wrapped_for_its_device(bench):
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", bench.home / "own.key")
    openssl("pkey", "-in", bench.home / "own.key", "-pubout", "-out", bench.home / "own.pub")
    done = provision(bench, bench.module.key_type, "m-0001", "--device-key", bench.home / "own.pub",
                     changes={"key": {"lives": "wrapped-to-device"}, "token": None})
    if goes_on("provision, wrapped-to-device", bench, done):
        assert done.json["verified"] is True
    assert audit(bench) == 0


@story("produce two")
def test_two_keys_in_one_session(bench):
    profile = bench.profile("hsm-x509", {"attestation": {"x509": {"keyType": bench.module.key_type, "token": None}}})
    (bench.home / "serials").write_text("m-1\nm-2\n")
    made = custody(bench, "cert", "produce", "--profile", profile, "--serials", bench.home / "serials", "--out",
                   bench.home / "made.jsonl")
    if goes_on("produce two", bench, made):
        rows = [json.loads(line) for line in (bench.home / "made.jsonl").read_text().splitlines()]
        assert [row["registrationId"] for row in rows] == ["m-1", "m-2"]
        assert audit(bench) == 2


def derive(bench, name):
    done = custody(bench, "key", "derive", "dev-1", "--master", "pkcs11:object=master", "--out", bench.home / name)
    assert done.status == 0, done
    return json.loads((bench.home / name).read_text())


@story("generate-master")
def test_a_master_is_made_in_the_token_and_derives(bench):
    made = custody(bench, "key", "generate-master", "--label", "master")
    if goes_on("generate-master", bench, made):
        first = derive(bench, "one")
        assert first == derive(bench, "two") and len(first["primaryKey"]) == 44
        assert audit(bench) == 1


@story("import-master")
def test_a_master_is_brought_into_the_token_and_derives(bench):
    master = os.urandom(32)
    source = write_secret(bench.home / "master", base64.b64encode(master).decode())
    made = custody(bench, "key", "import-master", "--label", "master", "--from", source)
    if goes_on("import-master", bench, made):
        expected = hmac.new(master, b"dev-1", hashlib.sha256).digest()
        assert derive(bench, "one")["primaryKey"] == base64.b64encode(expected).decode()
        assert audit(bench) == 1


@story("audit")
def test_what_is_not_written_down_is_found(bench):
    made = request(bench, "one")
    assert goes_on("audit", bench, look(bench, "audit", "--journal", bench.journal))
    assert audit(bench) == (made.status == 0)
    bench.journal.unlink()
    assert request(bench, "two").status == made.status
    found = look(bench, "audit", "--journal", bench.journal)
    lost = {(row["finding"], row["label"]) for row in found.json["findings"]}
    assert lost == ({("object-without-row", "one")} if made.status == 0 else set()), found
    assert found.cause == ("E4315" if lost else None), found


@on_release
@story("kill and resume")
def test_what_a_kill_leaves_is_put_in_order(bench):
    log = bench.home / "strace.log"

    def job(serial, wrapper):
        return provision(bench, bench.module.key_type, serial, wrapper=(*bench.module.wrapper, *wrapper))

    is_made = goes_on("kill and resume", bench, job("kill-0", recorder(log)))
    points = choose([point for point in points_of(log) if point[0] not in bench.module.fragile], KILLS)
    killed = 0
    for number, point in enumerate(points, 1):
        cut = job(f"kill-{number}", killer(*point))
        killed += was_killed(cut.status) or cut.status == WORKER_DIED
        again = go_on(lambda serial=f"kill-{number}": job(serial, ()), lambda: bench.muster("hsm", "acknowledge", bench.module.uri))
        assert goes_on("kill and resume", bench, again) == is_made, (point, cut)
        assert audit(bench) == (number + 1 if is_made else 0), (point, cut, again)
    assert killed >= len(points) // 2


@pytest.mark.refuses_a_pin
@story("wrong PIN, acknowledge")
def test_a_wrong_pin_costs_one_try_however_often_it_is_run(bench, tmp_path):
    wrong = write_secret(tmp_path / "wrong", "13579135"[:len(bench.module.pin_file.read_text())])
    causes = [provision(bench, "rsa-2048", pin_file=wrong).cause for _ in range(4)]
    assert causes == ["E4201", "E4202", "E4202", "E4202"]
    assert bench.muster("hsm", "acknowledge", bench.module.uri).status == 0
    shown = look(bench, "show")
    assert goes_on("wrong PIN, acknowledge", bench, shown) and shown.json["loggedIn"] is True


@pytest.mark.parametrize("module", ["tpm2"], indirect=True)
def test_two_keys_that_a_tpm_holds_already_sign_by_turns(bench):
    for label in ("one", "two"):
        bench.module.ptool("addkey", "--algorithm=ecc256", f"--label={bench.module.label}", "--userpin=246810", f"--key-label={label}")
    for label in ("one", "two", "one"):
        out = bench.home / f"{label}.csr"
        out.unlink(missing_ok=True)
        done = custody(bench, "cert", "request", "--key", f"pkcs11:object={label};type=private", "--subject", f"CN={label}", "--out", out)
        assert done.status == 0, done
        assert "verify OK" in openssl("req", "-in", out, "-verify", "-noout")


def test_every_row_of_the_manual_is_a_story():
    assert sorted(STORIES) == sorted({name for name, _ in CELLS})
