"""Bits of a TPM's protected responses, chosen by a seed and flipped on their way to the worker, each in a job of its own: none of the
jobs may succeed. Runs the unit program whose sample the suite takes. StartAuthSession is left out: its response carries no MAC, and
what a change there leads to is a session in which nothing verifies."""
import argparse
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib.paths import RELEASE


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=random.getrandbits(31))
    arguments = parser.parse_args()
    print(f"{arguments.count} flips, seed {arguments.seed}", flush=True)
    environment = {**os.environ, "MUSTER_WORKER_DIR": str(RELEASE), "MUSTER_FLIPS": str(arguments.count),
                   "MUSTER_FLIP_SEED": str(arguments.seed)}
    return subprocess.run([RELEASE / "tests/test-tpm-wire"], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
