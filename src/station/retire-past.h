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

/* How a life ended at one service. An enrollment has the registration ID for its name, so a service has one at most. */
struct retire_end {
	cJSON *evidence;
	struct service_place place;
	bool is_left;          /* it had been sent, and nobody looked at its enrollment */
	char left_attempt[64]; /* which sent that; "" where it is not known */
	bool is_kept;          /* its enrollment was kept disabled */
	char *kept_etag;       /* with which it was kept; NULL: not known */
	bool is_former;        /* the device's row is of a later one */
	char *etag;            /* which the row had then; NULL: none */
};

struct retire_past {
	const struct journal_device *device; /* borrowed */
	const char *host;                    /* of the login; borrowed */
	/* Of the life that is to end, of the last that had been sent, or of one before it that has left or kept something at the login's
	 * service. */
	struct retire_end end;
	struct retire_end *others; /* at other services */
	size_t other_count;
	bool was_sent;    /* one that has ended */
	bool is_begun;    /* an earlier run meant to do it, at this service, and has no outcome */
	bool begun_keeps; /* it meant to disable the enrollment */
	char *begun_etag; /* which that had then; NULL: not known */
	char *row_etag;   /* as far as was read */
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
