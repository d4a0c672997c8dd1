"""What genuine TPMs look like when they come from different makers and other tools' hands: each puts it onto an empty chip,
and the doctor's verdict is the one beside it."""
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from lib.ek_authority import EkAuthority, der
from lib.ek_bench import CHAIN_INDEX, ECC_INDEX, RSA_INDEX

HIGH_RSA_INDEX, HIGH_ECC_INDEX = "0x01c00012", "0x01c00014"
TEMPLATE_INDEX, NONCE_INDEX = "0x01c00004", "0x01c00003"
PLATFORM_INDEX = "0x01c08000"


def leaf(desk, **how):
    return der(desk.vendor.issue(desk.bench.public_key(), **how))


def with_leaf(change=lambda content: content, **how):
    def make(desk):
        desk.bench.make_ek().write_nv(RSA_INDEX, change(leaf(desk, **how)))
    return make


def indefinite(content):
    """BER: the outermost length is not said, its end is marked."""
    return b"\x30\x80" + content[4:] + b"\0\0"


def long_length(content):
    return b"\x30\x84\0\0" + content[2:]


def certified_by(desk, *names, **how):
    """The EK's certificate at the end of such a chain of authorities, which are returned, root's first."""
    above, chain = desk.vendor, []
    for name in names:
        issuer = EkAuthority(desk.vendor.directory / name, name)
        chain.append(above.certify(issuer, path_length=None))
        above = issuer
    desk.bench.make_ek().write_nv(RSA_INDEX, der(above.issue(desk.bench.public_key(), **how)))
    return chain


def chain_split_over_indices(desk):
    above = der(certified_by(desk, "issuing")[0])
    desk.bench.write_nv(CHAIN_INDEX, above[:200]).write_nv("0x01c00101", above[200:] + b"\xff" * 20)


def chain_of_two(desk):
    root_first = certified_by(desk, "upper", "lower")
    desk.bench.write_chain(*reversed(root_first))


def chain_padded(desk):
    above = der(certified_by(desk, "issuing")[0])
    desk.bench.write_nv(CHAIN_INDEX, b"\xff" * 6 + above + bytes(30))


def issuer_pinned(desk):
    """Nothing but the leaf on the chip; who issued it lies beside the roots."""
    (desk.vendor.roots / "issuing.der.pem").write_bytes(pem(certified_by(desk, "issuing")[0]))


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def other_root(key):
    def make(desk):
        root = EkAuthority(desk.vendor.directory / "other", "Other Root", key=key())
        (desk.vendor.roots / "other.pem").write_bytes(pem(root.certificate))
        desk.bench.make_ek().write_nv(RSA_INDEX, der(root.issue(desk.bench.public_key())))
    return make


def ecc_beside(desk):
    with_leaf()(desk)
    desk.bench.make_ek("ecc", "0x81010002")
    desk.bench.write_nv(ECC_INDEX, der(desk.vendor.issue(desk.bench.public_key("0x81010002"), usage=("key_agreement",))))


def both_ranges(desk):
    with_leaf()(desk)
    for algorithm, handle, index, usage in (("rsa", "0x81010012", HIGH_RSA_INDEX, "key_encipherment"),
                                            ("ecc", "0x81010014", HIGH_ECC_INDEX, "key_agreement")):
        desk.bench.make_high(algorithm, handle)
        desk.bench.write_nv(index, der(desk.vendor.issue(desk.bench.public_key(handle), usage=(usage,))))


def in_the_high_range(desk):
    desk.bench.make_ek()
    desk.bench.write_nv(HIGH_RSA_INDEX, leaf(desk))


def with_template(desk):
    """The maker's own template, which is the TCG's here."""
    with_leaf()(desk)
    desk.bench.write_nv(TEMPLATE_INDEX, desk.bench.template())


def with_nonce(desk):
    """The maker's nonce takes part in making the key."""
    desk.bench.make_with_nonce(b"\x5a" * 32).write_nv(NONCE_INDEX, b"\x5a" * 32)
    desk.bench.write_nv(RSA_INDEX, leaf(desk))


def with_srk(desk):
    with_leaf()(desk)
    desk.bench.make_srk()


def with_platform_certificate(desk):
    with_leaf()(desk)
    desk.bench.write_nv(PLATFORM_INDEX, der(desk.vendor.certificate))


def not_persisted(desk):
    with_leaf()(desk)
    desk.bench.evict()


def nonce_not_persisted(desk):
    with_nonce(desk)
    desk.bench.evict()


def older_sdk(desk):
    """An empty `unique`, and no certificate that could tell."""
    desk.bench.make_primary()


LAYOUTS = {
    "EK and certificate": ("ok", with_leaf()),
    "padded with 0xFF": ("ok", with_leaf(lambda content: content + b"\xff" * (1600 - len(content)))),
    "padded with zeros": ("ok", with_leaf(lambda content: content + bytes(300))),
    "fill in front": ("ok", with_leaf(lambda content: b"\xff" * 8 + content)),
    "indefinite length": ("ok", with_leaf(indefinite)),
    "indefinite length, padded": ("ok", with_leaf(lambda content: indefinite(content) + b"\xff" * 100)),
    "length longer than need be": ("ok", with_leaf(long_length)),
    "of another maker than the chip says": ("warn", with_leaf(manufacturer="id:49465800")),
    "no key usage": ("warn", with_leaf(usage=None)),
    "key agreement too": ("ok", with_leaf(usage=("key_encipherment", "key_agreement"))),
    "no basic constraints": ("ok", with_leaf(constraints=False)),
    "alternative name not critical": ("ok", with_leaf(names_are_critical=False)),
    "chain split over the extra indices": ("ok", chain_split_over_indices),
    "chain of two, each in its index": ("ok", chain_of_two),
    "chain padded on both sides": ("ok", chain_padded),
    "issuer beside the roots": ("ok", issuer_pinned),
    "root of RSA-2048": ("ok", other_root(lambda: rsa.generate_private_key(65537, 2048))),
    "root of P-384": ("ok", other_root(lambda: ec.generate_private_key(ec.SECP384R1()))),
    "ECC certificate beside the RSA one": ("ok", ecc_beside),
    "low and high range": ("ok", both_ranges),
    "certificate in the high range": ("ok", in_the_high_range),
    "template index": ("ok", with_template),
    "nonce index": ("ok", with_nonce),
    "SRK persisted": ("ok", with_srk),
    "platform certificate beside it": ("ok", with_platform_certificate),
    "certificate, key not persisted": ("warn", not_persisted),
    "nonce index, key not persisted": ("warn", nonce_not_persisted),
    "older SDK's key, no certificate": ("warn", older_sdk),
}
