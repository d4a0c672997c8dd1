"""The rate budget against each way in which a service may count; the client is told none of them, only the quota."""
import concurrent.futures
import datetime
import json

import pytest

from lib.bulk import symmetric
from lib.emulator import Emulator
from lib.enrollment import EnrollmentDesk
from lib.paths import RELEASE
from lib.station import Station

MODELS = ("fixed", "sliding", "bucket")
QUOTA, WINDOW_S = 200, 12
DEVICES = 2000
LANES = 4


@pytest.fixture
def desks(tmp_path):
    made = []

    def make(name, *arguments):
        emulator = Emulator(tmp_path / f"dps-{name}", *arguments, build=RELEASE)
        made.append(emulator)
        return EnrollmentDesk(Station(tmp_path / f"home-{name}", emulator, build=RELEASE))

    yield make
    for emulator in made:
        emulator.stop()


def devices_file(desk, count, prefix="dev"):
    path = desk.home / f"{prefix}.jsonl"
    path.write_text("".join(json.dumps(symmetric(f"{prefix}-{number:05}")) + "\n" for number in range(count)))
    return path


def import_all(desk, path, *arguments, rate=f"{QUOTA}/{WINDOW_S}"):
    done = desk.run("import", path, "--rate", rate, *arguments, timeout=400)
    assert done.status == 0 and done.json["written"] == done.json["rows"], done
    return done


def moments(desk):
    """When each enrollment was created, in seconds; and that none was twice."""
    rows = [row for row in desk.emulator.ledger() if row["effect"] == "create"]
    assert len({row["id"] for row in rows}) == len(rows)
    return [datetime.datetime.fromisoformat(row["time"]).timestamp() for row in rows]


def refusals(desk):
    return [row for row in desk.emulator.ledger() if row["status"] == 429]


def import_under(desks, model, count):
    desk = desks(model, "--throttle", f"{model}:{QUOTA}/{WINDOW_S}:count={count}")
    import_all(desk, devices_file(desk, DEVICES))
    times = moments(desk)
    assert len(times) == DEVICES
    return max(times) - min(times), len(refusals(desk)), len(desk.emulator.requests("put"))


@pytest.mark.parametrize("count, windows", [("item", DEVICES / QUOTA - 1), ("call", 1)])
def test_two_thousand_in_the_least_time(desks, count, windows):
    """By items nine windows must pass before the tenth has room for the last, and singles do as well as bulks; by calls all fit
    into the first."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda model: import_under(desks, model, count), MODELS))
    for model, (seconds, refused, singles) in zip(MODELS, results):
        assert seconds <= windows * WINDOW_S * 1.05, (model, seconds, results)
        assert refused <= (LANES if count == "item" else 0), (model, refused, results)
        assert singles == 0 if count == "call" else singles >= DEVICES - QUOTA - 10 * LANES, (model, singles, results)


@pytest.mark.parametrize("option, operation", [("--bulk", "bulk"), ("--single", "put")])
def test_the_form_may_be_given(desks, option, operation):
    """Whatever the budget would favour."""
    desk = desks(operation, "--throttle", "sliding:50/2:count=item")
    import_all(desk, devices_file(desk, 120), option, rate="50/2")
    assert {row["op"] for row in desk.emulator.ledger() if row["effect"] == "create"} == {operation}


def test_processes_share_the_budget(desks):
    """Three at once, each of which alone would fill the quota: nobody is refused."""
    desk = desks("shared", "--throttle", f"sliding:{QUOTA}/{WINDOW_S}")
    files = [devices_file(desk, 130, prefix) for prefix in ("red", "green", "blue")]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(lambda path: import_all(desk, path, "--single"), files))
    assert len(moments(desk)) == 390
    assert refusals(desk) == []
