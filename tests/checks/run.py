"""Runs every check beside this file. A check is a program that says what is wrong and then exits non-zero."""
import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def run_check(path):
    runner = [sys.executable, "-B", str(path)] if path.suffix == ".py" else ["bash", str(path)]
    try:
        done = subprocess.run(runner, cwd=HERE.parent.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", timeout=600)
    except subprocess.TimeoutExpired:
        return "TIMEOUT", "took more than 600 s\n"
    return ("OK" if done.returncode == 0 else "FAIL"), done.stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    rows = []
    paths = {path.stem.removeprefix("check-"): path for path in sorted(HERE.glob("check-*"))}
    names = [name for name in paths if not arguments.names or name in arguments.names]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, (result, output) in zip(names, pool.map(lambda name: run_check(paths[name]), names)):
            print(f"{result:7} {name}", flush=True)
            if result != "OK":
                print(output, flush=True)
            rows.append({"name": name, "result": result})
    if arguments.results:
        arguments.results.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return 0 if rows and all(row["result"] == "OK" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
