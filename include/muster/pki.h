/* X.509 with OpenSSL: a key that lives elsewhere as an EVP_PKEY, the certificates the station makes with it, and
 * reading certificates that come from outside. Leaves OpenSSL's error queue empty. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "muster/cleanup.h"
#include "muster/clock.h"
#include "muster/error.h"
#include "muster/secret.h"
#include "muster/signer.h"
#include "muster/text.h"

DEFINE_FREEP(EVP_PKEY_freep, EVP_PKEY *, EVP_PKEY_free)
DEFINE_FREEP(X509_freep, X509 *, X509_free)
DEFINE_FREEP(X509_REQ_freep, X509_REQ *, X509_REQ_free)

static inline void X509_stack_freep(STACK_OF(X509) **stack)
{
	sk_X509_pop_free(*stack, X509_free);
}

/* -- Keys ------------------------------------------------------------------------------------------------------ */

/* An EVP_PKEY whose private operations call signer->sign, for X509_sign, X509_REQ_sign, EVP_DigestSign and TLS 1.2
 * and 1.3 client authentication: EC P-256/384/521, RSA (PKCS#1 v1.5, and PSS with a salt as long as the digest) and
 * Ed25519. Each signature is verified with the public half before it is handed on (CAUSE_SIGNATURE_INVALID). The
 * signer is borrowed and has to outlive the key and everything that holds a reference to it. */
bool pki_key_from_signer(struct signer *signer, EVP_PKEY **ret_key, struct muster_error *err)
	MUST_CHECK;
/* Why the last private operation of such a key failed (OpenSSL and curl only say that it did). False, and *ret_err
 * untouched, when the last one succeeded, none was made or the key is an ordinary one. */
bool pki_key_last_error(const EVP_PKEY *key, struct muster_error *ret_err);

/* Signs with the signer and verifies with `public_key`, which is the signer's SPKI decoded. */
bool pki_signer_sign(struct signer *signer, EVP_PKEY *public_key, enum signer_scheme scheme,
		     enum signer_hash hash, const uint8_t *digest, size_t digest_size,
		     uint8_t signature[SIGNER_SIGNATURE_MAX], size_t *ret_size,
		     struct muster_error *err) MUST_CHECK;
/* DER SubjectPublicKeyInfo to a public EVP_PKEY, and back. Trailing bytes are refused. */
bool pki_public_key_read(const struct bytes *spki, EVP_PKEY **ret_key, struct muster_error *err)
	MUST_CHECK;
bool pki_public_key_der(const EVP_PKEY *key, struct bytes *ret_spki, struct muster_error *err)
	MUST_CHECK;

/* Refuses a public key that no certificate should be made for (CAUSE_KEY_WEAK): of another kind or size than ours, a
 * point off its curve, a bad exponent, a modulus with small, neighbouring or ROCA factors. Milliseconds for RSA. */
bool pki_key_check(const EVP_PKEY *key, struct muster_error *err) MUST_CHECK;

/* A software key of ours (the emulator's server, never a device): PEM PKCS#8, without a password. */
bool pki_private_key_pem(const EVP_PKEY *key, struct secret *ret_pem, struct muster_error *err)
	MUST_CHECK;
bool pki_private_key_read(const struct secret *pem, EVP_PKEY **ret_key, struct muster_error *err)
	MUST_CHECK;

/* -- Making certificates ----------------------------------------------------------------------------------------- */

enum pki_role { PKI_DEVICE, PKI_AUTHORITY };

#define PKI_SKEW_MINUTES 10
#define PKI_ANY_PATH_LENGTH (-1)

/* What a certificate is to say. */
struct pki_plan {
	enum pki_role role;
	EVP_PKEY *key;                 /* the subject's; signs too when there is no issuer */
	const char *subject;           /* RFC 4514 with values put in: "CN=dev-1,O=Example" */
	const X509_NAME *subject_name; /* or the name itself */
	const char *
		registration_id; /* of a device, has to be the subject's one common name; or NULL */
	int path_length; /* of an authority: how many authorities may follow, or PKI_ANY_PATH_LENGTH */
	unsigned valid_days;
	unsigned skew_minutes; /* the validity begins so long before now_ms */
	int64_t now_ms;        /* wall clock */
	const char *crl_url;   /* where the issuer's CRL is to be had; or NULL */
	/* Both or none. The validity must not pass the issuer's. */
	EVP_PKEY *issuer_key;
	X509 *issuer_certificate;
};

/* To-be-signed bytes that have passed the lint: there is no other way to a signature. They were signed with a
 * throw-away key of the issuer's kind, read back, and held against the plan and the rules of RFC 5280. */
struct pki_linted;
void pki_linted_free(struct pki_linted *linted);
DEFINE_FREEP(pki_linted_freep, struct pki_linted *, pki_linted_free)

/* Version 3, random 128-bit serial, key identifiers, key usage by role, clientAuth for devices; the hardware key is
 * not used. Borrows what the plan points to. CAUSE_CERTIFICATE_INVALID, CAUSE_KEY_WEAK. */
bool pki_certificate_lint(const struct pki_plan *plan, struct pki_linted **ret_linted,
			  struct muster_error *err) MUST_CHECK;
/* Borrowed. What a journal records before the signature. */
const struct bytes *pki_linted_tbs(const struct pki_linted *linted);
const X509 *pki_linted_certificate(const struct pki_linted *linted);
/* Signs, compares the to-be-signed bytes with those that were looked at, and verifies. */
bool pki_certificate_sign(struct pki_linted *linted, X509 **ret_certificate,
			  struct muster_error *err) MUST_CHECK;
/* The same for a signer that is asked by message, among others at a time: the plan's keys need to be public halves only.
 * What it is asked for, as a struct signer would be; the digest is owned. */
struct pki_wanted {
	enum signer_scheme scheme;
	enum signer_hash hash;
	struct bytes digest;
};
bool pki_linted_wants(const struct pki_linted *linted, struct pki_wanted *ret_wanted,
		      struct muster_error *err) MUST_CHECK;
/* Puts the certificate together, reads it back, compares and verifies it; DER. */
bool pki_linted_sign(const struct pki_linted *linted, const struct bytes *signature,
		     struct bytes *ret_der, struct muster_error *err) MUST_CHECK;
/* Both in one, where nothing has to be recorded between. */
bool pki_certificate_make(const struct pki_plan *plan, X509 **ret_certificate,
			  struct muster_error *err) MUST_CHECK;

/* Whether the issuer is valid now and until certificates of so many days end: CAUSE_ISSUER_ENDS_FIRST. */
bool pki_issuer_outlives(const X509 *issuer, unsigned valid_days, int64_t now_ms,
			 struct muster_error *err) MUST_CHECK;

/* RFC 4514 text as a subject: CAUSE_CERTIFICATE_INVALID says what is wrong with it. */
bool pki_name_check(const char *text, struct muster_error *err) MUST_CHECK;
/* And one that every certificate that muster makes would take: with one common name. */
bool pki_name_check_common(const char *text, struct muster_error *err) MUST_CHECK;

#define PKI_COMMON_NAME_SIZE 65
/* The name's one common name; false when there is none, several, or one longer than 64 bytes. */
bool pki_name_common_name(const X509_NAME *name, char ret_text[PKI_COMMON_NAME_SIZE]) MUST_CHECK;
/* First element first: "CN=dev-1, O=Example". Caller frees. */
bool pki_name_print(const X509_NAME *name, char **ret_text, struct muster_error *err) MUST_CHECK;

/* -- Requests (PKCS#10) -------------------------------------------------------------------------------------------- */

bool pki_request_make(EVP_PKEY *key, const char *subject, X509_REQ **ret_request,
		      struct muster_error *err) MUST_CHECK;
bool pki_request_der(const X509_REQ *request, struct bytes *ret_der, struct muster_error *err)
	MUST_CHECK;
/* Caller frees. */
bool pki_request_pem(const X509_REQ *request, char **ret_pem, struct muster_error *err) MUST_CHECK;
/* PEM or DER, with a signature that verifies and a key that passes pki_key_check. `what` names the input in the
 * message; CAUSE_REQUEST_INVALID, CAUSE_KEY_WEAK. */
bool pki_request_read(const void *data, size_t size, const char *what, X509_REQ **ret_request,
		      struct muster_error *err) MUST_CHECK;

/* -- Local authorities --------------------------------------------------------------------------------------------- */

/* A local authority and server certificates under it, EC P-256 (emulator and tests). A name that is an IP address
 * becomes an IP subject alternative name, the others DNS names. */
bool pki_authority_make(const char *common_name, unsigned valid_days, int64_t now_ms,
			EVP_PKEY **ret_key, X509 **ret_certificate, struct muster_error *err)
	MUST_CHECK;
bool pki_server_certificate_make(EVP_PKEY *authority_key, X509 *authority, const char *const *names,
				 size_t name_count, unsigned valid_days, int64_t now_ms,
				 EVP_PKEY **ret_key, X509 **ret_certificate,
				 struct muster_error *err) MUST_CHECK;

/* -- Reading certificates ------------------------------------------------------------------------------------------ */

/* PEM (any line ends; private keys and text around are passed over), DER, or base64 of either. Of several
 * certificates the leaf: the one that issued none of the others. `what` names the input in the message;
 * CAUSE_CERTIFICATE_UNREADABLE. */
bool pki_certificate_read(const void *data, size_t size, const char *what, X509 **ret_certificate,
			  struct muster_error *err) MUST_CHECK;
/* All of them, in the order of the input. */
bool pki_certificates_read(const void *data, size_t size, const char *what,
			   STACK_OF(X509) **ret_certificates, struct muster_error *err) MUST_CHECK;
bool pki_certificate_der(const X509 *certificate, struct bytes *ret_der, struct muster_error *err)
	MUST_CHECK;
/* Caller frees. */
bool pki_certificate_pem(const X509 *certificate, char **ret_pem, struct muster_error *err)
	MUST_CHECK;
/* DER SubjectPublicKeyInfo exactly as it stands in the certificate. */
bool pki_certificate_spki(const X509 *certificate, struct bytes *ret_spki, struct muster_error *err)
	MUST_CHECK;
/* The same key, whatever the encoding; false also when either cannot be read. */
bool pki_certificate_has_key(const X509 *certificate, const struct bytes *spki);

#define PKI_SHA1_HEX_SIZE 41
#define PKI_SHA256_HEX_SIZE 65

/* The members of DPS's X509CertificateInfo. Hex is upper case. */
struct pki_certificate_info {
	char *subject; /* RFC 4514, first element first: "CN=dev-1, O=Example"; owned */
	char *issuer;  /* owned */
	char *serial;  /* owned */
	char sha1[PKI_SHA1_HEX_SIZE];
	char sha256[PKI_SHA256_HEX_SIZE];
	char not_before[RFC3339_SIZE];
	char not_after[RFC3339_SIZE];
	int64_t not_before_ms;
	int64_t not_after_ms;
	int version; /* 3 */
	char common_name
		[PKI_COMMON_NAME_SIZE]; /* the one common name, "" when none, several or too long */
};
bool pki_certificate_info(const X509 *certificate, struct pki_certificate_info *ret_info,
			  struct muster_error *err) MUST_CHECK;
void pki_certificate_info_done(struct pki_certificate_info *info);

/* -- Wrapping --------------------------------------------------------------------------------------------------- */

/* A CMS message, AES-256-GCM, for the certificate's key: RSA-OAEP with SHA-256, or ECDH. `openssl cms -decrypt` reads it. */
bool pki_wrap(X509 *recipient, const void *data, size_t size, struct bytes *ret_message,
	      struct muster_error *err) MUST_CHECK;

/* -- Chains ----------------------------------------------------------------------------------------------------- */

struct pki_chain_check {
	X509 *certificate;
	STACK_OF(X509) *others; /* intermediates; may be NULL */
	STACK_OF(X509) *roots;  /* the only ones that are trusted */
	const struct bytes *
		crl; /* of the certificate's issuer, PEM or DER; NULL: revocation is not looked at */
	int64_t at_ms;
};
/* RFC 5280 by OpenSSL's strict rules, at that time, for clients in TLS where it is no authority's. The chain with the
 * root is handed out. CAUSE_CHAIN_INVALID. */
bool pki_chain_verify(const struct pki_chain_check *check, STACK_OF(X509) **ret_chain,
		      struct muster_error *err) MUST_CHECK;
