"""The local service started by itself, and clients that speak to it as the vendors' SDKs do. Standard library only."""
import base64
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import signal
import ssl
import subprocess
import time
import urllib.parse

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = TOP / os.environ.get("MUSTER_BUILD", "build-dev")
HUBS = ("hub-a.azure-devices.net", "hub-b.azure-devices.net")
API = "2021-10-01"


def sign(key, resource, seconds=3600, policy=None, quote=True, expiry=None):
    """A shared access signature over exactly this resource text."""
    raw = urllib.parse.quote(resource, safe="") if quote else resource
    expiry = int(time.time()) + seconds if expiry is None else expiry
    digest = hmac.new(base64.b64decode(key), f"{raw}\n{expiry}".encode(), hashlib.sha256).digest()
    token = f"SharedAccessSignature sr={raw}&sig={urllib.parse.quote(base64.b64encode(digest), safe='')}&se={expiry}"
    return token + (f"&skn={policy}" if policy else "")


def derive(master, registration_id):
    return base64.b64encode(hmac.new(base64.b64decode(master), registration_id.encode(), hashlib.sha256).digest()).decode()


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.raw = response.read()

    @property
    def json(self):
        return json.loads(self.raw)

    def __repr__(self):
        return f"{self.status} {self.headers} {self.raw[:600]!r}"


class Service:
    """A started muster-emulator."""

    def __init__(self, directory, *arguments, hubs=HUBS):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ledger_file = self.directory / "ledger.jsonl"
        self.hubs = hubs
        self.process = None
        self.start(*arguments)

    def start(self, *arguments):
        hubs = [word for hub in self.hubs for word in ("--hub", hub)]
        self.log = open(self.directory / "log", "ab")
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.directory), "MUSTER_INSECURE_MEMORY": "1"}
        self.process = subprocess.Popen(
            [BUILD / "muster-emulator", "--port", "0", "--state", self.directory / "state", "--ledger",
             self.ledger_file, *hubs, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError((self.directory / "log").read_text())
        self.about = json.loads(line)
        parts = dict(part.split("=", 1) for part in self.about["connectionString"].split(";"))
        self.host = parts["HostName"]
        self.policy = parts["SharedAccessKeyName"]
        self.key = parts["SharedAccessKey"]
        self.scope = self.about["idScope"]

    def stop(self):
        """Ends it politely; a sanitizer's report or a bad exit status fails the caller."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=20)
        self.process.stdout.close()
        self.log.close()
        self.process = None
        assert status == 0, (self.directory / "log").read_text()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()
        self.process = None

    def context(self, certificate=None):
        context = ssl.create_default_context(cafile=self.about["caFile"])
        if certificate:
            context.load_cert_chain(*certificate)
        return context

    def connect(self, certificate=None):
        return http.client.HTTPSConnection(self.host, context=self.context(certificate), timeout=20)

    def request(self, method, path, body=None, headers=None, connection=None, certificate=None, version=API):
        own = connection or self.connect(certificate)
        try:
            sent = {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
            target = path if version is None else f"{path}{'&' if '?' in path else '?'}api-version={version}"
            content = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
            own.request(method, target, content, sent)
            return Answer(own.getresponse())
        finally:
            if connection is None:
                own.close()

    def token(self, **options):
        options.setdefault("policy", self.policy)
        key = options.pop("key", self.key)
        resource = options.pop("resource", self.host.split(":")[0])
        return sign(key, resource, **options)

    def call(self, method, path, body=None, headers=None, **options):
        """As the owner of the service."""
        return self.request(method, path, body, {"Authorization": self.token(), **(headers or {})}, **options)

    def put(self, document, **headers):
        path = f"/enrollments/{urllib.parse.quote(document['registrationId'])}"
        return self.call("PUT", path, document, {name.replace("_", "-"): value for name, value in headers.items()})

    def put_group(self, document, **headers):
        return self.call("PUT", f"/enrollmentGroups/{document['enrollmentGroupId']}", document, headers)

    def ledger(self):
        return [json.loads(line) for line in self.ledger_file.read_text().splitlines()]

    def effects(self, registration_id):
        return [row["effect"] for row in self.ledger() if row["id"] == registration_id and row["effect"] != "none"
                and row["collection"] == "enrollments"]


class Device:
    """One that registers over HTTPS."""

    def __init__(self, service, registration_id, key=None, certificate=None, version="2021-06-01"):
        self.service = service
        self.id = registration_id
        self.key = key
        self.certificate = certificate
        self.version = version

    def headers(self):
        if self.key is None:
            return {}
        resource = f"{self.service.scope}/registrations/{self.id}"
        return {"Authorization": sign(self.key, resource, policy="registration")}

    def register(self, payload=None, **members):
        body = {"registrationId": self.id, **members}
        if payload is not None:
            body["payload"] = payload
        path = f"/{self.service.scope}/registrations/{urllib.parse.quote(self.id, safe='')}/register"
        return self.service.request("PUT", path, body, self.headers(), certificate=self.certificate,
                                    version=self.version)

    def poll(self, accepted):
        location = urllib.parse.urlsplit(accepted.headers["location"])
        return self.service.request("GET", f"{location.path}?{location.query}", "{}", self.headers(),
                                    certificate=self.certificate, version=None)

    def finish(self, accepted, seconds=20):
        """Polls to the end; returns the final answer's registrationState."""
        assert accepted.status == 202, accepted
        limit = time.monotonic() + seconds
        polls = 0
        while True:
            answer = self.poll(accepted)
            assert answer.status in (200, 202), answer
            if answer.status == 200:
                assert polls > 0, "the first poll has to say assigning"
                return answer.json["registrationState"]
            polls += 1
            assert answer.json["status"] == "assigning"
            assert answer.json["registrationState"]["registrationId"] == self.id
            assert time.monotonic() < limit, answer
            time.sleep(0.01)

    def provision(self, payload=None):
        return self.finish(self.register(payload))


def symmetric(registration_id, **members):
    return {"registrationId": registration_id, "attestation": {"type": "symmetricKey"}, **members}


def make_certificate(directory, name, issuer=None, authority=False):
    """Certificate and key files, by the openssl program; self-signed without an issuer."""
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
               "-subj", f"/CN={name}", "-keyout", key, "-out", certificate,
               "-addext", f"basicConstraints=critical,CA:{'TRUE' if authority else 'FALSE'}"]
    if issuer:
        request = directory / f"{name}.csr"
        subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-subj", f"/CN={name}", "-keyout", key, "-out", request], check=True, capture_output=True)
        command = ["openssl", "x509", "-req", "-in", request, "-CA", issuer[0], "-CAkey", issuer[1], "-days", "2",
                   "-set_serial", "7", "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def x509(registration_id, certificate, **members):
    return {"registrationId": registration_id, "attestation": {"type": "x509", "x509": {"clientCertificates": {
        "primary": {"certificate": certificate}}}}, **members}
