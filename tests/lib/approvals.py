"""People who ask for approvals and give them, each with a key of his own; and what somebody could write by hand."""
import base64
import datetime
import functools
import hashlib
import hmac
import json
import subprocess

from lib.custodian import openssl
from lib.software_token import write_secret


@functools.cache
def key_pair(name):
    """The same in all stories: to start a program for it takes longer than to use it."""
    key = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    return key, openssl("pkey", "-pubout", stdin=key)


class Person:
    def __init__(self, home, name):
        self.name = name
        self.key, self.public = home / f"{name}.key", home / f"{name}.pub"
        key, public = key_pair(name)
        write_secret(self.key, key)
        self.public.write_text(public)

    @property
    def der(self):
        return base64.b64decode("".join(self.public.read_text().splitlines()[1:-1]))

    @property
    def digest(self):
        return hashlib.sha256(self.der).hexdigest()

    def sign(self, schema, content):
        """A statement as muster writes it."""
        text = json.dumps(content)
        message = f"{schema} {hashlib.sha256(text.encode()).hexdigest()}\n"
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key], input=message.encode(), check=True,
                                   stdout=subprocess.PIPE).stdout
        return {"schema": schema, "content": text, "publicKey": base64.b64encode(self.der).decode(),
                "signature": base64.b64encode(signature).decode()}


def at(hours):
    """So many hours from now."""
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def digest_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def masters(home):
    """What stands for the masters in these files."""
    return {f"{name}Master": hmac.new(base64.b64decode((home / f"keys/{name}.key").read_text()), b"muster approval 1",
                                      hashlib.sha256).hexdigest() for name in ("primary", "secondary")}


def plan(person, profile, manifest, since=-1, until=1, **changes):
    content = {"verb": "provision", "devices": 3,
               "subjects": {"profile": digest_of(profile), "manifest": digest_of(manifest), **masters(profile.parent)},
               "name": person.name, "at": at(since), "until": at(until), "keySha256": person.digest}
    return person.sign("muster.plan/1", {**content, **changes})


def grant(person, plan, since=-1, until=1, **changes):
    content = {"plan": hashlib.sha256(plan["content"].encode()).hexdigest(), "name": person.name, "at": at(since),
               "until": at(until)}
    return person.sign("muster.grant/1", {**content, **changes})


def write(path, plan, *grants):
    path.write_text(json.dumps({"schema": "muster.approval/1", "plan": plan, "grants": grants}))
    return path
