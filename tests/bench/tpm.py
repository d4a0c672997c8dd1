"""`muster tpm doctor` on a TPM with a persisted EK against what a person would write with tpm2-tools and openssl to the same
end: read the key and its certificate, compare, verify the chain, and let the TPM activate a credential. By turns, one run."""
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.paths import RELEASE
from lib.program import environment
from lib.software_tpm import SoftwareTpm

ROUNDS = 10
RATIO = 3

PIPELINE = """
set -e
export TPM2TOOLS_TCTI="$1"
tpm2_readpublic -Q -c 0x81010001 -f tss -o ek.pub
tpm2_readpublic -Q -c 0x81010001 -f pem -o ek.pem
tpm2_nvread -Q 0x01c00002 -o ek.der
openssl x509 -inform DER -in ek.der -pubkey -out ek.crt | sed '/BEGIN CERTIFICATE/,$d' >certified.pem
openssl pkey -pubin -in ek.pem -outform DER -out a && openssl pkey -pubin -in certified.pem -outform DER -out b && cmp a b
openssl verify -CAfile roots.pem ek.crt
tpm2_createprimary -Q -C e -G ecc256:ecdsa-sha256:null -g sha256 -c ak.ctx \\
  -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign|noda'
tpm2_readpublic -c ak.ctx -n ak.name >/dev/null
head -c 16 /dev/urandom >secret
tpm2_makecredential -Q -T none -u ek.pub -s secret -n "$(od -An -v -tx1 ak.name | tr -d ' \\n')" -o credential
tpm2_flushcontext -t
tpm2_startauthsession --policy-session -S session
tpm2_policysecret -Q -S session -c e
tpm2_activatecredential -Q -c ak.ctx -C 0x81010001 -i credential -o activated -P session:session
tpm2_flushcontext session
tpm2_flushcontext -t
cmp secret activated
"""


def timed(command, directory, env=None):
    start = time.monotonic()
    done = subprocess.run(command, cwd=directory, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    seconds = time.monotonic() - start
    if done.returncode != 0:
        sys.exit(f"bench: {command[0]}: {done.stdout}")
    return seconds


def main():
    with tempfile.TemporaryDirectory(prefix="m", dir="/tmp") as name:
        directory = pathlib.Path(name)
        tpm = SoftwareTpm(directory / "t", directory / "ca").start()
        try:
            (directory / "roots").mkdir()
            roots = b"".join((directory / "ca" / part).read_bytes() for part in ("swtpm-localca-rootca-cert.pem", "issuercert.pem"))
            for path in (directory / "roots" / "maker.pem", directory / "roots.pem"):
                path.write_bytes(roots)
            doctor = [str(RELEASE / "muster"), "tpm", "doctor", "--tpm", tpm.tcti, "--roots", str(directory / "roots")]
            pipeline = ["bash", "-c", PIPELINE, "pipeline", tpm.tcti]
            times = {"muster": [], "tools": []}
            for _ in range(ROUNDS):
                times["muster"].append(timed(doctor, directory, environment(RELEASE, directory)))
                times["tools"].append(timed(pipeline, directory))
        finally:
            tpm.stop()
    muster, tools = (statistics.median(times[key]) for key in ("muster", "tools"))
    is_good = tools >= RATIO * muster
    print(f"doctor {muster * 1e3:.0f} ms, tpm2-tools {tools * 1e3:.0f} ms: {tools / muster:.1f} times faster; "
          f"at least {RATIO}: {'yes' if is_good else 'NO'}")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
