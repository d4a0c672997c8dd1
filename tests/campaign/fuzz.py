"""Runs every fuzz target for a while and says how fast it was. A finding, or fewer than 1,000 executions a second, fails.
Findings lie in BUILD/findings/TARGET; run the target with such a file as its argument to see it again."""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

CORPUS = pathlib.Path(__file__).resolve().parent.parent / "fuzz" / "corpus"


def targets(build):
    return sorted(path for path in (build / "tests/fuzz").glob("fuzz-*") if path.is_file() and path.suffix == "")


def number(name, log):
    found = re.search(rf"stat::{name}:\s+(\d+)", log)
    return int(found.group(1)) if found else 0


def run(target, seconds, seed, rate_floor):
    name = target.name.removeprefix("fuzz-")
    findings = target.parent.parent.parent / "findings" / name
    findings.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as grown:
        done = subprocess.run(
            [target, f"-max_total_time={seconds}", f"-seed={seed}", "-print_final_stats=1", "-timeout=10", "-rss_limit_mb=2048",
             f"-artifact_prefix={findings}/", grown, CORPUS / name],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=seconds + 300)
    executions = number("number_of_executed_units", done.stdout)
    rate = number("average_exec_per_sec", done.stdout)
    is_good = done.returncode == 0 and executions > 0 and rate >= rate_floor
    print(f"{name:24} {executions:>12,} executions {rate:>8,}/s  {'good' if is_good else 'BAD'}", flush=True)
    if done.returncode != 0:
        print(done.stdout[-4000:], flush=True)
    return {"name": name, "result": "OK" if is_good else "FAIL", "executions": executions, "rate": rate}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--total", type=int, help="seconds for all targets together, in place of --seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate-floor", type=int, default=1000, help="executions a second; 0: do not judge")
    parser.add_argument("--results", type=pathlib.Path)
    arguments = parser.parse_args()
    found = targets(arguments.build)
    seconds = max(1, arguments.total // max(1, len(found))) if arguments.total else arguments.seconds
    print(f"{len(found)} targets, {seconds} s each, seed {arguments.seed}", flush=True)
    rows = [run(target, seconds, arguments.seed, arguments.rate_floor) for target in found]
    if arguments.results:
        arguments.results.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return 0 if rows and all(row["result"] == "OK" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
