/* Signing goes through libp11's EVP_PKEY: OpenSSL pads and encodes, the token signs. Two things are kept from it.
 * libp11 finds a private key only by reading every key of the token, so the last one used is kept. And it joins halves
 * by ID alone and remembers objects that are gone, so a key is only taken when its public half is the one that we read
 * ourselves, and no signature leaves before it has been verified with that. */
#include <string.h>

#include <openssl/err.h>
#include <openssl/rsa.h>

#include "hsm-internal.h"

/* What libp11 asks the token to do for a scheme. PSS is padded here and needs the bare RSA operation. */
static const struct scheme {
	enum signer_scheme scheme;
	int key_type; /* EVP_PKEY_ */
	int padding;
	CK_MECHANISM_TYPE mechanism;
	const char *name;
} schemes[] = {
	{ SIGNER_ECDSA, EVP_PKEY_EC, 0, CKM_ECDSA, "ECDSA" },
	{ SIGNER_RSA_PKCS1, EVP_PKEY_RSA, RSA_PKCS1_PADDING, CKM_RSA_PKCS,
	  "RSA PKCS#1 signatures" },
	{ SIGNER_RSA_PSS, EVP_PKEY_RSA, RSA_PKCS1_PSS_PADDING, CKM_RSA_X_509,
	  "bare RSA, which PSS signatures need" },
};

void hsm_signing_done(struct hsm_signing *signing)
{
	EVP_PKEY_free(signing->private_half);
	EVP_PKEY_free(signing->public_half);
	*signing = (struct hsm_signing){ 0 };
}

static const struct scheme *scheme_find(enum signer_scheme scheme)
{
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (schemes[i].scheme == scheme)
			return &schemes[i];
	return NULL;
}

static const EVP_MD *hash_of(enum signer_hash hash)
{
	switch (hash) {
	case SIGNER_SHA256:
		return EVP_sha256();
	case SIGNER_SHA384:
		return EVP_sha384();
	case SIGNER_SHA512:
		return EVP_sha512();
	case SIGNER_HASH_NONE:
		break;
	}
	return NULL;
}

/* -- The key ----------------------------------------------------------------------------------------------- */

static bool is_of_id(const PKCS11_KEY *key, const struct hsm_id *id)
{
	return key->id_len == id->size && memcmp(key->id, id->data, id->size) == 0;
}

/* libp11's key whose public half is `public_half`; the newest first, for older ones may be gone. */
static bool libp11_key_find(struct hsm *hsm, const struct hsm_id *id, EVP_PKEY *public_half,
			    EVP_PKEY **ret_key, struct muster_error *err)
{
	PKCS11_KEY *keys = NULL;
	unsigned count = 0;

	if (PKCS11_enumerate_keys(hsm->slot->token, &keys, &count) != 0)
		return hsm_fail_openssl(err, CAUSE_HSM_COMMAND_FAILED,
					"listing the keys of token '%s'", HSM_LABEL(&hsm->token));
	while (count-- > 0) {
		CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;

		if (!is_of_id(&keys[count], id))
			continue;
		key = PKCS11_get_private_key(&keys[count]);
		if (key && EVP_PKEY_eq(key, public_half) == 1) {
			*ret_key = TAKE_PTR(key);
			return true;
		}
	}
	return hsm_fail_openssl(err, CAUSE_HSM_ANSWER_INVALID,
				"looking for the private key whose public half token '%s' shows",
				HSM_LABEL(&hsm->token));
}

static bool is_ready(const struct hsm_signing *signing, const struct hsm_id *id)
{
	return signing->private_half && signing->id.size == id->size &&
	       memcmp(signing->id.data, id->data, id->size) == 0;
}

static bool signing_prepare(struct hsm *hsm, const struct hsm_id *id, struct muster_error *err)
{
	CLEANUP(hsm_signing_done) struct hsm_signing signing = { .id = *id };
	const struct hsm_key_type *type;
	CK_OBJECT_HANDLE private_key;
	enum hsm_state asks;

	if (is_ready(&hsm->signing, id))
		return true;
	if (!hsm_private_key(hsm, id, &private_key, err) ||
	    !hsm_public_of(hsm, private_key, id, &signing.public_half, &type, err) ||
	    !hsm_attribute_state(hsm, private_key, CKA_ALWAYS_AUTHENTICATE, &asks, err))
		return false;
	if (asks == HSM_TRUE) /* libp11 would ask at the terminal */
		return muster_fail(err, CAUSE_HSM_UNSUPPORTED,
				   "the key wants its PIN before each signature");
	if (!signing.public_half)
		return muster_fail(err, CAUSE_HSM_UNSUPPORTED,
				   "token '%s' does not show the key's public half",
				   HSM_LABEL(&hsm->token));
	if (!libp11_key_find(hsm, id, signing.public_half, &signing.private_half, err))
		return false;
	hsm_signing_done(&hsm->signing);
	hsm->signing = signing;
	signing = (struct hsm_signing){ 0 };
	return true;
}

/* -- The signature ------------------------------------------------------------------------------------------ */

static bool set_parameters(EVP_PKEY_CTX *context, const struct scheme *scheme, const EVP_MD *hash)
{
	if (scheme->padding && EVP_PKEY_CTX_set_rsa_padding(context, scheme->padding) != 1)
		return false;
	if (EVP_PKEY_CTX_set_signature_md(context, hash) != 1)
		return false;
	return scheme->padding != RSA_PKCS1_PSS_PADDING ||
	       EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

static bool sign(const struct hsm_signing *signing, const struct scheme *scheme, const EVP_MD *hash,
		 const struct bytes *digest, uint8_t signature[SIGNER_SIGNATURE_MAX],
		 size_t *ret_size)
{
	CLEANUP(EVP_PKEY_CTX_freep)
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(signing->private_half, NULL);

	*ret_size = SIGNER_SIGNATURE_MAX;
	return context && EVP_PKEY_sign_init(context) == 1 &&
	       set_parameters(context, scheme, hash) &&
	       EVP_PKEY_sign(context, signature, ret_size, digest->data, digest->size) == 1;
}

static bool verify(const struct hsm_signing *signing, const struct scheme *scheme,
		   const EVP_MD *hash, const struct bytes *digest, const uint8_t *signature,
		   size_t size)
{
	CLEANUP(EVP_PKEY_CTX_freep)
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(signing->public_half, NULL);

	return context && EVP_PKEY_verify_init(context) == 1 &&
	       set_parameters(context, scheme, hash) &&
	       EVP_PKEY_verify(context, signature, size, digest->data, digest->size) == 1;
}

bool hsm_sign(struct hsm *hsm, const struct hsm_id *id, enum signer_scheme scheme_number,
	      enum signer_hash hash_number, const struct bytes *digest,
	      uint8_t signature[SIGNER_SIGNATURE_MAX], size_t *ret_size, struct muster_error *err)
{
	const struct scheme *scheme = scheme_find(scheme_number);
	const EVP_MD *hash = hash_of(hash_number);
	size_t size;

	if (!hsm_require_login(hsm, err))
		return false;
	if (!scheme || !hash || digest->size != (size_t)EVP_MD_get_size(hash))
		return muster_fail(err, CAUSE_HSM_UNSUPPORTED,
				   "no signature scheme %d with hash %d over %zu bytes",
				   scheme_number, hash_number, digest->size);
	ERR_clear_error();
	if (!signing_prepare(hsm, id, err))
		return false;
	if (EVP_PKEY_get_base_id(hsm->signing.public_half) != scheme->key_type)
		return muster_fail(err, CAUSE_HSM_UNSUPPORTED, "the key is not for %s",
				   scheme->name);
	if (!hsm_require_mechanism(hsm, scheme->mechanism, CKF_SIGN, scheme->name, err))
		return false;
	if (!sign(&hsm->signing, scheme, hash, digest, signature, &size))
		return hsm_fail_openssl(err, CAUSE_HSM_COMMAND_FAILED, "signing with token '%s'",
					HSM_LABEL(&hsm->token));
	if (!verify(&hsm->signing, scheme, hash, digest, signature, size))
		return hsm_fail_openssl(err, CAUSE_SIGNATURE_INVALID,
					"verifying the signature that token '%s' made",
					HSM_LABEL(&hsm->token));
	ERR_clear_error();
	*ret_size = size;
	return true;
}
