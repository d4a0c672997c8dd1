/* Misbehaviour on request: which operation is hit, how often, and what happens to it.
 *
 *   OPERATION:ACTION[:skip=N][:count=N][:every=N][:id=ID]
 *
 *   OPERATION  put get delete bulk query mechanism register poll registration token management any;
 *              several with '+'
 *   skip=N     the first N matching requests pass
 *   count=N    at most N requests are hit (all when not given)
 *   every=N    of the rest, each Nth one is hit, beginning with the first
 *   id=ID      only requests for this id (any case)
 *
 *   ACTION           what happens                                             committed
 *   status=N         answers N (an error body; see also retry-after=)         no
 *   status-after=N   does the work, then answers N                            yes
 *   cut-before       closes the connection                                    no
 *   cut-after        does the work, then closes the connection                yes
 *   delay=MS         waits, then does the work                                yes
 *   delay-after=MS   does the work, waits, then answers                       yes
 *   truncated        half of the answer, then closes the connection           yes
 *   garbage[=KIND]   another answer: text html empty array wrong-id no-etag duplicate deep huge no-keys     yes
 *   trickle=N        the answer at N bytes per second                         yes
 *   replay[=MS]      does the work and answers; the same request arrives      twice, if its terms
 *                    once more after MS (1000)                                 allow it
 *   redirect         307 to another host                                      no
 *   partial=N        bulk: commits the first N items, then answers 500        in part
 *   throttled=N      bulk: commits the first N items and answers 200; each    in part
 *                    other is refused in it with errorCode 429001
 *
 *   retry-after=X    with status and throttled: the header's text; a number, "date" (2 s ahead) or "none"
 *
 * Each specification counts the requests that match it; the first one that is due hits. Nothing is left to chance. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/error.h"

#include "stamp.h"

enum operation {
	OPERATION_NONE,
	OPERATION_PUT,
	OPERATION_GET,
	OPERATION_DELETE,
	OPERATION_BULK,
	OPERATION_QUERY,
	OPERATION_MECHANISM,
	OPERATION_REGISTER,
	OPERATION_POLL,
	OPERATION_REGISTRATION,
	OPERATION_TOKEN,
	OPERATION_MANAGEMENT,
	OPERATION_COUNT,
};
/* "put", ...; "none" for requests that match no route. */
const char *operation_name(enum operation operation);

enum fault_action {
	FAULT_NONE,
	FAULT_STATUS,
	FAULT_STATUS_AFTER,
	FAULT_CUT_BEFORE,
	FAULT_CUT_AFTER,
	FAULT_DELAY,
	FAULT_DELAY_AFTER,
	FAULT_TRUNCATED,
	FAULT_GARBAGE,
	FAULT_TRICKLE,
	FAULT_REPLAY,
	FAULT_REDIRECT,
	FAULT_PARTIAL,
	FAULT_THROTTLED,
	FAULT_ACTION_COUNT,
};

enum garbage_kind {
	GARBAGE_TEXT,
	GARBAGE_HTML,
	GARBAGE_EMPTY,
	GARBAGE_ARRAY,
	GARBAGE_WRONG_ID,
	GARBAGE_NO_ETAG,
	GARBAGE_DUPLICATE,
	GARBAGE_DEEP,
	GARBAGE_HUGE,
	GARBAGE_NO_KEYS,
	GARBAGE_COUNT,
};

struct fault {
	unsigned operations; /* 1 << enum operation */
	enum fault_action action;
	int64_t value; /* status, milliseconds, bytes per second, items, enum garbage_kind */
	char retry_after[64];
	char id[ID_MAX + 1]; /* lower case; empty: any */
	int64_t skip, count, every;

	int64_t seen, hits;
};

bool fault_parse(const char *spec, struct fault *ret_fault, struct muster_error *err) MUST_CHECK;
/* The fault that hits this request, or NULL; counts. `id` may be empty. Not locked. */
const struct fault *fault_pick(struct fault *faults, size_t count, enum operation operation,
			       const char *id);
/* "cut-after", ...; "" for none. */
const char *fault_action_name(enum fault_action action);
