"""An approval is about what was looked at: the files that a profile names too, and one production alone."""
import base64
import concurrent.futures
import json
import os
import shutil
import subprocess

import pytest

from lib.batch import manifest
from lib.custodian import Custodian, openssl
from lib.software_token import write_secret
from lib.wait import wait_until
from test_approvals import ceremony  # noqa: F401, a fixture
from test_hsm_wrap import wrapped_profile

# -- Certificates -------------------------------------------------------------------------------------------------------------


CERTIFICATES = """profile: batch
attestation: {type: x509, x509: {subject: "CN={registrationId}", validDays: 50}}
registrationId: "{serial.lower}"
"""


@pytest.fixture
def custodian(ceremony, token):
    """Whose token makes keys only for serials that two others have approved."""
    home = ceremony.station.home
    (home / "cert.yaml").write_text(CERTIFICATES)
    (home / "serials").write_text("A-1\nA-2\n")
    return Custodian(home, token)


def produce(custodian, *arguments):
    return custodian.muster("cert", "produce", "--profile", "cert.yaml", "--serials", "serials", "--out", "out.jsonl", *arguments,
                            env={"MUSTER_CONFIG": custodian.home / "muster.yaml"})


def no_key_was_made(custodian, done, cause):
    assert (done.status, done.cause) == (5, cause), done
    assert custodian.token.key_ids() == [] and not custodian.journal.exists() and not (custodian.home / "out.jsonl").exists()


def test_a_production_is_approved_likewise(ceremony, custodian):
    no_key_was_made(custodian, produce(custodian), "E6150")
    done = ceremony.station.muster("approval", "request", ceremony.file, "--profile", "cert.yaml", "--serials", "serials", "--key",
                                   ceremony.alice.key, "-o", "json")
    assert done.status == 0 and (done.json["verb"], done.json["devices"]) == ("cert produce", 2), done
    assert ceremony.grant(ceremony.carol).status == 0
    no_key_was_made(custodian, produce(custodian, "--approval", ceremony.file), "E6154")
    assert ceremony.grant(ceremony.dave).status == 0
    serials = (custodian.home / "serials").read_text()
    (custodian.home / "serials").write_text(serials + "A-3\n")
    no_key_was_made(custodian, produce(custodian, "--approval", ceremony.file), "E6152")
    (custodian.home / "serials").write_text(serials)
    done = produce(custodian, "--approval", ceremony.file)
    assert done.status == 0 and done.json["devices"] == 2, done
    approval, = [body["approval"] for _, body in custodian.entries() if "approval" in body]
    assert [row["keySha256"] for row in approval["approvedBy"]] == [ceremony.carol.digest, ceremony.dave.digest]


def test_what_was_approved_is_produced_once(ceremony, custodian):
    """Else who runs it keeps a second set of keys and certificates for himself, approved like the first."""
    asked = ["approval", "request", ceremony.file, "--profile", "cert.yaml", "--serials", "serials", "--key", ceremony.alice.key]
    for made in (2, 4):
        (custodian.home / "cert.yaml").write_text(CERTIFICATES.replace("validDays: 50", f"validDays: 50, keyLabel: '{{registrationId}}-{made}'"))
        assert ceremony.station.muster(*asked).status == 0
        assert ceremony.grant(ceremony.carol).status == ceremony.grant(ceremony.dave).status == 0
        assert produce(custodian, "--approval", ceremony.file).status == 0
        (custodian.home / "out.jsonl").unlink()
        again = produce(custodian, "--approval", ceremony.file)
        assert (again.status, again.cause) == (5, "E6172") and "out.jsonl" in again.error["detail"], again
        assert len(custodian.token.key_ids()) == made and not (custodian.home / "out.jsonl").exists()
        ceremony.file.unlink()


def test_another_journal_gives_no_second_set_on_the_token(ceremony, custodian):
    asked = ["approval", "request", ceremony.file, "--profile", "cert.yaml", "--serials", "serials", "--key", ceremony.alice.key]
    assert ceremony.station.muster(*asked).status == 0
    assert ceremony.grant(ceremony.carol).status == ceremony.grant(ceremony.dave).status == 0
    assert produce(custodian, "--approval", ceremony.file).status == 0
    (custodian.home / "out.jsonl").unlink()
    custodian.journal = custodian.home / "other.db"
    again = produce(custodian, "--approval", ceremony.file)
    assert (again.status, again.cause) == (7, "E4317") and not (custodian.home / "out.jsonl").exists(), again
    assert len(custodian.token.key_ids()) == 2


def test_a_certificate_of_another_issuer_was_not_approved(ceremony, custodian):
    home = custodian.home
    for name in ("line", "other"):
        made = custodian.muster("cert", "self-sign", "--key-type", "ec-p256", "--label", name, "--subject", f"CN={name} CA", "--ca",
                                "--days", "100", "--out", f"{name}.pem")
        assert made.status == 0, made
    issuer = f'issuer: {{key: "{custodian.token.key_uri("line", "private")}", certificate: line.pem}}'
    (home / "cert.yaml").write_text(CERTIFICATES.replace("validDays: 50", f"validDays: 50, {issuer}"))
    done = ceremony.station.muster("approval", "request", ceremony.file, "--profile", "cert.yaml", "--serials", "serials", "--key",
                                   ceremony.alice.key)
    assert done.status == 0 and ceremony.grant(ceremony.carol).status == ceremony.grant(ceremony.dave).status == 0, done
    (home / "line.pem").rename(home / "meant.pem")
    (home / "other.pem").rename(home / "line.pem")
    done = produce(custodian, "--approval", ceremony.file)
    assert (done.status, done.cause) == (5, "E6152") and "another issuer" in done.error["detail"], done
    (home / "meant.pem").rename(home / "line.pem")
    assert produce(custodian, "--approval", ceremony.file).status == 0


def exchange_behind_comparison(journal, path, other, pin, run):
    """The file is exchanged when it was compared, before the token has its PIN."""
    reader, writer = os.pipe()

    def exchange():
        wait_until(journal.exists, 60, "the journal")
        path.write_bytes(other.read_bytes())
        os.write(writer, pin)
        os.close(writer)

    with concurrent.futures.ThreadPoolExecutor() as others:
        exchanged = others.submit(exchange)
        done = run("--pin-fd", str(reader), pass_fds=[reader])
        exchanged.result()
    os.close(reader)
    return done


@pytest.fixture
def exchanged(ceremony, custodian):
    """Certificates of two names for one authority's key, the first of which was approved."""
    home, key = custodian.home, custodian.token.key_uri("line", "private")
    for name, choice in (("line", ["--key-type", "ec-p256", "--label", "line"]), ("other", ["--key", key])):
        made = custodian.muster("cert", "self-sign", *choice, "--subject", f"CN={name} CA", "--ca", "--days", "100", "--out", f"{name}.pem")
        assert made.status == 0, made
    custodian.journal.rename(home / "custody.db")
    issuer = f'issuer: {{key: "{key}", certificate: line.pem}}'
    (home / "cert.yaml").write_text(CERTIFICATES.replace("validDays: 50", f"validDays: 50, {issuer}"))
    return custodian


def issuer_of(certificate, path):
    path.write_bytes(base64.b64decode(certificate))
    return openssl("x509", "-in", path, "-noout", "-issuer").strip()


def test_an_issuer_that_is_exchanged_meanwhile(ceremony, exchanged, tmp_path):
    """The devices' certificates are those of the one that was approved."""
    station, token = ceremony.station, exchanged.token
    station.env["SOFTHSM2_CONF"] = token.module.configuration
    ceremony.profile, ceremony.manifest = exchanged.home / "cert.yaml", manifest(station, ["W-1"])
    ceremony.approved()
    done = exchange_behind_comparison(
        station.journal, exchanged.home / "line.pem", exchanged.home / "other.pem", token.pin_file.read_bytes(),
        lambda *arguments, **options: ceremony.provision("--token", token.uri, *arguments, **options))
    assert done.status == 0, done
    evidence = json.loads((station.out / "w-1.evidence.json").read_text())
    assert issuer_of(evidence["attestation"]["certificate"], tmp_path / "leaf.der") == "issuer=CN = line CA"


def test_an_issuer_of_a_production_that_is_exchanged_meanwhile(ceremony, exchanged, tmp_path):
    asked = ceremony.station.muster("approval", "request", ceremony.file, "--profile", "cert.yaml", "--serials", "serials", "--key",
                                    ceremony.alice.key)
    assert asked.status == 0 and ceremony.grant(ceremony.carol).status == ceremony.grant(ceremony.dave).status == 0, asked
    token = exchanged.token
    done = exchange_behind_comparison(
        exchanged.journal, exchanged.home / "line.pem", exchanged.home / "other.pem", token.pin_file.read_bytes(),
        lambda *arguments, **options: exchanged.look(
            "cert", "produce", "--profile", "cert.yaml", "--serials", "serials", "--out", "out.jsonl", "--token", token.uri, "--journal",
            exchanged.journal, "--approval", ceremony.file, *arguments, env={"MUSTER_CONFIG": exchanged.home / "muster.yaml"}, **options))
    assert done.status == 0, done
    row = json.loads((exchanged.home / "out.jsonl").read_text().splitlines()[0])
    certificate = row["attestation"]["x509"]["clientCertificates"]["primary"]["certificate"]
    assert issuer_of(certificate, tmp_path / "leaf.der") == "issuer=CN = line CA"


# -- Files that the profile names -----------------------------------------------------------------------------------------


def test_other_roots_were_not_approved(ceremony):
    """Nor any other content of a folder that the profile names; no TPM is opened before."""
    station = ceremony.station
    roots = station.home / "roots"
    roots.mkdir()
    (roots / "maker.pem").write_text("as approved")
    ceremony.profile = station.profile("tpm", {"attestation": {"tpm": {"roots": str(roots), "crls": None}}})
    ceremony.manifest = station.home / "tpms.csv"
    ceremony.manifest.write_text("serial,tpm\nSN-1,device:/dev/nowhere\n")
    ceremony.approved()
    (roots / "maker.pem").write_text("changed since")
    assert "another roots" in ceremony.refused(ceremony.provision(), 5, "E6152")
    (roots / "maker.pem").write_text("as approved")
    for name in ("mine.pem", ".hidden.pem"):
        (roots / name).write_text("added since")
        assert "another roots" in ceremony.refused(ceremony.provision(), 5, "E6152")
        (roots / name).unlink()
    assert ceremony.provision().cause != "E6152"


def test_a_folder_is_compared_as_the_manual_says(ceremony):
    """And two folders that differ never read alike, which a line feed in a name could do."""
    keys = ceremony.station.home / "keys-of-devices"
    keys.mkdir()
    for name in ("b.pem", "A.pem", ".c.pem"):
        (keys / name).write_text(name)
    ceremony.profile = wrapped_profile(ceremony.station, deviceKeys=str(keys))
    told = subprocess.run(["sh", "-c", "LC_ALL=C ls -A | xargs -d '\\n' sha256sum | sha256sum"], cwd=keys, check=True, text=True,
                          stdout=subprocess.PIPE).stdout.split()[0]
    asked = ceremony.ask()
    assert {row["subject"]: row["sha256"] for row in asked.json["subjects"]}["deviceKeys"] == told, asked
    ceremony.file.unlink()
    (keys / "a.pem\nb.pem").write_text("")
    done = ceremony.ask()
    assert (done.status, done.cause) == (2, "E6173"), done


def test_other_masters_were_not_approved(ceremony):
    """The same profile, byte for byte, in a folder of the operator's, beside masters of his own."""
    own = ceremony.approved().station.home / "own"
    shutil.copytree(ceremony.station.home / "keys", own / "keys")
    shutil.copy(ceremony.profile, own)
    write_secret(own / "keys/secondary.key", base64.b64encode(os.urandom(32)).decode())
    detail = ceremony.refused(ceremony.provision(profile=own / ceremony.profile.name), 5, "E6152")
    assert "another secondaryMaster" in detail
    shutil.copy(ceremony.station.home / "keys/secondary.key", own / "keys")
    assert ceremony.provision(profile=own / ceremony.profile.name).status == 0


def test_a_master_that_could_be_found_is_not_asked_for(ceremony):
    """What stands for it in the file of approvals would tell when."""
    write_secret(ceremony.station.home / "keys/primary.key", base64.b64encode(b"correct horse battery staple").decode())
    done = ceremony.ask()
    assert (done.status, done.cause) == (5, "E4313") and not ceremony.file.exists(), done


def test_revocation_lists_of_ones_own_were_not_approved(ceremony):
    """They change, so it is their folder that is approved."""
    home, own = ceremony.station.home, ceremony.station.home / "own"
    for folder in (home, own):
        (folder / "roots").mkdir(parents=True)
        (folder / "crls").mkdir()
    ceremony.profile = ceremony.station.profile("tpm", {"attestation": {"tpm": {"roots": "roots", "crls": "crls"}}})
    ceremony.manifest = home / "tpms.csv"
    ceremony.manifest.write_text("serial,tpm\nSN-1,device:/dev/nowhere\n")
    ceremony.approved()
    (home / "crls/new.crl").write_text("of today")
    shutil.copy(ceremony.profile, own)
    assert "another crls" in ceremony.refused(ceremony.provision(profile=own / ceremony.profile.name), 5, "E6152")
    assert ceremony.provision().cause != "E6152"


# -- Keys of devices ----------------------------------------------------------------------------------------------------------


def device_keys(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", folder / f"{name}.key")
        openssl("pkey", "-in", folder / f"{name}.key", "-pubout", "-out", folder / f"{name}.pem")
    return folder


@pytest.fixture
def wrapping(ceremony, tokens, token, tmp_path):
    """A device that gets a key for its own, which lies in a folder that is approved."""
    station, keys = ceremony.station, device_keys(ceremony.station.home / "device-keys", "w-1")
    station.env["SOFTHSM2_CONF"] = tokens.configuration
    ceremony.others = device_keys(tmp_path / "others", "w-1")
    ceremony.token, ceremony.pin = token.uri, token.pin_file.read_bytes()
    ceremony.token_options = ["--token", token.uri, "--pin-file", token.pin_file]
    ceremony.profile = wrapped_profile(station, deviceKeys=str(keys))
    ceremony.manifest = manifest(station, ["W-1"])
    return ceremony


def test_keys_of_devices_in_the_manifest_are_not_asked_for(wrapping):
    """Its digest is of their paths alone."""
    own = wrapping.station.home / "own.csv"
    own.write_text(f"serial,deviceKey\nW-1,{wrapping.others / 'w-1.pem'}\n")
    done = wrapping.ask(path=own)
    assert (done.status, done.cause) == (2, "E6173") and not wrapping.file.exists(), done
    wrapping.approved()
    wrapping.refused(wrapping.provision(*wrapping.token_options, path=own), 2, "E6173")


def test_a_key_of_a_device_that_is_exchanged_meanwhile(wrapping):
    """Behind the comparison, before the token has its PIN."""
    station, key = wrapping.approved().station, wrapping.station.home / "device-keys/w-1.pem"
    meant = key.read_bytes()
    done = exchange_behind_comparison(
        station.journal, key, wrapping.others / "w-1.pem", wrapping.pin,
        lambda *arguments, **options: wrapping.provision("--token", wrapping.token, *arguments, **options))
    assert done.status == 5 and "E6152" in done.stderr, done
    assert not list(station.out.glob("*.wrapped"))
    key.write_bytes(meant)
    assert wrapping.provision(*wrapping.token_options).status == 0
    assert len(list(station.out.glob("*.wrapped"))) == 1
