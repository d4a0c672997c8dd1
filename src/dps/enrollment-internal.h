/* What the files about one enrollment share: its exchanges, and questions to an answer. */
#pragma once

#include "muster/dps-enrollment.h"

bool enrollment_get(struct dps_client *client, const char *id, struct http_answer *ret_answer,
		    struct muster_error *err) MUST_CHECK;
bool enrollment_get_mechanism(struct dps_client *client, const char *id,
			      struct http_answer *ret_answer, struct muster_error *err) MUST_CHECK;

/* A complete answer with this status. */
bool answer_is(const struct http_answer *answer, int status);
/* Somebody wrote what was read back when its deletion was under way, which may have had its effect before. sent_ms: when that was
 * sent first, by clock_now_ms(). */
bool enrollment_is_newcomer(const cJSON *found, const struct http_answer *answer, int64_t sent_ms);
/* Of a write: a success that tells of this enrollment. */
bool enrollment_was_written(const struct http_answer *answer, const char *id,
			    cJSON **ret_enrollment) MUST_CHECK;
/* Of a write that was not: whether it has to be read back, since the answer may be the echo of an earlier one, was lost, or is
 * a success that nobody can read. */
bool enrollment_is_unclear(const struct http_answer *answer);
