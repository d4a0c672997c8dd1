/* What the service operations and the device API share. */
#pragma once

#include "muster/dps.h"

/* dps_answer_fail() with another cause for 404. */
bool dps_answer_fail_as(const struct http_answer *answer, const char *what,
			enum muster_cause not_found, struct muster_error *err);
/* The JSON object or array that the answer must hold. CAUSE_CLOUD_ANSWER_INVALID. */
bool dps_answer_json(const struct http_answer *answer, const char *what, bool is_array,
		     cJSON **ret_root, struct muster_error *err) MUST_CHECK;
/* Where something was only asked: what cannot be understood leaves nothing unknown, CAUSE_CLOUD_READ_INVALID. `is_read` is handed
 * back. */
bool dps_read_end(bool is_read, struct muster_error *err) MUST_CHECK;
/* The body of a request. CAUSE_INPUT_TOO_LARGE. */
bool dps_text_body(const char *text, size_t size, struct secret *ret_body, struct muster_error *err)
	MUST_CHECK;
