/* Enrollment documents of Azure DPS: one strict field table that checks, builds, compares and masks them. Nothing
 * here talks to anybody; station and emulator read the same table. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>
#include <openssl/x509.h>

#include "muster/cleanup.h"
#include "muster/encoding.h"
#include "muster/error.h"
#include "muster/secret.h"
#include "muster/text.h"

/* Lengths of what DPS allows. A device with a certificate has its registration ID in the common name. */
#define DPS_REGISTRATION_ID_MAX 128
#define DPS_REGISTRATION_ID_X509_MAX 64
#define DPS_DEVICE_ID_MAX 128
#define DPS_KEY_SIZE_MIN 16
#define DPS_KEY_SIZE_MAX 64

/* Member of optionalDeviceInformation that says which attempt of ours wrote the enrollment. */
#define DPS_ATTEMPT_MEMBER "musterAttempt"

/* -- Checking ------------------------------------------------------------------------------------------ */

enum dps_document_kind { DPS_DOCUMENT_ENROLLMENT, DPS_DOCUMENT_GROUP };

/* Is this TPM2B_PUBLIC an endorsement key that DPS takes? On false the sentence in *err becomes the problem. */
typedef bool dps_ek_check(void *context, const uint8_t *ek, size_t size, struct muster_error *err);

/* What the rules cannot know by themselves. Zero-initialised it means: an individual enrollment, any well-formed
 * endorsement key, unknown members refused. */
struct dps_document_rules {
	enum dps_document_kind kind;
	dps_ek_check *ek_check; /* NULL: only the base64 is looked at */
	void *context;
	bool unknown_members_pass;    /* as the service does, for SDKs of other versions */
	bool certificate_may_be_info; /* an update may send `info` back in place of `certificate` */
	bool keys_must_be_there;      /* an update without symmetric keys would make new ones */
	/* What the service takes and the device would fail with goes here: a device's certificate that is not valid
	 * `now_ms`, or has another name. NULL: not asked. */
	struct dps_problems *doubts;
	int64_t now_ms;
};

struct dps_problem {
	char path[96];     /* "attestation.symmetricKey.primaryKey"; "" is the document itself */
	char message[200]; /* printable; never holds a key */
};

#define DPS_PROBLEMS_MAX 32

struct dps_problems {
	size_t count;   /* of entries in list; what is beyond the maximum is dropped */
	bool is_normal; /* dps_document_normalise() would find nothing to do */
	struct dps_problem list[DPS_PROBLEMS_MAX];
};

/* Adds every problem found to *problems (count 0 before the first); none means the service would take the document. */
void dps_document_check(const cJSON *document, const struct dps_document_rules *rules,
			struct dps_problems *problems);

/* In place: words of an enumeration in their canonical spelling, null members dropped. Free JSON (twins, device
 * information) stays as it is. For a document that passed the check. */
void dps_document_normalise(cJSON *document);

/* 1..128 letters, digits, - . _ : and a letter, digit or dash at the end. CAUSE_REGISTRATION_ID_INVALID. */
bool dps_registration_id_check(const char *id, struct muster_error *err) MUST_CHECK;
/* 1..128 of what IoT Hub allows. CAUSE_DEVICE_ID_INVALID. */
bool dps_device_id_check(const char *id, struct muster_error *err) MUST_CHECK;
/* A DNS name with at least one dot, or "localhost". */
bool dps_hub_name_is_valid(const char *name);

/* PEM, base64 of DER or base64 of PEM, as the service takes them; of several in a PEM the first. The caller frees
 * *ret_certificate. CAUSE_CLOUD_REFUSED with a sentence. */
bool dps_certificate_decode(const char *text, X509 **ret_certificate, struct muster_error *err)
	MUST_CHECK;

/* -- Building ------------------------------------------------------------------------------------------ */

enum dps_attestation { DPS_ATTESTATION_TPM, DPS_ATTESTATION_X509, DPS_ATTESTATION_SYMMETRIC };

enum dps_allocation {
	DPS_ALLOCATION_UNSET, /* the instance's own policy */
	DPS_ALLOCATION_HASHED,
	DPS_ALLOCATION_GEO_LATENCY,
	DPS_ALLOCATION_STATIC,
	DPS_ALLOCATION_CUSTOM,
};

/* Plain values of one individual enrollment; everything borrowed. NULL and size 0 mean "not there". */
struct dps_enrollment_terms {
	const char *registration_id;
	const char *device_id; /* NULL: the service uses the registration ID */

	enum dps_attestation attestation;
	const struct bytes *ek;                    /* marshalled TPM2B_PUBLIC */
	const struct bytes *certificate;           /* DER */
	const struct bytes *secondary_certificate; /* DER or NULL */
	const struct secret *primary_key; /* raw bytes, 16..64; NULL: the service makes one */
	const struct secret *secondary_key;

	bool disabled;
	enum dps_allocation allocation;
	const char *const *hubs;
	size_t hub_count;
	const char *webhook_url; /* with DPS_ALLOCATION_CUSTOM */
	const char *webhook_api_version;

	/* Always written out: what a service does without them has changed over the years. */
	bool update_hub_assignment;
	bool migrate_device_data;
	bool iot_edge;

	const cJSON *twin_tags;          /* objects, copied */
	const cJSON *twin_properties;    /* desired properties */
	const cJSON *device_information; /* optionalDeviceInformation */
	const char *attempt_id;          /* becomes DPS_ATTEMPT_MEMBER of it */
};

/* The caller deletes *ret_enrollment; with symmetric keys its strings hold them, so delete it soon. The result is
 * checked by the rules above: CAUSE_PROFILE_VALUE with the first problem. */
bool dps_enrollment_build(const struct dps_enrollment_terms *terms, cJSON **ret_enrollment,
			  struct muster_error *err) MUST_CHECK;

/* The exact bytes of a request body. Its digest for the journal is sha256_hex() of them. */
bool dps_document_body(const cJSON *document, struct secret *ret_body, struct muster_error *err)
	MUST_CHECK;

/* "hashed", "geoLatency", "static", "custom"; NULL for DPS_ALLOCATION_UNSET. */
const char *dps_allocation_name(enum dps_allocation allocation);
/* "tpm", "x509", "symmetricKey". */
const char *dps_attestation_name(enum dps_attestation attestation);

/* -- Comparing ----------------------------------------------------------------------------------------- */

/* True when `found` (a GET) cannot be compared without the answer of attestationmechanism. */
bool dps_enrollment_needs_mechanism(const cJSON *wanted, const cJSON *found);

/* What a person needs to know about the difference: one line per member that differs,
 *     allocationPolicy: wanted "hashed", found "static"
 * in *ret_differences (length 0: the same; caller text_done()). A missing optional member equals its default;
 * an allocation policy left to the instance equals any but "custom". Certificates are compared by SHA-256
 * thumbprint, keys in constant time and never printed; etag, dates, registration state and DPS_ATTEMPT_MEMBER do
 * not count. `mechanism` is the answer of attestationmechanism, or NULL. */
bool dps_enrollment_compare(const cJSON *wanted, const cJSON *found, const cJSON *mechanism,
			    struct text *ret_differences, struct muster_error *err) MUST_CHECK;

/* The same in the words of time, "allocationPolicy: was "hashed", is now "static"", for two answers to GET. */
bool dps_enrollment_changes(const cJSON *before, const cJSON *now, struct text *ret_changes,
			    struct muster_error *err) MUST_CHECK;

/* The attempt that wrote this enrollment; NULL when none of ours did. Borrowed. */
const char *dps_enrollment_attempt(const cJSON *found);
/* Nobody has written it since it was created: the two times that the service gives are one, to 20 ms. */
bool dps_enrollment_is_unwritten(const cJSON *found);

#define DPS_TRUSTED_MAX 2
/* SHA-256 of what this enrollment trusts, as journals name keys: an endorsement key, or one or two certificates. Returns how
 * many; 0 for symmetric keys and authorities. */
size_t dps_enrollment_digests(const cJSON *enrollment,
			      char ret_digests[DPS_TRUSTED_MAX][SHA256_HEX_SIZE]) MUST_CHECK;

/* What a device proves its identity with: one of them. Borrowed. */
struct dps_identity {
	const struct bytes *ek; /* marshalled TPM2B_PUBLIC */
	const X509 *certificate;
	const struct secret *key; /* raw bytes */
};
/* The SHA-256 of each of the device's own certificates that are enrolled, one after another; empty where none can be read. */
void dps_enrollment_thumbprints(const cJSON *enrollment, struct bytes *ret_digests);
/* Does the enrollment trust it: CAUSE_ENROLLED_FOR_ANOTHER when not. `enrollment` is the answer of GET, for symmetric keys
 * with that of attestationmechanism in place of `attestation`. Trust in authorities is the service's to judge: it
 * passes. */
bool dps_enrollment_trusts(const cJSON *enrollment, const struct dps_identity *identity,
			   struct muster_error *err) MUST_CHECK;

/* -- Masking ------------------------------------------------------------------------------------------- */

/* In place, for printing: every symmetric and authentication key becomes "***", and the query of a webhook URL
 * (which is its key) "?***". */
bool dps_document_redact(cJSON *document, struct muster_error *err) MUST_CHECK;
