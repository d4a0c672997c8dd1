/* What the files of pki share: errors, the provider, names, and owners for OpenSSL's types. */
#pragma once

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_dispatch.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "muster/pki.h"

DEFINE_FREEP(ASN1_INTEGER_freep, ASN1_INTEGER *, ASN1_INTEGER_free)
DEFINE_FREEP(BIGNUM_freep, BIGNUM *, BN_free)
DEFINE_FREEP(BIO_freep, BIO *, BIO_free_all)
DEFINE_FREEP(EVP_MD_CTX_freep, EVP_MD_CTX *, EVP_MD_CTX_free)
DEFINE_FREEP(EVP_PKEY_CTX_freep, EVP_PKEY_CTX *, EVP_PKEY_CTX_free)
DEFINE_FREEP(X509_NAME_freep, X509_NAME *, X509_NAME_free)
DEFINE_FREEP(X509_PUBKEY_freep, X509_PUBKEY *, X509_PUBKEY_free)
DEFINE_FREEP(X509_EXTENSION_freep, X509_EXTENSION *, X509_EXTENSION_free)

/* -- Errors: each puts the oldest entry of OpenSSL's queue behind the message and empties the queue ---------- */

/* Returns false. */
bool pki_fail(struct muster_error *err, enum muster_cause cause, const char *format, ...)
	PRINTF_LIKE(3, 4);
/* What was written into the memory BIO, as text; caller frees. */
bool pki_take_text(BIO *bio, char **ret_text, struct muster_error *err) MUST_CHECK;

/* -- The provider behind pki_key_from_signer ----------------------------------------------------------------- */

/* The key as the provider's functions see it. */
struct pki_key {
	struct signer *signer;     /* NULL: only the public half */
	EVP_PKEY *public_key;      /* an ordinary key of the default provider */
	struct muster_error error; /* of the last signature; code MUSTER_OK when it went well */
};

/* The hash that goes with the key; NULL for Ed25519, which brings its own. */
const EVP_MD *pki_digest_of_key(const EVP_PKEY *key);
/* NULL for SIGNER_HASH_NONE. */
const EVP_MD *pki_hash_digest(enum signer_hash hash);

void pki_key_free(struct pki_key *key);
extern const OSSL_DISPATCH pki_key_management_ec[];
extern const OSSL_DISPATCH pki_key_management_rsa[];
extern const OSSL_DISPATCH pki_key_management_ed25519[];
extern const OSSL_DISPATCH pki_signature_functions[];

/* The parameters of EVP_PKEY_fromdata by which a signer gets into the provider: a pointer's bytes. */
#define PKI_PARAM_SIGNER "muster-signer"
/* And by which its last error comes out: the bytes of a struct muster_error. */
#define PKI_PARAM_ERROR "muster-error"

/* -- Key quality, for pki_key_check and its vectors --------------------------------------------------------------- */

bool pki_rsa_has_small_factor(const BIGNUM *modulus);
bool pki_rsa_is_fermat_weak(const BIGNUM *modulus, unsigned rounds);
bool pki_edwards_point_is_good(const uint8_t encoded[32]);

/* -- Names and fields of certificates ------------------------------------------------------------------------- */

/* RFC 4514 text, first element first, one attribute per element, to a name. CAUSE_CERTIFICATE_INVALID. */
bool pki_name_parse(const char *text, X509_NAME **ret_name, struct muster_error *err) MUST_CHECK;

/* What device, authority and server certificates have in common: version 3, random serial, validity from a
 * little ago, issuer (NULL: itself), subject, public key, key identifiers. */
struct pki_certificate_base {
	EVP_PKEY *key; /* the subject's; only its public half is used */
	const X509_NAME *subject;
	X509 *issuer; /* NULL: self-signed */
	unsigned valid_days;
	unsigned skew_minutes;
	int64_t now_ms;
};
/* Without a key to ask for (X509_get0_pubkey) until it is signed and read back. */
bool pki_certificate_begin(const struct pki_certificate_base *base, X509 **ret_certificate,
			   struct muster_error *err) MUST_CHECK;
/* Adds extension `nid` by OpenSSL's configuration syntax. */
bool pki_extension_add(X509 *certificate, X509 *issuer, int nid, const char *value,
		       struct muster_error *err) MUST_CHECK;
/* Signs what has not been looked at by lint: certificates of ours that no device depends on, and throw-away ones. */
bool pki_x509_sign(X509 *certificate, EVP_PKEY *issuer_key, struct muster_error *err) MUST_CHECK;
/* The same, and reads the result back from its bytes as a stranger would. */
bool pki_x509_sign_and_read(X509 *certificate, EVP_PKEY *issuer_key, X509 **ret_read,
			    struct muster_error *err) MUST_CHECK;
/* The to-be-signed bytes as they stand in the encoded certificate. */
bool pki_x509_tbs(const X509 *certificate, struct bytes *ret_tbs, struct muster_error *err)
	MUST_CHECK;

/* -- Plan and lint -------------------------------------------------------------------------------------------- */

/* Puts together what the plan says, unsigned. */
bool pki_plan_compose(const struct pki_plan *plan, X509 **ret_certificate, struct muster_error *err)
	MUST_CHECK;
/* Whether a certificate that was read back from its bytes says what the plan says, and nothing else. */
bool pki_lint_rules(const X509 *certificate, const struct pki_plan *plan, struct muster_error *err)
	MUST_CHECK;
