"""What is going to be provisioned is approved by other people first, and nothing is begun without them."""
import base64
import json
import os
import pathlib
import re
import signal
import subprocess

import pytest

from lib.approvals import Person, digest_of, grant, masters, plan, write
from lib.batch import manifest, provision, restart, serials
from lib.paths import RELEASE
from lib.program import environment
from lib.wait import wait_until
from test_retire import retire

HOURS_APART = 0.2  # more than the five minutes that clocks may differ

# The system's own configuration, without touching this machine's.
ETC = """
for name in passwd group nsswitch.conf ld.so.cache hosts ssl; do
	[ ! -e "/etc/$name" ] || cp -a "/etc/$name" "$1/"
done
mount --bind "$1" /etc
shift
exec "$@"
"""


class Ceremony:
    """A station that wants two approvals: of Carol, Dave and Erin; Alice may only ask."""

    def __init__(self, station):
        self.station, self.folder, home = station, station.home, station.home
        self.alice, self.carol, self.dave, self.erin, self.mallory = (
            Person(home, name) for name in ("alice", "carol", "dave", "erin", "mallory"))
        self.keys("approvers.pem", self.carol, self.dave, self.erin)
        self.keys("requesters.pem", self.alice)
        self.demand(2)
        self.profile = station.profile("derived-key")
        self.manifest = manifest(station, serials(3))
        self.file = home / "plan.json"

    def keys(self, name, *people):
        (self.folder / name).write_text("".join(f"{person.name}:\n{person.public.read_text()}" for person in people))

    def demand(self, needed):
        path = self.folder / "muster.yaml"
        path.write_text(f"approvals: {{needed: {needed}, approvers: approvers.pem, requesters: requesters.pem}}\n")
        self.station.env["MUSTER_CONFIG"] = path

    def install(self, etc):
        """What the system demands instead of who runs it."""
        (etc / "muster").mkdir(parents=True)
        for name in ("approvers.pem", "requesters.pem", "muster.yaml"):
            (self.folder / name).rename(etc / "muster" / name)
        self.folder = etc / "muster"
        del self.station.env["MUSTER_CONFIG"]
        self.station.wrapper = ["unshare", "--mount", "sh", "-ec", ETC, "sh", etc]
        return self

    def ask(self, person=None, *arguments, profile=None, path=None):
        return self.station.muster("approval", "request", self.file, "--profile", profile or self.profile, "--manifest",
                                   path or self.manifest, "--key", (person or self.alice).key, "--operator",
                                   (person or self.alice).name, "-o", "json", *arguments)

    def grant(self, person, *arguments):
        """With the words that are shown, unless there are others."""
        arguments = arguments if "--words" in arguments else (*arguments, "--words", self.words())
        return self.station.muster("approval", "grant", self.file, "--key", person.key, "--operator", person.name, "-o", "json",
                                   *arguments)

    def show(self):
        done = self.station.muster("approval", "show", self.file, "-o", "json")
        assert done.status == 0, done
        return done.json

    def words(self):
        return self.show()["words"]

    def approved(self):
        for done in (self.ask(), self.grant(self.carol), self.grant(self.dave)):
            assert done.status == 0, done
        return self

    def forge(self, *grants, **changes):
        """Written by hand; each grant is a person and what is odd about his."""
        asked = plan(self.alice, self.profile, self.manifest, **changes)
        write(self.file, asked, *(grant(person, asked, **odd) for person, odd in grants))
        return self

    def provision(self, *arguments, **options):
        return provision(self.station, options.pop("path", self.manifest), "--approval", self.file, *arguments,
                         **{"profile": self.profile, **options})

    def refused(self, done, status, cause):
        """And nothing was begun."""
        assert (done.status, done.cause) == (status, cause), done
        assert self.station.emulator.ledger() == []
        assert not self.station.journal.exists() and not self.station.out.exists()
        return done.error["detail"]

    def bodies(self):
        done = self.station.muster("journal", "export", "--entries", "--journal", self.station.journal, "-o", "jsonl")
        assert done.status == 0, done
        return [json.loads(json.loads(line)["body"]) for line in done.stdout.splitlines() if '"body"' in line]


@pytest.fixture
def ceremony(station):
    return Ceremony(station)


def test_approved_by_two_others_it_is_done(ceremony):
    asked = ceremony.ask()
    assert asked.status == 0, asked
    assert (asked.json["devices"], asked.json["needed"], asked.json["counting"]) == (3, 2, 0)
    assert {row["subject"]: row["sha256"] for row in asked.json["subjects"]} == {
        "profile": digest_of(ceremony.profile), "manifest": digest_of(ceremony.manifest), **masters(ceremony.station.home)}
    assert len(asked.json["words"].split("-")) == 8
    assert ceremony.grant(ceremony.carol, "--words", asked.json["words"].upper()).json["counting"] == 1
    assert ceremony.grant(ceremony.dave).json["counting"] == 2
    assert [(row["role"], row["name"], row["state"]) for row in ceremony.show()["signatures"]] == [
        ("asks", "alice", "counts"), ("approves", "carol", "counts"), ("approves", "dave", "counts")]
    done = ceremony.provision()
    assert done.status == 0 and done.json["enrolled"] == 3, done


def test_who_approved_is_recorded(ceremony):
    assert ceremony.approved().provision().status == 0
    people = [ceremony.carol, ceremony.dave]
    opened, = [body["approval"] for body in ceremony.bodies() if "approval" in body]
    assert [(row["name"], row["keySha256"]) for row in opened["approvedBy"]] == [(person.name, person.digest) for person in people]
    for path in ceremony.station.out.glob("*.evidence.json"):
        assert json.loads(path.read_text())["approval"] == opened
    assert opened["requestedBy"]["keySha256"] == ceremony.alice.digest


def test_a_retired_device_comes_back_by_an_approval_that_was_asked_for_since(ceremony):
    station = ceremony.approved().station
    assert ceremony.provision().status == 0
    name = sorted(station.rows())[0]
    assert retire(station, name).status == 0
    for refused in (ceremony.provision(), ceremony.provision("--with-retired")):
        assert (refused.status, station.service.enrollment(name)) == (7, None), refused
        assert "E6021" in refused.stdout + refused.stderr, refused
    ceremony.file.unlink()
    refused = ceremony.approved().provision()
    assert refused.status == 7 and "E6021" in refused.stdout + refused.stderr, refused
    done = ceremony.provision("--with-retired")
    assert done.status == 0 and done.json["enrolled"] == 1, done
    assert station.service.enrollment(name)


def test_what_is_spooled_keeps_who_approved_it(ceremony):
    station = ceremony.approved().station
    done = station.muster("provision", "--profile", ceremony.profile, "--manifest", ceremony.manifest, "--approval", ceremony.file,
                          "--offline", "--journal", station.journal, "--out", station.out, "-o", "json")
    assert done.status == 6 and done.json["spooled"] == 3, done
    assert station.sync().status == 0
    files = list(station.out.glob("*.evidence.json"))
    assert len(files) == 3
    for path in files:
        approval = json.loads(path.read_text())["approval"]
        assert [row["name"] for row in approval["approvedBy"]] == ["carol", "dave"]


def test_what_could_not_be_reached_keeps_who_approved_it(ceremony):
    station = ceremony.approved().station
    restart(station, "--fault", "bulk+put+get:status=503:retry-after=0")
    done = ceremony.provision("--patience", "0")
    assert done.status == 6 and done.json["parked"] == 3, done
    restart(station)
    ceremony.keys("approvers.pem", ceremony.carol)
    done = station.sync()
    assert done.status == 5 and "E6157" in done.stdout + done.stderr, done
    ceremony.keys("approvers.pem", ceremony.carol, ceremony.dave)
    done = station.sync()
    assert done.status == 0, done
    assert {row["state"] for row in station.rows().values()} == {"released"}
    for path in station.out.glob("*.evidence.json"):
        assert [row["name"] for row in json.loads(path.read_text())["approval"]["approvedBy"]] == ["carol", "dave"]


# -- Without ------------------------------------------------------------------------------------------------------------------


def test_the_evidence_has_room_for_who_approved_it(ceremony):
    """Or nothing is sent: a twin that fits alone would leave every device enrolled and none released."""
    desired = {f"k{number:03}": "x" * 500 for number in range(101)}
    ceremony.profile = ceremony.station.profile("derived-key", {"initialTwin": {"properties": {"desired": desired}}}, "large")
    alone = provision(ceremony.station, ceremony.manifest, "--dry-run", profile=ceremony.profile)
    assert alone.status == 0, alone
    done = ceremony.approved().provision()
    assert done.status == 2 and "too large to be recorded" in done.stderr, done
    assert not ceremony.station.emulator.requests("put") + ceremony.station.emulator.requests("bulk")


def test_without_an_approval_nothing_is_begun(ceremony):
    ceremony.refused(provision(ceremony.station, ceremony.manifest, profile=ceremony.profile), 5, "E6150")
    ceremony.demand(0)
    done = provision(ceremony.station, ceremony.manifest, profile=ceremony.profile)
    assert done.status == 0, done


def test_single_devices_cannot_go_by_the_side(ceremony):
    ceremony.refused(ceremony.station.provision(ceremony.profile, "SN-1"), 5, "E6150")
    ceremony.demand(0)
    assert ceremony.station.provision(ceremony.profile, "SN-1").status == 0


def test_a_dry_run_needs_none(ceremony):
    done = provision(ceremony.station, ceremony.manifest, "--dry-run", profile=ceremony.profile)
    assert done.status == 0, done
    assert ceremony.station.emulator.requests("put") == [] and not ceremony.station.journal.exists()


def test_a_profile_may_demand_more_and_never_less(ceremony, tmp_path):
    ceremony.profile = ceremony.station.profile("derived-key", {"approvals": 3})
    ceremony.install(tmp_path / "etc").approved()
    assert "approvals needed: 3, that count: 2" in ceremony.refused(ceremony.provision(), 5, "E6154")
    assert ceremony.grant(ceremony.erin).status == 0
    assert ceremony.provision().status == 0


def test_a_profile_that_demands_less_changes_nothing(ceremony, tmp_path):
    ceremony.install(tmp_path / "etc")
    ceremony.profile = ceremony.station.profile("derived-key", {"approvals": 1})
    assert ceremony.ask().status == 0 and ceremony.grant(ceremony.carol).status == 0
    ceremony.refused(ceremony.provision(), 5, "E6154")


def test_a_profile_whose_station_knows_no_approvers(ceremony):
    ceremony.profile = ceremony.station.profile("derived-key", {"approvals": 1})
    ceremony.station.env.pop("MUSTER_CONFIG")
    ceremony.refused(provision(ceremony.station, ceremony.manifest, profile=ceremony.profile), 2, "E6158")


@pytest.mark.parametrize("needed", [0, 2])
def test_who_runs_it_does_not_say_who_meets_a_profiles_demand(ceremony, tmp_path, needed):
    """With three keys of his own he would be all of them."""
    ceremony.demand(needed)
    ceremony.profile = ceremony.station.profile("derived-key", {"approvals": 2})
    ceremony.refused(ceremony.approved().provision(), 2, "E6158")
    assert ceremony.install(tmp_path / "etc").provision().status == 0


# -- By whom ------------------------------------------------------------------------------------------------------------------


def test_too_few(ceremony):
    assert ceremony.ask().status == 0
    assert "approvals needed: 2, that count: 0" in ceremony.refused(ceremony.provision(), 5, "E6154")
    assert ceremony.grant(ceremony.carol).status == 0
    ceremony.refused(ceremony.provision(), 5, "E6154")
    assert ceremony.grant(ceremony.dave).status == 0
    assert ceremony.provision().status == 0


def test_nobody_approves_his_own_request_under_whatever_name(ceremony):
    assert ceremony.ask(ceremony.carol).status == 0
    before = ceremony.file.read_bytes()
    done = ceremony.grant(ceremony.carol, "--operator", "somebody else")
    assert (done.status, done.cause) == (5, "E6155"), done
    assert ceremony.file.read_bytes() == before
    assert ceremony.grant(ceremony.dave).status == 0 and ceremony.grant(ceremony.erin).status == 0
    assert ceremony.provision().status == 0


def test_an_own_approval_that_was_written_by_hand_does_not_count(ceremony):
    ceremony.keys("approvers.pem", ceremony.alice, ceremony.carol, ceremony.dave)
    ceremony.forge((ceremony.carol, {}), (ceremony.alice, {"name": "dave"}))
    ceremony.refused(ceremony.provision(), 5, "E6155")
    ceremony.forge((ceremony.carol, {}), (ceremony.dave, {}))
    assert ceremony.provision().status == 0


def test_approvals_given_at_once_all_count(ceremony):
    """Carol looks for her PIN, say, and Dave approves meanwhile."""
    assert ceremony.ask().status == 0
    station, log = ceremony.station, ceremony.station.home / "strace.log"
    stopper = ["strace", "-f", "-qq", "-o", log, "-P", ceremony.carol.key, "-e", "trace=openat", "-e", "inject=openat:signal=STOP:when=1"]
    carol = subprocess.Popen([*stopper, RELEASE / "muster", "approval", "grant", ceremony.file, "--key", ceremony.carol.key, "--words",
                              ceremony.words(), "-o", "json"], env=environment(RELEASE, station.home, station.env), cwd=station.home,
                             stdout=subprocess.PIPE)
    stopped = wait_until(lambda: log.exists() and re.search(r"^(\d+) .*stopped by SIGSTOP", log.read_text(), re.M), 60, "her key's opening")
    assert ceremony.grant(ceremony.dave).json["counting"] == 1
    os.kill(int(stopped.group(1)), signal.SIGCONT)
    said, _ = carol.communicate(timeout=60)
    assert carol.returncode == 0 and json.loads(said)["counting"] == 2
    assert ceremony.show()["counting"] == 2


def test_approvals_written_at_once_all_count(ceremony):
    """Carol's is about to get its name when Dave's comes."""
    assert ceremony.ask().status == 0
    station, log, words = ceremony.station, ceremony.station.home / "strace.log", ceremony.words()

    def start(person, *wrapper):
        return subprocess.Popen([*wrapper, RELEASE / "muster", "approval", "grant", ceremony.file, "--key", person.key, "--words", words,
                                 "-o", "json"], env=environment(RELEASE, station.home, station.env), cwd=station.home,
                                stdout=subprocess.PIPE)

    carol = start(ceremony.carol, "strace", "-f", "-qq", "-o", log, "-e", "trace=fsync", "-e", "inject=fsync:signal=STOP:when=1")
    stopped = wait_until(lambda: log.exists() and re.search(r"^(\d+) .*stopped by SIGSTOP", log.read_text(), re.M), 60, "her file's sync")
    dave = start(ceremony.dave)
    wait_until(lambda: dave.poll() is not None or re.search(rf"-> FLOCK .* {dave.pid} ", pathlib.Path("/proc/locks").read_text()), 60,
               "Dave's end or his wait")
    os.kill(int(stopped.group(1)), signal.SIGCONT)
    counted = [json.loads(person.communicate(timeout=60)[0])["counting"] for person in (carol, dave)]
    assert (carol.returncode, dave.returncode, counted) == (0, 0, [1, 2])
    assert ceremony.show()["counting"] == 2


def test_one_approver_counts_once(ceremony):
    assert ceremony.ask().status == 0 and ceremony.grant(ceremony.carol).status == 0
    done = ceremony.grant(ceremony.carol)
    assert (done.status, done.cause) == (5, "E6156"), done
    ceremony.forge((ceremony.carol, {}), (ceremony.carol, {"name": "dave"}))
    ceremony.refused(ceremony.provision(), 5, "E6156")


def test_an_approver_whose_approval_expired_approves_again(ceremony):
    ceremony.forge((ceremony.carol, {"since": -2, "until": -1}), (ceremony.dave, {}))
    ceremony.refused(ceremony.provision(), 5, "E6153")
    assert ceremony.grant(ceremony.carol).json["counting"] == 2
    assert ceremony.provision().status == 0


def test_who_is_no_approver_does_not_count(ceremony):
    assert ceremony.ask().status == 0 and ceremony.grant(ceremony.carol).status == 0
    done = ceremony.grant(ceremony.mallory)
    assert (done.status, done.cause) == (5, "E6157"), done
    ceremony.forge((ceremony.carol, {}), (ceremony.mallory, {}))
    ceremony.refused(ceremony.provision(), 5, "E6157")
    ceremony.keys("approvers.pem", ceremony.carol, ceremony.mallory)
    assert ceremony.provision().status == 0


def test_a_key_that_nobody_knows_cannot_ask(ceremony):
    """Else an approver would ask with a key that he has made for it, and approve with his own."""
    asked = plan(ceremony.mallory, ceremony.profile, ceremony.manifest)
    write(ceremony.file, asked, grant(ceremony.carol, asked), grant(ceremony.dave, asked))
    ceremony.refused(ceremony.provision(), 5, "E6157")
    done = ceremony.grant(ceremony.erin)
    assert (done.status, done.cause) == (5, "E6157"), done


def test_one_key_in_two_writings_is_one_approver(ceremony):
    """With its point compressed and not; listed either way alone it counts."""
    compressed = [subprocess.run(["openssl", "ec", "-in", ceremony.carol.key, "-pubout", "-conv_form", "compressed", "-outform", form],
                                 check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout for form in ("PEM", "DER")]
    asked = plan(ceremony.alice, ceremony.profile, ceremony.manifest)
    again = {**grant(ceremony.carol, asked, name="erin"), "publicKey": base64.b64encode(compressed[1]).decode()}
    listed = ceremony.station.home / "approvers.pem"
    listed.write_text(compressed[0].decode() + ceremony.dave.public.read_text() + ceremony.carol.public.read_text())
    write(ceremony.file, asked, grant(ceremony.carol, asked), again)
    ceremony.refused(ceremony.provision(), 5, "E6156")
    listed.write_text(compressed[0].decode() + ceremony.dave.public.read_text())
    write(ceremony.file, asked, grant(ceremony.dave, asked), grant(ceremony.carol, asked))
    assert ceremony.provision().status == 0


def test_a_damaged_list_of_approvers_is_not_a_shorter_one(ceremony):
    ceremony.forge((ceremony.carol, {}), (ceremony.erin, {}))
    listed = ceremony.station.home / "approvers.pem"
    whole = listed.read_text()
    at = whole.index("MF", whole.index("dave:"))
    listed.write_text(whole[:at] + "!" + whole[at + 1:])
    ceremony.refused(ceremony.provision(), 2, "E6017")
    listed.write_text(whole)
    assert ceremony.provision().status == 0


# -- What ---------------------------------------------------------------------------------------------------------------------


def test_an_approval_of_another_manifest(ceremony):
    ceremony.approved()
    other = manifest(ceremony.station, serials(4), "other.csv")
    assert "another manifest" in ceremony.refused(ceremony.provision(path=other), 5, "E6152")


def test_an_approval_of_another_profile(ceremony):
    ceremony.approved()
    other = ceremony.station.profile("derived-key", {"initialTwin": {"tags": {"site": "elsewhere"}}}, name="other")
    assert "another profile" in ceremony.refused(ceremony.provision(profile=other), 5, "E6152")


@pytest.mark.parametrize("changes", [{"verb": "cert produce"}, {"subjects": {}}, "more"])
def test_an_approval_of_something_else(ceremony, changes):
    if changes == "more":
        changes = {"subjects": {"profile": digest_of(ceremony.profile), "manifest": digest_of(ceremony.manifest), "table": "0" * 64}}
    ceremony.forge((ceremony.carol, {}), (ceremony.dave, {}), **changes)
    ceremony.refused(ceremony.provision(), 5, "E6152")


def test_a_number_of_devices_that_is_not_the_manifests(ceremony):
    """The approver was shown it."""
    ceremony.forge((ceremony.carol, {}), (ceremony.dave, {}), devices=1)
    assert "approved: 1; devices here: 3" in ceremony.refused(ceremony.provision(), 5, "E6152")


@pytest.mark.parametrize("member,value", [("idScope", "0neOTHER"), ("deviceEndpoint", "elsewhere.example:443")])
def test_options_that_say_something_else_than_the_profile(ceremony, member, value):
    ceremony.profile = ceremony.station.profile("derived-key", {member: value})
    ceremony.refused(ceremony.approved().provision(), 2, "E1411")


def test_options_that_say_what_the_profile_says(ceremony):
    station = ceremony.station
    ceremony.profile = station.profile("derived-key", {"idScope": station.emulator.id_scope,
                                                       "deviceEndpoint": station.emulator.url.removeprefix("https://")})
    assert ceremony.approved().provision().status == 0


@pytest.mark.parametrize("option", [["--verify", "none"], ["--look-alikes", "pass"]])
def test_options_that_hold_over_the_profile_were_not_approved(ceremony, option):
    ceremony.refused(ceremony.approved().provision(*option), 2, "E1411")


def test_nothing_is_signed_unseen(ceremony):
    assert ceremony.ask().status == 0
    seen, before = ceremony.words(), ceremony.file.read_bytes()
    done = ceremony.station.muster("approval", "grant", ceremony.file, "--key", ceremony.carol.key)
    assert (done.status, done.cause) == (2, "E1001") and ceremony.file.read_bytes() == before, done
    ceremony.forge(devices=4)
    done = ceremony.grant(ceremony.carol, "--words", seen)
    assert (done.status, done.cause) == (5, "E6152"), done
    assert ceremony.show()["counting"] == 0


def test_other_words_than_were_read_aloud(ceremony):
    assert ceremony.ask().status == 0
    before = ceremony.file.read_bytes()
    words = ceremony.words()
    for other in ("lusab-babad-gutih-tugad-mudof-sakat-lusab-babad", "", words[:-1], words + "x", words + "-lusab"):
        done = ceremony.grant(ceremony.carol, "--words", other)
        assert (done.status, done.cause) == (5, "E6152"), done
        # Who may copy them from the refusal compares nothing.
        assert words not in done.stderr.replace(f"'{other}'", ""), done
    assert ceremony.file.read_bytes() == before


@pytest.mark.parametrize("write", [lambda words: words.replace("-", " "), lambda words: words.replace("-", ", ").upper() + ".",
                                   lambda words: words.replace("-", "")])
def test_words_that_were_heard(ceremony, write):
    assert ceremony.ask().status == 0
    assert ceremony.grant(ceremony.carol, "--words", write(ceremony.words())).json["counting"] == 1


def test_a_manifest_with_mistakes_is_not_asked_for(ceremony):
    wrong = manifest(ceremony.station, ["SN-1", "SN-1"], "wrong.csv")
    done = ceremony.ask(path=wrong)
    assert done.status == 2 and "wrong.csv:3:1" in done.stderr, done
    assert not ceremony.file.exists()


def test_a_manifest_and_serials_are_not_asked_for_at_once(ceremony):
    done = ceremony.ask(None, "--serials", ceremony.manifest)
    assert (done.status, done.cause) == (2, "E1001"), done


# -- When ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("since,until", [(-2, -0.001), (HOURS_APART, 1)])
def test_an_approval_out_of_its_time(ceremony, since, until):
    ceremony.forge((ceremony.carol, {}), (ceremony.dave, {"since": since, "until": until}))
    ceremony.refused(ceremony.provision(), 5, "E6153")


@pytest.mark.parametrize("since,until", [(-2, -0.001), (HOURS_APART, 1)])
def test_a_request_out_of_its_time(ceremony, since, until):
    ceremony.forge((ceremony.carol, {}), (ceremony.dave, {}), since=since, until=until)
    ceremony.refused(ceremony.provision(), 5, "E6153")
    done = ceremony.grant(ceremony.erin)
    assert (done.status, done.cause) == (5, "E6153"), done


@pytest.mark.parametrize("variable,value", [("LD_PRELOAD", "libm.so.6"), ("LD_AUDIT", "/nowhere.so")])
def test_whoever_could_tell_it_another_time(ceremony, variable, value):
    """With the clock three hours back an expired approval would hold again."""
    ceremony.approved()
    ceremony.refused(ceremony.provision(env={variable: value, "ASAN_OPTIONS": "verify_asan_link_order=0"}), 5, "E6174")
    assert ceremony.provision().status == 0


def test_clocks_may_differ_by_some_minutes(ceremony):
    ceremony.forge((ceremony.carol, {"since": 0.05}), (ceremony.dave, {}), since=0.05)
    assert ceremony.provision().status == 0


@pytest.mark.parametrize("of_request,of_grant", [(721, 1), (1, 721)])
def test_one_that_was_written_by_hand_for_ever(ceremony, of_request, of_grant):
    """How long it may hold is the station's to say, not the signer's."""
    ceremony.forge((ceremony.carol, {}), (ceremony.dave, {"since": 0, "until": of_grant}), since=0, until=of_request)
    assert "valid for too long" in ceremony.refused(ceremony.provision(), 5, "E6153")
    ceremony.forge((ceremony.carol, {}), (ceremony.dave, {"since": 0, "until": 719}), since=0, until=719)
    assert ceremony.provision().status == 0


@pytest.mark.parametrize("hours", ["0", "-1", "8h", "721", "999999999999999999"])
def test_an_approval_for_ever(ceremony, hours):
    done = ceremony.ask(None, "--hours", hours)
    assert (done.status, done.cause) == (2, "E1001"), done
    assert ceremony.ask(None, "--hours", "720").status == 0
    done = ceremony.grant(ceremony.carol, "--hours", hours)
    assert (done.status, done.cause) == (2, "E1001"), done


# -- The file -----------------------------------------------------------------------------------------------------------------


def test_every_changed_byte_of_what_was_signed_is_noticed(ceremony):
    original = json.loads(ceremony.approved().file.read_text())
    for part in ("content", "publicKey", "signature"):
        for take in (lambda file: file["plan"], lambda file: file["grants"][0], lambda file: file["grants"][1]):
            changed = json.loads(json.dumps(original))
            statement = take(changed)
            middle = len(statement[part]) // 2
            statement[part] = statement[part][:middle] + chr(ord(statement[part][middle]) ^ 1) + statement[part][middle + 1:]
            ceremony.file.write_text(json.dumps(changed))
            ceremony.refused(ceremony.provision(), 8, "E6151")
    ceremony.file.write_text(json.dumps(original))
    assert ceremony.provision().status == 0


def test_a_request_signed_anew_is_none(ceremony):
    """With it one's own key would not be the one that asked."""
    asked = plan(ceremony.alice, ceremony.profile, ceremony.manifest)
    again = ceremony.carol.sign("muster.plan/1", json.loads(asked["content"]))
    write(ceremony.file, again, grant(ceremony.dave, again), grant(ceremony.erin, again))
    ceremony.refused(ceremony.provision(), 8, "E6151")


def test_a_grant_from_another_request_is_none(ceremony):
    other = plan(ceremony.alice, ceremony.profile, ceremony.manifest, devices=4)
    asked = plan(ceremony.alice, ceremony.profile, ceremony.manifest)
    write(ceremony.file, asked, grant(ceremony.carol, asked), grant(ceremony.dave, other))
    ceremony.refused(ceremony.provision(), 8, "E6151")


@pytest.mark.parametrize("of_request,of_grant", [({"site": "x"}, {}), ({}, {"site": "x"})])
def test_what_would_be_signed_unseen(ceremony, of_request, of_grant):
    """A member that nobody shows could hide what makes two requests have the same words."""
    ceremony.forge((ceremony.carol, {}), (ceremony.dave, of_grant), **of_request)
    ceremony.refused(ceremony.provision(), 8, "E6151")
    ceremony.forge((ceremony.carol, {}), (ceremony.dave, {}), station="x")
    assert ceremony.provision().status == 0


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema":"muster.approval/1"}',
                                  '{"schema":"muster.approval/1","plan":{},"grants":[]}',
                                  '{"schema":"muster.approval/1","plan":{},"grants":{}}'])
def test_files_that_are_none(ceremony, text):
    ceremony.file.write_text(text)
    ceremony.refused(ceremony.provision(), 8, "E6151")


def test_a_key_that_is_not_there_is_not_made(ceremony):
    assert ceremony.ask().status == 0
    ceremony.carol.key.unlink()
    done = ceremony.grant(ceremony.carol)
    assert (done.status, done.cause) == (2, "E1002") and not ceremony.carol.key.exists(), done


def test_a_request_is_not_written_over_a_file(ceremony):
    ceremony.file.write_text("mine")
    done = ceremony.ask()
    assert (done.status, done.cause) == (11, "E6101"), done
    assert ceremony.file.read_text() == "mine"


# -- A second run -------------------------------------------------------------------------------------------------------------


def test_an_unfinished_batch_needs_an_approval_that_holds_then(ceremony):
    station = ceremony.approved().station
    offline = ["--offline", "--journal", station.journal, "--out", station.out, "-o", "json", "--profile", ceremony.profile,
               "--manifest", ceremony.manifest, "--approval", ceremony.file]
    assert station.muster("provision", *offline).status == 6
    ceremony.forge((ceremony.carol, {"until": -0.001}), (ceremony.dave, {}))
    again = ceremony.provision()
    assert (again.status, again.cause) == (5, "E6153"), again
    assert station.emulator.ledger() == []
    ceremony.forge((ceremony.carol, {}), (ceremony.erin, {}))
    done = ceremony.provision()
    assert done.status == 0 and done.json["resumed"] is True, done
    approvals = [body["approval"] for body in ceremony.bodies() if "approval" in body and "batch" in body]
    assert [[row["name"] for row in approval["approvedBy"]] for approval in approvals] == [["carol", "dave"], ["carol", "erin"]]


# -- A curious operator -------------------------------------------------------------------------------------------------------

@pytest.fixture
def guarded(ceremony, tmp_path):
    """The demand stands in /etc/muster/muster.yaml."""
    return ceremony.install(tmp_path / "etc")


def lowered(ceremony, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / "mine.pem").write_text(ceremony.mallory.public.read_text())
    path.write_text("approvals: {needed: 0, approvers: mine.pem}\n")
    return path


def test_the_systems_demand_holds(guarded):
    guarded.refused(provision(guarded.station, guarded.manifest, profile=guarded.profile), 5, "E6150")
    assert guarded.approved().provision().status == 0


def test_a_users_file_cannot_lower_it(guarded):
    path = lowered(guarded, guarded.station.home / ".config/muster/muster.yaml")
    done = provision(guarded.station, guarded.manifest, profile=guarded.profile)
    assert f"{path}:1:1: error E1420" in done.stderr, done
    guarded.refused(done, 2, "E1420")


def test_a_file_that_is_named_instead_cannot_do_without(guarded):
    path = guarded.station.home / "own.yaml"
    path.write_text("operator: somebody\n")
    guarded.station.env["MUSTER_CONFIG"] = path
    guarded.refused(provision(guarded.station, guarded.manifest, profile=guarded.profile), 5, "E6150")
    lowered(guarded, path)
    guarded.refused(provision(guarded.station, guarded.manifest, profile=guarded.profile), 2, "E1420")


def shown(ceremony):
    done = ceremony.station.muster("config", "show", "-o", "json")
    assert done.status == 0, done
    return {row["setting"]: (row.get("value"), row["origin"]) for row in done.json if row["setting"].startswith("approvals.")}


def test_what_is_demanded_and_by_which_file_is_shown(guarded):
    expected = {"approvals.needed": ("2", "system file"), "approvals.approvers": ("/etc/muster/approvers.pem", "system file"),
                "approvals.requesters": ("/etc/muster/requesters.pem", "system file"), "approvals.stations": (None, "unset")}
    assert shown(guarded) == expected
    path = guarded.station.home / "own.yaml"
    path.write_text("operator: somebody\n")
    guarded.station.env["MUSTER_CONFIG"] = path
    assert shown(guarded) == expected


def test_a_file_of_ones_own_may_demand_where_the_system_does_not(ceremony):
    assert shown(ceremony)["approvals.needed"] == ("2", "file")


def test_approvers_that_others_could_change_are_not_believed(ceremony):
    ceremony.approved()
    (ceremony.station.home / "approvers.pem").chmod(0o666)
    ceremony.refused(ceremony.provision(), 2, "E1007")
    (ceremony.station.home / "approvers.pem").chmod(0o644)
    assert ceremony.provision().status == 0
