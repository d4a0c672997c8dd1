/* What the files about one enrollment share: its exchanges, and questions to an answer. */
#pragma once

#include "muster/dps-enrollment.h"

bool enrollment_get(struct dps_client *client, const char *id, struct http_answer *ret_answer,
		    struct muster_error *err) MUST_CHECK;
bool enrollment_get_mechanism(struct dps_client *client, const char *id,
			      struct http_answer *ret_answer, struct muster_error *err) MUST_CHECK;

/* A complete answer with this status. */
bool answer_is(const struct http_answer *answer, int status);
