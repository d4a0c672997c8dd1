"""A token held against the journal: what is there and not written down, what is written down and not there, and what changed."""
import json
import shutil
import sqlite3

import pytest

from lib.custodian import Custodian
from lib.killer import killer
from lib.paths import RELEASE, SOFTHSM_MODULE
from lib.software_token import write_secret


@pytest.fixture
def custodian(tmp_path, token):
    return Custodian(tmp_path / "home", token)


def audit(custodian, **options):
    return custodian.look("hsm", "audit", custodian.token.uri, "--pin-file", custodian.token.pin_file, "--journal",
                          custodian.journal, **options)


def findings(custodian):
    done = audit(custodian)
    assert (done.status, done.cause) == (8, "E4315"), done
    assert all(row["remedy"] for row in done.json["findings"])
    return {(row["finding"], row.get("label")) for row in done.json["findings"]}


def fill(custodian):
    """A pair with its certificate, a pair without, and two masters."""
    for arguments in (["cert", "self-sign", "--key-type", "ec-p256", "--label", "line", "--subject", "CN=line", "--days", "9", "--store"],
                      ["cert", "request", "--key-type", "rsa-2048", "--label", "dev", "--subject", "CN=dev"],
                      ["key", "generate-master", "--label", "master"], ["key", "generate-master", "--label", "other"]):
        made = custodian.muster(*arguments)
        assert made.status == 0, made
        yield made.json["keyId"]


def test_what_muster_made_is_what_the_journal_says(custodian):
    assert len(list(fill(custodian))) == 4
    before = custodian.journal.read_bytes()
    done = audit(custodian)
    assert done.status == 0, done
    assert (done.json["keys"], done.json["findings"]) == (4, [])
    assert done.json["objects"] == 7
    assert custodian.journal.read_bytes() == before


def test_what_provisioning_made_is_what_the_journal_says(hsm_station, token):
    for serial in ("one", "two"):
        done = hsm_station.provision(hsm_station.profile("hsm-x509"), serial, "--token", token.uri, "--pin-file", token.pin_file)
        assert done.status == 0, done
    done = hsm_station.muster("hsm", "audit", token.uri, "--pin-file", token.pin_file, "--journal", hsm_station.journal, "-o", "json")
    assert done.status == 0, done
    assert (done.json["keys"], done.json["objects"], done.json["findings"]) == (2, 6, [])
    token.pkcs11_tool("--delete-object", "--type", "cert", "--label", "one")
    done = hsm_station.muster("hsm", "audit", token.uri, "--pin-file", token.pin_file, "--journal", hsm_station.journal, "-o", "json")
    assert [(row["finding"], row["label"]) for row in done.json["findings"]] == [("certificate-missing", "one")]


def test_objects_that_nobody_wrote_down(custodian):
    list(fill(custodian))
    custodian.token.pkcs11_tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", "strange", "--id", "01")
    custodian.token.pkcs11_tool("--write-object", custodian.token.pin_file, "--type", "data", "--label", "nameless")
    assert findings(custodian) == {("object-without-row", "strange"), ("object-without-id", "nameless")}


def test_keys_that_are_not_there_any_more(custodian):
    line, *_ = fill(custodian)
    custodian.token.pkcs11_tool("--delete-object", "--type", "privkey", "--id", line)
    custodian.token.pkcs11_tool("--delete-object", "--type", "secrkey", "--label", "master")
    assert findings(custodian) == {("key-missing", "line"), ("key-missing", "master")}


def rewrite(custodian, key_id, old, new):
    """The journal says otherwise: what a token that changed looks like."""
    with sqlite3.connect(custodian.journal) as journal:
        journal.executescript("DROP TRIGGER entry_is_final")
        changed = journal.execute("UPDATE entry SET body = replace(body, ?, ?) WHERE kind = 'outcome' AND body LIKE ?",
                                  (old, new, f'%"keyId":"{key_id}"%')).rowcount
        assert changed == 1


def test_rights_that_changed(custodian):
    line, *_ = fill(custodian)
    rewrite(custodian, line, "derive=false", "derive=true")
    done = audit(custodian)
    row, = done.json["findings"]
    assert (row["finding"], row["keyId"], row["detail"]) == ("attributes-changed", line, "derive was true and is false")


def test_another_public_half(custodian):
    line, *_ = fill(custodian)
    recorded = next(body["publicSha256"] for kind, body in custodian.entries() if kind == "outcome" and body.get("keyId") == line)
    rewrite(custodian, line, recorded, recorded[::-1])
    assert findings(custodian) == {("public-half-changed", "line")}


def exchange_private_halves(token, one, other):
    for old, new in ((one, "ff"), (other, one), ("ff", other)):
        token.rename("private", old, new_id=new)


@pytest.mark.parametrize("key_type", ["ec-p256", "ec-p384", "rsa-2048", "ed25519"])
def test_private_halves_that_were_exchanged(custodian, key_type):
    ids = []
    for label in ("a", "b"):
        made = custodian.muster("cert", "request", "--key-type", key_type, "--label", label, "--subject", f"CN={label}")
        ids.append(made.json["keyId"])
    assert audit(custodian).status == 0
    exchange_private_halves(custodian.token, *ids)
    custodian.token.rename("private", ids[0], label="a")
    custodian.token.rename("private", ids[1], label="b")
    assert findings(custodian) == {("private-half-changed", "a"), ("private-half-changed", "b")}


def test_private_halves_of_different_types_that_were_exchanged(custodian):
    line, dev, *_ = fill(custodian)
    exchange_private_halves(custodian.token, line, dev)
    assert {row for row in findings(custodian) if row[0] == "private-half-changed"} == {("private-half-changed", "line"),
                                                                                        ("private-half-changed", "dev")}


def test_private_halves_of_devices_that_were_exchanged(hsm_station, token):
    for serial in ("one", "two"):
        done = hsm_station.provision(hsm_station.profile("hsm-x509"), serial, "--token", token.uri, "--pin-file", token.pin_file)
        assert done.status == 0, done
    exchange_private_halves(token, *token.key_ids())
    done = hsm_station.muster("hsm", "audit", token.uri, "--pin-file", token.pin_file, "--journal", hsm_station.journal, "-o", "json")
    assert done.cause == "E4315", done
    assert {(row["finding"], row["label"]) for row in done.json["findings"]} == {
        (finding, serial) for finding in ("private-half-changed", "label-changed") for serial in ("one", "two")}


def test_labels_that_were_exchanged(custodian):
    line, dev, master, _ = fill(custodian)
    custodian.token.rename("private", line, label="dev")
    custodian.token.rename("private", dev, label="line")
    custodian.token.rename("secret-key", master, label="third")
    done = audit(custodian)
    assert {(row["finding"], row["label"], row["detail"]) for row in done.json["findings"]} == {
        ("label-changed", "line", "it was 'line' and is 'dev'"), ("label-changed", "dev", "it was 'dev' and is 'line'"),
        ("label-changed", "master", "it was 'master' and is 'third'")}


def test_the_label_of_a_second_key_is_known(hsm_station, token):
    profile = hsm_station.profile("hsm-x509", {"attestation": {"x509": {"token": None, "secondaryKey": "own", "secondaryValidDays": 730}}})
    done = hsm_station.provision(profile, "one", "--token", token.uri, "--pin-file", token.pin_file)
    assert done.status == 0, done
    look = ("hsm", "audit", token.uri, "--pin-file", token.pin_file, "--journal", hsm_station.journal, "-o", "json")
    assert hsm_station.muster(*look).status == 0
    second = json.loads(open(done.json["evidence"]).read())["attestation"]["secondaryKeyId"]
    token.rename("private", second, label="one")
    row, = hsm_station.muster(*look).json["findings"]
    assert (row["finding"], row["detail"]) == ("label-changed", "it was 'one+secondary' and is 'one'")


def test_a_master_in_the_place_of_another(custodian):
    *_, master, _ = fill(custodian)
    was = next(body["checkValue"] for kind, body in custodian.entries() if body.get("keyId") == master and "checkValue" in body)
    value = custodian.replace_master(master, "master")
    row, = audit(custodian).json["findings"]
    assert (row["finding"], row["label"], row["detail"]) == ("master-changed", "master",
                                                             f"its check value was {was} and is {value}")


@pytest.mark.parametrize("usage, key_type", [("--usage-decrypt", "RSA:2048"), ("--always-auth", "EC:prime256v1")])
def test_a_key_that_may_not_sign_or_wants_its_pin_for_it_is_not_asked_to(custodian, usage, key_type):
    line, dev, *_ = fill(custodian)
    key = dev if key_type.startswith("RSA") else line
    label = "dev" if key == dev else "line"
    for kind in ("privkey", "pubkey"):
        custodian.token.pkcs11_tool("--delete-object", "--type", kind, "--id", key)
    custodian.token.pkcs11_tool("--keypairgen", "--key-type", key_type, "--label", label, "--id", key, usage)
    shown = custodian.look("hsm", "show", custodian.token.uri, "--pin-file", custodian.token.pin_file)
    now = next(row["publicSha256"] for row in shown.json["objects"] if row.get("id") == key and row["kind"] == "private-key")
    was = next(body["publicSha256"] for kind, body in custodian.entries() if kind == "outcome" and body.get("keyId") == key)
    rewrite(custodian, key, was, now)
    assert findings(custodian) == {("attributes-changed", label)}


def test_several_keys_of_one_id(custodian):
    line, *_ = fill(custodian)
    custodian.token.pkcs11_tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", "double", "--id", line)
    assert ("key-twice", "line") in findings(custodian)


def test_a_half_made_key_and_what_mends_it(tmp_path, token):
    custodian = Custodian(tmp_path / "home", token, build=RELEASE)
    list(fill(custodian))
    cut = custodian.muster("cert", "request", "--key-type", "ec-p256", "--label", "cut", "--subject", "CN=cut",
                           wrapper=killer("sendmsg", 4))
    assert cut.status != 0, cut
    assert len(token.objects("privkey")) == 3
    assert findings(custodian) == {("key-unfinished", "cut")}
    assert custodian.muster("key", "generate-master", "--label", "next").status == 0
    assert audit(custodian).status == 0


def test_an_object_without_even_a_class(tmp_path, token):
    """SoftHSM was ended when it had written one attribute of a new object (a key type): seen, told, and swept after a cut."""
    custodian = Custodian(tmp_path / "home", token, build=RELEASE)
    list(fill(custodian))
    directory, = (path for path in token.module.store.iterdir() if path.is_dir())
    torn = directory / "d47324d2-8d91-2a0b-2db3-9b17a64e15b4.object"
    torn.write_bytes(b"".join(number.to_bytes(8, "big") for number in (2, 0x100, 2, 3)))
    torn.with_suffix(".lock").touch()
    assert findings(custodian) == {("object-without-id", "")}
    shown = custodian.muster("cert", "request", "--key-type", "ec-p256", "--label", "cut", "--subject", "CN=cut", wrapper=killer("sendmsg", 4))
    assert shown.status != 0, shown
    assert custodian.muster("key", "generate-master", "--label", "next").status == 0
    assert audit(custodian).status == 0


CLASS, TOKEN, PRIVATE, LABEL, VALUE, KEY_TYPE, URL = 0, 1, 2, 3, 0x11, 0x100, 0x89
CERTIFICATE_CLASS, PRIVATE_KEY_CLASS = 1, 3
DSA, EC = 1, 3


def plant(token, name, **attributes):
    """An object as SoftHSM keeps it: numbers of eight bytes, texts with their length."""
    content = [2]
    for kind, value in {TOKEN: True, PRIVATE: False, **{globals()[key]: value for key, value in attributes.items()}}.items():
        content += [kind, 1 if isinstance(value, bool) else 2 if isinstance(value, int) else 3]
        content += [value] if isinstance(value, int) else [len(value), value]
    directory, = (path for path in token.module.store.iterdir() if path.is_dir())
    path = directory / f"d47324d2-8d91-2a0b-2db3-{name:012}.object"
    path.write_bytes(b"".join(part if isinstance(part, bytes) else part.to_bytes(1 if isinstance(part, bool) else 8, "big")
                              for part in content))
    path.with_suffix(".lock").touch()
    return path


def test_what_others_made_without_an_id_is_not_swept(tmp_path, token):
    custodian = Custodian(tmp_path / "home", token, build=RELEASE)
    list(fill(custodian))
    others = [plant(token, 1, CLASS=PRIVATE_KEY_CLASS, KEY_TYPE=DSA, VALUE=b"x" * 20, LABEL=b"payroll"),
              plant(token, 2, CLASS=PRIVATE_KEY_CLASS, KEY_TYPE=DSA, VALUE=b"x" * 20),
              plant(token, 3, CLASS=PRIVATE_KEY_CLASS, KEY_TYPE=EC, LABEL=b"half of somebody's"),
              plant(token, 4, CLASS=CERTIFICATE_CLASS, URL=b"https://example.com/1.crt")]
    torn = [plant(token, 5, CLASS=PRIVATE_KEY_CLASS, KEY_TYPE=EC), plant(token, 6, CLASS=PRIVATE_KEY_CLASS),
            plant(token, 7, CLASS=CERTIFICATE_CLASS)]
    custodian.muster("cert", "request", "--key-type", "ec-p256", "--label", "cut", "--subject", "CN=cut", wrapper=killer("sendmsg", 4))
    assert custodian.muster("key", "generate-master", "--label", "next").status == 0
    assert [path.exists() for path in others] == [True] * len(others)
    assert [path.exists() for path in torn] == [False] * len(torn)


def test_a_destroyed_key_that_is_back(tmp_path, token):
    """Somebody put an old copy of the token in its place."""
    custodian = Custodian(tmp_path / "home", token, build=RELEASE)
    list(fill(custodian))
    custodian.muster("cert", "request", "--key-type", "ec-p256", "--label", "cut", "--subject", "CN=cut", wrapper=killer("sendmsg", 4))
    saved = token.module.save()
    assert custodian.muster("key", "generate-master", "--label", "next").status == 0
    token.module.restore(saved)
    assert findings(custodian) == {("object-destroyed-before", "cut"), ("key-missing", "next")}


SO_PIN = "so-246810"


def initialise(custodian, label, *arguments):
    """A token of that label, with the PINs of the stories' tokens; another one is wiped for it."""
    so_pin = write_secret(custodian.home / "so", SO_PIN)
    where = custodian.token.uri if arguments else f"pkcs11:?module-path={SOFTHSM_MODULE}"
    done = custodian.look("hsm", "init", where, "--label", label, "--so-pin-file", so_pin, "--pin-file", custodian.token.pin_file, *arguments)
    assert done.status == 0, done
    return done.json["serial"]


def other_tokens(custodian, label=None):
    """What an audit of the token of that label says of others: which label, and what."""
    uri = custodian.token.uri_by_label().replace(custodian.token.label, label or custodian.token.label, 1)
    done = custodian.look("hsm", "audit", uri, "--journal", custodian.journal)
    rows = [row for row in done.json["findings"] if row["finding"] == "token-otherwise"]
    assert (done.status == 8) == bool(done.json["findings"]), done
    return [(row["label"], row["detail"]) for row in rows], len(done.json["findings"])


@pytest.fixture
def desk(tmp_path, token):
    """A token with all kinds of keys, of a serial number that a wipe keeps."""
    desk = Custodian(tmp_path / "home", token)
    list(fill(desk))
    return desk


def test_a_token_that_was_wiped_under_another_label(desk):
    assert initialise(desk, "line-9", "--yes", desk.token.label) == desk.token.serial
    (found,), count = other_tokens(desk, "line-9")
    assert found[0] == desk.token.label and "4 keys" in found[1] and desk.token.serial in found[1] and count == 1


def test_a_token_that_was_exchanged_for_another_of_its_label(desk):
    was = desk.token.serial
    shutil.rmtree(desk.token.module.store)
    desk.token.module.store.mkdir()
    assert initialise(desk, desk.token.label) != was
    (found,), count = other_tokens(desk)
    assert found[0] == desk.token.label and "4 keys" in found[1] and was in found[1] and count == 1
    made = desk.look("key", "generate-master", "--label", "later", "--token", desk.token.uri_by_label(), "--journal", desk.journal)
    assert made.status == 0, made
    assert other_tokens(desk) == ([found], 1)


def test_another_token_of_the_label_that_is_in_reach_is_no_finding(desk, tokens):
    """Two tokens of one label, each with a key of its own."""
    saved = desk.token.module.save()
    shutil.rmtree(desk.token.module.store)
    desk.token.module.store.mkdir()
    initialise(desk, desk.token.label)
    assert len(other_tokens(desk)[0]) == 1
    for path in saved.iterdir():
        shutil.copytree(path, desk.token.module.store / path.name)
    new, = {token["serial"] for token in desk.look("hsm", "list", "--module", SOFTHSM_MODULE).json if token["label"] == desk.token.label} - {
        desk.token.serial}
    done = desk.look("hsm", "audit", desk.token.uri.replace(desk.token.serial, new), "--journal", desk.journal)
    assert (done.status, done.json["findings"]) == (0, []), done
    assert audit(desk).status == 0


def test_two_tokens_of_a_label_that_were_used_by_turns_are_two(desk):
    first = desk.token.module.save("first")
    shutil.rmtree(desk.token.module.store)
    desk.token.module.store.mkdir()
    initialise(desk, desk.token.label)
    made = desk.look("key", "generate-master", "--label", "a", "--token", desk.token.uri_by_label(), "--journal", desk.journal)
    assert made.status == 0, made
    second = desk.token.module.save("second")
    desk.token.module.restore(first)
    assert desk.muster("key", "generate-master", "--label", "b").status == 0
    desk.token.module.restore(second)
    assert other_tokens(desk) == ([], 0)


def test_people_get_a_table_and_a_sentence(custodian):
    list(fill(custodian))
    good = audit(custodian, wrapper=())
    assert good.status == 0
    custodian.token.pkcs11_tool("--delete-object", "--type", "secrkey", "--label", "master")
    said = custodian.look("hsm", "audit", custodian.token.uri, "--pin-file", custodian.token.pin_file, "--journal",
                          custodian.journal, "-o", "table")
    assert "key-missing" in said.stdout and "FINDING" in said.stdout, said
    assert "differ in 1 point" in said.stderr, said
