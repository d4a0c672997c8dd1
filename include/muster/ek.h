/* What can be computed about a TPM without it: public areas, templates, names, the EK certificate, and the
 * challenge a provisioning service makes for an EK and an SRK. Never talks to a chip; that is tpm.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#include "muster/cleanup.h"
#include "muster/encoding.h"
#include "muster/error.h"
#include "muster/secret.h"
#include "muster/text.h"

#define EK_PUBLIC_MAX 1024
#define EK_NAME_SIZE 34 /* a SHA-256 name: 0x000B and the digest */
#define EK_CHALLENGE_MAX 8192

/* Where the TCG and Azure's device software keep things. */
#define EK_HANDLE 0x81010001u
#define EK_CERTIFICATE_INDEX 0x01c00002u
#define SRK_HANDLE 0x81000001u

/* -- Public areas ------------------------------------------------------------------------------------------ */

/* A marshalled TPM2B_PUBLIC, its two size bytes included, exactly as it came and known to be well-formed. Only
 * ek_public_parse and ek_public_from_base64 fill it; plain data, copies with `=`. */
struct ek_public {
	size_t size;
	uint8_t data[EK_PUBLIC_MAX];
};

/* Strict: the whole of data, nothing behind it, and it marshals back to the same bytes. A malformed one is
 * CAUSE_EK_MALFORMED. Says nothing about what kind of key it is. */
bool ek_public_parse(const void *data, size_t size, struct ek_public *ret_public,
		     struct muster_error *err) MUST_CHECK;
/* The form of "endorsementKey" and "storageRootKey" in DPS documents: standard base64, padded. */
bool ek_public_from_base64(const char *text, size_t length, struct ek_public *ret_public,
			   struct muster_error *err) MUST_CHECK;
/* Caller frees; NULL when out of memory. */
char *ek_public_to_base64(const struct ek_public *public);
bool ek_public_equal(const struct ek_public *a, const struct ek_public *b);

/* "RSA-2048, SHA-256, AES-128-CFB", "ECC P-256, SHA-256, AES-128-CFB", ... for people. Returns out. */
const char *ek_public_describe(const struct ek_public *public, char out[96]);
/* SHA-256 of the whole TPM2B: the digest that stands for this key in journal, templates and evidence. */
void ek_public_digest(const struct ek_public *public, uint8_t digest[SHA256_SIZE]);
/* The default registration ID: that digest in base32, 52 characters. Caller frees; NULL when out of memory. */
char *ek_public_registration_id(const struct ek_public *public);
/* TPM name (Part 1, 16). Only of areas with a SHA-256 name algorithm. */
bool ek_public_name(const struct ek_public *public, uint8_t name[EK_NAME_SIZE],
		    struct muster_error *err) MUST_CHECK;
/* RSA (exponent 0 meaning 65537) and elliptic curves; another type is CAUSE_EK_UNSUPPORTED. Caller frees. */
bool ek_public_key(const struct ek_public *public, EVP_PKEY **ret_key, struct muster_error *err)
	MUST_CHECK;
/* DER SubjectPublicKeyInfo; caller frees with bytes_done. */
bool ek_public_spki(const struct ek_public *public, struct bytes *ret_der, struct muster_error *err)
	MUST_CHECK;
/* The same in PEM; caller frees. */
bool ek_public_pem(const struct ek_public *public, char **ret_pem, struct muster_error *err)
	MUST_CHECK;

/* May this be enrolled? RSA-2048, SHA-256 name, AES-128-CFB, no scheme, exponent 65537, the attributes and the
 * policy PolicySecret(endorsement) of TCG template L-1; else CAUSE_EK_UNSUPPORTED, _ELLIPTIC or _TEMPLATE_OTHER with the reason in words. */
bool ek_check_dps(const struct ek_public *ek, struct muster_error *err) MUST_CHECK;
/* The same for a storage root key of Azure's template (attributes 0x00030472, empty policy): CAUSE_EK_UNSUPPORTED or
 * _ELLIPTIC. */
bool ek_check_srk(const struct ek_public *srk, struct muster_error *err) MUST_CHECK;

/* Templates for TPM2_CreatePrimary: marshalled TPM2B_PUBLIC with 256 zero bytes in `unique` (TCG L-1: only so
 * does the chip make the key that its EK certificate is for; the SRK as Azure's C# and identity service do). */
bool ek_template_ek(struct ek_public *ret_template, struct muster_error *err) MUST_CHECK;
bool ek_template_srk(struct ek_public *ret_template, struct muster_error *err) MUST_CHECK;
/* A restricted signing key of P-256, made in a moment on any chip. */
bool ek_template_ak(struct ek_public *ret_template, struct muster_error *err) MUST_CHECK;

/* -- EK certificate ---------------------------------------------------------------------------------------- */

/* What a certificate says; all of it printable, cut to fit. Plain data. */
struct ek_certificate_info {
	char subject[256]; /* RFC 2253; often empty in an EK certificate */
	char issuer[256];
	char serial[64];              /* upper-case hex */
	char sha256[SHA256_HEX_SIZE]; /* of the DER */
	char not_before[32];          /* RFC 3339; years up to 9999 */
	char not_after[32];
	char manufacturer
		[64]; /* from the subject alternative name, 2.23.133.2.1: "id:53544D20"; or empty */
	char model[64];   /* 2.23.133.2.2 */
	char version[64]; /* 2.23.133.2.3 */
};

/* Finds the certificate in an NV index: fill bytes 0x00 and 0xFF in front and behind are dropped, and the encoding
 * may be BER. Nothing but fill: CAUSE_EK_CERTIFICATE_EMPTY; one that ends too early:
 * CAUSE_EK_CERTIFICATE_CUT; anything else that is no certificate: CAUSE_EK_CERTIFICATE_INVALID. *ret_der is the certificate without fill. Caller frees both; ret_der may be
 * NULL. */
bool ek_certificate_parse(const void *nv, size_t size, X509 **ret_certificate,
			  struct bytes *ret_der, struct muster_error *err) MUST_CHECK;
/* The TCG's key (template L-1) that it is for; CAUSE_EK_UNSUPPORTED when it is for no RSA-2048 key. */
bool ek_certificate_public(const X509 *certificate, struct ek_public *ret_public,
			   struct muster_error *err) MUST_CHECK;
/* Is it for an RSA key, by either of the names that the TCG allows? */
bool ek_certificate_is_rsa(const X509 *certificate);
/* Is it for this EK? CAUSE_EK_CERTIFICATE_MISMATCH when not. Says nothing about who signed it. */
bool ek_certificate_check_key(const X509 *certificate, const struct ek_public *ek,
			      struct muster_error *err) MUST_CHECK;
bool ek_certificate_describe(const X509 *certificate, struct ek_certificate_info *ret_info,
			     struct muster_error *err) MUST_CHECK;

/* "STMicroelectronics" of "STM", as a chip spells it, or of "id:53544D20", as certificates do; NULL when it is not
 * in the TCG's registry. Static. */
const char *ek_vendor_name(const char *manufacturer);

/* -- Challenge, the service's side ------------------------------------------------------------------------- */

/* TPM2_MakeCredential in software: what only the holder of the EK's private half, with an object of that name
 * loaded, can recover. credential: 1..32 bytes. Results are marshalled (TPM2B_ID_OBJECT and
 * TPM2B_ENCRYPTED_SECRET), the caller frees them. ek must be an RSA-2048 storage key (CAUSE_EK_UNSUPPORTED). */
bool ek_credential_make(const struct ek_public *ek, const uint8_t name[EK_NAME_SIZE],
			const struct secret *credential, struct bytes *ret_id_object,
			struct bytes *ret_secret, struct muster_error *err) MUST_CHECK;
/* The whole challenge ("authenticationKey" before base64) that hands hmac_key (16..64 bytes) to the TPM which
 * holds ek and srk. `trailing` is the last part without its size, NULL for an empty one. Both keys should have
 * passed ek_check_dps and ek_check_srk. Caller frees. Each call draws new randomness. */
bool ek_challenge_make(const struct ek_public *ek, const struct ek_public *srk,
		       const struct secret *hmac_key, const struct bytes *trailing,
		       struct bytes *ret_blob, struct muster_error *err) MUST_CHECK;

/* -- Challenge, the device's side -------------------------------------------------------------------------- */

/* The six parts; each but the last marshalled with its size, as the fields of TPM_KEY_IMPORT want them. */
struct ek_challenge {
	struct bytes id_object;         /* TPM2B_ID_OBJECT */
	struct bytes credential_secret; /* TPM2B_ENCRYPTED_SECRET */
	struct bytes duplicate;         /* TPM2B_PRIVATE */
	struct bytes duplicate_seed;    /* TPM2B_ENCRYPTED_SECRET */
	struct bytes key_public;        /* TPM2B_PUBLIC of an HMAC-SHA256 key, checked */
	struct bytes trailing;          /* without its size; may be empty */
};

/* Strict: six parts, none empty but the last, nothing behind them; else CAUSE_TPM_ACTIVATION_FAILED. */
bool ek_challenge_split(const void *blob, size_t size, struct ek_challenge *ret_challenge,
			struct muster_error *err) MUST_CHECK;
/* For CLEANUP. */
void ek_challenge_done(struct ek_challenge *challenge);
