#include "muster/ek-words.h"

#include <stddef.h>

#include <tss2/tss2_tpm2_types.h>

#include "muster/cleanup.h"

struct word {
	uint32_t number;
	const char *word;
};

static const struct word algorithms[] = {
	{ TPM2_ALG_RSA, "RSA" },
	{ TPM2_ALG_SHA1, "SHA-1" },
	{ TPM2_ALG_HMAC, "HMAC" },
	{ TPM2_ALG_AES, "AES" },
	{ TPM2_ALG_MGF1, "MGF1" },
	{ TPM2_ALG_KEYEDHASH, "keyed hash" },
	{ TPM2_ALG_XOR, "XOR" },
	{ TPM2_ALG_SHA256, "SHA-256" },
	{ TPM2_ALG_SHA384, "SHA-384" },
	{ TPM2_ALG_SHA512, "SHA-512" },
	{ TPM2_ALG_SM3_256, "SM3-256" },
	{ TPM2_ALG_SM4, "SM4" },
	{ TPM2_ALG_RSASSA, "RSASSA" },
	{ TPM2_ALG_RSAES, "RSAES" },
	{ TPM2_ALG_RSAPSS, "RSAPSS" },
	{ TPM2_ALG_OAEP, "OAEP" },
	{ TPM2_ALG_ECDSA, "ECDSA" },
	{ TPM2_ALG_ECDH, "ECDH" },
	{ TPM2_ALG_ECDAA, "ECDAA" },
	{ TPM2_ALG_SM2, "SM2" },
	{ TPM2_ALG_ECSCHNORR, "ECSCHNORR" },
	{ TPM2_ALG_KDF1_SP800_56A, "KDF1-SP800-56A" },
	{ TPM2_ALG_KDF2, "KDF2" },
	{ TPM2_ALG_KDF1_SP800_108, "KDF1-SP800-108" },
	{ TPM2_ALG_ECC, "ECC" },
	{ TPM2_ALG_SYMCIPHER, "symmetric cipher" },
	{ TPM2_ALG_CAMELLIA, "Camellia" },
	{ TPM2_ALG_CTR, "CTR" },
	{ TPM2_ALG_OFB, "OFB" },
	{ TPM2_ALG_CBC, "CBC" },
	{ TPM2_ALG_CFB, "CFB" },
	{ TPM2_ALG_ECB, "ECB" },
};

static const struct word curves[] = {
	{ TPM2_ECC_NIST_P192, "P-192" },  { TPM2_ECC_NIST_P224, "P-224" },
	{ TPM2_ECC_NIST_P256, "P-256" },  { TPM2_ECC_NIST_P384, "P-384" },
	{ TPM2_ECC_NIST_P521, "P-521" },  { TPM2_ECC_BN_P256, "BN P-256" },
	{ TPM2_ECC_BN_P638, "BN P-638" }, { TPM2_ECC_SM2_P256, "SM2 P-256" },
};

static const struct word properties[] = {
	{ TPM2_PT_REVISION, "specificationRevision" },
	{ TPM2_PT_YEAR, "specificationYear" },
	{ TPM2_PT_DAY_OF_YEAR, "specificationDay" },
	{ TPM2_PT_INPUT_BUFFER, "inputBufferMax" },
	{ TPM2_PT_HR_TRANSIENT_MIN, "transientMin" },
	{ TPM2_PT_HR_PERSISTENT_MIN, "persistentMin" },
	{ TPM2_PT_HR_LOADED_MIN, "sessionsMin" },
	{ TPM2_PT_PCR_COUNT, "pcrCount" },
	{ TPM2_PT_NV_INDEX_MAX, "nvIndexMax" },
	{ TPM2_PT_NV_BUFFER_MAX, "nvBufferMax" },
	{ TPM2_PT_MAX_COMMAND_SIZE, "commandMax" },
	{ TPM2_PT_MAX_RESPONSE_SIZE, "responseMax" },
	{ TPM2_PT_HR_NV_INDEX, "nvIndices" },
	{ TPM2_PT_HR_PERSISTENT, "persistentUsed" },
	{ TPM2_PT_HR_PERSISTENT_AVAIL, "persistentFree" },
	{ TPM2_PT_HR_TRANSIENT_AVAIL, "transientFree" },
	{ TPM2_PT_HR_LOADED_AVAIL, "sessionsFree" },
	{ TPM2_PT_LOCKOUT_COUNTER, "lockoutCounter" },
	{ TPM2_PT_MAX_AUTH_FAIL, "lockoutMax" },
	{ TPM2_PT_LOCKOUT_INTERVAL, "lockoutIntervalSeconds" },
	{ TPM2_PT_LOCKOUT_RECOVERY, "lockoutRecoverySeconds" },
};

static const char *find(const struct word *words, size_t count, uint32_t number)
{
	for (size_t i = 0; i < count; i++)
		if (words[i].number == number)
			return words[i].word;
	return NULL;
}

const char *ek_algorithm_word(uint32_t algorithm)
{
	return find(algorithms, ARRAY_SIZE(algorithms), algorithm);
}

const char *ek_curve_word(uint32_t curve)
{
	return find(curves, ARRAY_SIZE(curves), curve);
}

const char *ek_property_word(uint32_t property)
{
	return find(properties, ARRAY_SIZE(properties), property);
}
