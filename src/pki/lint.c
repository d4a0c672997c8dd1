/* Lint before signing: what the hardware key is going to sign was signed by a throw-away key first, read back from its
 * bytes and found good; and what it then did sign are the same bytes. */
#include "pki-internal.h"

#include <string.h>

#include <openssl/err.h>

#include "muster/x509-bare.h"

struct pki_linted {
	X509 *certificate; /* its signature is the throw-away key's until it is signed */
	struct bytes tbs;
	EVP_PKEY *signer;        /* borrowed */
	EVP_PKEY *signer_public; /* an ordinary key */
};

void pki_linted_free(struct pki_linted *linted)
{
	if (!linted)
		return;
	X509_free(linted->certificate);
	EVP_PKEY_free(linted->signer_public);
	bytes_done(&linted->tbs);
	free(linted);
}

const struct bytes *pki_linted_tbs(const struct pki_linted *linted)
{
	return &linted->tbs;
}

const X509 *pki_linted_certificate(const struct pki_linted *linted)
{
	return linted->certificate;
}

/* -- The throw-away key ------------------------------------------------------------------------------------------ */

static EVP_PKEY *make_throw_away(const EVP_PKEY *like)
{
	char group[64];
	size_t size;

	if (EVP_PKEY_is_a(like, "RSA"))
		return EVP_RSA_gen(2048);
	if (EVP_PKEY_is_a(like, "ED25519"))
		return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (EVP_PKEY_get_group_name(like, group, sizeof(group), &size) != 1)
		return NULL;
	return EVP_EC_gen(group);
}

/* The algorithm stands in the bytes to be signed, so the key has to be of the signer's kind. It protects nothing: one
 * serves until a signer of another kind comes. */
static EVP_PKEY *throw_away_key(const EVP_PKEY *like)
{
	static EVP_PKEY *key;

	if (key && (EVP_PKEY_get_base_id(key) != EVP_PKEY_get_base_id(like) ||
		    EVP_PKEY_parameters_eq(key, like) == 0)) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	if (!key)
		key = make_throw_away(like);
	if (key)
		EVP_PKEY_up_ref(key);
	return key;
}

/* -- Lint -------------------------------------------------------------------------------------------------------- */

static bool check_issuer(const struct pki_plan *plan, struct muster_error *err)
{
	X509 *issuer = plan->issuer_certificate;

	if (!issuer != !plan->issuer_key)
		return muster_fail(err, CAUSE_INTERNAL, "an issuer needs key and certificate");
	if (!issuer)
		return true;
	if (X509_check_ca(issuer) != 1)
		return muster_fail(err, CAUSE_CERTIFICATE_INVALID,
				   "the issuer's certificate is not an authority's (CA:TRUE)");
	if (!(X509_get_key_usage(issuer) & KU_KEY_CERT_SIGN))
		return muster_fail(err, CAUSE_CERTIFICATE_INVALID,
				   "the issuer's key usage does not have keyCertSign");
	if (X509_check_private_key(issuer, plan->issuer_key) != 1)
		return pki_fail(err, CAUSE_CERTIFICATE_INVALID,
				"the issuer's key does not belong to its certificate");
	return true;
}

static bool public_half(const EVP_PKEY *key, EVP_PKEY **ret_key, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes spki = { 0 };

	return pki_public_key_der(key, &spki, err) && pki_public_key_read(&spki, ret_key, err);
}

/* check_issuer has seen that the certificate's key is the signer's. */
static bool take_signer(const struct pki_plan *plan, struct pki_linted *linted,
			struct muster_error *err)
{
	linted->signer = plan->issuer_key ? plan->issuer_key : plan->key;
	if (!plan->issuer_certificate)
		return public_half(linted->signer, &linted->signer_public, err);
	linted->signer_public = X509_get_pubkey(plan->issuer_certificate);
	return linted->signer_public ||
	       pki_fail(err, CAUSE_CERTIFICATE_INVALID, "taking the issuer's key");
}

static bool lint(const struct pki_plan *plan, struct pki_linted *linted, struct muster_error *err)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *throw_away = NULL;
	CLEANUP(bytes_done) struct bytes der = { 0 };
	CLEANUP(X509_freep) X509 *copy = NULL;

	if (!check_issuer(plan, err) || !take_signer(plan, linted, err) ||
	    !pki_key_check(linted->signer_public, err) ||
	    !pki_plan_compose(plan, &linted->certificate, err))
		return false;
	throw_away = throw_away_key(linted->signer_public);
	if (!throw_away)
		return pki_fail(err, CAUSE_CRYPTO, "making a throw-away key");
	if (!pki_x509_sign(linted->certificate, throw_away, err) ||
	    !pki_certificate_der(linted->certificate, &der, err))
		return false;
	copy = x509_read_bare(der.data, der.size);
	if (!copy)
		return pki_fail(err, CAUSE_CERTIFICATE_INVALID, "reading it back");
	return pki_x509_tbs(copy, &linted->tbs, err) && pki_lint_rules(copy, plan, err);
}

bool pki_certificate_lint(const struct pki_plan *plan, struct pki_linted **ret_linted,
			  struct muster_error *err)
{
	CLEANUP(pki_linted_freep) struct pki_linted *linted = calloc(1, sizeof(*linted));

	if (!linted)
		return muster_fail_memory(err);
	if (!lint(plan, linted, err))
		return false;
	ERR_clear_error();
	*ret_linted = TAKE_PTR(linted);
	return true;
}

/* -- Signing ------------------------------------------------------------------------------------------------------ */

static bool fail_changed(struct muster_error *err)
{
	return muster_fail(err, CAUSE_CERTIFICATE_INVALID,
			   "what was signed is not what was looked at before");
}

bool pki_certificate_sign(struct pki_linted *linted, X509 **ret_certificate,
			  struct muster_error *err)
{
	CLEANUP(X509_freep) X509 *certificate = NULL;
	CLEANUP(bytes_done) struct bytes tbs = { 0 };

	if (!pki_x509_sign_and_read(linted->certificate, linted->signer, &certificate, err) ||
	    !pki_x509_tbs(certificate, &tbs, err))
		return false;
	if (!bytes_equal(&tbs, &linted->tbs))
		return fail_changed(err);
	if (X509_verify(certificate, linted->signer_public) != 1)
		return pki_fail(err, CAUSE_SIGNATURE_INVALID, "verifying the certificate");
	*ret_certificate = TAKE_PTR(certificate);
	return true;
}

/* -- Signing by whoever is asked for it --------------------------------------------------------------------------- */

static bool digest_tbs(const struct pki_linted *linted, const EVP_MD *digest,
		       struct bytes *ret_digest, struct muster_error *err)
{
	uint8_t out[EVP_MAX_MD_SIZE];
	unsigned size;

	if (!digest)
		return bytes_copy(ret_digest, linted->tbs.data, linted->tbs.size, err);
	return EVP_Digest(linted->tbs.data, linted->tbs.size, out, &size, digest, NULL) == 1
		       ? bytes_copy(ret_digest, out, size, err)
		       : pki_fail(err, CAUSE_CRYPTO, "hashing what is to be signed");
}

bool pki_linted_wants(const struct pki_linted *linted, struct pki_wanted *ret_wanted,
		      struct muster_error *err)
{
	const EVP_MD *digest = pki_digest_of_key(linted->signer_public);

	ret_wanted->scheme = EVP_PKEY_is_a(linted->signer_public, "RSA")  ? SIGNER_RSA_PKCS1
			     : EVP_PKEY_is_a(linted->signer_public, "EC") ? SIGNER_ECDSA
									  : SIGNER_ED25519;
	ret_wanted->hash = SIGNER_HASH_NONE;
	for (int hash = SIGNER_SHA256; digest && hash <= SIGNER_SHA512; hash++)
		if (EVP_MD_get_type(pki_hash_digest(hash)) == EVP_MD_get_type(digest))
			ret_wanted->hash = hash;
	return digest_tbs(linted, digest, &ret_wanted->digest, err);
}

/* RFC 5280 4.1: what was looked at, its algorithm again, the signature. */
static bool assemble(const struct pki_linted *linted, const struct bytes *signature,
		     struct bytes *ret_der, struct muster_error *err)
{
	int bits = (int)signature->size + 1, inner, size, algorithm_size;
	const X509_ALGOR *algorithm;
	struct bytes der;
	uint8_t *at;

	X509_get0_signature(NULL, &algorithm, linted->certificate);
	algorithm_size = i2d_X509_ALGOR(algorithm, NULL);
	inner = (int)linted->tbs.size + algorithm_size +
		ASN1_object_size(0, bits, V_ASN1_BIT_STRING);
	size = ASN1_object_size(1, inner, V_ASN1_SEQUENCE);
	der = (struct bytes){ calloc(1, (size_t)size), (size_t)size };
	if (!der.data)
		return muster_fail_memory(err);
	at = der.data;
	ASN1_put_object(&at, 1, inner, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
	memcpy(at, linted->tbs.data, linted->tbs.size);
	at += linted->tbs.size;
	i2d_X509_ALGOR(algorithm, &at);
	ASN1_put_object(&at, 0, bits, V_ASN1_BIT_STRING, V_ASN1_UNIVERSAL);
	*at++ = 0;
	memcpy(at, signature->data, signature->size);
	*ret_der = der;
	return true;
}

/* As X509_verify does it, with the bytes that were read back. */
static bool is_signed(const struct pki_linted *linted, const X509 *certificate)
{
	CLEANUP(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	const EVP_MD *digest = pki_digest_of_key(linted->signer_public);
	const ASN1_BIT_STRING *signature;

	X509_get0_signature(&signature, NULL, certificate);
	return ctx && EVP_DigestVerifyInit(ctx, NULL, digest, NULL, linted->signer_public) == 1 &&
	       EVP_DigestVerify(ctx, ASN1_STRING_get0_data(signature),
				(size_t)ASN1_STRING_length(signature), linted->tbs.data,
				linted->tbs.size) == 1;
}

bool pki_linted_sign(const struct pki_linted *linted, const struct bytes *signature,
		     struct bytes *ret_der, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes der = { 0 }, tbs = { 0 };
	CLEANUP(X509_freep) X509 *certificate = NULL;

	if (!assemble(linted, signature, &der, err))
		return false;
	certificate = x509_read_bare(der.data, der.size);
	if (!certificate)
		return pki_fail(err, CAUSE_CERTIFICATE_INVALID, "reading it back");
	if (!pki_x509_tbs(certificate, &tbs, err))
		return false;
	if (!bytes_equal(&tbs, &linted->tbs))
		return fail_changed(err);
	if (!is_signed(linted, certificate))
		return pki_fail(err, CAUSE_SIGNATURE_INVALID, "verifying the certificate");
	*ret_der = der;
	der = (struct bytes){ 0 };
	return true;
}

bool pki_certificate_make(const struct pki_plan *plan, X509 **ret_certificate,
			  struct muster_error *err)
{
	CLEANUP(pki_linted_freep) struct pki_linted *linted = NULL;

	return pki_certificate_lint(plan, &linted, err) &&
	       pki_certificate_sign(linted, ret_certificate, err);
}
