/* Signatures of the provider: hashing happens here, the private operation at the signer. */
#include "pki-internal.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/objects.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

struct signing {
	struct pki_key *key; /* borrowed: OpenSSL keeps the key as long as its operation */
	bool is_pss;
	enum signer_hash hash;
	EVP_MD_CTX *digest; /* NULL: the caller hashes */
};

/* -- Life ---------------------------------------------------------------------------------------------------- */

static void *signing_new(void *provider, const char *properties)
{
	(void)provider, (void)properties;
	return OPENSSL_zalloc(sizeof(struct signing));
}

static void signing_free(void *data)
{
	struct signing *signing = data;

	EVP_MD_CTX_free(signing->digest);
	OPENSSL_free(signing);
}

static void *signing_duplicate(void *data)
{
	struct signing *copy = OPENSSL_memdup(data, sizeof(*copy));
	const EVP_MD_CTX *digest;

	if (!copy || !copy->digest)
		return copy;
	digest = copy->digest;
	copy->digest = EVP_MD_CTX_new();
	if (!copy->digest || EVP_MD_CTX_copy_ex(copy->digest, digest) != 1) {
		signing_free(copy);
		return NULL;
	}
	return copy;
}

/* -- Parameters ------------------------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	enum signer_hash hash;
} hashes[] = {
	{ "SHA256", SIGNER_SHA256 },
	{ "SHA384", SIGNER_SHA384 },
	{ "SHA512", SIGNER_SHA512 },
};

static int set_digest(struct signing *signing, const char *name)
{
	EVP_MD *digest = EVP_MD_fetch(NULL, name, NULL);

	signing->hash = SIGNER_HASH_NONE;
	for (size_t i = 0; digest && i < ARRAY_SIZE(hashes); i++) {
		if (EVP_MD_is_a(digest, hashes[i].name))
			signing->hash = hashes[i].hash;
	}
	EVP_MD_free(digest);
	return signing->hash != SIGNER_HASH_NONE;
}

/* A number, or a word from a list; -1 when it is neither. */
static int get_mode(const OSSL_PARAM *param, const OSSL_ITEM *words)
{
	int mode = -1;

	if (param->data_type != OSSL_PARAM_UTF8_STRING)
		return OSSL_PARAM_get_int(param, &mode) == 1 ? mode : -1;
	for (; words->ptr; words++) {
		if (strcmp(param->data, words->ptr) == 0)
			return (int)words->id;
	}
	return -1;
}

static int set_padding(struct signing *signing, const OSSL_PARAM *param)
{
	static const OSSL_ITEM words[] = {
		{ RSA_PKCS1_PADDING, (void *)(uintptr_t)OSSL_PKEY_RSA_PAD_MODE_PKCSV15 },
		{ RSA_PKCS1_PSS_PADDING, (void *)(uintptr_t)OSSL_PKEY_RSA_PAD_MODE_PSS },
		{ 0 },
	};
	int mode = get_mode(param, words);

	signing->is_pss = mode == RSA_PKCS1_PSS_PADDING;
	return signing->is_pss || mode == RSA_PKCS1_PADDING;
}

/* Signers make a salt as long as the digest and no other. */
static int check_salt(const struct signing *signing, const OSSL_PARAM *param)
{
	char text[16] = "";
	char *out = text;
	int64_t written = 0;
	int number = 0;

	if (param->data_type != OSSL_PARAM_UTF8_STRING)
		return OSSL_PARAM_get_int(param, &number) == 1 &&
		       (number == RSA_PSS_SALTLEN_DIGEST ||
			number == EVP_MD_get_size(pki_hash_digest(signing->hash)));
	if (OSSL_PARAM_get_utf8_string(param, &out, sizeof(text)) != 1)
		return 0;
	return strcmp(text, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST) == 0 ||
	       (text_to_int64(text, 0, EVP_MAX_MD_SIZE, &written) &&
		written == EVP_MD_get_size(pki_hash_digest(signing->hash)));
}

static int signing_set_params(void *data, const OSSL_PARAM params[])
{
	struct signing *signing = data;
	const OSSL_PARAM *param;

	if (!params)
		return 1;
	param = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_DIGEST);
	if (param &&
	    (param->data_type != OSSL_PARAM_UTF8_STRING || !set_digest(signing, param->data)))
		return 0;
	param = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE);
	if (param && !set_padding(signing, param))
		return 0;
	param = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN);
	if (param && !check_salt(signing, param))
		return 0;
	param = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_MGF1_DIGEST);
	return !param || (param->data_type == OSSL_PARAM_UTF8_STRING &&
			  EVP_MD_is_a(pki_hash_digest(signing->hash), param->data));
}

static const OSSL_PARAM *signing_settable_params(void *data, void *provider)
{
	static const OSSL_PARAM types[] = {
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)data, (void)provider;
	return types;
}

/* NID of the signature algorithm, NID_undef when there is none. RSA-PSS certificates are not made. */
static int find_algorithm(const struct signing *signing, int key_type)
{
	int nid = NID_undef;

	if (key_type == EVP_PKEY_ED25519)
		return NID_ED25519;
	if (signing->is_pss || signing->hash == SIGNER_HASH_NONE)
		return NID_undef;
	OBJ_find_sigid_by_algs(&nid, EVP_MD_get_type(pki_hash_digest(signing->hash)), key_type);
	return nid;
}

/* The AlgorithmIdentifier that X509_sign writes. */
static int get_algorithm(const struct signing *signing, OSSL_PARAM *param)
{
	int key_type = EVP_PKEY_get_base_id(signing->key->public_key);
	int nid = find_algorithm(signing, key_type);
	X509_ALGOR *algorithm = X509_ALGOR_new();
	uint8_t *der = NULL;
	int size = 0, is_set;

	if (algorithm && nid != NID_undef &&
	    X509_ALGOR_set0(algorithm, OBJ_nid2obj(nid),
			    key_type == EVP_PKEY_RSA ? V_ASN1_NULL : V_ASN1_UNDEF, NULL) == 1)
		size = i2d_X509_ALGOR(algorithm, &der);
	is_set = size > 0 && OSSL_PARAM_set_octet_string(param, der, (size_t)size) == 1;
	OPENSSL_free(der);
	X509_ALGOR_free(algorithm);
	return is_set;
}

static int signing_get_params(void *data, OSSL_PARAM params[])
{
	OSSL_PARAM *param = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_ALGORITHM_ID);

	return !param || get_algorithm(data, param);
}

static const OSSL_PARAM *signing_gettable_params(void *data, void *provider)
{
	static const OSSL_PARAM types[] = {
		OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)data, (void)provider;
	return types;
}

/* -- Signing ----------------------------------------------------------------------------------------------------- */

static int signing_init(void *data, void *key, const OSSL_PARAM params[])
{
	struct signing *signing = data;

	if (key)
		signing->key = key;
	return signing->key && signing->key->signer && signing_set_params(signing, params);
}

static enum signer_scheme get_scheme(const struct signing *signing)
{
	switch (EVP_PKEY_get_base_id(signing->key->public_key)) {
	case EVP_PKEY_RSA:
		return signing->is_pss ? SIGNER_RSA_PSS : SIGNER_RSA_PKCS1;
	case EVP_PKEY_ED25519:
		return SIGNER_ED25519;
	default:
		return SIGNER_ECDSA;
	}
}

/* With a NULL signature only the most bytes it can have are asked for. The last error stays with the key. */
static int signing_sign(void *data, unsigned char *signature, size_t *size, size_t room,
			const unsigned char *digest, size_t digest_size)
{
	struct signing *signing = data;
	struct pki_key *key = signing->key;
	uint8_t made[SIGNER_SIGNATURE_MAX];
	size_t made_size = 0;

	if (!signature) {
		*size = (size_t)EVP_PKEY_get_size(key->public_key);
		return 1;
	}
	key->error = (struct muster_error){ 0 };
	if (!pki_signer_sign(key->signer, key->public_key, get_scheme(signing), signing->hash,
			     digest, digest_size, made, &made_size, &key->error))
		return 0;
	if (made_size > room)
		return 0;
	memcpy(signature, made, made_size);
	*size = made_size;
	return 1;
}

static int signing_digest_init(void *data, const char *digest_name, void *key,
			       const OSSL_PARAM params[])
{
	struct signing *signing = data;

	if (key)
		signing->key = key;
	if (signing->key && EVP_PKEY_get_base_id(signing->key->public_key) == EVP_PKEY_ED25519)
		return signing_init(signing, NULL, params);
	if (!set_digest(signing, digest_name && *digest_name ? digest_name : "SHA256"))
		return 0;
	if (!signing->digest)
		signing->digest = EVP_MD_CTX_new();
	return signing->digest &&
	       EVP_DigestInit_ex(signing->digest, pki_hash_digest(signing->hash), NULL) == 1 &&
	       signing_init(signing, NULL, params);
}

static int signing_digest_update(void *data, const unsigned char *part, size_t size)
{
	struct signing *signing = data;

	return signing->digest && EVP_DigestUpdate(signing->digest, part, size) == 1;
}

static int signing_digest_final(void *data, unsigned char *signature, size_t *size, size_t room)
{
	struct signing *signing = data;
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned digest_size = 0;

	if (!signature)
		return signing_sign(signing, NULL, size, room, NULL, 0);
	if (!signing->digest || EVP_DigestFinal_ex(signing->digest, digest, &digest_size) != 1)
		return 0;
	return signing_sign(signing, signature, size, room, digest, digest_size);
}

/* In one go: all that Ed25519 can do, which signs the message itself. */
static int signing_digest_sign(void *data, unsigned char *signature, size_t *size, size_t room,
			       const unsigned char *message, size_t message_size)
{
	struct signing *signing = data;

	if (!signature || !signing->digest)
		return signing_sign(signing, signature, size, room, message, message_size);
	return signing_digest_update(signing, message, message_size) &&
	       signing_digest_final(signing, signature, size, room);
}

#define ROW(number, function)                                            \
	{                                                                \
		OSSL_FUNC_SIGNATURE_##number, (void (*)(void))(function) \
	}

const OSSL_DISPATCH pki_signature_functions[] = {
	ROW(NEWCTX, signing_new),
	ROW(FREECTX, signing_free),
	ROW(DUPCTX, signing_duplicate),
	ROW(SIGN_INIT, signing_init),
	ROW(SIGN, signing_sign),
	ROW(DIGEST_SIGN_INIT, signing_digest_init),
	ROW(DIGEST_SIGN_UPDATE, signing_digest_update),
	ROW(DIGEST_SIGN_FINAL, signing_digest_final),
	ROW(DIGEST_SIGN, signing_digest_sign),
	ROW(GET_CTX_PARAMS, signing_get_params),
	ROW(GETTABLE_CTX_PARAMS, signing_gettable_params),
	ROW(SET_CTX_PARAMS, signing_set_params),
	ROW(SETTABLE_CTX_PARAMS, signing_settable_params),
	{ 0 },
};
