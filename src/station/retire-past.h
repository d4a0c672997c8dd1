/* What the journal says of a device that is to be retired: where its enrollment is, what was released, and how it ended before.
 * Private to the station. */
#pragma once

#include <cjson/cJSON.h>

#include "muster/journal.h"
#include "service-place.h"

/* A life that was not ended yet. */
struct retire_life {
	cJSON *evidence; /* of its release; NULL: it had none */
	struct service_sendings sendings;
};

struct retire_past {
	const struct journal_device *device; /* borrowed */
	const char *host;                    /* of the login; borrowed */
	/* Of the life that is to end, or of the last that had been sent. */
	cJSON *evidence;
	struct service_place place;
	bool was_sent;    /* one that has ended */
	bool is_begun;    /* an earlier run meant to do it, at this service, and has no outcome */
	bool begun_keeps; /* it meant to disable the enrollment */
	char *begun_etag; /* which that had then; NULL: not known */
	bool is_left;     /* it has ended, had been sent, and nobody looked at its enrollment */
	char left_attempt[64]; /* which sent that; "" where it is not known */
	bool is_kept;          /* it has ended, and its enrollment was kept disabled */
	char *kept_etag;       /* with which it was kept; NULL: not known */
	struct retire_life life;
};

/* Of past->device, at past->host. */
bool retire_past_read(struct journal *journal, struct retire_past *past, struct muster_error *err)
	MUST_CHECK;
void retire_past_done(struct retire_past *past);
/* It has ended, and its enrollment with it, as far as the journal knows. */
bool retire_past_is_over(const struct retire_past *past);
/* A copy of its etag; NULL where it has none. */
bool retire_copy_etag(char **target, const cJSON *from, struct muster_error *err) MUST_CHECK;
