"""Which room may include which, and which room may include whose headers. ARCHITECTURE.md says why."""
import re

import tree

USES = {
    "base": set(),
    "identity": {"base"},
    "ek": {"base"},
    "pki": {"base"},
    "dps": {"base"},
    "profile": {"identity", "base"},
    "journal": {"base"},
    "worker": {"base"},
    "tpm": {"worker", "ek", "base"},
    "hsm": {"worker", "base"},
    "station": {"worker", "ek", "pki", "identity", "dps", "profile", "journal", "base"},
    "emulator": {"dps", "ek", "pki", "identity", "base"},
    "cli": {"station", "dps", "journal", "profile", "base"},
}

BASE_HEADERS = {"causes", "cleanup", "clock", "encoding", "error", "file", "json", "json-edit", "log", "process", "roca", "secret",
                "signer", "spki", "text", "token-uri", "x509-bare"}
OTHER_FACES = {"config": "profile"}

# Whose headers: pattern, rooms. OpenSSL and cJSON are free everywhere.
OTHERS = [
    (r"tss2/tss2_(tpm2_types|mu|common)\.h", {"ek", "tpm"}),
    (r"tss2/.*", {"tpm"}),
    (r"(p11-kit/.*|libp11\.h|pkcs11\.h)", {"hsm"}),
    (r"seccomp\.h", {"tpm"}),
    (r"curl/.*", {"dps"}),
    (r"sqlite3\.h", {"journal", "emulator"}),
    (r"(microhttpd\.h|gnutls/.*)", {"emulator"}),
    (r"libfyaml\.h", {"profile"}),
    (r"csv\.h", {"dps"}),
    (r"libsmartcols/.*", {"cli"}),
    (r"libudev\.h", {"station"}),
]


def room_of_header(name):
    """'muster/dps-http.h' -> 'dps'."""
    stem = name.removeprefix("muster/").split(".")[0]
    if stem in BASE_HEADERS:
        return "base"
    return OTHER_FACES.get(stem, stem.split("-")[0])


def room_of_file(path):
    return path.parts[1] if path.parts[0] == "src" else room_of_header("muster/" + path.name)


def problems_of(path):
    room = room_of_file(path)
    if room not in USES:
        yield f"{path}: '{room}' is not a room"
        return
    for _, name in tree.INCLUDE.findall(tree.read(path)):
        if name.startswith("muster/"):
            other = room_of_header(name)
            if other != room and other not in USES[room]:
                yield f"{path}: {room} may not include {name} ({other})"
        for pattern, rooms in OTHERS:
            if re.fullmatch(pattern, name):
                if room not in rooms:
                    yield f"{path}: {room} may not include <{name}>; only {', '.join(sorted(rooms))}"
                break


tree.finish([problem for path in tree.files("src/*.c", "src/*.h", "include/muster/*") for problem in problems_of(path)])
