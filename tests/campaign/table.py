"""What the campaign ran in this tree so far, as a table: sizes of all runs of a part together, and how many were not as they should be."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.record import recorded

# Part, what it shows, and its sizes.
ROWS = [
    ("kill points", "killed at a system call and run again: none lost, doubled, orphaned or mended by hand", "{runs} runs, {killed} killed"),
    ("crash states", "disks as a power cut leaves them: none lost, none corrupt; each unsafe control caught",
     "{states} states, {unsafe_controls} controls"),
    ("ambiguity grid", "lost, late and damaged answers, with a rival", "{cells} cells"),
    ("faults", "system calls that fail", "{faults} faults"),
    ("allocations", "memory that runs out", "{faults} faults"),
    ("clock jumps", "wall clocks that jump", "{jumps} jumps"),
    ("soak", "two stations, one failing service, kills", "{devices} devices, {faulty} faulty operations, {killed} kills"),
    ("counters", "PIN tries and TPM lockout counts burnt", "{tokens} tokens, {chips} chips"),
    ("canaries", "secrets found anywhere; a build that does not wipe is caught", "{jobs} jobs, {controls} controls"),
    ("flips", "changed bits of a TPM's protected responses that were taken", "{bits} bits"),
    ("tampering", "edits, deletions, swaps, truncations of a journal, noticed by two verifiers", "{edits} edits"),
    ("mutants", "rules taken away, each noticed by a test", "{mutants} mutants"),
    ("fuzz", "findings of {targets} targets", "{executions_each} executions or more each"),
    ("coverage", "of the code by unit tests and stories", "{lines} % of lines, {branches} % of branches"),
]
# These are not added up.
LATEST = {"coverage"}
LATEST_SIZES = {"targets", "unsafe_controls"}


def together(part, rows):
    sizes = {}
    for row in rows[-1:] if part in LATEST else rows:
        for name, count in row["sizes"].items():
            sizes[name] = count if name in LATEST_SIZES or part in LATEST else sizes.get(name, 0) + count
    return sizes


class Blank(dict):
    def __missing__(self, name):
        return "0"


def main():
    parts = recorded()
    print("| | run | bad |\n|---|---|---|")
    for part, shows, words in ROWS:
        if part not in parts:
            print(f"| {shows.format_map(Blank())} | not run | |")
            continue
        sizes = Blank({name: f"{count:,}" for name, count in together(part, parts[part]).items()})
        print(f"| {shows.format_map(sizes)} | {words.format_map(sizes)} | {sum(row['bad'] for row in parts[part])} |")


if __name__ == "__main__":
    main()
