"""Takes one rule of muster away at a time and runs the test that must notice. A mutant that no test kills fails, and so does
one whose place is no longer there, or whose test does not pass without it. Works on a copy of the tree."""
import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

from mutant_list import MUTANTS

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
PYTHON = "/usr/bin/python3"


class Copy:
    def __init__(self, directory):
        self.top = pathlib.Path(directory) / "muster"
        self.log = ""
        names = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, check=True, stdout=subprocess.PIPE).stdout.decode()
        for name in filter(None, names.split("\0")):
            target = self.top / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, target)
        subprocess.run(["git", "init", "-q"], cwd=self.top, check=True)
        self.must("meson", "setup", "-Dbuildtype=debug", "-Dtests=true", "build")
        self.must("ninja", "-C", "build")

    def run(self, *command, timeout=600):
        try:
            done = subprocess.run(command, cwd=self.top, text=True, errors="replace", stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=timeout, env={**os.environ, "MUSTER_BUILD": "build"})
        except subprocess.TimeoutExpired:
            self.log = "took too long"
            return False
        self.log = done.stdout
        return done.returncode == 0

    def must(self, *command):
        if not self.run(*command):
            sys.exit(f"{' '.join(command)} failed:\n{self.log[-4000:]}")

    def builds(self):
        return self.run("ninja", "-C", "build")

    def passes(self, test):
        if test.startswith("unit:"):
            return self.run("meson", "test", "-C", "build", "--no-rebuild", test.removeprefix("unit:"))
        return self.run(PYTHON, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-c", "tests/pytest.ini", test)


def judge(copy, name, path, old, new, test):
    file = copy.top / path
    text = file.read_text()
    if text.count(old) != 1:
        return f"its place stands {text.count(old)} times in {path}"
    file.write_text(text.replace(old, new))
    try:
        if not copy.builds():
            return "does not build:\n" + copy.log[-2000:]
        return "lived: nothing noticed" if copy.passes(test) else None
    finally:
        file.write_text(text)


def check_controls(copy, mutants):
    for test in sorted({mutant[4] for mutant in mutants}):
        if not copy.passes(test):
            sys.exit(f"{test} does not pass without a mutant:\n{copy.log[-4000:]}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=0, help="so many, chosen by the seed; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if not arguments.names or mutant[0] in arguments.names]
    if arguments.count:
        chosen = random.Random(arguments.seed).sample(chosen, min(arguments.count, len(chosen)))
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        copy = Copy(directory)
        check_controls(copy, chosen)
        for name, *rest in chosen:
            why = judge(copy, name, *rest)
            print(f"{'killed' if why is None else 'LIVES ':6} {name}{'' if why is None else ': ' + why}", flush=True)
            rows.append({"name": f"mutant {name}", "result": "OK" if why is None else "FAIL"})
    killed = sum(row["result"] == "OK" for row in rows)
    print(f"{killed} of {len(rows)} mutants killed, {len(MUTANTS)} known, seed {arguments.seed}")
    if arguments.results:
        arguments.results.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return 0 if rows and killed == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
