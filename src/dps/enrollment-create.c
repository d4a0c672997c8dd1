/* A create is a PUT without If-Match: it can neither overwrite nor double anything. Still it is never sent again blindly:
 * what it left behind is read first. */
#include <stdio.h>

#include "muster/json.h"

#include "enrollment-internal.h"

struct creation {
	struct dps_client *client;
	const char *id;
	const struct text *body;
	const cJSON *wanted; /* the body as a tree */
};

static bool build_put(void *context, const char *host, struct http_request *ret_request,
		      struct muster_error *err)
{
	const struct creation *creation = context;

	return dps_enrollment_put_text(host, creation->id, creation->body, NULL, ret_request, err);
}

static const char *name_of(const struct creation *creation, char out[200])
{
	snprintf(out, 200, "creating enrollment '%s'", PRINTABLE(creation->id));
	return out;
}

/* -- Reading back -------------------------------------------------------------------------------------- */

static bool compare(const struct creation *creation, const cJSON *found, struct muster_error *err)
{
	CLEANUP(text_done) struct text differences = TEXT_MAX(64 * 1024);

	if (!dps_enrollment_compare(creation->wanted, found, NULL, &differences, err))
		return false;
	return differences.length == 0 ||
	       muster_fail(err, CAUSE_ENROLLED_OTHERWISE,
			   "enrollment '%s' exists with other content, nothing was changed: %s",
			   PRINTABLE(creation->id), text_one_line(&differences));
}

/* *ret_found NULL: there is none. */
static bool read_back(const struct creation *creation, cJSON **ret_found, struct muster_error *err)
{
	CLEANUP(http_answer_done) struct http_answer answer = { 0 };
	CLEANUP(cJSON_freep) cJSON *found = NULL;
	bool has_keys;

	*ret_found = NULL;
	if (!enrollment_get(creation->client, creation->id, &answer, err))
		return false;
	if (answer_is(&answer, 404))
		return true;
	if (!dps_enrollment_read(&answer, creation->id, &found, err) ||
	    !dps_enrollment_fetch_keys(creation->client, creation->id, found, &has_keys, err))
		return false;
	*ret_found = TAKE_PTR(found);
	return true;
}

/* What was not read cannot be said to be so or not. */
static bool fail_unknown(const struct creation *creation, struct muster_error *err)
{
	struct muster_error unread = *err;

	return muster_fail(err, CAUSE_OUTCOME_UNKNOWN,
			   "enrollment '%s' may or may not have been created: %s",
			   PRINTABLE(creation->id), unread.message);
}

/* -- Sending ------------------------------------------------------------------------------------------- */

static bool put(struct creation *creation, struct http_answer *ret_answer, struct muster_error *err)
{
	return dps_client_fetch(creation->client, build_put, creation, true, ret_answer, err);
}

/* After an answer that is no success: *ret_found is what is there, NULL to send again. */
static bool look(const struct creation *creation, const struct http_answer *answer,
		 bool if_not_exists, bool *was_unclear, cJSON **ret_found, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *found = NULL;
	bool exists = answer_is(answer, 409);
	char name[200];

	if (!enrollment_is_unclear(answer) || (exists && !*was_unclear && !if_not_exists))
		return dps_answer_fail(answer, name_of(creation, name), err);
	*was_unclear = *was_unclear || !exists;
	if (!read_back(creation, &found, err))
		return *was_unclear ? fail_unknown(creation, err) : false;
	if (found && !compare(creation, found, err))
		return false;
	*ret_found = TAKE_PTR(found);
	return true;
}

static bool send_until_known(struct creation *creation, bool if_not_exists, bool *ret_was_created,
			     cJSON **ret_enrollment, struct muster_error *err)
{
	bool was_unclear = false;
	char name[200];

	for (unsigned sends = 1;; sends++) {
		CLEANUP(http_answer_done) struct http_answer answer = { 0 };
		CLEANUP(cJSON_freep) cJSON *found = NULL;

		if (!put(creation, &answer, err))
			return false;
		if (enrollment_was_written(&answer, creation->id, ret_enrollment)) {
			*ret_was_created = true;
			return true;
		}
		if (!look(creation, &answer, if_not_exists, &was_unclear, &found, err))
			return false;
		if (found) {
			*ret_was_created = was_unclear;
			*ret_enrollment = TAKE_PTR(found);
			return true;
		}
		if (sends == DPS_RETRY_ATTEMPTS)
			return dps_answer_fail(&answer, name_of(creation, name), err);
		if (!dps_client_pause(creation->client, &answer, sends, err))
			return false;
	}
}

bool dps_enrollment_create(struct dps_client *client, const char *id, const struct text *body,
			   bool if_not_exists, bool *ret_was_created, cJSON **ret_enrollment,
			   struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *wanted = NULL;
	struct creation creation = { client, id, body, NULL };

	if (!json_parse(body->data, body->length, "the enrollment", &wanted, err))
		return false;
	creation.wanted = wanted;
	return send_until_known(&creation, if_not_exists, ret_was_created, ret_enrollment, err);
}
