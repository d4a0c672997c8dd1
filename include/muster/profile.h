/* Product profiles: how devices of one kind are enrolled. One table of fields reads a profile (YAML or JSON), finds
 * every mistake with its place, and prints the JSON Schema for editors. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "muster/cleanup.h"
#include "muster/encoding.h"
#include "muster/error.h"
#include "muster/text.h"

#define PROFILE_SIZE_MAX (256 * 1024)
#define PROFILE_DEPTH_MAX 32

/* -- Mistakes ---------------------------------------------------------------------------------------------------- */

struct profile_mistake {
	enum muster_cause cause; /* 1201..1207 */
	bool is_warning;         /* the profile can be used nevertheless */
	unsigned line;           /* from 1 */
	unsigned column;         /* from 1, in characters */
	unsigned width;          /* characters to underline, at least 1 */
	char *message; /* without place; with "did you mean" and the values that would do */
	char *source;  /* the line, without its end, control characters as blanks; or "" */
};

/* Everything found in one file, by place. Zero-initialise. */
struct profile_report {
	char *path;
	struct profile_mistake *rows;
	size_t count;
	size_t mistakes; /* rows that are not warnings */
};
void profile_report_done(struct profile_report *report);
/* As compilers do: "path:4:9: error E1205: message", the source line, a caret line. */
void profile_mistake_print(const struct profile_report *report, size_t row, struct text *out);

/* -- The profile -------------------------------------------------------------------------------------------------- */

enum profile_attestation { PROFILE_TPM, PROFILE_X509, PROFILE_SYMMETRIC_KEY };
enum profile_ek_certificate { PROFILE_EK_REQUIRED, PROFILE_EK_OPTIONAL, PROFILE_EK_IGNORE };
enum profile_revocation {
	PROFILE_REVOCATION_OFF,
	PROFILE_REVOCATION_IF_PRESENT,
	PROFILE_REVOCATION_REQUIRED
};
enum profile_allocation {
	PROFILE_ALLOCATION_UNSET, /* the service's own policy */
	PROFILE_HASHED,
	PROFILE_GEO_LATENCY,
	PROFILE_STATIC,
	PROFILE_CUSTOM,
};
enum profile_reprovision {
	PROFILE_MIGRATE, /* true, true */
	PROFILE_RESET,   /* true, false */
	PROFILE_NEVER,   /* false, false */
	PROFILE_REPROVISION_AS_WRITTEN,
};
enum profile_verify {
	PROFILE_VERIFY_REGISTER,
	PROFILE_VERIFY_AND_DELETE_RECORD,
	PROFILE_VERIFY_NONE
};

/* Of the devices of a manifest; what `verify` says is done with those. */
enum profile_batch_verify {
	PROFILE_BATCH_VERIFY_ALL,
	PROFILE_BATCH_VERIFY_SAMPLE,
	PROFILE_BATCH_VERIFY_NONE
};
/* Where the evidence of a manifest's devices is written: a file for each, or lines of one. */
enum profile_evidence { PROFILE_EVIDENCE_FILES, PROFILE_EVIDENCE_LINES };
enum profile_lookalikes {
	PROFILE_LOOKALIKES_WARN,
	PROFILE_LOOKALIKES_REFUSE,
	PROFILE_LOOKALIKES_PASS
};

/* DPS's own word, which is the profile's too: "symmetricKey". Static. */
const char *profile_attestation_word(enum profile_attestation value);

/* Where a key is: exactly one of them is set. */
struct profile_key_source {
	char *tpm;  /* "tpm:handle=...;tcti=..." */
	char *file; /* absolute, or relative to the current directory */
	char *uri;  /* RFC 7512 */
};

struct profile_list {
	char **items;
	size_t count;
};

/* Texts are NULL when the profile does not name them and there is no default; all are owned by the profile. */
struct profile {
	char *path;
	char digest[SHA256_HEX_SIZE]; /* SHA-256 of the file's bytes, lower-case hex */
	bool names_beside; /* some file by a relative name: the same text in another folder is another profile */

	char *name;
	int64_t version;
	char *id_scope;
	char *device_endpoint; /* host[:port] */

	enum profile_attestation attestation;
	int64_t sessions; /* with the token; 0: not said */
	struct {
		enum profile_ek_certificate certificate;
		bool persist; /* the TCG EK may be made and persisted when 0x81010001 is empty */
		char *roots;  /* folder of the vendors' roots; NULL: issuers are not judged */
		char *crls;   /* folder of revocation lists */
		enum profile_revocation revocation;
		bool fetch;
		bool allow_expired;
		bool prove; /* the EK's private half has to be shown to be there */
	} tpm;
	struct {
		char *key_type;  /* the worker's words: "ec-p256" ... */
		char *token;     /* RFC 7512 */
		char *subject;   /* template */
		char *key_label; /* template */
		int64_t valid_days;
		int64_t secondary_valid_days; /* of the second certificate; 0: there is none */
		bool own_secondary_key;   /* the second certificate is of a key pair of its own */
		int64_t skew_minutes;     /* the validity begins so long ago */
		char *issuer_key;         /* RFC 7512; NULL: self-signed */
		char *issuer_certificate; /* file */
		char *crl_url;            /* the issuer's; NULL: none in the certificates */
		bool key_leaves; /* the key is made in the station's token and wrapped for the device */
		char *device_keys; /* folder of the devices' public keys; NULL: each is named */
	} x509;
	struct {
		struct profile_key_source primary;
		struct profile_key_source secondary;
	} master;

	char *registration_id; /* template; never NULL */
	char *device_id;       /* template */
	bool is_disabled;
	enum profile_allocation allocation;
	struct profile_list iot_hubs;
	char *webhook_url;
	char *webhook_api_version;
	enum profile_reprovision reprovision;
	bool update_hub_assignment; /* these two hold, however the policy was written */
	bool migrate_device_data;
	bool iot_edge;
	cJSON *twin_tags; /* objects; numbers are cJSON_Raw as written */
	cJSON *twin_desired;
	cJSON *device_information;
	enum profile_verify verify;
	struct {
		enum profile_batch_verify verify;
		int64_t sample; /* so many devices, spread over the manifest */
		enum profile_evidence evidence;
		enum profile_lookalikes lookalikes;
	} batch;
	int64_t approvals;    /* so many people have to approve, if the station demands no more */
	int64_t retry_budget; /* runs in which a device may fail before a person has to look */
};

/* Reads and checks. With mistakes it fails with CAUSE_PROFILE_INVALID and *report has them all; with warnings alone
 * it succeeds. A file that cannot be read at all leaves the report without rows. Relative file names in the
 * profile are resolved against its own directory. */
bool profile_load(const char *path, struct profile *ret_profile, struct profile_report *report,
		  struct muster_error *err) MUST_CHECK;
/* The same from memory; `path` is used in messages and to resolve file names. */
bool profile_parse(const char *path, const char *data, size_t size, struct profile *ret_profile,
		   struct profile_report *report, struct muster_error *err) MUST_CHECK;
void profile_done(struct profile *profile);

/* Any of the templates in use asks for a serial. */
bool profile_needs_serial(const struct profile *profile);

/* A value that is given elsewhere than in a profile, by the rule of the profile's `key`, a text: CAUSE_USAGE. `what` is its
 * name for people. */
bool profile_value_check(const char *key, const char *value, const char *what,
			 struct muster_error *err) MUST_CHECK;

/* The JSON Schema (draft-07) of profiles, ending in a newline. */
bool profile_schema(struct text *out, struct muster_error *err) MUST_CHECK;
