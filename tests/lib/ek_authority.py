"""A vendor of TPMs: a root, EK certificates as the TCG wants them or wrong in one way each, and revocation lists."""
import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

EK_PURPOSE = x509.ObjectIdentifier("2.23.133.8.1")
START = datetime.datetime(2020, 1, 1)
END = datetime.datetime(9999, 12, 31, 23, 59, 59)
PAST = datetime.datetime(2021, 1, 1)
FUTURE = datetime.datetime(9000, 1, 1)


def tpm_name(manufacturer):
    attributes = [("2.23.133.2.1", manufacturer), ("2.23.133.2.2", "bench"), ("2.23.133.2.3", "id:0101")]
    return x509.DirectoryName(x509.Name([x509.NameAttribute(x509.ObjectIdentifier(oid), value)
                                         for oid, value in attributes]))


def key_usage(*names):
    every = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: name in names for name in every})


class EkAuthority:
    def __init__(self, directory, name="Vendor EK Root", key=None):
        self.directory = directory
        self.roots = directory / "roots"
        self.lists = directory / "crls"
        for folder in (self.roots, self.lists):
            folder.mkdir(parents=True, exist_ok=True)
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(
            x509.CertificateBuilder().subject_name(self.name).public_key(self.key.public_key())
            .not_valid_before(START).not_valid_after(END)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(key_usage("key_cert_sign", "crl_sign"), critical=True))

    def pin(self):
        """Into the folder of roots."""
        (self.roots / "vendor.pem").write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return self

    def _sign(self, builder):
        return builder.issuer_name(self.name).serial_number(x509.random_serial_number()).sign(self.key, hashes.SHA256())

    def issue(self, public_key, manufacturer="id:00001014", purpose=EK_PURPOSE, is_ca=False, usage=("key_encipherment",),
              start=START, end=END, has_names=True, constraints=None, subject=None, names_are_critical=True):
        builder = (x509.CertificateBuilder().subject_name(subject or x509.Name([])).public_key(public_key)
                   .not_valid_before(start).not_valid_after(end))
        if constraints is not False:
            builder = builder.add_extension(constraints or x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        if usage:
            builder = builder.add_extension(key_usage(*usage), critical=True)
        if purpose:
            builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if has_names:
            builder = builder.add_extension(x509.SubjectAlternativeName([tpm_name(manufacturer)]),
                                            critical=names_are_critical)
        return self._sign(builder)

    def certify(self, other, path_length=0):
        """A certificate of that authority under this one."""
        return self._sign(
            x509.CertificateBuilder().subject_name(other.name).public_key(other.key.public_key())
            .not_valid_before(START).not_valid_after(END)
            .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
            .add_extension(key_usage("key_cert_sign", "crl_sign"), critical=True))

    def list_revoked(self, *certificates, next_update=END, folder=None, name="vendor"):
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name).last_update(START).next_update(next_update)
        for certificate in certificates:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(START).build())
        done = builder.sign(self.key, hashes.SHA256())
        ((folder or self.lists) / f"{name}.crl").write_bytes(done.public_bytes(serialization.Encoding.DER))


def der(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)
