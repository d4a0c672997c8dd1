#include <stdio.h>
#include <string.h>

#include "muster/json.h"

#include "dps-internal.h"
#include "enrollment-internal.h"

/* -- Exchanges ----------------------------------------------------------------------------------------- */

static bool build_get(void *context, const char *host, struct http_request *ret_request,
		      struct muster_error *err)
{
	return dps_enrollment_get(host, context, ret_request, err);
}

static bool build_mechanism(void *context, const char *host, struct http_request *ret_request,
			    struct muster_error *err)
{
	return dps_enrollment_mechanism(host, context, ret_request, err);
}

bool enrollment_get(struct dps_client *client, const char *id, struct http_answer *ret_answer,
		    struct muster_error *err)
{
	return dps_client_fetch(client, build_get, (void *)(uintptr_t)id, false, ret_answer, err);
}

bool enrollment_get_mechanism(struct dps_client *client, const char *id,
			      struct http_answer *ret_answer, struct muster_error *err)
{
	return dps_client_fetch(client, build_mechanism, (void *)(uintptr_t)id, false, ret_answer,
				err);
}

bool answer_is(const struct http_answer *answer, int status)
{
	return answer->outcome == HTTP_ANSWERED && answer->status == status;
}

bool enrollment_was_written(const struct http_answer *answer, const char *id,
			    cJSON **ret_enrollment)
{
	struct muster_error unread;

	return answer_is(answer, 200) && dps_enrollment_read(answer, id, ret_enrollment, &unread);
}

bool enrollment_is_unclear(const struct http_answer *answer)
{
	return answer_is(answer, 200) || dps_next_step(answer, true) == DPS_NEXT_READ_BACK;
}

/* -- Reading ------------------------------------------------------------------------------------------- */

bool dps_enrollment_fetch(struct dps_client *client, const char *id, cJSON **ret_enrollment,
			  struct muster_error *err)
{
	CLEANUP(http_answer_done) struct http_answer answer = { 0 };

	return enrollment_get(client, id, &answer, err) &&
	       dps_read_end(dps_enrollment_read(&answer, id, ret_enrollment, err), err);
}

bool dps_enrollment_fetch_keys(struct dps_client *client, const char *id, cJSON *enrollment,
			       bool *ret_has_keys, struct muster_error *err)
{
	CLEANUP(http_answer_done) struct http_answer answer = { 0 };
	CLEANUP(cJSON_freep) cJSON *mechanism = NULL;
	const char *type = json_text(json_get(enrollment, "attestation"), "type");

	*ret_has_keys = type && text_equal_folded(type, "symmetricKey");
	if (!*ret_has_keys)
		return true;
	if (!enrollment_get_mechanism(client, id, &answer, err) ||
	    !dps_read_end(dps_mechanism_read(&answer, &mechanism, err), err))
		return false;
	cJSON_DeleteItemFromObjectCaseSensitive(enrollment, "attestation");
	if (!json_add_item(enrollment, "attestation", TAKE_PTR(mechanism)))
		return muster_fail_memory(err);
	return true;
}

/* -- Records ------------------------------------------------------------------------------------------- */

static bool build_record_get(void *context, const char *host, struct http_request *ret_request,
			     struct muster_error *err)
{
	return dps_record_get(host, context, ret_request, err);
}

bool dps_record_fetch(struct dps_client *client, const char *id, cJSON **ret_record,
		      struct muster_error *err)
{
	CLEANUP(http_answer_done) struct http_answer answer = { 0 };
	char what[200];

	snprintf(what, sizeof(what), "registration record '%s'", PRINTABLE(id));
	if (!dps_client_fetch(client, build_record_get, (void *)(uintptr_t)id, false, &answer, err))
		return false;
	if (!answer_is(&answer, 200))
		return dps_read_end(
			dps_answer_fail_as(&answer, what, CAUSE_REGISTRATION_NOT_FOUND, err), err);
	return dps_read_end(dps_answer_json(&answer, what, false, ret_record, err), err);
}
