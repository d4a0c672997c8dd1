"""Masters that the station's TPM holds."""
import base64
import json
import subprocess

import pytest

from lib.custodian import Custodian

MADE = "fixedtpm|fixedparent|sign|userwithauth|sensitivedataorigin|noda"


@pytest.fixture
def custodian(tmp_path, token):
    return Custodian(tmp_path / "home", token)


def make_master(tpm, directory, handle, attributes=MADE, algorithm="hmac:sha256"):
    """As a custodian makes it with tpm2-tools."""
    def tool(name, *words):
        subprocess.run([f"tpm2_{name}", "-T", tpm.tcti, *map(str, words)], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE, cwd=directory)

    tool("createprimary", "-C", "o", "-c", "primary.ctx")
    tool("create", "-C", "primary.ctx", "-G", algorithm, "-a", attributes, "-u", "m.pub", "-r", "m.priv")
    tool("flushcontext", "-t")
    tool("load", "-C", "primary.ctx", "-u", "m.pub", "-r", "m.priv", "-c", "m.ctx")
    tool("evictcontrol", "-C", "o", "-c", "m.ctx", handle)
    tool("flushcontext", "-t")
    return f"tpm:handle={handle};tcti={tpm.tcti}"


def derived(tpm, handle, registration_id):
    """What tpm2-tools compute with the same key."""
    done = subprocess.run(["tpm2_hmac", "-T", tpm.tcti, "-c", handle, "-g", "sha256"], input=registration_id.lower().encode(), check=True,
                          stdout=subprocess.PIPE)
    return base64.b64encode(done.stdout).decode()


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_masters_in_one_tpm_give_the_keys_that_other_tools_compute(custodian, tpm, tmp_path):
    handles = ["0x81000010", "0x81000011"]
    uris = [make_master(tpm, tmp_path, handle) for handle in handles]
    ids = [f"Device-{number}" for number in range(300)]
    (custodian.home / "ids").write_text("\n".join(ids))
    done = custodian.look("key", "derive", "--ids", "ids", "--master", uris[0], "--secondary-master", uris[1], "--out", "keys")
    assert done.status == 0, done
    rows = lines(custodian.home / "keys")
    assert [row["registrationId"] for row in rows] == [name.lower() for name in ids]
    for number in (0, 255, 256, 299):
        assert rows[number] == {"registrationId": ids[number].lower(), "primaryKey": derived(tpm, handles[0], ids[number]),
                                "secondaryKey": derived(tpm, handles[1], ids[number])}
    assert tpm.loaded() == []
    checked = custodian.look("key", "check-value", "--master", uris[0]).json
    assert base64.b64decode(derived(tpm, handles[0], "muster check value 1"))[:5].hex() == checked["checkValue"]


def test_master_born_in_the_tpm(custodian, tpm, tmp_path):
    uri = make_master(tpm, tmp_path, "0x81000010")
    done = custodian.look("key", "derive", "dev-1", "--master", uri, "--out", "keys")
    assert done.status == 0, done
    assert len(base64.b64decode(lines(custodian.home / "keys")[0]["primaryKey"])) == 32


def test_beside_a_master_in_a_token(custodian, tpm, tmp_path):
    uri = make_master(tpm, tmp_path, "0x81000010")
    assert custodian.muster("key", "generate-master", "--label", "master").status == 0
    done = custodian.muster("key", "derive", "dev-1", "--master", "pkcs11:object=master", "--secondary-master", uri, "--out", "keys",
                            "--sessions", "4")
    assert done.status == 0, done
    row, = lines(custodian.home / "keys")
    assert row["primaryKey"] != row["secondaryKey"]


@pytest.mark.parametrize("attributes,algorithm", [
    ("sign|userwithauth|sensitivedataorigin|noda", "hmac:sha256"), (MADE.removesuffix("|noda"), "hmac:sha256"), (MADE, "hmac:sha1"), (MADE, "ecc256:ecdsa"),
])
def test_a_key_that_is_not_held_by_the_tpm_alone_is_refused(custodian, tpm, tmp_path, attributes, algorithm):
    uri = make_master(tpm, tmp_path, "0x81000010", attributes, algorithm)
    done = custodian.look("key", "derive", "dev-1", "--master", uri, "--out", "keys")
    assert (done.status, done.cause) == (5, "E4206"), done
    assert not (custodian.home / "keys").exists()


def test_without_an_endorsement_key_no_key_crosses_the_bus(custodian, empty_tpm, tmp_path):
    uri = make_master(empty_tpm, tmp_path, "0x81000010")
    done = custodian.look("key", "derive", "dev-1", "--master", uri, "--out", "keys")
    assert done.status != 0 and "in clear" in done.stderr, done
    assert not (custodian.home / "keys").exists()


@pytest.mark.parametrize("uri,cause", [
    ("tpm:handle=0x81000010", "E1001"), ("tpm:tcti=swtpm:path=/x", "E1001"), ("tpm:handle=0x80000010;tcti=swtpm:path=/x", "E1001"),
    ("tpm:handle=0x81000010;tcti=swtpm:path=/x;pin=1", "E1001"), ("tpm:handle=1;handle=2;tcti=swtpm:path=/x", "E1001"),
])
def test_what_does_not_name_a_master(custodian, uri, cause):
    assert custodian.look("key", "derive", "dev-1", "--master", uri, "--out", "keys").cause == cause


def test_a_handle_without_a_key(custodian, tpm):
    done = custodian.look("key", "derive", "dev-1", "--master", f"tpm:handle=0x81000077;tcti={tpm.tcti}", "--out", "keys")
    assert (done.status, done.cause) == (3, "E4302"), done


def test_a_profile_derives_in_the_tpm(station, tpm, tmp_path):
    handles = ["0x81000010", "0x81000011"]
    uris = [make_master(tpm, tmp_path, handle) for handle in handles]
    profile = station.profile("derived-key", {"attestation": {"symmetricKey": {
        "primaryMaster": {"file": None, "tpm": uris[0]}, "secondaryMaster": {"file": None, "tpm": uris[1]}}}})
    done = station.provision(profile, "KEY-7")
    assert done.status == 0 and done.json["verified"] is True, done
    keys = json.loads((station.out / "key-7.keys.json").read_text())
    assert [keys["primaryKey"], keys["secondaryKey"]] == [derived(tpm, handle, "key-7") for handle in handles]
    assert tpm.loaded() == []
