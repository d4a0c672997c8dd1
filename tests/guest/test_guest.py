"""For real: boards with TPMs come and go at a machine with a kernel and a udevd of its own, emulated by QEMU. The ports are the
guest's word, since a software TPM hangs on no bus, and so one that is in no socket is taken for the machine's own; all else
is as on a bench: nodes, owners, events, links, sandbox."""
import json
import re
import time

import pytest

from lib.guest import Root, boot, kernel
from lib.paths import BUILD, PROFILES, RELEASE, TOP
from lib.software_tpm import SoftwareTpm

GUEST = TOP / "tests/guest"
SECONDS = 600  # it takes about a minute where nothing else runs
# All is ten to fifteen times slower in there.
CONFIGURATION = "tpmDeadlines: {command: 60, activation: 240, keyCreation: 300}\n"
PORTS = 'SUBSYSTEM=="tpmrm", ENV{ID_PATH}="guest-port-%n"\n'
# "bench" may use TPMs by its group, as people at a bench do.
PASSWD = "root:x:0:0:root:/root:/bin/sh\ntss:x:101:101:tss:/:/bin/sh\nbench:x:1000:1000:bench:/home/bench:/bin/sh\n"
GROUP = "root:x:0:\ntty:x:5:\ntss:x:101:bench\nbench:x:1000:\n"


def add_system(root, modules):
    for name in ("proc", "sys", "dev", "run", "tmp", "etc/muster", "home/bench"):
        root.directory(name)
    root.copy("/bin/busybox")
    root.copy(next(modules.glob("kernel/drivers/char/tpm/tpm_vtpm_proxy.ko")), "/tpm_vtpm_proxy.ko")
    root.program("/lib/systemd/systemd-udevd")
    for name in ("udevadm", "awk", "swtpm"):
        root.program(f"/usr/bin/{name}")
    for name in ("50-udev-default.rules", "60-tpm-udev.rules"):
        root.copy(f"/lib/udev/rules.d/{name}")
    root.add("/etc/udev/rules.d/70-ports.rules", PORTS)
    root.add("/etc/passwd", PASSWD)
    root.add("/etc/group", GROUP)
    root.add("/etc/hosts", "127.0.0.1 localhost\n")


def add_muster(root):
    for name in ("muster", "muster-tpm-worker", "muster-hsm-worker", "muster-emulator"):
        root.program(RELEASE / name, f"/usr/bin/{name}")
    root.program(BUILD / "tests/vtpm-bridge", "/usr/bin/vtpm-bridge")
    tcti = "/usr/lib/x86_64-linux-gnu/libtss2-tcti-device.so.0"
    root.program(tcti)
    root.copy(TOP / "udev/71-muster.rules", "/etc/udev/rules.d/71-muster.rules")
    root.copy(PROFILES / "tpm.yaml", "/profile.yaml")
    root.add("/etc/muster/muster.yaml", CONFIGURATION)
    root.copy(GUEST / "bench.sh", "/init")
    root.entries["init"] = (0o100755, root.entries["init"][1])


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What was seen in one run of the guest, by name."""
    directory = tmp_path_factory.mktemp("guest")
    image, modules = kernel()
    root = Root()
    add_system(root, modules)
    add_muster(root)
    for number in range(4):
        root.copy_tree(SoftwareTpm(directory / str(number), directory / "ca").state, f"/tpm/{number}")
    root.write(directory / "root.cpio")
    started = time.monotonic()
    console = boot(image, directory / "root.cpio", SECONDS)
    print(f"{time.monotonic() - started:.0f} s\n{console}")
    parts = dict(re.findall(r"^== (\S+)\n(.*?)(?=^== |\Z)", console, re.MULTILINE | re.DOTALL))
    assert "end" in parts, console
    return parts


def rows(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_a_walk_along_real_ports_makes_the_map(seen):
    assert "status 0" in seen["map"], seen["map"]
    assert [(row["socket"], row["path"]) for row in rows(seen["map"])] == [
        (str(number + 1), f"guest-port-{number}") for number in range(3)]
    assert re.findall(r"^(guest-port-\d)\t(\d)$", seen["map"], re.MULTILINE) == [
        (f"guest-port-{number}", str(number + 1)) for number in range(3)]


def test_udev_names_sockets_and_leaves_access_to_the_group(seen):
    names = seen["names"]
    assert len(re.findall(r"^crw-rw---- +1 tss +tss .* /dev/tpmrm\d", names, re.MULTILINE)) == 4, names
    assert re.findall(r" (\d) -> \S*tpmrm(\d)", names) == [("1", "0"), ("2", "1"), ("3", "2")], names
    assert len(re.findall(r" guest-port-\d -> ", names)) == 4, names
    assert "MUSTER_SOCKET=2" in names and "MUSTER_KIND=tpm" in names and ":muster:" in names, names


def test_the_doctor_tells_whether_the_rules_are_run(seen):
    early, late = ([row for row in rows(seen[name]) if row.get("check") == "udev"] for name in ("doctor-early", "doctor"))
    assert [row["verdict"] for row in early] == ["warn"] and "no udevd" in early[0]["seen"], early
    assert late == [{"check": "udev", "verdict": "ok", "seen": "'/etc/udev/rules.d/71-muster.rules', run for 4 TPMs"}], late


def test_the_list_tells_sockets_from_other_ports(seen):
    assert [(row.get("socket"), row["tpm"], row["state"]) for row in rows(seen["list"])] == [
        ("1", "device:/dev/tpmrm0", "TPM"), ("2", "device:/dev/tpmrm1", "TPM"), ("3", "device:/dev/tpmrm2", "TPM"),
        (None, "device:/dev/tpmrm3", "the station's own")], seen["list"]


def test_all_in_sockets_are_provisioned_and_no_other(seen):
    done = {row["socket"]: row for row in rows(seen["all-attached"])}
    assert sorted(done) == ["1", "2", "3"] and "status 0" in seen["all-attached"], seen["all-attached"]
    assert all(row["state"] == "enrolled" and row["verified"] for row in done.values()), done
    assert "'/dev/tpmrm3' is the station's own: left alone" in seen["all-attached"], seen["all-attached"]


def test_the_worker_of_a_device_node_is_in_its_sandbox(seen):
    assert seen["all-attached"].count("worker is sandboxed as device: seccomp, Landlock") == 3, seen["all-attached"]


def test_boards_that_come_back_are_known_and_one_that_goes_in_mid_job_fails_alone(seen):
    by_socket = {}
    for row in rows(seen["watch"]):
        by_socket.setdefault(row["socket"], []).append(row)
    assert [row["state"] for row in by_socket["3"]] == ["already enrolled"], seen["watch"]
    assert [row["state"] for row in by_socket["2"]] == ["already enrolled"] * 2, seen["watch"]
    assert [row["state"] for row in by_socket["1"]] == ["already enrolled", "failed"], seen["watch"]
    # What is heard first: the event, or the error of the read that was under way.
    assert by_socket["1"][1]["cause"] in ("E2112", "E2101") and "status 4" in seen["watch"], seen["watch"]


def test_what_is_unplugged_has_no_node(seen):
    assert re.findall(r"/dev/tpmrm(\d)", seen["end"]) == ["1", "2", "3"], seen["end"]
