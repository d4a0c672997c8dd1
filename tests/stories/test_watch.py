"""muster provision --watch: boards come and go at the bench, and each is provisioned once while it is plugged in."""
import json
import os
import select
import signal
import subprocess

import pytest

from lib.batch import restart
from lib.bench import EMPTY, Bench, port
from lib.mock_machine import MockMachine
from lib.program import SANITIZER_REPORT, environment

BY_SERIAL = {**EMPTY, "registrationId": "{serial.lower}"}


@pytest.fixture
def bench(station):
    machine = MockMachine()
    yield Bench(station, machine)
    machine.end()


class Stream:
    """Lines of a pipe, with a limit to the patience."""

    def __init__(self, pipe):
        self.descriptor, self.rest = pipe.fileno(), ""

    def line(self):
        """None at the end of the stream."""
        while "\n" not in self.rest:
            assert select.select([self.descriptor], [], [], 180)[0], f"nothing came after {self.rest!r}"
            part = os.read(self.descriptor, 4096)
            if not part:
                return None
            self.rest += part.decode(errors="replace")
        line, self.rest = self.rest.split("\n", 1)
        return line


class Watch:
    """A running `muster provision --watch`: rows as they come, and what it says beside them."""

    def __init__(self, bench, profile, *arguments, stdin=subprocess.PIPE):
        station = bench.station
        command = [station.build / "muster", "provision", "--watch", "--profile", profile, *station.common(), "-o", "jsonl", "-v",
                   *arguments]
        self.process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        cwd=station.home, env=environment(station.build, station.home, station.env))
        self.rows, self.talk = Stream(self.process.stdout), Stream(self.process.stderr)
        self.said = ""

    def row(self):
        line = self.rows.line()
        assert line, self.talk.line()
        return json.loads(line)

    def hear(self, words):
        while words not in self.said:
            line = self.talk.line()
            assert line is not None, self.said
            self.said += line + "\n"

    def scan(self, line):
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def stop(self, number=signal.SIGTERM):
        """Status and the rows that were not looked at yet."""
        self.process.send_signal(number)
        rest = list(iter(self.rows.line, None))
        self.said += "".join(f"{line}\n" for line in iter(self.talk.line, None))
        assert not SANITIZER_REPORT.search(self.said), self.said
        return self.process.wait(timeout=120), [json.loads(line) for line in rest]


@pytest.fixture
def make_bench(bench, make_tpm):
    def make(count):
        tpms = [make_tpm(f"s{number}", with_certificate=False) for number in range(1, count + 1)]
        bench.write([tpm.tcti for tpm in tpms])
        return tpms
    return make


def test_each_board_is_done_once_while_it_is_plugged_in(bench, make_bench):
    make_bench(2)
    bench.machine.plug(1, port(1))
    watch = Watch(bench, bench.station.profile("tpm", EMPTY))
    first = watch.row()
    assert (first["socket"], first["state"], first["verified"]) == ("1", "enrolled", True), first
    bench.machine.plug(5, port(9))
    watch.hear("'/dev/tpmrm5' at '" + port(9))
    bench.machine.plug(2, port(2))
    second = watch.row()
    assert (second["socket"], second["state"]) == ("2", "enrolled"), second
    bench.machine.unplug(1)
    bench.machine.plug(1, port(1))
    again = watch.row()
    assert (again["socket"], again["state"]) == ("1", "already enrolled"), again
    assert again["registrationId"] == first["registrationId"]
    assert watch.stop() == (0, []), watch.said
    assert "E2113" in watch.said and len(bench.station.service.enrollments()) == 2


def test_a_board_that_is_unplugged_in_mid_job_is_one_failure(bench, make_bench):
    tpms = make_bench(2)
    tpms[0].hang()
    watch = Watch(bench, bench.station.profile("tpm", EMPTY))
    bench.machine.plug(1, port(1))
    watch.hear("1: identify")
    bench.machine.unplug(1)
    bench.machine.plug(2, port(2))
    rows = {row["socket"]: row for row in (watch.row(), watch.row())}
    assert (rows["1"]["state"], rows["1"]["cause"]) == ("failed", "E2112"), rows
    assert rows["2"]["state"] == "enrolled", rows
    tpms[0].resume()
    bench.machine.plug(1, port(1))
    assert watch.row()["state"] == "enrolled"
    status, rest = watch.stop(signal.SIGINT)
    assert (status, rest) == (4, []) and "E2112" in watch.said, watch.said


def test_a_board_that_passes_when_it_is_plugged_in_again_has_not_failed(bench, make_bench):
    make_bench(2)
    restart(bench.station, "--fault", "put:status=400:count=2")
    watch = Watch(bench, bench.station.profile("tpm", EMPTY))
    bench.machine.plug(1, port(1))
    bench.machine.plug(2, port(2))
    rows = [watch.row(), watch.row()]
    assert {row["state"] for row in rows} == {"failed"}, rows
    bench.machine.unplug(1)
    bench.machine.plug(1, port(1))
    assert watch.row()["state"] == "enrolled"
    status, rest = watch.stop()
    assert (status, rest) != (0, []) and "1 of 2 devices failed" in watch.said, watch.said


def test_a_board_that_passes_does_not_make_up_for_another_with_its_label(bench, make_bench):
    """Its serial is one that the failed board only seemed to have."""
    make_bench(2)
    watch = Watch(bench, bench.station.profile("tpm", EMPTY), "--serial", "1=SN-1", "--serial", "2=SN-1")
    bench.machine.plug(1, port(1))
    first = watch.row()
    assert (first["socket"], first["state"]) == ("1", "enrolled"), first
    bench.machine.plug(2, port(2))
    other = watch.row()
    assert (other["socket"], other["state"], other["cause"]) == ("2", "failed", "E3102"), other
    bench.machine.unplug(1)
    bench.machine.plug(1, port(1))
    again = watch.row()
    assert (again["device"], again["state"]) == ("SN-1", "already enrolled"), again
    assert watch.stop() == (7, []) and "1 of 3 devices failed" in watch.said, watch.said


def test_boards_that_nobody_can_name_are_counted(bench):
    """And none of them is ever known again, as one that passed either."""
    bench.write(["swtpm:path=/none"])
    watch = Watch(bench, bench.station.profile("tpm", EMPTY))
    for _ in range(3):
        bench.machine.plug(1, port(1))
        row = watch.row()
        assert row["state"] == "failed" and not row.get("registrationId"), row
        bench.machine.unplug(1)
    status, rest = watch.stop()
    assert status == 4 and rest == [] and "3 of 3 devices failed" in watch.said, watch.said


def test_what_udev_could_not_tell_is_looked_for(bench, make_bench):
    """A board comes, another is swapped, and none of it is heard of."""
    make_bench(2)
    bench.machine.plug(1, port(1))
    watch = Watch(bench, bench.station.profile("tpm", EMPTY))
    assert watch.row()["state"] == "enrolled"
    bench.machine.lose_events(1)
    bench.machine.plug(2, port(2))
    row = watch.row()
    assert (row["socket"], row["state"]) == ("2", "enrolled"), row
    bench.machine.lose_events(2)
    bench.machine.unplug(1)
    bench.machine.plug(1, port(1))
    row = watch.row()
    assert (row["socket"], row["state"]) == ("1", "already enrolled"), row
    assert watch.stop() == (0, []), watch.said
    assert "udev told of more than could be taken in" in watch.said, watch.said


def test_serials_come_as_they_are_scanned(bench, make_bench):
    make_bench(2)
    bench.machine.plug(1, port(1))
    bench.machine.plug(2, port(2))
    watch = Watch(bench, bench.station.profile("tpm", BY_SERIAL), "--serial", "2=SN-2", "--serials", "-")
    assert (watch.row()["device"], watch.said) == ("SN-2", "")
    watch.hear("socket '1': its board waits for its serial")
    watch.scan("7\tSN-7")
    watch.hear("serials, line 1: [E1001] the map has no socket '7'")
    watch.scan("SN-8")
    watch.hear("serials, line 2: no tab")
    watch.scan("1\tSN\x01")
    watch.hear("serials, line 3: [E1301]")
    watch.scan("1\tSN-1")
    row = watch.row()
    assert (row["socket"], row["device"], row["registrationId"]) == ("1", "SN-1", "sn-1"), row
    # One serial is for one device: the next in that socket waits for its own, and a wrong one can be scanned over.
    watch.scan("1\tSN-9")
    watch.scan("1\tSN-1")
    watch.hear("serial 'SN-1' instead of 'SN-9'")
    bench.machine.unplug(1)
    bench.machine.plug(1, port(1))
    assert watch.row()["state"] == "already enrolled"
    assert watch.stop() == (0, []), watch.said


def test_serials_of_several_writers_come_by_a_fifo(bench, make_bench):
    """As muster.socket has it: whoever made it holds it open, so no writer's end is its end."""
    make_bench(2)
    path = bench.station.home / "serials"
    os.mkfifo(path)
    held = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    watch = Watch(bench, bench.station.profile("tpm", BY_SERIAL), "--serials", "-", stdin=held)
    for number in (1, 2):
        bench.machine.plug(number, port(number))
        watch.hear(f"socket '{number}': its board waits for its serial")
        path.write_text(f"{number}\tSN-{number}\n")
        assert watch.row()["device"] == f"SN-{number}"
    assert watch.stop() == (0, []), watch.said
    os.close(held)


def test_without_a_serial_that_can_come_a_board_fails(bench, make_bench):
    make_bench(1)
    bench.machine.plug(1, port(1))
    watch = Watch(bench, bench.station.profile("tpm", BY_SERIAL), "--serials", "-")
    watch.process.stdin.close()
    row = watch.row()
    assert (row["socket"], row["state"], row["cause"]) == ("1", "failed", "E1302"), row
    watch.hear("socket '1': there is no serial for its board, and where they came from has ended")
    assert watch.stop()[0] == 2 and bench.station.service.enrollments() == []


def test_a_watch_that_nobody_gives_serials_is_refused(bench, make_bench):
    make_bench(1)
    bench.machine.plug(1, port(1))
    watch = Watch(bench, bench.station.profile("tpm", BY_SERIAL))
    watch.hear("--serials FILE or --serial SOCKET=TEXT")
    assert watch.process.wait(timeout=120) == 2 and watch.rows.line() is None and "E1302" in watch.said, watch.said


def test_boards_that_wait_in_vain_are_named_at_the_end(bench, make_bench):
    make_bench(1)
    bench.machine.plug(1, port(1))
    watch = Watch(bench, bench.station.profile("tpm", BY_SERIAL), "--serials", "-")
    watch.hear("socket '1': its board waits for its serial")
    assert watch.stop()[0] == 0 and "socket '1': ended before its board was begun" in watch.said, watch.said


def test_a_signal_parks_what_is_under_way(bench, make_bench):
    tpms = make_bench(1)
    watch = Watch(bench, bench.station.profile("tpm", EMPTY))
    tpms[0].hang()
    bench.machine.plug(1, port(1))
    watch.hear("1: identify")
    status, rows = watch.stop()
    # Its own deadline may come before the grace is over.
    assert [row["state"] for row in rows] == ["failed"] and status in (4, 128 + signal.SIGTERM), (status, rows)


@pytest.mark.parametrize("arguments, words", [
    (["--tpm", "swtpm:path=/none"], "do not go with it"),
    (["--all-attached"], "do not go with it"),
    (["--serial", "SN-1"], "is not SOCKET=TEXT"),
    (["--serial", "9=SN-1"], "the map has no socket '9'"),
    (["--serials", "/nowhere"], "opening '/nowhere'"),
])
def test_what_points_nowhere_is_refused_at_once(bench, arguments, words):
    bench.write(["swtpm:path=/none"])
    done = bench.provision(bench.station.profile("tpm", BY_SERIAL), "--watch", *arguments)
    assert done.status == 2 and words in done.stderr, done


def test_it_says_which_sockets_it_waits_for(bench):
    bench.write(["swtpm:path=/none"])
    watch = Watch(bench, bench.station.profile("tpm"), "--serial", "s1=A17-0042")
    watch.hear("waiting for boards in the sockets of")
    assert watch.stop()[1] == []


def test_a_map_that_is_named_has_to_be_there(bench):
    done = bench.provision(bench.station.profile("tpm"), "--watch")
    assert (done.status, done.error["code"]) == (2, "E1002") and "muster socket map" in done.stderr, done


def test_only_tpm_devices_can_be_plugged_in(bench):
    bench.write([])
    done = bench.provision(bench.station.profile("derived-key"), "--watch")
    assert done.status == 2 and "can be several" in done.stderr, done


def test_nobody_waits_for_boards_that_nothing_tells_of(bench, make_bench):
    """Where no udevd runs: libudev subscribes to nothing there."""
    make_bench(1)
    bench.machine.stop_udevd()
    station = bench.station
    done = station.muster("provision", "--watch", "--profile", station.profile("tpm", EMPTY), *station.common())
    assert (done.status, done.cause) == (4, "E7013") and "no udevd runs here" in done.stderr, done
