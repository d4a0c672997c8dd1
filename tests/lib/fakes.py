"""Every way in which a TPM is not the genuine one that it should be: what it is called, the cause that refuses it, and how
it is made."""
import math
import random

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from lib.ek_authority import EkAuthority, FUTURE, PAST, der
from lib.ek_bench import ECC_INDEX, RSA_INDEX
from lib.lying_tpm import PROVE, READ_PUBLIC, START_SESSION, code_of, flipped, with_identity, with_public

NO_POLICY = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|decrypt"
BASIC_CONSTRAINTS = x509.ObjectIdentifier("2.5.29.19")


def some_key():
    return rsa.generate_private_key(65537, 2048).public_key()


def roca_modulus():
    """A power of 65537 modulo the product of the first primes, as the broken generator's are."""
    product = math.prod(n for n in range(2, 702) if all(n % d for d in range(2, n)))
    while True:
        number = (random.getrandbits(2047) | 1 << 2047) // product * product + pow(65537, random.getrandbits(64), product)
        if number.bit_length() == 2048 and number % 2:
            return number.to_bytes(256, "big")


# -- Certificates: `desk` has the bench, the vendor, another genuine chip, and proxies that lie ---------------------------

def certified(issue):
    """A genuine chip with a certificate that is wrong: issue(vendor, key)."""
    def make(desk):
        desk.bench.make_ek().write_nv(RSA_INDEX, der(issue(desk.vendor, desk.bench.public_key())))
    return make


def holding(content):
    return lambda desk: desk.bench.make_ek().write_nv(RSA_INDEX, content)


def cut(desk):
    desk.bench.make_ek()
    desk.bench.write_nv(RSA_INDEX, der(desk.vendor.issue(desk.bench.public_key()))[:-9])


def below_one_that_may_not(desk):
    """The vendor's issuing authority has made one below it, which its path length forbids."""
    issuing, below = (EkAuthority(desk.vendor.directory / name, name) for name in ("issuing", "below"))
    desk.bench.make_ek().write_nv(RSA_INDEX, der(below.issue(desk.bench.public_key())))
    desk.bench.write_chain(desk.vendor.certify(issuing), issuing.certify(below))
    issuing.list_revoked(folder=desk.vendor.lists, name="issuing")
    below.list_revoked(folder=desk.vendor.lists, name="below")


def revoked(desk):
    certificate = desk.vendor.issue(desk.bench.make_ek().public_key())
    desk.bench.write_nv(RSA_INDEX, der(certificate))
    desk.vendor.list_revoked(certificate)


def of_an_issuer_that_is_revoked(desk):
    issuing = EkAuthority(desk.vendor.directory / "issuing", "issuing")
    above = desk.vendor.certify(issuing)
    desk.bench.make_ek().write_nv(RSA_INDEX, der(issuing.issue(desk.bench.public_key()))).write_chain(above)
    desk.vendor.list_revoked(above)
    issuing.list_revoked(folder=desk.vendor.lists, name="issuing")


def without_its_list(desk):
    certified(lambda vendor, key: vendor.issue(key))(desk)
    (desk.vendor.lists / "vendor.crl").unlink()


def with_a_list_out_of_date(desk):
    certified(lambda vendor, key: vendor.issue(key))(desk)
    desk.vendor.list_revoked(next_update=PAST)


# -- Keys -----------------------------------------------------------------------------------------------------------------

def elliptic_alone(desk):
    desk.bench.make_ek("ecc", "0x81010002")
    desk.bench.write_nv(ECC_INDEX, der(desk.vendor.issue(desk.bench.public_key("0x81010002"), usage=("key_agreement",))))


def other_persisted(desk):
    """The key of older device software, and the certificate of the TCG's."""
    desk.bench.make_ek()
    certificate = der(desk.vendor.issue(desk.bench.public_key()))
    desk.bench.evict().make_primary().write_nv(RSA_INDEX, certificate)


def high_range_certified(desk):
    desk.bench.make_high("rsa", "0x81010002")
    certificate = der(desk.vendor.issue(desk.bench.public_key("0x81010002")))
    desk.bench.evict("0x81010002").make_ek().write_nv(RSA_INDEX, certificate)


def protected(desk):
    certified(lambda vendor, key: vendor.issue(key))(desk)
    desk.bench.tool("tpm2_changeauth", "-c", "e", "owned")


def showing(desk, key):
    """The chip says that this is its endorsement key."""
    modulus = key.public_numbers().n.to_bytes(256, "big")
    return desk.lying(lambda command, response: (with_public(response, modulus) if code_of(command) == READ_PUBLIC
                                                 else response))


def roca(desk):
    key = rsa.RSAPublicNumbers(65537, int.from_bytes(roca_modulus(), "big")).public_key()
    desk.bench.make_ek().write_nv(RSA_INDEX, der(desk.vendor.issue(key)))
    return showing(desk, key)


def self_signed(desk):
    """A key of software, which can sign its own certificate."""
    key = rsa.generate_private_key(65537, 2048)
    maker = EkAuthority(desk.vendor.directory / "self", "EK", key=key)
    desk.bench.make_ek().write_nv(RSA_INDEX, der(maker.issue(key.public_key(), subject=maker.name)))
    return showing(desk, key.public_key())


# -- Clones ---------------------------------------------------------------------------------------------------------------

def cloned_certificate(desk):
    desk.bench.make_ek().write_nv(RSA_INDEX, der(desk.vendor.issue(desk.victim.public_key())))


def cloned_certificate_of_a_known_device(desk):
    desk.provision(desk.victim.tpm, "VICTIM")
    cloned_certificate(desk)


def showing_the_key_of_another(desk):
    cloned_certificate(desk)
    public = desk.victim.public()
    return desk.lying(lambda command, response: (with_identity(response, public) if code_of(command) == READ_PUBLIC
                                                 else response))


def cloned_chip(desk):
    certified(lambda vendor, key: vendor.issue(key))(desk)
    desk.provision(desk.bench.tpm, "FIRST")


def another_chip_under_the_serial(desk):
    desk.provision(desk.victim.tpm)
    certified(lambda vendor, key: vendor.issue(key))(desk)


# -- On the way, and in between -------------------------------------------------------------------------------------------

def answers_changed(desk):
    certified(lambda vendor, key: vendor.issue(key))(desk)
    return desk.lying(lambda command, response: flipped(response, 8 * 20) if code_of(command) == PROVE else response)


SWAPS = {
    "before the proof": lambda seen, command: seen["proofs"] == 0 and seen["reads"] >= 1 and code_of(command) == START_SESSION,
    "after the proof": lambda seen, command: seen["proofs"] == 1 and code_of(command) != PROVE,
    "before the enrollment is sent": lambda seen, command: seen["proofs"] == 1 and seen["reads_after"] >= 1
    and code_of(command) != READ_PUBLIC,
}


def swapped(moment):
    """For another genuine chip."""
    def make(desk):
        certified(lambda vendor, key: vendor.issue(key))(desk)
        victim = desk.victim
        proxy = desk.lying()
        seen = {"proofs": 0, "reads": 0, "reads_after": 0}

        def before(command):
            if proxy.speaks_for is desk.bench.tpm and SWAPS[moment](seen, command):
                proxy.speaks_for = victim.tpm
            seen["proofs"] += code_of(command) == PROVE
            seen["reads"] += code_of(command) == READ_PUBLIC
            seen["reads_after"] += seen["proofs"] > 0 and code_of(command) == READ_PUBLIC

        proxy.before = before
        desk.afterwards = lambda: proxy.speaks_for is victim.tpm and victim.tpm.loaded() == []
        return proxy
    return make


def reset(desk):
    certified(lambda vendor, key: vendor.issue(key))(desk)
    proxy = desk.lying()
    done = []

    def before(command):
        if code_of(command) == PROVE and not done:
            done.append(True)
            desk.bench.tpm.stop()
            desk.bench.tpm.start()

    proxy.before = before
    return proxy


FAKES = {
    "certificate expired": ("E2214", certified(lambda vendor, key: vendor.issue(key, end=PAST))),
    "certificate not valid yet": ("E2238", certified(lambda vendor, key: vendor.issue(key, start=FUTURE))),
    "certificate of an authority": ("E2218", certified(lambda vendor, key: vendor.issue(key, is_ca=True))),
    "certificate that may sign others": ("E2236", certified(lambda vendor, key: vendor.issue(key, usage=("key_cert_sign",)))),
    "certificate without the EK's purpose": ("E2219", certified(lambda vendor, key: vendor.issue(key, purpose=None))),
    "certificate for signing": ("E2220", certified(lambda vendor, key: vendor.issue(key, usage=("digital_signature",)))),
    "certificate without a maker": ("E2221", certified(lambda vendor, key: vendor.issue(key, has_names=False))),
    "certificate with a broken extension": ("E2234", certified(
        lambda vendor, key: vendor.issue(key, constraints=x509.UnrecognizedExtension(BASIC_CONSTRAINTS, b"\x05\x00")))),
    "certificate of an unknown vendor": ("E2213", certified(
        lambda vendor, key: EkAuthority(vendor.directory / "x", "Other").issue(key))),
    "certificate signed by itself": ("E2240", self_signed),
    "certificate forged in the vendor's name": ("E2237", certified(
        lambda vendor, key: EkAuthority(vendor.directory / "y").issue(key))),
    "certificate below one that may not issue": ("E2224", below_one_that_may_not),
    "certificate for another key": ("E2203", certified(lambda vendor, key: vendor.issue(some_key()))),
    "certificate revoked": ("E2215", revoked),
    "certificate of an issuer that is revoked": ("E2239", of_an_issuer_that_is_revoked),
    "revocation list missing": ("E2216", without_its_list),
    "revocation list out of date": ("E2217", with_a_list_out_of_date),
    "no certificate": ("E2202", lambda desk: desk.bench.make_ek()),
    "no certificate and no key": ("E2202", lambda desk: None),
    "index of fill": ("E2232", holding(b"\xff" * 1600)),
    "certificate cut short": ("E2233", cut),
    "something else than a certificate": ("E2204", holding(b"hello, world")),
    "RSA-1024": ("E2222", lambda desk: desk.bench.make_primary("rsa1024:aes128cfb")),
    "ROCA key": ("E2223", roca),
    "key of another template": ("E2230", lambda desk: desk.bench.make_primary(policy=False, attributes=NO_POLICY)),
    "RSA-3072": ("E2201", lambda desk: desk.bench.make_primary("rsa3072:aes128cfb")),
    "elliptic-curve key where DPS looks": ("E2229", lambda desk: desk.bench.make_ek("ecc")),
    "elliptic curves alone": ("E2211", elliptic_alone),
    "another key persisted than the certified one": ("E2210", other_persisted),
    "certificate for the key of another template": ("E2231", high_range_certified),
    "endorsement hierarchy with a password": ("E2107", protected),
    "cloned certificate on an honest chip": ("E2203", cloned_certificate),
    "cloned certificate of a known device": ("E3106", cloned_certificate_of_a_known_device),
    "cloned certificate on a chip that shows its key": ("E2206", showing_the_key_of_another),
    "chip known under another serial": ("E3103", cloned_chip),
    "another chip under a known serial": ("E3102", another_chip_under_the_serial),
    "answer changed on its way": ("E2126", answers_changed),
    "swapped before the proof": ("E2205", swapped("before the proof")),
    "swapped after the proof": ("E2205", swapped("after the proof")),
    "swapped before the enrollment is sent": ("E2205", swapped("before the enrollment is sent")),
    "reset in between": ("E2235", reset),
}

# What an engineer does about them is the same, or the station cannot tell them apart.
ALIKE = [
    {"certificate for another key", "cloned certificate on an honest chip"},
    {"no certificate", "no certificate and no key"},
    {"swapped before the proof", "swapped after the proof", "swapped before the enrollment is sent"},
]

STATUS = {"E2107": 5, "E3102": 7, "E3103": 7, "E3106": 7, "E2126": 4}
