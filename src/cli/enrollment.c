#include "muster/dps.h"
#include "muster/json.h"

#include "enrollment.h"

const struct column enrollment_columns[ENROLLMENT_COLUMN_COUNT] = {
	{ "registrationId", "REGISTRATION ID", false, false },
	{ "deviceId", "DEVICE ID", false, false },
	{ "provisioningStatus", "STATUS", false, false },
	{ "allocationPolicy", "ALLOCATION", false, false },
	{ "lastUpdatedDateTimeUtc", "UPDATED", false, false },
	{ "etag", "ETAG", false, false },
};

bool enrollment_id_check(const struct invocation *call, const char *id, struct muster_error *err)
{
	const char *verb = verb_full_name(call->verb);

	return id ? dps_path_id_check(id, err)
		  : muster_fail(err, CAUSE_USAGE,
				"'muster %s' needs --enrollment-id ID (see muster %s --help)", verb,
				verb);
}

bool enrollment_etag_check(const char *etag, struct muster_error *err)
{
	for (const char *at = etag; at && *at; at++)
		if (*at <= ' ' || *at > '~')
			return muster_fail(err, CAUSE_USAGE,
					   "--etag '%s' is none: an etag has neither spaces nor "
					   "line ends",
					   PRINTABLE(etag));
	return true;
}

bool enrollment_print(const struct invocation *call, cJSON *enrollment, struct muster_error *err)
{
	json_sort(enrollment);
	return result_print(call, enrollment, err);
}

static const struct column request_columns[] = {
	{ "method", "METHOD", false, false },
	{ "url", "URL", false, false },
	{ "ifMatch", "IF MATCH", false, false },
};

/* Takes `body` over; NULL: none. People get it below the row. */
static bool print_request(const struct invocation *call, const char *method,
			  const struct http_request *request, const char *if_match, cJSON *body,
			  struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *owned = body;
	bool is_below = body && call->output == OUTPUT_TABLE;
	CLEANUP(cJSON_freep) cJSON *shown = cJSON_CreateObject();

	if (!shown || !json_add_text(shown, "method", method) ||
	    !json_add_text(shown, "url", request->url.data) ||
	    !json_add_text(shown, "ifMatch", if_match) ||
	    (owned && !json_add_item(shown, "body", TAKE_PTR(owned))))
		return muster_fail_memory(err);
	return output_print(stdout, call->output, shown, request_columns,
			    ARRAY_SIZE(request_columns), err) &&
	       (!is_below ||
		output_print(stdout, OUTPUT_YAML, json_get(shown, "body"), NULL, 0, err));
}

bool enrollment_print_put(const struct invocation *call, struct dps_client *client, const char *id,
			  const struct text *body, const char *if_match, struct muster_error *err)
{
	CLEANUP(http_request_done) struct http_request request = { 0 };
	CLEANUP(cJSON_freep) cJSON *document = NULL;

	return dps_enrollment_put_text(dps_client_host(client), id, body, if_match, &request,
				       err) &&
	       json_parse(body->data, body->length, "the enrollment", &document, err) &&
	       dps_document_redact(document, err) &&
	       print_request(call, "PUT", &request, if_match, TAKE_PTR(document), err);
}

bool enrollment_print_delete(const struct invocation *call, struct dps_client *client,
			     const char *id, const char *if_match, struct muster_error *err)
{
	CLEANUP(http_request_done) struct http_request request = { 0 };

	return dps_enrollment_delete(dps_client_host(client), id, if_match, &request, err) &&
	       print_request(call, "DELETE", &request, if_match, NULL, err);
}

bool list_top_read(const char *text, int64_t *ret_top, struct muster_error *err)
{
	int64_t top = -1;

	if (text && !text_to_int64(text, INT32_MIN, INT32_MAX, &top))
		return muster_fail(err, CAUSE_USAGE, "--top=%s is not a number", PRINTABLE(text));
	if (top == 0 || top < -1)
		return muster_fail(err, CAUSE_USAGE, "--top must be above 0, or -1 for all");
	*ret_top = top == -1 ? INT64_MAX : top;
	return true;
}
