"""A TPM with a persisted EK, examined by `muster tpm doctor`: time per device against a bare ESYS loop that sends the same
commands in the same sessions, on 1 to 16 TPMs; against what a person would write with tpm2-tools and openssl to the same end
(read the key and its certificate, compare, verify the chain, let the TPM activate a credential); and the worker's memory. By
turns, one run."""
import collections
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.lying_tpm import LyingTpm, code_of
from lib.paths import RELEASE
from lib.program import environment
from lib.software_tpm import SoftwareTpm

ROUNDS = 10
BARE_RATIO, TOOLS_RATIO, SHARE, WORKER_KB = 1.15, 3, 0.9, 8 * 1024
COUNTS, VISITS = (1, 2, 4, 8, 16), 64

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
DOCTOR_LOOP = 'n=$1; shift; while [ "$n" -gt 0 ]; do "$@" >/dev/null || exit; n=$((n - 1)); done'


def judge(what, holds):
    print(f"{what}: {'yes' if holds else 'NO'}", flush=True)
    return holds


class Bench:
    def __init__(self, directory):
        self.directory = directory
        self.environment = environment(RELEASE, directory)
        self.tpms = []
        (directory / "roots").mkdir()

    def add_tpms(self, count):
        while len(self.tpms) < count:
            self.tpms.append(SoftwareTpm(self.directory / f"t{len(self.tpms)}", self.directory / "ca").start())
        roots = b"".join((self.directory / "ca" / part).read_bytes()
                         for part in ("swtpm-localca-rootca-cert.pem", "issuercert.pem"))
        for path in (self.directory / "roots" / "maker.pem", self.directory / "roots.pem"):
            path.write_bytes(roots)

    def stop(self):
        for tpm in self.tpms:
            tpm.stop()

    def start(self, command):
        return subprocess.Popen([str(word) for word in command], cwd=self.directory, env=self.environment,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def seconds(self, *commands):
        """Of all of them side by side."""
        begin = time.monotonic()
        running = [self.start(command) for command in commands]
        outputs = [process.communicate()[0] for process in running]
        taken = time.monotonic() - begin
        for process, output in zip(running, outputs):
            if process.returncode != 0:
                sys.exit(f"bench: {process.args[0]}: {output}")
        return taken

    def doctor(self, tpm):
        return [RELEASE / "muster", "tpm", "doctor", "--tpm", tpm.tcti, "--roots", self.directory / "roots"]

    def bare(self, tpm, count):
        return [RELEASE / "tests/bare-tpm", tpm.tcti, count]

    def doctors(self, tpm, count):
        return ["sh", "-c", DOCTOR_LOOP, "loop", count, *self.doctor(tpm)]

    # -- What is measured -----------------------------------------------------------------------------------------------

    def commands_of(self, make):
        """How often each command crosses to the TPM."""
        proxy = LyingTpm(self.tpms[0].directory, self.tpms[0])
        tally = collections.Counter()
        proxy.before = lambda command: tally.update([code_of(command)])
        try:
            self.seconds(make(proxy))
        finally:
            proxy.stop()
        return tally

    def compare_commands(self):
        muster, bare = (self.commands_of(make) for make in (self.doctor, lambda tpm: self.bare(tpm, 1)))
        return judge(f"commands of a visit: {muster.total()}, bare loop {bare.total()}; the same", muster == bare)

    def compare_times(self):
        times = {"muster": [], "bare": [], "tools": []}
        tpm = self.tpms[0]
        for _ in range(ROUNDS):
            times["muster"].append(self.seconds(self.doctor(tpm)))
            times["bare"].append(self.seconds(self.bare(tpm, 10)) / 10)
            times["tools"].append(self.seconds(["bash", "-c", PIPELINE, "pipeline", tpm.tcti]))
        muster, bare, tools = (statistics.median(times[key]) for key in ("muster", "bare", "tools"))
        return [judge(f"doctor {muster * 1e3:.0f} ms, bare loop {bare * 1e3:.0f} ms: {muster / bare:.2f} times; "
                      f"at most {BARE_RATIO}", muster <= BARE_RATIO * bare),
                judge(f"doctor {muster * 1e3:.0f} ms, tpm2-tools {tools * 1e3:.0f} ms: {tools / muster:.1f} times faster; "
                      f"at least {TOOLS_RATIO}", tools >= TOOLS_RATIO * muster)]

    def compare_many(self, count):
        each = VISITS // count
        rates = {"muster": 0, "bare": 0}
        for _ in range(3):
            for key, make in (("muster", self.doctors), ("bare", self.bare)):
                taken = self.seconds(*(make(tpm, each) for tpm in self.tpms[:count]))
                rates[key] = max(rates[key], count * each / taken)
        share = rates["muster"] / rates["bare"]
        return judge(f"{count} TPMs: {rates['muster']:.1f} devices/s, bare loops {rates['bare']:.1f}, {share:.2f} of them; "
                     f"at least {SHARE}", share >= SHARE)

    def measure_memory(self):
        most = 0
        for _ in range(ROUNDS):
            process = self.start(self.doctor(self.tpms[0]))
            while process.poll() is None:
                most = max(most, peak_of_worker(process.pid))
            process.communicate()
        return judge(f"worker's peak resident {most / 1024:.1f} MiB; at most {WORKER_KB / 1024:.0f}", 0 < most <= WORKER_KB)


def peak_of_worker(pid):
    """In kB, as far as it has got."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as children:
            child = children.read().split()[0]
        with open(f"/proc/{child}/status") as stream:
            status = stream.read()
    except (OSError, IndexError):
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found.group(1)) if found and "Name:\tmuster-tpm-work" in status else 0


def main():
    with tempfile.TemporaryDirectory(prefix="m", dir="/tmp") as name:
        bench = Bench(pathlib.Path(name))
        try:
            bench.add_tpms(1)
            results = [bench.compare_commands(), *bench.compare_times(), bench.measure_memory()]
            bench.add_tpms(max(COUNTS))
            results += [bench.compare_many(count) for count in COUNTS]
        finally:
            bench.stop()
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
