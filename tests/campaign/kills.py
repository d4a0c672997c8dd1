"""Jobs of each kind are killed at one of their mutating system calls, and half of them again while they recover, up to three times.
Run once more, each ends with one verified enrollment, created once, and no orphan, by itself. `--runs 0`: every call once."""
import contextlib
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.emulator import Emulator
from lib.history import History
from lib.kill_jobs import DerivedKey, Hsm, HsmTwoKeys, Tpm, kill_at, points_to_kill_at
from lib.paths import RELEASE
from lib.software_token import SoftwareTokens
from lib.software_tpm import SoftwareTpm
from lib.station import Station
from part import Part

# How often a device is cut, drawn from these.
DEPTHS = [1, 1, 1, 2, 2, 3]


def make_hsm(station, directory, _):
    tokens = SoftwareTokens(directory / "softhsm")
    return Hsm(station, tokens, tokens.make("line-3"))


def make_two_keys(station, directory, _):
    tokens = SoftwareTokens(directory / "softhsm")
    return HsmTwoKeys(station, tokens, tokens.make("line-3"))


def make_tpm(station, directory, cleanup):
    tpm = SoftwareTpm(directory / "t").start()
    cleanup.callback(tpm.stop)
    return Tpm(station, tpm)


JOBS = {"derived-key": lambda station, *_: DerivedKey(station), "hsm": make_hsm, "two-keys": make_two_keys, "tpm": make_tpm}


@contextlib.contextmanager
def job_of(kind):
    """On a bench of its own, in memory: a kill tells nothing of disks."""
    with contextlib.ExitStack() as cleanup:
        directory = pathlib.Path(tempfile.mkdtemp(prefix="k", dir="/dev/shm"))
        cleanup.callback(shutil.rmtree, directory, ignore_errors=True)
        emulator = Emulator(directory / "dps", build=RELEASE)
        cleanup.callback(emulator.stop)
        yield JOBS[kind](Station(directory / "home", emulator, build=RELEASE), directory, cleanup)


def choose(part, points):
    every = [(kind, point) for kind, of_kind in points.items() for point in of_kind]
    if not part.options.runs:
        return [(kind, [point]) for kind, point in every]
    first = [part.generator.choice(every) for _ in range(part.options.runs)]
    return [(kind, [point, *part.generator.choices(points[kind], k=part.generator.choice(DEPTHS) - 1)]) for kind, point in first]


def kill(part, kind, chains):
    """(devices, kills, devices whose stand-in was lost)"""
    killed, runs = 0, []
    with job_of(kind) as job:
        for number, chain in enumerate(chains, 1):
            problem = None
            try:
                count, run = kill_at(job, f"kill-{number}", chain)
                killed += count
                runs.append(run)
            except AssertionError as error:
                problem = str(error)
            part.judge(f"{kind} {chain}", problem)
        if kind == "derived-key":
            part.judge("history", ", ".join(History([job.station], runs).problems()))
    return len(chains), killed, runs.count(None)


def main():
    part = Part("kill points", __doc__, runs=1000)
    points = {}
    for kind in JOBS:
        with job_of(kind) as job:
            points[kind] = points_to_kill_at(job)

    def lane(_, cells):
        return [kill(part, kind, chains) for kind in JOBS if (chains := [chain for of, chain in cells if of == kind])]

    done = [counts for counts_of_lane in part.side_by_side(choose(part, points), lane) for counts in counts_of_lane]
    runs, killed, broken = map(sum, zip(*done))
    part.judge("kills", None if killed >= runs // 2 else f"{killed} kills in {runs} runs")
    part.judge("stand-ins", None if broken <= 2 + runs // 50 else f"{broken} were lost")
    return part.finish(runs=runs, killed=killed, stand_ins_lost=broken)


if __name__ == "__main__":
    sys.exit(main())
