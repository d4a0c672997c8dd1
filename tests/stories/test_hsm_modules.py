"""The same stories on four PKCS#11 modules. What a module cannot do is refused with the reason, and stands in
muster-hsm(1)."""
import pytest
import yaml

from lib.soft_modules import Nss, OpenCryptoki, SoftHsm, TpmModule
from lib.software_token import write_secret
from lib.software_tpm import SoftwareTpm
from lib.station import Station

# What does not work, and the cause that says so; everything else works.
REFUSED = {
    ("provision ec-p256", "opencryptoki"): "E4108",  # no elliptic curves
    # It says of no key that it was made inside, and hands out what is not extractable.
    ("provision ec-p256", "nss"): "E4301",
    ("provision rsa-2048", "nss"): "E4301",
    # It takes "verify" for "decrypt", and makes no key that may sign only.
    ("provision ec-p256", "tpm2"): "E4107",
    ("provision rsa-2048", "tpm2"): "E4107",
}


def make_tpm_module(directory):
    tpm = SoftwareTpm(directory / "t").start()
    module = TpmModule(directory, tpm)
    module.tpm = tpm
    return module


MAKERS = {"softhsm": SoftHsm, "nss": Nss, "opencryptoki": OpenCryptoki, "tpm2": make_tpm_module}


@pytest.fixture
def module(request, short):
    """A new token of the module, initialised by muster where that is how it is done."""
    made = MAKERS[request.param](short)
    yield made
    made.stop()
    if hasattr(made, "tpm"):
        made.tpm.stop()


@pytest.fixture
def bench(module, tmp_path, emulator):
    station = Station(tmp_path / "home", emulator)
    configuration = station.home / "muster.yaml"
    configuration.write_text(yaml.safe_dump({"modules": {module.name: module.entry}}))
    station.env["MUSTER_CONFIG"] = configuration
    station.wrapper = module.wrapper
    station.module = module
    if hasattr(module, "so_pin_file"):
        made = station.muster("hsm", "init", module.fresh_uri, "--any-module", "--label", module.label,
                              "--so-pin-file", module.so_pin_file, "--pin-file", module.pin_file)
        assert made.status == 0, made
    return station


everywhere = pytest.mark.parametrize("module", MAKERS, indirect=True)


def expect(story, bench, done):
    """True when the story goes on."""
    cause = REFUSED.get((story, bench.module.name))
    if cause is None:
        assert done.status == 0, done
        return True
    assert done.cause == cause, done
    return False


def show(bench, *arguments):
    done = bench.muster("hsm", "show", bench.module.uri, "--pin-file", bench.module.pin_file, "-o", "json", *arguments)
    assert done.status == 0, done
    return done.json


def objects(bench, kind):
    return [row for row in show(bench)["objects"] if row["kind"] == kind]


def provision(bench, key_type, serial="m-0001", pin_file=None):
    profile = bench.profile("hsm-x509", {"attestation": {"x509": {"keyType": key_type}}}, name=key_type)
    return bench.provision(profile, serial, "--token", bench.module.uri, "--pin-file", pin_file or bench.module.pin_file)


@everywhere
@pytest.mark.parametrize("key_type", ["ec-p256", "rsa-2048"])
def test_a_key_is_born_in_the_token_and_enrolled(bench, key_type):
    done = provision(bench, key_type)
    if not expect(f"provision {key_type}", bench, done):
        assert objects(bench, "private-key") == []
        return
    assert done.json["verified"] is True
    key, = objects(bench, "private-key")
    assert key["keyType"] == key_type
    assert key["attributes"]["sensitive"] is True and key["attributes"]["extractable"] is False
    again = provision(bench, key_type)
    assert again.json["state"] == "already enrolled", again
    assert len(objects(bench, "private-key")) == len(objects(bench, "certificate")) == 1


@everywhere
def test_a_wrong_pin_costs_one_try_however_often_it_is_run(bench, tmp_path):
    wrong = write_secret(tmp_path / "wrong", "13579135"[:len(bench.module.pin_file.read_text())])
    causes = [provision(bench, "rsa-2048", pin_file=wrong).cause for _ in range(4)]
    assert causes == ["E4201", "E4202", "E4202", "E4202"]
    assert bench.muster("hsm", "acknowledge", bench.module.uri).status == 0
    assert show(bench)["loggedIn"] is True
