"""Where things are. MUSTER_BUILD names the build that all stories run by default; kill, memory and limit stories take RELEASE, which
MUSTER_RELEASE names. Without it the sanitized build is run by a part of the stories; MUSTER_LONG=1 is for all of them, and for stories
that try many points to try more."""
import functools
import os
import pathlib
import zlib

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
RELEASE = TOP / os.environ.get("MUSTER_RELEASE", "build")
BUILD = TOP / os.environ.get("MUSTER_BUILD", "build-dev")
SCRIPTS = TOP / "scripts"
IS_LONG = os.environ.get("MUSTER_LONG") == "1"
# A sanitized program takes twice as long to start.
SANITIZED_ONE_IN = 1 if IS_LONG or "MUSTER_BUILD" in os.environ else 4
# What strangers write is read under sanitizers always; and a mocked machine is loaded with its programs.
ALWAYS_SANITIZED = ("test_bulk_tables", "test_command_line", "test_fake_tpm", "test_lost_replies", "test_odd_fields", "test_refused_requests",
                    "test_wrong_inputs", "test_sockets", "test_tpm_trouble", "test_watch")
PROFILES = TOP / "profiles"
SOFTHSM_MODULE = "/usr/lib/softhsm/libsofthsm2.so"


def story():
    """Its name, while one is run."""
    return os.environ.get("PYTEST_CURRENT_TEST", "").split(" ")[0]


def build_of_story():
    """Always the same one for the same story."""
    name = story()
    is_always = pathlib.Path(name.split("::")[0]).stem in ALWAYS_SANITIZED
    return BUILD if is_always or zlib.crc32(name.encode()) % SANITIZED_ONE_IN == 0 else RELEASE


@functools.cache
def is_sanitized(build):
    """ASan makes mlock a no-op, so secrets cannot be locked there."""
    return b"__asan_init" in (build / "muster").read_bytes()
