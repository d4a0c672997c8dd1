"""`meson install` puts each thing where Debian looks for it, installed units start what is installed, a station needs no emulator,
and what is too old or missing is told when the build is set up."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import tree

MESON = shutil.which("/usr/bin/meson") or "meson"
STATION = ["-Dtests=false", "-Demulator=disabled"]
PLACES = {  # below the prefix, of which files of the tree
    "lib/udev/rules.d": ["udev/*.rules"],
    "lib/systemd/system": ["scripts/systemd/*"],
    "share/doc/muster/examples": ["profiles/*.yaml"],
    "share/muster": ["profiles/*.json", "scripts/vendor-roots", "scripts/verify-journal"],
    "share/fish/vendor_completions.d": ["scripts/completion/*.fish"],
    **{f"share/man/man{section}": [f"man/*.{section}"] for section in (1, 5, 7)},
}
ALONE = {"bin/muster", "libexec/muster/muster-tpm-worker", "libexec/muster/muster-hsm-worker", "share/bash-completion/completions/muster"}


def wanted(prefix, emulator):
    """What has to be installed, and nothing else."""
    places = {f"{prefix}/{place}/{path.name}" for place, patterns in PLACES.items() for path in tree.files(*patterns)}
    zsh = "vendor-completions" if prefix == "/usr" else "site-functions"
    return places | {f"{prefix}/{name}" for name in [*ALONE, f"share/zsh/{zsh}/_muster", *(["bin/muster-emulator"] if emulator else [])]}


def meson(*arguments, **variables):
    return subprocess.run([MESON, *arguments], cwd=tree.TOP, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, **variables})


def installed(build):
    return set(json.loads(meson("introspect", "--installed", build).stdout).values())


def differences(build, prefix, emulator):
    there, expected = installed(build), wanted(prefix, emulator)
    yield from (f"{path} is not installed" for path in sorted(expected - there))
    yield from (f"{path} is installed, and this check does not know it" for path in sorted(there - expected))


def unstartable(units, programs):
    for unit in units:
        for program in re.findall(r"^Exec\w+=-?(\S+)", unit.read_text(), re.MULTILINE):
            if program not in programs:
                yield f"{unit.name} starts {program}, which is not installed"


def station_problems(directory):
    """Set up as for a package; what would be installed is known without building it."""
    build = directory / "station"
    done = meson("setup", build, "--prefix=/usr", *STATION)
    if done.returncode != 0:
        return [f"a station cannot be set up without the emulator: {done.stdout}"]
    units = list(build.glob("*.service"))
    control = directory / "control.service"
    control.write_text("[Service]\nExecStart=/usr/bin/muster doctor\nExecStopPost=-/usr/bin/other\n")
    return [*differences(build, "/usr", False), *unstartable(units, installed(build)),
            *(["the build for a station uses libmicrohttpd"] if "microhttpd" in (build / "build.ninja").read_text() else []),
            *([] if units and len(list(unstartable([control], installed(build)))) == 1 else ["a unit for a missing program was not noticed"])]


def installation_problems(directory):
    """The release build as it is, really installed."""
    build, root = tree.TOP / "build", directory / "root"
    prefix = next(option["value"] for option in json.loads(meson("introspect", "--buildoptions", build).stdout)
                  if option["name"] == "prefix")
    done = meson("install", "-C", build, "--no-rebuild", "--destdir", root)
    if done.returncode != 0:
        return [f"meson install: {done.stdout}"]
    there = {f"/{path.relative_to(root)}" for path in root.rglob("*") if path.is_file()}
    modes = {path: (root / path[1:]).stat().st_mode & 0o777 for path in there}
    return [*differences(build, prefix, True), *(f"{path} was not installed" for path in installed(build) - there),
            *unstartable(root.rglob("*.service"), there),
            *(f"{path} has mode {mode:o}" for path, mode in modes.items()
              if mode != (0o755 if re.search(r"/(bin|libexec)/|/vendor-roots$|/verify-journal$", path) else 0o644))]


def refusal_problems(directory):
    (directory / "libcurl.pc").write_text("Name: libcurl\nDescription: of last year\nVersion: 7.84.0\nLibs: -lcurl\n")
    old = meson("setup", directory / "old", *STATION, PKG_CONFIG_PATH=str(directory))
    if old.returncode == 0 or not re.search(r"libcurl.*>= ?7\.85.*7\.84", old.stdout, re.DOTALL):
        yield f"a libcurl that is too old is not told of: {old.stdout}"
    without = meson("setup", directory / "without", "-Demulator=disabled")
    if without.returncode == 0 or "The tests need the emulator" not in without.stdout:
        yield f"tests without the emulator are not refused: {without.stdout}"


with tempfile.TemporaryDirectory() as name:
    top = pathlib.Path(name)
    tree.finish([*station_problems(top), *installation_problems(top), *refusal_problems(top)])
