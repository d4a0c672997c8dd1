"""What one TPM is, in every form that people ask for."""
import base64
import hashlib
import subprocess

EK_HANDLE = "0x81010001"


def show(station, tpm, *arguments):
    return station.muster("tpm", "show", "--tpm", tpm.tcti, *arguments)


def read_public(tpm, directory, handle, form):
    path = directory / f"ek.{form}"
    subprocess.run(["tpm2_readpublic", "-Q", "-T", tpm.tcti, "-c", handle, "-f", form, "-o", path], check=True)
    return path.read_bytes()


def test_keys_are_what_other_tools_read(station, tpm):
    before = tpm.capability("handles-persistent"), tpm.loaded()
    done = show(station, tpm, "-o", "json")
    assert done.status == 0, done
    ek, ecc = done.json["endorsementKeys"]
    public = read_public(tpm, station.home, EK_HANDLE, "tss")
    assert ek["handle"] == EK_HANDLE
    assert base64.b64decode(ek["tpm2b"]) == public
    assert base64.b64decode(ek["tpmt"]) == public[2:]
    assert ek["sha256"] == hashlib.sha256(public).hexdigest()
    assert ek["name"] == "000b" + hashlib.sha256(public[2:]).hexdigest()
    assert ek["registrationId"] == base64.b32encode(hashlib.sha256(public).digest()).decode().rstrip("=").lower()
    assert ek["dpsLine"] == f"--enrollment-id {ek['registrationId']} --attestation-type tpm --endorsement-key {ek['tpm2b']}"
    assert ek["pem"].encode() == read_public(tpm, station.home, EK_HANDLE, "pem")
    assert ecc["pem"].encode() == read_public(tpm, station.home, ecc["handle"], "pem")
    assert "registrationId" not in ecc
    assert (tpm.capability("handles-persistent"), tpm.loaded()) == before


def test_certificates_name_their_vendor_and_their_key(station, tpm):
    certificates = show(station, tpm, "-o", "json").json["certificates"]
    assert [(row["index"], row["certifies"]) for row in certificates] == [
        ("0x01c00002", EK_HANDLE), ("0x01c00016", "0x81010016")]
    assert {row["vendor"] for row in certificates} == {"IBM"}
    assert all(row["notAfter"].startswith("9999-") for row in certificates)


def test_a_table_has_a_row_for_each_item(station, tpm):
    lines = show(station, tpm).stdout.splitlines()
    assert lines[0].split() == ["ITEM", "VALUE"]
    items = {line.split()[0] for line in lines[1:]}
    assert {"vendor", "endorsementKeys.1.registrationId", "certificates.2.certifies", "nvIndices",
            "capabilities.algorithms"} <= items
    assert not any(item.endswith(".pem") for item in items)


def test_an_empty_tpm_is_shown_as_empty(station, empty_tpm):
    shown = show(station, empty_tpm, "-o", "json").json
    assert shown["endorsementKeys"] == shown["certificates"] == shown["persistentHandles"] == shown["nvIndices"] == []
    assert shown["capabilities"]["nvBufferMax"] == 1024


def test_an_ecc_key_where_dps_looks_says_why_it_is_refused(station, empty_tpm):
    for command in (["tpm2_createek", "-G", "ecc", "-c", station.home / "ecc.ctx"],
                    ["tpm2_evictcontrol", "-c", station.home / "ecc.ctx", EK_HANDLE]):
        subprocess.run([command[0], "-Q", "-T", empty_tpm.tcti, *command[1:]], check=True)
    ek, = show(station, empty_tpm, "-o", "json").json["endorsementKeys"]
    assert "elliptic-curve key" in ek["dpsRefuses"]
    assert "registrationId" not in ek


def test_what_is_no_certificate_is_named_as_such(station, empty_tpm):
    junk = station.home / "junk"
    junk.write_bytes(b"\xff" * 40)
    for command in (["tpm2_nvdefine", "-C", "p", "-s", "40", "-a", "ppwrite|authread|ownerread|platformcreate|no_da",
                     "0x01c00002"],
                    ["tpm2_nvwrite", "-C", "p", "-i", junk, "0x01c00002"]):
        subprocess.run([command[0], "-Q", "-T", empty_tpm.tcti, *command[1:]], check=True, stdout=subprocess.DEVNULL)
    row, = show(station, empty_tpm, "-o", "json").json["certificates"]
    assert "40 bytes of fill and no certificate" in row["problem"]


def test_a_tpm_that_is_not_there_is_out_of_reach(station):
    done = station.muster("tpm", "show", "--tpm", "swtpm:path=/nonexistent/socket")
    assert (done.status, done.cause) == (4, "E2101"), done


def test_no_tpm_is_looked_for(station):
    done = station.muster("tpm", "show")
    assert (done.status, done.cause) == (2, "E1001"), done
    assert "--tpm TCTI" in done.stderr


def test_a_list_has_those_that_are_named_and_why_one_does_not_answer(station, tpm):
    done = station.muster("tpm", "list", "--tpm", tpm.tcti, "--tpm", "swtpm:path=/nonexistent", "-o", "json")
    assert done.status == 0, done
    good, bad = [row for row in done.json if row["tpm"].startswith("swtpm:")]
    assert (good["state"], good["vendor"], good["manufacturer"]) == ("answers", "IBM", "IBM")
    assert "IO failure" in bad["state"] and "vendor" not in bad


def test_a_hanging_tpm_ends_with_its_deadline(station, tpm):
    tpm.hang()
    done = show(station, tpm)
    assert (done.status, done.cause) == (4, "E2102"), done
