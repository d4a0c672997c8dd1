"""Device keys per second: from a token in 1, 4 and 16 sessions against a bare PKCS#11 loop, and from a file against a bare
OpenSSL loop; by turns in one run, the best of each. SoftHSM lies on tmpfs."""
import base64
import os
import pathlib
import secrets
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.paths import RELEASE, SOFTHSM_MODULE
from lib.program import environment
from lib.software_token import SoftwareTokens, write_secret

ROUNDS = 2
TOKEN_COUNT, FILE_COUNT = 128000, 2000000
BARE = RELEASE / "tests/bare"


def bare_rate(*arguments, env=None):
    done = subprocess.run([BARE, *map(str, arguments)], env=env, check=True, text=True, stdout=subprocess.PIPE)
    return float(done.stdout)


def muster_rate(directory, count, *arguments, env=None):
    """The whole program: start, login, reading IDs, base64, and a file that is on disk when it ends."""
    out = directory / "keys"
    out.unlink(missing_ok=True)
    begin = time.monotonic()
    subprocess.run([RELEASE / "muster", "key", "derive", "--ids", directory / f"ids-{count}", "--out", out, "-o", "none",
                    *map(str, arguments)], env=environment(RELEASE, directory, env), check=True)
    rate = count / (time.monotonic() - begin)
    out.unlink()
    return rate


def compare(what, limit, muster, bare):
    best_muster = best_bare = 0.0
    for _ in range(ROUNDS):
        best_bare = max(best_bare, bare())
        best_muster = max(best_muster, muster())
    ratio = best_muster / best_bare
    print(f"{what}: {best_muster:.0f} keys/s, bare loop {best_bare:.0f}, ratio {ratio:.2f}; at least {limit}: "
          f"{'yes' if ratio >= limit else 'NO'}", flush=True)
    return ratio >= limit


def make_ids(directory, count):
    (directory / f"ids-{count}").write_text("".join(f"device-{number}\n" for number in range(count)))


def measure(directory):
    token = SoftwareTokens(directory / "softhsm").make("bench")
    master = secrets.token_bytes(32)
    token.write_master("master", master)
    write_secret(directory / "master", base64.b64encode(master).decode())
    make_ids(directory, TOKEN_COUNT)
    make_ids(directory, FILE_COUNT)
    env = {"SOFTHSM2_CONF": token.module.configuration}
    good = compare("file master", 0.8, lambda: muster_rate(directory, FILE_COUNT, "--master-file", directory / "master"),
                   lambda: bare_rate("openssl", FILE_COUNT))
    for sessions in (1, 4, 16):
        good &= compare(
            f"master in a token, {sessions} sessions", 0.9,
            lambda: muster_rate(directory, TOKEN_COUNT, "--master", "pkcs11:object=master", "--token", token.uri, "--pin-file",
                                token.pin_file, "--sessions", sessions, env=env),
            lambda: bare_rate("pkcs11", SOFTHSM_MODULE, token.pin, "master", TOKEN_COUNT, sessions,
                              env={**os.environ, **{name: str(value) for name, value in env.items()}}))
    return good


def main():
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        return 0 if measure(pathlib.Path(name)) else 1


if __name__ == "__main__":
    sys.exit(main())
