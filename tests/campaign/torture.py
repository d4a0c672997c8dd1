"""Every call fails once on every way to it: after each command of the stories, the same is run again and again, each time with another
call of the C library failing, for memory or for files, in muster, in a worker, or in the service stand-in. None may end by a
signal, or fail without a word."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from part import LANES, Part

TESTS = pathlib.Path(__file__).resolve().parent.parent
# Kills need whole runs, and take theirs from elsewhere.
LEFT_OUT = "not kill and not sandbox and not canary"


class Torture(Part):
    def more_options(self, parser):
        parser.add_argument("stories", nargs="*", default=[TESTS / "stories"])


def main():
    part = Torture("torture", __doc__, most=60)
    options = part.options
    with tempfile.TemporaryDirectory() as directory:
        log = pathlib.Path(directory) / "log"
        log.touch()
        environment = {**os.environ, "MUSTER_BUILD": os.environ.get("MUSTER_RELEASE", "build"),
                       "MUSTER_TORTURE": f"{options.most}:{log}"}
        subprocess.run(["/usr/bin/python3", "-m", "pytest", "-q", "--tb=no", "-n", str(LANES), "-k", LEFT_OUT, "-p", "no:cacheprovider",
                        "-c", TESTS / "pytest.ini", *options.stories], env=environment, stdout=subprocess.DEVNULL)
        rows = [json.loads(line) for line in log.read_text().splitlines()]
    for row in rows:
        words = " ".join(row["command"])
        part.judge(words, None if row["good"] else f"status {row['status']}", [row["stderr"], *row["ways"].items()])
    return part.finish(rounds=int(options.stories == [TESTS / "stories"]), calls=len(rows), failed_runs=sum(row["status"] != 0 for row in rows))


if __name__ == "__main__":
    sys.exit(main())
