"""A TPM that lies: a proxy on a socket of its own that speaks for a real software TPM, changes what it likes, and may go
over to another one between two commands."""
import contextlib
import os
import socket
import struct
import threading

READ_PUBLIC, PROVE, START_SESSION = 0x173, 0x147, 0x176


def code_of(command):
    return struct.unpack(">I", command[6:10])[0]


def receive(connection):
    """One command or response; b"" at the end."""
    data = b""
    while len(data) < 10 or len(data) < struct.unpack(">I", data[2:6])[0]:
        part = connection.recv(65536)
        if not part:
            return b""
        data += part
    return data


class LyingTpm:
    """`before` sees each command; `instead` answers in the place of the chip, which never sees the command then; `change` gives
    what is answered instead of the chip's response: None hangs up, b"" never answers."""

    def __init__(self, directory, tpm):
        self.speaks_for = tpm
        self.before = lambda command: None
        self.instead = lambda command: None
        self.change = lambda command, response: response
        self.socket = directory / "l"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.socket))
        self.listener.listen(16)
        # A sandboxed worker has the directory for its root.
        os.symlink(os.path.relpath(f"{tpm.socket}.ctrl", directory), f"{self.socket}.ctrl")
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    @property
    def tcti(self):
        return f"swtpm:path={self.socket}"

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(20)
        self.listener.close()
        for path in (self.socket, f"{self.socket}.ctrl"):
            os.unlink(path)

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            # A client that was ended, or had enough of an answer, hangs up in the middle.
            with connection, contextlib.suppress(ConnectionError):
                while command := receive(connection):
                    answer = self._answer(command)
                    if answer is None:
                        break
                    connection.sendall(answer)

    def _answer(self, command):
        self.before(command)
        if (answer := self.instead(command)) is not None:
            return answer
        with socket.socket(socket.AF_UNIX) as real:
            real.connect(str(self.speaks_for.socket))
            real.sendall(command)
            return self.change(command, receive(real))


def with_public(response, modulus):
    """A response of ReadPublic of an RSA key with another modulus, which is the last in the public area."""
    end = 12 + struct.unpack(">H", response[10:12])[0]
    return response[:end - len(modulus)] + modulus + response[end:]


def with_identity(response, public):
    """The same with another TPM2B_PUBLIC altogether, of the same size."""
    return response[:10] + public + response[10 + len(public):]


def flipped(response, bit):
    changed = bytearray(response)
    changed[bit // 8] ^= 0x80 >> bit % 8
    return bytes(changed)
