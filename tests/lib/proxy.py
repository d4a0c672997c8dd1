"""A proxy that knows CONNECT alone. Names below .test are this machine for it and nothing for anybody else, so what reaches a
server by such a name went through it."""
import base64
import selectors
import socket
import socketserver
import threading


class Proxy:
    """`status`: what everybody is answered in place of a way. `login`: "user:password" that it wants."""

    def __init__(self, status=None, login=None):
        self.status = status
        self.login = login
        self.heads = []     # of each request, as it came
        self.targets = []   # HOST:PORT of each way that was opened
        self.received = 0   # bytes of clients within these
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), self.handler(), bind_and_activate=True)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    @property
    def hosts(self):
        return {target.rsplit(":", 1)[0] for target in self.targets}

    def handler(proxy):
        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                try:
                    proxy.serve(self.request)
                except OSError:
                    pass
        return Handler

    def serve(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(4096)
            if not piece:
                return
            head += piece
        head = head.decode("ascii")
        self.heads.append(head)
        method, target = head.split()[:2]
        status = self.refusal(method, head)
        if status:
            body = "<html>refused by the proxy</html>"
            client.sendall(f"HTTP/1.1 {status} No\r\nContent-Type: text/html\r\nProxy-Authenticate: Basic realm=\"p\"\r\n"
                           f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
            return
        self.relay(client, target)

    def refusal(self, method, head):
        if method != "CONNECT":
            return 405
        if self.login:
            wanted = base64.b64encode(self.login.encode()).decode()
            if f"\r\nProxy-Authorization: Basic {wanted}\r\n" not in head:
                return 407
        return self.status

    def relay(self, client, target):
        host, port = target.rsplit(":", 1)
        with socket.create_connection(("127.0.0.1" if host.endswith((".test", ".localhost")) else host, int(port))) as server:
            self.targets.append(target)
            client.sendall(b"HTTP/1.1 200 Go on\r\nX-Of-The-Proxy: yes\r\n\r\n")
            with selectors.DefaultSelector() as ready:
                ready.register(client, selectors.EVENT_READ, server)
                ready.register(server, selectors.EVENT_READ, client)
                while True:
                    for key, _ in ready.select():
                        data = key.fileobj.recv(65536)
                        if not data:
                            return
                        self.received += len(data) if key.fileobj is client else 0
                        key.data.sendall(data)
