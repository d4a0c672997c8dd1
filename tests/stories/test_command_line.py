"""What a person or a script sees of the command line itself."""
import json
import shutil
import subprocess

import pytest

from lib.paths import BUILD, PROFILES
from lib.program import environment, run


def test_version(tmp_path):
    done = run("--version", home=tmp_path)
    assert done.status == 0 and done.stdout.startswith("muster ") and done.stderr == "", done


def test_help_goes_to_standard_output(tmp_path):
    for words in (["--help"], ["help", "--help"], ["provision", "--help"], ["profile", "--help"], ["profile", "check", "--help"]):
        done = run(*words, home=tmp_path)
        assert done.status == 0 and "Usage:" in done.stdout and done.stderr == "", done


def test_every_name_of_an_option_has_its_dashes(tmp_path):
    done = run("registration", "show", "--help", home=tmp_path)
    assert "--enrollment-id, --eid, --registration-id, --rid=ID" in done.stdout, done


def test_a_near_miss_is_named(tmp_path):
    for words, guess in ((["provison"], "provision"), (["provision", "--profil", "x"], "--profile")):
        done = run(*words, home=tmp_path)
        assert (done.status, done.cause) == (2, "E1001"), done
        assert guess in done.stderr and done.stdout == "", done


def test_explain_names_what_to_do(tmp_path):
    done = run("explain", "E4201", home=tmp_path)
    assert done.status == 0 and "hsm acknowledge" in done.stdout, done


WRITING = ["--version", "--help", "help", "help provision", "provision --help", "profile", "profile --help", "--dump-options",
           "--complete ''", "explain", "explain E4201", "profile schema", "config show", ""]


@pytest.mark.parametrize("line", WRITING)
@pytest.mark.parametrize("output", [">/dev/full", ">&-"])
def test_an_output_that_takes_nothing_is_a_failure(tmp_path, line, output):
    """As soon as it was filled, or at the end."""
    done = subprocess.run(["sh", "-c", f"exec {BUILD / 'muster'} {line} {output}"], stderr=subprocess.PIPE, text=True, cwd=tmp_path,
                          env=environment(BUILD, tmp_path))
    assert done.returncode == 11, done
    assert line == "--version" or "[E6102]" in done.stderr, done


@pytest.mark.parametrize("place, verdict", [("state", "ok"), ("file/below", "fail")])
def test_doctor_looks_where_things_are_remembered(tmp_path, place, verdict):
    (tmp_path / "file").touch()
    found = run("doctor", "-o", "json", home=tmp_path, env={"XDG_STATE_HOME": tmp_path / place}).json
    assert [row["verdict"] for row in found if row["check"] == "state"] == [verdict]


def test_a_closed_output_that_is_not_needed_is_none(tmp_path):
    done = subprocess.run(["sh", "-c", f"exec {BUILD / 'muster'} explain E4201 -o none >&-"], env=environment(BUILD, tmp_path))
    assert done.returncode == 0


def test_explain_has_the_status_of_a_run_that_a_signal_ended(tmp_path):
    assert run("explain", "E7005", "-o", "json", home=tmp_path).json["exit"] == 130
    assert "130" in run("explain", "E7005", home=tmp_path).stdout
    every = {row["code"]: row["exit"] for row in run("explain", "--all", "-o", "json", home=tmp_path).json}
    assert (every["E7005"], every["E1001"], every["E7010"]) == (130, 2, 1)


@pytest.mark.parametrize("verb", ["show", "check", "audit"])
def test_an_option_that_is_an_operand_here_is_told(tmp_path, verb):
    done = run("hsm", verb, "--token", "pkcs11:token=x", home=tmp_path)
    assert done.status == 2 and f"'muster hsm {verb} TOKEN'" in done.stderr and "did you mean" not in done.stderr, done


def test_errors_of_a_json_run_are_json(tmp_path):
    done = run("profile", "check", tmp_path / "missing.yaml", "-o", "json", home=tmp_path)
    assert done.status == 2, done
    error = json.loads(done.stderr.strip().splitlines()[-1])
    assert error["code"] == "E1002" and error["exit"] == 2 and error["remedy"], done


def is_object(words, home, variable=None):
    """Whether the error of a wrong line is one: an object and nothing else, or a sentence."""
    done = run(*words.split(), home=home, env={"MUSTER_OUTPUT": variable} if variable else None)
    assert done.status == 2 and done.stdout == "", done
    assert done.error["code"] == "E1001" and done.error["exit"] == 2, done
    return done.stderr.startswith("{") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("asked", ["-o jsonl", "--output json", "--output=json", "-ojson", "-o=json", "-qo JSON", "-o table -o json"])
@pytest.mark.parametrize("wrong", ["doctor --bad", "doctor a", "enrollment create --at sym", "provison", "profile chek a",
                                   "help provison", "--bad doctor", ""])
def test_errors_of_a_wrong_line_have_the_format_that_it_asks_for(tmp_path, wrong, asked):
    """Behind the mistake, too, where scripts written for az have it, and where the format itself is spelled wrongly."""
    assert is_object(f"{wrong} {asked}", tmp_path)
    assert is_object(f"{asked} {wrong}", tmp_path)
    assert not is_object(f"{wrong} {asked} -o yaml", tmp_path)


@pytest.mark.parametrize("line", ["doctor --bad", "provison", "-o jsn doctor", "profile -q", "enrollment create --at sym"])
def test_errors_of_a_wrong_line_have_the_format_of_the_environment(tmp_path, line):
    assert is_object(line, tmp_path, "json")
    assert not is_object(line, tmp_path, "yaml") and not is_object(line, tmp_path)


@pytest.mark.parametrize("line", ["enrollment create --at sym --out json", "enrollment list --bad -o jsonc"])
def test_errors_of_a_line_for_az_have_the_format_that_az_would_take(tmp_path, line):
    assert is_object(line, tmp_path)
    assert not is_object(line.replace("enrollment", "provision"), tmp_path) or "jsonc" in line


def test_a_format_that_is_none_is_told_with_what_there_is(tmp_path):
    for words, said in (("doctor -o jsn", "-o 'jsn' is not known; did you mean 'json'?"),
                        ("doctor -o=json", "there is no '=' behind '-o': it is -o FORMAT, or --output=FORMAT"),
                        ("provision -s=A17", "there is no '=' behind '-s': it is -s TEXT, or --serial=TEXT")):
        done = run(*words.split(), home=tmp_path)
        assert (done.status, done.cause) == (2, "E1001") and said in done.error["detail"], done
    done = run("doctor", home=tmp_path, env={"MUSTER_OUTPUT": "jsn"})
    assert done.status == 2 and "MUSTER_OUTPUT 'jsn' is not known; did you mean 'json'?" in done.stderr, done


def test_errors_are_sentences_when_no_format_is_asked_for(tmp_path):
    """Also those of verbs that print JSON by themselves."""
    done = run("enrollment", "show", "--enrollment-id", "a", home=tmp_path)
    assert done.status == 2 and done.stderr.startswith("muster: [E1101] "), done


def test_a_profile_that_is_not_there_is_told_before_a_login_is_looked_for(tmp_path):
    done = run("provision", "--profile", "missing.yaml", "--serial", "a", home=tmp_path)
    assert (done.status, done.cause) == (2, "E1002") and "missing.yaml" in done.stderr, done


def test_a_truth_that_is_none_is_told_of_its_option(tmp_path):
    done = run("enrollment", "create", "--eid", "a", "--at", "symmetricKey", "--ee", "yes", home=tmp_path)
    assert (done.status, done.cause) == (2, "E1001") and "'yes' is neither true nor false" in done.stderr, done
    assert "edge-enabled" in done.stderr or "--ee" in done.stderr, done


def test_every_example_profile_passes(tmp_path):
    for path in PROFILES.glob("*.yaml"):
        done = run("profile", "check", path, home=tmp_path)
        assert done.status == 0, done


@pytest.mark.parametrize("what", ["file", "folder"])
def test_the_doctor_judges_roots_as_commands_do(station, tmp_path, what):
    folder = tmp_path / "roots"
    folder.mkdir()
    path = folder / "ca.pem"
    shutil.copy(station.emulator.ca_file, path)
    words = ["--login-file", station.login_file, "--ca-file", path, "-o", "json"]

    def verdict():
        [row] = [row for row in station.muster("doctor", *words).json if row["check"] == "TLS roots"]
        return row["verdict"], row["seen"]

    assert verdict()[0] == "ok" and station.muster("enrollment", "list", *words).status == 0
    {"file": path, "folder": folder}[what].chmod(0o777)
    assert verdict()[0] == "fail" and "could be changed by others" in verdict()[1]
    assert station.muster("enrollment", "list", *words).cause == "E1007"


def test_doctor_names_a_remedy_for_each_finding(station):
    done = station.muster("doctor", "--login-file", station.login_file, "--ca-file", station.emulator.ca_file, "-o", "json")
    assert done.status in (0, 4), done
    rows = done.json
    assert rows, done
    for row in rows:
        assert row["check"] and row["seen"] and (row["verdict"] == "ok" or row["remedy"]), row
