"""A journal that was put back from a backup has keys as only begun that are a living device's or authority's: none is destroyed."""
import shutil

import pytest

from lib.custodian import Custodian, openssl
from lib.killer import go_on, killer
from lib.paths import RELEASE
from test_hsm_terms import SERIAL, audit, entries, key_in, opened, profile_of, provision
from test_offline import spool

CONFLICT = 7


@pytest.fixture
def bench(release_station, tokens, token):
    """A station whose journal was copied while the device's key was being made, and which went on; the journal of the two is the copy."""
    station, profile = release_station, profile_of(release_station)
    station.env["SOFTHSM2_CONF"] = tokens.configuration
    provision(station, token, profile, wrapper=killer("sendmsg", 5))
    told = [(kind, body.get("step")) for kind, body in entries(station) if body.get("keyId")]
    assert ("intent", "key-make") in told and not any(kind == "outcome" for kind, _ in told), told
    older = shutil.copy(station.journal, station.home / "older.db")
    done = go_on(lambda: provision(station, token, profile), lambda: station.muster("hsm", "acknowledge", token.uri))
    assert done.status == 0 and done.json["verified"] is True, done
    station.newer, station.journal = station.journal, older
    return station


def held(token):
    return key_in(token), token.objects("cert"), token.objects("privkey")


def assert_refused(station, token, *arguments):
    before = held(token)
    for extra in ([], ["--offline"]):
        done = provision(station, token, profile_of(station), *arguments, *extra)
        assert (done.status, done.cause) == (CONFLICT, "E4330") and "older than the token" in done.stderr, done
        assert "journal verify --anchor" in done.stderr and held(token) == before, done
    assert len(station.emulator.effects("put", SERIAL)) == 1


def test_what_has_a_certificate_in_the_token_is_not_destroyed(bench, token):
    bench.out.rename(bench.home / "evidence of the line")
    assert_refused(bench, token)
    bench.journal = bench.newer
    done = provision(bench, token, profile_of(bench))
    assert done.status == 0 and done.json["state"] == "already enrolled", done


def test_what_the_evidence_names_is_not_destroyed(bench, token):
    token.pkcs11_tool("--delete-object", "--type", "cert", "--id", token.key_ids()[0])
    assert_refused(bench, token)
    dry = provision(bench, token, profile_of(bench), "--dry-run")
    assert dry.cause == "E4330", dry


def test_the_audit_advises_no_destruction_of_it(bench, token):
    done = bench.muster("hsm", "audit", token.uri, "--pin-file", token.pin_file, "--journal", bench.journal, "-o", "json")
    assert {(row["finding"], row["label"]) for row in done.json["findings"]} == {("key-unfinished", SERIAL)}, done
    assert all("destroyed then" not in row["remedy"] and "journal verify --anchor" in row["remedy"] for row in done.json["findings"])


@pytest.mark.parametrize("call,n", [("sendmsg", 6), ("sendmsg", 7)])
def test_what_the_journal_has_finished_is_made_anew_after_any_cut(release_station, tokens, token, call, n):
    """A spooled device has its certificate in the token, and by other terms gets another key."""
    station = release_station
    station.env["SOFTHSM2_CONF"] = tokens.configuration
    spool(station, profile_of(station), SERIAL, *opened(token))
    first, profile = held(token), profile_of(station, validDays=100)
    assert len(first[1]) == 1
    provision(station, token, profile, wrapper=killer(call, n))
    done = go_on(lambda: provision(station, token, profile), lambda: station.muster("hsm", "acknowledge", token.uri))
    assert done.status == 0 and done.json["verified"] is True, done
    assert held(token)[0] != first[0] and audit(station, token) == []


def test_an_authority_with_its_certificate_in_the_token_is_not_destroyed(tmp_path, token):
    custodian = Custodian(tmp_path / "home", token, build=RELEASE)
    cut = custodian.muster("cert", "self-sign", "--key-type", "ec-p256", "--label", "root", "--subject", "CN=root", "--ca", "--days", "99",
                           "--store", wrapper=killer("sendmsg", 4))
    assert cut.status != 0 and len(token.key_ids()) == 1, cut
    key_id, = token.key_ids()
    certificate = tmp_path / "root.der"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", tmp_path / "any.key", "-subj",
            "/CN=root", "-outform", "DER", "-out", certificate)
    token.pkcs11_tool("--write-object", certificate, "--type", "cert", "--id", key_id, "--label", "root")
    before = held(token)
    for arguments in (["key", "generate-master", "--label", "mm"],
                      ["cert", "request", "--key-type", "ec-p256", "--label", "r", "--subject", "CN=r"]):
        done = custodian.muster(*arguments)
        assert (done.status, done.cause) == (CONFLICT, "E4330") and key_id in done.stderr, done
        assert held(token) == before
    token.pkcs11_tool("--delete-object", "--type", "cert", "--id", key_id)
    done = custodian.muster("key", "generate-master", "--label", "mm")
    assert done.status == 0 and token.key_ids() == [], done
    assert "warning" in done.stderr and key_id in done.stderr and "'root'" in done.stderr, done
    assert [(row["keyId"], row["label"]) for row in done.json["destroyedUnfinished"]] == [(key_id, "root")]
    again = custodian.muster("key", "generate-master", "--label", "nn")
    assert again.status == 0 and again.stderr == "" and "destroyedUnfinished" not in again.json, again
