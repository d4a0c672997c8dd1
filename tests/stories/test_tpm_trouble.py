"""A TPM that hangs, stalls, is held by another, or is not meant: told as it is, within a deadline that can be set."""
import contextlib
import os
import socket

import pytest

from lib.lying_tpm import PROVE, LyingTpm, code_of
from lib.mock_machine import MockMachine

READ_CLOCK = 0x181
RETRY = bytes.fromhex("80010000000a00000922")


@pytest.fixture
def machine(station):
    made = MockMachine()
    station.env.update(made.env, MUSTER_SOCKET_MAP=station.home / "sockets")
    yield made
    made.end()


@pytest.fixture
def deadlines(station):
    def write(text):
        path = station.home / "muster.yaml"
        path.write_text(text)
        station.env["MUSTER_CONFIG"] = path
    return write


def doctor(station, tcti, *arguments, **options):
    return station.muster("tpm", "doctor", "--tpm", tcti, *arguments, **options)


# -- Deadlines ------------------------------------------------------------------------------------------------------------

def test_a_hanging_tpm_ends_at_the_deadline_that_is_set(station, tpm, deadlines):
    deadlines("tpmDeadlines: {command: 1}\n")
    tpm.hang()
    for done in (doctor(station, tpm.tcti), station.muster("tpm", "show", "--tpm", tpm.tcti),
                 station.provision(station.profile("tpm"), "S-1", "--tpm", tpm.tcti)):
        assert (done.status, done.cause) == (4, "E2102") and "within 1 s" in done.stderr, done
        assert done.seconds < 20, done
    assert station.emulator.requests("put") == []


def test_a_tpm_that_is_never_ready_is_busy_before_that(station, tpm, short, deadlines):
    proxy = LyingTpm(short, tpm)
    asked = []

    def instead(command):
        if code_of(command) != READ_CLOCK:
            return None
        asked.append(command)
        return RETRY

    proxy.instead = instead
    deadlines("tpmDeadlines: {command: 5, activation: 6}\n")
    try:
        done = doctor(station, proxy.tcti)
    finally:
        proxy.stop()
    assert (done.status, done.cause) == (4, "E2105"), done
    assert 2 <= len(asked) <= 50 and tpm.loaded() == []


def test_a_tpm_that_is_reset_after_its_proof_is_not_called_the_same_chip(station, tpm, short):
    proxy, proven = LyingTpm(short, tpm), []

    def change(command, response):
        """One reset more than the chip counts."""
        proven.extend([command] if code_of(command) == PROVE else [])
        if code_of(command) != READ_CLOCK or not proven:
            return response
        return response[:26] + (int.from_bytes(response[26:30], "big") + 1).to_bytes(4, "big") + response[30:]

    proxy.change = change
    try:
        done = doctor(station, proxy.tcti, "-o", "json")
    finally:
        proxy.stop()
    assert proven and [(row["verdict"], row.get("code")) for row in done.json["checks"] if row["check"] == "same chip"] == [("refuse", "E2235")], done


@pytest.mark.parametrize("text", ["tpmDeadlines: {command: 0}", "tpmDeadlines: {keyCreation: 301}", "tpmDeadlines: 5",
                                  "tpmDeadlines: {creation: 5}"])
def test_deadlines_that_are_none_are_refused_with_their_place(station, tpm, deadlines, text):
    deadlines(text + "\n")
    done = station.provision(station.profile("tpm"), "S-1", "--tpm", tpm.tcti)
    assert done.status == 2 and "muster.yaml:1" in done.stderr, done


# -- Held by another ------------------------------------------------------------------------------------------------------

def test_a_tpm_that_another_program_holds(station, tpm, deadlines):
    """swtpm serves one connection after the other."""
    deadlines("tpmDeadlines: {command: 2}\n")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as holder:
        holder.connect(str(tpm.socket))
        done = doctor(station, tpm.tcti)
    assert (done.status, done.cause) == (4, "E2102") and "another program" in station.muster("explain", "E2102").stdout, done
    assert done.seconds < 20
    assert doctor(station, tpm.tcti).status == 0


def test_a_device_that_is_not_there_says_so_in_the_systems_words(station, tmp_path):
    done = doctor(station, f"device:{tmp_path}/tpmrm0")
    assert (done.status, done.cause) == (4, "E2101") and os.strerror(2) in done.stderr, done


# -- The station's own ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("node", ["tpmrm0", "tpm0"])
def test_the_stations_own_is_not_touched_unless_that_is_said(station, machine, node):
    machine.plug(0, "acpi-MSFT0101:00", port="board")
    tcti = f"device:/dev/{node}"
    profile = station.profile("tpm")
    for done in (doctor(station, tcti), station.provision(profile, "S-1", "--tpm", tcti)):
        assert (done.status, done.cause) == (5, "E2127"), done
    assert station.emulator.requests("put") == [] and not station.journal.exists()
    # The mocked node cannot be opened: it was gone to.
    for done in (doctor(station, tcti, "--own"), station.provision(profile, "S-1", "--tpm", tcti, "--own")):
        assert (done.status, done.cause) == (4, "E2101"), done


def test_a_manifest_does_not_name_the_stations_own_by_mistake(station, machine):
    machine.plug(0, "acpi-MSFT0101:00", port="board")
    path = station.home / "devices.csv"
    path.write_text("serial,tpm\nS-1,device:/dev/tpmrm0\n")
    command = ["provision", "--profile", station.profile("tpm"), "--manifest", path, *station.common(), "-o", "json"]
    done = station.muster(*command)
    assert done.status == 2 and "devices.csv:2:5" in done.stderr and "own" in done.stderr, done
    assert not station.journal.exists()
    assert station.muster(*command, "--own").error["code"] == "E2101"


def test_one_in_a_socket_of_the_map_is_a_devices(station, machine):
    machine.plug(0, "acpi-MSFT0101:00", port="board")
    machine.plug(1, "pci-0000:00:14.0-usb-0:3")
    (station.home / "sockets").write_text("acpi-MSFT0101:00\tbench\n")
    for number in (0, 1):
        assert doctor(station, f"device:/dev/tpmrm{number}").cause == "E2101"
