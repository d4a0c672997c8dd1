"""Runs fuzz targets, for a while each or so many times. A finding, or fewer executions a second than the floor, fails. Findings lie
in BUILD/findings/TARGET; run the target with such a file as its argument to see it again.

With --runs most executions are those of an optimised build, in which undefined behaviour traps; one in twenty is of the build with
ASan, which begins with every input that the others found worth keeping."""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.record import record
from part import Part

CORPUS = pathlib.Path(__file__).resolve().parent.parent / "fuzz" / "corpus"
UNDER_ASAN = 20
SECONDS, SECONDS_OF_RUNS = 60, 80 * 60


def targets(build):
    return sorted(path.name.removeprefix("fuzz-") for path in (build / "tests/fuzz").glob("fuzz-*")
                  if path.is_file() and path.suffix == "")


def number(name, log):
    found = re.search(rf"stat::{name}:\s+(\d+)", log)
    return int(found.group(1)) if found else 0


def run_counted(command):
    """(exit status, output, seconds that a processor had to do with it)"""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, output, usage.ru_utime + usage.ru_stime


class Fuzz(Part):
    def more_options(self, parser):
        parser.add_argument("--build", type=pathlib.Path, required=True)
        parser.add_argument("--fast-build", type=pathlib.Path)
        parser.add_argument("names", nargs="*")

    def directory(self, kind, name):
        path = self.options.build / kind / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def execute(self, build, name, *limits):
        """(executions, problem, executions in a second of a processor). The limits hold on a machine that has much else to do."""
        status, output, seconds = run_counted(
            [build / f"tests/fuzz/fuzz-{name}", *limits, f"-seed={self.options.seed}", "-print_final_stats=1", "-timeout=60",
             "-rss_limit_mb=2048", f"-artifact_prefix={self.directory('findings', name)}/", self.directory("grown", name),
             CORPUS / name])
        executions = number("number_of_executed_units", output)
        problem = output[-4000:] if status != 0 or executions == 0 else None
        return executions, problem, int(executions / max(seconds, 0.01))

    def write(self, bad, sizes):
        """Each target was written down when it was done."""

    def run(self, name):
        options = self.options
        limit = f"-max_total_time={options.seconds or (SECONDS_OF_RUNS if options.runs else SECONDS)}"
        if options.runs:
            under_asan = options.runs // UNDER_ASAN
            fast, problem, rate = self.execute(options.fast_build, name, f"-runs={options.runs - under_asan}", limit)
            asan, problem_under_asan, _ = self.execute(options.build, name, f"-runs={under_asan}", limit)
        else:
            fast, problem = 0, None
            asan, problem_under_asan, rate = self.execute(options.build, name, limit)
        print(f"{name:24} {fast + asan:>12,} executions, {asan:>10,} of them with ASan {rate:>8,}/s", flush=True)
        problem = problem or problem_under_asan or (f"{rate} executions a second" if rate < options.rate_floor else None)
        self.judge(name, problem)
        record(self.name, int(problem is not None), options.seed, {"executions": fast + asan, "under_asan": asan}, of=name)
        return fast + asan


def main():
    part = Fuzz("fuzz", __doc__, seconds=0, total=0, runs=0, rate_floor=1000)
    options = part.options
    names = options.names or targets(options.build)
    if options.total:
        options.seconds = max(1, options.total // max(1, len(names)))
    # One for each processor: none waits for anything.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        executions = list(pool.map(part.run, names))
    return part.finish(targets=len(names), executions_each=min(executions, default=0))


if __name__ == "__main__":
    sys.exit(main())
