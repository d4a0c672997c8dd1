"""A station whose service is entered with tokens: the emulator's applications, and the options that go with them."""
import json
import ssl
import urllib.parse
import urllib.request

from lib.software_token import write_secret


class SignIn:
    """Options for muster; `name` is an application of the emulator."""

    def __init__(self, station, name="bench"):
        self.station = station
        self.name = name

    @property
    def authority(self):
        return self.station.emulator.about["authority"]

    @property
    def application(self):
        return self.authority["applications"][self.name]

    def secret(self):
        return open(self.application["secretFile"]).read()

    def host(self):
        return self.station.emulator.url.removeprefix("https://")

    def service(self, name=None):
        url = self.station.emulator.url
        return ["--dps-name", name or self.host(), "--authority-host", url, "--management-endpoint", url,
                "--ca-file", self.station.emulator.ca_file]

    def who(self, **changes):
        values = {"tenant": self.authority["tenant"], "client-id": self.application["clientId"], **changes}
        return [word for option, value in values.items() if value is not None for word in (f"--{option}", value)]

    def by_secret(self, file=None, **changes):
        return [*self.who(**changes), "--client-secret-file", file or self.application["secretFile"]]

    def wrong_secret(self):
        return write_secret(self.station.home / "wrong-secret", "not-the-secret")

    def by_certificate(self, certificate, **changes):
        return [*self.who(**changes), "--client-certificate", certificate]

    def fetch_token(self, resource):
        """A token for anybody who shows the secret."""
        form = urllib.parse.urlencode({"grant_type": "client_credentials", "client_id": self.application["clientId"],
                                       "client_secret": self.secret(), "scope": f"{resource}/.default"})
        context = ssl.create_default_context(cafile=self.station.emulator.ca_file)
        request = urllib.request.Request(f"{self.station.emulator.url}/{self.authority['tenant']}/oauth2/v2.0/token",
                                         form.encode())
        with urllib.request.urlopen(request, context=context, timeout=20) as answer:
            return json.load(answer)["access_token"]

    def tokens_asked(self):
        return len(self.station.emulator.requests("token"))
