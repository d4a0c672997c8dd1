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


def settings(text):
    """Without comments; a setting that stands twice holds as the last says."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith(("#", "Environment=")))


def home_problems(directory):
    """Where homes are hidden, nothing may be looked for in the one of the user who happens to have it there."""
    for path in directory.glob("*.service"):
        found = settings(path.read_text())
        if "User" in found and found.get("ProtectHome") == "yes" and "\nEnvironment=HOME=%S/" not in path.read_text():
            yield f"{path.name} hides homes and gives its user none"


def restart_problems(directory):
    """What is started by its standard input's socket takes that down with it once systemd gives it up."""
    for path in directory.glob("*.service"):
        found = settings(path.read_text())
        if found.get("StandardInput") == "socket" and "Restart" in found and (
                found.get("StartLimitIntervalSec") != "0" or int(found.get("RestartSec", 0)) < 10 or "RestartPreventExitStatus" in found):
            yield f"{path.name} is given up after a few starts, and its socket with it"


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(min|h|d)", text).groups()
    return int(number) * {"min": 60, "h": 3600, "d": 86400}[unit]


def patience_problems(directory):
    """A worker is kept for as long as a station may wait for its service."""
    [days] = {int(most) for most in re.findall(r"(\d+) days", (tree.TOP / "src/cli/outage.c").read_text())}
    for path in directory.glob("muster-*-worker@.service"):
        most = settings(path.read_text()).get("RuntimeMaxSec")
        if most and seconds(most) <= days * 86400:
            yield f"{path.name} ends after {most}, within the {days} days that --patience may be"


def rule_problems(directory):
    return [*input_problems(directory), *home_problems(directory), *restart_problems(directory), *patience_problems(directory)]


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
        worker, text = copy / "muster-tpm-worker@.service", station.read_text()
        station.write_text(text.replace("StandardInput=socket", "StandardInput=file:/var/lib/muster/serials"))
        if not list(input_problems(copy)):
            yield "a standard input that cannot be there was not noticed"
        station.write_text(re.sub("^(Environment=HOME|StartLimitIntervalSec)=.*\n", "", text, flags=re.MULTILINE))
        worker.write_text(worker.read_text().replace("RuntimeMaxSec=31d", "RuntimeMaxSec=12h"))
        if len(rule_problems(copy)) < 3:
            yield "a station that is given up, or looks into a hidden home, or a worker that ends early was not noticed"


def main():
    missing = {path.name for path in DIRECTORY.glob("*.service")} - EXPOSURE_MAX.keys()
    problems = [*(f"{name} has no limit in this check" for name in missing), *syntax_problems(),
                *exposure_problems(DIRECTORY), *rule_problems(DIRECTORY), *control_problems()]
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
