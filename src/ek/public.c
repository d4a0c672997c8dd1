#include "muster/ek.h"

#include <stdio.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "ek-internal.h"
#include "muster/ek-words.h"
#include "muster/spki.h"

DEFINE_FREEP(BIO_freep, BIO *, BIO_free)
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

/* What OpenSSL calls the curve; NULL for one that it does not have. */
static const char *group_of(TPMI_ECC_CURVE curve)
{
	static const struct {
		TPMI_ECC_CURVE curve;
		const char *group;
	} groups[] = {
		{ TPM2_ECC_NIST_P256, "P-256" },
		{ TPM2_ECC_NIST_P384, "P-384" },
		{ TPM2_ECC_NIST_P521, "P-521" },
		{ TPM2_ECC_SM2_P256, "SM2" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		if (groups[i].curve == curve)
			return groups[i].group;
	return NULL;
}

/* Coordinates may come without leading zeros; the point has them. */
static OSSL_PARAM *ecc_parameters(const TPMT_PUBLIC *area)
{
	const char *group = group_of(area->parameters.eccDetail.curveID);
	const TPM2B_ECC_PARAMETER *x = &area->unique.ecc.x, *y = &area->unique.ecc.y;
	size_t most = x->size > y->size ? x->size : y->size;
	size_t side = most <= 32 ? 32 : most <= 48 ? 48 : 66;
	uint8_t point[1 + 2 * 66] = { POINT_CONVERSION_UNCOMPRESSED };
	CLEANUP(OSSL_PARAM_BLD_freep) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	if (!group || !builder || most > side)
		return NULL;
	memcpy(point + 1 + side - x->size, x->buffer, x->size);
	memcpy(point + 1 + 2 * side - y->size, y->buffer, y->size);
	if (!OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) ||
	    !OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point,
					      1 + 2 * side))
		return NULL;
	return OSSL_PARAM_BLD_to_param(builder);
}

bool ek_public_key(const struct ek_public *public, EVP_PKEY **ret_key, struct muster_error *err)
{
	TPMT_PUBLIC area = { 0 };
	if (!ek_public_unpack(public, &area, err))
		return false;
	bool is_rsa = area.type == TPM2_ALG_RSA;
	if (!is_rsa && area.type != TPM2_ALG_ECC)
		return muster_fail(err, CAUSE_EK_UNSUPPORTED, "the key is %s, not RSA or ECC",
				   ek_public_describe(public, (char[96]){ 0 }));
	CLEANUP(OSSL_PARAM_freep)
	OSSL_PARAM *parameters = is_rsa ? rsa_parameters(&area) : ecc_parameters(&area);
	CLEANUP(EVP_PKEY_CTX_freep)
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, is_rsa ? "RSA" : "EC", NULL);
	EVP_PKEY *key = NULL;
	ERR_set_mark();
	bool made = parameters && context && EVP_PKEY_fromdata_init(context) == 1 &&
		    EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) == 1;
	ERR_pop_to_mark();
	if (!made)
		return muster_fail(err, is_rsa ? CAUSE_CRYPTO : CAUSE_EK_UNSUPPORTED,
				   "a %s public area is not a key that OpenSSL can hold",
				   ek_public_describe(public, (char[96]){ 0 }));
	*ret_key = key;
	return true;
}

bool ek_public_spki(const struct ek_public *public, struct bytes *ret_der, struct muster_error *err)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	if (!ek_public_key(public, &key, err))
		return false;
	return spki_write(key, ret_der) ||
	       muster_fail(err, CAUSE_CRYPTO, "encoding a public key failed");
}

bool ek_public_pem(const struct ek_public *public, char **ret_pem, struct muster_error *err)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	if (!ek_public_key(public, &key, err))
		return false;
	CLEANUP(BIO_freep) BIO *bio = BIO_new(BIO_s_mem());
	char *text = NULL;
	if (!bio || PEM_write_bio_PUBKEY(bio, key) != 1)
		return muster_fail(err, CAUSE_CRYPTO, "encoding a public key failed");
	long length = BIO_get_mem_data(bio, &text);
	*ret_pem = strndup(text, (size_t)length);
	return *ret_pem || muster_fail_memory(err);
}

/* -- In words ---------------------------------------------------------------------------------------------- */

static const char *or_unknown(const char *word)
{
	return word ? word : "unknown";
}

static void describe_cipher(const TPMT_SYM_DEF_OBJECT *cipher, char out[32])
{
	if (cipher->algorithm == TPM2_ALG_NULL)
		snprintf(out, 32, "no cipher");
	else
		snprintf(out, 32, "%s-%u%s", or_unknown(ek_algorithm_word(cipher->algorithm)),
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
	const char *hash = or_unknown(ek_algorithm_word(area.nameAlg));
	switch (area.type) {
	case TPM2_ALG_RSA:
		describe_cipher(&area.parameters.rsaDetail.symmetric, cipher);
		snprintf(out, 96, "RSA-%u, %s, %s", area.parameters.rsaDetail.keyBits, hash,
			 cipher);
		break;
	case TPM2_ALG_ECC:
		describe_cipher(&area.parameters.eccDetail.symmetric, cipher);
		snprintf(out, 96, "ECC %s, %s, %s",
			 or_unknown(ek_curve_word(area.parameters.eccDetail.curveID)), hash,
			 cipher);
		break;
	case TPM2_ALG_KEYEDHASH:
		snprintf(out, 96, "keyed hash, %s", hash);
		break;
	default:
		snprintf(out, 96, "key type 0x%04x, %s", area.type, hash);
	}
	return out;
}
