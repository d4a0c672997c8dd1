"""What can befall a TPM in the middle of a job: each fault ends as it should, within a deadline, with nothing enrolled that was not
proven, and with the chip as it was. Swaps and what chips hold are in test_fake_tpm.py and test_genuine_tpm.py, holders and the
deadlines in test_tpm_trouble.py."""
import struct

import pytest

from lib.lying_tpm import PROVE, START_SESSION, LyingTpm, code_of

POLICY_SECRET, CREATE_PRIMARY, READ_CLOCK = 0x151, 0x131, 0x181
DEADLINES = "tpmDeadlines: {command: 3, activation: 3, keyCreation: 3}\n"


def code(number):
    """A chip that says so has not done what it was told."""
    return struct.pack(">HII", 0x8001, 10, number)


def sized(content):
    return content[:2] + struct.pack(">I", len(content)) + content[6:]


def hang(response):
    return b""


def hang_up(response):
    return None


# What befalls which command, how often (0: each time), and the cause; None: the device is enrolled nevertheless.
FAULTS = {
    "retry": (code(0x922), PROVE, 3, None),
    "yielded": (code(0x908), CREATE_PRIMARY, 2, None),
    "testing": (code(0x90A), READ_CLOCK, 2, None),
    "NV rate": (code(0x920), POLICY_SECRET, 2, None),
    "never ready": (code(0x922), PROVE, 0, "E2105"),
    "lockout": (code(0x921), POLICY_SECRET, 0, "E2106"),
    "wrong auth": (code(0x98E), POLICY_SECRET, 0, "E2107"),
    "bad auth": (code(0x9A2), POLICY_SECRET, 0, "E2107"),
    "NV unavailable": (code(0x923), PROVE, 0, "E2110"),
    "no memory": (code(0x904), PROVE, 0, "E2110"),
    "no room for an object, once": (code(0x902), CREATE_PRIMARY, 1, None),
    "no room for a session, once": (code(0x903), START_SESSION, 1, None),
    "no session handle": (code(0x905), START_SESSION, 0, "E2110"),
    "canceled": (code(0x909), PROVE, 0, "E2206"),
    "failure mode": (code(0x101), PROVE, 0, "E2206"),
    "reset": (code(0x100), PROVE, 0, "E2235"),
    "unknown code": (code(0xFFF), PROVE, 0, "E2206"),
    "unplugged in a command": (hang_up, PROVE, 0, "E2101"),
    "hangs at once": (hang, READ_CLOCK, 0, "E2102"),
    "hangs in activation": (hang, PROVE, 0, "E2102"),
    "hangs in making a key": (hang, CREATE_PRIMARY, 0, "E2102"),
    "short": (lambda response: sized(response[:-5]), PROVE, 0, "E2103"),
    "long": (lambda response: sized(response + bytes(5)), PROVE, 0, "E2103"),
    "another tag": (lambda response: b"\x00\xc4" + response[2:], PROVE, 0, "E2103"),
    "a size too small": (lambda response: response[:2] + struct.pack(">I", len(response) - 5) + response[6:], PROVE, 0, "E2103"),
    "an inner size of 65535": (lambda response: response[:14] + b"\xff\xff" + response[16:], PROVE, 0, "E2103"),
}
STATUS = {"E2106": 5, "E2107": 5, "E2206": 1, "E2235": 1}
NEVER_TWICE = {"E2106", "E2107"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_ends_as_it_should(station, tpm, short, fault):
    change, command, times, cause = FAULTS[fault]
    config = station.home / "muster.yaml"
    config.write_text(DEADLINES)
    station.env["MUSTER_CONFIG"] = config
    before = tpm.capability("handles-persistent"), tpm.loaded()
    proxy = LyingTpm(short, tpm)
    hits = []

    def is_hit(sent):
        if code_of(sent) != command or (times and len(hits) >= times):
            return False
        hits.append(sent)
        return True

    if callable(change):
        proxy.change = lambda sent, response: change(response) if is_hit(sent) else response
    else:
        proxy.instead = lambda sent: change if is_hit(sent) else None
    try:
        done = station.provision(station.profile("tpm"), "FAULT-1", "--tpm", proxy.tcti)
        proxy.change, proxy.instead = (lambda sent, response: response), (lambda sent: None)
        again = station.provision(station.profile("tpm"), "FAULT-1", "--tpm", proxy.tcti)
    finally:
        proxy.stop()
    assert hits and done.seconds < 40, done
    if cause:
        assert (done.status, done.cause) == (STATUS.get(cause, 4), cause), done
        assert len(hits) == 1 or cause not in NEVER_TWICE
    else:
        assert done.status == 0 and done.json["verified"], done
    # Whatever it was, the next run is none the worse, and one device is enrolled.
    assert again.status == 0 and len(station.service.enrollments()) == 1, again
    assert (tpm.capability("handles-persistent"), tpm.loaded()) == before
