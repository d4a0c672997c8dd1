"""A TPM that holds no certificate, and a vendor who hands it out over HTTPS: asked only where the profile allows it."""
import base64
import hashlib
import json
import pathlib

import pytest

from lib.ek_authority import EkAuthority, der
from lib.ek_bench import RSA_INDEX, EkBench
from lib.proxy import Proxy
from lib.tls_server import ScriptedService, WrongServer


def name_of(public_key, form):
    modulus = public_key.public_numbers().n.to_bytes(256, "big")
    if form == "amd":
        return hashlib.sha256(bytes.fromhex("0000222200010001") + modulus).hexdigest()[:32]
    return base64.urlsafe_b64encode(hashlib.sha256(modulus + b"\1\0\1").digest()).decode().replace("=", "%3D")


def intel_answer(content):
    return json.dumps({"pubhash": "x", "certificate": base64.urlsafe_b64encode(content).decode().replace("=", "%3D")})


class Desk:
    def __init__(self, station, tpm, directory):
        self.station = station
        self.directory = directory
        self.bench = EkBench(tpm, directory).make_ek()
        self.vendor = EkAuthority(directory / "vendor").pin()
        self.answers = {}
        self.service = None
        self.cache = directory / "cache"

    def serve(self, content, form="intel"):
        """By the service of the chip's maker, which is IBM by what swtpm says of itself."""
        self.service = ScriptedService(self.directory / "service", self.answers)
        self.path = f"/ek/{name_of(self.bench.public_key(), form)}"
        self.answers["GET", self.path] = content
        self.trust(self.service, form)

    def trust(self, service, form="intel", url="https://localhost:{port}/ek/", more=""):
        self.ca_file = self.directory / "roots.pem"
        self.ca_file.write_bytes(service.ca_file.read_bytes() + pathlib.Path(self.station.emulator.ca_file).read_bytes())
        config = self.station.home / "muster.yaml"
        config.write_text(f"caFile: {self.ca_file}\nekCertificateCache: {self.cache}\nekCertificateServices:\n"
                          f"  IBM: {{url: '{url.format(port=service.port)}', form: {form}}}\n{more}")
        self.station.env["MUSTER_CONFIG"] = config

    def profile(self, **terms):
        terms = {"certificate": "required", "roots": str(self.vendor.roots), "fetch": True, **terms}
        return self.station.profile("tpm", {"attestation": {"tpm": terms}})

    def provision(self, **terms):
        return self.station.muster("provision", "--profile", self.profile(**terms), "--serial", "F-1", "--tpm",
                                   self.bench.tpm.tcti, "--login-file", self.station.login_file, "--ca-file", self.ca_file,
                                   *self.station.places(), "-o", "json")

    def doctor(self, **terms):
        return self.station.muster("tpm", "doctor", "--tpm", self.bench.tpm.tcti, "--profile", self.profile(**terms), "-o", "json")

    def certificate(self):
        return der(self.vendor.issue(self.bench.public_key()))

    def asked(self):
        return [request[:2] for request in self.service.requests]


@pytest.fixture
def desk(station, empty_tpm, tmp_path):
    made = Desk(station, empty_tpm, tmp_path)
    yield made
    if made.service:
        made.service.stop()


@pytest.mark.parametrize("form", ["intel", "amd"])
def test_it_is_fetched_once_and_kept(desk, form):
    desk.serve(intel_answer(desk.certificate()), form)
    done = desk.doctor()
    assert (done.status, done.json["verdict"]) == (0, "ok"), done
    assert desk.asked() == [("GET", desk.path)]
    for done in (desk.doctor(), desk.provision()):
        assert done.status == 0, done
    assert len(desk.asked()) == 1 and [path.suffix for path in desk.cache.iterdir()] == [".der"]


def test_provisioning_fetches_it_too(desk):
    desk.serve(intel_answer(desk.certificate()))
    done = desk.provision()
    assert (done.status, done.json["verified"]) == (0, True), done
    assert desk.asked() == [("GET", desk.path)]
    headers = desk.service.requests[0][2]
    assert not {name.lower() for name in headers} & {"authorization", "cookie"}


def test_it_is_asked_for_through_a_proxy(desk):
    desk.serve(intel_answer(desk.certificate()))
    with Proxy() as proxy:
        desk.trust(desk.service, url="https://vendor.test:{port}/ek/", more=f"proxy: {proxy.url}\n")
        done = desk.doctor()
    assert (done.status, done.json["verdict"]) == (0, "ok"), done
    assert desk.asked() == [("GET", desk.path)] and proxy.hosts == {"vendor.test"}


def test_nothing_is_asked_without_need(desk):
    desk.serve(intel_answer(desk.certificate()))
    assert desk.provision(fetch=False).cause == "E2202"
    desk.bench.write_nv(RSA_INDEX, desk.certificate())
    assert desk.provision().status == 0
    assert desk.asked() == []


def test_one_for_another_key_is_refused(desk):
    other = EkBench(desk.bench.tpm, desk.directory).make_high("rsa", "0x81010002").public_key("0x81010002")
    desk.serve(intel_answer(der(desk.vendor.issue(other))))
    assert desk.doctor().cause == "E2231"
    assert desk.provision().cause == "E2231"
    assert desk.station.emulator.requests("put") == []


def test_nothing_is_asked_for_a_key_that_is_refused_anyway(desk):
    desk.serve(intel_answer(desk.certificate()))
    desk.bench.evict().make_ek("ecc")
    for done in (desk.doctor(), desk.provision()):
        assert (done.status, done.cause) == (1, "E2229"), done
    assert desk.asked() == []


@pytest.mark.parametrize("content, cause, status", [(None, "E2242", 1), ("{}", "E2241", 6), ("hello", "E2241", 6),
                                                    ("x" * 70000, "E2241", 6)],
                         ids=["404", "without", "no JSON", "too large"])
def test_an_answer_that_is_none(desk, content, cause, status):
    desk.serve(content)
    for done in (desk.doctor(), desk.provision()):
        assert (done.status, done.cause) == (status, cause), done
    assert desk.station.emulator.requests("put") == [] and not desk.cache.exists()
    done = desk.provision(certificate="optional")
    assert done.status == 0 and cause in pathlib.Path(done.json["evidence"]).read_text(), done


def test_a_server_that_is_not_to_be_trusted(desk, tmp_path):
    service = WrongServer(tmp_path / "wrong", "unknown-root")
    try:
        desk.trust(service)
        done = desk.provision()
    finally:
        service.stop()
    assert (done.status, done.cause) == (6, "E2241"), done
    assert service.received == b""


def test_only_https(desk, tmp_path):
    service = WrongServer(tmp_path / "wrong", "right")
    service.stop()
    desk.trust(service, url="http://localhost:{port}/ek/")
    done = desk.provision()
    assert done.status == 2 and "https://" in done.stderr, done
