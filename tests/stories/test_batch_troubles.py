"""What changes or is missing around a batch while it runs."""
import base64
import contextlib
import json
import re
import signal
import sqlite3
import subprocess

from lib.batch import created, manifest, provision, restart, serials
from lib.emulator import Emulator
from lib.paths import BUILD
from lib.program import environment
from lib.software_token import write_secret
from lib.station import Station
from lib.wait import wait_until

NAME, HOLE = "dps.test", "fd00::2"
# Nobody is asked who answers on this interface, and nobody does: what is sent there is gone.
NETWORK = f"""
ip link set lo up
ip link add hole type veth peer name away
ip link set away up
ip link set hole arp off up
ip -6 address add fd00::1/64 dev hole nodad
mount --bind "$1" /etc/hosts
shift
exec "$@"
"""


def start(station, path):
    command = [BUILD / "muster", "provision", "--profile", station.profile("derived-key"), "--manifest", path, *station.common(),
               "--verify", "none", "-o", "json"]
    return subprocess.Popen(list(map(str, command)), env=environment(BUILD, station.home), cwd=station.home, text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_manifest_that_is_edited_stops_its_batch(station):
    """Nothing of the new text is read, and with the old one the next run goes on."""
    names = serials(400)
    restart(station, "--fault", "bulk:delay-after=200")
    path = manifest(station, names)
    with start(station, path) as process:
        wait_until(lambda: len(created(station)) >= 20, what="some devices")
        path.write_text(path.read_text() + "NEW-1\n")
        stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 7 and "was changed while it was read" in stderr and "E1441" in stderr, (process.returncode, stdout, stderr)
    assert json.loads(stdout)["enrolled"] < 400 and "new-1" not in created(station)
    restart(station)
    refused = provision(station, path, "--verify", "none")
    assert refused.status != 0 and "is open with a manifest of digest" in refused.error["detail"], refused
    manifest(station, names)
    assert provision(station, path, "--verify", "none").status == 0
    assert created(station) == {name.lower(): 1 for name in names}


def test_a_profile_that_is_edited_holds_as_it_was(station):
    """All rows of a batch have the terms that it began with."""
    restart(station, "--fault", "bulk:delay-after=200")
    with start(station, manifest(station, serials(60))) as process:
        wait_until(lambda: len(created(station)) >= 10, what="some devices")
        station.profile("derived-key", {"initialTwin": {"tags": {"edited": "yes"}}})
        process.communicate(timeout=120)
    assert process.returncode == 0
    enrollments = station.service.enrollments()
    assert len(enrollments) == 60 and len({json.dumps(row["initialTwin"]) for row in enrollments}) == 1
    assert len({row["profileSha256"] for row in station.rows().values()}) == 1


def test_an_address_that_swallows_everything_costs_a_moment(tmp_path):
    """The service's name has an IPv6 address from where nothing comes, beside one that answers."""
    hosts = tmp_path / "hosts"
    hosts.write_text(f"{HOLE} {NAME}\n127.0.0.1 {NAME}\n")
    inside = ["unshare", "--map-root-user", "--net", "--mount", "sh", "-ec", NETWORK, "sh", hosts]
    emulator = Emulator(tmp_path / "dps", "--name", NAME, wrapper=inside)
    enter = ["nsenter", "--target", str(emulator.process.pid), "--user", "--net", "--mount", "--preserve-credentials"]
    try:
        station = Station(tmp_path / "home", emulator)
        station.wrapper = enter
        done = provision(station, manifest(station, serials(20)), "--verify", "none", timeout=300)
        assert done.status == 0 and done.json["enrolled"] == 20, done
        assert done.seconds < 60
        counters = subprocess.run([*enter, "ip", "-s", "-j", "link", "show", "hole"], check=True, text=True, stdout=subprocess.PIPE)
        assert json.loads(counters.stdout)[0]["stats64"]["tx"]["packets"] > 0
    finally:
        emulator.stop()


def test_a_full_output_folder_stops_a_batch(station):
    """No lot is enrolled whose keys and evidence have no room; once there is some, the next run goes on."""
    names = serials(40)
    station.out.mkdir()
    full = 'mount -t tmpfs -o size=4k none "$1"; head -c 4096 /dev/zero >"$1/lots"; shift; exec "$@"'
    done = provision(station, manifest(station, names), "--verify", "none",
                     wrapper=["unshare", "--map-root-user", "--mount", "sh", "-ec", full, "sh", station.out])
    assert (done.status, done.cause) == (11, "E6102") and "stopped after 3 devices in a row" in done.stderr, done
    assert len(created(station)) < 20
    assert provision(station, manifest(station, names), "--verify", "none").status == 0
    assert created(station) == {name.lower(): 1 for name in names}


def test_a_journal_that_takes_no_more_in_the_middle(station):
    """The first reason is told, and what ended before; the next run goes on from there."""
    names = serials(300)
    path = manifest(station, names)
    assert provision(station, manifest(station, ["FIRST-1"], "first.csv"), "--verify", "none").status == 0
    blocks = station.journal.stat().st_size // 512 + 100
    done = provision(station, path, "--verify", "none",
                     wrapper=["sh", "-c", f'trap "" XFSZ; ulimit -f {blocks}; exec "$@"', "sh"])
    assert done.status == 11 and "disk I/O error" in done.stderr and "earlier" not in done.stderr, done
    assert 0 < done.json["enrolled"] < 300, done
    assert provision(station, path, "--verify", "none").status == 0
    assert {created(station)[name.lower()] for name in names} == {1}


@contextlib.contextmanager
def standing_reader(station):
    with contextlib.closing(sqlite3.connect(station.journal, timeout=60, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM entry").fetchone()[0] > 0
        yield


def test_a_reader_that_stands_still_holds_a_batch_up_and_does_not_end_it(station):
    """A backup, or a verify that was stopped in the middle of a page: nothing is written before it lets go."""
    names = serials(300)
    restart(station, "--fault", "bulk:delay-after=200")
    with start(station, manifest(station, names)) as process:
        wait_until(lambda: len(created(station)) >= 20, what="some devices")
        with standing_reader(station):
            told = next((line for line in process.stderr if "another program reads" in line), None)
        stdout, stderr = process.communicate(timeout=120)
    assert told and str(station.journal) in told, (told, stdout, stderr)
    assert process.returncode == 0 and json.loads(stdout)["enrolled"] == 300, (process.returncode, stdout, stderr)
    assert created(station) == {name.lower(): 1 for name in names}


def test_a_run_that_is_told_to_end_does_not_wait_for_readers(station):
    names = serials(60)
    restart(station, "--fault", "bulk:delay-after=2000")
    with start(station, manifest(station, names)) as process:
        wait_until(lambda: len(created(station)) >= 1, what="some devices")
        with standing_reader(station):
            process.send_signal(signal.SIGTERM)
            stdout, stderr = process.communicate(timeout=100)  # of five minutes
    assert process.returncode == 11 and "database is locked" in stderr, (process.returncode, stdout, stderr)
    assert provision(station, manifest(station, names)).status == 0
    assert created(station) == {name.lower(): 1 for name in names}


def test_a_wrong_credential_costs_ten_devices_also_of_a_manifest_that_is_run_again(station):
    """That the first of it is released already shows nothing of the service."""
    names = serials(40)
    assert provision(station, manifest(station, names[:1], "first.csv")).status == 0
    login = station.login_file.read_text()
    write_secret(station.login_file, re.sub("SharedAccessKey=.*", f"SharedAccessKey={base64.b64encode(bytes(32)).decode()}", login))
    done = provision(station, manifest(station, names))
    assert (done.status, done.cause) == (5, "E5201"), done
    assert (done.json["before"], done.json["failed"]) == (1, 10), done
    write_secret(station.login_file, login)
    assert provision(station, manifest(station, names), "--verify", "none").json["enrolled"] == 39


def test_a_station_without_its_workers_fails_one_device(hsm_station, token):
    station, path = hsm_station, manifest(hsm_station, [name.lower() for name in serials(5)])
    work = [station, path, "--token", token.uri, "--pin-file", token.pin_file]
    profile = station.profile("hsm-x509")
    empty = station.home / "empty"
    empty.mkdir()
    done = provision(*work, profile=profile, env={"MUSTER_WORKER_DIR": empty})
    assert (done.status, done.cause, done.json["ended"], done.json["failed"]) == (4, "E7001", 1, 1), done
    assert provision(*work, profile=profile).json["enrolled"] == 5
