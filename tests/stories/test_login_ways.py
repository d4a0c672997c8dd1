"""Each way to sign in, against the emulator's authority: what it takes and what it refuses."""
import json
import os
import re
import socket
import stat
import subprocess
import time

import pytest

from lib.jwt import make_certificate, sign_token
from lib.program import environment
from lib.proxy import Proxy
from lib.sign_in import SignIn
from lib.software_token import write_secret
from lib.wait import wait_until


@pytest.fixture
def make_sign_in(station):
    def make(*arguments, application="bench"):
        station.emulator.restart("--application", application, *arguments)
        station.renew_login()
        station.service.put("e1", {"registrationId": "e1", "attestation": {"type": "symmetricKey"}})
        return SignIn(station, application.split(":")[0])
    return make


def show(sign_in, *words, **options):
    return sign_in.station.muster("enrollment", "show", "--eid", "e1", *sign_in.service(), "--auth-type", "login", *words,
                                  **options)


# -- A certificate in a file ----------------------------------------------------------------------------------------

def test_client_certificate(make_sign_in, tmp_path):
    certificate, both = make_certificate(tmp_path, "client")
    sign_in = make_sign_in(application=f"bench:certificate={certificate}")
    assert show(sign_in, *sign_in.by_certificate(both)).status == 0
    apart = show(sign_in, *sign_in.by_certificate(certificate), "--client-key", tmp_path / "client.key")
    assert apart.status == 0, apart


def test_client_certificate_that_the_authority_does_not_know(make_sign_in, tmp_path):
    certificate, _ = make_certificate(tmp_path, "known")
    _, other = make_certificate(tmp_path, "other")
    sign_in = make_sign_in(application=f"bench:certificate={certificate}")
    done = show(sign_in, *sign_in.by_certificate(other))
    assert (done.status, done.cause) == (5, "E5210") and "AADSTS700027" in done.stderr, done
    assert sign_in.tokens_asked() == 1


@pytest.mark.parametrize("what", ["no key", "another key", "no certificate", "elliptic", "open"])
def test_client_certificate_that_cannot_sign_in(make_sign_in, tmp_path, what):
    certificate, both = make_certificate(tmp_path, "client", "P-256" if what == "elliptic" else "rsa:2048")
    sign_in = make_sign_in()
    words = {"no key": write_secret(tmp_path / "a", certificate.read_text()),
             "no certificate": write_secret(tmp_path / "b", (tmp_path / "client.key").read_text())}.get(what, both)
    if what == "open":
        both.chmod(0o644)
    key = ["--client-key", make_certificate(tmp_path, "other")[1]] if what == "another key" else []
    done = show(sign_in, *sign_in.by_certificate(words), *key)
    assert (done.status, done.cause) == (2, "E1005" if what == "open" else "E1112"), done
    assert sign_in.tokens_asked() == 0


def import_key(token, directory, name):
    """Key pair of a certificate into the token, so that a story can know both."""
    for kind, words in (("privkey", ["pkey"]), ("pubkey", ["pkey", "-pubout"])):
        der = directory / f"{name}.{kind}.der"
        subprocess.run(["openssl", *words, "-in", directory / f"{name}.key", "-outform", "DER", "-out", der], check=True,
                       capture_output=True)
        token.pkcs11_tool("--write-object", der, "--type", kind, "--id", "0a0b", "--label", name, "--usage-sign")


def test_client_certificate_whose_key_is_in_a_token(make_sign_in, tokens, token, tmp_path):
    certificate, _ = make_certificate(tmp_path, "client")
    other, _ = make_certificate(tmp_path, "other")
    import_key(token, tmp_path, "client")
    sign_in = make_sign_in(application=f"bench:certificate={certificate}")
    sign_in.station.env["SOFTHSM2_CONF"] = tokens.configuration
    uri = token.key_uri("client", "private")
    done = show(sign_in, *sign_in.by_certificate(certificate), "--client-key", uri)
    assert done.status == 0, done
    done = show(sign_in, *sign_in.by_certificate(other), "--client-key", uri)
    assert (done.status, done.cause) == (2, "E1112"), done
    done = show(sign_in, *sign_in.by_certificate(certificate), "--client-key", token.key_uri("nobody", "private"))
    assert (done.status, done.cause) == (3, "E4302"), done
    assert sign_in.tokens_asked() == 1


# -- Another authority's token ---------------------------------------------------------------------------------------

@pytest.fixture
def workload(make_sign_in, tmp_path):
    certificate, _ = make_certificate(tmp_path, "cluster")
    sign_in = make_sign_in(application=f"bench:federation={certificate}")

    def run(key="cluster.key", mode=0o600, **claims):
        file = write_secret(tmp_path / "federated", sign_token(tmp_path / key, **claims))
        file.chmod(mode)
        return show(sign_in, *sign_in.who(), "--federated-token-file", file)
    run.sign_in = sign_in
    return run


def test_workload_identity(workload):
    done = workload()
    assert done.status == 0, done


@pytest.mark.parametrize("claims", [{"seconds": -10}, {"aud": "somebody else"}])
def test_workload_identity_that_does_not_hold(workload, claims):
    done = workload(**claims)
    assert (done.status, done.cause) == (5, "E5210"), done


def test_workload_identity_in_a_file_that_others_can_read(workload):
    done = workload(mode=0o644)
    assert (done.status, done.cause) == (2, "E1005"), done
    assert workload.sign_in.tokens_asked() == 0


# -- The machine's identity ------------------------------------------------------------------------------------------

def test_managed_identity(make_sign_in):
    sign_in = make_sign_in("--metadata-port", "0")
    words = ["--sign-in", "managed-identity", "--metadata-endpoint", sign_in.authority["metadataUrl"]]
    assert show(sign_in, *words).status == 0
    assert show(sign_in, *words, "--client-id", sign_in.application["clientId"]).status == 0
    done = show(sign_in, *words, "--client-id", "somebody-else")
    assert (done.status, done.cause) == (5, "E5210") and "Identity not found" in done.stderr, done


def test_managed_identity_that_is_not_ready_yet(make_sign_in):
    sign_in = make_sign_in("--metadata-port", "0", "--fault", "token:status=404:count=1:retry-after=0")
    done = show(sign_in, "--sign-in", "managed-identity", "--metadata-endpoint", sign_in.authority["metadataUrl"])
    assert done.status == 0 and sign_in.tokens_asked() == 2, done


@pytest.mark.parametrize("url", ["http://192.0.2.1", "http://metadata.example", "ftp://localhost"])
def test_managed_identity_over_a_plain_network(make_sign_in, url):
    sign_in = make_sign_in()
    done = show(sign_in, "--sign-in", "managed-identity", "--metadata-endpoint", url)
    assert done.status == 2, done


def test_nothing_but_the_metadata_service_is_plain(make_sign_in):
    sign_in = make_sign_in("--metadata-port", "0")
    done = show(sign_in, *sign_in.by_secret(), "--authority-host", sign_in.authority["metadataUrl"])
    assert (done.status, done.cause) == (2, "E1111"), done


# -- A person elsewhere ----------------------------------------------------------------------------------------------

def start_device_code(sign_in, *words):
    """A muster that waits for its code, and the code."""
    station = sign_in.station
    command = [station.build / "muster", "enrollment", "show", "--eid", "e1", *sign_in.service(), "--auth-type", "login",
               *sign_in.who(), "--sign-in", "device-code", *words]
    process = subprocess.Popen(command, env=environment(station.build, station.home, station.env), text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    line = process.stderr.readline()
    return process, re.search(r"open https://\S+ and enter the code (\w+)", line).group(1)


def test_device_code(make_sign_in):
    sign_in = make_sign_in("--code-interval", "1")
    process, code = start_device_code(sign_in)
    wait_until(lambda: sign_in.tokens_asked() >= 2, 60)
    sign_in.station.service.request("POST", f"/emulator/codes/{code}")
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0 and "registrationId" in stdout, stderr


def test_device_code_that_is_declined(make_sign_in):
    sign_in = make_sign_in("--code-interval", "1")
    process, code = start_device_code(sign_in)
    sign_in.station.service.request("DELETE", f"/emulator/codes/{code}")
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 5 and "authorization_declined" in stderr, stderr


# -- The session of az -----------------------------------------------------------------------------------------------

AZ = """\
#!/usr/bin/python3
import json, os, sys, time
record = {{"argv": sys.argv[1:], "environment": dict(os.environ)}}
json.dump(record, open("{record}", "w"))
{deed}
"""
ANSWER = """print(json.dumps({{"accessToken": open("{token}").read(), "tokenType": "Bearer", "subscription": "{subscription}",
                  "tenant": "t", {expiry}}}))"""


@pytest.fixture
def az(make_sign_in, tmp_path):
    """A program az in a directory of its own, as a person who has signed in has it."""
    (tmp_path / "bin").mkdir()

    def make(deed=None, expiry='"expires_on": int(time.time()) + 3000', resource="https://azure-devices-provisioning.net", faults=()):
        sign_in = make_sign_in(*(word for fault in faults for word in ("--fault", fault)))
        token = sign_in.fetch_token(resource)
        write_secret(tmp_path / "token", token)
        deed = deed or ANSWER.format(token=tmp_path / "token", subscription=sign_in.authority["subscription"], expiry=expiry)
        program = tmp_path / "bin/az"
        program.write_text(AZ.format(record=tmp_path / "record", deed=deed))
        program.chmod(0o755)
        sign_in.station.env["PATH"] = f"{tmp_path}/bin:/usr/bin:/bin"
        return sign_in
    make.record = tmp_path / "record"
    return make


@pytest.mark.parametrize("expiry", [
    '"expires_on": int(time.time()) + 3000', '"expiresOn": time.strftime("%Y-%m-%d %H:%M:%S.000000", time.localtime(time.time() + 3000))'])
def test_az_session(az, expiry):
    sign_in = az(expiry=expiry)
    sign_in.station.env.update({"AZURE_CONFIG_DIR": "/nonexistent", "AZURE_CLIENT_SECRET": "x"})
    done = show(sign_in)
    assert done.status == 0, done
    record = az.record.read_text()
    assert '"--resource", "https://azure-devices-provisioning.net"' in record
    assert "AZURE_CONFIG_DIR" in record and "AZURE_CLIENT_SECRET" not in record and "MUSTER" not in record


def test_az_goes_by_the_proxy_that_was_named(az):
    sign_in = az()
    assert show(sign_in).status == 0 and "PROXY" not in az.record.read_text()
    with Proxy() as proxy:
        assert show(sign_in, "--proxy", proxy.url, "--no-proxy", "factory.test").status == 0
        told = json.loads(az.record.read_text())["environment"]
        assert (told["HTTPS_PROXY"], told["NO_PROXY"]) == (proxy.url, "factory.test")


def test_az_session_knows_its_subscription(az):
    sign_in = az(resource="https://management.azure.com")
    cache = sign_in.station.home / "cache"
    for _ in range(2):
        done = sign_in.station.muster("enrollment", "show", "--eid", "e1", *sign_in.service("emulator"), "--token-cache", cache)
        assert done.status == 0, done
    assert not cache.exists()


@pytest.mark.parametrize("words, passed", [
    (["--subscription", "{id}"], '"--subscription", "{id}"'), (["--subscription", "My Sub"], '"--subscription", "My Sub"'),
    (["--subscription", "{id}", "--tenant", "t"], '"--tenant", "t"'), ([], None)])
def test_az_is_asked_for_the_tenant_of_the_subscription(az, words, passed):
    """The session may be at home in another one."""
    sign_in = az(resource="https://management.azure.com")
    own = sign_in.authority["subscription"]
    done = sign_in.station.muster("enrollment", "show", "--eid", "e1", *sign_in.service("emulator"),
                                  *(word.replace("{id}", own) for word in words))
    assert done.status == 0, done
    record = az.record.read_text()
    if passed:
        assert passed.replace("{id}", own) in record
    assert ("--subscription" in record) + ("--tenant" in record) == int(bool(passed))


@pytest.mark.parametrize("deed, status, cause", [
    ("sys.exit('Please run az login')", 5, "E5210"), ("print('{')", 6, "E5211"), ("print('{}')", 6, "E5211"),
    ("print('x' * 100000)", 5, "E5213"),
    ("print(json.dumps({'accessToken': 'a b', 'tokenType': 'Bearer', 'expires_on': int(time.time()) + 99}))", 6, "E5211"),
    ("print(json.dumps({'accessToken': 'ab', 'tokenType': 'Bearer', 'expires_on': 1}))", 6, "E5211")])
def test_az_that_gives_no_token(az, deed, status, cause):
    sign_in = az(deed)
    done = show(sign_in)
    assert (done.status, done.cause) == (status, cause), done
    assert not sign_in.station.emulator.requests("get")


def asked_of(az):
    return az.record.with_suffix(".count").read_text()


COUNTED = "open('{record}.count', 'a').write('x')\n"


@pytest.mark.parametrize("deed, asked", [("sys.exit('something')", "xx"), ("sys.exit('AADSTS50173: revoked')", "x"),
                                         ("sys.exit('Please run: az login')", "x")])
def test_az_that_fails_while_the_authority_is_there(az, deed, asked):
    """It is asked once more when it does not say that it would be so again."""
    sign_in = az(COUNTED.format(record=az.record) + deed)
    done = show(sign_in)
    assert (done.status, done.cause, asked_of(az)) == (5, "E5210", asked), done


def test_az_that_fails_for_a_moment(az, tmp_path):
    good = ANSWER.format(token=tmp_path / "token", subscription="s", expiry='"expires_on": int(time.time()) + 3000')
    sign_in = az(COUNTED.format(record=az.record) + f"""
if open('{az.record}.count').read() == 'x':
    sys.exit('Connection aborted.')
{good}""")
    done = show(sign_in)
    assert (done.status, asked_of(az)) == (0, "xx"), done


def test_az_that_fails_while_the_authority_is_away(az):
    """Whatever it says then, it is not held for a refusal, unless it is one."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = f"https://localhost:{nobody.getsockname()[1]}"
        for deed, status, cause in (("sys.exit('Max retries exceeded')", 6, "E5101"), ("sys.exit('run az login')", 5, "E5210")):
            sign_in = az(deed)
            words = sign_in.service()
            words[words.index("--authority-host") + 1] = away
            done = sign_in.station.muster("enrollment", "show", "--eid", "e1", *words, "--auth-type", "login")
            assert (done.status, done.cause) == (status, cause), done
            assert ("Max retries exceeded" in done.stderr) == (status == 6), done


def test_a_session_that_ends_behind_an_unclear_deletion(az, tmp_path):
    """It may have been deleted: no refusal says otherwise."""
    good = ANSWER.format(token=tmp_path / "token", subscription="s", expiry='"expires_on": int(time.time()) + 3000')
    sign_in = az(COUNTED.format(record=az.record) + f"""
if open('{az.record}.count').read() != 'x':
    sys.exit('AADSTS50173: revoked')
{good}""", faults=("delete:status-after=500:count=1", "get:status=401:count=1"))
    done = sign_in.station.muster("enrollment", "delete", "--eid", "e1", *sign_in.service(), "--auth-type", "login")
    assert (done.status, done.cause) == (9, "E5107"), done
    assert "may or may not have been deleted" in done.stderr and "AADSTS50173" in done.stderr, done


def test_no_az(make_sign_in):
    sign_in = make_sign_in()
    done = show(sign_in, env={"PATH": "/nonexistent"})
    assert (done.status, done.cause) == (5, "E5213"), done


# -- Tokens that are kept --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("content", ["", "{", "[]", "\x00"])
def test_a_damaged_file_of_tokens_is_written_anew(make_sign_in, content):
    sign_in = make_sign_in()
    cache = write_secret(sign_in.station.home / "cache", content)
    for damaged in (True, False):
        done = show(sign_in, *sign_in.by_secret(), "--token-cache", cache)
        assert done.status == 0 and ("is damaged" in done.stderr) == damaged, done
    assert sign_in.tokens_asked() == 1


def test_tokens_stay_in_a_file_when_asked(make_sign_in, tmp_path):
    sign_in = make_sign_in()
    cache = sign_in.station.home / "cache"
    for _ in range(2):
        assert show(sign_in, *sign_in.by_secret(), "--token-cache", cache).status == 0
    assert sign_in.tokens_asked() == 1
    assert stat.S_IMODE(os.stat(cache).st_mode) == 0o600
    # Another application does not get that token.
    done = show(sign_in, *sign_in.by_secret(**{"client-id": "somebody-else"}), "--token-cache", cache)
    assert (done.status, done.cause) == (5, "E5210"), done
    cache.chmod(0o640)
    done = show(sign_in, *sign_in.by_secret(), "--token-cache", cache)
    assert (done.status, done.cause) == (2, "E1005"), done


@pytest.mark.parametrize("where, why", [("none/cache", "No such file or directory"), ("login/cache", "Not a directory")])
def test_a_token_that_cannot_be_kept_is_used(make_sign_in, where, why):
    """Twice: the second is fetched in the middle of the run, where the folder or the room for it may be gone."""
    sign_in = make_sign_in("--fault", "get:status=401:count=1")
    done = show(sign_in, *sign_in.by_secret(), "--token-cache", sign_in.station.home / where)
    assert done.status == 0 and f"{why}, going on" in done.stderr and sign_in.tokens_asked() == 2, done


def test_a_kept_token_that_is_refused_is_renewed_once(make_sign_in):
    sign_in = make_sign_in("--fault", "get:status=401:count=1")
    cache = sign_in.station.home / "cache"
    done = show(sign_in, *sign_in.by_secret(), "--token-cache", cache)
    assert done.status == 0 and sign_in.tokens_asked() == 2, done


def test_a_token_near_its_end_is_not_used(make_sign_in):
    sign_in = make_sign_in("--token-life", "5")
    cache = sign_in.station.home / "cache"
    assert show(sign_in, *sign_in.by_secret(), "--token-cache", cache).status == 0
    until = time.time() + 4.5
    wait_until(lambda: time.time() > until, 10)
    assert show(sign_in, *sign_in.by_secret(), "--token-cache", cache).status == 0
    assert sign_in.tokens_asked() == 2


def test_a_device_whose_token_is_refused_goes_on_with_a_new_one(make_sign_in):
    sign_in = make_sign_in("--fault", "put:status=401:skip=1:count=1")
    station = sign_in.station
    done = station.muster("provision", "--profile", station.profile("derived-key"), "--serial", "T-1", *sign_in.service(),
                          "--auth-type", "login", *sign_in.by_secret(), *station.places(), "-o", "json")
    assert done.status == 0 and done.json["verified"], done
    assert sign_in.tokens_asked() == 2
