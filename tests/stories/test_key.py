"""Masters in a token or a file, and the device keys that come of them."""
import base64
import hashlib
import hmac
import json
import os
import shutil
import subprocess

import pytest

from lib.custodian import Custodian, openssl
from lib.paths import SOFTHSM_MODULE
from lib.software_token import write_secret


@pytest.fixture
def custodian(tmp_path, token):
    return Custodian(tmp_path / "home", token)


@pytest.fixture
def masters(custodian):
    keys = [os.urandom(32), os.urandom(32)]
    for name, key in zip(("one", "two"), keys):
        write_secret(custodian.home / name, base64.b64encode(key).decode() + "\n")
    return keys


def derived(master, registration_id):
    return base64.b64encode(hmac.new(master, registration_id.lower().encode(), hashlib.sha256).digest()).decode()


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def generate(custodian, label="master", *arguments):
    return custodian.muster("key", "generate-master", "--label", label, *arguments)


def import_master(custodian, label, name):
    return custodian.muster("key", "import-master", "--label", label, "--from", name)


def test_master_made_inside_derives_there(custodian):
    made = generate(custodian)
    assert made.status == 0, made
    assert made.json["origin"] == "generated" and "never-extractable=true" in made.json["keyAttributes"]
    done = custodian.muster("key", "derive", "Dev-1", "dev-2", "--master", "pkcs11:object=master", "--out", "keys")
    assert done.status == 0, done
    first, second = lines(custodian.home / "keys")
    assert (first["registrationId"], second["registrationId"]) == ("dev-1", "dev-2")
    assert first["primaryKey"] != second["primaryKey"] and len(base64.b64decode(first["primaryKey"])) == 32
    assert (custodian.home / "keys").stat().st_mode & 0o777 == 0o600
    assert "primaryKey" not in done.stdout + done.stderr


def test_imported_masters_give_the_keys_that_azure_computes(custodian, masters):
    for name in ("one", "two"):
        done = import_master(custodian, name, name)
        assert done.status == 0, done
        assert done.json["origin"] == "imported"
        assert "local=false" in done.json["keyAttributes"] and "never-extractable=false" in done.json["keyAttributes"]
    ids = [f"Device-{number}" for number in range(600)]
    (custodian.home / "ids").write_text("\r\n".join(ids) + "\n")
    done = custodian.muster("key", "derive", "--ids", "ids", "--master", "pkcs11:object=one", "--secondary-master",
                            "pkcs11:object=two", "--out", "keys")
    assert done.status == 0, done
    assert lines(custodian.home / "keys") == [
        {"registrationId": name.lower(), "primaryKey": derived(masters[0], name), "secondaryKey": derived(masters[1], name)}
        for name in ids]
    assert [body["origin"] for kind, body in custodian.entries() if kind == "outcome"] == ["imported", "imported"]


@pytest.mark.parametrize("sessions", [4, 32])
def test_sessions_beside_each_other_give_the_same_keys(custodian, masters, sessions):
    import_master(custodian, "one", "one")
    ids = [f"device-{number}" for number in range(5000)]
    (custodian.home / "ids").write_text("\n".join(ids))
    done = custodian.muster("key", "derive", "--ids", "ids", "--master", "pkcs11:object=one", "--sessions", str(sessions),
                            "--out", "keys")
    assert done.status == 0 and done.json["devices"] == 5000, done
    assert lines(custodian.home / "keys") == [{"registrationId": name, "primaryKey": derived(masters[0], name)} for name in ids]


@pytest.mark.parametrize("sessions,status", [(4, 0), (33, 2)])
def test_configuration_says_how_many_sessions_a_module_takes(custodian, sessions, status):
    generate(custodian)
    (custodian.home / "muster.yaml").write_text(f"modules:\n  softhsm:\n    path: {SOFTHSM_MODULE}\n    environment: "
                                                f"[SOFTHSM2_CONF={custodian.token.module.configuration}]\n    sessions: {sessions}\n")
    done = custodian.muster("key", "derive", "dev-1", "--master", "pkcs11:object=master", "--out", "keys",
                            env={"MUSTER_CONFIG": custodian.home / "muster.yaml"})
    assert done.status == status, done
    assert status != 0 or done.json["sessions"] == sessions


def test_file_master_gives_the_same_keys_and_check_value(custodian, masters):
    imported = import_master(custodian, "one", "one").json
    done = custodian.look("key", "derive", "dev-1", "--master-file", "one", "--out", "keys")
    assert done.status == 0, done
    assert lines(custodian.home / "keys") == [{"registrationId": "dev-1", "primaryKey": derived(masters[0], "dev-1")}]
    by_file = custodian.look("key", "check-value", "--master-file", "one").json
    by_token = custodian.muster("key", "check-value", "--master", "pkcs11:object=one").json
    assert by_file == by_token
    assert by_file["checkValue"] == imported["checkValue"] and len(by_file["checkValue"]) == 10
    assert by_file["method"].startswith("HMAC-SHA256")


def test_keys_can_leave_wrapped_for_one_recipient(custodian, masters):
    for name, algorithm in (("rsa", ["rsa:2048"]), ("ec", ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"])):
        key, certificate, out = (custodian.home / f"{name}.{end}" for end in ("key", "pem", "cms"))
        openssl("req", "-x509", "-newkey", *algorithm, "-nodes", "-subj", "/CN=factory", "-keyout", key, "-out", certificate)
        done = custodian.look("key", "derive", "dev-1", "--master-file", "one", "--wrap-to", certificate, "--out", out)
        assert done.status == 0 and done.json["wrapped"] is True, done
        assert derived(masters[0], "dev-1").encode() not in out.read_bytes()
        opened = subprocess.run(["openssl", "cms", "-decrypt", "-inform", "DER", "-in", out, "-inkey", key], check=True,
                                stdout=subprocess.PIPE).stdout
        assert json.loads(opened)["primaryKey"] == derived(masters[0], "dev-1")


def test_ids_of_a_spreadsheet_begin_behind_its_mark(custodian, masters):
    (custodian.home / "ids").write_bytes(b"\xef\xbb\xbfdev-1\r\ndev-2\r\n")
    done = custodian.look("key", "derive", "--ids", "ids", "--master-file", "one", "--out", "keys")
    assert done.status == 0, done
    assert [row["registrationId"] for row in lines(custodian.home / "keys")] == ["dev-1", "dev-2"]


def test_keys_can_leave_to_a_descriptor(custodian, masters):
    done = custodian.look("key", "derive", "dev-1", "--master-file", "one", "--key-fd", "1")
    assert json.loads(done.stdout) == {"registrationId": "dev-1", "primaryKey": derived(masters[0], "dev-1")}


@pytest.mark.parametrize("arguments,cause", [
    (["dev-1"], "E1001"),
    (["dev-1", "--master-file", "one"], "E1001"),
    (["--master-file", "one", "--out", "keys"], "E1001"),
    (["dev 1", "--master-file", "one", "--out", "keys"], "E1303"),
    (["--ids", "bad", "--master-file", "one", "--out", "keys"], "E1303"),
    (["dev-1", "DEV-1", "--master-file", "one", "--out", "keys"], "E1303"),
    (["dev-1", "--master-file", "one", "--secondary-master-file", "one", "--out", "keys"], "E1001"),
    (["dev-1", "--master-file", "one", "--out", "there"], "E6101"),
    (["dev-1", "--master-file", "text", "--out", "keys"], "E4313"),
    (["dev-1", "--master-file", "open", "--out", "keys"], "E1005"),
    (["dev-1", "--master-file", "one", "--secondary-master-file", "nowhere", "--out", "keys"], "E1002"),
    (["dev-1", "--master-file", "one", "--key-fd", "77"], "E1001"),
    (["dev-1", "--master-file", "one", "--out", "keys", "--sessions", "33"], "E1001"),
])
def test_refused_before_a_key_is_written(custodian, masters, arguments, cause):
    (custodian.home / "there").write_text("mine")
    (custodian.home / "bad").write_text("dev-1\ndev 2\n")
    write_secret(custodian.home / "text", base64.b64encode(b"correct horse battery staple").decode())
    write_secret(custodian.home / "open", base64.b64encode(masters[0]).decode()).chmod(0o644)
    done = custodian.look("key", "derive", *arguments)
    assert done.cause == cause, done
    assert "bad" not in arguments or "bad:2" in done.stderr
    assert not (custodian.home / "keys").exists() and not list(custodian.home.glob(".muster-*"))


def test_one_bad_label_or_source_makes_no_master(custodian, masters):
    assert custodian.muster("key", "generate-master").cause == "E1001"
    assert generate(custodian, "m", "--bits", "128").cause == "E1001"
    assert custodian.muster("key", "import-master", "--label", "m").cause == "E1001"
    write_secret(custodian.home / "text", base64.b64encode(b"correct horse battery staple").decode())
    assert import_master(custodian, "m", "text").cause == "E4313"
    assert custodian.token.objects("secrkey") == []


def from_descriptor(custodian, label, text):
    reader, writer = os.pipe()
    os.write(writer, text)
    os.close(writer)
    try:
        return custodian.muster("key", "import-master", "--label", label, "--from-fd", str(reader), pass_fds=[reader])
    finally:
        os.close(reader)


def test_master_comes_from_a_descriptor(custodian, masters):
    done = from_descriptor(custodian, "one", base64.b64encode(masters[0]) + b"\n")
    assert done.status == 0, done
    assert done.json["checkValue"] == custodian.look("key", "check-value", "--master-file", "one").json["checkValue"]


@pytest.mark.parametrize("text,cause", [
    (base64.b64encode(b"correct horse battery staple"), "E4313"), (base64.b64encode(bytes(32)), "E4313"),
    (base64.b64encode(bytes(range(8))), "E1006"), (b"no base64!", "E1006"), (b"", "E1006"),
])
def test_no_bad_master_from_a_descriptor_reaches_the_token(custodian, text, cause):
    done = from_descriptor(custodian, "m", text)
    assert done.cause == cause, done
    assert not custodian.journal.exists()
    assert custodian.token.objects("secrkey") == []


def test_a_master_typed_wrong_shows_by_its_check_value_and_never_itself(custodian, masters):
    """Whoever reads two check values aloud finds out which of the two masters it is."""
    right = {name: custodian.look("key", "check-value", "--master-file", name).json["checkValue"] for name in ("one", "two")}
    typed = (custodian.home / "one").read_text().strip()
    wrong = ("B" if typed[0] == "A" else "A") + typed[1:]
    for name, text in (("one", wrong), ("two", (custodian.home / "two").read_text().strip())):
        write_secret(custodian.home / "typed", text + "\n")
        done = import_master(custodian, name, "typed")
        assert done.status == 0 and (done.json["checkValue"] == right[name]) == (name == "two"), done
        assert text not in done.stdout + done.stderr and right[name] != text
    for text in (typed[:-1], typed[1:] + "?", typed + typed[:3]):
        write_secret(custodian.home / "typed", text + "\n")
        done = import_master(custodian, "three", "typed")
        assert done.status == 2 and "typed" in done.stderr and text not in done.stdout + done.stderr, done
    assert sorted(custodian.token.objects("secrkey")) == ["one", "two"]


def test_a_second_master_of_a_name_is_not_made(custodian):
    made = generate(custodian)
    typed = write_secret(custodian.home / "typed", base64.b64encode(os.urandom(32)).decode())
    for again in (generate(custodian), import_master(custodian, "master", typed.name)):
        assert (again.status, again.cause) == (7, "E1451") and "%" + made.json["keyId"][:2].upper() in again.stderr, again
    assert custodian.token.objects("secrkey") == ["master"]
    assert generate(custodian, "other").status == 0


def test_several_masters_of_a_name_are_refused(custodian):
    for number in (1, 2):
        custodian.token.write_master("master", bytes(range(number, 32 + number)))
    done = custodian.muster("key", "derive", "dev-1", "--master", "pkcs11:object=master", "--out", "keys")
    assert done.cause == "E4303" and done.stderr.count("id=%") == 2, done
    assert not (custodian.home / "keys").exists()


def test_a_master_in_the_place_of_another_derives_nothing(custodian):
    made = generate(custodian).json
    assert generate(custodian, "other").status == 0
    value = custodian.replace_master(made["keyId"], "master")
    for number, uri in enumerate(("pkcs11:object=master", "pkcs11:id=%" + "%".join(made["keyId"][i:i + 2] for i in range(0, 32, 2)))):
        done = custodian.muster("key", "derive", "dev-1", "--master", uri, "--out", f"keys{number}")
        assert done.cause == "E4340" and value in done.stderr and made["checkValue"] in done.stderr, done
        assert not (custodian.home / f"keys{number}").exists()
    both = custodian.muster("key", "derive", "dev-1", "--master", "pkcs11:object=other", "--secondary-master", "pkcs11:object=master",
                            "--out", "keys")
    assert both.cause == "E4340", both
    shown = custodian.muster("key", "check-value", "--master", "pkcs11:object=master")
    assert shown.json["checkValue"] == value, shown


def test_masters_that_exchanged_their_labels_derive_nothing(custodian):
    one, two = generate(custodian, "one").json["keyId"], generate(custodian, "two").json["keyId"]
    for old, label in ((one, "three"), (two, "one"), (one, "two")):
        custodian.token.rename("secret-key", old, label=label)
    for label in ("one", "two"):
        done = custodian.muster("key", "derive", "dev-1", "--master", f"pkcs11:object={label}", "--out", "keys")
        assert done.cause == "E4340" and "of that label" in done.stderr, done


def derive(custodian, uri, out="keys"):
    return custodian.muster("key", "derive", "dev-1", "--master", uri, "--out", out)


def uri_of(key_id):
    return "pkcs11:id=%" + "%".join(key_id[i:i + 2] for i in range(0, len(key_id), 2))


@pytest.mark.parametrize("new_id", [None, "0123"])
def test_a_master_of_no_or_another_id_in_the_place_of_another_derives_nothing(custodian, new_id):
    made = generate(custodian).json
    custodian.token.pkcs11_tool("--delete-object", "--type", "secrkey", "--id", made["keyId"])
    custodian.token.pkcs11_tool("--keygen", "--key-type", "GENERIC:32", "--label", "master", "--sensitive", *(["--id", new_id] if new_id else []))
    done = derive(custodian, "pkcs11:object=master")
    assert done.cause == "E4340" and made["checkValue"] in done.stderr and f"ID {new_id or 'none'}" in done.stderr, done
    assert not (custodian.home / "keys").exists()


def test_a_run_that_made_no_master_takes_no_label_over(custodian):
    """The label is taken, and that another was announced with it says nothing."""
    made = generate(custodian).json
    custodian.token.pkcs11_tool("--delete-object", "--type", "secrkey", "--id", made["keyId"])
    custodian.token.pkcs11_tool("--keygen", "--key-type", "GENERIC:32", "--label", "master", "--sensitive", "--id", "0123")
    for _ in range(2):
        assert generate(custodian).cause == "E1451"
        done = derive(custodian, "pkcs11:object=master")
        assert done.cause == "E4340" and made["checkValue"] in done.stderr, done
    assert generate(custodian, "other").status == 0
    assert derive(custodian, "pkcs11:object=master").cause == "E4340"


def test_a_master_goes_by_its_id_whatever_its_label(custodian):
    one, two = generate(custodian, "one").json["keyId"], generate(custodian, "two").json["keyId"]
    for old, label in ((one, "old"), (two, "one")):
        custodian.token.rename("secret-key", old, label=label)
    refused = derive(custodian, "pkcs11:object=one")
    assert refused.cause == "E4340" and "by the label 'two'" in refused.stderr and "by its ID" in refused.stderr, refused
    for number, key_id in enumerate((one, two)):
        done = derive(custodian, uri_of(key_id), f"keys{number}")
        assert done.status == 0, done


def test_a_master_whose_label_went_to_a_newer_one_derives(custodian):
    """The secondary became the primary, and a new secondary was made."""
    one, two = generate(custodian, "primary").json["keyId"], generate(custodian, "secondary").json["keyId"]
    for old, label in ((one, "old"), (two, "primary")):
        custodian.token.rename("secret-key", old, label=label)
    assert generate(custodian, "secondary").status == 0
    for label in ("primary", "secondary"):
        done = derive(custodian, f"pkcs11:object={label}", f"keys-{label}")
        assert done.status == 0, done


def test_a_master_that_took_the_label_of_one_that_was_destroyed_derives(custodian):
    was = generate(custodian).json["keyId"]
    custodian.token.pkcs11_tool("--delete-object", "--type", "secrkey", "--id", was)
    assert generate(custodian).status == 0
    done = custodian.muster("key", "derive", "dev-1", "--master", "pkcs11:object=master", "--out", "keys")
    assert done.status == 0, done


def test_a_master_that_no_journal_knows_derives(custodian):
    assert generate(custodian).status == 0
    custodian.journal.unlink()
    done = custodian.muster("key", "derive", "dev-1", "--master", "pkcs11:object=master", "--out", "keys")
    assert done.status == 0 and done.stderr == "", done
    assert not custodian.journal.exists()


@pytest.mark.parametrize("first,second", [
    (["--master-file", "one"], ["--secondary-master-file", "./one"]),
    (["--master-file", "one"], ["--secondary-master-file", "copy"]),
    (["--master", "pkcs11:object=mm"], ["--secondary-master", "pkcs11:object=mm;type=secret-key"]),
    (["--master", "pkcs11:object=mm"], ["--secondary-master-file", "one"]),
])
def test_one_master_by_two_names_is_refused(custodian, masters, first, second):
    """What the keys of a device are tells whether both are one; nothing is written then."""
    write_secret(custodian.home / "copy", (custodian.home / "one").read_text())
    assert import_master(custodian, "mm", "one").status == 0
    for out in ["--out", "keys"], ["--key-fd", "1"]:
        done = custodian.muster("key", "derive", "dev-1", "dev-2", *first, *second, *out)
        assert (done.status, done.cause) == (5, "E4321") and "Key" not in done.stdout, done
    assert not (custodian.home / "keys").exists()


def test_masters_in_two_tokens_are_refused_as_that(custodian, tokens):
    other = tokens.make("other", pin="135790")
    assert generate(custodian).status == 0
    for second in f"pkcs11:object=mm;token={other.label}", other.key_uri("mm", "secret-key"):
        done = custodian.muster("key", "derive", "dev-1", "--master", "pkcs11:object=master", "--secondary-master", second, "--out", "keys")
        assert (done.status, done.cause) == (2, "E1001") and "have to be in one" in done.stderr, done
    assert not (custodian.home / "keys").exists()


def test_masters_are_found_in_one_token_beside_that_of_the_environment(custodian, tokens, tmp_path):
    """The environment's is in another module; both masters name theirs."""
    other = tokens.make("other", pin="135790")
    assert generate(Custodian(custodian.home, other)).status == 0
    library = shutil.copy(SOFTHSM_MODULE, tmp_path / "other.so")
    configuration = custodian.home / ".config/muster/muster.yaml"
    configuration.parent.mkdir(parents=True)
    configuration.write_text(json.dumps({"modules": {"other": {"path": str(library),
                                                               "environment": [f"SOFTHSM2_CONF={tokens.configuration}"]}}}))
    uri = other.key_uri("master", "secret-key").replace(f"module-path={SOFTHSM_MODULE}", "module-name=other")
    done = custodian.look("key", "derive", "dev-1", "--master", uri, "--out", "keys", env={"MUSTER_TOKEN": custodian.token.uri})
    assert done.status == 0, done
