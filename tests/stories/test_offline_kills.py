"""Spooled and sent, and killed at any mutating system call on the way: at the end each device has one enrollment, the service
and the journal agree, and nothing is sent again. MUSTER_KILL_POINTS says how many points of each job are tried (a fifth
of it; default 40, in the long form 100)."""
import os

from lib.killer import choose, killer, points_of, recorder, was_killed
from lib.paths import IS_LONG

from test_offline import offline

WORKER_DIED = 4
POINTS = max((int(os.environ.get("MUSTER_KILL_POINTS", "100" if IS_LONG else "40")) or 10 ** 9) // 5, 1)
DERIVED = 4


def spool_through_kills(station, profile, serial, points, *hardware):
    """Cut at each point, then to its end."""
    killed = 0
    for point in points:
        killed += was_killed(offline(station, profile, serial, *hardware, wrapper=killer(*point)).status)
    done = offline(station, profile, serial, *hardware)
    assert (done.status, done.cause) == (6, "E5180"), done
    return done.json["registrationId"], killed


def assert_agreement(station, names):
    assert sorted(row["registrationId"] for row in station.service.enrollments()) == sorted(names)
    assert {name: row["state"] for name, row in station.rows().items()} == {name: "released" for name in names}
    for name in names:
        assert station.emulator.writes(name) == ["create"], name
        assert (station.out / f"{name}.evidence.json").exists()


def test_all_kinds_are_sent_once(release_station, tokens, token, make_tpm):
    station, tpm = release_station, make_tpm()
    station.env["SOFTHSM2_CONF"] = tokens.configuration
    derived, log = station.profile("derived-key"), station.home / "strace.log"

    names, killed = [spool_through_kills(station, derived, "kill-0", [])[0]], 0
    recorded = offline(station, derived, "kill-1", wrapper=recorder(log))
    assert recorded.status == 6, recorded
    names.append(recorded.json["registrationId"])
    spooling = choose(points_of(log), POINTS)
    for number in range(2, DERIVED):
        name, count = spool_through_kills(station, derived, f"kill-{number}", spooling[number - 2::DERIVED - 2])
        names, killed = [*names, name], killed + count
    # SoftHSM's token does not survive a kill in the middle of its own writing, so this one is cut only when it is sent.
    names.append(spool_through_kills(station, station.profile("hsm-x509"), "kill-x", [], "--token", token.uri, "--pin-file",
                                     token.pin_file)[0])
    names.append(spool_through_kills(station, station.profile("tpm"), "kill-t", [], "--tpm", tpm.tcti)[0])
    assert killed >= len(spooling) // 2
    tpm.stop()

    assert station.sync(names[0], wrapper=recorder(log)).status == 0
    sending = choose(points_of(log), POINTS)
    killed = sum(was_killed(station.sync(wrapper=killer(*point)).status) for point in sending)
    assert killed >= 3
    last = station.sync()
    assert last.status == 0, last
    assert_agreement(station, names)

    puts = station.emulator.requests("put")
    assert station.sync().json == []
    for number in range(DERIVED):
        again = station.provision(derived, f"kill-{number}")
        assert (again.status, again.json["state"]) == (0, "already enrolled"), again
    assert station.emulator.requests("put") == puts
