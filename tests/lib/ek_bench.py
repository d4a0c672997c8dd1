"""What vendors and earlier tools leave in a TPM, written with tpm2-tools."""
import struct
import subprocess

from cryptography.hazmat.primitives import serialization

from lib.ek_authority import der

EK_HANDLE = "0x81010001"
RSA_INDEX = "0x01c00002"
ECC_INDEX = "0x01c0000a"
CHAIN_INDEX = "0x01c00100"

# PolicyOR of the profile's annex B.3.4.
POLICY_B = bytes.fromhex("ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0")


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

    def write_chain(self, *certificates):
        """The authorities above the EK's certificate, in the extra indices."""
        for number, certificate in enumerate(certificates):
            self.write_nv(f"0x{0x01c00100 + number:08x}", der(certificate))
        return self

    def evict(self, handle=EK_HANDLE):
        self.tool("tpm2_evictcontrol", "-Q", "-C", "o", "-c", handle)
        return self

    def make_high(self, algorithm="rsa", handle=EK_HANDLE):
        """The TCG's templates of the high range: H-1 and H-2."""
        path = self.directory / "policy-b"
        path.write_bytes(POLICY_B)
        context = self.directory / "high.ctx"
        self.tool("tpm2_createprimary", "-Q", "-C", "e", "-g", "sha256", "-c", context, "-L", path, "-G",
                  {"rsa": "rsa2048:aes128cfb", "ecc": "ecc256:aes128cfb"}[algorithm], "-a",
                  "fixedtpm|fixedparent|sensitivedataorigin|adminwithpolicy|userwithauth|restricted|decrypt")
        self.persist(context, handle)
        return self

    def template(self, nonce=b""):
        """The TCG's L-1 as a TPMT_PUBLIC, with a nonce in front in `unique`."""
        return bytes.fromhex("0001000b000300b20020") + self.endorsement_policy().read_bytes() + bytes.fromhex(
            "00060080004300100800000000000100") + nonce + bytes(256 - len(nonce))

    def make_with_nonce(self, nonce, handle=EK_HANDLE):
        """As the profile has it: in front in `unique`."""
        unique, context = self.directory / "unique", self.directory / "nonce.ctx"
        unique.write_bytes(struct.pack("=H", 256) + nonce + bytes(256 - len(nonce)))
        self.tool("tpm2_createprimary", "-Q", "-C", "e", "-g", "sha256", "-G", "rsa2048:aes128cfb", "-u", unique, "-c", context,
                  "-L", self.endorsement_policy(), "-a",
                  "fixedtpm|fixedparent|sensitivedataorigin|adminwithpolicy|restricted|decrypt")
        self.persist(context, handle)
        return self

    def make_srk(self):
        context = self.directory / "srk.ctx"
        self.tool("tpm2_createprimary", "-Q", "-C", "o", "-G", "rsa2048:null:aes128cfb", "-g", "sha256", "-a",
                  "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt", "-c", context)
        self.persist(context, "0x81000001")
        return self

    def erase_nv(self, index):
        self.tool("tpm2_nvundefine", "-Q", "-C", "p", index)
        return self
