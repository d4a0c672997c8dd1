/* Signing: the digest goes to the token as its mechanism wants it, and no signature leaves before it has been verified
 * with the public half. Finding a key can take a token as long as signing, so the last one used is kept,
 * and the last one made: who makes a key signs with it next, or has an authority's key sign for it. One that a session has
 * found serves the others, too: handles are the whole process's. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include "muster/encoding.h"

#include "hsm-internal.h"

DEFINE_FREEP(ECDSA_SIG_freep, ECDSA_SIG *, ECDSA_SIG_free)
DEFINE_FREEP(EVP_MD_CTX_freep, EVP_MD_CTX *, EVP_MD_CTX_free)
DEFINE_FREEP(BN_freep, BIGNUM *, BN_free)

#define INPUT_MAX 8192 /* FIELD_DIGEST */
#define DIGEST_INFO_PREFIX_SIZE 19

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
	{ SIGNER_RSA_PSS, EVP_PKEY_RSA, RSA_PKCS1_PSS_PADDING, CKM_RSA_PKCS_PSS,
	  "RSA-PSS signatures" },
	{ SIGNER_ED25519, EVP_PKEY_ED25519, 0, CKM_EDDSA, "Ed25519" },
};

static const struct hash {
	enum signer_hash hash;
	const EVP_MD *(*digest)(void);
	CK_MECHANISM_TYPE mechanism;
	CK_RSA_PKCS_MGF_TYPE mask;
	/* DER of DigestInfo up to the digest: RFC 8017 9.2 note 1. */
	uint8_t prefix[DIGEST_INFO_PREFIX_SIZE + 1];
} hashes[] = {
	{ SIGNER_SHA256, EVP_sha256, CKM_SHA256, CKG_MGF1_SHA256,
	  "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20" },
	{ SIGNER_SHA384, EVP_sha384, CKM_SHA384, CKG_MGF1_SHA384,
	  "\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30" },
	{ SIGNER_SHA512, EVP_sha512, CKM_SHA512, CKG_MGF1_SHA512,
	  "\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40" },
};

/* One signature that was asked for. */
struct job {
	const struct scheme *scheme;
	const struct hash *hash; /* NULL: the scheme brings its own */
	const struct bytes *digest;
};

void hsm_signing_done(struct hsm_signing *signing)
{
	EVP_PKEY_free(signing->public_half);
	*signing = (struct hsm_signing){ 0 };
}

static pthread_mutex_t sharing = PTHREAD_MUTEX_INITIALIZER;

static struct hsm_signing *shared_of(struct hsm *hsm)
{
	return hsm->owner ? &hsm->owner->shared : &hsm->shared;
}

void hsm_keys_forget(struct hsm *hsm)
{
	hsm_signing_done(&hsm->signing);
	hsm_signing_done(&hsm->made);
	pthread_mutex_lock(&sharing);
	hsm_signing_done(shared_of(hsm));
	pthread_mutex_unlock(&sharing);
	free(hsm->deriving.uri);
	hsm->deriving.uri = NULL;
}

static const struct scheme *scheme_find(enum signer_scheme scheme)
{
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (schemes[i].scheme == scheme)
			return &schemes[i];
	return NULL;
}

static const struct hash *hash_find(enum signer_hash hash)
{
	for (size_t i = 0; i < ARRAY_SIZE(hashes); i++)
		if (hashes[i].hash == hash)
			return &hashes[i];
	return NULL;
}

static bool job_is_sound(const struct job *job)
{
	if (!job->scheme)
		return false;
	if (job->scheme->scheme == SIGNER_ED25519)
		return !job->hash && job->digest->size <= INPUT_MAX;
	return job->hash && job->digest->size == (size_t)EVP_MD_get_size(job->hash->digest());
}

/* -- The key ----------------------------------------------------------------------------------------------- */

static bool is_ready(const struct hsm_signing *signing, const struct hsm_id *id)
{
	return signing->public_half && signing->id.size == id->size &&
	       memcmp(signing->id.data, id->data, id->size) == 0;
}

static void copy(struct hsm_signing *to, const struct hsm_signing *from)
{
	hsm_signing_done(to);
	*to = *from;
	EVP_PKEY_up_ref(to->public_half);
}

static bool take_shared(struct hsm *hsm, const struct hsm_id *id)
{
	bool found;

	pthread_mutex_lock(&sharing);
	found = is_ready(shared_of(hsm), id);
	if (found)
		copy(&hsm->signing, shared_of(hsm));
	pthread_mutex_unlock(&sharing);
	return found;
}

static void share(struct hsm *hsm)
{
	pthread_mutex_lock(&sharing);
	copy(shared_of(hsm), &hsm->signing);
	pthread_mutex_unlock(&sharing);
}

static bool signing_prepare(struct hsm *hsm, const struct hsm_id *id, struct muster_error *err)
{
	CLEANUP(hsm_signing_done) struct hsm_signing signing = { .id = *id };
	const struct hsm_key_type *type;
	enum hsm_state asks;

	if (is_ready(&hsm->signing, id))
		return true;
	if (is_ready(&hsm->made, id)) {
		hsm_signing_done(&hsm->signing);
		hsm->signing = hsm->made;
		hsm->made = (struct hsm_signing){ 0 };
		return true;
	}
	if (take_shared(hsm, id))
		return true;
	if (!hsm_private_key(hsm, id, &signing.private_half, err) ||
	    !hsm_public_of(hsm, signing.private_half, id, &signing.public_half, &type, err) ||
	    !hsm_attribute_state(hsm, signing.private_half, CKA_ALWAYS_AUTHENTICATE, &asks, err))
		return false;
	if (asks == HSM_TRUE)
		return muster_fail(err, CAUSE_HSM_UNSUPPORTED,
				   "the key wants its PIN before each signature");
	if (!signing.public_half)
		return muster_fail(err, CAUSE_HSM_UNSUPPORTED,
				   "token '%s' does not show the key's public half",
				   HSM_LABEL(&hsm->token));
	hsm_signing_done(&hsm->signing);
	hsm->signing = signing;
	signing = (struct hsm_signing){ 0 };
	share(hsm);
	return true;
}

/* -- Asking the token ---------------------------------------------------------------------------------------- */

/* What C_Sign gets: the digest, or the whole DigestInfo. */
static size_t input_fill(const struct job *job, uint8_t input[INPUT_MAX])
{
	size_t prefix = job->scheme->scheme == SIGNER_RSA_PKCS1 ? DIGEST_INFO_PREFIX_SIZE : 0;

	if (prefix > 0)
		memcpy(input, job->hash->prefix, prefix);
	memcpy(input + prefix, job->digest->data, job->digest->size);
	return prefix + job->digest->size;
}

static bool token_sign(struct hsm *hsm, const struct job *job,
		       uint8_t signature[SIGNER_SIGNATURE_MAX], CK_ULONG *ret_size,
		       struct muster_error *err)
{
	CK_RSA_PKCS_PSS_PARAMS pss = { 0 };
	CK_MECHANISM mechanism = { job->scheme->mechanism, NULL, 0 };
	uint8_t input[INPUT_MAX];
	CK_ULONG size = SIGNER_SIGNATURE_MAX;
	CK_RV rv;

	if (job->scheme->scheme == SIGNER_RSA_PSS) {
		pss = (CK_RSA_PKCS_PSS_PARAMS){ job->hash->mechanism, job->hash->mask,
						job->digest->size };
		mechanism = (CK_MECHANISM){ CKM_RSA_PKCS_PSS, &pss, sizeof(pss) };
	}
	rv = hsm->calls->C_SignInit(hsm->session, &mechanism, hsm->signing.private_half);
	if (rv == CKR_OK)
		rv = hsm->calls->C_Sign(hsm->session, input, input_fill(job, input), signature,
					&size);
	if (rv != CKR_OK)
		return hsm_fail(err, rv, "signing with token '%s'", HSM_LABEL(&hsm->token));
	if (size == 0 || size > SIGNER_SIGNATURE_MAX)
		return muster_fail(err, CAUSE_HSM_ANSWER_INVALID,
				   "token '%s' made a signature of %lu bytes",
				   HSM_LABEL(&hsm->token), size);
	*ret_size = size;
	return true;
}

/* PKCS#11 gives r and s side by side, X.509 and TLS want DER. */
static bool ecdsa_encode(uint8_t signature[SIGNER_SIGNATURE_MAX], size_t *size,
			 struct muster_error *err)
{
	CLEANUP(ECDSA_SIG_freep) ECDSA_SIG *pair = ECDSA_SIG_new();
	CLEANUP(BN_freep) BIGNUM *r = BN_bin2bn(signature, (int)(*size / 2), NULL);
	CLEANUP(BN_freep)
	BIGNUM *s = BN_bin2bn(signature + *size / 2, (int)(*size / 2), NULL);
	uint8_t *out = signature;

	if (*size % 2 != 0 || *size > SIGNER_SIGNATURE_MAX / 2)
		return muster_fail(err, CAUSE_HSM_ANSWER_INVALID, "an ECDSA signature of %zu bytes",
				   *size);
	if (!pair || !r || !s || ECDSA_SIG_set0(pair, r, s) != 1)
		return muster_fail_memory(err);
	r = s = NULL;
	*size = (size_t)i2d_ECDSA_SIG(pair, &out);
	return true;
}

/* -- Trusting no answer ------------------------------------------------------------------------------------- */

static bool set_parameters(EVP_PKEY_CTX *context, const struct job *job)
{
	int padding = job->scheme->padding;

	if (padding && EVP_PKEY_CTX_set_rsa_padding(context, padding) != 1)
		return false;
	if (EVP_PKEY_CTX_set_signature_md(context, job->hash->digest()) != 1)
		return false;
	return padding != RSA_PKCS1_PSS_PADDING ||
	       EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

static bool verify_digest(EVP_PKEY *key, const struct job *job, const uint8_t *signature,
			  size_t size)
{
	CLEANUP(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);

	return context && EVP_PKEY_verify_init(context) == 1 && set_parameters(context, job) &&
	       EVP_PKEY_verify(context, signature, size, job->digest->data, job->digest->size) == 1;
}

static bool verify_message(EVP_PKEY *key, const struct job *job, const uint8_t *signature,
			   size_t size)
{
	CLEANUP(EVP_MD_CTX_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();

	return context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
	       EVP_DigestVerify(context, signature, size, job->digest->data, job->digest->size) ==
		       1;
}

static bool verify(struct hsm *hsm, const struct job *job, const uint8_t *signature, size_t size,
		   struct muster_error *err)
{
	EVP_PKEY *key = hsm->signing.public_half;
	bool is_valid = job->hash ? verify_digest(key, job, signature, size)
				  : verify_message(key, job, signature, size);

	if (!is_valid)
		return hsm_fail_openssl(err, CAUSE_SIGNATURE_INVALID,
					"verifying the signature that token '%s' made",
					HSM_LABEL(&hsm->token));
	ERR_clear_error();
	return true;
}

static bool sign_and_verify(struct hsm *hsm, const struct job *job,
			    uint8_t signature[SIGNER_SIGNATURE_MAX], size_t *ret_size,
			    struct muster_error *err)
{
	CK_ULONG made;

	if (!token_sign(hsm, job, signature, &made, err))
		return false;
	*ret_size = made;
	if (job->scheme->scheme == SIGNER_ECDSA && !ecdsa_encode(signature, ret_size, err))
		return false;
	return verify(hsm, job, signature, *ret_size, err);
}

bool hsm_sign(struct hsm *hsm, const struct hsm_id *id, enum signer_scheme scheme,
	      enum signer_hash hash, const struct bytes *digest,
	      uint8_t signature[SIGNER_SIGNATURE_MAX], size_t *ret_size, struct muster_error *err)
{
	struct job job = { scheme_find(scheme), hash_find(hash), digest };
	size_t size;

	if (!hsm_require_login(hsm, err))
		return false;
	if (!job_is_sound(&job))
		return muster_fail(err, CAUSE_HSM_UNSUPPORTED,
				   "no signature scheme %d with hash %d over %zu bytes", scheme,
				   hash, digest->size);
	ERR_clear_error();
	if (!signing_prepare(hsm, id, err))
		return false;
	if (EVP_PKEY_get_base_id(hsm->signing.public_half) != job.scheme->key_type)
		return muster_fail(err, CAUSE_HSM_UNSUPPORTED, "the key is not for %s",
				   job.scheme->name);
	if (!hsm_require_mechanism(hsm, job.scheme->mechanism, CKF_SIGN, job.scheme->name, err) ||
	    !sign_and_verify(hsm, &job, signature, &size, err))
		return false;
	*ret_size = size;
	return true;
}

/* -- Whose the private half is --------------------------------------------------------------------------------- */

/* The first that the token offers for such a key; NULL: none. */
static const struct scheme *scheme_of(struct hsm *hsm, EVP_PKEY *public_half)
{
	struct muster_error lacks;

	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (EVP_PKEY_get_base_id(public_half) == schemes[i].key_type &&
		    hsm_require_mechanism(hsm, schemes[i].mechanism, CKF_SIGN, schemes[i].name,
					  &lacks))
			return &schemes[i];
	return NULL;
}

/* These halves are at hand for one signature only: by their ID they would be found for others, too. */
bool hsm_sign_random(struct hsm *hsm, CK_OBJECT_HANDLE private_half, EVP_PKEY *public_half,
		     bool *ret_tried, struct muster_error *err)
{
	uint8_t random[32], signature[SIGNER_SIGNATURE_MAX];
	const struct bytes digest = { random, sizeof(random) };
	struct job job = { scheme_of(hsm, public_half), NULL, &digest };
	size_t size;
	bool good;

	*ret_tried = job.scheme != NULL;
	if (!job.scheme)
		return true;
	if (job.scheme->scheme != SIGNER_ED25519)
		job.hash = hash_find(SIGNER_SHA256);
	if (!random_bytes(random, sizeof(random), err))
		return false;
	ERR_clear_error();
	hsm_signing_done(&hsm->signing);
	hsm->signing.private_half = private_half;
	hsm->signing.public_half = public_half;
	EVP_PKEY_up_ref(public_half);
	good = sign_and_verify(hsm, &job, signature, &size, err);
	hsm_signing_done(&hsm->signing);
	return good;
}
