"""Tokens whose maker gives them all one serial number (tpm2-pkcs11, say) are told apart by their labels."""
import shutil

import pytest
import yaml

from lib.killer import killer
from lib.paths import RELEASE
from lib.program import run
from test_offline import spool

SERIAL = "twin-1"


@pytest.fixture
def bench(station, tokens):
    """A station, and two tokens of a module that numbers none."""
    module = station.home / "fault.so"
    shutil.copy(RELEASE / "tests/muster-fault.so", module)  # goes with either build
    module.chmod(0o755)
    values = {"SOFTHSM2_CONF": tokens.configuration, "MUSTER_FAULT": "one-serial"}
    configured = {"path": str(module), "environment": [f"{name}={value}" for name, value in values.items()]}
    station.env["MUSTER_CONFIG"] = station.home / "muster.yaml"
    station.env["MUSTER_CONFIG"].write_text(yaml.safe_dump({"modules": {"fault": configured}}))
    station.line, station.other = tokens.make("line"), tokens.make("other")
    return station


def opened(token):
    return ["--token", f"pkcs11:token={token.label}?module-name=fault", "--pin-file", token.pin_file]


def custody(bench, noun, verb, token, *arguments, **options):
    return run(noun, verb, *opened(token), "--journal", bench.journal, "-o", "json", *arguments, home=bench.home, env=bench.env, **options)


def audit(bench, token):
    uri, *rest = opened(token)[1:]
    done = run("hsm", "audit", uri, *rest, "--journal", bench.journal, "-o", "json", home=bench.home, env=bench.env)
    assert done.json["token"]["serial"] == "0000000000000001"
    return {(row["finding"], row["label"]) for row in done.json["findings"]}


def test_what_a_cut_left_on_one_is_put_in_order_there(bench):
    cut = custody(bench, "cert", "request", bench.line, "--key-type", "ec-p256", "--label", "cut", "--subject", "CN=cut", build=RELEASE,
                  wrapper=killer("sendmsg", 4))
    assert cut.status != 0 and len(bench.line.key_ids()) == 1, cut
    assert custody(bench, "key", "generate-master", bench.other, "--label", "next").status == 0
    assert audit(bench, bench.line) == {("key-unfinished", "cut")}
    assert custody(bench, "key", "generate-master", bench.line, "--label", "next").status == 0
    assert bench.line.key_ids() == [] and audit(bench, bench.line) == set()


def test_a_device_with_its_key_in_one_gets_none_in_the_other(bench):
    profile = bench.profile("hsm-x509", {"attestation": {"x509": {"token": None}}})
    spool(bench, profile, SERIAL, *opened(bench.line))
    refused = bench.provision(profile, SERIAL, *opened(bench.other))
    assert (refused.status, refused.cause) == (7, "E3102"), refused
    assert "token 'line'" in refused.stderr and "token 'other'" in refused.stderr, refused
    assert bench.other.key_ids() == []
    assert bench.provision(profile, SERIAL, *opened(bench.line)).json["verified"] is True
    assert audit(bench, bench.line) == audit(bench, bench.other) == set()
