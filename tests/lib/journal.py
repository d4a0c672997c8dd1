"""Journals without provisioning: made by journal-fill, which uses the journal's own code."""
import subprocess

from lib.paths import RELEASE
from lib.program import environment


def fill(path, count, first=0, build=RELEASE):
    subprocess.run([build / "tests/journal-fill", path, str(count), str(first)], check=True, env=environment(build, path.parent))
