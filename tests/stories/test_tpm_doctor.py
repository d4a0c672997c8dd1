"""Which key a TPM will present, whether to trust it, and what to do if not."""
import hashlib
import json
import sqlite3
import subprocess

import pytest
from cryptography.hazmat.primitives import hashes, serialization

from lib.ek_authority import EkAuthority, der
from lib.ek_bench import ECC_INDEX, RSA_INDEX, EkBench
from lib.paths import SCRIPTS


@pytest.fixture
def vendor(tmp_path):
    return EkAuthority(tmp_path / "vendor").pin()


@pytest.fixture
def bench(empty_tpm, tmp_path):
    return EkBench(empty_tpm, tmp_path)


def doctor(station, tpm, *arguments):
    return station.muster("tpm", "doctor", "--tpm", tpm.tcti, "-o", "json", *arguments)


def findings(done, check):
    return [(row["verdict"], row.get("code")) for row in done.json["checks"] if row["check"] == check]


def test_a_delivered_tpm_is_trusted_in_one_line(station, tpm, tpm_ca, tmp_path):
    roots = tmp_path / "roots"
    roots.mkdir()
    (roots / "maker.pem").write_bytes((tpm_ca / "swtpm-localca-rootca-cert.pem").read_bytes()
                                      + (tpm_ca / "issuercert.pem").read_bytes())
    before = tpm.capability("handles-persistent"), tpm.loaded()
    done = doctor(station, tpm, "--roots", roots)
    assert done.status == 0, done
    assert done.json["verdict"] == "ok"
    assert [row["verdict"] for row in done.json["checks"] if row["check"] in ("chain", "possession", "same chip")] == ["ok"] * 3
    table = station.muster("tpm", "doctor", "--tpm", tpm.tcti, "--roots", roots).stdout.splitlines()
    assert len(table) == 2 and table[1].split()[1] == "ok"
    assert (tpm.capability("handles-persistent"), tpm.loaded()) == before


def test_without_roots_it_says_that_anybody_could_have_issued_it(station, tpm):
    done = doctor(station, tpm)
    assert (done.status, done.json["verdict"], done.json["code"]) == (0, "warn", "E2228"), done


def test_the_certified_key_that_is_not_persisted_is_named_and_can_be_put_there(station, bench, vendor):
    bench.make_ek()
    certificate = der(vendor.issue(bench.public_key()))
    certified = bench.public()
    bench.tool("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "0x81010001")
    bench.make_primary().write_nv(RSA_INDEX, certificate)
    old = bench.public()
    assert old != certified
    old_digest = hashlib.sha256(old).hexdigest()

    done = doctor(station, bench.tpm, "--roots", vendor.roots)
    assert (done.status, done.cause) == (1, "E2210"), done
    assert "--persist tcg" in done.json["remedy"]
    assert done.json["ekSha256"] == old_digest

    for wrong in ([], ["--replaces", "00" * 32]):
        done = doctor(station, bench.tpm, "--persist", "tcg", "--journal", station.journal, *wrong)
        assert (done.status, done.cause) == (5, "E2226"), done
        assert bench.public() == old
    done = doctor(station, bench.tpm, "--roots", vendor.roots, "--persist", "tcg", "--replaces", old_digest,
                  "--journal", station.journal)
    assert (done.status, done.json["verdict"]) == (0, "ok"), done
    assert bench.public() == certified
    with sqlite3.connect(station.journal) as database:
        rows = database.execute("SELECT kind, body FROM entry WHERE stage = 'persist' ORDER BY seq").fetchall()
    assert [kind for kind, _ in rows] == ["intent", "outcome"]
    assert "oldEk" in json.loads(rows[0][1]) and "ek" in json.loads(rows[1][1])


def test_an_empty_tpm_shows_which_keys_the_sdks_would_make(station, bench, vendor):
    done = doctor(station, bench.tpm)
    assert (done.status, done.json["verdict"], done.json["code"]) == (0, "warn", "E2227"), done
    seen = done.json["checks"][0]["seen"]
    assert "the C and Node SDKs would make" in seen
    bench.make_ek()
    assert hashlib.sha256(bench.public()).hexdigest()[:16] in seen


def test_deep_names_the_template_of_the_persisted_key(station, bench):
    bench.make_ek()
    done = doctor(station, bench.tpm, "--deep")
    templates = [row["seen"] for row in done.json["checks"] if row["check"] == "template"]
    assert len(templates) == 7
    assert [seen.endswith("the key that is presented") for seen in templates] == [True] + [False] * 6
    assert bench.tpm.capability("handles-persistent") == ["0x81010001"] and bench.tpm.loaded() == []


def test_templates_of_the_high_range_are_the_makers(station, tpm):
    """swtpm_setup persists the ECC P-384 key of template H-3."""
    done = doctor(station, tpm, "--deep")
    key = next(row for row in station.muster("tpm", "show", "--tpm", tpm.tcti, "-o", "json").json["endorsementKeys"]
               if row["handle"] == "0x81010016")
    assert any("H-3" in row["seen"] and key["sha256"] in row["seen"] for row in done.json["checks"])


def test_a_certificate_from_a_file_holds_over_the_chip(station, bench, vendor, tmp_path):
    bench.make_ek()
    path = tmp_path / "ek.der"
    path.write_bytes(der(vendor.issue(bench.public_key())))
    done = doctor(station, bench.tpm, "--roots", vendor.roots, "--ek-certificate", path)
    assert (done.status, done.json["verdict"]) == (0, "ok"), done


def test_a_device_with_ecc_alone_is_refused_with_the_reason(station, bench, vendor):
    bench.make_ek("ecc", "0x81010002").write_nv(ECC_INDEX, der(
        vendor.issue(bench.public_key("0x81010002"), usage=("key_agreement",))))
    profile = station.profile("tpm", {"attestation": {"tpm": {"certificate": "required"}}})
    done = doctor(station, bench.tpm, "--profile", profile)
    assert (done.status, done.cause) == (1, "E2211"), done
    assert "elliptic-curve" in done.json["seen"]


def test_the_journal_knows_the_key_under_another_serial(station, tpm):
    assert station.provision(station.profile("tpm"), "A-1", "--tpm", tpm.tcti).status == 0
    known = doctor(station, tpm, "--journal", station.journal)
    assert findings(known, "journal") == [("note", None)], known
    done = doctor(station, tpm, "--journal", station.journal, "--serial", "A-2")
    assert (done.status, done.cause) == (7, "E3103"), done
    assert "'A-1'" in done.stderr and "'A-2'" in done.stderr
    assert doctor(station, tpm, "--journal", station.journal, "--serial", "A-1").status == 0


@pytest.mark.parametrize("content", ["empty folder", "no PEM", "damaged", "missing"])
def test_roots_that_are_none_are_found_before_the_chip_is_touched(station, vendor, tmp_path, content):
    roots = tmp_path / "odd"
    if content != "missing":
        roots.mkdir()
    if content == "no PEM":
        (roots / "a.pem").write_text("hello\n")
    if content == "damaged":
        pem = (vendor.roots / "vendor.pem").read_text()
        (roots / "a.pem").write_text(pem + pem[:200])
    done = station.muster("tpm", "doctor", "--tpm", "swtpm:path=/nonexistent", "--roots", roots)
    assert (done.status, done.cause) == (2, "E2212"), done


def test_a_folder_of_roots_is_built_from_what_is_brought(station, bench, vendor, tmp_path):
    brought, roots = tmp_path / "brought" / "Vendor" / "RootCA", tmp_path / "built"
    brought.mkdir(parents=True)
    (brought / "root.cer").write_bytes(der(vendor.certificate))
    (brought / "device.crt").write_bytes(der(vendor.issue(bench.make_ek().public_key())))
    (brought / "readme.pem").write_text("nothing\n")
    done = subprocess.run([SCRIPTS / "vendor-roots", roots, tmp_path / "brought"], check=True, text=True, stdout=subprocess.PIPE)
    assert [path.name for path in roots.iterdir()] == [vendor.certificate.fingerprint(hashes.SHA256()).hex().upper() + ".pem"]
    assert done.stdout.count("passed over") == 2
    bench.write_nv(RSA_INDEX, der(vendor.issue(bench.public_key())))
    assert doctor(station, bench.tpm, "--roots", roots).json["verdict"] == "ok"


def test_every_certificate_of_a_bundle_is_taken(vendor, tmp_path):
    other = EkAuthority(tmp_path / "other").pin()
    bundle, roots = tmp_path / "bundle.pem", tmp_path / "built"
    bundle.write_bytes(b"# two\n" + b"".join(one.certificate.public_bytes(serialization.Encoding.PEM) for one in (vendor, other)))
    done = subprocess.run([SCRIPTS / "vendor-roots", roots, bundle], check=True, text=True, stdout=subprocess.PIPE)
    assert len(list(roots.iterdir())) == 2 and "2 certificates" in done.stdout, done


def test_an_archive_that_cannot_be_unpacked_fails(tmp_path):
    broken = tmp_path / "roots.zip"
    broken.write_bytes(b"PK\x03\x04 and no more")
    done = subprocess.run([SCRIPTS / "vendor-roots", tmp_path / "built", broken], check=False, text=True, capture_output=True)
    assert done.returncode == 1 and "could not be unpacked" in done.stderr, done
