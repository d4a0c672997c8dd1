"""Jobs that are killed at their system calls and run again. Each knows how it is run, what is put back before it, and what must hold
when it came to its end: one verified enrollment, created once, and no orphan."""
import shutil

from lib.killer import go_on, killer, points_of, recorder, was_killed

WORKER_DIED = 4


class DerivedKey:
    def __init__(self, station):
        self.station = station
        self.profile = station.profile("derived-key")

    def run(self, serial, wrapper=()):
        return self.station.provision(self.profile, serial, wrapper=wrapper)

    def go_on(self, serial):
        """The run that is left alone."""
        return self.run(serial)

    def reset(self):
        """Before each device."""

    def is_broken(self):
        """A kill may also hit the stand-in in the middle of its own bookkeeping: is nothing left to work with?"""
        return False

    def check(self, run):
        registration_id = run.json["registrationId"]
        assert self.station.service.enrollment(registration_id), run
        effects = self.station.emulator.effects("put", registration_id)
        assert [row["effect"] for row in effects] == ["create"], (effects, run)


class Hsm(DerivedKey):
    """SoftHSM rewrites its own token object in place; a kill right there loses the whole token, whoever uses it."""

    # What is wanted beside the example profile, and the labels of the keys that come of it.
    changes, labels = {}, ("{}",)

    def __init__(self, station, tokens, token):
        super().__init__(station)
        self.tokens, self.token = tokens, token
        self.profile = station.profile("hsm-x509", {"attestation": {"x509": self.changes}})
        self.saved = tokens.save()
        station.env["SOFTHSM2_CONF"] = tokens.configuration

    def run(self, serial, wrapper=()):
        return self.station.provision(self.profile, serial, "--token", self.token.uri, "--pin-file", self.token.pin_file,
                                      wrapper=wrapper)

    def go_on(self, serial):
        return go_on(lambda: self.run(serial), lambda: self.station.muster("hsm", "acknowledge", self.token.uri))

    def reset(self):
        self.tokens.restore(self.saved)

    def is_broken(self):
        return self.token.is_lost()

    def check(self, run):
        super().check(run)
        name = run.json["registrationId"]
        for kind in ("privkey", "pubkey", "cert"):
            assert sorted(self.token.objects(kind)) == [label.format(name) for label in self.labels], (kind, run)
        audit = self.station.muster("hsm", "audit", self.token.uri, "--pin-file", self.token.pin_file, "--journal",
                                    self.station.journal, "-o", "json")
        # The devices before this one had a token that was put back since.
        assert all(row["finding"] == "key-missing" and row["label"] != name for row in audit.json["findings"]), audit


class HsmTwoKeys(Hsm):
    """The secondary certificate has a key of its own."""
    changes, labels = {"secondaryKey": "own"}, ("{}", "{}+secondary")


class Tpm(DerivedKey):
    """The same empty chip each time: its state, the enrollment and the journal are put back."""

    def __init__(self, station, empty_tpm):
        super().__init__(station)
        self.tpm, self.seen = empty_tpm, 0
        self.profile = station.profile("tpm", {"attestation": {"tpm": {"certificate": "optional"}}})
        empty_tpm.stop()
        self.factory_state = empty_tpm.save()
        empty_tpm.start()

    def run(self, serial, wrapper=()):
        return self.station.provision(self.profile, serial, "--tpm", self.tpm.tcti, wrapper=wrapper)

    def reset(self):
        self.tpm.stop()
        self.tpm.restore(self.factory_state)
        self.tpm.start()
        for row in self.station.service.enrollments():
            self.station.service.delete(row["registrationId"])
        for path in self.station.home.glob("journal.db*"):
            path.unlink()
        shutil.rmtree(self.station.out, ignore_errors=True)
        self.seen = len(self.station.emulator.effects("put"))

    def check(self, run):
        effects = self.station.emulator.effects("put")[self.seen:]
        assert [row["effect"] for row in effects] == ["create"], (effects, run)
        assert len(self.station.service.enrollments()) == 1, run
        assert self.tpm.loaded() == [], run


def points_to_kill_at(job):
    log = job.station.home / "strace.log"
    recorded = job.run("kill-0", recorder(log))
    assert recorded.status == 0, recorded
    return points_of(log)


def kill_at(job, serial, points):
    """One device whose runs are cut at these points, one run after the other, and then left alone:
    (how many were cut, the last run or None when there was nothing left to work with)."""
    job.reset()
    killed = 0
    for point in points:
        cut = job.run(serial, killer(*point))
        killed += was_killed(cut.status) or cut.status == WORKER_DIED
        if job.is_broken():
            return killed, None
    again = job.go_on(serial)
    assert again.status == 0, (points, again)
    assert again.json["verified"] is True, (points, again)
    job.check(again)
    return killed, again
