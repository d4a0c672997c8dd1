"""Four PKCS#11 modules, each with its own idea of what a token is, as one kind of bench. `entry` is the module's row in
muster.yaml; `wrapper` goes in front of muster where the module lives in namespaces of its own."""
import os
import pathlib
import subprocess
import sysconfig

from lib.paths import SOFTHSM_MODULE
from lib.software_token import SoftwareTokens, write_secret
from lib.software_tpm import SoftwareTpm
from lib.wait import is_alive, wait_until

LIBRARIES = pathlib.Path("/usr/lib") / sysconfig.get_config_var("MULTIARCH")


class SoftModule:
    name = None
    label = "line-3"
    serial = None
    key_type = "ec-p256"
    wrapper = ()
    hides_tmpfs = False
    fragile = ()  # calls with which it rewrites the token itself in place: killed there, it has lost the token for everybody

    @property
    def fresh_uri(self):
        """Of the token that muster hsm init is to make."""
        return f"pkcs11:?module-name={self.name}"

    @property
    def uri(self):
        serial = f";serial={self.serial}" if self.serial else ""
        return f"pkcs11:token={self.label}{serial}?module-name={self.name}"

    def stop(self):
        pass


class SoftHsm(SoftModule):
    name = "softhsm"
    fragile = ("write", "ftruncate")

    def __init__(self, directory):
        tokens = SoftwareTokens(directory / "softhsm")
        self.pin_file = write_secret(directory / "softhsm.pin", "246810")
        self.so_pin_file = write_secret(directory / "softhsm.so", "87654321")
        self.entry = {"path": SOFTHSM_MODULE, "environment": [f"SOFTHSM2_CONF={tokens.configuration}"]}


class Nss(SoftModule):
    """A database that nobody has opened yet; muster hsm init gives it its PIN. The label is fixed, the serial number is that of
    every NSS database in the world."""
    name = "nss"
    label = "NSS%20Certificate%20DB"
    serial = "0000000000000000"

    @property
    def fresh_uri(self):
        return self.uri

    def __init__(self, directory):
        database = directory / "nss"
        database.mkdir()
        self.pin_file = write_secret(directory / "nss.pin", "24681012")
        self.so_pin_file = write_secret(directory / "nss.so", "")
        self.entry = {"path": str(LIBRARIES / "libsoftokn3.so"),
                      "initArguments": f"configdir='sql:{database}' certPrefix='' keyPrefix='' secmod='secmod.db' flags="}


class OpenCryptoki(SoftModule):
    """Its paths are fixed, its daemon is one per machine and its shared memory has one name: mounts and IPC of its own."""
    name = "opencryptoki"
    serial = "123"
    key_type = "rsa-2048"
    hides_tmpfs = True
    fragile = ("write", "ftruncate")
    so_pin = "87654321"

    def __init__(self, directory):
        self.home = directory / "opencryptoki"
        for part in ("etc", "lib/swtok/TOK_OBJ", "run/lock/opencryptoki/swtok", "shm"):
            (self.home / part).mkdir(parents=True)
        (self.home / "etc/opencryptoki.conf").write_text(
            "version opencryptoki-3.1\nslot 3\n{\nstdll = libpkcs11_sw.so\n}\n")
        for part in ("lib", "run/lock"):
            subprocess.run(["chgrp", "-R", "pkcs11", self.home / part], check=True)
            subprocess.run(["chmod", "-R", "0770", self.home / part], check=True)
        self.entry = {"path": str(LIBRARIES / "opencryptoki/libopencryptoki.so.0")}
        self.pin_file = write_secret(directory / "opencryptoki.pin", "246810")
        self.so_pin_file = write_secret(directory / "opencryptoki.so", self.so_pin)
        self.daemon = None
        self.start()

    def start(self):
        mounts = "\n".join(f"mount --bind '{self.home}/{part}' {target}" for part, target in
                           (("etc", "/etc/opencryptoki"), ("lib", "/var/lib/opencryptoki"), ("shm", "/dev/shm"), ("run", "/run")))
        subprocess.run(["unshare", "--mount", "--ipc", "sh", "-ec", f"{mounts}\npkcsslotd"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.daemon = int(wait_until(self.read_pid, what="the start of pkcsslotd"))
        self.wrapper = ("nsenter", "--target", str(self.daemon), "--mount", "--ipc")
        wait_until(lambda: (self.home / "run/pkcsslotd.socket").exists(), what="the socket of pkcsslotd")

    def read_pid(self):
        path = self.home / "run/pkcsslotd.pid"
        return path.exists() and path.read_text().strip()

    def stop(self):
        if self.daemon:
            os.kill(self.daemon, 9)
            wait_until(lambda: not is_alive(self.daemon), what="the end of pkcsslotd")
            self.daemon = None


class TpmModule(SoftModule):
    """tpm2-pkcs11 on a software TPM behind the resource manager, on a message bus of its own."""
    name = "tpm2"

    def __init__(self, directory):
        tpm = self.tpm = SoftwareTpm(directory / "t").start()
        self.home = directory / "tpm2"
        (self.home / "store").mkdir(parents=True)
        bus = f"unix:path={tpm.directory}/bus"
        self.environment = {"TPM2_PKCS11_STORE": str(self.home / "store"), "TPM2_PKCS11_TCTI": "tabrmd:bus_type=session",
                            "TPM2TOOLS_TCTI": "tabrmd:bus_type=session",
                            "TPM2_PKCS11_LOG_LEVEL": "0", "DBUS_SESSION_BUS_ADDRESS": bus}
        self.bus = subprocess.Popen(["dbus-daemon", "--session", "--nofork", "--nopidfile", "--address", bus],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: self.ask_bus("GetId"), what="the message bus")
        self.manager = subprocess.Popen(["tpm2-abrmd", "--session", "--allow-root", "--tcti", tpm.tcti],
                                        env={**os.environ, **self.environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.manager_is_there, what="the resource manager")
        self.pin_file = write_secret(directory / "tpm2.pin", "246810")
        self.so_pin_file = write_secret(directory / "tpm2.so", "12345678")
        self.ptool("init")
        self.entry = {"path": str(LIBRARIES / "libtpm2_pkcs11.so.1"),
                      "environment": [f"{name}={value}" for name, value in self.environment.items()]}

    def ask_bus(self, *question):
        """What the bus itself answers; nothing until it listens."""
        done = subprocess.run(["dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.DBus", "/",
                               f"org.freedesktop.DBus.{question[0]}", *question[1:]],
                              env={**os.environ, **self.environment}, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              check=False)
        return done.stdout

    def manager_is_there(self):
        assert self.manager.poll() is None, "the resource manager has ended"
        return "boolean true" in self.ask_bus("NameHasOwner", "string:com.intel.tss2.Tabrmd")

    def ptool(self, *arguments):
        subprocess.run(["tpm2_ptool", *arguments, "--path", self.home / "store"], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, **self.environment})

    def stop(self):
        for process in (self.manager, self.bus):
            process.kill()
            process.wait()
        self.tpm.stop()


MAKERS = {made.name: made for made in (SoftHsm, Nss, OpenCryptoki, TpmModule)}
