"""Takes one rule of muster away at a time and runs the test that must notice. A mutant that no test kills fails, and so does
one whose place is no longer there, or whose test does not pass without it. Works on a copy of the tree."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.paths import RELEASE
from mutant_list import MUTANTS
from part import Part

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
PYTHON = "/usr/bin/python3"
PROGRAMS = ["muster", "muster-tpm-worker", "muster-hsm-worker", "muster-emulator"]
# What stories and unit tests start besides.
HELPERS = ["tests/odd-worker", "tests/muster-fault.so", "tests/test-tpm-sandbox", "tests/keep-mock.so", "tests/mock-machine",
           "tests/journal-fill"]


def target_of(test):
    return [f"tests/test-{test.removeprefix('unit:')}"] if test.startswith("unit:") else [*PROGRAMS, *HELPERS]


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
        self.must("meson", "setup", "-Dtests=true", "build")
        self.take_over_objects()
        self.must("ninja", "-C", "build", *PROGRAMS, *HELPERS)

    def take_over_objects(self):
        """Of the release build, which has the same commands; ninja makes anew what it would have made otherwise."""
        written_by_meson = shutil.ignore_patterns("build.ninja", "compile_commands.json", "meson-*")
        shutil.copytree(RELEASE, self.top / "build", ignore=written_by_meson, dirs_exist_ok=True)

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

    def builds(self, test):
        """Only what the test needs: to link all tests takes longer than all the rest."""
        workers = PROGRAMS[1:3] if test.startswith("unit:") else []
        return self.run("ninja", "-C", "build", *target_of(test), *workers)

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
        if not copy.builds(test):
            return "does not build:\n" + copy.log[-2000:]
        return "lived: nothing noticed" if copy.passes(test) else None
    finally:
        file.write_text(text)


def check_controls(copy, mutants):
    for test in sorted({mutant[4] for mutant in mutants}):
        if not copy.builds(test) or not copy.passes(test):
            sys.exit(f"{test} does not pass without a mutant:\n{copy.log[-4000:]}")


class Mutants(Part):
    def more_options(self, parser):
        parser.add_argument("names", nargs="*")


def main():
    part = Mutants("mutants", __doc__, count=0)
    names = part.options.names
    chosen = part.choose([mutant for mutant in MUTANTS if not names or mutant[0] in names])
    with tempfile.TemporaryDirectory() as directory:
        copy = Copy(directory)
        check_controls(copy, chosen)
        for name, *rest in chosen:
            why = judge(copy, name, *rest)
            print(f"{'LIVES' if why else 'killed'} {name}", flush=True)
            part.judge(name, why)
    return part.finish(mutants=len(chosen), possible=len(MUTANTS))


if __name__ == "__main__":
    sys.exit(main())
