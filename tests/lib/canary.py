"""Looks for secrets in every form they could have leaked in."""
import base64
import platform
import re
import subprocess
import time

EXIT_GROUP = {"x86_64": "231"}.get(platform.machine(), "94")


def forms(secret):
    """Encodings of a secret given as bytes: raw, hex, base64, base64url, UTF-16, percent."""
    encoded = base64.b64encode(secret)
    shapes = {secret, secret.hex().encode(), secret.hex().upper().encode(), encoded.rstrip(b"="),
              base64.urlsafe_b64encode(secret).rstrip(b"="), encoded.decode().encode("utf-16-le"),
              encoded.replace(b"+", b"%2B").replace(b"/", b"%2F").rstrip(b"=")}
    return {shape for shape in shapes if len(shape) >= 6}


def found_in(haystack, canaries):
    """Names of the canaries that are in it. `canaries`: name -> bytes."""
    return sorted(name for name, secret in canaries.items() if any(form in haystack for form in forms(secret)))


def memory_of(pid):
    """All readable memory of a process, mapping by mapping."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            start, end, mode = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line).groups()
            if not mode.startswith("r") or "[v" in line:
                continue
            memory.seek(int(start, 16))
            try:
                yield memory.read(int(end, 16) - int(start, 16))
            except OSError:
                continue


def found_in_memory(pid, canaries):
    names = set()
    for part in memory_of(pid):
        names.update(found_in(part, canaries))
    return sorted(names)


def children_of(pid):
    """The process and all below it."""
    todo, seen = [pid], []
    while todo:
        current = todo.pop()
        seen.append(current)
        try:
            with open(f"/proc/{current}/task/{current}/children") as children:
                todo += [int(word) for word in children.read().split()]
        except OSError:
            pass
    return seen


class Watcher:
    """Collects command lines and environments of everything below a process while it lives."""

    def __init__(self):
        self.collected = {}

    def look(self, pid):
        for current in children_of(pid):
            for name in ("cmdline", "environ"):
                try:
                    with open(f"/proc/{current}/{name}", "rb") as stream:
                        self.collected[(current, name)] = self.collected.get((current, name), b"") + stream.read()
                except OSError:
                    pass

    def everything(self):
        return b"\0".join(self.collected.values())


def stopped_at_exit(command, program, watcher, **options):
    """Runs `command` under strace, which holds it for a moment as it is about to exit; returns the process and the
    ID of `program` at that moment, with all its memory still there."""
    process = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=exit_group", "-e",
                                "inject=exit_group:delay_enter=4000000", *command], **options)
    limit = time.monotonic() + 60
    while time.monotonic() < limit and process.poll() is None:
        watcher.look(process.pid)
        for pid in children_of(process.pid):
            if name_of(pid) == program and system_call_of(pid) == EXIT_GROUP:
                return process, pid
        time.sleep(0.002)
    raise TimeoutError(f"{program} did not come to its exit: {process.poll()}")


def watch(command, canaries, **options):
    """Output, command lines and environments, exit status, and which canaries were in memory at the exit of muster."""
    watcher = Watcher()
    process, pid = stopped_at_exit(list(map(str, command)), "muster", watcher, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    with open(f"/proc/{pid}/limits") as stream:
        limits = stream.read()
    in_memory = found_in_memory(pid, canaries)
    stdout, stderr = process.communicate(timeout=60)
    return {"output": stdout + stderr, "watched": watcher.everything(), "status": process.returncode, "memory": in_memory,
            "core": re.search(r"Max core file size\s+(\S+)\s+(\S+)", limits).groups()}


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def system_call_of(pid):
    try:
        with open(f"/proc/{pid}/syscall") as stream:
            return stream.read().split()[0]
    except OSError:
        return ""

