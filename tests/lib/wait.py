"""Waiting for something to be so, with a limit; never for a time to pass."""
import time


def wait_until(question, seconds=20, what="it"):
    limit = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > limit:
            raise TimeoutError(f"{what} did not happen within {seconds} s")
        time.sleep(0.01)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except OSError:
        return False
