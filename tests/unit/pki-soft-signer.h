/* A signer over a key in memory, as a token would be: it is given a digest and a scheme, and nothing else. */
#pragma once

#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "muster/pki.h"

struct soft_signer {
	struct signer signer;
	EVP_PKEY *key;
	unsigned calls;
	bool is_broken; /* refuses */
	bool is_lying;  /* spoils the signature */
};

static inline const EVP_MD *soft_digest(enum signer_hash hash)
{
	return hash == SIGNER_SHA256 ? EVP_sha256()
				     : (hash == SIGNER_SHA384 ? EVP_sha384() : EVP_sha512());
}

static inline bool soft_sign_message(EVP_PKEY *key, const uint8_t *message, size_t message_size,
				     uint8_t *signature, size_t *size)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool is_made = EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
		       EVP_DigestSign(ctx, signature, size, message, message_size) == 1;

	EVP_MD_CTX_free(ctx);
	return is_made;
}

static inline bool soft_sign_digest(EVP_PKEY *key, enum signer_scheme scheme, enum signer_hash hash,
				    const uint8_t *digest, size_t digest_size, uint8_t *signature,
				    size_t *size)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	bool is_made = EVP_PKEY_sign_init(ctx) == 1;

	if (scheme == SIGNER_RSA_PSS)
		is_made = is_made &&
			  EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
			  EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
	is_made = is_made && EVP_PKEY_CTX_set_signature_md(ctx, soft_digest(hash)) == 1 &&
		  EVP_PKEY_sign(ctx, signature, size, digest, digest_size) == 1;
	EVP_PKEY_CTX_free(ctx);
	return is_made;
}

static inline bool soft_sign(struct signer *signer, enum signer_scheme scheme,
			     enum signer_hash hash, const uint8_t *digest, size_t digest_size,
			     uint8_t signature[SIGNER_SIGNATURE_MAX], size_t *ret_size,
			     struct muster_error *err)
{
	struct soft_signer *soft = signer->context;
	size_t size = SIGNER_SIGNATURE_MAX;
	bool is_made;

	soft->calls++;
	if (soft->is_broken)
		return muster_fail(err, CAUSE_PIN_LOCKED, "the PIN is locked");
	is_made = scheme == SIGNER_ED25519
			  ? soft_sign_message(soft->key, digest, digest_size, signature, &size)
			  : soft_sign_digest(soft->key, scheme, hash, digest, digest_size,
					     signature, &size);
	if (!is_made)
		return muster_fail(err, CAUSE_INTERNAL, "the soft signer failed");
	if (soft->is_lying)
		signature[size - 1] ^= 1;
	*ret_size = size;
	return true;
}

/* `type`: "ec-p256", "rsa-2048", "ed25519" ... */
static inline bool soft_signer_init(struct soft_signer *soft, const char *type)
{
	struct muster_error err;

	*soft = (struct soft_signer){ .signer = { .sign = soft_sign } };
	soft->signer.context = soft;
	if (text_has_prefix(type, "ec-p256"))
		soft->key = EVP_EC_gen("P-256");
	else if (text_has_prefix(type, "ec-p384"))
		soft->key = EVP_EC_gen("P-384");
	else if (text_has_prefix(type, "ec-p521"))
		soft->key = EVP_EC_gen("P-521");
	else if (text_has_prefix(type, "rsa"))
		soft->key = EVP_RSA_gen(2048);
	else
		soft->key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	return soft->key && pki_public_key_der(soft->key, &soft->signer.spki, &err);
}

static inline void soft_signer_done(struct soft_signer *soft)
{
	EVP_PKEY_free(soft->key);
	bytes_done(&soft->signer.spki);
}
