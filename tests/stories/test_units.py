"""Workers that a service manager starts for each connection, as the units of scripts/systemd have it."""
import os
import shutil
import socket
import subprocess

import pytest

from lib.paths import BUILD, RELEASE
from lib.program import environment
from lib.wait import wait_until


@pytest.fixture
def worker_socket(short):
    """Listens as muster-tpm-worker.socket does, and starts a worker for each connection."""
    directory = short / "w"
    directory.mkdir(mode=0o700)
    path = directory / "muster-tpm-worker"
    log = (directory / "log").open("w")
    manager = subprocess.Popen(["systemd-socket-activate", "--accept", "-l", path, RELEASE / "muster-tpm-worker"], umask=0o077,
                               stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    wait_until(path.exists, what="the worker's socket")
    yield path
    manager.terminate()
    manager.wait()
    log.close()


def provision(station, tpm, path):
    return station.provision(station.profile("tpm"), "S-1", "--tpm", tpm.tcti, env={"MUSTER_WORKER_DIR": path.parent})


def test_a_device_is_provisioned_by_a_worker_of_the_service_manager(release_station, tpm, worker_socket):
    done = provision(release_station, tpm, worker_socket)
    assert done.status == 0 and done.json["verified"], done


def test_a_socket_that_others_could_have_put_there_is_not_used(release_station, tpm, worker_socket):
    os.chmod(worker_socket.parent, 0o777)
    done = provision(release_station, tpm, worker_socket)
    assert done.status == 2 and done.cause == "E1007" and not release_station.service.enrollments(), done


def test_a_program_that_others_can_exchange_is_not_started(release_station, tpm, short):
    directory = short / "w"
    directory.mkdir(mode=0o755)
    program = directory / "muster-tpm-worker"
    shutil.copy(RELEASE / "muster-tpm-worker", program)
    assert provision(release_station, tpm, program).status == 0
    program.chmod(0o777)
    done = provision(release_station, tpm, program)
    assert done.status == 2 and done.cause == "E1007", done


def test_nobody_listening_is_one_failed_job(release_station, tpm, worker_socket):
    worker_socket.unlink()
    os.mknod(worker_socket, 0o140600)
    done = provision(release_station, tpm, worker_socket)
    assert done.cause == "E7001", done


# -- The journal of the machine ----------------------------------------------------------------------------------------


def said_to_the_journal(home, *words, inode=0):
    """What a service's journal gets of muster's standard error, and what an inode further is named as it."""
    ours, theirs = socket.socketpair()
    there = os.fstat(theirs.fileno())
    with ours, theirs:
        subprocess.run([BUILD / "muster", *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs, timeout=120,
                       env=environment(BUILD, home, {"JOURNAL_STREAM": f"{there.st_dev}:{there.st_ino + inode}"}))
        theirs.shutdown(socket.SHUT_WR)
        return ours.makefile().read().splitlines()


def test_lines_for_the_journal_have_their_priority(tmp_path):
    words = ["enrollment", "show", "--enrollment-id", "a", "--login", "HostName=a"]
    warning, error, remedy = said_to_the_journal(tmp_path, *words)
    assert warning.startswith("<4>muster: warning: '--login' shows its value"), warning
    assert error.startswith("<3>muster: [E") and remedy.startswith("<3>  try   ")
    assert said_to_the_journal(tmp_path, *words, "-o", "json")[1].startswith('<3>{"code":')
    assert [line[:8] for line in said_to_the_journal(tmp_path, *words, inode=1)] == ["muster: ", "muster: ", "  try   "]


def test_mistakes_for_the_journal_have_their_priority(tmp_path):
    (tmp_path / "wrong.yaml").write_text("name: 1\n")
    lines = said_to_the_journal(tmp_path, "profile", "check", tmp_path / "wrong.yaml")
    assert lines[0].startswith(f"<3>{tmp_path}/wrong.yaml:") and lines[-1].startswith("<3>"), lines
