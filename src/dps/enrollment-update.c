/* An update changes what was read and nothing else, and only while it still is what was read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "muster/json.h"

#include "dps-internal.h"
#include "enrollment-internal.h"

void dps_update_done(struct dps_update *update)
{
	text_done(&update->body);
	free(update->if_match);
	cJSON_Delete(update->before);
	*update = (struct dps_update){ 0 };
}

/* -- Reading ------------------------------------------------------------------------------------------- */

static bool has_symmetric_keys(const cJSON *enrollment)
{
	const char *type = json_text(json_get(enrollment, "attestation"), "type");

	return type && text_equal_folded(type, "symmetricKey");
}

static bool has_key(const cJSON *mechanism, const char *name, const char *new_one)
{
	const char *key = json_text(json_get(mechanism, "symmetricKey"), name);

	return new_one || (key && *key);
}

/* An update without keys would make the service take new ones, which no device has. */
static bool check_mechanism(const struct dps_update_terms *terms, const cJSON *mechanism,
			    struct muster_error *err)
{
	if (!has_key(mechanism, "primaryKey", terms->settings->primary_key) ||
	    !has_key(mechanism, "secondaryKey", terms->settings->secondary_key))
		return muster_fail(err, CAUSE_CLOUD_ANSWER_INVALID,
				   "enrollment '%s' has symmetric keys, and the service did not "
				   "tell them; without them an update would end the device's keys",
				   PRINTABLE(terms->id));
	return true;
}

static bool read_mechanism(struct dps_client *client, const struct dps_update_terms *terms,
			   struct http_answer *ret_answer, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *mechanism = NULL;

	return enrollment_get_mechanism(client, terms->id, ret_answer, err) &&
	       dps_mechanism_read(ret_answer, &mechanism, err) &&
	       check_mechanism(terms, mechanism, err);
}

static bool fill_if_match(const struct dps_update_terms *terms, struct dps_update *update,
			  struct muster_error *err)
{
	const char *if_match = terms->force  ? "*"
			       : terms->etag ? terms->etag
					     : json_text(update->before, "etag");

	if (!if_match)
		return muster_fail(
			err, CAUSE_CLOUD_ANSWER_INVALID,
			"enrollment '%s' was read without an etag, so that nothing protects what "
			"others write meanwhile",
			PRINTABLE(terms->id));
	update->if_match = strdup(if_match);
	return update->if_match ? true : muster_fail_memory(err);
}

static bool prepare(struct dps_client *client, const struct dps_update_terms *terms,
		    struct dps_update *ret_update, struct muster_error *err)
{
	CLEANUP(http_answer_done) struct http_answer found = { 0 };
	CLEANUP(http_answer_done) struct http_answer mechanism = { 0 };
	CLEANUP(dps_update_done) struct dps_update update = { 0 };
	bool has_keys;

	if (!enrollment_get(client, terms->id, &found, err) ||
	    !dps_enrollment_read(&found, terms->id, &update.before, err))
		return false;
	has_keys = has_symmetric_keys(update.before);
	if ((has_keys && !read_mechanism(client, terms, &mechanism, err)) ||
	    !dps_settings_apply(terms->settings, &found.body, has_keys ? &mechanism.body : NULL,
				&update.body, err) ||
	    !fill_if_match(terms, &update, err))
		return false;
	*ret_update = update;
	update = (struct dps_update){ 0 };
	return true;
}

/* Until here nothing was sent that changes anything. */
bool dps_update_prepare(struct dps_client *client, const struct dps_update_terms *terms,
			struct dps_update *ret_update, struct muster_error *err)
{
	return dps_read_end(prepare(client, terms, ret_update, err), err);
}

/* -- Conflicts ----------------------------------------------------------------------------------------- */

struct sending {
	struct dps_client *client;
	const char *id;
	const struct dps_update *update;
	const cJSON *wanted; /* the body as a tree */
};

/* What is there now, keys included; an error says why the update's end is not known. */
static bool read_now(const struct sending *sending, cJSON **ret_now, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *now = NULL;
	bool has_keys;

	if (!dps_enrollment_fetch(sending->client, sending->id, &now, err) ||
	    !dps_enrollment_fetch_keys(sending->client, sending->id, now, &has_keys, err))
		return false;
	*ret_now = TAKE_PTR(now);
	return true;
}

static bool is_same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool is_unchanged(const struct sending *sending, const cJSON *now)
{
	return is_same_text(json_text(sending->update->before, "etag"), json_text(now, "etag"));
}

/* Adds to the service's refusal what has changed since we read. */
static bool explain(const struct sending *sending, const cJSON *now, struct muster_error *err)
{
	CLEANUP(text_done) struct text changes = TEXT_MAX(64 * 1024);
	struct muster_error refusal = *err, second;
	const char *etag = json_text(now, "etag"), *when = json_text(now, "lastUpdatedDateTimeUtc");
	char etags[2][160]; /* which look like keys, and are none */

	if (!dps_enrollment_changes(sending->update->before, now, &changes, &second)) {
		*err = second;
		return false;
	}
	if (is_unchanged(sending, now))
		text_addf(&changes, "its etag is '%s', not '%s'",
			  text_printable(etags[0], sizeof(etags[0]), etag),
			  text_printable(etags[1], sizeof(etags[1]), sending->update->if_match));
	else if (changes.length == 0)
		text_add(&changes, "it was written without a change that is known here");
	return muster_fail_native(err, refusal.cause, refusal.origin, refusal.native,
				  "%s; written last at %s: %s", refusal.message, PRINTABLE(when),
				  text_one_line(&changes));
}

static bool fail_answer(const struct sending *sending, const struct http_answer *answer,
			struct muster_error *err)
{
	char what[200];

	snprintf(what, sizeof(what), "updating enrollment '%s'", PRINTABLE(sending->id));
	return dps_answer_fail(answer, what, err);
}

/* The refusal stands when even that cannot be read. */
static bool fail_conflict(const struct sending *sending, const struct http_answer *answer,
			  struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *now = NULL;
	struct muster_error unread;

	fail_answer(sending, answer, err);
	return dps_enrollment_fetch(sending->client, sending->id, &now, &unread)
		       ? explain(sending, now, err)
		       : false;
}

/* -- Sending ------------------------------------------------------------------------------------------- */

static bool build_put(void *context, const char *host, struct http_request *ret_request,
		      struct muster_error *err)
{
	const struct sending *sending = context;

	return dps_enrollment_put_text(host, sending->id, &sending->update->body,
				       sending->update->if_match, ret_request, err);
}

/* After an answer that does not say whether it was written: *ret_now is the enrollment when it was, else NULL and it
 * may be sent again. */
static bool look(const struct sending *sending, cJSON **ret_now, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *now = NULL;
	CLEANUP(text_done) struct text differences = TEXT_MAX(64 * 1024);
	struct muster_error unread;

	if (!read_now(sending, &now, &unread))
		return muster_fail(err, CAUSE_OUTCOME_UNKNOWN,
				   "enrollment '%s' may or may not have been updated: %s",
				   PRINTABLE(sending->id), unread.message);
	if (is_unchanged(sending, now))
		return true;
	if (!dps_enrollment_compare(sending->wanted, now, NULL, &differences, err))
		return false;
	if (differences.length > 0)
		return muster_fail(
			err, CAUSE_ETAG_MISMATCH,
			"updating enrollment '%s': the answer was lost, and somebody wrote it "
			"meanwhile: %s",
			PRINTABLE(sending->id), text_one_line(&differences));
	*ret_now = TAKE_PTR(now);
	return true;
}

/* An answer that is no success. */
static bool handle(const struct sending *sending, const struct http_answer *answer,
		   bool *was_unclear, cJSON **ret_now, struct muster_error *err)
{
	if (enrollment_is_unclear(answer) && (*was_unclear || !answer_is(answer, 412))) {
		*was_unclear = true;
		return look(sending, ret_now, err);
	}
	return answer_is(answer, 412) ? fail_conflict(sending, answer, err)
				      : fail_answer(sending, answer, err);
}

static bool send_until_known(struct sending *sending, cJSON **ret_enrollment,
			     struct muster_error *err)
{
	bool was_unclear = false;

	for (unsigned sends = 1;; sends++) {
		CLEANUP(http_answer_done) struct http_answer answer = { 0 };
		CLEANUP(cJSON_freep) cJSON *now = NULL;

		if (!dps_client_fetch(sending->client, build_put, sending, true, &answer, err))
			return false;
		if (enrollment_was_written(&answer, sending->id, ret_enrollment))
			return true;
		if (!handle(sending, &answer, &was_unclear, &now, err))
			return false;
		if (now) {
			*ret_enrollment = TAKE_PTR(now);
			return true;
		}
		if (sends == DPS_RETRY_ATTEMPTS)
			return fail_answer(sending, &answer, err);
		if (!dps_client_pause(sending->client, &answer, sends, err))
			return false;
	}
}

bool dps_update_send(struct dps_client *client, const char *id, const struct dps_update *update,
		     cJSON **ret_enrollment, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *wanted = NULL;
	struct sending sending = { client, id, update, NULL };

	if (!json_parse(update->body.data, update->body.length, "the update", &wanted, err))
		return false;
	sending.wanted = wanted;
	return send_until_known(&sending, ret_enrollment, err);
}
