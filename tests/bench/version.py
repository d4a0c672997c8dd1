"""CPU time of `muster --version` against `curl --version`, run by turns."""
import pathlib
import resource
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.paths import RELEASE

ROUNDS = 100


def cpu_of(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main():
    muster = curl = 0.0
    for _ in range(ROUNDS):
        muster += cpu_of([RELEASE / "muster", "--version"])
        curl += cpu_of(["curl", "--version"])
    is_good = muster <= curl
    print(f"muster {muster / ROUNDS * 1e3:.2f} ms, curl {curl / ROUNDS * 1e3:.2f} ms CPU; no more: {'yes' if is_good else 'NO'}")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
