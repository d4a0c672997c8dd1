"""What programs read: lines of tsv, and what muster-output(7) says of every field. That page is held wherever a story runs
muster; here is what it takes and what it does not."""
import json

import pytest

from lib import output_page

ROW = {"check": "clock", "verdict": "ok", "seen": "it goes"}
DEVICE = {"state": "enrolled", "verified": True, "seconds": 1.25}


@pytest.mark.parametrize("verb, row", [
    ("doctor", ROW), ("doctor", {**ROW, "remedy": "none"}), ("-o json doctor", ROW), ("provision --watch", DEVICE),
    ("provision", {**DEVICE, "event": "device"}), ("provision", {**DEVICE, "plan": {"anything": None}}),
    ("enrollment show", {"registrationId": "a", "what": {"the": "service"}}), ("enrollment delete", {"method": "DELETE", "url": "x"}),
    ("enrollment registration show", {"status": "assigned"}), ("key derive", {"registrationId": "a", "primaryKey": "b"}),
])
def test_the_page_has_what_it_says(verb, row):
    assert output_page.problems(verb.split(), json.dumps(row)) == []


@pytest.mark.parametrize("verb, row, problem", [
    ("doctor", {**ROW, "novel": 1}, "'novel'"),
    ("doctor", {"check": "clock", "verdict": "ok"}, "'seen' is absent"),
    ("doctor", {**ROW, "seen": 1}, "'seen' is no text"),
    ("provision", {**DEVICE, "verified": 1}, "'verified' is no boolean"),
    ("provision", {**DEVICE, "event": "novel"}, "the event 'novel'"),
    ("provision", {**DEVICE, "event": "device", "rows": 1}, "'rows'"),
    ("provision", {**DEVICE, "hub": None}, "'hub' is no text"),
    ("profile check", {"path": "a", "valid": True, "mistakes": [{"path": "a"}]}, "'mistakes[].line' is absent"),
    ("enrollment delete", {"method": "DELETE"}, "'url' is absent"),
])
def test_what_the_page_does_not_say_is_found(verb, row, problem):
    """In an array, too."""
    assert f"{' '.join(verb.split()[:2])}: {problem}" in output_page.problems(verb.split(), json.dumps([row]))


def lines(done, columns):
    assert done.status == 0 and done.stdout, done
    cells = [line.split("\t") for line in done.stdout.splitlines()]
    assert {len(row) for row in cells} == {columns}, done
    return cells


def test_a_document_of_rows_has_a_line_for_each(hsm_station, token):
    profile = hsm_station.profile("hsm-x509")
    login = ["--pin-file", token.pin_file]
    assert hsm_station.provision(profile, "one", "--token", token.uri, *login).status == 0
    shown = lines(hsm_station.muster("hsm", "show", token.uri, *login, "-o", "tsv"), 6)
    assert [row[4] for row in shown if row[0] == "private-key"][0].startswith("token private "), shown
    tried = lines(hsm_station.muster("hsm", "check", token.uri, *login, "--profile", profile, "-o", "tsv"), 5)
    assert {row[1] for row in tried} == {"present"}, tried
    entries = lines(hsm_station.muster("journal", "show", "one", "--journal", hsm_station.journal, "-o", "tsv"), 8)
    assert all(row[7] for row in entries if row[4] == "intent"), entries
    token.pkcs11_tool("--delete-object", "--type", "cert", "--label", "one")
    found = hsm_station.muster("hsm", "audit", token.uri, *login, "--journal", hsm_station.journal, "-o", "tsv")
    assert found.status == 8 and found.stdout.startswith("certificate-missing\tone\t"), found


def test_a_request_that_is_not_sent_is_a_row_and_its_body(desk):
    words = ["create", "--eid", "e1", "--at", "symmetricKey", "--dry-run"]
    method, url, condition = lines(desk.run(*words, "-o", "tsv"), 3)[0]
    assert (method, condition) == ("PUT", "") and "/enrollments/e1?" in url
    shown = desk.run(*words, "-o", "table").stdout.splitlines()
    assert shown[0].split() == ["METHOD", "URL", "IF", "MATCH"] and shown[1].split() == ["PUT", url, "-"], shown
    assert "registrationId: e1" in shown, shown
