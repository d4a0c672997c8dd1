/* The field table of enrollment documents, shared by the files that check, normalise and mask them. */
#pragma once

#include "muster/dps-document.h"
#include "muster/encoding.h"

enum field_kind {
	FIELD_TEXT,
	FIELD_BOOL,
	FIELD_WORD,  /* one of `words`, any letter case */
	FIELD_TEXTS, /* array of strings */
	FIELD_NUMBER,
	FIELD_OBJECT, /* of `members` */
	FIELD_FREE,   /* any JSON object; never looked into */
};

enum field_flags {
	FIELD_REQUIRED = 1,
	FIELD_READ_ONLY = 2, /* the service's; taken back without a look */
};

struct check;

struct field {
	const char *name; /* NULL ends a table */
	enum field_kind kind;
	unsigned flags;
	const struct field *members;
	const char *const *words; /* NULL-terminated, in canonical spelling */
	/* A rule beyond the kind; adds problems at the path of the field. */
	void (*rule)(struct check *check, const cJSON *item);
};

extern const struct field dps_enrollment_fields[];
extern const struct field dps_group_fields[];
extern const char *const dps_allocation_words[];
extern const char *const dps_attestation_words[];

#define CHECK_DEPTH_MAX 8 /* of the field tables */

/* A check under way: where it stands and what it has found. */
struct check {
	const struct dps_document_rules *rules;
	struct dps_problems *problems;
	const cJSON *document;
	const char *path[CHECK_DEPTH_MAX]; /* names of the members that it stands in */
	size_t depth;
};

void check_problem(struct check *check, const char *format, ...) PRINTF_LIKE(2, 3);
void check_problem_at(struct check *check, const char *below, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* Rules of fields (document-rules.c). */
void rule_registration_id(struct check *check, const cJSON *item);
void rule_device_id(struct check *check, const cJSON *item);
void rule_group_id(struct check *check, const cJSON *item);
void rule_hub(struct check *check, const cJSON *item);
void rule_hubs(struct check *check, const cJSON *item);
void rule_key(struct check *check, const cJSON *item);
void rule_ek(struct check *check, const cJSON *item);
void rule_srk(struct check *check, const cJSON *item);
void rule_certificate(struct check *check, const cJSON *item);
void rule_webhook_url(struct check *check, const cJSON *item);
void rule_api_version(struct check *check, const cJSON *item);
void rule_attestation(struct check *check, const cJSON *item);
void rule_x509(struct check *check, const cJSON *item);
void rule_certificates(struct check *check, const cJSON *item);
/* Doubts about a device's certificate, where they are asked for (document-doubts.c). */
void doubt_certificate(const struct check *check, const X509 *certificate);
/* Rules between members of the whole document. */
void rule_document(struct check *check, const cJSON *document);

/* NULL when the item is missing or JSON null: DPS makes no difference. */
const cJSON *document_get(const cJSON *object, const char *name);
const char *document_text(const cJSON *object, const char *name);

/* SHA-256 in lower-case hex of a certificate member, from the certificate itself or from what the service says of it. */
bool document_thumbprint(const cJSON *certificate, char out[SHA256_HEX_SIZE]);
/* The raw key in a member of that name; false when there is none or it is no base64. */
bool document_key(const cJSON *keys, const char *name, struct secret *ret_key);
