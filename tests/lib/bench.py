"""A bench of sockets on a mocked machine, with software TPMs behind its ports."""

EMPTY = {"attestation": {"tpm": {"certificate": "optional"}}}


def port(number):
    return f"pci-0000:00:14.0-usb-0:{number}"


class Bench:
    """Sockets 1, 2, ... at ports 1, 2, ..., each reached by the TCTI of a software TPM."""

    def __init__(self, station, machine):
        self.station, self.machine = station, machine
        self.map = station.home / "sockets"
        station.env.update(machine.env, MUSTER_SOCKET_MAP=self.map)

    def write(self, tctis):
        self.write_lines(f"{port(number)}\t{number}\t{tcti}" for number, tcti in enumerate(tctis, 1))

    def write_lines(self, lines):
        self.map.write_text("".join(f"{line}\n" for line in lines))
        self.map.chmod(0o644)

    def muster(self, *arguments, **options):
        return self.station.muster(*arguments, **options)

    def provision(self, profile, *arguments, **options):
        return self.muster("provision", "--profile", profile, *self.station.common(), *arguments, **options)
