"""Genuine TPMs pass, however odd what their makers and other tools have left on them looks."""
import pytest

from lib.ek_authority import EkAuthority
from lib.ek_bench import EkBench
from lib.layouts import LAYOUTS


class Desk:
    def __init__(self, tpm, directory):
        self.bench = EkBench(tpm, directory)
        self.vendor = EkAuthority(directory / "vendor").pin()


@pytest.fixture
def desk(empty_tpm, tmp_path):
    return Desk(empty_tpm, tmp_path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_passes(station, desk, layout):
    verdict, make = LAYOUTS[layout]
    make(desk)
    before = desk.bench.tpm.capability("handles-persistent")
    done = station.muster("tpm", "doctor", "--tpm", desk.bench.tpm.tcti, "--roots", desk.vendor.roots, "-o", "json")
    assert (done.status, done.json["verdict"]) == (0, verdict), done
    assert desk.bench.tpm.capability("handles-persistent") == before and desk.bench.tpm.loaded() == []


@pytest.mark.parametrize("layout", ["EK and certificate", "certificate, key not persisted", "nonce index",
                                    "nonce index, key not persisted", "older SDK's key, no certificate"])
def test_it_is_provisioned(station, desk, layout):
    LAYOUTS[layout][1](desk)
    terms = {"certificate": "optional", "roots": str(desk.vendor.roots)}
    done = station.provision(station.profile("tpm", {"attestation": {"tpm": terms}}), "G-1", "--tpm", desk.bench.tpm.tcti)
    assert (done.status, done.json["verified"]) == (0, True), done
    assert desk.bench.tpm.loaded() == []


def test_there_are_enough_of_them():
    assert sum(verdict == "ok" for verdict, _ in LAYOUTS.values()) >= 20
