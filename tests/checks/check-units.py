"""The units of scripts/systemd: taken by systemd's own parser, and exposed no more than they may be by its own score."""
import re
import subprocess
import sys
import tempfile
import pathlib
import shutil

import tree

DIRECTORY = tree.TOP / "scripts/systemd"
EXPOSURE_MAX = {"muster.service": 1.5, "muster-tpm-worker@.service": 1.0, "muster-hsm-worker@.service": 1.0}
NOT_HERE = re.compile(r"is not executable: No such file|Command 'man ")


def run(*arguments):
    return subprocess.run(["systemd-analyze", *arguments], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def exposure_of(unit):
    done = run("security", "--offline=true", "--no-pager", unit)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    return float(found.group(1)) if found else 10.0


def exposure_problems(directory):
    for name, most in EXPOSURE_MAX.items():
        exposure = exposure_of(directory / name)
        if exposure > most:
            yield f"{name} is exposed {exposure}, more than {most}"


def syntax_problems():
    done = run("verify", *(DIRECTORY / name for name in ("muster.service", *(path.name for path in DIRECTORY.glob("*.socket")))))
    return [line for line in done.stdout.splitlines() if line and not NOT_HERE.search(line)]


def input_problems(directory):
    """systemd opens a standard input before it makes the unit's own directories."""
    for path in directory.glob("*.service"):
        text = path.read_text()
        for owned in re.findall(r"^(?:Runtime|State|Cache)Directory=(\S+)", text, re.MULTILINE):
            if re.search(rf"^StandardInput=file:\S*/{owned}/", text, re.MULTILINE):
                yield f"{path.name} reads a file of its own directory '{owned}', which is not there yet"


def control_problems():
    """A unit that lost its hardening must be noticed."""
    with tempfile.TemporaryDirectory() as name:
        copy = pathlib.Path(name) / "units"
        shutil.copytree(DIRECTORY, copy)
        for path in copy.glob("*.service"):
            path.write_text(re.sub(r"^(PrivateUsers|SystemCallFilter|RestrictNamespaces|CapabilityBoundingSet)=.*\n", "",
                                   path.read_text(), flags=re.MULTILINE))
        if len(list(exposure_problems(copy))) < len(EXPOSURE_MAX):
            yield "units without their hardening were not noticed"
        station = copy / "muster.service"
        station.write_text(station.read_text().replace("StandardInput=socket", "StandardInput=file:/var/lib/muster/serials"))
        if not list(input_problems(copy)):
            yield "a standard input that cannot be there was not noticed"


def main():
    missing = {path.name for path in DIRECTORY.glob("*.service")} - EXPOSURE_MAX.keys()
    problems = [*(f"{name} has no limit in this check" for name in missing), *syntax_problems(),
                *exposure_problems(DIRECTORY), *input_problems(DIRECTORY), *control_problems()]
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
