"""What a token is worth for a profile: tried with keys of the session, measured, and nothing left behind."""
import shutil

import pytest
import yaml


@pytest.fixture
def check(hsm_station, token):
    def call(*arguments, uri=token.uri, **options):
        return hsm_station.muster("hsm", "check", uri, "--pin-file", token.pin_file, *arguments, "-o", "json", **options)

    call.station, call.token = hsm_station, token
    return call


def states(done):
    return {row["need"]: row["state"] for row in done.json["needs"]}


def test_everything_is_tried_and_nothing_is_left(check):
    before = sorted(path.name for path in check.token.module.store.rglob("*.object"))
    done = check()
    assert done.status == 0, done
    found = states(done)
    assert set(found.values()) == {"present"}, found
    assert {f"make {kind} keys that stay" for kind in ("ec-p384", "ed25519", "rsa-2048")} < set(found)
    measured = {row["need"]: row for row in done.json["needs"]}
    assert all(row["rate"] > 0 and row["unit"] for need, row in measured.items() if not need.startswith("keep"))
    assert measured["wrap ec-p256 keys out for a device"]["method"].startswith("RSA-OAEP SHA-1, ")
    assert "never-extractable=true" in measured["make ec-p256 keys that stay"]["attributes"]
    assert sorted(path.name for path in check.token.module.store.rglob("*.object")) == before
    assert not check.station.journal.exists()


@pytest.mark.parametrize("kind,changes,needs", [
    ("hsm-x509", {}, {"make ec-p256 keys that stay", "sign with ec-p256 keys", "keep what is not extractable"}),
    ("hsm-x509", {"attestation": {"x509": {"keyType": "rsa-2048", "key": {"lives": "wrapped-to-device"}}}},
     {"make rsa-2048 keys that stay", "sign with rsa-2048 keys", "wrap rsa-2048 keys out for a device", "keep what is not extractable"}),
    ("hsm-derived-key", {}, {"derive device keys from a master (HMAC-SHA256)", "keep what is not extractable"}),
])
def test_a_profile_is_asked_for_what_it_needs(check, kind, changes, needs):
    done = check("--profile", check.station.profile(kind, changes))
    assert done.status == 0, done
    assert set(states(done)) == needs and done.json["unmet"] == 0


def test_a_profile_without_a_token_is_refused(check):
    assert check("--profile", check.station.profile("derived-key")).cause == "E1001"


@pytest.fixture
def bent(hsm_station, token, tmp_path):
    """check of a profile with a module that misbehaves."""
    module = tmp_path / "fault.so"
    shutil.copy(hsm_station.build / "tests/muster-fault.so", module)
    module.chmod(0o755)
    hsm_station.env["MUSTER_CONFIG"] = tmp_path / "muster.yaml"

    def call(fault, kind="hsm-x509"):
        entry = {"path": str(module), "environment": [f"SOFTHSM2_CONF={token.module.configuration}", f"MUSTER_FAULT={fault}"]}
        (tmp_path / "muster.yaml").write_text(yaml.safe_dump({"modules": {"fault": entry}}))
        return hsm_station.muster("hsm", "check", f"pkcs11:token={token.label};serial={token.serial}?module-name=fault", "--pin-file",
                                  token.pin_file, "--profile", hsm_station.profile(kind), "-o", "json")

    return call


@pytest.mark.parametrize("fault,kind,state", [
    ("no-curves", "hsm-x509", "missing"), ("no-hmac", "hsm-derived-key", "missing"), ("C_GenerateKeyPair=0x31", "hsm-x509", "missing"),
    ("extractable", "hsm-x509", "not-trusted"), ("not-local", "hsm-x509", "not-trusted"), ("may-decrypt", "hsm-x509", "not-trusted"),
    ("off-curve", "hsm-x509", "not-trusted"), ("bad-signature", "hsm-x509", "not-trusted"), ("wrong-key", "hsm-x509", "not-trusted"),
    ("wrong-hmac", "hsm-derived-key", "not-trusted"), ("wraps-all", "hsm-x509", "not-trusted"), ("crash", "hsm-x509", "not-trusted"),
    ("none", "hsm-x509", None),
])
def test_what_a_token_lacks_or_lies_about(bent, fault, kind, state):
    done = bent(fault, kind)
    if state is None:
        assert done.status == 0, done
        return
    assert (done.status, done.cause) == (4, "E4111"), done
    rows = [row for row in done.json["needs"] if row["state"] == state]
    assert rows and all(row["reason"] for row in rows), done
    assert done.json["unmet"] == sum(row["state"] != "present" for row in done.json["needs"])
