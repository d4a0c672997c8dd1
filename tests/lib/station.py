"""A whole bench for one story: service, login, journal, profiles, and the command line that goes with them."""
import base64
import copy
import os
import pathlib

import yaml

from lib.dps import Service
from lib.paths import PROFILES, build_of_story
from lib.program import run
from lib.software_token import write_secret


class Station:
    def __init__(self, home, emulator, build=None):
        self.home = pathlib.Path(home)
        self.home.mkdir(exist_ok=True)
        self.emulator = emulator
        self.build = build or build_of_story()
        self.journal = self.home / "journal.db"
        self.out = self.home / "out"
        self.env = {}
        self.wrapper = ()
        self.masters = [base64.b64encode(os.urandom(32)).decode() for _ in range(2)]
        (self.home / "keys").mkdir()
        for name, master in zip(("primary", "secondary"), self.masters):
            write_secret(self.home / f"keys/{name}.key", master + "\n")
        self.renew_login()

    def renew_login(self):
        """After a restart of the service, which has another port."""
        self.login_file = write_secret(self.home / "login", self.emulator.connection_string + "\n")

    @property
    def service(self):
        return Service(self.emulator.connection_string, self.emulator.ca_file)

    def configure(self, text):
        """The user's configuration."""
        path = self.home / ".config/muster/muster.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def profile(self, kind, changes=None, name=None):
        """A copy of an example profile, with the members of `changes` merged in (None removes)."""
        document = yaml.safe_load((PROFILES / f"{kind}.yaml").read_text())
        merge(document, changes or {})
        return self.profile_text(yaml.safe_dump(document, sort_keys=False), name or kind)

    def profile_text(self, text, name="profile"):
        path = self.home / f"{name}.yaml"
        path.write_text(text)
        return path

    def places(self):
        return ["--id-scope", self.emulator.id_scope, "--device-endpoint", self.emulator.url.removeprefix("https://"),
                "--journal", self.journal, "--out", self.out]

    def common(self):
        return ["--login-file", self.login_file, "--ca-file", self.emulator.ca_file, *self.places()]

    def muster(self, *arguments, **options):
        options.setdefault("build", self.build)
        options.setdefault("wrapper", self.wrapper)
        options["env"] = {**self.env, **options.get("env", {})}
        return run(*arguments, home=self.home, **options)

    def provision(self, profile, serial, *arguments, **options):
        return self.muster("provision", "--profile", profile, "--serial", serial, *self.common(), "-o", "json",
                           *arguments, **options)

    def sync(self, *arguments, **options):
        return self.muster("sync", *self.common(), "-o", "json", *arguments, **options)

    def rows(self, *arguments):
        """The journal's devices by registration ID."""
        done = self.muster("journal", "list", "--journal", self.journal, "-o", "json", *arguments)
        assert done.status == 0, done
        return {row["registrationId"]: row for row in done.json}

    def files(self):
        """Every file muster may have written, for scanners."""
        return [path for path in self.home.rglob("*") if path.is_file()]


def merge(document, changes):
    for key, value in copy.deepcopy(changes).items():
        if value is None:
            document.pop(key, None)
        elif isinstance(value, dict) and isinstance(document.get(key), dict):
            merge(document[key], value)
        else:
            document[key] = value
    return document
