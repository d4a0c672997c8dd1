"""What muster enrollment import finds wrong in a file, with its place, before the first request."""
import base64
import json

import pytest

from lib.bulk import KEYS, devices_file, lines_file, names, sums, symmetric
from lib.enrollment import EnrollmentDesk, endorsement_key
from lib.program import run

HUB = "hub-1.azure-devices.net"


@pytest.fixture
def desk(station):
    return EnrollmentDesk(station)


def jsonl(*rows):
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


GOOD = symmetric("good")
LONGEST = 98304  # bytes of a document that still goes into a request


def of_length(name, size):
    """An enrollment of so many bytes, without spaces."""
    def made(text):
        return symmetric(name, initialTwin={"tags": {"text": text}})

    return made("x" * (size - len(json.dumps(made(""), separators=(",", ":")))))


def as_dump(key):
    """The endorsement key as tpm2-tools write it down: numbers of this machine's byte order."""
    text = base64.b64decode(key)
    return base64.b64encode(text[1::-1] + text[3:1:-1] + text[5:3:-1] + text[6:]).decode()


EK_DUMP = as_dump(endorsement_key())
MISTAKES = {
    "unknown-column.csv": ("registrationId,colour\na,red\n", ["1:16"]),
    "near-column.csv": ("registrationId,atestation\na,tpm\n", ["1:16"]),
    "no-id-column.csv": ("deviceId,attestation\na,tpm\n", ["1:1"]),
    "column-twice.csv": ("registrationId,etag,etag\na,,\n", ["1:21"]),
    "many-columns.csv": ("registrationId" + ",x" * 100000 + "\n", ["1:140"]),
    "short-row.csv": ("registrationId,attestation\na\nb,symmetricKey\n", ["2:1"]),
    "long-row.csv": ("registrationId,attestation\na,symmetricKey,c\n", ["2:1"]),
    "wrong-words.csv": ("registrationId,attestation,iotEdge\na,tpmm,\nb,symmetricKey,yes\n", ["2:3", "3:16"]),
    "quote.csv": ('registrationId,attestation\na"b,symmetricKey\nc,nothing\n', ["2:2"]),
    "open-quote.csv": ('registrationId,attestation\n"a,symmetricKey\n', ["2:1"]),
    "twice.csv": ("registrationId,attestation\nab,symmetricKey\nab,symmetricKey\nAB,symmetricKey\n", ["3:1", "4:1"]),
    "id-empty.csv": ("registrationId,attestation\n,symmetricKey\n", ["2:1"]),
    "id-long.csv": ("registrationId,attestation\n" + "x" * 129 + ",symmetricKey\n", ["2:1"]),
    "id-alike.csv": ("registrationId,attestation\nd\u0435v-1,symmetricKey\n", ["2:1"]),
    "id-path.csv": ("registrationId,attestation\n../a,symmetricKey\n=cmd,symmetricKey\n", ["2:1", "3:1"]),
    "id-newline.csv": ('registrationId,attestation\n"a\nb",symmetricKey\nc,tpm\n', ["2:1", "4:3"]),
    "not-utf8.csv": (b"registrationId,attestation\na\xff,symmetricKey\n", ["2:1"]),
    "nul.csv": (b"registrationId,attestation\na\0b,symmetricKey\n", ["2:1"]),
    "key.csv": ("registrationId,attestation,primaryKey\na,symmetricKey,c2hvcnQ=\n", ["2:16"]),
    "certificate.csv": ("registrationId,attestation,certificate\na,x509,nonsense\n", ["2:8"]),
    "no-certificate.csv": ("registrationId,attestation\na,x509\n", ["2:3"]),
    "static.csv": (f"registrationId,attestation,allocationPolicy,iotHubs\na,symmetricKey,static,{HUB} {HUB}\n", ["2:23"]),
    "twin.csv": ('registrationId,attestation,tags\na,symmetricKey,"{""a"":}"\n', ["2:16"]),
    "umlauts.csv": ('registrationId,tags,attestation\na,"{""\u00fc"": 1}",tpmm\n', ["2:16"]),
    "lone-returns.csv": ("registrationId,attestation\ra,symmetricKey\rb,tpmm\r", ["3:3"]),
    "empty.csv": ("", ["1:1"]),
    "blank.csv": (b"\xef\xbb\xbf\r\n\n", ["1:1"]),
    "ek-dump.csv": (f"registrationId,attestation,endorsementKey\na,tpm,{EK_DUMP}\nb,tpm,{endorsement_key()}\n", ["2:7"]),
    "large.csv": (f'registrationId,attestation,tags\na,symmetricKey,\nb,symmetricKey,"{{""text"": ""{"x" * 100000}""}}"\n', ["3:1"]),
    "broken.jsonl": (jsonl(GOOD, '{"registrationId": "b" "attestation": 1}'), ["2:24"]),
    "array.jsonl": (jsonl(GOOD, "[]"), ["2:1"]),
    "unknown.jsonl": (jsonl({**GOOD, "colour": "red"}), [f"1:{len(json.dumps(GOOD)) + 2}"]),
    "key.jsonl": (jsonl('{"registrationId":"a","attestation":{"type":"symmetricKey","symmetricKey":{"primaryKey":"x"}}}'), ["1:76"]),
    "twice.jsonl": (jsonl(GOOD, {**GOOD, "registrationId": "Good"}), ["2:2"]),
    "member-twice.jsonl": (jsonl('{"registrationId":"a","registrationId":"b"}'), ["1:23"]),
    "deep.jsonl": (jsonl(GOOD, "[" * 1000), ["2:34"]),
    "document.json": (json.dumps([GOOD, GOOD], indent=2) + "\n", ["1:1"]),
    "array-first.jsonl": (jsonl([GOOD, GOOD], GOOD), ["1:1"]),
    "object.jsonl": (json.dumps(GOOD, indent=2), ["1:1"]),
    "empty-id.jsonl": (jsonl({**GOOD, "registrationId": ""}), ["1:2"]),
    "no-attestation.jsonl": (jsonl({"registrationId": "a"}), ["1:1"]),
    "ek-dump.jsonl": (jsonl({"registrationId": "a", "attestation": {"type": "tpm", "tpm": {"endorsementKey": EK_DUMP}}}), ["1:64"]),
    "large.jsonl": (jsonl(GOOD, of_length("a", LONGEST + 1), of_length("b", LONGEST), " " * 1000 + json.dumps(of_length("c", 150000))),
                    ["2:1", "4:1"]),
    "long.jsonl": (jsonl(GOOD, "x" * 300000), ["2:1"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_have_a_place(tmp_path, name):
    """No service is even named: the file comes first."""
    text, places = MISTAKES[name]
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    done = run("enrollment", "import", path, home=tmp_path)
    assert (done.status, done.cause) == (2, "E1430"), done
    found = [line.split(": ")[0].removeprefix(f"{path}:") for line in done.stderr.splitlines() if line.startswith(str(path))]
    assert found == places, done


def test_the_name_of_a_member_leads_to_its_column(tmp_path):
    path = tmp_path / "members.csv"
    path.write_text("registrationId,attestation.type,attestation.symmetricKey.primaryKey\na,symmetricKey,\n")
    done = run("enrollment", "import", path, home=tmp_path)
    assert "did you mean 'attestation'?" in done.stderr and "did you mean 'primaryKey'?" in done.stderr, done


@pytest.mark.parametrize("head, words", [("registrationId,colour", "registrationId, deviceId, attestation"),
                                         ("registrationId;deviceId", "separated by commas")])
def test_a_column_that_is_none_is_told_which_there_are(tmp_path, head, words):
    path = tmp_path / "devices.csv"
    path.write_text(f"{head}\na,b\n")
    done = run("enrollment", "import", path, home=tmp_path)
    assert (done.status, done.cause) == (2, "E1430") and words in done.stderr, done


def test_mistakes_send_nothing(desk):
    done = desk.run("import", lines_file(desk, [GOOD, {**GOOD, "registrationId": "GOOD"}]))
    assert (done.status, done.cause) == (2, "E1430"), done
    assert desk.emulator.ledger() == []


def beside_a_certificate(certificates):
    """Texts that hold a certificate, and what must not go with it."""
    pem, chain = certificates.make("dev-1").read_text(), certificates.make("ca").read_text()
    key = (certificates.directory / "dev-1.key").read_text()
    texts = {"key before": key + pem, "key behind": pem + key, "chain": pem + chain, "words": f"subject=CN = dev-1\n{pem}"}
    return {**texts, **{f"base64 of {name}": base64.b64encode(text.encode()).decode() for name, text in texts.items()}}


@pytest.mark.parametrize("end", ["csv", "jsonl"])
@pytest.mark.parametrize("which", ["primary", "secondary"])
def test_of_a_certificate_no_key_and_no_chain_leaves(desk, certificates, end, which):
    path = desk.home / f"devices.{end}"
    desk.restart("--ledger-bodies")
    for name, text in beside_a_certificate(certificates).items():
        if end == "csv":
            column = "certificate" if which == "primary" else "secondaryCertificate"
            path.write_text(f'registrationId,attestation,{column}\ndev-1,x509,"{text}"\n')
        else:
            x509 = {"clientCertificates": {which: {"certificate": text}}}
            lines_file(desk, [{"registrationId": "dev-1", "attestation": {"type": "x509", "x509": x509}}])
        for mode in ("create", "update"):
            done = desk.run("import", path, "--mode", mode)
            assert (done.status, done.cause) == (2, "E1430") and f"{path}:{2 if end == 'csv' else 1}:" in done.stderr, (name, done)
            assert "holds more than the device's certificate" in done.stderr and "MII" not in done.stderr, (name, done)
    assert desk.emulator.ledger() == []


def test_a_certificate_alone_is_enrolled(desk, certificates):
    pem = certificates.make("dev-1").read_text()
    path = desk.home / "devices.csv"
    path.write_text(f'registrationId,attestation,certificate,secondaryCertificate\ndev-1,x509,"{pem}",'
                    f'{base64.b64encode(pem.encode()).decode()}\n')
    assert sums(desk.run("import", path)) == {"written": 1}


def test_certificates_that_a_device_would_fail_with_are_told(desk, certificates):
    good, expired, other = certificates.make("dev-1", "DEV-1"), certificates.expired("dev-2"), certificates.make("dev-3", "someone")
    path = desk.home / "devices.csv"
    path.write_text("registrationId,attestation,certificate\n" +
                    "".join(f'{name.stem},x509,"{name.read_text()}"\n' for name in (good, expired, other)))
    lines = path.read_text().splitlines()
    done = desk.run("import", path)
    assert done.status == 0 and sums(done) == {"written": 3}, done
    warnings = [line for line in done.stderr.splitlines() if "devices.csv:" in line]
    assert len(warnings) == 2 and "expired at 2021-01-01T00:00:00" in warnings[0] and "common name 'someone'" in warnings[1], done
    for warning, name in zip(warnings, ("dev-2", "dev-3")):
        row = next(number for number, line in enumerate(lines, 1) if line.startswith(name))
        assert f"devices.csv:{row}:12: " in warning, done


def test_the_largest_rows_go_alone_and_larger_ones_not_at_all(desk):
    rows = [*map(symmetric, names(3)), of_length("dev-0003", LONGEST), *map(symmetric, names(6)[4:])]
    assert sums(desk.run("import", lines_file(desk, rows))) == {"written": 6}
    rows[3] = of_length("dev-0003", LONGEST + 1)
    for mode in ("create", "update"):
        done = desk.run("import", lines_file(desk, rows), "--mode", mode)
        assert (done.status, done.cause) == (2, "E1430") and "has 98305 bytes, at most 98304" in done.stderr, done
    assert sums(desk.run("import", lines_file(desk, rows), "--mode", "delete")) == {"written": 6}


def test_update_if_match_needs_etags(desk):
    done = desk.run("import", devices_file(desk, 1), "--mode", "update-if-match")
    assert done.status == 2 and "etag: is missing" in done.stderr, done


@pytest.mark.parametrize("mode", ["update-if-match", "delete"])
@pytest.mark.parametrize("etag", ["a\nb", 5])
def test_an_etag_is_a_string_of_one_line(tmp_path, mode, etag):
    path = tmp_path / "devices.jsonl"
    path.write_text(jsonl({**GOOD, "etag": "good"}, {**symmetric("other"), "etag": etag}))
    done = run("enrollment", "import", path, "--mode", mode, home=tmp_path)
    assert (done.status, done.cause) == (2, "E1430"), done
    assert done.stderr.count("devices.jsonl:") == 1 and ":2:" in done.stderr and "etag: must be" in done.stderr, done


@pytest.mark.parametrize("words", [["nothing.csv"], ["/dev/null"], [], ["a.csv", "b.csv"], ["a.csv", "--mode", "replace"],
                                   ["a.csv", "--parallel=0"], ["a.csv", "--parallel", "17"], ["a.csv", "--parallel=x"]])
def test_wrong_lines(desk, words):
    done = desk.run("import", *words)
    assert done.status == 2, done
    assert desk.emulator.ledger() == []


@pytest.mark.parametrize("name, text", [("head.csv", "registrationId,attestation\n"), ("none.jsonl", ""), ("blank.jsonl", "\n\n")])
def test_a_file_without_rows_is_done_at_once_and_says_so(desk, name, text):
    path = desk.home / name
    path.write_text(text)
    done = desk.run("import", path)
    assert done.status == 0 and done.json["rows"] == 0 and "has no rows" in done.stderr, done


@pytest.mark.parametrize("mode, warns", [(0o600, False), (0o700, False), (0o640, True), (0o604, True), (0o622, True)])
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_table_with_keys_is_not_for_others(desk, form, mode, warns):
    path = desk.home / f"devices.{form}"
    path.write_text(json.dumps(symmetric("dev-1")) + "\n" if form == "jsonl" else
                    f"registrationId,attestation,primaryKey,secondaryKey\ndev-1,symmetricKey,{KEYS['primaryKey']},{KEYS['secondaryKey']}\n")
    path.chmod(mode)
    done = desk.run("import", path, "--dry-run")
    said = [line for line in done.stderr.splitlines() if "holds keys" in line]
    assert done.status == 0 and len(said) == warns and KEYS["primaryKey"] not in done.stderr, done
    assert not warns or ("going on" in said[0] and str(path) in said[0]), said


def test_a_table_without_keys_is_for_anybody(desk):
    path = desk.home / "devices.csv"
    path.write_text("registrationId,attestation\ndev-1,symmetricKey\n")
    path.chmod(0o644)
    done = desk.run("import", path, "--dry-run")
    assert done.status == 0 and "holds keys" not in done.stderr, done
