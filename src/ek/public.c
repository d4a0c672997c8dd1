#include "muster/ek.h"

#include <stdio.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

#include "ek-internal.h"

DEFINE_FREEP(BN_freep, BIGNUM *, BN_free)
DEFINE_FREEP(EVP_PKEY_freep, EVP_PKEY *, EVP_PKEY_free)
DEFINE_FREEP(EVP_PKEY_CTX_freep, EVP_PKEY_CTX *, EVP_PKEY_CTX_free)
DEFINE_FREEP(OSSL_PARAM_BLD_freep, OSSL_PARAM_BLD *, OSSL_PARAM_BLD_free)
DEFINE_FREEP(OSSL_PARAM_freep, OSSL_PARAM *, OSSL_PARAM_free)

#define RSA_EXPONENT_DEFAULT 65537u

bool ek_public_pack(const TPMT_PUBLIC *area, struct ek_public *ret_public, struct muster_error *err)
{
	TPM2B_PUBLIC sized = { .publicArea = *area };
	struct ek_public public = { 0 };
	TSS2_RC rc = Tss2_MU_TPM2B_PUBLIC_Marshal(&sized, public.data, sizeof(public.data),
						  &public.size);
	if (rc != TSS2_RC_SUCCESS)
		return muster_fail_native(err, CAUSE_EK_MALFORMED, ORIGIN_TSS, rc,
					  "marshalling a public area failed");
	*ret_public = public;
	return true;
}

bool ek_public_unpack(const struct ek_public *public, TPMT_PUBLIC *ret_area,
		      struct muster_error *err)
{
	TPM2B_PUBLIC sized = { 0 };
	size_t offset = 0;
	TSS2_RC rc = Tss2_MU_TPM2B_PUBLIC_Unmarshal(public->data, public->size, &offset, &sized);
	if (rc != TSS2_RC_SUCCESS)
		return muster_fail_native(err, CAUSE_EK_MALFORMED, ORIGIN_TSS, rc,
					  "%zu bytes are not a TPM2B_PUBLIC", public->size);
	if (offset != public->size)
		return muster_fail(err, CAUSE_EK_MALFORMED,
				   "a TPM2B_PUBLIC of %zu bytes has %zu more behind it", offset,
				   public->size - offset);
	*ret_area = sized.publicArea;
	return true;
}

bool ek_public_parse(const void *data, size_t size, struct ek_public *ret_public,
		     struct muster_error *err)
{
	struct ek_public public = { .size = size };
	if (size < 2 || size > sizeof(public.data))
		return muster_fail(err, CAUSE_EK_MALFORMED, "a TPM2B_PUBLIC of %zu bytes cannot be",
				   size);
	memcpy(public.data, data, size);
	TPMT_PUBLIC area = { 0 };
	if (!ek_public_unpack(&public, &area, err))
		return false;
	/* The library takes sizes that do not fit their content; marshalling again does not. */
	struct ek_public again;
	if (!ek_public_pack(&area, &again, err))
		return false;
	if (!ek_public_equal(&public, &again))
		return muster_fail(err, CAUSE_EK_MALFORMED,
				   "a TPM2B_PUBLIC of %zu bytes has a size field that is not true",
				   size);
	*ret_public = public;
	return true;
}

bool ek_public_from_base64(const char *text, size_t length, struct ek_public *ret_public,
			   struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes raw = { 0 };
	if (length > EK_PUBLIC_MAX * 2 || !base64_decode(text, length, &raw))
		return muster_fail(err, CAUSE_EK_MALFORMED,
				   "%zu characters are not standard, padded base64", length);
	return ek_public_parse(raw.data, raw.size, ret_public, err);
}

char *ek_public_to_base64(const struct ek_public *public)
{
	return base64_encode(public->data, public->size);
}

bool ek_public_equal(const struct ek_public *a, const struct ek_public *b)
{
	return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

void ek_public_digest(const struct ek_public *public, uint8_t digest[SHA256_SIZE])
{
	sha256(digest, public->data, public->size);
}

char *ek_public_registration_id(const struct ek_public *public)
{
	uint8_t digest[SHA256_SIZE];
	ek_public_digest(public, digest);
	return base32_encode_lower(digest, sizeof(digest));
}

bool ek_public_name(const struct ek_public *public, uint8_t name[EK_NAME_SIZE],
		    struct muster_error *err)
{
	TPMT_PUBLIC area = { 0 };
	if (!ek_public_unpack(public, &area, err))
		return false;
	if (area.nameAlg != TPM2_ALG_SHA256)
		return muster_fail(err, CAUSE_EK_UNSUPPORTED,
				   "the key's name algorithm is 0x%04x, not SHA-256", area.nameAlg);
	name[0] = TPM2_ALG_SHA256 >> 8;
	name[1] = TPM2_ALG_SHA256 & 0xff;
	sha256(name + 2, public->data + 2, public->size - 2);
	return true;
}

/* -- As an OpenSSL key ------------------------------------------------------------------------------------- */

static bool fail_crypto(struct muster_error *err, const char *doing)
{
	return muster_fail(err, CAUSE_CRYPTO, "%s failed", doing);
}

static OSSL_PARAM *rsa_parameters(const TPMT_PUBLIC *area)
{
	uint32_t exponent = area->parameters.rsaDetail.exponent;
	CLEANUP(BN_freep)
	BIGNUM *modulus = BN_bin2bn(area->unique.rsa.buffer, area->unique.rsa.size, NULL);
	CLEANUP(OSSL_PARAM_BLD_freep) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	if (!modulus || !builder ||
	    !OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) ||
	    !OSSL_PARAM_BLD_push_uint32(builder, OSSL_PKEY_PARAM_RSA_E,
					exponent ? exponent : RSA_EXPONENT_DEFAULT))
		return NULL;
	return OSSL_PARAM_BLD_to_param(builder);
}

bool ek_public_key(const struct ek_public *public, EVP_PKEY **ret_key, struct muster_error *err)
{
	TPMT_PUBLIC area = { 0 };
	if (!ek_public_unpack(public, &area, err))
		return false;
	if (area.type != TPM2_ALG_RSA)
		return muster_fail(err, CAUSE_EK_UNSUPPORTED, "the key is %s, not RSA",
				   ek_public_describe(public, (char[96]){ 0 }));
	CLEANUP(OSSL_PARAM_freep) OSSL_PARAM *parameters = rsa_parameters(&area);
	CLEANUP(EVP_PKEY_CTX_freep)
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *key = NULL;
	if (!parameters || !context || EVP_PKEY_fromdata_init(context) != 1 ||
	    EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
		return fail_crypto(err, "making an RSA key of a TPM public area");
	*ret_key = key;
	return true;
}

bool ek_public_spki(const struct ek_public *public, struct bytes *ret_der, struct muster_error *err)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	if (!ek_public_key(public, &key, err))
		return false;
	unsigned char *der = NULL;
	int size = i2d_PUBKEY(key, &der);
	if (size <= 0)
		return fail_crypto(err, "encoding an RSA public key");
	bool copied = bytes_copy(ret_der, der, (size_t)size, err);
	OPENSSL_free(der);
	return copied;
}

/* -- In words ---------------------------------------------------------------------------------------------- */

struct algorithm_name {
	unsigned number;
	const char *name;
};

static const struct algorithm_name hash_names[] = {
	{ TPM2_ALG_SHA1, "SHA-1" },      { TPM2_ALG_SHA256, "SHA-256" },
	{ TPM2_ALG_SHA384, "SHA-384" },  { TPM2_ALG_SHA512, "SHA-512" },
	{ TPM2_ALG_SM3_256, "SM3-256" },
};

static const struct algorithm_name curve_names[] = {
	{ TPM2_ECC_NIST_P256, "P-256" },
	{ TPM2_ECC_NIST_P384, "P-384" },
	{ TPM2_ECC_NIST_P521, "P-521" },
	{ TPM2_ECC_SM2_P256, "SM2 P-256" },
};

static const struct algorithm_name cipher_names[] = {
	{ TPM2_ALG_AES, "AES" },
	{ TPM2_ALG_CAMELLIA, "Camellia" },
	{ TPM2_ALG_SM4, "SM4" },
};

static const char *name_of(const struct algorithm_name *names, size_t count, unsigned number)
{
	for (size_t i = 0; i < count; i++)
		if (names[i].number == number)
			return names[i].name;
	return "unknown";
}
#define NAME_OF(table, number) name_of(table, ARRAY_SIZE(table), number)

static void describe_cipher(const TPMT_SYM_DEF_OBJECT *cipher, char out[32])
{
	if (cipher->algorithm == TPM2_ALG_NULL)
		snprintf(out, 32, "no cipher");
	else
		snprintf(out, 32, "%s-%u%s", NAME_OF(cipher_names, cipher->algorithm),
			 cipher->keyBits.sym,
			 cipher->mode.sym == TPM2_ALG_CFB ? "-CFB" : ", not CFB");
}

const char *ek_public_describe(const struct ek_public *public, char out[96])
{
	struct muster_error ignored;
	TPMT_PUBLIC area = { 0 };
	if (!ek_public_unpack(public, &area, &ignored)) {
		snprintf(out, 96, "malformed");
		return out;
	}
	char cipher[32];
	const char *hash = NAME_OF(hash_names, area.nameAlg);
	switch (area.type) {
	case TPM2_ALG_RSA:
		describe_cipher(&area.parameters.rsaDetail.symmetric, cipher);
		snprintf(out, 96, "RSA-%u, %s, %s", area.parameters.rsaDetail.keyBits, hash,
			 cipher);
		break;
	case TPM2_ALG_ECC:
		describe_cipher(&area.parameters.eccDetail.symmetric, cipher);
		snprintf(out, 96, "ECC %s, %s, %s",
			 NAME_OF(curve_names, area.parameters.eccDetail.curveID), hash, cipher);
		break;
	case TPM2_ALG_KEYEDHASH:
		snprintf(out, 96, "keyed hash, %s", hash);
		break;
	default:
		snprintf(out, 96, "key type 0x%04x, %s", area.type, hash);
	}
	return out;
}
