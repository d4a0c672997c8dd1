"""Where things are. MUSTER_BUILD names the build that stories run by default; kill, memory and limit stories take RELEASE, which
MUSTER_RELEASE names."""
import functools
import os
import pathlib

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
RELEASE = TOP / os.environ.get("MUSTER_RELEASE", "build")
BUILD = TOP / os.environ.get("MUSTER_BUILD", "build-dev")
SCRIPTS = TOP / "scripts"
PROFILES = TOP / "profiles"
SOFTHSM_MODULE = "/usr/lib/softhsm/libsofthsm2.so"


@functools.cache
def is_sanitized(build):
    """ASan makes mlock a no-op, so secrets cannot be locked there."""
    return b"__asan_init" in (build / "muster").read_bytes()
