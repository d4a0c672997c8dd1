"""Devices of one token in several sessions of one worker, and what becomes of them when its module falls over."""
import shutil

import pytest
import yaml

from lib.software_token import SoftwareTokens
from lib.station import Station

SESSIONS = 4


@pytest.fixture
def bench(tmp_path, tmpfs, emulator):
    station = Station(tmp_path / "home", emulator)
    station.token = SoftwareTokens(tmpfs / "softhsm").make("line-3")
    station.module = tmp_path / "fault.so"
    shutil.copy(station.build / "tests/muster-fault.so", station.module)
    station.module.chmod(0o755)
    station.logins = tmp_path / "logins"
    station.env["MUSTER_CONFIG"] = station.home / "muster.yaml"
    return station


def provision(bench, fault, names, serial=True):
    values = {"SOFTHSM2_CONF": bench.token.module.configuration, "MUSTER_FAULT": fault, "MUSTER_FAULT_LOGINS": bench.logins}
    entry = {"path": str(bench.module), "environment": [f"{name}={value}" for name, value in values.items()]}
    (bench.home / "muster.yaml").write_text(yaml.safe_dump({"modules": {"fault": entry}}))
    (bench.home / "devices.csv").write_text("serial\n" + "".join(f"{name}\n" for name in names))
    profile = bench.profile("hsm-x509", {"attestation": {"x509": {"sessions": SESSIONS}}})
    uri = f"pkcs11:token=line-3{f';serial={bench.token.serial}' if serial else ''}?module-name=fault"
    return bench.muster("provision", "--profile", profile, "--manifest", bench.home / "devices.csv", *bench.common(), "--token", uri,
                        "--pin-file", bench.token.pin_file, "-o", "json", timeout=300)


def logins(bench):
    return len(bench.logins.read_bytes())


def enrolled(bench):
    return {row["registrationId"] for row in bench.service.enrollments()}


def test_devices_of_one_token_share_one_login(bench):
    names = [f"a-{number}" for number in range(10)]
    done = provision(bench, "none", names)
    assert done.status == 0, done
    assert (done.json["enrolled"], enrolled(bench)) == (10, set(names))
    assert logins(bench) == 1
    assert len(bench.token.key_ids()) == 10


def test_only_the_device_that_a_module_falls_for_fails(bench):
    """The others are taken up again; nobody has two keys or two certificates, and the PIN goes to that token once per worker."""
    names = ["a-1", "a-2", "a-3", "bad", "a-4", "a-5", "a-6"]
    done = provision(bench, "falls-for-bad", names)
    assert (done.status, done.cause) == (4, "E7002"), done
    assert enrolled(bench) == set(names) - {"bad"}
    assert 2 <= logins(bench) <= 3
    assert len(bench.token.key_ids()) == len(bench.token.objects("cert")) == 6
    again = provision(bench, "none", names)
    assert again.status == 0 and enrolled(bench) == set(names), again
    assert len(bench.token.key_ids()) == 7


def test_only_the_device_that_a_module_hangs_for_fails(bench):
    """The worker is ended with all its sessions. The others go on in a new one, to which the PIN goes that was accepted."""
    names = ["a-1", "a-2", "a-3", "bad", "a-4", "a-5", "a-6"]
    done = provision(bench, "hangs-for-bad", names)
    assert (done.status, done.cause) == (4, "E4102"), done
    assert enrolled(bench) == set(names) - {"bad"}
    assert logins(bench) == 2
    again = provision(bench, "none", names)
    assert again.status == 0 and enrolled(bench) == set(names), again
    assert len(bench.token.key_ids()) == len(bench.token.objects("cert")) == 7


def test_the_pin_that_was_accepted_goes_to_no_other_token(bench):
    """While the worker hangs, the token is exchanged."""
    done = provision(bench, "hangs-and-is-exchanged", ["a-1", "a-2", "a-3", "bad", "a-4", "a-5"], serial=False)
    assert done.status != 0 and logins(bench) == 1, done
    assert "another token" in done.stderr, done
