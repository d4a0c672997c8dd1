/* Deleting an enrollment or a registration record: what the answer does not say is read, before it is sent again. */
#include <stdio.h>
#include <string.h>

#include "muster/clock.h"
#include "muster/json.h"

#include "dps-internal.h"
#include "enrollment-internal.h"

struct removal {
	const char *id;
	const char *if_match;
	const char *kind; /* for messages */
	bool spares_newcomers;
	bool (*build_delete)(const char *host, const char *id, const char *if_match,
			     struct http_request *ret_request, struct muster_error *err);
	bool (*build_get)(const char *host, const char *id, struct http_request *ret_request,
			  struct muster_error *err);
	enum muster_cause not_found;
	char etag[256]; /* of what was read back */
};

static bool build_delete(void *context, const char *host, struct http_request *ret_request,
			 struct muster_error *err)
{
	const struct removal *removal = context;

	return removal->build_delete(host, removal->id, removal->if_match, ret_request, err);
}

static bool build_get(void *context, const char *host, struct http_request *ret_request,
		      struct muster_error *err)
{
	const struct removal *removal = context;

	return removal->build_get(host, removal->id, ret_request, err);
}

/* The service tells the time in whole seconds, so what is hardly older counts, too. */
bool enrollment_is_newcomer(const cJSON *found, const struct http_answer *answer, int64_t sent_ms)
{
	const char *written = json_text(found, "lastUpdatedDateTimeUtc");
	int64_t written_ms;

	return answer->date_ms >= 0 && written && rfc3339_parse(written, &written_ms) &&
	       written_ms >= answer->date_ms - (clock_now_ms() - sent_ms);
}

/* Whatever is there was to be deleted; from now on it is this, and nothing that comes behind. */
static bool pin(struct removal *removal, const struct http_answer *answer, int64_t sent_ms,
		struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *found = NULL;
	struct muster_error ignored;
	const char *etag;

	if (!removal->spares_newcomers || strcmp(removal->if_match, "*") != 0 ||
	    !json_parse(answer->body.data, answer->body.length, "the answer", &found, &ignored))
		return true;
	if (enrollment_is_newcomer(found, answer, sent_ms))
		return muster_fail(
			err, CAUSE_ETAG_MISMATCH,
			"deleting %s '%s': there was no clear answer, and what is there now was "
			"written at the same time or later; look at it, then delete it again",
			removal->kind, PRINTABLE(removal->id));
	etag = json_text(found, "etag");
	if (etag && strlen(etag) < sizeof(removal->etag)) {
		memcpy(removal->etag, etag, strlen(etag) + 1);
		removal->if_match = removal->etag;
	}
	return true;
}

/* Whether it is gone, after an answer that does not say. What was not read cannot be said to be so or not, whatever the reason. */
static bool read_back(struct dps_client *client, struct removal *removal, int64_t sent_ms,
		      bool *ret_is_gone, struct muster_error *err)
{
	CLEANUP(http_answer_done) struct http_answer answer = { 0 };
	struct muster_error unread;

	if (dps_client_fetch(client, build_get, removal, false, &answer, &unread)) {
		*ret_is_gone = answer_is(&answer, 404);
		if (*ret_is_gone)
			return true;
		if (answer_is(&answer, 200))
			return pin(removal, &answer, sent_ms, err);
		dps_answer_fail(&answer, "reading it back", &unread);
	}
	return muster_fail(err, CAUSE_OUTCOME_UNKNOWN,
			   "%s '%s' may or may not have been deleted: %s", removal->kind,
			   PRINTABLE(removal->id), unread.message);
}

static bool is_unclear(const struct http_answer *answer)
{
	return dps_next_step(answer, true) == DPS_NEXT_READ_BACK && !answer_is(answer, 409) &&
	       !answer_is(answer, 412);
}

static bool remove_it(struct dps_client *client, struct removal *removal, struct muster_error *err)
{
	const int64_t sent_ms = clock_now_ms();
	bool was_unclear = false;
	char what[200];

	snprintf(what, sizeof(what), "deleting %s '%s'", removal->kind, PRINTABLE(removal->id));
	if (!removal->if_match || !*removal->if_match)
		return muster_fail(err, CAUSE_INTERNAL, "%s without an etag", what);
	for (unsigned sends = 1;; sends++) {
		CLEANUP(http_answer_done) struct http_answer answer = { 0 };
		bool is_gone = false;

		if (!dps_client_fetch(client, build_delete, removal, true, &answer, err))
			return false;
		if (answer_is(&answer, 204) || answer_is(&answer, 200) ||
		    (was_unclear && answer_is(&answer, 404)))
			return true;
		if (!is_unclear(&answer))
			return dps_answer_fail_as(&answer, what, removal->not_found, err);
		was_unclear = true;
		if (!read_back(client, removal, sent_ms, &is_gone, err))
			return false;
		if (is_gone)
			return true;
		if (sends == DPS_RETRY_ATTEMPTS)
			return dps_answer_fail_as(&answer, what, removal->not_found, err);
		if (!dps_client_pause(client, &answer, sends, err))
			return false;
	}
}

bool dps_enrollment_remove(struct dps_client *client, const char *id, const char *if_match,
			   struct muster_error *err)
{
	struct removal removal = {
		.id = id,
		.if_match = if_match,
		.kind = "enrollment",
		.spares_newcomers = true,
		.build_delete = dps_enrollment_delete,
		.build_get = dps_enrollment_get,
		.not_found = CAUSE_ENROLLMENT_NOT_FOUND,
	};

	return remove_it(client, &removal, err);
}

bool dps_record_remove(struct dps_client *client, const char *id, const char *if_match,
		       struct muster_error *err)
{
	struct removal removal = {
		.id = id,
		.if_match = if_match,
		.kind = "registration record",
		.build_delete = dps_record_delete,
		.build_get = dps_record_get,
		.not_found = CAUSE_REGISTRATION_NOT_FOUND,
	};

	return remove_it(client, &removal, err);
}
