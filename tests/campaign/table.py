"""What the campaign ran, as a table: sizes of all runs of a part together, and how many were not as they should be. Of this tree, or
with --all of the record that is kept."""
import collections
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.record import HERE, KEPT, recorded

# Part, what it shows, and its sizes.
ROWS = [
    ("kill points", "killed at a system call and run again: none lost, doubled, orphaned or mended by hand", "{runs} runs, {killed} killed"),
    ("crash states", "disks as a power cut leaves them: none lost, none corrupt; each unsafe control caught",
     "{states} states, {unsafe_controls} controls"),
    ("ambiguity grid", "lost, late and damaged answers, with a rival", "{cells} runs of {possible} cells"),
    ("ambiguity grid of verbs", "the same for creates, updates, deletions, imports, manifests and lists", "{cells} runs of {possible} cells"),
    ("faults", "system calls that fail", "{faults} runs of {possible} faults"),
    ("allocations", "memory that runs out", "{faults} runs of {possible} faults"),
    ("torture", "calls of the C library that fail, once on each way to them, under every story", "{calls} calls"),
    ("clock jumps", "wall clocks that jump", "{jumps} runs of {possible} jumps"),
    ("soak", "two stations, one failing service, kills", "{devices} devices, {faulty} faulty operations, {killed} kills"),
    ("batch", "a manifest, a failing service, kills", "{devices} devices, {faulty} faulty operations, {killed} kills"),
    ("batch offline", "the same, spooled first and then sent", "{devices} devices, {faulty} faulty operations, {killed} kills"),
    ("counters", "PIN tries and TPM lockout counts burnt", "{tokens} tokens, {chips} chips"),
    ("canaries", "secrets found anywhere; a build that does not wipe is caught", "{jobs} jobs, {controls} controls"),
    ("flips", "changed bits of a TPM's protected responses that were taken", "{bits} bits"),
    ("tampering", "edits, deletions, swaps, truncations of a journal, noticed by two verifiers", "{edits} edits"),
    ("tampered bytes", "flipped bits of a small journal and its export, noticed or of no consequence", "{bytes} of {possible} bytes"),
    ("mutants", "rules taken away, each noticed by a test", "{mutants} runs of {possible} mutants"),
    ("fuzz", "findings of {targets} targets", "{executions_each} executions or more each, {under_asan_each} of them with ASan"),
    ("coverage", "of the code by unit tests, stories, and failing calls under them", "{lines} % of lines, {branches} % of branches"),
]
# These are not added up.
LATEST = {"coverage"}
LATEST_SIZES = {"unsafe_controls", "possible"}


def together_of_each(rows):
    """Of the target that has the least."""
    totals = collections.defaultdict(collections.Counter)
    for row in rows:
        totals[row["of"]].update(row["sizes"])
    return {"targets": len(totals), **{f"{size}_each": min(total[size] for total in totals.values()) for size in rows[0]["sizes"]}}


def together(part, rows):
    if "of" in rows[0]:
        return together_of_each(rows)
    sizes = {}
    for row in rows[-1:] if part in LATEST else rows:
        for name, count in row["sizes"].items():
            sizes[name] = count if name in LATEST_SIZES or part in LATEST else sizes.get(name, 0) + count
    return sizes


class Blank(dict):
    def __missing__(self, name):
        return "0"


def main():
    parts = recorded(KEPT if "--all" in sys.argv[1:] else HERE)
    print("| | run | bad |\n|---|---|---|")
    for part, shows, words in ROWS:
        if part not in parts:
            print(f"| {shows.format_map(Blank())} | not run | |")
            continue
        sizes = Blank({name: f"{count:,}" for name, count in together(part, parts[part]).items()})
        print(f"| {shows.format_map(sizes)} | {words.format_map(sizes)} | {sum(row['bad'] for row in parts[part])} |")


if __name__ == "__main__":
    main()
