"""Others are told of units and runs, and nothing that they do holds up a device."""
import base64
import concurrent.futures
import contextlib
import fcntl
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import threading
import time

import pytest
import yaml

from lib import batch
from lib.paths import BUILD, RELEASE
from lib.tls_server import WrongServer
from lib.software_token import write_secret
from lib.wait import wait_until
from test_retire import retire
from test_wrong_clock import turn

HANG_LIMIT_S = 20


@pytest.fixture
def configure(station):
    def write(hooks, **others):
        path = station.home / "muster.yaml"
        path.write_text(yaml.safe_dump({"hooks": hooks, **others}))
        path.chmod(0o600)
        station.env["MUSTER_CONFIG"] = str(path)
    return write


def program(station, name, text):
    path = station.home / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o700)
    return str(path)


def provision(station, serial="HOOK-1"):
    done = station.provision(station.profile("derived-key"), serial)
    assert done.status == 0, done
    return done.json


def waiting(station):
    done = station.muster("hook", "list", "--journal", station.journal, "-o", "json")
    assert done.status == 0, done
    return done.json


def deliver(station):
    return station.muster("hook", "deliver", "--journal", station.journal, "-o", "json")


def events(folder, count):
    """Those of a drop folder, in their order, when there are so many."""
    wait_until(lambda: folder.exists() and len(list(folder.glob("*.json"))) == count, 90, "the events")
    return sorted((json.loads(path.read_text()) for path in folder.glob("*.json")), key=lambda event: event["time"])


def test_a_folder_is_told_of_all(station, configure, tmp_path):
    folder = tmp_path / "mes"
    folder.mkdir()
    configure({"mes": {"on": ["unit-start", "unit-done", "batch-done"], "folder": str(folder)}})
    result = provision(station)
    start, done, batch = events(folder, 3)
    assert (start["type"], start["data"]["serial"]) == ("muster.unit-start", "HOOK-1")
    assert done["type"] == "muster.unit-done"
    assert (done["data"]["registrationId"], done["data"]["state"], done["data"]["verified"]) == (result["registrationId"], "enrolled", True)
    assert batch["type"] == "muster.batch-done"
    assert {name: batch["data"][name] for name in ("devices", "spooled", "failed")} == {"devices": 1, "spooled": 0, "failed": 0}
    assert not [path for path in folder.iterdir() if path.suffix != ".json"]
    wait_until(lambda: waiting(station) == [], what="an empty spool")


def test_an_event_says_whose_it_is(station, configure, tmp_path):
    """Which bench, who, by what terms; the same serial in both events of a device; and files that others can find."""
    folder = tmp_path / "mes"
    folder.mkdir()
    configure({"mes": {"on": ["unit-start", "unit-done", "batch-done"], "folder": str(folder)}})
    done = batch.provision(station, batch.manifest(station, ["HOOK-1"]), "--operator", "ada", "--out", "relative")
    assert done.status == 0, done
    told = events(folder, 3)
    [row] = station.rows().values()
    common = {"station": row["station"], "operator": "ada", "profile": row["profile"], "batch": "devices.csv", "manifest": row["batch"]}
    for event in told:
        assert event["source"] == f"muster://{socket.gethostname()}"
        assert common.items() <= event["data"].items(), event
    start, done, _ = (event["data"] for event in told)
    assert start["serial"] == done["serial"] == "HOOK-1"
    assert done["evidence"] == row["evidence"] and pathlib.Path(done["evidence"]).is_file() and done["evidence"].startswith("/")


def test_a_device_that_waits_to_be_sent_has_not_failed(station, configure, tmp_path):
    folder = tmp_path / "mes"
    folder.mkdir()
    configure({"mes": {"on": ["unit-done", "batch-done"], "folder": str(folder)}})
    done = station.muster("provision", "--offline", "--profile", station.profile("derived-key"), "--serial", "HOOK-1", *station.places())
    assert done.cause == "E5180", done
    unit, batch_done = (event["data"] for event in events(folder, 2))
    assert unit["state"] == "spooled" and not {"cause", "detail"} & unit.keys(), unit
    assert (batch_done["devices"], batch_done["spooled"], batch_done["failed"]) == (1, 1, 0)


def test_what_nobody_asked_for_starts_no_deliverer(station, configure, tmp_path):
    """What an earlier run left is tried again with the one event that is wanted, and at the end; not with each event."""
    configure({"mes": {"on": ["batch-done"], "command": [program(station, "mes", "exit 1\n")]}})
    provision(station)
    wait_until(lambda: waiting(station) and waiting(station)[0]["tries"] > 0, what="a try")
    station.build = RELEASE  # the sanitizers' does not like to be traced
    log = tmp_path / "strace.log"
    done = station.provision(station.profile("derived-key"), "HOOK-2",
                             wrapper=["strace", "-f", "-qq", "-o", log, "-e", "trace=execve"])
    assert done.status == 0, done
    assert 1 <= log.read_text().count('"deliver"') <= 2


def test_an_upgrade_under_a_run_holds_no_event_up(station, configure, tmp_path):
    """Its program has another file in its place by then."""
    (tmp_path / "mes").mkdir()
    configure({"mes": {"on": ["unit-start", "unit-done", "batch-done"], "folder": str(tmp_path / "mes")}})
    copy = tmp_path / "muster"
    shutil.copy(BUILD / "muster", copy)
    with copy.open("rb") as old:
        copy.unlink()
        copy.write_text("#!/bin/sh\nexit 0\n")
        copy.chmod(0o755)
        done = station.provision(station.profile("derived-key"), "HOOK-1", pass_fds=[old.fileno()],
                                 wrapper=["sh", "-c", f'exec /proc/self/fd/{old.fileno()} "$@"'])
    assert done.status == 0, done
    events(tmp_path / "mes", 3)


def test_the_main_process_of_a_service_waits_for_its_hooks(station, configure, tmp_path):
    """With its end the service manager kills what it left."""
    command = program(station, "hook.sh", f"sleep 1; echo >>{tmp_path}/taken\n")
    configure({"slow": {"on": ["unit-start", "unit-done", "batch-done"], "command": [command]}})
    done = station.provision(station.profile("derived-key"), "HOOK-1",
                             wrapper=["sh", "-c", 'SYSTEMD_EXEC_PID=$$ exec "$0" "$@"'])
    assert done.status == 0 and done.json["state"] == "enrolled", done
    assert waiting(station) == [] and len((tmp_path / "taken").read_text().splitlines()) == 3


def test_a_deliverer_that_cannot_be_started_is_told_of(station, configure, tmp_path):
    """Once, by the run, and as soon as events are old, by the next run and by doctor."""
    (tmp_path / "mes").mkdir()
    configure({"mes": {"on": ["unit-start", "unit-done"], "folder": str(tmp_path / "mes")}})
    station.build = RELEASE  # the sanitizers' does not like to be traced
    done = batch.provision(station, batch.manifest(station, batch.serials(20)), "--rate", "10/1",
                           wrapper=["strace", "-f", "-qq", "-o", "/dev/null", "-P", "/proc/self/exe", "-e", "trace=execve",
                                    "-e", "inject=execve:error=EACCES"])
    assert done.status == 0 and done.stderr.count("so events wait (muster hook deliver)") == 1, done
    assert [row["tries"] for row in waiting(station)] == [0] * 40
    assert verdict(station) == "ok"
    for path in (station.home / "hooks").glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"atMs": 1}))
    assert verdict(station) == "warn"


def verdict(station):
    found = station.muster("doctor", "--journal", station.journal, "-o", "json").json
    [finding] = [row for row in found if row["check"] == "hooks"]
    return finding["verdict"]


def test_events_keep_their_order_when_the_clock_is_set_back(station, configure, tmp_path):
    """Also those of an earlier muster, whose files say no number; and a receiver can tell the order, also where nothing waited."""
    station.build = RELEASE  # the library and the sanitizers do not go together
    command = program(station, "hook.sh", f"test -e {tmp_path}/back || exit 75\ncat >>{tmp_path}/all\necho >>{tmp_path}/all\n")
    configure({"mes": {"on": ["unit-start", "unit-done"], "command": [command]}})
    profile = station.profile("derived-key")
    assert station.provision(profile, "HOOK-1", env=turn(station, "+200s")).status == 0
    wait_for_rest(station)
    for path in (station.home / "hooks").glob("*.json"):
        path.write_text(json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != "number"}))
    provision(station, "HOOK-2")
    wait_for_rest(station)
    assert len(list((station.home / "hooks").glob("*.json"))) == len(waiting(station)) == 4
    (tmp_path / "back").touch()
    assert deliver(station).json["delivered"] == 4
    assert station.provision(profile, "HOOK-3", env=turn(station, "-200s")).status == 0
    wait_for_rest(station)
    told = [json.loads(line) for line in (tmp_path / "all").read_text().splitlines()]
    assert [event["data"]["serial"] for event in told] == ["HOOK-1", "HOOK-1", "HOOK-2", "HOOK-2", "HOOK-3", "HOOK-3"]
    sequence = [event["sequence"] for event in told]
    assert sequence == sorted(set(sequence)) and {len(each) for each in sequence} == {16}


def test_no_two_events_of_a_run_share_a_time(station, configure, tmp_path):
    """Receivers, and the spool, order them by it."""
    names = [f"HOOK-{number}" for number in range(20)]
    configure({"mes": {"on": ["unit-start", "unit-done", "batch-done"], "folder": str(tmp_path / "none")}})
    done = batch.provision(station, batch.manifest(station, names))
    assert done.status == 0, done
    told = waiting(station)
    assert len({row["at"] for row in told}) == len(told) == 2 * len(names) + 1
    assert told[-1]["event"] == "batch-done"


def test_a_device_that_failed_is_told_with_its_reason(station, configure, tmp_path):
    folder = tmp_path / "mes"
    folder.mkdir()
    configure({"mes": {"on": ["unit-done"], "folder": str(folder)}})
    station.emulator.restart("--fault", "put:status=400")
    station.renew_login()
    assert station.provision(station.profile("derived-key"), "HOOK-1").status != 0
    [done] = events(folder, 1)
    assert done["data"]["state"] == "failed"
    assert done["data"]["cause"].startswith("E")


def test_a_failure_says_how_the_journal_has_the_device(station, configure, tmp_path):
    """Also of one that is in service: a typing error in the next order makes no scrap of it."""
    folder = tmp_path / "mes"
    folder.mkdir()
    configure({"mes": {"on": ["unit-done"], "folder": str(folder)}})
    profile = station.profile("derived-key", {"registrationId": "{serial.lower}"})
    path = station.home / "devices.csv"

    def devices(status, *lines):
        path.write_text("serial,deviceId\n" + "".join(f"{line}\n" for line in lines))
        done = station.muster("provision", "--profile", profile, "--manifest", path, *station.common(), "-o", "jsonl")
        assert done.status == status, done
        rows = [row for row in map(json.loads, done.stdout.splitlines()) if row["event"] == "device"]
        return sorted((row["registrationId"], row["state"], row["journalState"]) for row in rows)

    assert devices(0, "HOOK-1,pump-a") == [("hook-1", "enrolled", "released")]
    assert devices(7, "HOOK-1,pump-b", "HOOK-2,pump-c") == [("hook-1", "failed", "released"), ("hook-2", "enrolled", "released")]
    assert retire(station, "hook-2").status == 0
    assert devices(7, "HOOK-2,pump-c") == [("hook-2", "failed", "retired")]
    told = [(event["data"]["registrationId"], event["data"]["state"], event["data"]["journalState"]) for event in events(folder, 4)]
    assert told[0] == ("hook-1", "enrolled", "released") and told[3] == ("hook-2", "failed", "retired")
    assert sorted(told[1:3]) == [("hook-1", "failed", "released"), ("hook-2", "enrolled", "released")]


def test_a_command_gets_the_event_and_nothing_of_ours(station, configure, tmp_path):
    seen, variables, ignored = (tmp_path / name for name in ("seen", "variables", "ignored"))
    command = program(station, "hook.sh", f'cat > "$1.part"; env > {variables}; grep SigIgn /proc/self/status > {ignored}; mv "$1.part" "$1"\n')
    configure({"mes": {"on": ["unit-done"], "command": [command, str(seen)]}})
    station.env["MUSTER_MARK"] = "of the caller"
    result = provision(station)
    wait_until(seen.exists, what="the command")
    assert json.loads(seen.read_text())["data"]["registrationId"] == result["registrationId"]
    assert "MUSTER" not in variables.read_text()
    assert int(ignored.read_text().split()[1], 16) & 1 << signal.SIGPIPE - 1 == 0


def test_a_command_that_fails_is_tried_again(station, configure, tmp_path):
    mark = tmp_path / "fixed"
    command = program(station, "hook.sh", f"test -e {mark}\n")
    configure({"mes": {"on": ["unit-done"], "command": [command]}})
    provision(station)
    wait_until(lambda: [row for row in waiting(station) if row["tries"] >= 1], what="a try")
    [row] = waiting(station)
    assert (row["hook"], row["event"]) == ("mes", "unit-done")
    assert "status 1" in row["error"]
    again = deliver(station)
    assert (again.status, again.cause, again.json["left"]) == (6, "E5187", 1), again
    mark.write_text("")
    done = deliver(station)
    assert (done.status, done.json) == (0, {"delivered": 1, "left": 0, "setAside": 0}), done
    assert waiting(station) == []


def is_at_work(station):
    """Whether a process delivers, which a run left behind: also one that still has that run's name."""
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"muster") and str(station.journal).encode() in words:
            return True
    return False


def wait_for_rest(station):
    wait_until(lambda: not is_at_work(station), what="the end of what delivers")


def refusing(station, tmp_path, serial):
    """A command that will not have the events of this device."""
    return program(station, "hook.sh", f"""event=$(cat)
case $event in *{serial.lower()}*) exit 1 ;; esac
echo "$event" >>{tmp_path}/taken
""")


def taken(tmp_path):
    path = tmp_path / "taken"
    return [json.loads(line)["data"]["device"] for line in path.read_text().splitlines()] if path.exists() else []


def test_one_event_that_is_refused_holds_up_no_others(station, configure, tmp_path):
    """After five refusals a person decides: it is put back, or taken out."""
    configure({"mes": {"on": ["unit-done"], "command": [refusing(station, tmp_path, "HOOK-1")]}})
    profile = station.profile("derived-key", {"registrationId": "{serial.lower}"})
    for serial in ("HOOK-0", "HOOK-1", "HOOK-2", "HOOK-3"):
        assert station.provision(profile, serial).status == 0
    wait_until(lambda: len(taken(tmp_path)) == 3, what="the others")
    assert taken(tmp_path) == ["HOOK-0", "HOOK-2", "HOOK-3"]
    wait_for_rest(station)
    wait_until(lambda: deliver(station).json["setAside"] == 1, what="the last try")
    assert deliver(station).json == {"delivered": 0, "left": 0, "setAside": 1}
    [row] = waiting(station)
    assert (row["state"], row["tries"]) == ("set-aside", 5) and "status 1" in row["error"], row
    assert decide(station, "retry", "nope").cause == "E6036" and decide(station, "drop").status == 2
    again = decide(station, "retry", "--all")
    assert (again.status, again.json["left"], waiting(station)[0]["state"]) == (6, 1, "waits"), again
    (station.home / "hook.sh").write_text("#!/bin/sh\n")
    assert decide(station, "retry", row["id"]).json == {"delivered": 1, "left": 0, "setAside": 0}
    assert waiting(station) == []


def test_a_person_who_delivers_waits_for_others_and_is_told_what_came_of_it(station, configure, tmp_path):
    """Beside one at work and one that waits for it, which is how a run leaves them."""
    gate = tmp_path / "gate"
    configure({"mes": {"on": ["unit-start", "unit-done", "batch-done"], "command": [program(station, "hook.sh", f"""
echo >>{tmp_path}/calls
until test -e {gate}; do sleep 0.1; done
exit 1
""")]}})
    provision(station)
    wait_until((tmp_path / "calls").exists, what="the one at work")
    with (station.home / "hooks/.turn").open() as turn, concurrent.futures.ThreadPoolExecutor(1) as pool:
        with contextlib.suppress(BlockingIOError):  # the run's other one has it
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        answer = pool.submit(deliver, station)
        try:
            wait_until(lambda: answer.done() or is_waiting_for(turn), what="the one that waits")
            early = answer.done()
        finally:
            gate.write_text("")
            fcntl.flock(turn, fcntl.LOCK_UN)
        done = answer.result()
    assert not early, done
    assert (done.status, done.cause) == (6, "E5187") and done.json["left"] == 3, done
    assert done.stderr.count("another process is delivering to the hooks, waiting for it") == 1, done


@pytest.mark.parametrize("hook", [{"command": ["relative"]}, {"webhook": "https://u:word@localhost/in"}, {},
                                  {"folder": "/tmp", "webhook": "https://localhost/in"}])
def test_config_show_takes_no_hook_that_no_run_takes(station, configure, hook):
    configure({"mes": {"on": ["unit-done"], **hook}})
    run = station.provision(station.profile("derived-key"), "HOOK-1")
    done = station.muster("config", "show")
    assert (run.status, run.cause) == (done.status, done.cause) == (2, "E1001"), (run, done)
    assert "hook 'mes' in muster.yaml" in done.stderr and "word" not in done.stderr.replace("password", ""), done


def is_waiting_for(file):
    """Whether /proc/locks has somebody behind the lock that is held of it."""
    inode = f":{os.fstat(file.fileno()).st_ino} "
    return any(" -> FLOCK " in line and inode in line for line in pathlib.Path("/proc/locks").read_text().splitlines())


def decide(station, verb, *arguments):
    return station.muster("hook", verb, *arguments, "--journal", station.journal, "-o", "json")


def test_a_hook_that_refuses_all_is_asked_three_times(station, configure, tmp_path):
    """It is not the events."""
    configure({"label": {"on": ["unit-done"], "command": [program(station, "hook.sh", f"echo >>{tmp_path}/calls; exit 1\n")]}})
    assert batch.provision(station, batch.manifest(station, batch.serials(20))).status == 0
    wait_for_rest(station)
    calls = len((tmp_path / "calls").read_text().splitlines())
    done = deliver(station)
    assert (done.status, done.cause) == (6, "E5187"), done
    assert calls and len((tmp_path / "calls").read_text().splitlines()) == calls + 3


def test_several_that_are_refused_hold_up_no_newer_ones(station, configure, tmp_path):
    """A hook that refuses all is known by one that it has not been asked about before."""
    configure({"mes": {"on": ["unit-done"], "command": [refusing(station, tmp_path, "bad")]}})
    profile = station.profile("derived-key", {"registrationId": "{serial.lower}"})
    done = batch.provision(station, batch.manifest(station, [f"BAD-{number}" for number in range(3)]), profile=profile)
    assert done.status == 0, done
    wait_for_rest(station)
    assert len(waiting(station)) == 3 and taken(tmp_path) == []
    for number in range(3):
        assert station.provision(profile, f"HOOK-{number}").status == 0
        wait_for_rest(station)
        assert taken(tmp_path) == [f"HOOK-{number}" for number in range(number + 1)]
    wait_until(lambda: deliver(station).json["left"] == 0, what="the last try")
    assert [row["state"] for row in waiting(station)] == ["set-aside"] * 3


def test_events_of_a_hook_that_is_no_more_are_set_aside(station, configure, tmp_path):
    configure({"gone": {"on": ["unit-done"], "folder": str(tmp_path / "none")}})
    provision(station)
    wait_until(lambda: [row for row in waiting(station) if row["tries"]], what="a try")
    wait_for_rest(station)
    configure({})
    done = deliver(station)
    assert done.json == {"delivered": 0, "left": 0, "setAside": 1}
    assert (done.status, done.cause) == (6, "E5187") and "1 event was not taken, and is set aside now" in done.stderr, done
    done = deliver(station)
    assert (done.status, done.json) == (0, {"delivered": 0, "left": 0, "setAside": 1}), done
    [row] = waiting(station)
    assert "'gone' is not in muster.yaml" in row["error"]
    done = decide(station, "drop", "--all")
    assert (done.status, done.json) == (0, {"dropped": 1}) and waiting(station) == [], done


def test_the_run_that_gives_an_event_up_says_so(station, configure, tmp_path):
    """It is the last that speaks of that one by itself."""
    configure({"mes": {"on": ["unit-done"], "command": [program(station, "mes", "exit 1\n")]}})
    for serial in ("HOOK-1", "HOOK-2"):
        provision(station, serial)
    wait_for_rest(station)
    for path, refusals in zip(sorted((station.home / "hooks").glob("*.json")), (4, 1), strict=True):
        path.write_text(json.dumps({**json.loads(path.read_text()), "refusals": refusals}))
    done = deliver(station)
    assert (done.status, done.cause, done.json) == (6, "E5187", {"delivered": 0, "left": 1, "setAside": 1}), done
    assert "2 events were not taken, and of them 1 is set aside now" in done.stderr, done
    done = deliver(station)
    assert (done.status, done.json) == (6, {"delivered": 0, "left": 1, "setAside": 1}) and "1 event was not taken" in done.stderr, done


def test_a_hook_that_is_away_is_left_alone(station, configure, tmp_path):
    """During a run it is tried at times that grow apart; and people are told."""
    configure({"mes": {"on": ["unit-done"], "webhook": "https://localhost:1/in"}})
    done = batch.provision(station, batch.manifest(station, batch.serials(100)))
    assert done.status == 0, done
    wait_for_rest(station)
    assert len(waiting(station)) == 100 and sum(row["tries"] for row in waiting(station)) <= 4
    again = station.provision(station.profile("derived-key"), "HOOK-1")
    assert again.status == 0 and "101 events wait" in again.stderr and "'mes'" in again.stderr, again
    found = station.muster("doctor", "--journal", station.journal, "-o", "json").json
    [finding] = [row for row in found if row["check"] == "hooks"]
    assert finding["verdict"] == "warn" and "muster hook list" in finding["remedy"], finding


def test_a_hook_that_takes_all_is_no_finding(station, configure, tmp_path):
    (tmp_path / "mes").mkdir()
    configure({"mes": {"on": ["unit-done"], "folder": str(tmp_path / "mes")}})
    for number in range(2):
        done = station.provision(station.profile("derived-key"), f"HOOK-{number}")
        assert done.status == 0 and "events wait" not in done.stderr, done
    events(tmp_path / "mes", 2)
    found = station.muster("doctor", "--journal", station.journal, "-o", "json").json
    assert [row["verdict"] for row in found if row["check"] == "hooks"] == ["ok"]


def test_the_next_run_delivers_what_was_left(station, configure, tmp_path):
    folder = tmp_path / "mes"
    configure({"mes": {"on": ["unit-done"], "folder": str(folder)}})
    provision(station)
    wait_until(lambda: [row for row in waiting(station) if row["tries"] >= 1], what="a try")
    folder.mkdir()
    provision(station, "HOOK-2")
    assert [event["data"]["device"] for event in events(folder, 2)] == ["HOOK-1", "HOOK-2"]


def test_sync_delivers_what_was_left_even_when_no_device_waits(station, configure, tmp_path):
    folder = tmp_path / "mes"
    configure({"mes": {"on": ["unit-done"], "folder": str(folder)}})
    provision(station)
    wait_until(lambda: [row for row in waiting(station) if row["tries"] >= 1], what="a try")
    folder.mkdir()
    done = station.sync()
    assert (done.status, done.json) == (0, []), done
    assert events(folder, 1)


def test_a_hook_that_hangs_holds_nothing_up(station, configure, tmp_path):
    folder = tmp_path / "mes"
    folder.mkdir()
    command = program(station, "hook.sh", f"echo $$ > {tmp_path}/pid; sleep 1000\n")
    configure({"slow": {"on": ["unit-start", "unit-done"], "command": [command], "timeout": 2},
               "mes": {"on": ["unit-done"], "folder": str(folder)}})
    begun = time.monotonic()
    provision(station)
    assert time.monotonic() - begun < HANG_LIMIT_S
    assert events(folder, 1)
    wait_until(lambda: [row for row in waiting(station) if "did not end in 2 seconds" in row.get("error", "")], what="the time-out")


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((dict(self.headers), body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver(tmp_path):
    """Its certificate is of a root of its own."""
    files = WrongServer(tmp_path / "tls", "fine")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.directory / "server.pem", files.directory / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.received, server.status, server.ca_file = [], 204, files.ca_file
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.mark.parametrize("prefix", ["", "whsec_"])
def test_a_webhook_is_signed(station, configure, receiver, prefix):
    secret = base64.b64encode(b"k" * 32).decode()
    write_secret(station.home / "hook.secret", f"{prefix}{secret}\n")
    configure({"mes": {"on": ["unit-done"], "webhook": f"https://localhost:{receiver.server_port}/in",
                       "secretFile": str(station.home / "hook.secret")}}, caFile=str(receiver.ca_file))
    result = provision(station)
    wait_until(lambda: receiver.received, what="the webhook")
    headers, body = receiver.received[0]
    headers = {name.lower(): value for name, value in headers.items()}
    event = json.loads(body)
    assert event["data"]["registrationId"] == result["registrationId"]
    assert event["id"] == headers["webhook-id"]
    assert headers["content-type"] == "application/cloudevents+json; charset=UTF-8"
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(b"k" * 32, text, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_a_webhook_that_refuses_is_tried_again_with_the_same_id(station, configure, receiver):
    configure({"mes": {"on": ["unit-done"], "webhook": f"https://localhost:{receiver.server_port}/in"}},
              caFile=str(receiver.ca_file))
    receiver.status = 503
    provision(station)
    wait_until(lambda: [row for row in waiting(station) if "answered 503" in row.get("error", "")], what="a try")
    receiver.status = 200
    assert deliver(station).status == 0
    assert len({json.loads(body)["id"] for _, body in receiver.received}) == 1


@pytest.mark.parametrize("secret", ["whsec_", "not base64", None])
def test_a_secret_that_is_none_is_found_before_anything(station, configure, secret):
    path = station.home / "hook.secret"
    if secret:
        write_secret(path, secret + "\n")
    configure({"mes": {"on": ["unit-done"], "webhook": "https://localhost:1/in", "secretFile": str(path)}})
    done = station.provision(station.profile("derived-key"), "HOOK-1")
    assert done.status != 0 and "the secret of hook 'mes'" in done.stderr and station.emulator.changes() == [], done
    assert verdict(station) == "fail"


@pytest.mark.parametrize("hook, words", [({"command": ["/nonexistent/hook"]}, "/nonexistent/hook"),
                                         ({"command": ["/etc/passwd"]}, "no program"), ({"command": ["/etc"]}, "no program"),
                                         ({"folder": "/nonexistent/mes"}, "/nonexistent/mes"), ({"folder": "/etc/passwd"}, "none that can be")])
def test_doctor_tells_of_a_hook_that_cannot_work(station, configure, hook, words):
    configure({"mes": {"on": ["unit-done"], **hook}})
    found = station.muster("doctor", "--journal", station.journal, "-o", "json").json
    [row] = [row for row in found if row["check"] == "hooks"]
    assert row["verdict"] == "fail" and "hook 'mes'" in row["seen"] and words in row["seen"] and "muster.yaml" in row["remedy"], row
    assert station.provision(station.profile("derived-key"), "HOOK-1").status == 0


def test_doctor_says_where_a_hook_is_mended(station, configure):
    configure({"mes": {"on": ["unit-done"]}})
    found = station.muster("doctor", "--journal", station.journal, "-o", "json").json
    [row] = [row for row in found if row["check"] == "hooks"]
    assert row["verdict"] == "fail" and "muster.yaml" in row["remedy"] and "help" not in row["remedy"], row


@pytest.mark.parametrize("hook", [{}, {"folder": "/tmp", "webhook": "https://localhost/"}, {"command": ["relative"]},
                                  {"webhook": "https://bench:s3cret@localhost/in?code=s3cret"}])
def test_a_hook_without_one_clear_place_is_refused_before_anything(station, configure, hook):
    configure({"mes": {"on": ["unit-done"], **hook}})
    done = station.provision(station.profile("derived-key"), "HOOK-1")
    assert (done.status, done.cause) == (2, "E1001") and "s3cret" not in done.stdout + done.stderr, done
    assert station.emulator.changes() == []


@pytest.mark.parametrize("hook", [{"on": ["unit-gone"], "folder": "/tmp"}, {"on": ["unit-done"], "webhook": "http://plain/"},
                                  {"folder": "/tmp"}, {"on": ["unit-done"], "folder": "/tmp", "timeout": 0}])
def test_a_wrong_setting_is_told_with_its_place(station, configure, hook):
    configure({"mes": hook})
    done = station.provision(station.profile("derived-key"), "HOOK-1")
    assert done.status == 2, done
    assert "muster.yaml:" in done.stderr
