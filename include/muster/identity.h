/* Who a device is: serials, registration IDs, device IDs, the templates that make them, and the key that is derived
 * for a registration ID. Pure computation; only the HMAC may reach hardware, through the struct hmac_key. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/secret.h"
#include "muster/signer.h"

#define SERIAL_MAX 64
#define REGISTRATION_ID_MAX 128
#define REGISTRATION_ID_X509_MAX 64 /* it has to fit the common name of a certificate */
#define DEVICE_ID_MAX 128
#define EK_DIGEST_ID_SIZE 53 /* 52 characters and the NUL */
#define DEVICE_KEY_SIZE 32

/* -- Checks: CAUSE_SERIAL_INVALID, CAUSE_REGISTRATION_ID_INVALID, CAUSE_DEVICE_ID_INVALID ------------------- */

/* 1..64 printable ASCII characters, no space at either end. */
bool identity_serial_check(const char *serial, struct muster_error *err) MUST_CHECK;
/* `max` is REGISTRATION_ID_MAX or REGISTRATION_ID_X509_MAX. Any letter case is let pass. */
bool identity_registration_id_check(const char *id, size_t max, struct muster_error *err)
	MUST_CHECK;
/* Checks, then folds to lower case, the form DPS compares and keys are derived from. */
bool identity_registration_id_normalise(const char *id, size_t max,
					char ret_id[REGISTRATION_ID_MAX + 1],
					struct muster_error *err) MUST_CHECK;
/* Device IDs keep their case: IoT Hub tells them apart. */
bool identity_device_id_check(const char *id, struct muster_error *err) MUST_CHECK;

/* The vendors' SDKs' default registration ID of a TPM: base32(sha256(marshalled TPM2B_PUBLIC of the EK)), lower
 * case, without padding. The bytes are those whose base64 is sent as endorsementKey. */
bool identity_ek_digest_id(const void *tpm2b, size_t size, char ret_id[EK_DIGEST_ID_SIZE],
			   struct muster_error *err) MUST_CHECK;

/* -- Templates: literal text with {serial}, {serial.lower}, {ek.sha256.base32}, {registrationId} -------------- */

enum identity_template {
	TEMPLATE_REGISTRATION_ID, /* all but {registrationId} */
	TEMPLATE_DEVICE_ID,       /* all */
	TEMPLATE_SUBJECT, /* all but the EK; an RFC 4514 name: values are escaped when they are put in */
	TEMPLATE_LABEL, /* all but the EK; a PKCS#11 label: printable ASCII */
};

/* What placeholders stand for; NULL is "not known". All borrowed. */
struct identity_values {
	const char *serial;
	const char *ek_sha256_base32;
	const char *registration_id;
};

/* Looks at a template before any device is there. On failure (CAUSE_PROFILE_VALUE) *mistake_at is the offset and
 * *mistake_length the length of what is wrong; neither is touched on success. */
bool identity_template_check(const char *text, enum identity_template kind, size_t *mistake_at,
			     size_t *mistake_length, struct muster_error *err) MUST_CHECK;
bool identity_template_uses_serial(const char *text);
/* The text with values put in; the caller frees *ret_text and checks it as what it is going to be. A serial that is
 * needed and not there is CAUSE_SERIAL_MISSING. */
bool identity_template_expand(const char *text, enum identity_template kind,
			      const struct identity_values *values, char **ret_text,
			      struct muster_error *err) MUST_CHECK;

/* -- Keys derived from a master ------------------------------------------------------------------------------- */

/* HMAC-SHA256 over the lower-cased registration ID: DEVICE_KEY_SIZE bytes, not base64. Blocks as long as the
 * master's HMAC does. */
bool identity_device_key_derive(struct hmac_key *master, const char *registration_id,
				struct secret *ret_key, struct muster_error *err) MUST_CHECK;

/* A master key in memory. `master` is borrowed and has to outlive the key; nothing to free. */
void identity_hmac_key_from_secret(struct hmac_key *ret_key, const struct secret *master);
/* Reads a 0600 file with one standard base64 text of 16 to 64 bytes, as DPS shows its keys. CAUSE_SECRET_FILE_MODE,
 * CAUSE_SECRET_INVALID, CAUSE_INPUT_NOT_FOUND. */
bool identity_master_read(const char *path, struct secret *ret_master, struct muster_error *err)
	MUST_CHECK;
/* The same of a text that was read already; `where` names its place in messages. */
bool identity_master_decode(const struct secret *encoded, const char *where,
			    struct secret *ret_master, struct muster_error *err) MUST_CHECK;
