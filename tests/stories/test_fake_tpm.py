"""Every fake is refused for its own reason, and nothing is enrolled; what only looks odd passes as the profile says."""
import pytest

from lib.ek_authority import EkAuthority, PAST, der
from lib.ek_bench import RSA_INDEX, EkBench
from lib.fakes import ALIKE, FAKES, STATUS
from lib.lying_tpm import LyingTpm

SERIAL = "FAKE-1"


class Desk:
    """A station with the strictest profile, a chip of a vendor, and what fakes are made with."""

    def __init__(self, station, tpm, directory, short, make_tpm):
        self.station = station
        self.directory = directory
        self.bench = EkBench(tpm, directory)
        self.vendor = EkAuthority(directory / "vendor").pin()
        self.vendor.list_revoked()
        self.short = short
        self.make_tpm = make_tpm
        self.proxies = []
        self.afterwards = lambda: True
        self._victim = None

    def provision(self, tpm, serial=SERIAL, **changes):
        terms = {"certificate": "required", "roots": str(self.vendor.roots), "crls": str(self.vendor.lists),
                 "revocation": "required", **changes}
        return self.station.provision(self.station.profile("tpm", {"attestation": {"tpm": terms}}), serial, "--tpm", tpm.tcti)

    @property
    def victim(self):
        """Another chip, genuine."""
        if not self._victim:
            (self.directory / "victim").mkdir()
            bench = EkBench(self.make_tpm("v", with_certificate=False), self.directory / "victim").make_ek()
            self._victim = bench.write_nv(RSA_INDEX, der(self.vendor.issue(bench.public_key())))
        return self._victim

    def lying(self, change=None):
        self.proxies.append(LyingTpm(self.short, self.bench.tpm))
        self.proxies[-1].change = change or self.proxies[-1].change
        return self.proxies[-1]

    def genuine(self):
        self.bench.make_ek().write_nv(RSA_INDEX, der(self.vendor.issue(self.bench.public_key())))
        return self.bench.tpm

    def puts(self):
        return len(self.station.emulator.requests("put"))

    def stop(self):
        for proxy in self.proxies:
            proxy.stop()


@pytest.fixture
def desk(station, empty_tpm, tmp_path, short, make_tpm):
    made = Desk(station, empty_tpm, tmp_path, short, make_tpm)
    yield made
    made.stop()


def test_a_genuine_one_passes(desk):
    done = desk.provision(desk.genuine())
    assert (done.status, done.json["verified"]) == (0, True), done


@pytest.mark.parametrize("kind", FAKES)
def test_a_fake_is_refused(desk, kind):
    cause, make = FAKES[kind]
    fake = make(desk)
    puts, before = desk.puts(), desk.bench.tpm.capability("handles-persistent")
    done = desk.provision(fake if isinstance(fake, LyingTpm) else desk.bench.tpm)
    assert (done.status, done.cause) == (STATUS.get(cause, 1), cause), done
    assert desk.puts() == puts
    assert desk.bench.tpm.capability("handles-persistent") == before
    assert desk.afterwards()
    # A chip that was taken away keeps what was loaded.
    assert desk.bench.tpm.loaded() == [] or kind.startswith("swapped")


def test_each_has_a_cause_of_its_own():
    by_cause = {}
    for kind, (cause, _) in FAKES.items():
        by_cause.setdefault(cause, set()).add(kind)
    assert [kinds for kinds in by_cause.values() if len(kinds) > 1 and kinds not in ALIKE] == []
    assert len(FAKES) >= 30


def test_what_the_profile_lets_pass(desk):
    """A list that is missing, a list and a certificate that are out of date."""
    tpm = desk.genuine()
    (desk.vendor.lists / "vendor.crl").unlink()
    assert desk.provision(tpm).cause == "E2216"
    desk.vendor.list_revoked(next_update=PAST)
    assert desk.provision(tpm).cause == "E2217"
    assert desk.provision(tpm, expired="allow").status == 0


def test_a_list_that_is_missing_is_the_profiles_choice(desk):
    tpm = desk.genuine()
    (desk.vendor.lists / "vendor.crl").unlink()
    assert desk.provision(tpm, revocation="ifPresent").status == 0


def test_a_certificate_that_is_out_of_date_is_the_profiles_choice(desk):
    desk.bench.make_ek().write_nv(RSA_INDEX, der(desk.vendor.issue(desk.bench.public_key(), end=PAST)))
    assert desk.provision(desk.bench.tpm, expired="allow").status == 0


def test_revocation_that_is_off_is_not_looked_at(desk):
    certificate = desk.vendor.issue(desk.bench.make_ek().public_key())
    desk.bench.write_nv(RSA_INDEX, der(certificate))
    desk.vendor.list_revoked(certificate)
    assert desk.provision(desk.bench.tpm, revocation="off").status == 0
