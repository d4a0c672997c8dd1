/* One signature by a signer, verified before anybody uses it. */
#include "pki-internal.h"

#include <openssl/err.h>
#include <openssl/rsa.h>

const EVP_MD *pki_hash_digest(enum signer_hash hash)
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

static bool verify_message(EVP_PKEY *key, const uint8_t *message, size_t message_size,
			   const uint8_t *signature, size_t size)
{
	CLEANUP(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	return ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
	       EVP_DigestVerify(ctx, signature, size, message, message_size) == 1;
}

static bool set_padding(EVP_PKEY_CTX *ctx, enum signer_scheme scheme)
{
	if (scheme == SIGNER_RSA_PKCS1)
		return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
	if (scheme == SIGNER_RSA_PSS)
		return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
		       EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
	return scheme == SIGNER_ECDSA;
}

static bool verify_digest(EVP_PKEY *key, enum signer_scheme scheme, enum signer_hash hash,
			  const uint8_t *digest, size_t digest_size, const uint8_t *signature,
			  size_t size)
{
	CLEANUP(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);

	return ctx && EVP_PKEY_verify_init(ctx) == 1 && set_padding(ctx, scheme) &&
	       EVP_PKEY_CTX_set_signature_md(ctx, pki_hash_digest(hash)) == 1 &&
	       EVP_PKEY_verify(ctx, signature, size, digest, digest_size) == 1;
}

bool pki_signer_sign(struct signer *signer, EVP_PKEY *public_key, enum signer_scheme scheme,
		     enum signer_hash hash, const uint8_t *digest, size_t digest_size,
		     uint8_t signature[SIGNER_SIGNATURE_MAX], size_t *ret_size,
		     struct muster_error *err)
{
	size_t size = 0;
	bool is_valid;

	if (scheme != SIGNER_ED25519 &&
	    (hash == SIGNER_HASH_NONE ||
	     digest_size != (size_t)EVP_MD_get_size(pki_hash_digest(hash))))
		return muster_fail(err, CAUSE_INTERNAL, "a digest of %zu bytes cannot be signed",
				   digest_size);
	if (!signer->sign(signer, scheme, hash, digest, digest_size, signature, &size, err))
		return false;
	if (size == 0 || size > SIGNER_SIGNATURE_MAX)
		return muster_fail(err, CAUSE_SIGNATURE_INVALID, "a signature of %zu bytes", size);
	is_valid = scheme == SIGNER_ED25519
			   ? verify_message(public_key, digest, digest_size, signature, size)
			   : verify_digest(public_key, scheme, hash, digest, digest_size, signature,
					   size);
	ERR_clear_error();
	if (!is_valid)
		return muster_fail(err, CAUSE_SIGNATURE_INVALID,
				   "a signature just made does not verify");
	*ret_size = size;
	return true;
}
