import collections
import pathlib
import shutil
import signal
import tempfile

import pytest
import yaml

from lib.emulator import Emulator
from lib.enrollment import Certificates, EnrollmentDesk
from lib.paths import BUILD, RELEASE
from lib.program import SANITIZER_REPORT
from lib.record import record
from lib.soft_modules import MAKERS
from lib.software_token import SoftwareTokens
from lib.software_tpm import SoftwareTpm
from lib.station import Station


# Chips and tokens whose counters were looked at when their story was over.
watched = collections.Counter()


def pytest_sessionstart():
    """Whoever started the stories in the background ignores signals that they send to muster."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_collection_modifyitems(items):
    """Those that take minutes begin first, so that others run beside them to the end."""
    items.sort(key=lambda item: item.path.stem not in ("test_bulk_throttle", "test_kills", "test_outage"))


def pytest_sessionfinish(session):
    if watched:
        record("counters", 0, 0, dict(watched))


@pytest.fixture
def short():
    """A directory with a short name: sockets lie here."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="m", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def tmpfs():
    path = pathlib.Path(tempfile.mkdtemp(prefix="muster", dir="/dev/shm" if pathlib.Path("/dev/shm").is_dir() else "/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def tpm_ca(tmp_path_factory):
    """The local CA of swtpm; its first certificate takes a second, so all stories share it."""
    return tmp_path_factory.mktemp("tpm-ca")


@pytest.fixture(scope="session")
def new_chips(tmp_path_factory, tpm_ca):
    """Chips as they left their maker, who takes his time: the nth of a story is a copy of the nth of these."""
    made = {}

    def chip(number, with_certificate):
        if (number, with_certificate) not in made:
            directory = tmp_path_factory.mktemp("chip")
            made[number, with_certificate] = SoftwareTpm(directory, tpm_ca if with_certificate else None)
        return made[number, with_certificate]

    return chip


@pytest.fixture
def make_tpm(short, new_chips):
    made = []

    def make(name="t", with_certificate=True):
        tpm = SoftwareTpm(short / name, like=new_chips(len(made), with_certificate)).start()
        made.append(tpm)
        return tpm

    yield make
    counters = [tpm.lockout_counter() for tpm in made if tpm.answers()]
    for tpm in made:
        tpm.stop()
    watched["chips"] += len(counters)
    assert not any(counters), f"authorisations were refused by {counters}"


@pytest.fixture
def tpm(make_tpm):
    """Persisted EKs with certificates, as a maker delivers them."""
    return make_tpm()


@pytest.fixture
def empty_tpm(make_tpm):
    return make_tpm("e", with_certificate=False)


@pytest.fixture
def tokens(request, tmpfs):
    """No story burns a PIN's try but those that say so."""
    tokens = SoftwareTokens(tmpfs / "softhsm")
    yield tokens
    if not request.node.get_closest_marker("refuses_a_pin"):
        burnt = [token.label for token in tokens.made if token.tries_were_burnt()]
        watched["tokens"] += len(tokens.made)
        assert not burnt, f"tries of {burnt} were burnt"


@pytest.fixture
def token(tokens):
    return tokens.make("line-3")


def build_of_emulator(request):
    """Sanitizers look at it in stories of its own; in others it is quick."""
    return BUILD if request.path.stem.startswith("test_emulator") else RELEASE


@pytest.fixture
def make_emulator(request, tmp_path):
    made = []

    def make(*arguments, name="dps", build=None, wrapper=()):
        emulator = Emulator(tmp_path / name, *arguments, build=build or build_of_emulator(request), wrapper=wrapper)
        made.append(emulator)
        return emulator

    yield make
    logs = [emulator.stop() for emulator in made]
    for log in logs:
        assert not SANITIZER_REPORT.search(log), log


@pytest.fixture(scope="module")
def make_shared_emulator(request, tmp_path_factory):
    """For tables of many rows that need a service and do not get into each other's way."""
    made = []

    def make(*arguments):
        emulator = Emulator(tmp_path_factory.mktemp("shared") / "dps", *arguments, build=build_of_emulator(request))
        made.append(emulator)
        return emulator

    yield make
    for emulator in made:
        log = emulator.stop()
        assert not SANITIZER_REPORT.search(log), log


@pytest.fixture
def emulator(make_emulator):
    return make_emulator()


@pytest.fixture
def station(tmp_path, emulator):
    return Station(tmp_path / "home", emulator)


@pytest.fixture
def release_station(tmp_path, make_emulator):
    """For kills, memory and limits: ASan makes mlock a no-op and slows every start."""
    return Station(tmp_path / "home", make_emulator(build=RELEASE), build=RELEASE)


@pytest.fixture
def hsm_station(station, tokens):
    station.env["SOFTHSM2_CONF"] = tokens.configuration
    return station


@pytest.fixture
def desk(station):
    """Whose service writes down what it was sent."""
    made = EnrollmentDesk(station)
    made.restart("--ledger-bodies")
    return made


@pytest.fixture
def certificates(tmp_path):
    return Certificates(tmp_path / "certificates")


@pytest.fixture
def module(request, short, tmpfs):
    """Of MAKERS: a token that nobody has initialised yet."""
    maker = MAKERS[request.param]
    made = maker(short if maker.hides_tmpfs else tmpfs)
    yield made
    made.stop()


@pytest.fixture
def bench(request, module, tmp_path, emulator):
    """A station with that module alone, whose token muster has initialised. A parameter is another build."""
    station = Station(tmp_path / "home", emulator, getattr(request, "param", None))
    configuration = station.home / "muster.yaml"
    configuration.write_text(yaml.safe_dump({"modules": {module.name: module.entry}}))
    station.env["MUSTER_CONFIG"] = configuration
    station.wrapper = module.wrapper
    station.module = module
    made = station.muster("hsm", "init", module.fresh_uri, "--any-module", "--label", module.label, "--so-pin-file",
                          module.so_pin_file, "--pin-file", module.pin_file)
    assert made.status == 0, made
    return station
