"""Keys and certificates for a whole batch of devices, ready to be enrolled."""
import base64
import json
import pathlib
import shutil
import ssl
import subprocess

import pytest

from lib.custodian import Custodian, openssl
from lib.enrollment import EnrollmentDesk
from lib.killer import killer, was_killed
from lib.paths import RELEASE, SOFTHSM_MODULE
from lib.software_token import SoftwareTokens
from lib.wait import wait_until
from test_retire import retire

PROFILE = """profile: batch
attestation:
  type: x509
  x509:
    subject: "CN={{registrationId}},O=Example"
    validDays: 50
    sessions: 4
{issuer}
registrationId: "{{serial.lower}}"
allocationPolicy: hashed
"""


class MissingToken:
    uri, pin_file = "pkcs11:token=nosuch", "nosuch"


@pytest.fixture
def custodian(tmp_path, token):
    return Custodian(tmp_path / "home", token)


def prepare(custodian, serials, issuer=None):
    rows = ""
    if issuer:
        rows = f"    issuer:\n      key: \"{issuer.token.key_uri('line', 'private')}\"\n      certificate: {issuer.home}/line.pem"
    (custodian.home / "profile.yaml").write_text(PROFILE.format(issuer=rows))
    (custodian.home / "serials").write_text("".join(f"{serial}\n" for serial in serials))


def make_authority(custodian):
    made = custodian.muster("cert", "self-sign", "--key-type", "ec-p256", "--label", "line", "--subject", "CN=line CA", "--ca",
                            "--days", "100", "--out", "line.pem")
    assert made.status == 0, made
    return custodian


def produce(custodian, *arguments, **options):
    return custodian.muster("cert", "produce", "--profile", "profile.yaml", "--serials", "serials", "--out", "out.jsonl", *arguments,
                            **options)


def rows(custodian):
    return [json.loads(line) for line in (custodian.home / "out.jsonl").read_text().splitlines()]


def certificate(row, which="primary"):
    return base64.b64decode(row["attestation"]["x509"]["clientCertificates"][which]["certificate"])


@pytest.mark.parametrize("sessions", [1, 4])
def test_each_serial_gets_a_key_and_a_certificate_of_the_authority(custodian, sessions):
    authority = make_authority(custodian)
    serials = [f"A-{number:03}" for number in range(60)]
    prepare(custodian, serials, authority)
    done = produce(custodian, "--sessions", str(sessions))
    assert done.status == 0, done
    assert (done.json["devices"], done.json["sessions"]) == (60, sessions)
    found = rows(custodian)
    assert [row["registrationId"] for row in found] == [serial.lower() for serial in serials]
    assert all(row["allocationPolicy"] == "hashed" for row in found)
    files = [custodian.home / f"{row['registrationId']}.pem" for row in found]
    for path, row in zip(files, found):
        path.write_text(ssl.DER_cert_to_PEM_cert(certificate(row)))
    said = openssl("verify", "-CAfile", custodian.home / "line.pem", "-purpose", "sslclient", *files)
    assert said.count(": OK") == 60
    keys = {body["publicSha256"] for _, body in custodian.entries() if "publicSha256" in body}
    assert len(keys) == len(custodian.token.key_ids()) == 61
    steps = [(kind, body["step"]) for kind, body in custodian.entries()]
    assert all(steps.count((kind, step)) == 61 for kind in ("intent", "outcome") for step in ("key-make", "certify"))


@pytest.mark.parametrize("days,secondary", [(101, ""), (50, "    secondaryValidDays: 101\n")])
def test_an_issuer_that_ends_first_is_told_before_the_token_is_touched(custodian, days, secondary):
    authority = make_authority(custodian)
    prepare(custodian, ["a-1", "a-2"], authority)
    profile = custodian.home / "profile.yaml"
    profile.write_text(profile.read_text().replace("    validDays: 50\n", f"    validDays: {days}\n{secondary}"))
    before, entries = custodian.token.key_ids(), custodian.entries()
    done = produce(custodian, token=MissingToken)
    assert (done.status, done.cause) == (2, "E1456"), done
    assert (custodian.token.key_ids(), custodian.entries()) == (before, entries)
    assert not (custodian.home / "out.jsonl").exists()


def test_keys_sign_for_themselves_without_an_authority(custodian):
    prepare(custodian, ["a-1", "a-2", "a-3"])
    assert produce(custodian).status == 0
    for row in rows(custodian):
        (custodian.home / "one.der").write_bytes(certificate(row))
        said = openssl("x509", "-inform", "DER", "-in", custodian.home / "one.der", "-noout", "-subject", "-issuer")
        assert said.count(f"CN = {row['registrationId']}, O = Example") == 2


def test_an_authority_in_another_token_signs(custodian, tokens, tmp_path):
    authority = make_authority(Custodian(tmp_path / "authority", tokens.make("authority", pin="135790")))
    prepare(custodian, ["a-1", "a-2"], authority)
    done = produce(custodian)
    assert done.status == 0, done
    assert len(custodian.token.key_ids()) == 2 and len(authority.token.key_ids()) == 1


def test_an_authority_in_another_module_signs(custodian, tmp_path):
    """Neither URI names the token, which is the only one of its module."""
    tokens = SoftwareTokens(tmp_path / "other")
    authority = make_authority(Custodian(tmp_path / "authority", tokens.make("authority", pin="135790")))
    library = shutil.copy(SOFTHSM_MODULE, tmp_path / "other.so")
    configuration = custodian.home / ".config/muster/muster.yaml"
    configuration.parent.mkdir(parents=True)
    configuration.write_text(json.dumps({"modules": {"other": {"path": str(library),
                                                               "environment": [f"SOFTHSM2_CONF={tokens.configuration}"]}}}))
    prepare(custodian, ["a-1", "a-2"], authority)
    profile = custodian.home / "profile.yaml"
    own = f"pkcs11:object=line;type=private?module-name=other&pin-source=file:{authority.token.pin_file}"
    profile.write_text(profile.read_text().replace(authority.token.key_uri("line", "private"), own))
    done = produce(custodian)
    assert done.status == 0, done
    assert len(custodian.token.key_ids()) == 2 and len(authority.token.key_ids()) == 1


def test_an_authority_in_the_same_token_signs_whatever_its_module_is_called(custodian):
    """The module of that name is configured at another station; the token is named, too."""
    authority = make_authority(custodian)
    prepare(custodian, ["a-1"], authority)
    profile = custodian.home / "profile.yaml"
    profile.write_text(profile.read_text().replace(f"module-path={SOFTHSM_MODULE}", "module-name=elsewhere"))
    done = produce(custodian)
    assert done.status == 0, done


def test_the_file_is_what_import_takes(custodian, hsm_station):
    prepare(custodian, ["a-1", "a-2", "a-3"])
    assert produce(custodian).status == 0
    done = EnrollmentDesk(hsm_station).run("import", custodian.home / "out.jsonl")
    assert done.status == 0, done
    assert {row["registrationId"] for row in hsm_station.service.enrollments()} == {"a-1", "a-2", "a-3"}


@pytest.mark.parametrize("text,cause,where", [
    ("a-1\nb-1\nA-1\n", "E1001", ":3: "),
    ("a-1\n\nwhat is this\n", "E1303", ":3: "),
    ("\n", "E1001", ""),
])
def test_wrong_serials_are_told_before_the_token_is_touched(custodian, text, cause, where):
    prepare(custodian, [])
    (custodian.home / "serials").write_text(text)
    done = produce(custodian, token=custodian.token)
    assert (done.status, done.cause) == (2, cause) and where in done.stderr, done
    assert custodian.token.key_ids() == [] and not custodian.journal.exists()


@pytest.mark.parametrize("call,n", [("sendmsg", 20), ("sendmsg", 60), ("fdatasync", 6)])
def test_nothing_unknown_is_left_of_a_run_that_was_killed(custodian, call, n):
    """Keys on the token are those whose certificates are in the journal, once the next run has begun."""
    custodian.build = RELEASE
    prepare(custodian, [f"a-{number}" for number in range(30)])
    cut = produce(custodian, wrapper=killer(call, n))
    assert was_killed(cut.status), cut
    (custodian.home / "serials").write_text("last\n")
    before = set(custodian.token.key_ids())
    done = produce(custodian)
    assert done.status == 0, done
    destroyed = {row["keyId"] for row in done.json.get("destroyedUnfinished", [])}
    assert destroyed == before - set(custodian.token.key_ids()) and all(key_id in done.stderr for key_id in destroyed), done
    kept = {body["keyId"] for kind, body in custodian.entries() if kind == "outcome" and "attributes" in body}
    assert set(custodian.token.key_ids()) == kept and len(kept) >= 1


def worker_is_there(custodian):
    """One that has not yet noticed that it is alone."""
    for environ in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(custodian.token.module.configuration).encode() in environ.read_bytes():
                return True
        except OSError:
            continue
    return False


def cut_late(custodian):
    done = produce(custodian, wrapper=killer("sendmsg", 160, workers=False))
    assert was_killed(done.status) and not (custodian.home / "out.jsonl").exists(), done
    wait_until(lambda: not worker_is_there(custodian), what="the end of the worker")


def label_otherwise(custodian):
    profile = custodian.home / "profile.yaml"
    profile.write_text(profile.read_text().replace("  x509:\n", "  x509:\n    keyLabel: \"new-{registrationId}\"\n"))


def test_a_run_that_was_killed_goes_on_where_it_was(custodian):
    """Each serial has one line and one key; what was recorded is taken over. Two requests make a certificate, and at most sixty
    are under way, so after so many requests some are recorded."""
    custodian.build = RELEASE
    authority = make_authority(custodian)
    serials = [f"a-{number}" for number in range(100)]
    prepare(custodian, serials, authority)
    cut_late(custodian)
    done = produce(custodian)
    assert done.status == 0 and done.json["devices"] == 100 and 20 <= done.json["adopted"] < 100, done
    assert [row["registrationId"] for row in rows(custodian)] == serials
    assert len(custodian.token.key_ids()) == 101
    sound = custodian.look("hsm", "audit", custodian.token.uri, "--pin-file", custodian.token.pin_file, "--journal", custodian.journal)
    assert sound.status == 0, sound
    (custodian.home / "serials").write_text("a-0\nb-1\n")
    (custodian.home / "out.jsonl").unlink()
    again = produce(custodian)
    assert (again.status, again.cause) == (7, "E4317") and "'a-0'" in again.stderr, again
    assert len(custodian.token.key_ids()) == 101
    label_otherwise(custodian)
    assert produce(custodian).json["adopted"] == 0
    assert len(custodian.token.key_ids()) == 103


def test_what_was_made_under_other_terms_is_not_taken_over(custodian):
    custodian.build = RELEASE
    prepare(custodian, [f"a-{number}" for number in range(100)])
    cut_late(custodian)
    profile = custodian.home / "profile.yaml"
    profile.write_text(profile.read_text().replace("validDays: 50", "validDays: 60"))
    done = produce(custodian)
    assert done.status == 0 and done.json["adopted"] == 0, done


# -- Two certificates of a device ----------------------------------------------------------------------------------

SECOND = ["secondaryValidDays: 80", "secondaryKey: own"]


def want_second(custodian, second):
    profile = custodian.home / "profile.yaml"
    profile.write_text(profile.read_text().replace("  x509:\n", f"  x509:\n    {second}\n"))


def both_keys(custodian, row):
    """The public keys of the device's certificates, which are of the authority and say who it is."""
    keys = []
    for name in ("primary", "secondary"):
        path = custodian.home / "one.pem"
        path.write_text(ssl.DER_cert_to_PEM_cert(certificate(row, name)))
        openssl("verify", "-CAfile", custodian.home / "line.pem", "-purpose", "sslclient", path)
        assert f"CN = {row['registrationId']}, O = Example" in openssl("x509", "-in", path, "-noout", "-subject")
        keys.append(openssl("x509", "-in", path, "-noout", "-pubkey"))
    return keys


def assert_each_key_once(custodian, second):
    """One of its own for each certificate, or one for both of a device. Returns how many."""
    pairs = [both_keys(custodian, row) for row in rows(custodian)]
    assert all((primary == secondary) == (second == SECOND[0]) for primary, secondary in pairs)
    keys = {key for pair in pairs for key in pair}
    assert len(keys) == len(pairs) * (1 if second == SECOND[0] else 2)
    return len(keys)


@pytest.mark.parametrize("second", SECOND)
def test_each_device_gets_both_certificates(custodian, hsm_station, second):
    prepare(custodian, ["A-1", "a-2", "a-3"], make_authority(custodian))
    want_second(custodian, second)
    done = produce(custodian)
    assert done.status == 0 and done.json["devices"] == 3, done
    made = assert_each_key_once(custodian, second)
    assert len(custodian.token.key_ids()) == made + 1
    wanted = {"a-1", "a-2", "a-3", *({f"{name}+secondary" for name in ("a-1", "a-2", "a-3")} if made == 6 else ())}
    assert set(custodian.token.objects("privkey")) - {"line"} == wanted
    for name, days in (("primary", 50), ("secondary", 80 if second == SECOND[0] else 50)):
        (custodian.home / "one.der").write_bytes(certificate(rows(custodian)[0], name))
        for seconds, status in ((days * 86400 - 3600, 0), (days * 86400 + 3600, 1)):
            done = subprocess.run(["openssl", "x509", "-inform", "DER", "-in", custodian.home / "one.der", "-noout", "-checkend", str(seconds)],
                                  stdout=subprocess.DEVNULL, check=False)
            assert done.returncode == status, (name, seconds)
    desk = EnrollmentDesk(hsm_station)
    assert desk.run("import", custodian.home / "out.jsonl").status == 0
    for name in ("a-1", "a-2", "a-3"):
        found = hsm_station.service.enrollment(name)["attestation"]["x509"]["clientCertificates"]
        assert found["primary"]["info"]["sha256Thumbprint"] != found["secondary"]["info"]["sha256Thumbprint"]


@pytest.mark.parametrize("second", SECOND)
def test_a_run_for_two_certificates_that_was_killed_goes_on_where_it_was(custodian, second):
    custodian.build = RELEASE
    authority = make_authority(custodian)
    prepare(custodian, [f"a-{number}" for number in range(60)], authority)
    want_second(custodian, second)
    cut_late(custodian)
    done = produce(custodian)
    assert done.status == 0 and done.json["devices"] == 60 and 1 <= done.json["adopted"] < 60, done
    assert len(custodian.token.key_ids()) == assert_each_key_once(custodian, second) + 1
    sound = custodian.look("hsm", "audit", custodian.token.uri, "--pin-file", custodian.token.pin_file, "--journal", custodian.journal)
    assert sound.status == 0, sound


def test_a_second_certificate_is_made_for_the_key_of_a_first_that_was_recorded(custodian):
    """The profile wanted one when the run was cut, and wants two when it goes on."""
    custodian.build = RELEASE
    prepare(custodian, [f"a-{number}" for number in range(100)], make_authority(custodian))
    cut_late(custodian)
    want_second(custodian, SECOND[0])
    done = produce(custodian)
    assert done.status == 0 and done.json["adopted"] >= 20, done
    assert len(custodian.token.key_ids()) == assert_each_key_once(custodian, SECOND[0]) + 1


def test_what_only_provision_makes_is_refused(custodian):
    prepare(custodian, ["A-1"])
    profile = custodian.home / "profile.yaml"
    profile.write_text(profile.read_text().replace("  x509:\n", "  x509:\n    key: {lives: wrapped-to-device}\n"))
    done = produce(custodian)
    assert (done.status, done.cause) == (2, "E1001") and "wraps keys out" in done.stderr, done
    assert custodian.token.objects("privkey") == []


def test_a_device_that_the_journal_has_gets_no_second_key(hsm_station, token):
    profile = hsm_station.profile("hsm-x509")
    done = hsm_station.provision(profile, "HX-1", "--token", token.uri, "--pin-file", token.pin_file)
    assert done.status == 0, done
    before, custodian = token.key_ids(), Custodian(hsm_station.home, token)
    (custodian.home / "serials").write_text("HX-0\nhx-1\n")
    done = custodian.muster("cert", "produce", "--profile", profile, "--serials", "serials", "--out", "out.jsonl")
    assert (done.status, done.cause) == (7, "E3102") and "serials:2" in done.stderr, done
    assert token.key_ids() == before and not (custodian.home / "out.jsonl").exists()
    assert retire(hsm_station, "hx-1").status == 0
    assert custodian.muster("cert", "produce", "--profile", profile, "--serials", "serials", "--out", "out.jsonl").status == 0
    assert len(token.key_ids()) == len(before) + 2


# -- Each label once -------------------------------------------------------------------------------------------------


def refused_for(custodian, labels, *arguments):
    """Nothing is made, nothing is written, and who is refused is told which and how many. Returns what was said."""
    before = custodian.token.key_ids()
    done = produce(custodian, *arguments)
    assert (done.status, done.cause) == (7, "E4317") and all(f"'{label}' (ID" in done.stderr for label in labels), done
    assert custodian.token.key_ids() == before and not (custodian.home / "out.jsonl").exists()
    return done.error["detail"]


def test_who_has_a_key_and_a_certificate_gets_no_second_one(custodian):
    prepare(custodian, [f"a-{number}" for number in range(5)], make_authority(custodian))
    assert produce(custodian).status == 0
    (custodian.home / "out.jsonl").rename(custodian.home / "first.jsonl")
    said = refused_for(custodian, ["a-0", "a-1", "a-2"])
    assert "5 of the 5 labels" in said and " and 2 more" in said, said
    (custodian.home / "serials").write_text("b-0\nA-3\nb-1\n")
    assert "1 of the 3 labels" in refused_for(custodian, ["a-3"])
    (custodian.home / "serials").write_text("b-0\nb-1\n")
    assert produce(custodian).status == 0
    assert len(custodian.token.key_ids()) == 8


def test_nor_by_another_journal(custodian):
    prepare(custodian, ["a-1", "a-2"], make_authority(custodian))
    assert produce(custodian).status == 0
    (custodian.home / "out.jsonl").unlink()
    custodian.journal = custodian.home / "other.db"
    assert "2 of the 2 labels" in refused_for(custodian, ["a-1", "a-2"])


def test_no_device_gets_the_label_of_the_authority(custodian):
    authority = make_authority(custodian)
    prepare(custodian, ["a-1", "LINE"], authority)
    refused_for(custodian, ["line"])
    (custodian.home / "serials").write_text("a-1\n")
    assert produce(custodian).status == 0


def test_a_secondary_key_has_a_label_of_its_own(custodian):
    prepare(custodian, ["a-1"])
    want_second(custodian, SECOND[1])
    assert produce(custodian).status == 0
    (custodian.home / "out.jsonl").unlink()
    for kept in custodian.token.objects("privkey"):
        if not kept.endswith("+secondary"):
            custodian.token.pkcs11_tool("--delete-object", "--type", "privkey", "--label", kept)
    assert "1 of the 2 labels" in refused_for(custodian, ["a-1+secondary"])


def test_a_label_for_all_is_refused(custodian):
    prepare(custodian, ["a-1", "a-2"])
    profile = custodian.home / "profile.yaml"
    profile.write_text(profile.read_text().replace("  x509:\n", "  x509:\n    keyLabel: device\n"))
    done = produce(custodian)
    assert (done.status, done.cause) == (7, "E4317") and custodian.token.key_ids() == [], done


def test_labels_are_looked_at_among_many_keys(custodian):
    """More than one answer of the token's can tell."""
    prepare(custodian, [f"a-{number:04}" for number in range(110)])
    assert produce(custodian).status == 0
    (custodian.home / "out.jsonl").unlink()
    assert "110 of the 110 labels" in refused_for(custodian, [])
