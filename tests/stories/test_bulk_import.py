"""muster enrollment import: every row once, whatever happens on the way, and never a request for a file with mistakes."""
import datetime
import json
import signal
import subprocess
import time

import pytest

from lib.bulk import KEYS, devices_file, lines_file, names, run_measured, sums, symmetric
from lib.enrollment import EnrollmentDesk
from lib.killer import TRACED, choose, killer, points_of, recorder, was_killed
from lib.paths import IS_LONG, RELEASE
from lib.program import environment
from lib.tls_server import WrongServer
from lib.wait import wait_until

HUB = "hub-1.azure-devices.net"


@pytest.fixture
def desk(station):
    return EnrollmentDesk(station)


def deletions_file(desk, count):
    path = desk.home / "gone.csv"
    path.write_text("registrationId\n" + "".join(f"{name}\n" for name in names(count)))
    return path


def created(desk):
    """How often each enrollment was created."""
    counts = {}
    for row in desk.emulator.ledger():
        if row["effect"] == "create":
            counts[row["id"]] = counts.get(row["id"], 0) + 1
    return counts


def requests(desk):
    return [row for row in desk.emulator.ledger() if row["id"] == "" or row["op"] != "bulk"]


def assert_each_once(desk, count):
    assert created(desk) == dict.fromkeys(names(count), 1)


def restart(desk, *arguments):
    """At the same address: progress belongs to a service."""
    desk.restart("--port", desk.emulator.url.rsplit(":", 1)[1], *arguments)


# -- What comes of a file --------------------------------------------------------------------------------------


def test_a_table_becomes_enrollments(desk):
    path = desk.home / "devices.csv"
    path.write_bytes(
        b"\xef\xbb\xbfregistrationId,attestation,primaryKey,secondaryKey,deviceId,provisioningStatus,allocationPolicy,iotHubs,"
        b"updateHubAssignment,iotEdge,tags,properties,deviceInformation\r\n"
        + f'one,symmetricKey,{KEYS["primaryKey"]},{KEYS["secondaryKey"]},Dev One,disabled,static,{HUB},false,TRUE,"{{""line"": 3}}","{{""a"": [1, 2]}}",'
          '"{""note"": ""first\r\nline""}"\r\n'.replace("Dev One", "DevOne").replace("first\r\nline", "x").encode()
        + b"two,symmetrickey,,,,,,,,,,,\r\n")
    done = desk.run("import", path)
    assert done.status == 0 and sums(done) == {"written": 2}, done
    one, two = desk.service.enrollment("one"), desk.service.enrollment("two")
    assert (one["deviceId"], one["provisioningStatus"], one["iotHubs"]) == ("DevOne", "disabled", [HUB])
    assert one["reprovisionPolicy"] == {"updateHubAssignment": False, "migrateDeviceData": True}
    assert one["capabilities"] == {"iotEdge": True}
    assert one["initialTwin"]["tags"] == {"line": 3} and one["initialTwin"]["properties"]["desired"] == {"a": [1, 2]}
    assert one["optionalDeviceInformation"] == {"note": "x"}
    status, mechanism = desk.service.request("POST", "/enrollments/one/attestationmechanism")
    assert mechanism["symmetricKey"] == KEYS, status
    assert two["attestation"]["type"] == "symmetricKey"


def test_ten_a_request_and_nothing_new_the_second_time(desk):
    path = devices_file(desk, 95)
    done = desk.run("import", path)
    assert done.status == 0 and sums(done) == {"written": 95}, done
    assert_each_once(desk, 95)
    assert len([row for row in requests(desk) if row["op"] == "bulk"]) == 10
    restart(desk)
    again = desk.run("import", path)
    assert again.status == 0 and sums(again) == {"already": 95} and again.json["before"] == 0, again
    assert desk.emulator.changes() == []


def test_what_was_undone_since_is_done_again(desk):
    path = devices_file(desk, 15)
    assert sums(desk.run("import", path)) == {"written": 15}
    assert sums(desk.run("import", path, "--mode", "delete")) == {"written": 15}
    again = desk.run("import", path)
    assert again.status == 0 and sums(again) == {"written": 15}, again
    assert sums(desk.run("import", path, "--mode", "delete")) == {"written": 15}
    assert desk.service.put("dev-0001", symmetric("dev-0001"))[0] == 200
    again = desk.run("import", path, "--mode", "delete")
    assert again.status == 0 and sums(again) == {"written": 1, "already": 14}, again
    assert desk.service.enrollments() == []


def stopped_at_one_row(desk):
    """A run that did not come to its end."""
    path = devices_file(desk, 15)
    assert desk.service.put("dev-0001", symmetric("dev-0001", deviceId="theirs"))[0] == 200
    done = desk.run("import", path)
    assert done.status == 7 and sums(done) == {"written": 14, "differs": 1}, done
    desk.service.delete("dev-0001")
    return path


def test_an_earlier_run_that_is_gone_on_with_is_told(desk):
    path = stopped_at_one_row(desk)
    again = desk.run("import", path)
    assert again.status == 0 and again.json["before"] == 14 and sums(again) == {"written": 1}, again
    assert "14 of 15 rows" in again.stderr and "--restart" in again.stderr, again


def test_what_was_done_is_not_forgotten_for_a_disk_that_fails(desk):
    path = stopped_at_one_row(desk)
    progress = next(desk.home.rglob("muster/import-*"))
    broken = desk.run("import", path, env=TRACED, wrapper=["strace", "-qq", "-o", "/dev/null", "-P", progress, "-e", "trace=pread64", "-e",
                                                           "inject=pread64:error=EIO"])
    assert (broken.status, broken.cause) == (11, "E6102") and f"reading the progress file '{progress}'" in broken.stderr, broken
    again = desk.run("import", path)
    assert again.status == 0 and again.json["before"] == 14 and sums(again) == {"written": 1}, again


def test_a_run_in_another_mode_ends_what_was_open(desk):
    path = stopped_at_one_row(desk)
    assert desk.run("import", path, "--mode", "delete").status == 0
    again = desk.run("import", path)
    assert again.status == 0 and again.json["before"] == 0 and sums(again) == {"written": 15}, again


def test_restart_compares_instead(desk):
    path = stopped_at_one_row(desk)
    again = desk.run("import", path, "--restart")
    assert again.status == 0 and sums(again) == {"already": 14, "written": 1}, again
    assert_each_once_in_all(desk, 15)


def test_singles(desk):
    done = desk.run("import", devices_file(desk, 12), "--single")
    assert done.status == 0 and sums(done) == {"written": 12}, done
    assert len(desk.emulator.effects("put")) == 12 and desk.emulator.requests("bulk") == []


def test_dry_run_needs_no_service(desk):
    done = desk.station.muster("enrollment", "import", devices_file(desk, 3), "--dry-run")
    assert done.status == 0 and done.json["rows"] == 3 and sums(done) == {}, done


def test_update_and_delete(desk):
    assert desk.run("import", devices_file(desk, 12)).status == 0
    changed = lines_file(desk, [symmetric(name, deviceId="New") for name in names(12)], "changed.jsonl")
    done = desk.run("import", changed, "--mode", "update")
    assert done.status == 0 and sums(done) == {"written": 12}, done
    assert {row["deviceId"] for row in desk.service.enrollments()} == {"New"}
    gone = desk.home / "gone.csv"
    gone.write_text("registrationId\n" + "\n".join([*names(12), "nobody"]) + "\n")
    done = desk.run("import", gone, "--mode=DELETE")
    assert done.status == 0 and sums(done) == {"written": 12, "already": 1}, done
    assert desk.service.enrollments() == []


def test_update_if_match_leaves_what_was_changed_meanwhile(desk):
    assert desk.run("import", devices_file(desk, 3)).status == 0
    exported = desk.home / "all.jsonl"
    assert desk.run("export", exported, "--include-keys").status == 0
    exported.write_text(exported.read_text().replace('"provisioningStatus":"enabled"', '"provisioningStatus":"disabled"'))
    etag = desk.service.enrollment("dev-0001")["etag"]
    status, answer = desk.service.request("PUT", "/enrollments/dev-0001", symmetric("dev-0001", deviceId="theirs"), {"If-Match": etag})
    assert status == 200, answer
    done = desk.run("import", exported, "--mode", "update-if-match")
    assert (done.status, sums(done)) == (7, {"written": 2, "differs": 1}), done
    assert "E5141" in done.stderr and "[E5110]" in done.stderr and "dev-0001" in done.stderr
    assert desk.service.enrollment("dev-0001")["deviceId"] == "theirs"
    assert desk.service.enrollment("dev-0002")["provisioningStatus"] == "disabled"


def test_what_is_there_otherwise_is_not_overwritten(desk):
    for document in (symmetric("dev-0003"), symmetric("dev-0007", deviceId="theirs")):
        assert desk.service.put(document["registrationId"], document)[0] == 200
    path = devices_file(desk, 12)
    done = desk.run("import", path)
    assert (done.status, sums(done)) == (7, {"written": 10, "already": 1, "differs": 1}), done
    assert "devices.jsonl:8: [E3101] enrollment 'dev-0007'" in done.stderr and "deviceId" in done.stderr
    assert desk.service.enrollment("dev-0007")["deviceId"] == "theirs"
    assert desk.run("import", path).json["before"] == 11


def test_one_that_is_refused_does_not_hold_up_the_others(desk):
    documents = [symmetric(name) for name in names(12)]
    documents[4].update(allocationPolicy="static", iotHubs=["not-linked.azure-devices.net"])
    path = lines_file(desk, documents)
    done = desk.run("import", path)
    assert (done.status, sums(done)) == (1, {"written": 11, "refused": 1}), done
    assert "devices.jsonl:5: [E5103]" in done.stderr and "E5140" in done.stderr, done
    assert KEYS["primaryKey"] not in done.stderr


def test_a_large_row_takes_a_smaller_bulk(desk):
    documents = [symmetric(name, initialTwin={"tags": {"text": "x" * 30000}, "properties": {"desired": {}}}) for name in names(8)]
    done = desk.run("import", lines_file(desk, documents))
    assert done.status == 0 and sums(done) == {"written": 8}, done
    assert_each_once(desk, 8)


# -- Faults ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [
    "bulk:partial=3:count=1", "bulk:partial=0:count=1:skip=2", "bulk:cut-after:count=1", "bulk:cut-after:count=2:skip=1",
    "bulk:cut-before:count=1", "bulk:status-after=500:count=1:skip=1", "bulk:status-after=503:count=1", "bulk:status=500:count=1",
    "bulk:status=408:count=1", "bulk:truncated:count=1", "bulk:garbage:count=1", "bulk:garbage=html:count=1",
    "bulk:garbage=empty:count=1", "bulk:garbage=array:count=1:skip=3", "bulk:garbage=deep:count=1", "bulk:garbage=huge:count=1",
    "bulk:garbage=duplicate:count=1", "bulk:status=429:retry-after=1:count=1", "bulk:status=429:retry-after=none:count=1",
    "bulk:status=429:retry-after=date:count=1", "bulk:throttled=3:count=2:skip=1",
    "bulk:status=400:count=1:skip=1", "bulk:status=404", "bulk:status=401:count=1"])
def test_no_row_is_lost_or_doubled(desk, fault):
    restart(desk, "--fault", fault)
    path = devices_file(desk, 45)
    done = desk.run("import", path)
    assert done.status == 0 and sum(sums(done).values()) == 45, done
    assert set(sums(done)) <= {"written", "already"}, done
    assert_each_once(desk, 45)
    again = desk.run("import", path)
    assert again.status == 0 and sums(again) == {"already": 45}, again
    assert_each_once(desk, 45)


def test_late_duplicates_of_a_bulk_change_nothing(desk):
    """Two bulks of ten arrive once more when the import may be over already: a row of the ledger each, and one for each item."""
    restart(desk, "--fault", "bulk:replay=50:count=2")
    path = devices_file(desk, 45)
    done = desk.run("import", path)
    assert done.status == 0 and sums(done) == {"written": 45}, done
    wait_until(lambda: len(desk.emulator.ledger()) == 50 + 22, what="the duplicates")
    assert_each_once(desk, 45)
    assert sums(desk.run("import", path)) == {"already": 45}
    assert_each_once(desk, 45)


def test_items_refused_for_the_rate_wait_as_a_refused_bulk_does(desk):
    """Within an answer that is a success otherwise."""
    restart(desk, "--fault", "bulk:throttled=4:count=1:retry-after=3")
    done = desk.run("import", devices_file(desk, 25))
    assert done.status == 0 and sums(done) == {"written": 25}, done
    assert_each_once(desk, 25)
    times = [datetime.datetime.fromisoformat(row["time"]).timestamp() for row in requests(desk)]
    assert len(times) >= 4 and min(times[1:]) - times[0] >= 3, times


def test_items_that_are_refused_for_the_rate_each_time_are_left_for_another_run(desk):
    restart(desk, "--fault", "bulk:throttled=0:retry-after=0")
    path = devices_file(desk, 3)
    done = desk.run("import", path, "--bulk")
    assert (done.status, sums(done)) == (6, {"open": 3}), done
    assert len(requests(desk)) == 6
    restart(desk)
    assert sums(desk.run("import", path)) == {"written": 3}


@pytest.mark.parametrize("reading", ["get:status=500:count=1", "get:cut-before:count=2", "get:garbage:count=1",
                                     "mechanism:status=503:count=1", "mechanism:garbage=array:count=1", "get:status=429:count=1"])
def test_reading_back_may_need_a_second_try(desk, reading):
    restart(desk, "--fault", "bulk:cut-after:count=1:skip=1", "--fault", reading)
    done = desk.run("import", devices_file(desk, 25))
    assert done.status == 0 and sums(done) == {"written": 25}, done
    assert_each_once(desk, 25)


@pytest.mark.parametrize("fault", ["bulk:cut-after:count=1", "bulk:partial=4:count=1", "bulk:status=500:count=1"])
@pytest.mark.parametrize("mode", ["update", "update-if-match", "delete"])
def test_unclear_changes_are_read_back(desk, mode, fault):
    assert desk.run("import", devices_file(desk, 10)).status == 0
    path = desk.home / "all.jsonl"
    assert desk.run("export", path, "--include-keys").status == 0
    path.write_text(path.read_text().replace('"provisioningStatus":"enabled"', '"provisioningStatus":"disabled"'))
    restart(desk, "--fault", fault)
    done = desk.run("import", path, "--mode", mode)
    assert done.status == 0 and sum(sums(done).values()) == 10, done
    left = desk.service.enrollments()
    assert left == [] if mode == "delete" else {row["provisioningStatus"] for row in left} == {"disabled"}
    effects = [row["id"] for row in desk.emulator.ledger() if row["effect"] != "none"]
    assert sorted(effects) == names(10)


@pytest.mark.parametrize("fault", ["bulk:cut-after:count=1", "bulk:cut-before:count=1", "bulk:partial=4:count=1",
                                   "bulk:status=500:count=1", "delete:status-after=500:count=2", "delete:cut-before:count=2"])
def test_deletions_without_an_answer_are_read_back(desk, fault):
    """Without etags; of what stands there since long."""
    restart(desk, "--clock-offset", "-600")
    assert desk.run("import", devices_file(desk, 12)).status == 0
    restart(desk, "--fault", fault)
    done = desk.run("import", deletions_file(desk, 12), "--mode", "delete", *["--single"] * fault.startswith("delete"))
    assert done.status == 0 and sums(done) == {"written": 12}, done
    assert desk.service.enrollments() == []
    assert sorted(row["id"] for row in desk.emulator.ledger() if row["effect"] == "delete") == names(12)


@pytest.mark.parametrize("fault", ["bulk:cut-before:count=1", "bulk:status=503:count=1:retry-after=0", "delete:cut-before:count=3"])
def test_deletions_without_an_answer_spare_what_was_written_since(desk, fault):
    """By the service's clock; so it may be what somebody made anew."""
    restart(desk, "--clock-offset", "600")
    assert desk.run("import", devices_file(desk, 3)).status == 0
    restart(desk, "--fault", fault)
    done = desk.run("import", deletions_file(desk, 3), "--mode", "delete", *["--single"] * fault.startswith("delete"))
    assert (done.status, sums(done)) == (7, {"differs": 3}), done
    assert done.stderr.count("[E5110]") == 3 and "somebody wrote it meanwhile" in done.stderr, done
    assert "3 of the 3 enrollments" in done.stderr and "were written meanwhile" in done.stderr, done
    assert len(desk.service.enrollments()) == 3


@pytest.mark.parametrize("status", [401, 403, 307])
def test_what_nobody_gets_stops_at_the_third(desk, status):
    fault = "bulk+put+get:redirect" if status == 307 else f"bulk+put+get:status={status}"
    restart(desk, "--fault", fault)
    done = desk.run("import", devices_file(desk, 100))
    assert done.status == (1 if status == 307 else 5) and "stopped after 3 refusals" in done.stderr, done
    assert len(desk.emulator.ledger()) == 3
    assert created(desk) == {} and sums(done) == {"open": 100}, done


def test_the_wrong_host_stops_at_the_third(desk, tmp_path):
    server = WrongServer(tmp_path / "wrong", "wrong-host")
    login = desk.home / "wrong"
    login.touch(0o600)
    login.write_text(f"HostName=localhost:{server.port};SharedAccessKeyName=a;SharedAccessKey=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=")
    done = desk.station.muster("enrollment", "import", devices_file(desk, 100), "--login-file", login, "--ca-file", server.ca_file)
    server.stop()
    assert (done.status, done.cause) == (5, "E5202") or done.cause == "E5102", done
    assert "stopped after 3 refusals" in done.stderr and server.received == b""


def test_a_service_that_stays_away_is_left_for_another_run(desk):
    """Half of the bulks pass, then the service answers 503 for good."""
    restart(desk, "--fault", "bulk:status=503:skip=2:retry-after=0", "--fault", "get:status=503:retry-after=0")
    path = devices_file(desk, 60)
    done = desk.run("import", path, "--patience", "0", timeout=240)
    assert done.status == 6, done
    assert done.json["written"] == 20 and "E5105" in done.stderr, done
    restart(desk)
    again = desk.run("import", path)
    assert again.status == 0 and again.json["before"] == 20 and sums(again) == {"written": 40}, again
    assert_each_once_in_all(desk, 60)


def test_a_service_that_can_only_be_read_is_not_asked_for_ever(desk):
    restart(desk, "--fault", "bulk+put:status=500:retry-after=0")
    done = desk.run("import", devices_file(desk, 3), timeout=240)
    assert (done.status, sums(done)) == (6, {"open": 3}), done
    assert len([row for row in requests(desk) if row["op"] in ("bulk", "put")]) <= 3 * 6


def assert_each_once_in_all(desk, count):
    assert sorted(row["registrationId"] for row in desk.service.enrollments()) == names(count)


# -- Cut off ---------------------------------------------------------------------------------------------------


def test_killed_anywhere_and_run_again(release_station):
    desk = EnrollmentDesk(release_station)
    log = desk.home / "strace.log"

    def job(number, wrapper):
        path = lines_file(desk, [symmetric(name) for name in names(32, f"kill{number}")], f"kill-{number}.jsonl")
        return path, desk.run("import", path, wrapper=wrapper)

    _, recorded = job(0, recorder(log))
    assert recorded.status == 0, recorded
    points = choose(points_of(log), 24 if IS_LONG else 12)
    assert len(points) >= 12, points
    killed = 0
    for number, point in enumerate(points, 1):
        path, cut = job(number, killer(*point))
        killed += was_killed(cut.status)
        again = desk.run("import", path)
        assert again.status == 0, (point, cut, again)
        counts = {name: count for name, count in created(desk).items() if name.startswith(f"kill{number}-")}
        assert counts == dict.fromkeys(names(32, f"kill{number}"), 1), (point, cut, again)
        third = desk.run("import", path)
        assert sums(third) == {"already": 32}, (point, third)
    assert killed >= len(points) // 2


def test_an_interrupt_ends_it_at_a_safe_place(desk):
    restart(desk, "--fault", "bulk:delay-after=1500:skip=2")
    path = devices_file(desk, 300)
    process = subprocess.Popen([desk.station.build / "muster", "enrollment", "import", path, *map(str, desk.login())],
                               cwd=desk.home, env=environment(desk.station.build, desk.home), stdout=subprocess.PIPE, text=True)
    wait_until(lambda: len(created(desk)) >= 25, 60)
    process.send_signal(signal.SIGINT)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    summary = json.loads(stdout)
    assert summary["written"] == len(created(desk)) < 300 and summary["written"] + summary["open"] == 300, summary
    restart(desk)
    again = desk.run("import", path)
    assert again.status == 0 and again.json["before"] == summary["written"], again
    assert_each_once_in_all_paged(desk, 300)


def assert_each_once_in_all_paged(desk, count):
    rows = desk.run("list", "--fields", "registrationId").json
    assert sorted(row["registrationId"] for row in rows) == names(count)


def test_two_runs_of_one_file(desk):
    restart(desk, "--fault", "bulk:delay-after=4000:count=1")
    path = devices_file(desk, 20)
    process = subprocess.Popen([desk.station.build / "muster", "enrollment", "import", path, *map(str, desk.login())],
                               cwd=desk.home, env=environment(desk.station.build, desk.home), stdout=subprocess.PIPE)
    wait_until(lambda: created(desk), 60)
    second = desk.run("import", path)
    assert (second.status, second.cause) == (11, "E1432"), second
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert_each_once(desk, 20)


# -- Size ------------------------------------------------------------------------------------------------------


def test_a_long_file_takes_little_memory(release_station, tmp_path):
    desk = EnrollmentDesk(release_station)
    path = lines_file(desk, (symmetric(name) for name in names(20000)))
    began = time.monotonic()
    status, resident = run_measured(RELEASE, desk.home, tmp_path / "out", "enrollment", "import", path, "--rate", "100000", *desk.login())
    assert status == 0, time.monotonic() - began
    assert resident < 32 * 1024, resident
    assert json.loads((tmp_path / "out").read_text())["written"] == 20000
