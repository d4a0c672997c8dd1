/* Writing and removing enrollments: what PUT, DELETE and the items of a bulk request have in common. */
#pragma once

#include "document.h"
#include "emulator-internal.h"

enum store_table enrollment_table(enum enrollment_kind kind);

/* How a write treats what is there. */
enum write_mode {
	WRITE_CREATE, /* must be new */
	WRITE_UPDATE, /* must exist; etag compared unless NULL or "*" */
};

struct enrollment_write {
	enum enrollment_kind kind;
	enum write_mode mode;
	const char *id;   /* lower case */
	const char *etag; /* as in If-Match; or NULL */
	const cJSON *input;
	int64_t now_ms;
};

/* The stored document of a write, as a tree and printed. For CLEANUP(enrollment_draft_done). */
struct enrollment_draft {
	cJSON *document;
	char *text;
};

/* What of a write needs nothing that is stored: all but an update. */
bool enrollment_draft(struct emulator *emulator, const struct enrollment_write *write,
		      struct enrollment_draft *draft, struct refusal *refusal) MUST_CHECK;
void enrollment_draft_done(struct enrollment_draft *draft);
/* The rest of it, by who holds the store's lock. */
bool enrollment_put_locked(struct emulator *emulator, const struct enrollment_write *write,
			   struct enrollment_draft *draft, struct refusal *refusal) MUST_CHECK;
/* The same, within a transaction. The registration record goes with it. etag: as in If-Match, or NULL. */
bool enrollment_remove_locked(struct emulator *emulator, enum enrollment_kind kind, const char *id,
			      const char *etag, struct refusal *refusal) MUST_CHECK;
/* *ret_document is NULL when there is none; the caller deletes it. */
bool enrollment_read(struct emulator *emulator, enum enrollment_kind kind, const char *id,
		     cJSON **ret_document, struct refusal *refusal) MUST_CHECK;

/* A stored document back as a tree. */
bool stored_parse(const char *text, cJSON **ret_document, struct refusal *refusal) MUST_CHECK;
/* Prints into the reply. */
bool reply_json(struct exchange *exchange, const cJSON *document) MUST_CHECK;
/* The request's body as an object; 400 when it is not one. */
bool request_json(struct exchange *exchange, cJSON **ret_object) MUST_CHECK;
