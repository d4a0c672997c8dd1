"""What vendors and earlier tools leave in a TPM, written with tpm2-tools."""
import subprocess

from cryptography.hazmat.primitives import serialization

EK_HANDLE = "0x81010001"
RSA_INDEX = "0x01c00002"
ECC_INDEX = "0x01c0000a"
CHAIN_INDEX = "0x01c00100"


class EkBench:
    def __init__(self, tpm, directory):
        self.tpm = tpm
        self.directory = directory

    def tool(self, name, *arguments):
        return subprocess.run([name, "-T", self.tpm.tcti, *map(str, arguments)], check=True, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout

    def persist(self, context, handle=EK_HANDLE):
        self.tool("tpm2_evictcontrol", "-Q", "-C", "o", "-c", context, handle)
        self.tool("tpm2_flushcontext", "-t")

    def make_ek(self, algorithm="rsa", handle=EK_HANDLE):
        """The TCG's template."""
        context = self.directory / f"{algorithm}.ctx"
        self.tool("tpm2_createek", "-Q", "-G", algorithm, "-c", context)
        self.persist(context, handle)
        return self

    def make_primary(self, algorithm="rsa2048:aes128cfb", handle=EK_HANDLE, policy=True, attributes=None):
        """Endorsement keys of other templates."""
        context = self.directory / "primary.ctx"
        arguments = ["-C", "e", "-G", algorithm, "-g", "sha256", "-c", context]
        arguments += ["-a", attributes or "fixedtpm|fixedparent|sensitivedataorigin|adminwithpolicy|restricted|decrypt"]
        if policy:
            arguments += ["-L", self.endorsement_policy()]
        self.tool("tpm2_createprimary", "-Q", *arguments)
        self.persist(context, handle)
        return self

    def endorsement_policy(self):
        path = self.directory / "policy"
        path.write_bytes(bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa"))
        return path

    def public_key(self, handle=EK_HANDLE):
        path = self.directory / "public.pem"
        self.tool("tpm2_readpublic", "-Q", "-c", handle, "-f", "pem", "-o", path)
        return serialization.load_pem_public_key(path.read_bytes())

    def public(self, handle=EK_HANDLE):
        path = self.directory / "public.tss"
        self.tool("tpm2_readpublic", "-Q", "-c", handle, "-f", "tss", "-o", path)
        return path.read_bytes()

    def write_nv(self, index, content):
        path = self.directory / "nv"
        path.write_bytes(content)
        self.tool("tpm2_nvdefine", "-Q", "-C", "p", "-s", len(content), "-a",
                  "ppwrite|authread|ownerread|platformcreate|no_da", index)
        self.tool("tpm2_nvwrite", "-Q", "-C", "p", "-i", path, index)
        return self

    def erase_nv(self, index):
        self.tool("tpm2_nvundefine", "-Q", "-C", "p", index)
        return self
