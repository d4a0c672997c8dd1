/* Enrollment documents: what a client may write, what is stored, and what each reader gets to see of it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "muster/cleanup.h"

#include "allocation.h"
#include "refusal.h"

enum enrollment_kind { KIND_INDIVIDUAL, KIND_GROUP, KIND_COUNT };

/* What a document is judged against; all borrowed. */
struct document_terms {
	enum enrollment_kind kind;
	const struct hub *hubs; /* those linked to the instance */
	size_t hub_count;
	enum allocation_policy default_policy;
	int64_t now_ms;
	const cJSON *existing; /* the stored document that is replaced, or NULL */
};

/* The member that holds the id: registrationId or enrollmentGroupId. */
const char *document_id_name(enum enrollment_kind kind);

/* Checks `input` and composes what is stored: known members only, defaults filled in, new etag and times, generated
 * keys, certificates as base64 DER beside their info. The caller deletes *ret_document. */
bool document_build(const struct document_terms *terms, const cJSON *input, cJSON **ret_document,
		    struct refusal *refusal) MUST_CHECK;

enum document_view {
	VIEW_WRITTEN, /* the answer to a PUT: with keys, without certificates */
	VIEW_READ,    /* GET and query: neither */
	VIEW_WEBHOOK, /* as READ, with the webhook's own query masked and the etag as its inner text */
};
/* Takes out of a stored document what this reader may not see. */
bool document_view(cJSON *document, enum document_view view) MUST_CHECK;
/* The attestation as attestationmechanism answers it, with keys. Borrowed from the document. */
cJSON *document_mechanism(cJSON *document);
