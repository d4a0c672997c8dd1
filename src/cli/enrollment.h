/* What the verbs about enrollments share: their ID, and how an enrollment is printed. */
#pragma once

#include "login-options.h"

/* clang-format off */
/* For a table whose options struct `type` has a member `id`. */
#define ENROLLMENT_ID_ROW(type) \
	{ 0, "enrollment-id", "eid", OPTION_TEXT, "ID", "Registration ID of the enrollment", \
	  offsetof(type, id), NULL, NULL, 0 }
/* clang-format on */

#define ENROLLMENT_COLUMN_COUNT 6
extern const struct column enrollment_columns[ENROLLMENT_COLUMN_COUNT];

/* Given, and of a length that fits: before anything is sent. */
bool enrollment_id_check(const struct invocation *call, const char *id, struct muster_error *err)
	MUST_CHECK;
/* NULL passes. */
bool enrollment_etag_check(const char *etag, struct muster_error *err) MUST_CHECK;
/* The value of --top: above 0, or -1 and NULL for all, INT64_MAX. */
bool list_top_read(const char *text, int64_t *ret_top, struct muster_error *err) MUST_CHECK;
/* The service's JSON with its members sorted, in place. */
bool enrollment_print(const struct invocation *call, cJSON *enrollment, struct muster_error *err)
	MUST_CHECK;
/* The PUT that would be sent, keys masked. if_match NULL: none. */
bool enrollment_print_put(const struct invocation *call, struct dps_client *client, const char *id,
			  const struct text *body, const char *if_match, struct muster_error *err)
	MUST_CHECK;
bool enrollment_print_delete(const struct invocation *call, struct dps_client *client,
			     const char *id, const char *if_match, struct muster_error *err)
	MUST_CHECK;
