"""Bits of a TPM's protected responses, chosen by a seed and flipped on their way to the worker, each in a job of its own: none of the
jobs may succeed. Runs the unit program whose sample the suite takes. StartAuthSession is left out: its response carries no MAC, and
what a change there leads to is a session in which nothing verifies."""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.paths import RELEASE
from part import Part


def main():
    part = Part("flips", __doc__, count=10000)
    options = part.options
    environment = {**os.environ, "MUSTER_WORKER_DIR": str(RELEASE), "MUSTER_FLIPS": str(options.count),
                   "MUSTER_FLIP_SEED": str(options.seed)}
    done = subprocess.run([RELEASE / "tests/test-tpm-wire"], env=environment)
    part.judge("bits of protected responses", done.returncode and f"status {done.returncode}")
    return part.finish(bits=options.count)


if __name__ == "__main__":
    sys.exit(main())
