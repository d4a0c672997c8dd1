"""muster provision --manifest: every device of a manifest once, whatever happens on the way."""
import concurrent.futures
import json
import random
import signal
import subprocess

import pytest

from lib.batch import OfflineOrdeal, Ordeal, created, manifest, provision, released, requests, restart, serials
from lib.paths import BUILD
from lib.program import environment
from lib.station import Station
from lib.wait import wait_until


def assert_each_once(station, names):
    assert created(station) == {name.lower(): 1 for name in names}


def counts(done):
    names = ("before", "enrolled", "adopted", "failed", "parked", "planned")
    return {name: done.json[name] for name in names if done.json[name]}


# -- The straight way ------------------------------------------------------------------------------------------


def test_a_manifest_becomes_enrollments_and_nothing_the_second_time(station):
    names = serials(40)
    path = manifest(station, names)
    done = provision(station, path, "--verify", "none")
    assert done.status == 0 and counts(done) == {"enrolled": 40}, done
    assert (done.json["yieldPercent"], done.json["firstPassPercent"]) == (100, 100), done
    assert_each_once(station, names)
    bulks = [row for row in station.emulator.ledger() if row["op"] == "bulk" and row["id"] == ""]
    assert 4 <= len(bulks) <= 12, bulks
    assert released(station) == {name.lower() for name in names}
    asked = len(requests(station))
    again = provision(station, path, "--verify", "none")
    assert again.status == 0 and counts(again) == {"before": 40}, again
    assert len(requests(station)) == asked


def test_devices_that_nobody_asked_to_register_are_verified_when_that_is_asked_for(station):
    names = serials(6)
    path = manifest(station, names)
    assert provision(station, path, "--verify", "none").status == 0
    assert {row["verification"] for row in station.rows().values()} == {"not-asked"}
    again = provision(station, path, "--verify", "sample:2")
    assert again.status == 0, again
    assert [row["verification"] for row in station.rows().values()].count("verified") == 2
    assert provision(station, path).status == 0
    assert {row["verification"] for row in station.rows().values()} == {"verified"}
    assert_each_once(station, names)
    asked = len(requests(station))
    done = provision(station, path)
    assert done.status == 0 and counts(done) == {"before": 6}, done
    assert len(requests(station)) == asked


@pytest.mark.parametrize("batch", [True, False], ids=["manifest", "single"])
def test_what_is_asked_late_makes_nothing_that_is_gone(station, batch):
    """A released device is looked at, and no more, until its enrollment is what was released."""
    path = manifest(station, ["LATE-1"])
    assert provision(station, path, "--verify", "none").status == 0
    edited = station.service.enrollment("late-1")
    station.service.put("late-1", {**edited, "initialTwin": {"tags": {"edited": "yes"}}}, {"If-Match": edited["etag"]})
    again = (lambda: provision(station, path)) if batch else (lambda: station.provision(station.profile("derived-key"), "LATE-1"))
    done = again()
    assert done.status == 7 and "E3101" in done.stderr, done
    assert station.rows()["late-1"]["state"] == "released"
    station.service.delete("late-1")
    done = again()
    assert done.status == 3 and "E3109" in done.stderr, done
    assert station.rows()["late-1"]["state"] == "released" and station.service.enrollments() == []


def test_devices_that_another_profile_released_are_compared_with_this_one(station):
    names = serials(3)
    path = manifest(station, names)
    assert provision(station, path).status == 0
    before = station.rows()
    same = station.profile("derived-key", {"version": 2}, name="version-2")
    done = provision(station, path, "--verify", "none", "--begin-anew", profile=same)
    assert done.status == 0 and counts(done) == {"before": 3}, done
    assert station.rows() == before and {row["verification"] for row in before.values()} == {"verified"}
    other = station.profile("derived-key", {"initialTwin": {"tags": {"line": "9"}}}, name="other")
    done = provision(station, path, "--verify", "none", "--begin-anew", profile=other)
    assert (done.status, counts(done)) == (7, {"failed": 3}), done
    assert "E3101" in done.stderr and "initialTwin" in done.stderr, done
    assert {row["state"] for row in station.rows().values()} == {"released"}
    assert_each_once(station, names)


def test_a_dry_run_says_how_many_would_be_made(station):
    path = manifest(station, serials(5))
    assert provision(station, manifest(station, serials(2), "two.csv")).status == 0
    station.service.enrollments()
    done = provision(station, path, "--dry-run")
    assert done.status == 0 and counts(done) == {"before": 2, "planned": 3}, done
    shown = provision(station, path, "--dry-run", "-o", "table")
    head, row = (line.split() for line in shown.stdout.splitlines()[:2])
    assert dict(zip(head, row))["PLANNED"] == "3" and "ENROLLED" not in head and "YIELD" not in head, shown


# -- What is wrong with a manifest is said before anything happens ---------------------------------------------


@pytest.mark.parametrize("name, text, words", [
    ("a.csv", "serial,color\nA,red\n", ":1:8: there is no column 'color'"),
    ("a.csv", "serial,serial\nA,B\n", ":1:8: column 'serial' is there twice"),
    ("a.csv", "serial\nA\nB,C\n", ":3:1: the row has 2 cells, the first row 1"),
    ("a.csv", "serial\n\"A\nB\n", "has no end"),
    ("a.csv", "serial\nA\nB\nA\n", ":4:1: serial 'A' is in line 2 already"),
    ("a.csv", "serial\nSN-a\nSN-A\n", ":3:1: serial 'SN-A' differs only by letter case from the one in line 2"),
    ("a.csv", "serial,registrationId\nA,x\nB,X\n", ":3:3: registrationId 'x' is in line 2 already"),
    ("a.csv", "serial,deviceId\nA,x\nB,x\n", ":3:3: deviceId 'x' is in line 2 already"),
    ("a.csv", "registrationId\nA\n", ":2:1: profile 'derived-key' makes IDs from the serial"),
    ("a.csv", "serial\nA/B\n", "registration ID"),
    ("a.csv", "serial\nA\x07\n", ":2:1: "),
    ("a.csv", "serial,tpm\nA,device:/dev/tpm0\n", ":2:3: a TPM is named"),
    ("a.csv", "serial\n", "names no device"),
    ("a.jsonl", '{"serial":"A"}\n{"serial":7}\n', ":2:2: serial is not a text"),
    ("a.jsonl", '{"serial":"A","colour":"x"}\n', ":1:15: there is no member 'colour'"),
    ("a.jsonl", '{"serial":"A"}\n{"serial":"A"}\n', ":2:2: serial 'A' is in line 1 already"),
    ("a.jsonl", '{"serial":\n', ":1:"),
])
def test_mistakes(station, name, text, words):
    path = station.home / name
    path.write_text(text)
    done = provision(station, path)
    assert (done.status, done.error["code"]) == (2, "E1440") and words in done.stderr, done
    assert station.emulator.ledger() == [] and not station.journal.exists()


def test_every_mistake_is_listed(station):
    path = manifest(station, ["A", "B", "A", "/", "b"])
    done = provision(station, path)
    places = [line.split(":")[1] for line in done.stderr.splitlines() if line.startswith(str(path))]
    assert done.status == 2 and places == ["4", "5", "6"], done


def test_rows_hold_over_the_templates(station):
    path = station.home / "devices.jsonl"
    path.write_text('{"serial":"A","registrationId":"Own-ID","deviceId":"Pump.7"}\n\n{"serial":"B","deviceId":null}\n')
    done = provision(station, path)
    assert done.status == 0 and counts(done) == {"enrolled": 2}, done
    assert station.service.enrollment("own-id")["deviceId"] == "Pump.7"
    assert station.service.enrollment("b")["attestation"]["type"] == "symmetricKey"


def test_a_released_device_keeps_its_device_id(station):
    path = station.home / "devices.csv"
    path.write_text("serial,deviceId\nA,pump-a\nB,pump-b\n")
    assert provision(station, path).status == 0
    assert counts(provision(station, path)) == {"before": 2}
    path.write_text("serial,deviceId\nA,pump-a\nB,pump-c\n")
    done = provision(station, path)
    assert (done.status, counts(done)) == (7, {"before": 1, "failed": 1}) and "E6049" in done.stderr and "'pump-c'" in done.stderr, done
    [row] = [row for row in station.rows().values() if row["serial"] == "B"]
    assert (row["state"], row["deviceId"]) == ("released", "pump-b")


@pytest.mark.parametrize("word, status", [(None, 0), ("warn", 0), ("refuse", 2), ("pass", 0)])
def test_lookalikes(station, word, status):
    path = manifest(station, ["SN-10", "SN-l0", "SN-11", "SN-1O"])
    done = provision(station, path, "--verify", "none", *(["--look-alikes", word] if word else []))
    said = [line for line in done.stderr.splitlines() if "looks like the one in line 2" in line]
    assert done.status == status and len(said) == (0 if word == "pass" else 2), done
    assert all(("warning" in line) == (status == 0) for line in said), done


# -- Faults ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [
    "bulk:partial=3:count=1", "bulk:cut-after:count=2:skip=1", "bulk:cut-before:count=1", "bulk:status-after=500:count=1:skip=1",
    "bulk:garbage:count=1", "bulk:status=429:retry-after=1:count=1", "bulk:throttled=3:count=2",
    "bulk:status=404", "bulk:status=401:count=1"])
def test_no_device_is_lost_or_doubled(station, fault):
    names = serials(35)
    restart(station, "--fault", fault)
    path = manifest(station, names)
    done = provision(station, path, "--verify", "none")
    assert done.status == 0 and sum(counts(done).values()) == 35, done
    assert_each_once(station, names)
    assert released(station) == {name.lower() for name in names}
    asked = len(requests(station))
    assert counts(provision(station, path, "--verify", "none")) == {"before": 35}
    assert len(requests(station)) == asked


@pytest.mark.parametrize("status", [401, 403])
def test_what_nobody_gets_stops_at_the_third(station, status):
    restart(station, "--fault", f"bulk+put+get:status={status}")
    done = provision(station, manifest(station, serials(200)), "--verify", "none")
    assert done.status == 5 and "stopped after 3 refusals" in done.error["detail"], done
    assert len(requests(station)) == 3 and created(station) == {}
    assert done.json["failed"] == done.json["ended"] <= 10, done
    restart(station)
    assert counts(provision(station, manifest(station, serials(200)), "--verify", "none")) == {"enrolled": 200}


def test_a_wrong_clock_stops_at_the_first(station):
    restart(station, "--clock-offset", "3600")
    done = provision(station, manifest(station, serials(50)), "--verify", "none")
    assert (done.status, done.error["code"]) == (5, "E5202") and done.json["ended"] == 1, done
    assert created(station) == {}


def test_kills_and_faults(release_station):
    ordeal = Ordeal(release_station, 80, 4, random.Random(7))
    ordeal.run()
    assert list(ordeal.problems()) == [] and ordeal.killed >= 2


def test_kills_and_faults_without_an_uplink_and_with_one(release_station):
    ordeal = OfflineOrdeal(release_station, 40, 4, random.Random(7))
    ordeal.run()
    assert list(ordeal.problems()) == [] and ordeal.killed >= 2


def test_a_signal_parks_and_the_next_run_goes_on(station):
    """In the middle, with requests under way; what was not sent yet need not be read back."""
    names = serials(300)
    restart(station, "--fault", "bulk:delay-after=200")
    path = manifest(station, names)
    command = [BUILD / "muster", "provision", "--profile", station.profile("derived-key"), "--manifest", path, *station.common(),
               "--verify", "none", "-o", "json"]
    with subprocess.Popen(list(map(str, command)), env=environment(BUILD, station.home), cwd=station.home, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_until(lambda: len(created(station)) >= 20, what="some devices")
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    report = json.loads(stdout)
    assert process.returncode == 130 and 0 < report["enrolled"] < 300 and 64 < report["parked"] <= 128, (process.returncode, stdout, stderr)
    again = provision(station, path, "--verify", "none")
    assert again.status == 0 and again.json["resumed"] and again.json["before"] == report["enrolled"], again
    assert len(station.emulator.requests("get")) <= 64
    assert_each_once(station, names)


def test_two_stations_with_the_same_devices(station, tmp_path, emulator):
    other = Station(tmp_path / "other", emulator)
    for name in ("primary", "secondary"):
        (other.home / f"keys/{name}.key").write_bytes((station.home / f"keys/{name}.key").read_bytes())
    names = serials(60)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = list(pool.map(lambda one: provision(one, manifest(one, names), "--verify", "none"), [station, other]))
    assert [run.status for run in runs] == [0, 0], runs
    assert sum(run.json["enrolled"] for run in runs) == 60 == sum(run.json["adopted"] for run in runs), runs
    assert_each_once(station, names)
    assert released(station) == released(other) == {name.lower() for name in names}


# -- With hardware ---------------------------------------------------------------------------------------------


def test_tpms(station, make_tpm):
    tpms = [make_tpm(f"s{number}", with_certificate=False) for number in range(3)]
    path = station.home / "devices.csv"
    path.write_text("serial,tpm,socket\n" + "".join(f"SN-{number},{tpm.tcti},{number}\n" for number, tpm in enumerate(tpms)))
    profile = station.profile("tpm", {"attestation": {"tpm": {"certificate": "optional"}}})
    done = provision(station, path, profile=profile)
    assert done.status == 0 and counts(done) == {"enrolled": 3} and done.json["verified"] == 3, done
    assert len(station.service.enrollments()) == 3
    path.write_text("serial,tpm\n" + "".join(f"SN-{number},{tpms[0].tcti}\n" for number in range(2)))
    done = provision(station, path, "--begin-anew", profile=profile)
    assert done.status == 2 and ":3:6: tpm " in done.stderr, done


def test_a_token(hsm_station, token):
    profile = hsm_station.profile("hsm-x509")
    done = provision(hsm_station, manifest(hsm_station, serials(5)), "--token", token.uri, "--pin-file", token.pin_file, profile=profile)
    assert done.status == 0 and counts(done) == {"enrolled": 5} and done.json["verified"] == 5, done
    assert sorted(token.objects("privkey")) == [name.lower() for name in serials(5)]


@pytest.mark.refuses_a_pin
def test_a_wrong_pin_is_tried_once(hsm_station, token):
    profile = hsm_station.profile("hsm-x509")
    wrong = hsm_station.home / "wrong"
    wrong.touch(0o600)
    wrong.write_text("9999")
    done = provision(hsm_station, manifest(hsm_station, serials(5)), "--token", token.uri, "--pin-file", wrong, profile=profile)
    assert done.status == 5 and done.json["ended"] == 1, done


# -- Pinned ----------------------------------------------------------------------------------------------------


def test_an_open_batch_takes_no_other_manifest_or_profile(station):
    restart(station, "--fault", "bulk+put+get:status=403")
    path = manifest(station, serials(20))
    assert provision(station, path, "--verify", "none").status == 5
    restart(station)
    manifest(station, serials(21))
    other = station.profile("derived-key", {"iotEdge": True}, name="other")
    for arguments, words in [({}, "a manifest"), ({"profile": other}, "a manifest")]:
        done = provision(station, path, "--verify", "none", **arguments)
        assert (done.status, done.error["code"]) == (7, "E1441") and words in done.stderr, done
    assert created(station) == {}
    manifest(station, serials(20))
    done = provision(station, path, "--verify", "none", profile=other)
    assert (done.status, done.error["code"]) == (7, "E1441") and "a profile" in done.stderr, done
    done = provision(station, path, "--verify", "none")
    assert counts(done) == {"enrolled": 20} and done.json["resumed"], done
    manifest(station, serials(21))
    done = provision(station, path, "--verify", "none")
    assert counts(done) == {"before": 20, "enrolled": 1} and not done.json["resumed"], done


def test_an_open_batch_can_be_left(station):
    restart(station, "--fault", "bulk+put+get:status=403")
    path = manifest(station, serials(20))
    assert provision(station, path, "--verify", "none").status == 5
    restart(station)
    manifest(station, serials(4, "NEW"))
    done = provision(station, path, "--verify", "none", "--begin-anew")
    assert counts(done) == {"enrolled": 4}, done


# -- What is said ----------------------------------------------------------------------------------------------


def test_events_for_machines(station):
    done = station.muster("provision", "--profile", station.profile("derived-key"), "--manifest", manifest(station, serials(12)),
                          *station.common(), "--verify", "sample:3", "-o", "jsonl")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    devices = [event for event in events if event["event"] == "device"]
    assert done.status == 0 and {event["device"] for event in devices} == set(serials(12)), done
    assert [event["device"] for event in sorted(devices, key=lambda event: event["device"]) if event["verified"]] == [
        "SN-00003", "SN-00007", "SN-00011"], done
    assert events[-1]["event"] == "report" and events[-1]["verified"] == 3, done
    assert len(station.rows("--verification", "verified")) == 3 and len(station.rows("--verification", "not-asked")) == 9
    assert events[-1]["boundBy"] in ("DPS operations", "DPS registrations", "station"), done
    assert {event["event"] for event in events} <= {"device", "progress", "report"}, done


def test_the_profile_says_what_is_verified_and_what_looks_alike(station):
    profile = station.profile("derived-key", {"batch": {"verify": "sample", "sample": 2, "lookAlikes": "refuse"}})
    done = provision(station, manifest(station, serials(6)), profile=profile)
    assert done.status == 0 and done.json["verified"] == 2, done
    alike = manifest(station, ["A0", "AO"])
    assert provision(station, alike, profile=profile).status == 2
    done = provision(station, alike, "--look-alikes", "pass", "--verify", "all", profile=profile)
    assert done.status == 0 and done.json["verified"] == 2, done


def test_refused_ones_are_told_and_counted(station):
    other = station.profile("derived-key", {"iotEdge": True}, name="other")
    for name in ("SN-00003", "SN-00007"):
        assert station.provision(other, name).status == 0
    station.journal = station.home / "second.db"
    done = provision(station, manifest(station, serials(12)), "--verify", "none")
    assert (done.status, done.error["code"]) == (7, "E3101") and counts(done) == {"enrolled": 10, "parked": 2}, done
    assert done.json["reasons"][0]["devices"] == 2 and done.json["yieldPercent"] == 83.33, done


@pytest.mark.parametrize("arguments, words", [
    (["--serial", "A"], "the manifest names the devices"),
    (["--device-key", "key.pem"], "the manifest names the devices"),
    (["--verify", "some"], "is not all, none or sample:N"),
    (["--batch", "x" * 65], "has 1 to 64 characters"),
])
def test_wrong_lines(station, arguments, words):
    done = provision(station, manifest(station, ["A"]), *arguments)
    assert done.status == 2 and words in done.stderr and not station.journal.exists(), done


def test_options_of_a_manifest_need_one(station):
    done = station.provision(station.profile("derived-key"), "A", "--batch", "x")
    assert done.status == 2 and "--manifest" in done.stderr, done
