"""The options that say which service is meant, long and short, with each of the commands that az has. The ways to log in by
name have stories of their own."""
import pytest

from lib.enrollment import EnrollmentDesk, endorsement_key

COMMANDS = {
    "create": (["--eid", "new", "--at", "tpm", "--ek", endorsement_key()], ["put"]),
    "update": (["--eid", "e1", "--ps", "disabled"], ["get", "put"]),
    "show": (["--eid", "e1"], ["get"]),
    "list": ([], ["query"]),
    "delete": (["--eid", "e1"], ["delete"]),
}


@pytest.fixture
def desk(station):
    made = EnrollmentDesk(station)
    status, answer = made.service.put("e1", {"registrationId": "e1", "attestation": {
        "type": "tpm", "tpm": {"endorsementKey": endorsement_key()}}})
    assert status == 200, answer
    return made


@pytest.mark.parametrize("verb", COMMANDS)
@pytest.mark.parametrize("spelling", [
    ["-l", "{login}", "-n", "other", "-g", "group", "--auth-type", "LOGIN"],
    ["--login={login}", "--dps-name", "other", "--resource-group", "group", "--subscription", "s", "--auth-type=key"]],
    ids=["short", "long"])
def test_a_connection_string_holds_over_the_rest(desk, verb, spelling):
    words, operations = COMMANDS[verb]
    before = len(desk.emulator.ledger())
    login = [word.format(login=desk.emulator.connection_string) for word in spelling]
    done = desk.station.muster("enrollment", verb, *words, *login, "--ca-file", desk.emulator.ca_file)
    assert done.status == 0 and done.stderr.count("shows its value") == 1, done
    assert [row["op"] for row in desk.emulator.ledger()[before:]] == operations


@pytest.mark.parametrize("verb", COMMANDS)
def test_without_a_service_nothing_is_sent(desk, verb):
    done = desk.station.muster("enrollment", verb, *COMMANDS[verb][0], "-g", "group")
    assert (done.status, done.cause) == (2, "E1101"), done


@pytest.mark.parametrize("words, shown", [
    (["--only-show-errors"], "json"), (["--debug"], "json"), (["-o", "jsonc"], "json"), (["--output", "YAMLC"], "yaml"),
    (["--output=Table"], "table")], ids=lambda value: " ".join(value) if isinstance(value, list) else value)
def test_common_options_of_az(desk, words, shown):
    done = desk.run("show", "--eid", "e1", *words)
    assert done.status == 0, done
    assert done.stdout == desk.run("show", "--eid", "e1", "-o", shown).stdout


def test_query_has_a_sentence_of_its_own(desk):
    before = len(desk.emulator.ledger())
    done = desk.run("list", "--query", "[].registrationId")
    assert (done.status, done.cause) == (2, "E1001") and "--fields" in done.stderr and "jq(1)" in done.stderr, done
    assert len(desk.emulator.ledger()) == before
