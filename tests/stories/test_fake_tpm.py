"""Every fake is refused for its own reason, and nothing is enrolled; what only looks odd passes as the profile says."""
import math
import random

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from lib.ek_authority import EkAuthority, PAST, der
from lib.ek_bench import ECC_INDEX, RSA_INDEX, EkBench
from lib.lying_tpm import LyingTpm, PROVE, READ_PUBLIC, code_of, with_identity, with_public

SERIAL = "FAKE-1"


@pytest.fixture
def vendor(tmp_path):
    authority = EkAuthority(tmp_path / "vendor").pin()
    authority.list_revoked()
    return authority


@pytest.fixture
def bench(empty_tpm, tmp_path):
    return EkBench(empty_tpm, tmp_path)


@pytest.fixture
def provision(station, vendor):
    """By the strictest profile, with changes."""
    def run(tpm, **changes):
        terms = {"certificate": "required", "roots": str(vendor.roots), "crls": str(vendor.lists), "revocation": "required",
                 **changes}
        return station.provision(station.profile("tpm", {"attestation": {"tpm": terms}}), SERIAL, "--tpm", tpm.tcti)
    return run


@pytest.fixture
def refused(station, provision):
    def check(tpm, cause, status=1, **changes):
        done = provision(tpm, **changes)
        assert (done.status, done.cause) == (status, cause), done
        assert station.emulator.requests("put") == []
        return done
    return check


@pytest.fixture
def lying(short):
    made = []

    def make(tpm):
        made.append(LyingTpm(short, tpm))
        return made[-1]

    yield make
    for proxy in made:
        proxy.stop()


def test_a_genuine_one_passes(provision, bench, vendor):
    bench.make_ek().write_nv(RSA_INDEX, der(vendor.issue(bench.public_key())))
    done = provision(bench.tpm)
    assert (done.status, done.json["verified"]) == (0, True), done


def certificates():
    return {
        "expired": ("E2214", lambda vendor, key: vendor.issue(key, end=PAST)),
        "of an authority": ("E2218", lambda vendor, key: vendor.issue(key, is_ca=True)),
        "that may sign certificates": ("E2218", lambda vendor, key: vendor.issue(key, usage=("key_cert_sign",))),
        "without purpose": ("E2219", lambda vendor, key: vendor.issue(key, purpose=None)),
        "for signing": ("E2220", lambda vendor, key: vendor.issue(key, usage=("digital_signature",))),
        "without a maker": ("E2221", lambda vendor, key: vendor.issue(key, has_names=False)),
        "of an unknown vendor": ("E2213", lambda vendor, key: EkAuthority(vendor.directory / "x", "Other").issue(key)),
        "forged in the vendor's name": ("E2224", lambda vendor, key: EkAuthority(vendor.directory / "y").issue(key)),
        "for another key": ("E2203", lambda vendor, key: vendor.issue(rsa.generate_private_key(65537, 2048).public_key())),
    }


@pytest.mark.parametrize("kind", certificates())
def test_a_certificate_that_is_wrong(refused, bench, vendor, kind):
    cause, issue = certificates()[kind]
    bench.make_ek().write_nv(RSA_INDEX, der(issue(vendor, bench.public_key())))
    refused(bench.tpm, cause)


@pytest.mark.parametrize("content,cause", [(b"\xff" * 1600, "E2202"), (b"\x30\x82\x04\x00" + b"x" * 60, "E2204"),
                                           (b"hello, world", "E2204")])
def test_nv_without_a_certificate(refused, bench, content, cause):
    bench.make_ek().write_nv(RSA_INDEX, content)
    refused(bench.tpm, cause)


def test_no_certificate(refused, bench):
    bench.make_ek()
    refused(bench.tpm, "E2202")


def test_no_certificate_makes_no_key_either(refused, bench):
    refused(bench.tpm, "E2202")
    assert bench.tpm.capability("handles-persistent") == []


def test_revoked(refused, bench, vendor):
    certificate = vendor.issue(bench.make_ek().public_key())
    bench.write_nv(RSA_INDEX, der(certificate))
    vendor.list_revoked(certificate)
    refused(bench.tpm, "E2215")


def test_revocation_that_is_off_is_not_looked_at(provision, bench, vendor):
    certificate = vendor.issue(bench.make_ek().public_key())
    bench.write_nv(RSA_INDEX, der(certificate))
    vendor.list_revoked(certificate)
    assert provision(bench.tpm, revocation="off").status == 0


def test_a_required_list_that_is_missing(refused, provision, bench, vendor):
    bench.make_ek().write_nv(RSA_INDEX, der(vendor.issue(bench.public_key())))
    (vendor.lists / "vendor.crl").unlink()
    refused(bench.tpm, "E2216")
    assert provision(bench.tpm, revocation="ifPresent").status == 0


def test_a_list_that_is_out_of_date_is_the_profiles_choice(refused, provision, bench, vendor):
    bench.make_ek().write_nv(RSA_INDEX, der(vendor.issue(bench.public_key())))
    vendor.list_revoked(next_update=PAST)
    refused(bench.tpm, "E2217")
    assert provision(bench.tpm, expired="allow").status == 0


def test_a_certificate_that_is_out_of_date_is_the_profiles_choice(provision, bench, vendor):
    bench.make_ek().write_nv(RSA_INDEX, der(vendor.issue(bench.public_key(), end=PAST)))
    assert provision(bench.tpm, expired="allow").status == 0


def test_a_small_key(refused, bench):
    bench.make_primary("rsa1024:aes128cfb")
    refused(bench.tpm, "E2222")


def test_a_key_of_another_template(refused, bench):
    bench.make_primary(policy=False, attributes="fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|decrypt")
    refused(bench.tpm, "E2201")


def test_an_elliptic_curve_key_where_dps_looks(refused, bench):
    bench.make_ek("ecc")
    assert "elliptic-curve" in refused(bench.tpm, "E2201").stderr


def test_elliptic_curves_alone(refused, bench, vendor):
    bench.make_ek("ecc", "0x81010002")
    bench.write_nv(ECC_INDEX, der(vendor.issue(bench.public_key("0x81010002"), usage=("key_agreement",))))
    refused(bench.tpm, "E2211")


def test_a_protected_endorsement_hierarchy(refused, bench, vendor):
    bench.make_ek().write_nv(RSA_INDEX, der(vendor.issue(bench.public_key())))
    bench.tool("tpm2_changeauth", "-c", "e", "owned")
    refused(bench.tpm, "E2107", status=5)


def roca_modulus():
    """A power of 65537 modulo the product of the first primes, as the broken generator's are."""
    product = math.prod(n for n in range(2, 702) if all(n % d for d in range(2, n)))
    while True:
        number = (random.getrandbits(2047) | 1 << 2047) // product * product + pow(65537, random.getrandbits(64), product)
        if number.bit_length() == 2048 and number % 2:
            return number.to_bytes(256, "big")


def test_a_roca_key(refused, bench, vendor, lying):
    modulus = roca_modulus()
    bench.make_ek().write_nv(RSA_INDEX, der(vendor.issue(rsa.RSAPublicNumbers(65537, int.from_bytes(modulus, "big")).public_key())))
    proxy = lying(bench.tpm)
    proxy.change = lambda command, response: (with_public(response, modulus) if code_of(command) == READ_PUBLIC else response)
    refused(proxy, "E2223")


@pytest.fixture
def victim(make_tpm, tmp_path, vendor):
    """Another chip, genuine."""
    (tmp_path / "victim").mkdir()
    bench = EkBench(make_tpm("v", with_certificate=False), tmp_path / "victim").make_ek()
    return bench.write_nv(RSA_INDEX, der(vendor.issue(bench.public_key())))


def test_a_cloned_certificate_on_an_honest_chip(refused, bench, vendor, victim):
    bench.make_ek().write_nv(RSA_INDEX, der(vendor.issue(victim.public_key())))
    refused(bench.tpm, "E2203")


def test_a_cloned_certificate_on_a_chip_that_shows_the_key_that_it_is_for(refused, bench, vendor, victim, lying):
    bench.make_ek().write_nv(RSA_INDEX, der(vendor.issue(victim.public_key())))
    public = victim.public()
    proxy = lying(bench.tpm)
    proxy.change = lambda command, response: (with_identity(response, public) if code_of(command) == READ_PUBLIC else response)
    refused(proxy, "E2206")


def test_a_cloned_chip_under_another_serial(station, provision, bench, vendor):
    bench.make_ek().write_nv(RSA_INDEX, der(vendor.issue(bench.public_key())))
    assert provision(bench.tpm).status == 0
    puts = len(station.emulator.requests("put"))
    profile = station.profile("tpm", name="other")
    done = station.provision(profile, "FAKE-2", "--tpm", bench.tpm.tcti)
    assert (done.status, done.cause) == (7, "E3103"), done
    assert len(station.emulator.requests("put")) == puts


SWAPS = {
    "before the proof": lambda seen, command: seen["proofs"] == 0 and seen["reads"] >= 1 and code_of(command) == 0x176,
    "after the proof": lambda seen, command: seen["proofs"] == 1 and code_of(command) != PROVE,
    "before the enrollment is sent": lambda seen, command: seen["proofs"] == 1 and seen["reads_after"] >= 1
    and code_of(command) != READ_PUBLIC,
}


@pytest.mark.parametrize("moment", SWAPS)
def test_a_chip_swapped_for_a_genuine_one(refused, bench, vendor, victim, lying, moment):
    bench.make_ek().write_nv(RSA_INDEX, der(vendor.issue(bench.public_key())))
    proxy = lying(bench.tpm)
    seen = {"proofs": 0, "reads": 0, "reads_after": 0}

    def before(command):
        if proxy.speaks_for is bench.tpm and SWAPS[moment](seen, command):
            proxy.speaks_for = victim.tpm
        seen["proofs"] += code_of(command) == PROVE
        seen["reads"] += code_of(command) == READ_PUBLIC
        seen["reads_after"] += seen["proofs"] > 0 and code_of(command) == READ_PUBLIC

    proxy.before = before
    refused(proxy, "E2205")
    assert proxy.speaks_for is victim.tpm


def test_a_reset_in_between(refused, bench, vendor, lying):
    bench.make_ek().write_nv(RSA_INDEX, der(vendor.issue(bench.public_key())))
    proxy = lying(bench.tpm)
    done = []

    def before(command):
        if code_of(command) == PROVE and not done:
            done.append(True)
            bench.tpm.stop()
            bench.tpm.start()

    proxy.before = before
    refused(proxy, "E2205")
