"""What a token gives per second, in 1, 4 and 16 sessions, against a bare PKCS#11 loop of the same calls: keys with certificates, on a
token that is empty at first, and derived keys; a file's derived keys against a bare OpenSSL loop. Certificates against pkcs11-tool and
openssl in a shell's loop, one session each: with the checks that muster makes (the key's attributes are read back, the certificate is
verified) and without, on an empty token and on one that holds SHIFT_COUNT pairs, as a shift leaves it, because SoftHSM takes longer
for everything the more it holds. muster's times are of whole runs, from start to the file on disk. By turns in one run, the best of
each. SoftHSM lies on tmpfs."""
# needs: libengine-pkcs11-openssl
import base64
import os
import pathlib
import secrets
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.paths import RELEASE, SOFTHSM_MODULE
from lib.program import environment
from lib.software_token import SoftwareTokens, write_secret

ROUNDS = 3
TOKEN_COUNT, FILE_COUNT, KEY_COUNT = 128000, 2000000, 640
SHIFT_COUNT, LATER_COUNT, SHELL_COUNT = 640, 96, 3
SESSIONS = (1, 4, 16)
ENGINE = "/usr/lib/{}/engines-3/pkcs11.so"
PROFILE = """profile: bench
attestation:
  type: x509
  x509:
    token: "{token}"
    issuer:
      key: "{issuer}"
      certificate: line.pem
registrationId: "{{serial.lower}}"
"""
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


def compare(what, limit, muster, other):
    """A limit of None: only told."""
    best_muster = best_other = 0.0
    for _ in range(ROUNDS):
        best_other = max(best_other, other())
        best_muster = max(best_muster, muster())
    ratio = best_muster / best_other
    good = limit is None or ratio >= limit
    print(f"{what}: {best_muster:.0f}/s against {best_other:.{0 if best_other >= 10 else 1}f}, ratio {ratio:.2f}"
          + (f"; at least {limit}: {'yes' if good else 'NO'}" if limit is not None else ""), flush=True)
    return good


def make_ids(directory, count):
    (directory / f"ids-{count}").write_text("".join(f"device-{number}\n" for number in range(count)))


def variables(token):
    return {"SOFTHSM2_CONF": token.module.configuration}


def bare_token_rate(token, kind, label, count, sessions):
    return bare_rate(kind, SOFTHSM_MODULE, token.pin, label, count, sessions,
                     env={**os.environ, **{name: str(value) for name, value in variables(token).items()}})


# -- Derived keys --------------------------------------------------------------------------------------------------


def measure_derivation(directory, token):
    master = secrets.token_bytes(32)
    token.write_master("master", master)
    write_secret(directory / "master", base64.b64encode(master).decode())
    make_ids(directory, TOKEN_COUNT)
    make_ids(directory, FILE_COUNT)
    good = compare("derived keys, file master", 0.8,
                   lambda: muster_rate(directory, FILE_COUNT, "--master-file", directory / "master"),
                   lambda: bare_rate("openssl", FILE_COUNT))
    for sessions in SESSIONS:
        good &= compare(
            f"derived keys, token, {sessions} sessions", 0.9,
            lambda: muster_rate(directory, TOKEN_COUNT, "--master", "pkcs11:object=master", "--token", token.uri, "--pin-file",
                                token.pin_file, "--sessions", sessions, env=variables(token)),
            lambda: bare_token_rate(token, "pkcs11", "master", TOKEN_COUNT, sessions))
    return good


# -- Keys and certificates -----------------------------------------------------------------------------------------


def muster(directory, token, *arguments):
    subprocess.run([RELEASE / "muster", *map(str, arguments), "-o", "none"], cwd=directory, check=True,
                   env=environment(RELEASE, directory, {**variables(token), "MUSTER_JOURNAL": directory / "journal.db"}))


def make_authority(directory, token):
    muster(directory, token, "cert", "self-sign", "--token", token.uri, "--key-type", "ec-p256", "--label", "line", "--subject",
           "CN=line CA", "--ca", "--days", 5000, "--out", "line.pem")
    (directory / "bench.yaml").write_text(PROFILE.format(token=token.uri, issuer=token.key_uri("line", "private")))


def produce_rate(directory, token, saved, sessions, count=KEY_COUNT):
    """Start, login, journal, lint, and a file that is on disk when it ends; on a token as full as the other's."""
    token.module.restore(saved)
    for path in directory.glob("journal.db*"):
        path.unlink()
    (directory / "made.jsonl").unlink(missing_ok=True)
    begin = time.monotonic()
    muster(directory, token, "cert", "produce", "--profile", "bench.yaml", "--serials", f"ids-{count}", "--out", "made.jsonl",
           "--sessions", sessions)
    return count / (time.monotonic() - begin)


def bare_keys_rate(token, saved, sessions):
    token.module.restore(saved)
    return bare_token_rate(token, "keys", "line", KEY_COUNT, sessions)


def shell_rate(directory, token, saved, checks):
    """A key by pkcs11-tool, a request and a certificate by openssl, as a shell script does it."""
    token.module.restore(saved)
    configuration = directory / "engine.cnf"
    engine = ENGINE.format(sysconfig.get_config_var("MULTIARCH"))
    configuration.write_text(
        "openssl_conf = start\n[start]\nengines = engines\n[engines]\npkcs11 = pkcs11\n[pkcs11]\nengine_id = pkcs11\n"
        f"dynamic_path = {engine}\nMODULE_PATH = {SOFTHSM_MODULE}\ninit = 0\n[req]\ndistinguished_name = name\n[name]\n")
    env = {**token.environment, "OPENSSL_CONF": str(configuration)}

    def run(*command):
        subprocess.run(list(map(str, command)), cwd=directory, env=env, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    pin = f";pin-value={token.pin}"
    tool = ["pkcs11-tool", "--module", SOFTHSM_MODULE, "--token-label", token.label, "--login", "--pin", token.pin]
    begin = time.monotonic()
    for number in range(SHELL_COUNT):
        key_id = f"{number + 16:02x}"
        run(*tool, "--keypairgen", "--key-type", "EC:prime256v1", "--label", f"device-{number}", "--id", key_id)
        if checks:
            run(*tool, "--list-objects", "--type", "privkey", "--id", key_id)
        run("openssl", "req", "-new", "-engine", "pkcs11", "-keyform", "engine", "-key",
            f"pkcs11:token={token.label};object=device-{number}{pin}", "-subj", f"/CN=device-{number}", "-out", "shell.csr")
        run("openssl", "x509", "-req", "-in", "shell.csr", "-days", 3650, "-CA", "line.pem", "-engine", "pkcs11", "-CAkeyform",
            "engine", "-CAkey", f"pkcs11:token={token.label};object=line{pin}", "-CAcreateserial", "-out", "shell.pem")
        if checks:
            run("openssl", "verify", "-CAfile", "line.pem", "shell.pem")
    return SHELL_COUNT / (time.monotonic() - begin)


def fill(token, saved):
    """A token as a shift leaves it."""
    token.module.restore(saved)
    bare_token_rate(token, "keys", "line", SHIFT_COUNT, 1)
    return token.module.save("filled")


def measure_certificates(directory, token):
    make_authority(directory, token)
    make_ids(directory, KEY_COUNT)
    saved = token.module.save()
    good = True
    for sessions in SESSIONS:
        good &= compare(f"keys with certificates, {sessions} sessions", 0.9,
                        lambda: produce_rate(directory, token, saved, sessions),
                        lambda: bare_keys_rate(token, saved, sessions))
    make_ids(directory, LATER_COUNT)
    filled = fill(token, saved)
    for what, state, checks, limit in (("an empty token, without checks", saved, False, None),
                                       ("an empty token", saved, True, None),
                                       ("a filled token, without checks", filled, False, None),
                                       ("a filled token", filled, True, 20)):
        good &= compare(f"certificates against pkcs11-tool and openssl, {what}", limit,
                        lambda state=state: produce_rate(directory, token, state, 1, LATER_COUNT),
                        lambda state=state, checks=checks: shell_rate(directory, token, state, checks))
    return good


def measure(directory):
    tokens = SoftwareTokens(directory / "softhsm")
    good = measure_certificates(directory, tokens.make("bench"))
    shutil.rmtree(tokens.store)
    tokens.store.mkdir()
    return measure_derivation(directory, tokens.make("derive")) and good


def main():
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        return 0 if measure(pathlib.Path(name)) else 1


if __name__ == "__main__":
    sys.exit(main())
