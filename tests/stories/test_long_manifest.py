"""A manifest that is longer than what memory has room for: what comes twice is found all the same, at the same places."""
import pytest

from lib.batch import manifest, serials
from lib.bulk import run_measured
from lib.paths import RELEASE

ROWS = 120_000
RESIDENT_MAX_KIB = 20 * 1024


@pytest.fixture
def check(release_station):
    """Checks the manifest of these serials, and whether memory stays small; standard error."""
    station = release_station
    profile = station.profile("derived-key", {"batch": {"lookAlikes": "refuse"}})

    def run(names):
        path = manifest(station, names)
        words = ["provision", "--profile", profile, "--manifest", path, *station.common(), "--dry-run"]
        done = station.muster(*words)
        status, resident = run_measured(RELEASE, station.home, station.home / "rows", *words)
        assert status == done.status and resident < RESIDENT_MAX_KIB, resident
        return done

    return run


def test_nothing_comes_twice(check):
    """One mistake of another kind ends it before the service is asked."""
    done = check([*serials(ROWS), "SN\t1"])
    assert done.status == 2 and "1 mistake;" in done.stderr and f"devices.csv:{ROWS + 2}:1: " in done.stderr, done


def test_what_comes_twice_is_found(check):
    done = check([*serials(ROWS), "SN-00000", "sn-71234", "SN-7l234", "SN-119999"])
    assert done.status == 2, done
    for line, words in ((ROWS + 2, "serial 'SN-00000' is in line 2 already"),
                        (ROWS + 3, "serial 'sn-71234' differs only by letter case from the one in line 71236"),
                        (ROWS + 4, "serial 'SN-7l234' looks like the one in line 71236: 0 and O, or 1, l and I"),
                        (ROWS + 5, f"serial 'SN-119999' is in line {ROWS + 1} already")):
        assert f"devices.csv:{line}:1: " in done.stderr and words in done.stderr, done
    assert "4 mistakes" in done.stderr, done
