"""TLS servers with certificates that are wrong in one way each. They record whatever a client says to them."""
import pathlib
import socket
import ssl
import subprocess
import threading

from lib.software_token import write_secret


def openssl(*arguments, cwd):
    subprocess.run(["openssl", *map(str, arguments)], cwd=cwd, check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


class WrongServer:
    """`kind`: expired, wrong-host, or unknown-root. ca_file is what the client is told to trust."""

    def __init__(self, directory, kind):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir()
        self.received = b""
        self._make_ca("ca")
        self._make_certificate("ca", hosts=["elsewhere.example"] if kind == "wrong-host" else ["localhost", "vendor.test"],
                               start="20200101000000Z", end="20210101000000Z" if kind == "expired" else "20490101000000Z")
        self.ca_file = self.directory / "ca.pem"
        if kind == "unknown-root":
            self._make_ca("other")
            self.ca_file = self.directory / "other.pem"
        self._listen()

    def _make_ca(self, name):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key",
                "-out", f"{name}.pem", "-subj", f"/CN={name}", "-days", "3650", cwd=self.directory)

    def _make_certificate(self, issuer, hosts, start, end):
        (self.directory / "ca.conf").write_text(
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n"
            f"x509_extensions=x\n[p]\ncommonName=supplied\n[x]\nsubjectAltName={','.join(f'DNS:{host}' for host in hosts)}\nbasicConstraints=CA:false\n")
        (self.directory / "index").write_text("")
        (self.directory / "serial").write_text("01\n")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "server.key",
                "-out", "server.csr", "-subj", f"/CN={hosts[0]}", cwd=self.directory)
        openssl("ca", "-batch", "-config", "ca.conf", "-cert", f"{issuer}.pem", "-keyfile", f"{issuer}.key", "-in",
                "server.csr", "-out", "server.pem", "-startdate", start, "-enddate", end, "-notext", cwd=self.directory)

    def _listen(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.directory / "server.pem", self.directory / "server.key")
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._context = context
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            try:
                with self._context.wrap_socket(client, server_side=True) as stream:
                    self.received += stream.recv(4096)
            except OSError:
                pass

    def stop(self):
        self._socket.close()


class ScriptedService(WrongServer):
    """A right one, in the place of the provisioning service: answers a (method, path) with its text and status 200, and
    anything else with 404. `headers` are more lines of each answer; `requests` are (method, path, headers, body)."""

    def __init__(self, directory, answers, headers=""):
        self.answers = answers
        self.headers = headers
        self.requests = []
        super().__init__(directory, "right")
        self.login_file = write_secret(self.directory / "login", f"HostName=localhost:{self.port};SharedAccessKeyName=owner;"
                                       "SharedAccessKey=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _serve(self):
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            try:
                with self._context.wrap_socket(client, server_side=True) as stream, stream.makefile("rb") as lines:
                    while self._answer(stream, lines):
                        pass
            except OSError:
                pass

    def _answer(self, stream, lines):
        words = lines.readline().decode().split()
        if not words:
            return False
        headers = dict(line.split(": ", 1) for line in iter(lambda: lines.readline().decode().strip(), ""))
        path = words[1].split("?")[0]
        body = lines.read(int(headers.get("Content-Length", 0)))
        self.requests.append((words[0], path, headers, body))
        text = self.answers.get((words[0], path))
        status = "200 OK" if text is not None else "404 Not Found"
        content = (text or "{}").encode()
        stream.sendall(f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n{self.headers}\r\n"
                       .encode() + content)
        return True
