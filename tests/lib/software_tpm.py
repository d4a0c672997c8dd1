"""A software TPM in a directory of its own, on a UNIX socket under a short path (sun_path has 108 bytes)."""
import os
import pathlib
import re
import shutil
import signal
import subprocess

from lib.paths import SCRIPTS
from lib.wait import is_alive, wait_until


class SoftwareTpm:
    def __init__(self, directory, ca_directory=None, like=None):
        """With a CA directory: persisted EKs and EK certificates. Without: an empty TPM. Or a copy of another, from before its start."""
        self.directory = pathlib.Path(directory)
        self.socket = self.directory / "s"
        self.state = self.directory / "state"
        self.pid = None
        if like:
            shutil.copytree(like.state, self.state, dirs_exist_ok=True)
            return
        arguments = [str(ca_directory)] if ca_directory else []
        subprocess.run([SCRIPTS / "software-tpm", "make", self.state, *arguments], check=True)

    @property
    def tcti(self):
        return f"swtpm:path={self.socket}"

    def start(self):
        done = subprocess.run([SCRIPTS / "software-tpm", "start", self.state, self.socket], check=True, text=True,
                              stdout=subprocess.PIPE)
        self.pid = int(done.stdout)
        return self

    def stop(self):
        if self.pid is None:
            return
        self.resume()
        os.kill(self.pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(self.pid), what="the end of swtpm")
        self.pid = None
        for path in (self.socket, pathlib.Path(f"{self.socket}.ctrl")):
            path.unlink(missing_ok=True)

    def hang(self):
        """Takes commands and never answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.pid, signal.SIGCONT)

    def save(self):
        """The state of the stopped chip, for restore()."""
        return (self.state / "tpm2-00.permall").read_bytes()

    def restore(self, content):
        assert self.pid is None
        shutil.rmtree(self.state)
        self.state.mkdir()
        (self.state / "tpm2-00.permall").write_bytes(content)

    def capability(self, name):
        """What tpm2_getcap says: a list of handles, lower case."""
        done = subprocess.run(["tpm2_getcap", "-T", self.tcti, name], check=True, text=True, stdout=subprocess.PIPE)
        return [line.removeprefix("- ").lower() for line in done.stdout.splitlines() if line.startswith("- ")]

    def answers(self):
        """Neither stopped nor hung nor gone."""
        return self.pid is not None and self.socket.exists() and is_alive(self.pid) and \
            pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "T"

    def lockout_counter(self):
        """How many authorisations were refused."""
        done = subprocess.run(["tpm2_getcap", "-T", self.tcti, "properties-variable"], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        return int(re.search(r"TPM2_PT_LOCKOUT_COUNTER:\s*(\w+)", done.stdout).group(1), 0)

    def loaded(self):
        """Handles that should not outlive a job."""
        return self.capability("handles-transient") + self.capability("handles-loaded-session")
