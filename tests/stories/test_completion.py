"""Completion in the three shells, each as that shell runs it; what is offered comes from the option tables."""
import json
import shlex
import subprocess

import pytest

from lib.paths import BUILD, TOP
from lib.program import environment, run

SCRIPTS = TOP / "scripts/completion"

BASH = """
source {scripts}/muster.bash
COMP_WORDS=(muster {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_muster
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
ZSH = """
compadd() {{ print -l -- $candidates }}
_files() {{ print -- FILES }}
words=(muster {words}); CURRENT=$#words
source {scripts}/_muster
"""
FISH = """
source {scripts}/muster.fish
complete -C {line}
"""


def shell(name, script, home):
    env = environment(BUILD, home, {"PATH": f"{BUILD}:/usr/bin:/bin"})
    arguments = {"bash": ["bash", "--norc", "-c"], "zsh": ["zsh", "-f", "-c"], "fish": ["fish", "--no-config", "-c"]}[name]
    done = subprocess.run([*arguments, script], env=env, cwd=home, text=True, capture_output=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done
    return [line for line in done.stdout.splitlines() if line]


def offered(name, words, home):
    quoted = " ".join(shlex.quote(word) for word in words)
    script = {"bash": BASH, "zsh": ZSH, "fish": FISH}[name]
    return shell(name, script.format(scripts=SCRIPTS, words=quoted, line=shlex.quote(shlex.join(["muster", *words]))), home)


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("words, wanted", [
    (["enrollment", "sh"], ["show"]),
    (["enrollment", "create", "--provisioning-st"], ["--provisioning-status"]),
    (["enrollment", "create", "--attestation-type", "t"], ["tpm"]),
    (["-o", "json", "profile", "ch"], ["check"]),
])
def test_each_shell_offers(tmp_path, name, words, wanted):
    assert offered(name, words, tmp_path) == wanted


@pytest.mark.parametrize("name, nothing", [("bash", []), ("zsh", ["FILES"])])
def test_where_a_file_is_wanted_the_shell_offers_files(tmp_path, name, nothing):
    assert offered(name, ["enrollment", "create", "--certificate-path", "x"], tmp_path) == nothing


def test_every_verb_and_option_of_the_tables_is_offered(tmp_path):
    tables = json.loads(run("--dump-options", home=tmp_path).stdout)
    for verb in tables["verbs"]:
        words = verb["name"].split()
        assert words[-1] in run("--complete", *words, home=tmp_path).stdout.split(), verb["name"]
        options = run("--complete", *words, "--", home=tmp_path).stdout.split()
        assert set(options) == {f"--{row['name']}" for row in verb["options"] + tables["options"] if not row["hidden"]}


def test_choices_are_offered_behind_an_equals_sign(tmp_path):
    assert run("--complete", "journal", "list", "--output=j", home=tmp_path).stdout.split() == ["--output=json", "--output=jsonl"]
    assert run("--complete", "journal", "list", "--output", "=", home=tmp_path).stdout.split()[:1] == ["json"]
    assert run("--complete", "nonsense", "", home=tmp_path).stdout
