/* What reached the server and what it changed: one line of JSON per operation, appended after the commit and before
 * the answer, so that a test can hold it against what a client believes.
 *
 *   {"time","op","collection","id","etag","effect","status","fault","attempt","bodySha256"}
 *
 * effect: create, update, delete or none. attempt counts the requests of this op for this id since start. A bulk
 * request writes a line for each of its items, op "bulk", before its own line, which has an empty id.
 *
 * Opened with bodies, each line that is a request's own has also "method", "path" as sent, "apiVersion", "ifMatch" and
 * "body": these hold keys. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/error.h"

enum effect { EFFECT_NONE, EFFECT_CREATE, EFFECT_UPDATE, EFFECT_DELETE };

struct request;

struct ledger_line {
	int64_t wall_ms;
	const char *operation;
	const char *collection; /* "enrollments", "enrollmentGroups", "registrations", or "" */
	const char *id;         /* NULL: null */
	const char *etag;       /* NULL: null; the new one after a write */
	enum effect effect;
	unsigned status; /* the one computed, also when a fault keeps it from the client */
	const char *fault;
	const void *body;
	size_t body_size;
	const struct request *request; /* NULL: an item of a bulk */
};

struct ledger;

/* Opens for appending (0600 when made). */
bool ledger_open(const char *path, bool with_bodies, struct ledger **ret_ledger,
		 struct muster_error *err) MUST_CHECK;
#define LEDGER_LINES_MAX 10
/* Thread-safe; one write(2) for all of them. Accepts a NULL ledger. */
void ledger_append(struct ledger *ledger, const struct ledger_line *lines, size_t count);
void ledger_close(struct ledger *ledger);
