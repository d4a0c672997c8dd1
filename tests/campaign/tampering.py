"""Edits, deletions, swaps and truncations of a journal's export, some of them with digests that fit: muster and the verifier that shares
no code with it notice each, and agree. Each edit is made by a seed of its own."""
import pathlib
import random
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.tampering import LoadedRecord, Record, edit
from part import Part

DEVICES, CHECKPOINTS = 80, 4


def main():
    part = Part("tampering", __doc__, edits=10000)
    with tempfile.TemporaryDirectory() as name:
        original = Record(pathlib.Path(name), DEVICES, CHECKPOINTS)
        part.judge("nothing", "is noticed" if original.is_noticed(original.exports[-1]) else None)

        def lane(_, numbers):
            record = LoadedRecord(original)
            try:
                for number in numbers:
                    attack, content = edit(random.Random(f"{part.options.seed} {number}"), record.lines)
                    part.judge(f"{attack} {number}", None if record.is_noticed(content) else "was not noticed")
            finally:
                record.server.stop()

        part.side_by_side(range(part.options.edits), lane)
    return part.finish(edits=part.options.edits)


if __name__ == "__main__":
    sys.exit(main())
