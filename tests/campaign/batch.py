"""A manifest of many devices, one operation in ten fails, and the station is killed again and again: in the end service, journal
and manifest agree to the last row, and a second run of the whole sends nothing. With --offline the devices are spooled first, and then
sent by sync."""
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib.batch import OfflineOrdeal, Ordeal
from lib.emulator import Emulator
from lib.paths import RELEASE
from lib.station import Station
from part import Part


class BatchPart(Part):
    def more_options(self, parser):
        parser.add_argument("--offline", action="store_true")


def main():
    part = BatchPart("batch offline" if "--offline" in sys.argv else "batch", __doc__, devices=10000, kills=200)
    with tempfile.TemporaryDirectory() as name:
        emulator = Emulator(pathlib.Path(name) / "dps", build=RELEASE)
        try:
            station = Station(pathlib.Path(name) / "home", emulator, build=RELEASE)
            way = OfflineOrdeal if part.options.offline else Ordeal
            ordeal = way(station, part.options.devices, part.options.kills, part.generator)
            ordeal.run()
            part.judge("history", "\n".join(list(ordeal.problems())[:50]))
            ledger = emulator.ledger()
        finally:
            emulator.stop()
    return part.finish(devices=part.options.devices, runs=len(ordeal.runs), killed=ordeal.killed, operations=len(ledger),
                       faulty=sum(1 for row in ledger if row["fault"]))


if __name__ == "__main__":
    sys.exit(main())
