"""A small Linux machine in QEMU, emulated in software: a kernel of the distribution, and a root made of this machine's files.
For what needs real device nodes and a real udevd. It needs no privilege, no /dev/kvm and no disk."""
import os
import pathlib
import re
import stat
import subprocess

from lib.paths import SCRIPTS


class Root:
    """An initramfs (cpio, "newc") under construction."""

    def __init__(self):
        self.entries = {}

    def add(self, name, content, mode=0o644):
        """Its directories come with it."""
        name = name.lstrip("/")
        for parent in reversed(pathlib.PurePath(name).parents[:-1]):
            self.entries.setdefault(str(parent), (stat.S_IFDIR | 0o755, b""))
        self.entries[name] = (stat.S_IFREG | mode, content if isinstance(content, bytes) else content.encode())

    def directory(self, name, mode=0o755):
        self.add(f"{name}/x", b"")
        del self.entries[f"{name}/x".lstrip("/")]
        self.entries[name.lstrip("/")] = (stat.S_IFDIR | mode, b"")

    def link(self, name, target):
        self.add(name, b"")
        self.entries[name.lstrip("/")] = (stat.S_IFLNK | 0o777, target.encode())

    def copy(self, source, name=None):
        source = pathlib.Path(source)
        self.add(str(name or source), source.read_bytes(), stat.S_IMODE(source.stat().st_mode))

    def copy_tree(self, source, name):
        for path in sorted(pathlib.Path(source).rglob("*")):
            if path.is_file():
                self.copy(path, f"{name}/{path.relative_to(source)}")

    def program(self, source, name=None):
        """With the libraries that it is linked with."""
        self.copy(os.path.realpath(source), name or source)
        self.libraries(source)

    def libraries(self, source):
        done = subprocess.run(["ldd", source], text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for path in re.findall(r"(/\S+) \(0x", done.stdout):
            if path.lstrip("/") not in self.entries:
                self.copy(os.path.realpath(path), path)

    def write(self, path):
        with open(path, "wb") as file:
            for number, (name, (mode, content)) in enumerate([*self.entries.items(), ("TRAILER!!!", (0, b""))], 1):
                fields = [number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
                header = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
                file.write(header + b"\0" * (-len(header) % 4) + content + b"\0" * (-len(content) % 4))


def kernel():
    """Its image and the directory of its modules."""
    done = subprocess.run([SCRIPTS / "guest-kernel"], check=True, text=True, stdout=subprocess.PIPE)
    top = pathlib.Path(done.stdout.strip())
    return next(top.glob("boot/vmlinuz-*")), next(top.glob("lib/modules/*"))


def boot(image, root, seconds):
    """Runs it to its end; gives what it wrote to its console."""
    command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "768", "-nodefaults", "-nographic",
               "-no-reboot", "-serial", "stdio", "-kernel", image, "-initrd", root,
               "-append", "console=ttyS0 quiet panic=-1 no_timer_check random.trust_cpu=on"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=seconds)
    return done.stdout.replace("\r", "")
