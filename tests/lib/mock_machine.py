"""A mocked machine whose TPMs come and go: muster sees it, its workers do not."""
import pathlib
import subprocess

from lib.paths import build_of_story, is_sanitized


def sanitizer_library(build):
    """It has to be loaded first."""
    if not is_sanitized(build):
        return []
    done = subprocess.run(["gcc", "-print-file-name=libasan.so"], check=True, text=True, stdout=subprocess.PIPE)
    return [done.stdout.strip()]


class MockMachine:
    def __init__(self, build=None):
        build = build or build_of_story()
        umockdev = "libumockdev-preload.so.0"
        self.process = subprocess.Popen([build / "tests/mock-machine"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={"PATH": "/usr/bin:/bin", "ASAN_OPTIONS": "detect_leaks=0",
                                             "LD_PRELOAD": " ".join([*sanitizer_library(build), umockdev])})
        keep = build / "tests/keep-mock.so"
        self.env = {"UMOCKDEV_DIR": self.process.stdout.readline().strip(),
                    "LD_PRELOAD": " ".join([*sanitizer_library(build), str(keep), umockdev])}
        assert self.env["UMOCKDEV_DIR"], "mock-machine did not start"

    def tell(self, *words):
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "ok\n", words

    def plug(self, number, path=None, port="usb"):
        self.tell("plug", number, port, *([path] if path else []))

    def unplug(self, number):
        self.tell("unplug", number)

    def lose_events(self, count):
        """So many of those that come now do not reach muster, which is told that some were lost."""
        pathlib.Path(self.env["UMOCKDEV_DIR"], "lost-events").write_text(str(count))

    def stop_udevd(self):
        pathlib.Path(self.env["UMOCKDEV_DIR"], "no-udevd").touch()

    def end(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)
