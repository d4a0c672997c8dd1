"""A worker can reach its TPM and nothing else. On the release build; a sanitizer needs more than the sandbox leaves."""
import os
import re
import subprocess

from lib.canary import children_of, name_of
from lib.paths import RELEASE
from lib.program import environment
from lib.wait import wait_until


def test_nothing_escapes_from_any_class():
    subprocess.run([RELEASE / "tests/test-tpm-sandbox"], check=True)


def test_the_doctor_shows_what_keeps_workers_in_their_place(release_station):
    done = release_station.muster("doctor", "-o", "json")
    rows = [row for row in done.json if row["check"] == "sandbox"]
    assert [row["seen"].split(":")[0] for row in rows] == ["TPM worker, device", "TPM worker, socket"], done
    for row in rows:
        assert "seccomp" in row["seen"] and "Landlock" in row["seen"] and row["verdict"] == "ok", done


def field(pid, name):
    with open(f"/proc/{pid}/status") as status:
        return re.search(rf"^{name}:\s*(\S+)", status.read(), re.MULTILINE).group(1)


def test_a_worker_at_work_is_sandboxed(release_station, tpm):
    """Held while it waits for its TPM."""
    station = release_station
    command = [station.build / "muster", "provision", "--profile", station.profile("tpm"), "--serial", "S-1", "--tpm", tpm.tcti,
               *station.common()]
    tpm.hang()
    process = subprocess.Popen(list(map(str, command)), env=environment(station.build, station.home), cwd=station.home,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        worker = wait_until(lambda: next((pid for pid in children_of(process.pid) if name_of(pid).startswith("muster-tpm")
                                          and field(pid, "Seccomp") == "2"), None), what="a worker with a filter")
        assert field(worker, "NoNewPrivs") == "1"
        assert os.readlink(f"/proc/{worker}/root") == str(tpm.directory)
    finally:
        tpm.resume()
        process.wait(timeout=60)
    assert process.returncode == 0


def test_a_whole_job_needs_no_more_than_that(release_station, tpm):
    done = release_station.provision(release_station.profile("tpm"), "S-1", "--tpm", tpm.tcti)
    assert done.status == 0 and done.json["verified"], done
    evidence = open(done.json["evidence"]).read()
    assert '"workerSandbox": "socket: seccomp, Landlock, own root and network"' in evidence


def test_a_tpm_over_the_network_has_to_be_allowed(station):
    done = station.provision(station.profile("tpm"), "S-1", "--tpm", "swtpm:host=127.0.0.1,port=1")
    assert (done.status, done.cause) == (2, "E2001") and "tpmNetwork" in done.stderr, done
    config = station.home / "muster.yaml"
    config.write_text("tpmNetwork: true\n")
    done = station.provision(station.profile("tpm"), "S-1", "--tpm", "swtpm:host=127.0.0.1,port=1",
                             env={"MUSTER_CONFIG": config})
    assert (done.status, done.cause) == (4, "E2101"), done
