"""SoftHSM tokens in a directory of their own, on tmpfs."""
import os
import pathlib
import shutil
import subprocess

from lib.paths import SCRIPTS, SOFTHSM_MODULE


class SoftwareTokens:
    """One module configuration; make() adds a token to it."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.made = []
        subprocess.run([SCRIPTS / "software-token", "empty", self.directory], check=True)
        self.configuration = self.directory / "softhsm2.conf"

    def make(self, label, pin="246810"):
        self.made.append(SoftwareToken(self, label, pin))
        return self.made[-1]

    @property
    def store(self):
        return self.directory / "tokens"

    def save(self, name="saved"):
        """A copy of all tokens as they are now, for restore()."""
        saved = self.directory / name
        shutil.copytree(self.store, saved)
        return saved

    def restore(self, saved):
        shutil.rmtree(self.store)
        shutil.copytree(saved, self.store)


class SoftwareToken:
    def __init__(self, module, label, pin):
        self.module = module
        self.label = label
        self.pin = pin
        self.pin_file = write_secret(module.directory / f"{label}.pin", pin)
        done = subprocess.run([SCRIPTS / "software-token", "make", module.directory, label, self.pin_file], check=True,
                              text=True, stdout=subprocess.PIPE)
        self.serial = done.stdout.strip()

    @property
    def environment(self):
        return dict(os.environ, SOFTHSM2_CONF=str(self.module.configuration))

    @property
    def uri(self):
        return f"pkcs11:token={self.label};serial={self.serial}?module-path={SOFTHSM_MODULE}&pin-source=file:{self.pin_file}"

    def key_uri(self, label, kind):
        return self.uri.replace("?", f";object={label};type={kind}?")

    def uri_by_label(self):
        return f"pkcs11:token={self.label}?module-path={SOFTHSM_MODULE}&pin-source=file:{self.pin_file}"

    def pkcs11_tool(self, *arguments):
        """Runs OpenSC's pkcs11-tool, logged in."""
        return subprocess.run(["pkcs11-tool", "--module", SOFTHSM_MODULE, "--token-label", self.label, "--login",
                               "--pin", self.pin, *arguments], env=self.environment, check=True, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout

    def rename(self, kind, key_id, *, label=None, new_id=None):
        """Gives an object (private, public, secret-key) another label or ID, as anybody with the PIN can."""
        url = f"pkcs11:token={self.label};serial={self.serial};type={kind};id=" + "".join(f"%{byte:02X}" for byte in bytes.fromhex(key_id))
        change = f"--set-label={label}" if label else f"--set-id={new_id}"
        subprocess.run(["p11tool", "--provider", SOFTHSM_MODULE, "--login", "--batch", "--set-pin", self.pin, change, url],
                       env=self.environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def is_lost(self):
        """SoftHSM itself does not find the token any more."""
        done = subprocess.run(["pkcs11-tool", "--module", SOFTHSM_MODULE, "--list-token-slots"], env=self.environment,
                              check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return self.serial not in done.stdout

    def tries_were_burnt(self):
        """A PIN was refused, and none was accepted since."""
        done = subprocess.run(["pkcs11-tool", "--module", SOFTHSM_MODULE, "--list-token-slots"], env=self.environment,
                              check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        of_token = next((text for text in done.stdout.split("Slot ") if self.serial in text), "")
        return "user PIN count low" in of_token or "final user PIN try" in of_token or "user PIN locked" in of_token

    def key_ids(self):
        """CKA_IDs of the private keys."""
        lines = self.pkcs11_tool("--list-objects", "--type", "privkey").splitlines()
        return [line.split(":", 1)[1].strip() for line in lines if line.strip().startswith("ID:")]

    def objects(self, kind):
        """Labels of the objects of a kind: privkey, pubkey, cert or secrkey."""
        lines = self.pkcs11_tool("--list-objects", "--type", kind).splitlines()
        return [line.split(":", 1)[1].strip() for line in lines if line.strip().startswith("label:")]

    def write_master(self, label, master):
        """An HMAC key, sensitive; imported, so that a story can compute what must come of it."""
        subprocess.run(["p11tool", "--provider", SOFTHSM_MODULE, "--login", "--set-pin", self.pin, "--write", "--label", label,
                        "--secret-key", master.hex(), "--mark-private", f"pkcs11:token={self.label};serial={self.serial}"],
                       env=self.environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def write_secret(path, text):
    path = pathlib.Path(path)
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    return path
