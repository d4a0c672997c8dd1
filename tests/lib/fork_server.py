"""A program that is loaded once and run many times with the same arguments, see fork-server.c."""
import os
import socket
import struct
import subprocess
from collections import namedtuple

from lib.paths import RELEASE
from lib.program import environment

LIBRARY = RELEASE / "tests/fork-server.so"
Done = namedtuple("Done", "returncode stdout stderr")


class ForkServer:
    def __init__(self, home, *arguments, build=RELEASE, program="muster"):
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.files = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
        with theirs:
            self.process = subprocess.Popen([build / program, *map(str, arguments)], cwd=home, pass_fds=[theirs.fileno()],
                                            env=environment(build, home, {"LD_PRELOAD": LIBRARY, "FORK_SERVER": theirs.fileno()}))

    def run(self, stdin=b""):
        for fd, content in zip(self.files, (stdin, b"", b"")):
            os.ftruncate(fd, 0)
            os.pwrite(fd, content, 0)
            os.lseek(fd, 0, os.SEEK_SET)
        socket.send_fds(self.socket, [b"\0"], self.files)
        status, = struct.unpack("i", self.socket.recv(4))
        stdout, stderr = (os.pread(fd, os.fstat(fd).st_size, 0) for fd in self.files[1:])
        return Done(os.waitstatus_to_exitcode(status), stdout, stderr)

    def stop(self):
        self.socket.close()
        self.process.wait(timeout=20)
        for fd in self.files:
            os.close(fd)
