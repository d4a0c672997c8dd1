"""The commands about enrollments, against a station's service."""
import base64
import hashlib
import json
import pathlib
import ssl
import subprocess


class EnrollmentDesk:
    def __init__(self, station):
        self.station = station
        self.home = station.home

    @property
    def emulator(self):
        return self.station.emulator

    @property
    def service(self):
        return self.station.service

    def restart(self, *arguments):
        """With other faults; the log of requests begins anew."""
        self.emulator.stop()
        self.emulator.ledger_file.unlink(missing_ok=True)
        self.emulator.start(*arguments)
        self.station.renew_login()

    def overwrite(self, registration_id, document):
        """As somebody else does it."""
        status, answer = self.service.request("PUT", f"/enrollments/{registration_id}",
                                              {"registrationId": registration_id, **document}, {"If-Match": "*"})
        assert status == 200, answer

    def bodies(self, operation="put"):
        """What was sent, in order; of an emulator with --ledger-bodies."""
        return [json.loads(row["body"]) for row in self.emulator.requests(operation)]

    def login(self):
        return ["--login-file", self.station.login_file, "--ca-file", self.emulator.ca_file]

    def run(self, verb, *arguments, noun="enrollment", **options):
        return self.station.muster(noun, verb, *arguments, *self.login(), **options)


POLICY_A = bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")


def storage_key(attributes, policy, seed):
    """A TPM2B_PUBLIC that no chip has: its modulus is made up."""
    modulus = b"\xc1" + hashlib.shake_256(str(seed).encode()).digest(254) + b"\x01"
    area = bytes.fromhex(f"0001000b{attributes}") + len(policy).to_bytes(2, "big") + policy
    area += bytes.fromhex("00060080004300100800000000000100") + modulus
    return base64.b64encode(len(area).to_bytes(2, "big") + area).decode()


def endorsement_key(seed=0):
    """After TCG template L-1."""
    return storage_key("000300b2", POLICY_A, seed)


def storage_root_key(seed=0):
    """As Azure's software makes it."""
    return storage_key("00030472", b"", seed)


class Certificates:
    """Certificates and keys as files, by the openssl program."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(exist_ok=True)

    def _run(self, *words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=self.directory)

    def make(self, name, common_name=None, *words):
        """NAME.pem and NAME.key, self-signed; returns the certificate's path."""
        self._run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                  f"/CN={common_name or name}", "-keyout", f"{name}.key", "-out", f"{name}.pem",
                  *(words or ("-days", "30")))
        return self.directory / f"{name}.pem"

    def issue(self, name, issuer):
        """NAME.pem under that authority."""
        self._run("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                  "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self._run("x509", "-req", "-in", f"{name}.csr", "-CA", issuer, "-CAkey", issuer.with_suffix(".key"), "-days", "30",
                  "-set_serial", "7", "-out", f"{name}.pem")
        return self.directory / f"{name}.pem"

    def expired(self, name, common_name=None):
        self.make(f"{name}-key", common_name)
        (self.directory / f"{name}.index").write_text("")
        (self.directory / f"{name}.cnf").write_text(
            f"[ca]\ndefault_ca=d\n[d]\ndatabase={name}.index\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\n"
            "policy=p\nunique_subject=no\n[p]\ncommonName=supplied\n")
        self._run("req", "-new", "-key", f"{name}-key.key", "-subj", f"/CN={common_name or name}", "-out", f"{name}.csr")
        self._run("ca", "-batch", "-config", f"{name}.cnf", "-selfsign", "-keyfile", f"{name}-key.key", "-in", f"{name}.csr",
                  "-out", f"{name}.pem", "-notext", "-startdate", "20200101000000Z", "-enddate", "20210101000000Z")
        return self.directory / f"{name}.pem"

    def file(self, name, content):
        path = self.directory / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    @staticmethod
    def der_of(pem):
        return ssl.PEM_cert_to_DER_cert(pem)

    @classmethod
    def der(cls, path):
        return cls.der_of(pathlib.Path(path).read_text())
