"""Certificates and requests whose keys lie in a token."""
import base64
import datetime
import hashlib
import subprocess

import pytest

from emulator_client import Device, Service, x509
from lib.custodian import Custodian, openssl
from lib.killer import go_on, killer, was_killed
from lib.paths import RELEASE
from test_retire import retire

KEY_TYPES = ["ec-p256", "ec-p384", "ec-p521", "ed25519", "rsa-2048"]
NAME = "CN=dev-1,O=Example"


@pytest.fixture
def custodian(tmp_path, token):
    return Custodian(tmp_path / "home", token)


def request(custodian, *arguments, **options):
    return custodian.muster("cert", "request", "--subject", NAME, *arguments, **options)


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_request_with_a_key_made_for_it(custodian, key_type):
    done = request(custodian, "--key-type", key_type, "--label", "dev-1", "--out", "dev-1.csr")
    assert done.status == 0, done
    said = openssl("req", "-in", custodian.home / "dev-1.csr", "-verify", "-noout", "-subject")
    assert "verify OK" in said and "CN = dev-1, O = Example" in said
    assert custodian.token.key_ids() == [done.json["keyId"]]
    assert "never-extractable=true" in done.json["keyAttributes"]
    assert (custodian.home / "dev-1.csr").stat().st_mode & 0o777 == 0o644


def test_request_with_a_key_that_is_there(custodian):
    made = request(custodian, "--key-type", "ec-p256", "--label", "dev-1").json
    entries = custodian.entries()
    again = request(custodian, "--key", "pkcs11:object=dev-1", "--der", "--out", "again.csr")
    assert again.status == 0, again
    assert again.json["keyId"] == made["keyId"]
    assert "verify OK" in openssl("req", "-inform", "DER", "-in", custodian.home / "again.csr", "-verify", "-noout")
    assert custodian.entries() == entries


def test_a_second_key_of_a_name_is_not_made(custodian):
    made = request(custodian, "--key-type", "ec-p256", "--label", "dev-1", "--out", "one.csr").json
    again = request(custodian, "--key-type", "ec-p256", "--label", "dev-1", "--out", "two.csr")
    assert (again.status, again.cause) == (7, "E1451") and "%" + made["keyId"][:2].upper() in again.stderr, again
    assert custodian.token.key_ids() == [made["keyId"]]


def test_key_is_announced_before_it_is_made(custodian):
    made = request(custodian, "--key-type", "ec-p256", "--label", "dev-1").json
    (first, intent), (second, outcome) = custodian.entries()
    assert (first, second) == ("intent", "outcome")
    assert intent["keyId"] == outcome["keyId"] == made["keyId"]
    assert intent["tokenSerial"] == custodian.token.serial


def test_people_get_the_request_itself(custodian):
    done = request(custodian, "--key-type", "ec-p256", "--label", "dev-1", "-o", "table")
    assert "verify OK" in openssl("req", "-verify", "-noout", stdin=done.stdout)


@pytest.mark.parametrize("arguments,cause", [
    ([], "E1001"),
    (["--key", "pkcs11:object=x", "--key-type", "ec-p256"], "E1001"),
    (["--key-type", "ec-p256"], "E1001"),
    (["--key", "pkcs11:object=nobody"], "E4302"),
    (["--key-type", "ec-p255", "--label", "x"], "E1001"),
    (["--key-type", "ec-p256", "--label", "x", "--subject", "CN=a,XX=b"], "E1001"),
    (["--key-type", "ec-p256", "--label", "x", "--subject", "dev-2"], "E1001"),
    (["--key-type", "ec-p256", "--label", "x", "--out", "there"], "E6101"),
    (["--key-type", "ec-p256", "--label", ""], "E1001"),
    (["--key-type", "ec-p256", "--label", "x\x1b[2J"], "E1001"),
    (["--key-type", "ec-p256", "--label", "x", "--subject", "CN=x,"], "E1001"),
])
def test_refused_without_a_key_made(custodian, arguments, cause):
    (custodian.home / "there").write_text("mine")
    done = request(custodian, *arguments)
    assert done.cause == cause, done
    assert custodian.token.key_ids() == []
    assert (custodian.home / "there").read_text() == "mine"


# -- Authorities and what they issue -----------------------------------------------------------------------------------

def self_sign(custodian, *arguments, **options):
    return custodian.muster("cert", "self-sign", *arguments, **options)


def make_authority(custodian, key_type="ec-p256", name="line", *arguments, **options):
    """Certificate file of an authority whose key is born in the token."""
    done = self_sign(custodian, "--key-type", key_type, "--label", name, "--subject", f"CN={name} CA,O=Example", "--ca",
                     "--days", "100", "--out", f"{name}.pem", *arguments, **options)
    assert done.status == 0, done
    return custodian.home / f"{name}.pem"


def make_request(custodian, name, *key_arguments):
    """As a device makes it: a key in a file, by OpenSSL."""
    key, csr = custodian.home / f"{name}.key", custodian.home / f"{name}.csr"
    openssl("req", "-new", *(key_arguments or ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")), "-nodes", "-subj",
            f"/CN={name}", "-keyout", key, "-out", csr)
    return csr, key


def issue(custodian, csr, *arguments, name="line", **options):
    return custodian.muster("cert", "issue", csr, "--issuer-key", f"pkcs11:object={name};type=private",
                            "--issuer-certificate", f"{name}.pem", "--days", "30", *arguments, **options)


def accepted_everywhere(root, leaf, chain=()):
    """By muster, OpenSSL and GnuTLS."""
    untrusted = [word for path in chain for word in ("-untrusted", path)]
    openssl("verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", root, *untrusted, leaf)
    together = "".join(path.read_text() for path in (leaf, *chain))
    done = subprocess.run(["certtool", "--verify", "--load-ca-certificate", root, "--verify-purpose", "1.3.6.1.5.5.7.3.2"],
                          input=together, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0 and "Verified" in done.stdout, done


def request_with(custodian, label, name):
    """For a key that is in the token already."""
    made = custodian.muster("cert", "request", "--key", f"pkcs11:object={label};type=private", "--subject", f"CN={name}", "--out",
                            f"{name}.csr")
    assert made.status == 0, made
    return custodian.home / f"{name}.csr"


def is_not_issued(custodian, csr, *words):
    before = custodian.entries()
    done = issue(custodian, csr, "--out", "no.pem")
    assert (done.status, done.cause) == (2, "E4311") and all(word in done.stderr for word in words), done
    assert custodian.entries() == before and not (custodian.home / "no.pem").exists()


def test_the_authority_certifies_nobody_with_its_own_key(custodian):
    make_authority(custodian)
    is_not_issued(custodian, request_with(custodian, "line", "dev-1"), "'dev-1'", "the issuer's own key")


def test_a_key_that_was_produced_for_a_device_is_for_no_other_one(custodian):
    make_authority(custodian)
    (custodian.home / "profile.yaml").write_text("profile: made\nattestation: {type: x509, x509: {validDays: 50}}\n"
                                                 "registrationId: '{serial.lower}'\n")
    (custodian.home / "serials").write_text("dev-1\n")
    done = custodian.muster("cert", "produce", "--profile", "profile.yaml", "--serials", "serials", "--out", "out.jsonl")
    assert done.status == 0, done
    is_not_issued(custodian, request_with(custodian, "dev-1", "dev-2"), "'dev-2'", "the key of device 'dev-1'")
    renewed = issue(custodian, request_with(custodian, "dev-1", "DEV-1"), "--out", "renewed.pem")
    assert renewed.status == 0, renewed


def test_a_key_of_a_living_device_is_for_no_other_one(hsm_station, token):
    custodian = Custodian(hsm_station.home, token)
    make_authority(custodian)
    done = hsm_station.provision(hsm_station.profile("hsm-x509"), "HX-1", "--token", token.uri, "--pin-file", token.pin_file)
    assert done.status == 0, done
    csr = request_with(custodian, "hx-1", "hx-2")
    is_not_issued(custodian, csr, "'hx-2'", "the key of device 'hx-1'")
    assert retire(hsm_station, "hx-1").status == 0
    assert issue(custodian, csr, "--out", "hx-2.pem").status == 0


def test_a_key_that_was_made_for_a_request_gets_its_certificate(custodian):
    make_authority(custodian)
    made = custodian.muster("cert", "request", "--key-type", "ec-p256", "--label", "new", "--subject", "CN=dev-1", "--out", "dev-1.csr")
    assert made.status == 0, made
    assert issue(custodian, custodian.home / "dev-1.csr", "--out", "dev-1.pem").status == 0


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_issued_certificates_are_accepted_by_other_programs(custodian, key_type):
    root = make_authority(custodian, key_type)
    csr, _ = make_request(custodian, "dev-1")
    done = issue(custodian, csr, "--out", "dev-1.pem", "--chain", "dev-1.chain.pem", "--crl-url", "http://crl.example/a.crl")
    assert done.status == 0, done
    accepted_everywhere(root, custodian.home / "dev-1.pem")
    text = openssl("x509", "-in", custodian.home / "dev-1.pem", "-noout", "-text")
    assert "CA:FALSE" in text and "TLS Web Client Authentication" in text and "http://crl.example/a.crl" in text
    assert len(done.json["serial"]) == 34
    chain = (custodian.home / "dev-1.chain.pem").read_text()
    assert chain == (custodian.home / "dev-1.pem").read_text() + root.read_text()
    verified = custodian.look("cert", "verify", "dev-1.pem", "--roots", root)
    assert verified.status == 0, verified
    assert verified.json["chain"] == ["CN=dev-1", "CN=line CA, O=Example"]


def test_key_identifiers_and_validity(custodian):
    """The issued certificate names its issuer's key, and holds for clocks that are ten minutes behind."""
    root = make_authority(custodian)
    csr, _ = make_request(custodian, "dev-1")
    done = issue(custodian, csr, "--out", "dev-1.pem")
    assert done.status == 0, done
    authority = custodian.look("cert", "show", root).json[0]
    assert done.json["authorityKeyIdentifier"] == authority["subjectKeyIdentifier"]
    assert done.json["subjectKeyIdentifier"] != authority["subjectKeyIdentifier"]
    begins = datetime.datetime.fromisoformat(done.json["notBefore"].replace("Z", "+00:00"))
    ends = datetime.datetime.fromisoformat(done.json["notAfter"].replace("Z", "+00:00"))
    age = datetime.datetime.now(datetime.timezone.utc) - begins
    assert datetime.timedelta(minutes=10) <= age < datetime.timedelta(minutes=20)
    assert datetime.timedelta(days=30) <= ends - begins <= datetime.timedelta(days=30, minutes=11)


@pytest.mark.parametrize("option", ["--out", "--chain"])
def test_files_are_never_replaced(custodian, option):
    make_authority(custodian)
    csr, _ = make_request(custodian, "dev-1")
    (custodian.home / "there").write_text("mine")
    entries = custodian.entries()
    assert issue(custodian, csr, option, "there").cause == "E6101"
    assert custodian.entries() == entries
    assert (custodian.home / "there").read_text() == "mine"


@pytest.mark.parametrize("out,chain", [("x.pem", "x.pem"), ("x.pem", "./x.pem")])
def test_one_file_for_two_is_refused_before_it_is_signed(custodian, out, chain):
    make_authority(custodian)
    csr, _ = make_request(custodian, "dev-1")
    entries = custodian.entries()
    done = issue(custodian, csr, "--out", out, "--chain", chain)
    assert (done.status, done.cause) == (2, "E1001"), done
    assert custodian.entries() == entries and not (custodian.home / "x.pem").exists()


@pytest.mark.parametrize("option", ["--out", "--chain"])
def test_a_folder_that_is_not_there_is_told_before_it_is_signed(custodian, option):
    make_authority(custodian)
    csr, _ = make_request(custodian, "dev-1")
    entries = custodian.entries()
    assert issue(custodian, csr, option, "nowhere/x.pem").cause == "E6102"
    assert custodian.entries() == entries


def test_a_certificate_without_a_name_is_a_mistake_of_the_line(custodian):
    done = self_sign(custodian, "--key-type", "ec-p256", "--label", "x", "--subject", "O=Example", "--days", "9")
    assert (done.status, done.cause) == (2, "E1001") and "common name" in done.stderr, done
    assert custodian.token.key_ids() == []


def test_authority_below_an_authority(custodian, tokens):
    root = make_authority(custodian, "ec-p384", "root", "--path-length", "1")
    request(custodian, "--subject", "CN=line CA", "--key-type", "ec-p256", "--label", "line", "--out", "line.csr",
            token=custodian.token)
    below = issue(custodian, "line.csr", "--ca", "--out", "line.pem", name="root")
    assert below.status == 0, below
    csr, _ = make_request(custodian, "dev-1")
    assert issue(custodian, csr, "--days", "29", "--out", "dev-1.pem").status == 0
    accepted_everywhere(root, custodian.home / "dev-1.pem", [custodian.home / "line.pem"])
    request(custodian, "--subject", "CN=deep CA", "--key-type", "ec-p256", "--label", "deep", "--out", "deep.csr")
    too_deep = issue(custodian, "deep.csr", "--ca", "--out", "deep.pem", "--days", "20")
    assert too_deep.cause == "E4305" and "path length" in too_deep.stderr, too_deep


def test_what_is_signed_is_in_the_journal_before_and_after(custodian):
    make_authority(custodian)
    csr, _ = make_request(custodian, "dev-1")
    done = issue(custodian, csr, "--out", "dev-1.der", "--der")
    (first, intent), (second, outcome) = custodian.entries()[-2:]
    der = (custodian.home / "dev-1.der").read_bytes()
    assert (first, second) == ("intent", "outcome")
    assert intent["serial"] == done.json["serial"]
    assert base64.b64decode(outcome["certificate"]) == der
    assert done.json["sha256"].lower() == hashlib.sha256(der).hexdigest()


def test_certificate_can_be_kept_beside_its_key(custodian):
    done = self_sign(custodian, "--key-type", "ec-p256", "--label", "dev-1", "--subject", "CN=dev-1", "--days", "30", "--store")
    assert done.status == 0, done
    assert len(custodian.token.objects("cert")) == 1


def test_issued_certificate_registers_by_mutual_tls(custodian, tmp_path):
    make_authority(custodian)
    csr, key = make_request(custodian, "dev-1")
    assert issue(custodian, csr, "--out", "dev-1.pem").status == 0
    service = Service(tmp_path / "dps")
    try:
        leaf = custodian.home / "dev-1.pem"
        assert service.put(x509("dev-1", leaf.read_text())).status == 200
        assert Device(service, "dev-1", certificate=(leaf, key)).provision()["status"] == "assigned"
    finally:
        service.stop()


WEAK = ["-newkey", "rsa:1024"]
CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"]


@pytest.mark.parametrize("key,cause", [(WEAK, "E4310"), (CURVE, "E4310")])
def test_weak_keys_get_no_certificate(custodian, key, cause):
    make_authority(custodian)
    csr, _ = make_request(custodian, "dev-1", *key)
    entries = custodian.entries()
    done = issue(custodian, csr, "--out", "dev-1.pem")
    assert done.cause == cause, done
    assert custodian.entries() == entries
    assert not (custodian.home / "dev-1.pem").exists()


def test_request_of_another_hand_is_refused(custodian):
    make_authority(custodian)
    csr, _ = make_request(custodian, "dev-1")
    der = bytearray(base64.b64decode("".join(csr.read_text().splitlines()[1:-1])))
    der[-1] ^= 1
    (custodian.home / "bad.csr").write_bytes(bytes(der))
    done = issue(custodian, "bad.csr", "--out", "dev-1.pem")
    assert (done.status, done.cause) == (2, "E4311"), done


@pytest.mark.parametrize("arguments,cause", [
    (["--days", "101"], "E4305"),
    (["--crl-url", "ftp://crl"], "E4305"),
    (["--path-length", "1"], "E1001"),
    (["--days", "0"], "E1001"),
    (["--issuer-key", "pkcs11:object=other;type=private"], "E4305"),
])
def test_what_lint_refuses_is_not_signed(custodian, arguments, cause):
    make_authority(custodian)
    request(custodian, "--key-type", "ec-p256", "--label", "other", "--subject", "CN=other")
    csr, _ = make_request(custodian, "dev-1")
    entries = custodian.entries()
    done = issue(custodian, csr, "--out", "dev-1.pem", *arguments)
    assert done.cause == cause, done
    assert custodian.entries() == entries
    assert not (custodian.home / "dev-1.pem").exists()


def test_common_name_has_to_be_a_registration_id(custodian):
    make_authority(custodian)
    csr, _ = make_request(custodian, "dev 1")
    assert issue(custodian, csr).cause == "E1303"


# -- Showing and verifying ---------------------------------------------------------------------------------------------

def test_show_says_what_is_in_a_file(custodian):
    make_authority(custodian)
    csr, _ = make_request(custodian, "dev-1")
    done = custodian.look("cert", "show", "line.pem", csr)
    assert done.status == 0, done
    authority, wanted = done.json
    assert (authority["kind"], authority["isAuthority"], authority["keyType"]) == ("certificate", True, "ec-p256")
    assert "pathlen:0" in authority["basicConstraints"]
    assert (wanted["kind"], wanted["subject"]) == ("request", "CN=dev-1")
    (custodian.home / "x.pfx").write_bytes(bytes.fromhex("3082 0a00 0201 03") + bytes(100))
    for neither in (custodian.token.pin_file, "x.pfx"):
        done = custodian.look("cert", "show", neither)
        assert done.cause == "E1401" and "neither a certificate nor" in done.stderr and "openssl pkcs12" in done.stderr, done


def test_verify_says_what_is_wrong(custodian):
    make_authority(custodian)
    make_authority(custodian, "ec-p256", "stranger")
    csr, _ = make_request(custodian, "dev-1")
    issue(custodian, csr, "--out", "dev-1.pem")
    done = custodian.look("cert", "verify", "dev-1.pem", "--roots", "stranger.pem")
    assert (done.status, done.cause) == (1, "E4312"), done
    assert "unable to get local issuer certificate" in done.stderr


# -- After a cut ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("call,n", [("fsync", n) for n in (2, 4, 6, 8)] + [("sendmsg", n) for n in (3, 4, 5, 6)]
                         + [("pwrite64", n) for n in (4, 12, 20)])
def test_what_a_cut_leaves_is_gone_after_the_next_run(tmp_path, token, call, n):
    """Every key in the token has an outcome in the journal that says so; no other is there."""
    custodian = Custodian(tmp_path / "home", token, build=RELEASE)
    cut = request(custodian, "--key-type", "ec-p256", "--label", "cut", "--out", "cut.csr", wrapper=killer(call, n))
    assert cut.status == 0 or was_killed(cut.status), cut
    after = go_on(lambda: request(custodian, "--key-type", "ec-p256", "--label", "after", "--out", "after.csr"),
                  lambda: custodian.look("hsm", "acknowledge", token.uri))
    assert after.status == 0, after
    kept = {body["keyId"] for kind, body in custodian.entries() if kind == "outcome" and "attributes" in body}
    assert set(custodian.token.key_ids()) == kept
    assert after.json["keyId"] in kept
