/* Certificates expire while their devices wait, and those that were made by a wrong clock are not valid yet. Private to the
 * station. */
#pragma once

#include "job.h"

/* When all of the job's certificates are valid. */
struct validity {
	char from[RFC3339_SIZE], until[RFC3339_SIZE]; /* "": it has none */
	int64_t from_ms, until_ms;
};

bool expiry_read(const struct job *job, struct validity *ret_validity, struct muster_error *err)
	MUST_CHECK;
/* CAUSE_CERTIFICATE_EXPIRED when that is over, CAUSE_CERTIFICATE_NOT_YET when it is to come. When it is soon over, and the device has
 * waited, there is a warning. */
bool expiry_check(const struct job *job, struct muster_error *err) MUST_CHECK;
/* Is one of them over by now? */
bool expiry_is_over(const struct job *job, bool *ret_is_over, struct muster_error *err) MUST_CHECK;
/* Warns of a device that was released and cannot register any more, or not with each of its certificates. */
bool expiry_tell(const struct job *job, struct muster_error *err) MUST_CHECK;
/* Is it one of the two? */
bool expiry_is_cause(enum muster_cause cause);
