"""A bench of sockets: which port is which, and the TPMs that are in them. The ports are mocked, the TPMs are swtpm's."""
import json
import re
import shutil
import signal
import subprocess

import pytest

from lib.bench import EMPTY, Bench, port
from lib.mock_machine import MockMachine
from lib.program import environment

BY_SERIAL = {**EMPTY, "registrationId": "{serial.lower}"}


@pytest.fixture
def bench(station):
    machine = MockMachine()
    yield Bench(station, machine)
    machine.end()


def rows_of(done):
    return {row["socket"]: row for row in map(json.loads, done.stdout.splitlines())}


def test_all_attached_are_those_in_sockets(bench, make_tpm):
    tpms = [make_tpm(f"s{number}", with_certificate=False) for number in (1, 2, 3)]
    bench.write([tpm.tcti for tpm in tpms])
    bench.machine.plug(0, "acpi-MSFT0101:00", port="board")
    bench.machine.plug(1, port(1))
    bench.machine.plug(2, port(7))
    bench.machine.plug(3, port(3))
    done = bench.provision(bench.station.profile("tpm", EMPTY), "--all-attached", "-o", "jsonl")
    rows = rows_of(done)
    assert done.status == 0 and sorted(rows) == ["1", "3"], done
    assert all(row["verified"] for row in rows.values())
    assert "E2113" in done.stderr and "/dev/tpmrm2" in done.stderr and "/dev/tpmrm0" not in done.stderr, done
    assert tpms[1].capability("handles-persistent") == [] and len(bench.station.service.enrollments()) == 2


def test_sixteen_are_done_and_one_that_hangs_slows_none(bench, make_tpm):
    tpms = [make_tpm(f"s{number}", with_certificate=False) for number in range(16)]
    bench.write([tpm.tcti for tpm in tpms])
    for number in range(1, 17):
        bench.machine.plug(number, port(number))
    tpms[4].hang()
    serials = bench.station.home / "serials"
    serials.write_text("".join(f"{number}\tSN-{number}\n" for number in range(2, 17)))
    with open(serials) as stream:
        done = bench.provision(bench.station.profile("tpm", BY_SERIAL), "--all-attached", "--serial", "1=SN-1", "--serials", "-",
                               "-o", "jsonl", stdin=stream, timeout=600)
    rows = rows_of(done)
    assert sorted(rows, key=int) == [str(number) for number in range(1, 17)], done
    hung = rows.pop("5")
    assert (hung["state"], hung["cause"]) == ("failed", "E2102"), done
    assert {(number, row["device"], row["registrationId"]) for number, row in rows.items()} == {
        (str(number), f"SN-{number}", f"sn-{number}") for number in range(1, 17) if number != 5}, done
    assert all(row["state"] == "enrolled" and row["verified"] for row in rows.values()), done
    assert (done.status, done.cause) == (4, "E2102"), done


@pytest.mark.parametrize("arguments, status, words", [
    ([], 2, "none was given for '1'"),
    (["--serial", "SN-1"], 2, "is not SOCKET=TEXT with a TPM that is in a socket"),
    (["--serial", "9=SN-1"], 2, "is not SOCKET=TEXT with a TPM that is in a socket"),
    (["--serial", "1=SN-1", "--tpm", "swtpm:path=/none"], 2, "exclude each other"),
])
def test_what_points_nowhere_is_refused_before_anything_happens(bench, tmp_path, arguments, status, words):
    bench.write([f"swtpm:path={tmp_path}/none"])
    bench.machine.plug(1, port(1))
    done = bench.provision(bench.station.profile("tpm", BY_SERIAL), "--all-attached", *arguments)
    assert done.status == status and words in done.stderr, done
    assert bench.station.emulator.changes() == [] and not bench.station.journal.exists()


def test_without_a_map_nothing_is_touched(bench):
    bench.machine.plug(1, port(1))
    done = bench.provision(bench.station.profile("tpm", EMPTY), "--all-attached")
    assert (done.status, done.error["code"]) == (4, "E2111"), done
    assert not bench.station.journal.exists()


def test_two_boards_at_the_port_of_one_socket_are_a_question_not_a_guess(bench):
    bench.write(["swtpm:path=/none"])
    bench.machine.plug(1, port(1))
    bench.machine.plug(2, port(1))
    done = bench.provision(bench.station.profile("tpm", EMPTY), "--all-attached")
    assert done.status == 2 and "two TPMs" in done.stderr, done


def doctor_on_sockets(bench):
    return next(row for row in bench.muster("doctor", "-o", "json").json if row["check"] == "sockets")


def test_a_broken_map_names_the_place(bench):
    bench.write_lines([f"{port(1)} 1", f"{port(2)}   line/2"])
    for command in (["socket", "list"], ["tpm", "list"]):
        done = bench.muster(*command)
        assert (done.status, done.cause) == (2, "E7012") and f"line 2, column {len(port(2)) + 4}" in done.stderr, done
    assert doctor_on_sockets(bench)["verdict"] == "fail"
    bench.write_lines([f"{port(1)} 1"])
    assert doctor_on_sockets(bench) == {"check": "sockets", "verdict": "ok", "seen": f"'{bench.map}': 1 socket"}


def test_list_shows_sockets_and_what_is_in_them(bench, make_tpm):
    bench.write([make_tpm("s1", with_certificate=False).tcti, "swtpm:path=/none"])
    bench.machine.plug(0, "acpi-MSFT0101:00", port="board")
    bench.machine.plug(1, port(1))
    bench.machine.plug(2, port(5))
    done = bench.muster("socket", "list", "-o", "json")
    assert [(row.get("socket"), row["path"], row["state"]) for row in done.json] == [
        ("1", port(1), "TPM"), ("2", port(2), "empty"), (None, "acpi-MSFT0101:00", "the station's own"),
        (None, port(5), "not mapped")], done
    row = next(row for row in bench.muster("tpm", "list", "-o", "json").json if row.get("socket") == "1")
    assert (row["path"], row["state"]) == (port(1), "answers") and row["tpm"].startswith("swtpm:"), row


@pytest.fixture
def module(bench, tokens, token, tmp_path):
    """A module of the station's configuration whose tokens complain of a wrong PIN and note each login."""
    path = tmp_path / "fault.so"
    shutil.copy(bench.station.build / "tests/muster-fault.so", path)
    path.chmod(0o755)
    logins = tmp_path / "logins"
    environment = [f"SOFTHSM2_CONF={tokens.configuration}", "MUSTER_FAULT=count-low", f"MUSTER_FAULT_LOGINS={logins}"]
    config = bench.station.home / "muster.yaml"
    config.write_text(json.dumps({"modules": {"secure": {"path": str(path), "environment": environment}}}))
    bench.station.env["MUSTER_CONFIG"] = config
    yield logins
    assert not logins.exists()


def test_list_shows_tokens_in_sockets_without_a_login(bench, tokens, token, module):
    spare = tokens.make("spare")
    bench.write([f"pkcs11:token={token.label};serial={token.serial}?module-name=secure", "pkcs11:token=none?module-name=secure",
                 "pkcs11:manufacturer=SoftHSM%20project?module-name=secure", "pkcs11:token=x?module-name=unknown"])
    bench.machine.plug(2, port(2))
    done = bench.muster("socket", "list", "-o", "json")
    assert done.status == 0, done
    assert [(row.get("socket"), row["state"], row.get("label"), row.get("serial")) for row in done.json] == [
        ("1", "token", token.label, token.serial), ("2", "TPM", None, None), ("2", "empty", None, None), ("3", "not reached", None, None),
        ("4", "not reached", None, None), (None, "not mapped", spare.label, spare.serial)], done
    seen, board, _, several, unknown, other = done.json
    assert board["tpm"] == "device:/dev/tpmrm2"
    for row in (seen, other):
        assert row["manufacturer"] == "SoftHSM project" and "user-pin-count-low" in row["flags"]
    assert seen["token"] == f"pkcs11:token={token.label};serial={token.serial}?module-name=secure"
    assert "tokens match" in several["error"] and "unknown" in unknown["error"]
    table = bench.muster("socket", "list").stdout
    assert "user-pin-count-low" in table and "TOKEN" in table


@pytest.mark.parametrize("uri, words", [
    ("pkcs11:token=a;token=b", "twice"), ("pkcs11:token=a?pin-value=1234", "pin-value"), ("pkcs11:colour=red", "RFC 7512"),
])
def test_a_token_that_cannot_be_named_so_is_a_mistake_of_the_map(bench, uri, words):
    bench.write_lines([f"{port(1)} 1 {uri}"])
    done = bench.muster("socket", "list")
    assert (done.status, done.cause) == (2, "E7012") and f"line 1, column {len(port(1)) + 4}" in done.stderr and words in done.stderr, done


def test_all_attached_leaves_tokens_alone(bench, token, make_tpm):
    bench.write_lines([f"{port(1)} 1 {make_tpm('s1', with_certificate=False).tcti}", f"{port(2)} 2 {token.uri_by_label()}"])
    bench.machine.plug(1, port(1))
    done = bench.provision(bench.station.profile("tpm", EMPTY), "--all-attached", "-o", "jsonl")
    assert done.status == 0 and sorted(rows_of(done)) == ["1"], done


class Walk:
    """muster socket map, and what it says to the engineer."""

    def __init__(self, bench, *names):
        station = bench.station
        self.process = subprocess.Popen([station.build / "muster", "socket", "map", *names, "-o", "json"], text=True,
                                        env=environment(station.build, station.home, station.env), cwd=station.home,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def hear(self, words):
        line = self.process.stderr.readline()
        assert words in line, line

    def finish(self):
        stdout, stderr = self.process.communicate(timeout=60)
        return self.process.returncode, stdout, stderr


def test_map_walks_along_the_bench(bench):
    bench.write_lines([f"{port(8)} old", f"{port(9)} 2", f"{port(3)} 3"])
    bench.machine.plug(1, port(8))
    walk = Walk(bench, "1", "2")
    walk.hear("plug a board into socket 1")
    bench.machine.unplug(1)
    bench.machine.plug(1, port(8))
    walk.hear("this port was socket 'old'")
    walk.hear("plug a board into socket 2")
    bench.machine.plug(2)
    walk.hear("udev knows no bus path of '/dev/tpmrm2'")
    walk.hear("plug a board into socket 2")
    bench.machine.unplug(1)
    bench.machine.plug(1, port(8))
    walk.hear(f"'{port(8)}' is socket 1")
    walk.hear("plug a board into socket 2")
    assert len(bench.map.read_text().splitlines()) == 3
    bench.machine.plug(3, port(2))
    status, stdout, stderr = walk.finish()
    assert status == 0, stderr
    assert json.loads(stdout) == [{"socket": "1", "path": port(8)}, {"socket": "2", "path": port(2)}]
    assert [line.split() for line in bench.map.read_text().splitlines()[1:]] == [
        [port(2), "2"], [port(3), "3"], [port(8), "1"]]


def test_a_walk_that_is_broken_off_leaves_the_map_as_it_was(bench):
    walk = Walk(bench, "1", "2")
    walk.hear("plug a board into socket 1")
    bench.machine.plug(1, port(1))
    walk.hear("plug a board into socket 2")
    walk.process.send_signal(signal.SIGINT)
    status, _, stderr = walk.finish()
    assert status == 130 and "E7005" in stderr and not bench.map.exists(), stderr


def test_nobody_walks_for_a_map_that_cannot_be_written(bench):
    for directory, words in (("missing", "No such file"), ("/proc/1", "not permitted|denied|Read-only")):
        done = bench.muster("socket", "map", "1", "--socket-map", bench.map.parent / directory / "sockets")
        assert (done.status, done.cause) == (11, "E6102") and re.search(words, done.stderr), done
        assert "plug a board" not in done.stderr


def test_names_of_sockets_are_checked_first(bench):
    for names, words in ((["a b"], "no name for a socket"), (["1", "1"], "named twice")):
        done = bench.muster("socket", "map", *names)
        assert done.status == 2 and words in done.stderr, done
