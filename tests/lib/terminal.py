"""Runs muster at a terminal of its own, as a person would."""
import fcntl
import os
import pty
import select
import subprocess
import termios
import time


class Terminal:
    def __init__(self, command, environment, home):
        self.master, self.slave = pty.openpty()
        self.process = subprocess.Popen(command, env=environment, cwd=home, stdin=self.slave, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, start_new_session=True,
                                        preexec_fn=lambda: self.take(self.slave))
        self.seen = ""
        self.left = b""  # at the end, what was typed and nobody has read: a shell would run it

    @staticmethod
    def take(slave):
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    def echoes(self):
        return bool(termios.tcgetattr(self.master)[3] & termios.ECHO)

    def wait_for(self, text, seconds=60):
        os.set_blocking(self.master, False)
        limit = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < limit, self.seen
            try:
                self.seen += os.read(self.master, 4096).decode(errors="replace")
            except BlockingIOError:
                time.sleep(0.01)
        return self.seen

    def type(self, text):
        keys = text.encode()
        while keys:
            assert select.select([], [self.master], [], 60)[1], "the terminal takes no more"
            try:
                keys = keys[os.write(self.master, keys):]
            except BlockingIOError:
                pass

    @staticmethod
    def read_rest(fd):
        os.set_blocking(fd, False)
        try:
            return os.read(fd, 4096)
        except OSError:
            return b""

    def finish(self):
        stdout, stderr = self.process.communicate(timeout=120)
        self.seen += self.read_rest(self.master).decode(errors="replace")
        self.left = self.read_rest(self.slave)
        os.close(self.master)
        os.close(self.slave)
        return self.process.returncode, stdout, stderr
