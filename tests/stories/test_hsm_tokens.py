"""Tokens are listed, shown and initialised; a token in use is never wiped by mistake."""
import os
import subprocess

import pytest

from lib.paths import SOFTHSM_MODULE
from lib.program import run
from lib.soft_modules import LIBRARIES
from lib.software_token import write_secret

LITTERS = LIBRARIES / "libtpm2_pkcs11.so.1"  # makes a store where it stands when it finds none
MODULE = f"pkcs11:?module-path={SOFTHSM_MODULE}"


@pytest.fixture
def hsm(tmp_path, tokens):
    """muster hsm VERB ... with SoftHSM's configuration."""
    def call(*arguments, **options):
        return run("hsm", *arguments, "-o", "json", home=tmp_path,
                   env={"SOFTHSM2_CONF": tokens.configuration, "MUSTER_CONFIG": tmp_path / "muster.yaml"}, **options)

    (tmp_path / "muster.yaml").write_text(
        f"modules:\n  soft: {{path: {SOFTHSM_MODULE}, environment: [SOFTHSM2_CONF]}}\n  broken: {{path: /bin/true}}\n"
        "  missing: {path: /nowhere.so}\n")
    return call


@pytest.fixture
def pins(tmp_path):
    return ["--so-pin-file", write_secret(tmp_path / "so", "12345678"), "--pin-file", write_secret(tmp_path / "pin", "246810")]


def labels(hsm):
    return sorted(row["label"] for row in hsm("list").json if row.get("label"))


def test_list_names_every_token_and_every_module(hsm, tokens):
    made = [tokens.make(label) for label in ("one", "two")]
    done = hsm("list")
    assert done.status == 0, done
    soft = [row for row in done.json if row.get("module") == "soft" and row.get("label")]
    assert {(row["label"], row["serial"]) for row in soft} == {(token.label, token.serial) for token in made}
    assert all("login-required" in row["flags"] for row in soft)
    errors = {row["module"]: row["error"] for row in done.json if "error" in row and "module" in row}
    assert "/bin/true" in errors["broken"] and "/nowhere.so" in errors["missing"]


def test_the_uri_of_a_listed_token_opens_it(hsm, tokens):
    token = tokens.make("a b;c")
    row, = [row for row in hsm("list", "--module", SOFTHSM_MODULE).json if row["label"] == token.label]
    done = hsm("show", row["uri"])
    assert done.status == 0, done
    assert done.json["token"]["serial"] == token.serial


def test_a_module_that_is_none(hsm):
    assert hsm("list", "--module", "/bin/true").cause == "E4101"
    assert hsm("list", "--module", "/nowhere.so").cause == "E4101"


def test_show_without_a_pin_shows_public_objects_only(hsm, token):
    token.pkcs11_tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", "k", "--id", "01")
    token.write_master("master", bytes(range(32)))
    uri = token.uri.split("&pin-source")[0]
    shut = hsm("show", uri).json
    assert shut["loggedIn"] is False
    assert {row["kind"] for row in shut["objects"]} == {"public-key"}
    opened = hsm("show", token.uri).json
    assert opened["loggedIn"] is True
    keys = {row["kind"]: row for row in opened["objects"]}
    assert set(keys) == {"public-key", "private-key", "secret-key"}
    assert keys["private-key"]["attributes"]["never-extractable"] is True
    assert keys["private-key"]["attributes"]["encrypt"] == "unknown"
    assert keys["secret-key"]["attributes"]["local"] is False
    offered = {row["name"] for row in opened["mechanisms"] if row["offered"]}
    assert "CKM_ECDSA" in offered and "CKM_AES_KEY_WRAP_KWP" not in offered


def test_init_makes_a_token_that_takes_the_pin(hsm, pins):
    made = hsm("init", MODULE, "--label", "fresh", *pins)
    assert made.status == 0, made
    assert made.json["label"] == "fresh" and "user-pin-set" in made.json["flags"]
    assert hsm("show", made.json["uri"], *pins[2:]).json["loggedIn"] is True


def test_init_wipes_only_what_is_named(hsm, token, pins, tmp_path):
    token.pkcs11_tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", "k", "--id", "01")
    so_pin = ["--so-pin-file", write_secret(tmp_path / "so-line", "so-246810"), *pins[2:]]
    for confirmation in ([], ["--yes", "line"], ["--yes", "new"]):
        refused = hsm("init", token.uri, "--label", "new", *so_pin, *confirmation)
        assert (refused.status, refused.cause) == (5, "E4110"), refused
    assert token.objects("privkey") == ["k"]
    done = hsm("init", token.uri, "--label", "new", *so_pin, "--yes", "line-3")
    assert done.status == 0, done
    assert hsm("show", done.json["uri"], *pins[2:]).json["objects"] == []


def test_init_makes_no_second_token_of_a_label(hsm, token, pins, tmp_path):
    refused = hsm("init", MODULE, "--label", "line-3", *pins)
    assert (refused.status, refused.cause) == (7, "E1451") and token.serial in refused.stderr, refused
    so_pin = ["--so-pin-file", write_secret(tmp_path / "so-line", "so-246810"), *pins[2:]]
    assert hsm("init", token.uri, "--label", "line-3", *so_pin, "--yes", "line-3").status == 0


def test_init_says_which_pin_the_token_does_not_take(hsm, pins, tmp_path):
    short = write_secret(tmp_path / "short", "1")
    refused = hsm("init", MODULE, "--label", "fresh", "--so-pin-file", short, *pins[2:])
    assert (refused.status, refused.cause) == (2, "E1452") and "SO-PIN" in refused.stderr, refused
    refused = hsm("init", MODULE, "--label", "fresh", *pins[:2], "--pin-file", short)
    assert (refused.status, refused.cause) == (2, "E1452") and "user PIN" in refused.stderr, refused
    assert "fresh" not in labels(hsm)


@pytest.mark.parametrize("pin, cause", [("", "E4002"), ("12", "E1452"), ("1" * 256, "E1452")])
def test_init_wipes_nothing_for_a_pin_that_cannot_be_set(hsm, token, pins, tmp_path, pin, cause):
    token.pkcs11_tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", "k", "--id", "01")
    so_pin = ["--so-pin-file", write_secret(tmp_path / "so-line", "so-246810")]
    before = labels(hsm)
    for place in ([token.uri, "--yes", "line-3"], [MODULE]):
        refused = hsm("init", *place, "--label", "new", *so_pin, "--pin-file", write_secret(tmp_path / "new", pin))
        assert (refused.status, refused.cause) == (2, cause), refused
    assert labels(hsm) == before and token.objects("privkey") == ["k"]


def test_init_says_how_a_token_without_a_user_pin_gets_one(hsm, tokens, pins):
    subprocess.run(["pkcs11-tool", "--module", SOFTHSM_MODULE, "--slot-index", "0", "--init-token", "--label", "half", "--so-pin",
                    "12345678"], env=dict(os.environ, SOFTHSM2_CONF=str(tokens.configuration)), check=True, stdout=subprocess.DEVNULL)
    refused = hsm("init", MODULE, "--label", "half", *pins)
    assert (refused.status, refused.cause) == (7, "E1451"), refused
    assert "no user PIN" in refused.stderr and "'pkcs11:token=half'" in refused.stderr and "--yes half" in refused.stderr, refused
    done = hsm("init", MODULE.replace("pkcs11:", "pkcs11:token=half"), "--label", "half", *pins, "--yes", "half")
    assert done.status == 0 and "user-pin-set" in done.json["flags"], done


def test_init_of_another_module_has_to_be_asked_for(hsm, pins, tmp_path):
    other = tmp_path / "other.so"
    other.write_bytes(open(SOFTHSM_MODULE, "rb").read())
    refused = hsm("init", f"pkcs11:?module-path={other}", "--label", "x", *pins)
    assert refused.status == 2 and "--any-module" in refused.stderr, refused


def test_a_refused_so_pin_leaves_the_token_as_it_was(hsm, token, pins):
    refused = hsm("init", token.uri, "--label", "new", *pins, "--yes", "line-3")
    assert (refused.status, refused.cause) == (5, "E4201"), refused
    assert token.objects("privkey") == []


@pytest.mark.refuses_a_pin
def test_a_refused_so_pin_is_remembered_until_a_person_says_so(hsm, token, pins, tmp_path):
    """Not even the right one is tried then; the user's PIN is another matter."""
    right = ["--so-pin-file", write_secret(tmp_path / "so-line", "so-246810"), *pins[2:]]

    def init(*words):
        return hsm("init", token.uri, "--label", "new", *words, "--yes", "line-3")
    assert init(*pins).cause == "E4201"
    for words in (pins, right):
        refused = init(*words)
        assert (refused.status, refused.cause) == (5, "E4202") and "SO-PIN" in refused.stderr, refused
    assert hsm("show", token.uri).json["loggedIn"] is True
    assert init(*right).cause == "E4202"
    assert hsm("acknowledge", token.uri).status == 0
    assert init(*pins).cause == "E4201" and init(*right).cause == "E4202"
    assert hsm("acknowledge", token.uri).status == 0
    done = init(*right)
    assert done.status == 0, done
    nothing = hsm("acknowledge", "line-3")
    assert nothing.status == 3 and "could not be asked itself" in nothing.stderr, "nothing is remembered of what it was"


@pytest.mark.refuses_a_pin
def test_an_so_pin_that_another_program_mistyped_costs_no_second_try(hsm, token, pins, tmp_path):
    right = ["--so-pin-file", write_secret(tmp_path / "so-line", "so-246810"), *pins[2:]]
    subprocess.run(["pkcs11-tool", "--module", SOFTHSM_MODULE, "--slot-index", "0", "--init-token", "--label", "line-3", "--so-pin", "12345678"],
                   env=dict(os.environ, SOFTHSM2_CONF=str(token.module.configuration)), check=False, capture_output=True)
    row, = [row for row in hsm("list").json if row.get("label") == "line-3"]
    assert "so-pin-count-low" in row["flags"]
    refused = hsm("init", token.uri, "--label", "new", *right, "--yes", "line-3")
    assert (refused.status, refused.cause) == (5, "E4205") and "SO-PIN" in refused.stderr, refused
    assert labels(hsm) == ["line-3"]
    allowed = hsm("acknowledge", token.uri, "--so-pin")
    assert allowed.status == 0 and "the SO-PIN of token 'line-3'" in allowed.stderr, allowed
    assert hsm("init", token.uri, "--label", "new", *right, "--yes", "line-3").status == 0


@pytest.mark.refuses_a_pin
def test_a_user_pin_that_another_program_mistyped_is_tried_when_somebody_says_so(hsm, token):
    subprocess.run(["pkcs11-tool", "--module", SOFTHSM_MODULE, "--token-label", "line-3", "--login", "--pin", "97531", "--list-objects"],
                   env=dict(os.environ, SOFTHSM2_CONF=str(token.module.configuration)), check=False, capture_output=True)
    refused = hsm("show", token.uri)
    assert refused.cause == "E4205" and "acknowledge" in refused.stderr, refused
    allowed = hsm("acknowledge", token.uri)
    assert allowed.status == 0 and "the user PIN of token 'line-3'" in allowed.stderr and token.tries_were_burnt(), allowed
    assert hsm("show", token.uri).json["loggedIn"] is True
    assert (nothing := hsm("acknowledge", token.uri)).cause == "E4103" and "it reports none" in nothing.stderr, nothing


@pytest.mark.refuses_a_pin
def test_the_pin_that_the_token_reports_is_allowed_before_another_one_that_is_remembered(hsm, token, pins, tmp_path):
    assert pins[0] == "--so-pin-file", pins
    wrong = ["--so-pin-file", write_secret(tmp_path / "wrong", "97531"), *pins[2:]]
    assert hsm("init", token.uri, "--label", "new", *wrong, "--yes", "line-3").cause == "E4201"
    subprocess.run(["pkcs11-tool", "--module", SOFTHSM_MODULE, "--token-label", "line-3", "--login", "--pin", "97531", "--list-objects"],
                   env=dict(os.environ, SOFTHSM2_CONF=str(token.module.configuration)), check=False, capture_output=True)
    assert hsm("show", token.uri).cause == "E4205"
    allowed = hsm("acknowledge", token.uri)
    assert allowed.status == 0 and "the user PIN of token 'line-3'" in allowed.stderr, allowed
    assert hsm("show", token.uri).json["loggedIn"] is True
    assert "the SO-PIN" in hsm("acknowledge", token.uri).stderr


@pytest.mark.refuses_a_pin
def test_one_acknowledgement_is_of_one_pin_of_one_token(hsm, tokens, pins, tmp_path):
    wrong = write_secret(tmp_path / "wrong", "97531")
    twins = [tokens.make("twin"), tokens.make("twin")]
    uris = [token.uri.split("&pin-source")[0] for token in twins]

    def causes(number):
        return [hsm("show", uris[number], "--pin-file", wrong).cause, hsm("init", uris[number], "--label", "new", *pins, "--yes", "twin").cause]

    assert causes(0) == causes(1) == ["E4201", "E4201"]
    several = hsm("acknowledge", "twin")
    assert (several.status, several.cause) == (5, "E4104"), several
    assert all(token.serial in several.stderr for token in twins), several
    assert causes(0) == causes(1) == ["E4202", "E4202"]
    allowed = hsm("acknowledge", uris[0])
    assert allowed.status == 0 and "the user PIN of token 'twin'" in allowed.stderr and twins[0].serial in allowed.stderr, allowed
    assert causes(0) == ["E4201", "E4202"] and causes(1) == ["E4202", "E4202"]
    assert hsm("acknowledge", uris[0], "--so-pin").status == 0
    assert causes(0) == ["E4202", "E4201"] and causes(1) == ["E4202", "E4202"]


@pytest.mark.refuses_a_pin
def test_a_refused_user_pin_is_none_of_the_security_officer(hsm, token, pins, tmp_path):
    """And is forgotten with the token that had it."""
    right = ["--so-pin-file", write_secret(tmp_path / "so-line", "so-246810"), *pins[2:]]
    uri = token.uri.split("&pin-source")[0]
    for cause in ("E4201", "E4202"):
        assert hsm("show", uri, "--pin-file", write_secret(tmp_path / "wrong", "97531")).cause == cause
    done = hsm("init", uri, "--label", "line-3", *right, "--yes", "line-3")
    assert done.status == 0 and hsm("acknowledge", "line-3").status == 3, done


def test_a_module_leaves_nothing_where_muster_stands(tmp_path):
    assert run("hsm", "list", "--module", LITTERS, home=tmp_path, env={"MUSTER_JOURNAL": tmp_path / "journal.db"}).status in (0, 4)
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_relative_path_in_a_modules_variable_is_where_muster_stands(tmp_path, token):
    (tmp_path / "relative.conf").write_text(token.module.configuration.read_text())
    listed = run("hsm", "list", "--module", SOFTHSM_MODULE, "-o", "json", home=tmp_path, env={"SOFTHSM2_CONF": "relative.conf"})
    assert token.label in [row.get("label") for row in listed.json], listed
