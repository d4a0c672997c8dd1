"""The programs as the linker left them: position-independent, read-only after relocation, no executable stack, no segment that is
written and executed, fortified, with stack protector and landing pads for indirect branches, no search path for libraries, and
nothing in them that says where they were built."""
import re
import subprocess

import tree

PROGRAMS = ("muster", "muster-tpm-worker", "muster-hsm-worker", "muster-emulator")
LANDING_PAD = bytes.fromhex("f30f1efa")  # endbr64
LANDING_PADS_MIN = 50


def readelf(path, *options):
    return subprocess.run(["readelf", "-W", *options, path], check=True, text=True, stdout=subprocess.PIPE).stdout


def segments(path):
    """(type, flags) of each program header."""
    return re.findall(r"^  ([A-Z_]+) +0x\w+ 0x\w+ 0x\w+ 0x\w+ 0x\w+ ([RWE ]{3})", readelf(path, "-l"), re.MULTILINE)


def problems_of(path):
    content = path.read_bytes()
    dynamic = readelf(path, "-d")
    symbols = readelf(path, "--dyn-syms")
    rows = segments(path)
    rules = [
        ("is not position-independent", "PIE" in dynamic and "DYN" in readelf(path, "-h")),
        ("is not read-only after relocation", any(kind == "GNU_RELRO" for kind, _ in rows) and "BIND_NOW" in dynamic),
        ("has an executable stack", any(kind == "GNU_STACK" and "E" not in flags for kind, flags in rows)),
        ("has a segment that is written and executed", not any("W" in flags and "E" in flags for _, flags in rows)),
        ("is not fortified", re.search(r"__\w+_chk@", symbols)),
        ("has no stack protector", "__stack_chk_fail" in symbols),
        ("has no landing pads for indirect branches", content.count(LANDING_PAD) >= LANDING_PADS_MIN),
        ("has a search path for libraries", "RPATH" not in dynamic and "RUNPATH" not in dynamic),
        ("says where it was built", str(tree.TOP).encode() not in content),
    ]
    yield from (f"{path.name} {problem}" for problem, is_good in rules if not is_good)


tree.finish([problem for name in PROGRAMS for problem in problems_of(tree.TOP / "build" / name)])
