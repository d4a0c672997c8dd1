"""A key custodian's desk for one story: a token, a journal, and muster's verbs on them."""
import json
import pathlib
import sqlite3
import subprocess

from lib.paths import build_of_story
from lib.program import run


class Custodian:
    def __init__(self, home, token, build=None):
        self.home = pathlib.Path(home)
        self.home.mkdir(exist_ok=True)
        self.token = token
        self.build = build or build_of_story()
        self.journal = self.home / "journal.db"

    @property
    def env(self):
        return {"SOFTHSM2_CONF": self.token.module.configuration}

    def muster(self, noun, verb, *arguments, token=None, **options):
        """A verb that opens a token."""
        token = token or self.token
        return self.look(noun, verb, "--token", token.uri, "--pin-file", token.pin_file, "--journal", self.journal,
                         *arguments, **options)

    def make_authority(self, name, days):
        made = self.muster("cert", "self-sign", "--key-type", "ec-p256", "--label", name, "--subject", f"CN={name} CA", "--ca",
                           "--days", str(days), "--out", f"{name}.pem")
        assert made.status == 0, made

    def look(self, noun, verb, *arguments, **options):
        """A verb that opens none."""
        options["env"] = {**self.env, **options.get("env", {})}
        return run(noun, verb, "-o", "json", *arguments, home=self.home, build=self.build, **options)

    def replace_master(self, key_id, label):
        """Another master under the label and ID of the one that muster made, by somebody who has the PIN. Returns its check value."""
        self.token.pkcs11_tool("--delete-object", "--type", "secrkey", "--id", key_id)
        made = self.look("key", "generate-master", "--token", self.token.uri, "--pin-file", self.token.pin_file, "--journal",
                         self.home / "other.db", "--label", "new")
        assert made.status == 0, made
        self.token.rename("secret-key", made.json["keyId"], label=label)
        self.token.rename("secret-key", made.json["keyId"], new_id=key_id)
        return made.json["checkValue"]

    def entries(self):
        """What the journal says of custody: kind and body, oldest first."""
        with sqlite3.connect(f"file:{self.journal}?mode=ro", uri=True) as journal:
            rows = journal.execute("SELECT kind, body FROM entry WHERE stage = 'custody' ORDER BY seq").fetchall()
        return [(kind, json.loads(body)) for kind, body in rows]


def openssl(*arguments, stdin=None):
    """Standard output of OpenSSL's command line, which has to be content."""
    done = subprocess.run(["openssl", *map(str, arguments)], input=stdin, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    assert done.returncode == 0, done
    return done.stdout + done.stderr
