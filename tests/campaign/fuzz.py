"""Runs every fuzz target for a while and says how fast it was. A finding, or fewer than 1,000 executions a second, fails.
Findings lie in BUILD/findings/TARGET; run the target with such a file as its argument to see it again."""
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from part import Part

CORPUS = pathlib.Path(__file__).resolve().parent.parent / "fuzz" / "corpus"


def targets(build):
    return sorted(path for path in (build / "tests/fuzz").glob("fuzz-*") if path.is_file() and path.suffix == "")


def number(name, log):
    found = re.search(rf"stat::{name}:\s+(\d+)", log)
    return int(found.group(1)) if found else 0


def run(part, target, seconds):
    """How often the target was run."""
    name = target.name.removeprefix("fuzz-")
    findings = target.parent.parent.parent / "findings" / name
    findings.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as grown:
        done = subprocess.run(
            [target, f"-max_total_time={seconds}", f"-seed={part.options.seed}", "-print_final_stats=1", "-timeout=10", "-rss_limit_mb=2048",
             f"-artifact_prefix={findings}/", grown, CORPUS / name],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=seconds + 300)
    executions = number("number_of_executed_units", done.stdout)
    rate = number("average_exec_per_sec", done.stdout)
    print(f"{name:24} {executions:>12,} executions {rate:>8,}/s", flush=True)
    if done.returncode != 0 or executions == 0:
        part.judge(name, done.stdout[-4000:])
    else:
        part.judge(name, f"{rate} executions a second" if rate < part.options.rate_floor else None)
    return executions


class Fuzz(Part):
    def more_options(self, parser):
        parser.add_argument("--build", type=pathlib.Path, required=True)


def main():
    part = Fuzz("fuzz", __doc__, seconds=60, total=0, rate_floor=1000)
    options = part.options
    found = targets(options.build)
    seconds = max(1, options.total // max(1, len(found))) if options.total else options.seconds
    print(f"{len(found)} targets, {seconds} s each", flush=True)
    executions = [run(part, target, seconds) for target in found]
    return part.finish(targets=len(found), executions_each=min(executions, default=0))


if __name__ == "__main__":
    sys.exit(main())
