"""What the parts of the campaign share: options, verdicts, and a line in the record."""
import argparse
import concurrent.futures
import json
import pathlib
import random
import tempfile

from lib.record import next_seed, record

# Cells wait for services and disks more than they compute.
LANES = 4


class Part:
    """One run of one part. Options are its sizes: name=default; `--count 0` means all."""

    def __init__(self, name, description, **sizes):
        parser = argparse.ArgumentParser(description=description)
        for option, default in sizes.items():
            parser.add_argument(f"--{option.replace('_', '-')}", type=int, default=default)
        parser.add_argument("--seed", type=int, default=next_seed(name))
        parser.add_argument("--results", type=pathlib.Path)
        self.more_options(parser)
        self.name = name
        self.options = parser.parse_args()
        self.generator = random.Random(self.options.seed)
        self.rows = []

    def more_options(self, parser):
        """For a part that has some."""

    def choose(self, cells):
        """So many as --count says, by the seed."""
        count = self.options.count
        return self.generator.sample(cells, min(count, len(cells))) if count else list(cells)

    def side_by_side(self, cells, lane):
        """`lane(directory, cells)` with a share of the cells each; what the lanes return."""
        def run(share):
            with tempfile.TemporaryDirectory() as directory:
                return lane(pathlib.Path(directory), share)

        shares = [share for number in range(LANES) if (share := cells[number::LANES])]
        with concurrent.futures.ThreadPoolExecutor(LANES) as pool:
            return list(pool.map(run, shares))

    def judge(self, name, problem, details=()):
        """One thing that was tried: `problem` is None or "" when it is as it should be."""
        self.rows.append({"name": f"{self.name}: {name}", "result": "FAIL" if problem else "OK"})
        if problem:
            print(f"BAD {name}: {problem}", *map(repr, details), sep="\n", flush=True)

    def finish(self, **sizes):
        """Says what was run, writes it down, and returns the exit status."""
        bad = sum(row["result"] != "OK" for row in self.rows)
        words = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in sizes.items())
        print(f"{self.name}: {words}; {bad} bad, seed {self.options.seed}")
        self.write(bad if self.rows else 1, sizes)
        if self.options.results:
            self.options.results.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
        return 0 if self.rows and bad == 0 else 1

    def write(self, bad, sizes):
        if "possible" in sizes:
            sizes["rounds"] = int(next(iter(sizes.values())) == sizes["possible"])
        record(self.name, bad, self.options.seed, sizes)
