"""The provisioning service as an independent client sees it, to check what muster left there. Standard library only."""
import base64
import hashlib
import hmac
import http.client
import json
import ssl
import time
import urllib.parse

API = "api-version=2021-10-01"


class Service:
    def __init__(self, connection_string, ca_file):
        parts = dict(part.split("=", 1) for part in connection_string.split(";") if part)
        self.host = parts["HostName"]
        self.policy = parts["SharedAccessKeyName"]
        self.key = base64.b64decode(parts["SharedAccessKey"])
        self.context = ssl.create_default_context(cafile=ca_file)

    def token(self, seconds=3600):
        resource = urllib.parse.quote(self.host.split(":")[0], safe="").lower()
        expiry = int(time.time()) + seconds
        digest = hmac.new(self.key, f"{resource}\n{expiry}".encode(), hashlib.sha256).digest()
        signature = urllib.parse.quote(base64.b64encode(digest), safe="")
        return f"SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn={self.policy}"

    def request(self, method, path, body=None, headers=None):
        """Returns status and decoded body (None when empty)."""
        return self.exchange(method, path, body, headers)[:2]

    def exchange(self, method, path, body=None, headers=None):
        """The same, and the answer's headers."""
        connection = http.client.HTTPSConnection(self.host, context=self.context, timeout=20)
        try:
            sent = {"Authorization": self.token(), "Content-Type": "application/json", **(headers or {})}
            joint = "&" if "?" in path else "?"
            connection.request(method, f"{path}{joint}{API}", None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            content = answer.read()
            return answer.status, json.loads(content) if content.strip() else None, answer.headers
        finally:
            connection.close()

    def enrollment(self, registration_id):
        """The document, or None."""
        status, document = self.request("GET", f"/enrollments/{urllib.parse.quote(registration_id)}")
        return document if status == 200 else None

    def enrollments(self):
        """All of them, page by page."""
        rows, headers = [], {}
        while True:
            status, page, answered = self.exchange("POST", "/enrollments/query", {"query": "SELECT * FROM enrollments"}, headers)
            assert status == 200, page
            rows += page
            if not answered["x-ms-continuation"]:
                return rows
            headers = {"x-ms-continuation": answered["x-ms-continuation"]}

    def put(self, registration_id, document, headers=None):
        return self.request("PUT", f"/enrollments/{urllib.parse.quote(registration_id)}", document, headers)

    def delete(self, registration_id):
        status, document = self.request("DELETE", f"/enrollments/{urllib.parse.quote(registration_id)}",
                                        headers={"If-Match": "*"})
        assert status in (204, 404), document

    def registration(self, registration_id):
        status, document = self.request("GET", f"/registrations/{urllib.parse.quote(registration_id)}")
        return document if status == 200 else None
