"""A run that is asked to stop, or sleeps through its deadlines: it ends in time, and the next run makes one enrollment of it."""
import contextlib
import fcntl
import os
import pty
import signal
import subprocess
import termios
import time

import pytest

from lib import batch
from lib.program import environment
from lib.sign_in import SignIn
from lib.wait import wait_until
from test_offline import spool

SERIAL = "KEY-0001"
GRACE_S = 10


class Command:
    def __init__(self, station, *words, env=None):
        self.process = subprocess.Popen(
            [station.build / "muster", *map(str, words)], cwd=station.home, text=True, env=environment(station.build, station.home, env),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def hear(self, words):
        for line in self.process.stderr:
            if words in line:
                return
        raise AssertionError(f"never said {words!r}")

    def stop(self, number):
        """Returns what it said, and how long it took."""
        started = time.monotonic()
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=120)
        return said, time.monotonic() - started


class Run(Command):
    def __init__(self, station, profile, *words):
        super().__init__(station, "provision", "--profile", profile, "--serial", SERIAL, *station.common(), "-vv", *words)


def restart(station, *faults):
    station.emulator.restart(*[word for fault in faults for word in ("--fault", fault)])
    station.renew_login()


@contextlib.contextmanager
def ignored(*numbers):
    """For what is started within."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def finishes(station, profile, *words):
    """One enrollment in all, by whatever run."""
    restart(station)
    done = station.provision(profile, SERIAL, *words)
    assert done.status == 0 and done.json["verified"] is True, done
    assert [row["effect"] for row in station.emulator.effects("put")] == ["create"]
    assert len(station.service.enrollments()) == 1


@pytest.mark.parametrize("operation, number", [("put", signal.SIGTERM), ("get", signal.SIGINT), ("register", signal.SIGHUP),
                                               ("poll", signal.SIGTERM)])
def test_while_the_service_does_not_answer(station, operation, number):
    restart(station, f"{operation}:delay-after=300000:count=1")
    profile = station.profile("derived-key")
    run = Run(station, profile)
    wait_until(lambda: station.emulator.requests(operation), 60, f"a {operation}")
    said, took = run.stop(number)
    assert run.process.returncode == 128 + number and "E7005" in said, said
    assert took < 6 * GRACE_S
    finishes(station, profile)


def test_a_second_signal_does_not_wait_for_what_is_under_way(station):
    restart(station, "put:delay-after=300000:count=1")
    profile = station.profile("derived-key")
    run = Run(station, profile)
    wait_until(lambda: station.emulator.requests("put"), 60, "a put")
    run.process.send_signal(signal.SIGINT)
    run.hear("stopping; what is under way has 10 seconds to end")
    said, took = run.stop(signal.SIGINT)
    assert run.process.returncode == 130 and "E7005" in said, said
    assert took < GRACE_S
    finishes(station, profile)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_while_the_tpm_does_not_answer(station, tpm, number):
    profile = station.profile("tpm")
    tpm.hang()
    run = Run(station, profile, "--tpm", tpm.tcti)
    run.hear("tpm-open")
    said, _ = run.stop(number)
    tpm.resume()
    assert run.process.returncode in (128 + number, 4) and ("E7005" in said or "E2102" in said), said
    assert station.service.enrollments() == []
    finishes(station, profile, "--tpm", tpm.tcti)


def test_a_signal_that_is_ignored_stops_nothing(station):
    """As nohup and a shell's background want it."""
    restart(station, "put:delay-after=3000:count=1")
    profile = station.profile("derived-key")
    with ignored(signal.SIGHUP, signal.SIGINT):
        run = Run(station, profile)
    wait_until(lambda: station.emulator.requests("put"), 60, "a put")
    run.process.send_signal(signal.SIGHUP)
    run.process.send_signal(signal.SIGINT)
    _, said = run.process.communicate(timeout=120)
    assert run.process.returncode == 0, said


def stopped_before_its_token(station, sign_in, profile):
    """Commands that ask for a token in the midst of what a signal parks."""
    rows = station.home / "rows.jsonl"
    rows.write_text("".join(f'{{"registrationId":"row-{number}","attestation":{{"type":"symmetricKey"}}}}\n' for number in range(12)))
    manifest = batch.manifest(station, batch.serials(12))
    login = [*sign_in.service(), "--auth-type", "login"]
    return {"provision": ["provision", "--profile", profile, "--serial", SERIAL, *station.places(), *login],
            "batch": ["provision", "--profile", profile, "--manifest", manifest, *station.places(), *login],
            "import": ["enrollment", "import", rows, *login]}


@pytest.mark.parametrize("verb, number", [("provision", signal.SIGHUP), ("batch", signal.SIGTERM), ("import", signal.SIGINT)])
@pytest.mark.parametrize("way", ["device-code", "az", "client-secret"])
def test_while_a_token_is_waited_for(station, tmp_path, way, verb, number):
    """That takes as long as a person takes; who mistyped the tenant has nothing to wait for."""
    station.emulator.restart("--application", "bench", *([] if way == "device-code" else ["--fault", "token:delay-after=300000"]))
    sign_in, profile = SignIn(station), station.profile("derived-key")
    words = stopped_before_its_token(station, sign_in, profile)[verb]
    if way == "device-code":
        run = Command(station, *words, *sign_in.who(), "--sign-in", way)
        run.hear("enter the code")
    elif way == "az":
        az = tmp_path / "az"
        az.write_text(f"#!/bin/sh\n: >{tmp_path}/asked\nexec sleep 300\n")
        az.chmod(0o755)
        run = Command(station, *words, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
        wait_until((tmp_path / "asked").exists, 60, "az")
    else:
        run = Command(station, *words, *sign_in.by_secret())
        wait_until(sign_in.tokens_asked, 60, "a question for a token")
    said, took = run.stop(number)
    assert run.process.returncode == 128 + number and "E7005" in said, said
    assert took < GRACE_S
    assert not station.emulator.requests("put") + station.emulator.requests("bulk")
    if verb == "provision":
        finishes(station, profile)


class Window:
    """A terminal's window, in which a command runs."""

    def __init__(self, station, *words):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [station.build / "muster", *map(str, words)], cwd=station.home, env=environment(station.build, station.home), stdin=slave,
            stdout=slave, stderr=slave, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0))
        os.close(slave)

    def close(self):
        """Returns the exit status; what it still says goes nowhere."""
        os.close(self.master)
        return self.process.wait(timeout=120)


def test_whose_terminal_is_closed(station):
    restart(station, "put:delay-after=300000:count=1")
    profile = station.profile("derived-key")
    window = Window(station, "provision", "--profile", profile, "--serial", SERIAL, *station.common())
    wait_until(lambda: station.emulator.requests("put"), 60, "a put")
    assert window.close() == 128 + signal.SIGHUP
    finishes(station, profile)


@pytest.mark.parametrize("output", ["table", "jsonl"])
def test_a_batch_whose_terminal_is_closed(station, output):
    """While it shows how far it has come; its report cannot be written any more."""
    names = batch.serials(60)
    path, profile = batch.manifest(station, names), station.profile("derived-key")
    batch.restart(station, "--fault", "bulk:delay-after=300000:count=1:skip=2")
    window = Window(station, "provision", "--profile", profile, "--manifest", path, *station.common(), "--verify", "none", "-o", output)
    wait_until(lambda: [row for row in station.emulator.requests("bulk", "") if row["fault"]], 60, "the bulk that is held")
    assert window.close() == 128 + signal.SIGHUP
    batch.restart(station)
    done = batch.provision(station, path, "--verify", "none")
    assert done.status == 0 and done.json["before"] > 0, done
    assert batch.created(station) == dict.fromkeys((name.lower() for name in names), 1)
    assert batch.released(station) == {name.lower() for name in names}


def test_that_slept_beyond_the_deadline_of_a_request(station):
    """The service committed meanwhile, and its answer comes when nobody waits for it any more."""
    restart(station, "put:delay-after=33000:count=1")
    profile = station.profile("derived-key")
    run = Run(station, profile)
    wait_until(lambda: station.emulator.requests("put"), 60, "a put")
    os.kill(run.process.pid, signal.SIGSTOP)
    time.sleep(32)  # the deadline of a request is 30 s
    os.kill(run.process.pid, signal.SIGCONT)
    _, said = run.process.communicate(timeout=200)
    assert run.process.returncode == 0, said
    finishes(station, profile)


def test_sync_that_was_cut_is_taken_up_by_the_next(station):
    """Of a device that was not spooled, but could not be finished for want of the network."""
    restart(station, "put:cut-after:count=1", "get:cut-before")
    assert station.provision(station.profile("derived-key"), SERIAL).status in (6, 9)
    restart(station, "register:delay-after=300000:count=1")
    cut = Command(station, "sync", *station.common())
    wait_until(lambda: station.emulator.requests("register"), 60, "a registration")
    cut.stop(signal.SIGKILL)
    restart(station)
    done = station.sync()
    assert done.status == 0 and [row["verified"] for row in done.json] == [True], done
    assert {row["state"] for row in station.rows().values()} == {"released"}


def killed_at_its_registration(station):
    """The profile of a first run that kept no copy of it."""
    profile = station.profile("derived-key")
    restart(station, "register:delay-after=300000:count=1")
    run = Run(station, profile)
    wait_until(lambda: station.emulator.requests("register"), 60, "a registration")
    run.stop(signal.SIGKILL)
    restart(station)
    return profile


def test_first_run_that_was_cut_waits_for_the_next(station):
    """Nobody kept the profile that it was begun with."""
    profile = killed_at_its_registration(station)
    done = station.sync()
    assert (done.status, done.json) == (0, []) and "1 for their hardware" in done.stderr, done
    assert station.provision(profile, SERIAL).json["verified"] is True


def test_first_run_that_was_cut_is_not_sent_when_it_is_put_back(station):
    """It waits for whoever has the profile; when that is kept for another device, there is one to send it by."""
    profile = killed_at_its_registration(station)
    back = station.muster("outbox", "retry", SERIAL, *station.common(), "-o", "json")
    assert (back.status, back.cause) == (4, "E5181") and "the profile that it was begun with" in back.stderr, back
    waiting = station.muster("outbox", "list", "--journal", station.journal, "-o", "json").json
    assert [(row["state"], row["waitsFor"]) for row in waiting] == [("parked", "device")], waiting
    done = station.sync()
    assert (done.status, done.json) == (0, []) and "1 for their hardware" in done.stderr, done
    spool(station, profile, "CUT-OTHER")
    done = station.sync()
    assert done.status == 0 and [row["verified"] for row in done.json] == [True, True], done
