"""The commands about enrollments, against a station's service."""


class EnrollmentDesk:
    def __init__(self, station):
        self.station = station
        self.home = station.home

    @property
    def emulator(self):
        return self.station.emulator

    @property
    def service(self):
        return self.station.service

    def restart(self, *arguments):
        """With other faults; the log of requests begins anew."""
        self.emulator.stop()
        self.emulator.ledger_file.unlink(missing_ok=True)
        self.emulator.start(*arguments)
        self.station.renew_login()

    def login(self):
        return ["--login-file", self.station.login_file, "--ca-file", self.emulator.ca_file]

    def run(self, verb, *arguments, noun="enrollment", **options):
        return self.station.muster(noun, verb, *arguments, *self.login(), **options)
