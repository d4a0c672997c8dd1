"""What signs in without a secret: RSA keys with certificates, and tokens signed with them. By the openssl program."""
import base64
import json
import subprocess
import time


def make_certificate(directory, name, kind="rsa:2048"):
    """Certificate alone, and certificate with its key (mode 0600)."""
    certificate, key, both = (directory / f"{name}.{ending}" for ending in ("crt", "key", "pem"))
    algorithm = ["-newkey", kind] if kind.startswith("rsa") else ["-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{kind}"]
    subprocess.run(["openssl", "req", "-x509", *algorithm, "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", key,
                    "-out", certificate], check=True, capture_output=True)
    both.touch(mode=0o600)
    both.write_text(certificate.read_text() + key.read_text())
    key.chmod(0o600)
    return certificate, both


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign_token(key, seconds=600, **claims):
    """RS256, as a cluster signs the tokens of its workloads."""
    header = encode(json.dumps({"alg": "RS256", "typ": "JWT"}).encode())
    body = encode(json.dumps({"iss": "https://cluster.example", "sub": "system:serviceaccount:line:bench",
                              "aud": "api://AzureADTokenExchange", "exp": int(time.time()) + seconds, **claims}).encode())
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=f"{header}.{body}".encode(), check=True,
                               capture_output=True).stdout
    return f"{header}.{body}.{encode(signature)}"
