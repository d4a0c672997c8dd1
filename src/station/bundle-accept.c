/* A receipt on the station that spooled the devices: what the other one released is released here. */
#include <stdlib.h>
#include <string.h>

#include "bundle.h"
#include "evidence.h"
#include "known.h"
#include "life.h"
#include "muster/clock.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/station-bundle.h"
#include "muster/station-hooks.h"
#include "muster/station-journal.h"
#include "spool.h"
#include "who.h"

struct acceptance {
	const struct station_bundle_request *request;
	struct journal *journal;
	struct hooks *hooks;
	struct who who;
	const char *digest; /* of the receipt */
	const cJSON *receipt;
	cJSON *rows;
	size_t told;    /* hooks were, of so many devices */
	cJSON *promise; /* of the event of the present one; or NULL */
	size_t failed;
	struct muster_error failure; /* the first */
	bool differ;                 /* failures have different exit statuses */
};

static void acceptance_done(struct acceptance *acceptance)
{
	cJSON_Delete(acceptance->promise);
	hooks_close(acceptance->hooks);
	journal_close(acceptance->journal);
	who_done(&acceptance->who);
}

/* -- Is it the same? ---------------------------------------------------------------------------------------------- */

static bool fail_other(const struct journal_device *row, struct muster_error *err)
{
	return muster_fail(err, CAUSE_RECEIPT_DIFFERS,
			   "the receipt speaks of another device '%s' than was spooled here",
			   PRINTABLE(row->registration_id));
}

/* How the key was looked at differs from run to run. */
static bool is_same_key(const cJSON *spooled, const cJSON *sent)
{
	static const char *const members[] = { "type", "ekSha256", "certificateSha256",
					       "secondaryCertificateSha256" };

	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		const char *one = json_text(spooled, members[i]);
		const char *other = json_text(sent, members[i]);

		if (!one != !other || (one && strcmp(one, other) != 0))
			return false;
	}
	return json_text(spooled, "type") != NULL;
}

/* The key, the terms and the attempt are those that were spooled here. */
static bool check_same(const struct journal_device *row, const cJSON *note, const cJSON *evidence,
		       struct muster_error *err)
{
	const char *attempt = json_text(evidence, "attemptId");
	const char *profile = json_text(json_get(evidence, "profile"), "sha256");
	bool is_same =
		note && attempt && row->attempt_id && strcmp(attempt, row->attempt_id) == 0 &&
		profile && row->profile_digest && strcmp(profile, row->profile_digest) == 0 &&
		is_same_key(json_get(note, "attestation"), json_get(evidence, "attestation"));

	return is_same || fail_other(row, err);
}

/* -- Telling ------------------------------------------------------------------------------------------------------ */

/* How a device stands now. */
struct standing {
	const char *state;
	const char *hub;
	const cJSON *evidence;
	const char *evidence_path;        /* it was released now */
	const struct journal_device *row; /* it waited here until now; NULL: nobody asks after it */
	struct muster_error
		why; /* it is not enrolled; code MUSTER_OK: it is, or it was ended by decision */
};

static bool copy(char **target, const char *value)
{
	*target = value ? strdup(value) : NULL;
	return !value || *target;
}

static bool fill_result(const struct standing *standing, bool is_verified,
			struct station_result *result)
{
	const struct journal_device *row = standing->row;
	const char *state = standing->why.code == MUSTER_OK               ? standing->state
			    : standing->why.cause == CAUSE_DEVICE_SPOOLED ? "spooled"
									  : "failed";

	result->failure = standing->why;
	result->verified = is_verified;
	return copy(&result->device, row->serial ? row->serial : row->registration_id) &&
	       copy(&result->serial, row->serial) &&
	       copy(&result->registration_id, row->registration_id) &&
	       copy(&result->device_id, row->device_id ? row->device_id : row->registration_id) &&
	       copy(&result->hub, standing->hub) && copy(&result->state, state) &&
	       copy(&result->evidence_path, standing->evidence_path);
}

static bool is_verified(const struct standing *standing)
{
	return json_bool(json_get(standing->evidence, "verification"), "verified", false);
}

/* As a sync tells them, who would have sent it from here. */
static bool describe(struct acceptance *acceptance, const struct standing *standing,
		     struct station_result *result, struct muster_error *err)
{
	if (!fill_result(standing, is_verified(standing), result))
		return muster_fail_memory(err);
	return known_state(acceptance->journal, standing->row->registration_id,
			   &result->journal_state, err) &&
	       hooks_set_profile(acceptance->hooks, standing->row->profile_name, err);
}

/* Before the commit that makes it true. */
static bool promise_hooks(struct acceptance *acceptance, const struct standing *standing,
			  struct muster_error *err)
{
	CLEANUP(station_result_done) struct station_result result = { 0 };

	return !acceptance->hooks ||
	       (describe(acceptance, standing, &result, err) &&
		hooks_promise(acceptance->hooks, &result, &acceptance->promise, err));
}

static bool tell_hooks(struct acceptance *acceptance, const struct standing *standing,
		       struct muster_error *err)
{
	CLEANUP(station_result_done) struct station_result result = { 0 };
	CLEANUP(cJSON_freep) cJSON *promise = TAKE_PTR(acceptance->promise);

	if (!standing->row || !acceptance->hooks)
		return true;
	if (!describe(acceptance, standing, &result, err))
		return false;
	hooks_unit_done(acceptance->hooks, &result, promise);
	acceptance->told++;
	return true;
}

/* -- Releasing --------------------------------------------------------------------------------------------------- */

/* The other station's, at its place in this journal. */
static bool compose_evidence(const struct acceptance *acceptance, const cJSON *evidence,
			     char **ret_text, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *copy = cJSON_Duplicate(evidence, true);
	cJSON *receipt = copy ? cJSON_AddObjectToObject(copy, "receipt") : NULL;
	char digest[2 * JOURNAL_DIGEST_SIZE + 1];
	struct journal_head head;
	cJSON *place;

	if (!receipt)
		return muster_fail_memory(err);
	if (!journal_head(acceptance->journal, &head, err))
		return false;
	cJSON_DeleteItemFromObjectCaseSensitive(copy, "journal");
	place = cJSON_AddObjectToObject(copy, "journal");
	if (!place || !json_add_text(receipt, "sha256", acceptance->digest) ||
	    !json_add_text(receipt, "station", json_text(acceptance->receipt, "station")) ||
	    !json_add_text(receipt, "at", json_text(acceptance->receipt, "at")) ||
	    !json_add_int64(place, "entry", head.seq) ||
	    !json_add_text(place, "digest", hex_encode(digest, head.digest, sizeof(head.digest))))
		return muster_fail_memory(err);
	return evidence_print(copy, ret_text, err);
}

static bool append_release(const struct acceptance *acceptance, const struct journal_device *row,
			   const cJSON *answer, const char *evidence, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();
	CLEANUP(freep) char *line = NULL;
	const char *verification = evidence_verification(json_get(answer, "evidence"));
	struct journal_entry entry = {
		.registration_id = row->registration_id,
		.at_ms = clock_wall_ms(),
		.stage = "release",
		.kind = JOURNAL_OUTCOME,
		.attempt = row->attempt,
		.operator= acceptance->who.operator_name,
		.station = acceptance->who.station,
	};

	if (!body || !json_add_bool(body, "released", true) ||
	    (strcmp(verification, JOURNAL_PUT_OFF) == 0 &&
	     !json_add_bool(body, "unverified", true)) ||
	    !json_add_text(body, "receipt", acceptance->digest) ||
	    !json_add_text(body, "evidence", evidence))
		return muster_fail_memory(err);
	entry.body = line = json_print_line(body);
	return line ? journal_append(acceptance->journal, &entry, err) : muster_fail_memory(err);
}

static bool put_row(const struct acceptance *acceptance, const struct journal_device *before,
		    const cJSON *answer, const char *evidence, const char *path,
		    struct muster_error *err)
{
	struct journal_device row = *before;
	char digest[SHA256_HEX_SIZE];

	row.state = JOURNAL_RELEASED;
	row.stage = "release";
	row.cause = CAUSE_NONE;
	/* What was typed here says nothing of it: where that station had no scope, the evidence's host decides. */
	row.service = json_text(json_get(answer, "evidence"), "idScope");
	row.hub = json_text(answer, "hub");
	row.verification = evidence_verification(json_get(answer, "evidence"));
	row.etag = json_text(answer, "etag");
	row.evidence_path = path;
	row.evidence_digest = sha256_hex(digest, evidence, strlen(evidence));
	row.operator= acceptance->who.operator_name;
	row.station = acceptance->who.station;
	row.updated_ms = clock_wall_ms();
	return journal_device_put(acceptance->journal, &row, err);
}

static char *place_of_evidence(const struct acceptance *acceptance, const char *id)
{
	CLEANUP(freep) char *out = file_absolute(acceptance->request->out_directory);

	return out ? station_evidence_path(out, id, "evidence.json") : NULL;
}

static bool release(struct acceptance *acceptance, const struct standing *standing,
		    const cJSON *answer, struct muster_error *err)
{
	const struct journal_device *row = standing->row;
	const char *path = standing->evidence_path;
	CLEANUP(freep) char *evidence = NULL;

	return journal_begin(acceptance->journal, err) &&
	       compose_evidence(acceptance, json_get(answer, "evidence"), &evidence, err) &&
	       append_release(acceptance, row, answer, evidence, err) &&
	       put_row(acceptance, row, answer, evidence, path, err) &&
	       /* The file first: a row that is released is not looked at again. */
	       evidence_keep_former(path, row->attempt_id, err) &&
	       file_write(path, evidence, strlen(evidence), 0600, true, err) &&
	       promise_hooks(acceptance, standing, err) && journal_commit(acceptance->journal, err);
}

/* -- Each device --------------------------------------------------------------------------------------------------- */

static void count_failure(struct acceptance *acceptance, const struct muster_error *why)
{
	if (why->code == MUSTER_OK)
		return;
	if (acceptance->failed++ == 0)
		acceptance->failure = *why;
	acceptance->differ |= acceptance->failure.code != why->code;
}

static bool tell_hooks_end(const struct acceptance *acceptance, struct muster_error *err)
{
	if (acceptance->told == 0)
		return true;
	if (!hooks_set_profile(acceptance->hooks, NULL, err))
		return false;
	hooks_batch_done(acceptance->hooks);
	return true;
}

static bool add_row(struct acceptance *acceptance, const char *id, const struct standing *standing,
		    struct muster_error *err)
{
	const struct muster_error *why = &standing->why;
	CLEANUP(cJSON_freep) cJSON *row = cJSON_CreateObject();

	count_failure(acceptance, why);
	if (!row || !json_add_text(row, "registrationId", id) ||
	    !json_add_text(row, "state", standing->state) ||
	    !json_add_bool(row, "verified", is_verified(standing)) ||
	    !json_add_text(row, "hub", standing->hub) ||
	    (why->code != MUSTER_OK && !bundle_add_why(row, why)))
		return muster_fail_memory(err);
	return cJSON_AddItemToArray(acceptance->rows, TAKE_PTR(row))
		       ? tell_hooks(acceptance, standing, err)
		       : muster_fail_memory(err);
}

/* Of a device that the other station did not release. */
static void say_why(const struct acceptance *acceptance, const cJSON *answer,
		    struct standing *standing)
{
	const char *detail = json_text(answer, "detail");
	const char *station = json_text(acceptance->receipt, "station");
	int64_t cause = 0;

	if (!json_int64(answer, "cause", &cause) || !muster_cause_find((enum muster_cause)cause))
		cause = CAUSE_DEVICE_SPOOLED;
	muster_fail(&standing->why, (enum muster_cause)cause,
		    "device '%s' is %s at station '%s'%s%s",
		    PRINTABLE(json_text(answer, "registrationId")), PRINTABLE(standing->state),
		    station ? PRINTABLE(station) : "?", detail ? ": " : "",
		    detail ? PRINTABLE(detail) : "");
}

/* Of a receipt of before it is another one. */
static bool is_of_attempt(const struct journal_device *row, const cJSON *named)
{
	const char *attempt = json_text(named, "attemptId");

	return !attempt || !row->attempt_id || strcmp(attempt, row->attempt_id) == 0;
}

/* Retired, given up by decision (a run that failed has a cause), or not taken because it had been retired. */
static bool was_ended_there(const cJSON *answer)
{
	const char *state = json_text(answer, "state");
	int64_t cause;
	bool has_cause = json_int64(answer, "cause", &cause) && cause != CAUSE_NONE;

	return strcmp(state, journal_state_name(JOURNAL_RETIRED)) == 0 ||
	       (strcmp(state, journal_state_name(JOURNAL_FAILED)) == 0 && !has_cause) ||
	       (strcmp(state, "refused") == 0 && has_cause && cause == CAUSE_DEVICE_RETIRED);
}

static bool take_receipt(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	bool *was_by_receipt = context;

	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return false;
	if (life_ends(entry, body))
		*was_by_receipt = false;
	else if (strcmp(entry->stage, "release") == 0 && json_get(body, "receipt"))
		*was_by_receipt = true;
	return true;
}

/* What is released here by itself is no matter of a station that gave it up, or that did not take it. */
static bool look_whether_retired(const struct acceptance *acceptance,
				 const struct journal_device *row, const cJSON *answer,
				 bool *ret_is_retired, struct muster_error *err)
{
	bool was_by_receipt = false;

	*ret_is_retired =
		strcmp(json_text(answer, "state"), journal_state_name(JOURNAL_RETIRED)) == 0 &&
		is_of_attempt(row, answer);
	if (*ret_is_retired && !journal_entries_all(acceptance->journal, row->registration_id,
						    take_receipt, &was_by_receipt, err))
		return false;
	*ret_is_retired &= was_by_receipt;
	return true;
}

static void say_ended_there(const struct acceptance *acceptance, const struct journal_device *row,
			    const cJSON *answer, struct standing *standing)
{
	const char *detail = json_text(answer, "detail");
	const char *station = json_text(acceptance->receipt, "station");

	muster_fail(&standing->why, CAUSE_ENDED_ELSEWHERE,
		    "device '%s' was ended at station '%s' (%s%s%s); %s",
		    PRINTABLE(row->registration_id), station ? PRINTABLE(station) : "?",
		    PRINTABLE(standing->state), detail ? ": " : "", detail ? PRINTABLE(detail) : "",
		    row->state == JOURNAL_RELEASED
			    ? "here it is released: end it with muster retire"
			    : "here it waits for a person: end it with muster outbox resolve, or "
			      "send it nevertheless with muster outbox retry");
}

static bool append_end(const struct acceptance *acceptance, const struct journal_device *row,
		       const struct standing *standing, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();
	CLEANUP(freep) char *line = NULL;
	struct journal_entry entry = {
		.registration_id = row->registration_id,
		.at_ms = row->updated_ms,
		.stage = OUTBOX_STAGE,
		.kind = JOURNAL_NOTE,
		.attempt = row->attempt,
		.operator= row->operator,
		.station = row->station,
	};

	if (!body || !json_add_text(body, "endedElsewhere", standing->state) ||
	    !json_add_text(body, "reason", standing->why.message) ||
	    !json_add_text(body, "receipt", acceptance->digest))
		return muster_fail_memory(err);
	entry.body = line = json_print_line(body);
	return line ? journal_append(acceptance->journal, &entry, err) : muster_fail_memory(err);
}

/* No sync brings back what another station has ended: a person decides. Said once. */
static bool park_ended(struct acceptance *acceptance, const struct journal_device *before,
		       const struct standing *standing, struct muster_error *err)
{
	struct journal_device row = *before;

	if (row.cause == CAUSE_ENDED_ELSEWHERE)
		return true;
	row.state = row.state == JOURNAL_DEAD ? JOURNAL_DEAD : JOURNAL_PARKED;
	row.cause = CAUSE_ENDED_ELSEWHERE;
	row.operator= acceptance->who.operator_name;
	row.station = acceptance->who.station;
	row.updated_ms = clock_wall_ms();
	return journal_begin(acceptance->journal, err) &&
	       append_end(acceptance, &row, standing, err) &&
	       journal_device_put(acceptance->journal, &row, err) &&
	       promise_hooks(acceptance, standing, err) && journal_commit(acceptance->journal, err);
}

/* Two stations' clocks do not tell what was before what where the attempt is the one that was ended here before any release. */
static bool was_since(const struct journal_device *row, const char *at, const cJSON *evidence,
		      const cJSON *released)
{
	const char *attempt = json_text(evidence, "attemptId");
	const char *known = json_text(released, "attemptId");
	int64_t at_ms;

	if (!at)
		return false;
	if (attempt && row->attempt_id && strcmp(attempt, row->attempt_id) == 0 &&
	    (!known || strcmp(known, attempt) != 0))
		return true;
	return rfc3339_parse(at, &at_ms) && at_ms > row->updated_ms;
}

/* What a person has ended here stays so; but the other station may have enrolled it since. `released` is the evidence that is here. */
static void say_ended(const struct acceptance *acceptance, const struct journal_device *row,
		      const cJSON *evidence, const cJSON *released, struct standing *standing)
{
	const char *at = json_text(evidence, "at");
	const char *station = json_text(acceptance->receipt, "station");

	if (!was_since(row, at, evidence, released))
		return;
	muster_fail(
		&standing->why,
		row->state == JOURNAL_RETIRED ? CAUSE_DEVICE_RETIRED : CAUSE_RECEIPT_DIFFERS,
		"device '%s' is %s here, but station '%s' enrolled it since, at %s: retire it there",
		PRINTABLE(row->registration_id), standing->state,
		station ? PRINTABLE(station) : "?", PRINTABLE(at));
}

/* A receipt of before is of another attempt. */
static bool check_attempt(const struct journal_device *row, const cJSON *answer,
			  struct muster_error *err)
{
	return is_of_attempt(row, json_get(answer, "evidence")) ||
	       muster_fail(err, CAUSE_RECEIPT_DIFFERS,
			   "the receipt speaks of another device '%s' than was released here",
			   PRINTABLE(row->registration_id));
}

static bool add_released(struct acceptance *acceptance, const struct journal_device *row,
			 const cJSON *answer, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *evidence = NULL;
	struct standing standing = { .state = journal_state_name(row->state) };
	bool is_retired;

	if (!evidence_find(acceptance->journal, row->registration_id, &evidence, err))
		return false;
	if (!look_whether_retired(acceptance, row, answer, &is_retired, err))
		return false;
	if (is_retired) {
		standing.state = json_text(answer, "state");
		say_ended_there(acceptance, row, answer, &standing);
	} else if (check_attempt(row, answer, &standing.why)) {
		standing.state = "already enrolled";
		standing.hub = row->hub;
		standing.evidence = evidence;
	}
	return add_row(acceptance, row->registration_id, &standing, err);
}

/* A receipt of before it was ended there comes late. */
static bool add_late(struct acceptance *acceptance, const struct journal_device *row,
		     const cJSON *answer, struct muster_error *err)
{
	struct standing standing = { .state = journal_state_name(JOURNAL_RETIRED) };

	say_ended_there(acceptance, row, answer, &standing);
	return add_row(acceptance, row->registration_id, &standing, err);
}

static bool take_release(struct acceptance *acceptance, const struct journal_device *row,
			 const cJSON *answer, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *note = NULL;
	CLEANUP(freep) char *path = place_of_evidence(acceptance, row->registration_id);
	const cJSON *evidence = json_get(answer, "evidence");
	struct standing standing = { .state = "enrolled",
				     .hub = json_text(answer, "hub"),
				     .evidence = evidence,
				     .evidence_path = path,
				     .row = row };

	if (!path)
		return muster_fail_memory(err);
	if (!spool_find(acceptance->journal, row, &note, err))
		return false;
	if (!check_same(row, note, evidence, &standing.why)) {
		standing.state = journal_state_name(row->state);
		standing.hub = standing.evidence_path = NULL;
		standing.evidence = NULL;
	} else if (!release(acceptance, &standing, answer, err)) {
		return false;
	}
	return add_row(acceptance, row->registration_id, &standing, err);
}

/* Of one that waits here, and was not enrolled there or no longer is. */
static bool take_no_release(struct acceptance *acceptance, const struct journal_device *row,
			    const cJSON *answer, struct muster_error *err)
{
	struct standing standing = { .state = json_text(answer, "state"), .row = row };

	if (!was_ended_there(answer)) {
		say_why(acceptance, answer, &standing);
	} else if (is_of_attempt(row, answer)) {
		say_ended_there(acceptance, row, answer, &standing);
		if (!park_ended(acceptance, row, &standing, err))
			return false;
	} else {
		standing.state = journal_state_name(row->state);
		fail_other(row, &standing.why);
	}
	return add_row(acceptance, row->registration_id, &standing, err);
}

static bool add_ended(struct acceptance *acceptance, const struct journal_device *row,
		      const cJSON *answer, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *released = NULL;
	struct standing standing = { .state = journal_state_name(row->state) };

	if (!evidence_find(acceptance->journal, row->registration_id, &released, err))
		return false;
	say_ended(acceptance, row, json_get(answer, "evidence"), released, &standing);
	return add_row(acceptance, row->registration_id, &standing, err);
}

/* One that is another one here, or is not enrolled, is no matter of the others. */
static bool accept_device(struct acceptance *acceptance, const cJSON *answer,
			  struct muster_error *err)
{
	const char *id = json_text(answer, "registrationId"), *state = json_text(answer, "state");
	CLEANUP(journal_device_done) struct journal_device row = { 0 };
	struct standing standing = { .state = state };
	bool found = false;

	if (!id || !state)
		return muster_fail(err, CAUSE_BUNDLE_INVALID,
				   "the receipt has a device without its name");
	if (!journal_device_find(acceptance->journal, JOURNAL_BY_REGISTRATION_ID, id, &row, &found,
				 err))
		return false;
	if (!found) {
		muster_fail(&standing.why, CAUSE_RECEIPT_DIFFERS,
			    "the receipt speaks of device '%s', which is not in this journal",
			    PRINTABLE(id));
		return add_row(acceptance, id, &standing, err);
	}
	if (!journal_state_is_live(row.state))
		return add_ended(acceptance, &row, answer, err);
	if (row.state == JOURNAL_RELEASED)
		return add_released(acceptance, &row, answer, err);
	if (strcmp(state, journal_state_name(JOURNAL_RELEASED)) != 0)
		return take_no_release(acceptance, &row, answer, err);
	return row.cause == CAUSE_ENDED_ELSEWHERE ? add_late(acceptance, &row, answer, err)
						  : take_release(acceptance, &row, answer, err);
}

static bool fail_together(const struct acceptance *acceptance, struct muster_error *err)
{
	int count = cJSON_GetArraySize(acceptance->rows);

	*err = acceptance->failure;
	if (acceptance->differ)
		return muster_fail(
			err, CAUSE_DEVICES_FAILED,
			"%zu of %d devices of the receipt are not enrolled, each with its "
			"own line",
			acceptance->failed, count);
	return muster_error_prefix(err, "%zu of %d devices of the receipt are not enrolled",
				   acceptance->failed, count);
}

static bool open_hooks(struct acceptance *acceptance, struct muster_error *err)
{
	const struct hooks_origin origin = {
		.station = acceptance->who.station,
		.operator_name = acceptance->who.operator_name,
	};

	return hooks_open(acceptance->request->config, acceptance->request->journal_path,
			  acceptance->journal, &origin, &acceptance->hooks, err);
}

bool station_bundle_accept(const struct station_bundle_request *request, cJSON **ret_rows,
			   struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *content = NULL;
	CLEANUP(cJSON_freep) cJSON *rows = cJSON_CreateArray();
	CLEANUP(acceptance_done)
	struct acceptance acceptance = { .request = request, .rows = rows };
	char digest[SHA256_HEX_SIZE];
	const cJSON *answer;

	if (!rows)
		return muster_fail_memory(err);
	if (!bundle_read(request->path, RECEIPT_SCHEMA, request->public_key, &content, digest,
			 err) ||
	    !who_is_here(&acceptance.who, request->operator_name, NULL, err) ||
	    !directory_make(request->out_directory, err) ||
	    !journal_open(request->journal_path, JOURNAL_WRITE, &acceptance.journal, err) ||
	    !open_hooks(&acceptance, err))
		return false;
	acceptance.digest = digest;
	acceptance.receipt = content;
	cJSON_ArrayForEach(answer, json_get(content, "devices"))
	{
		if (!accept_device(&acceptance, answer, err))
			return false;
	}
	if (!tell_hooks_end(&acceptance, err))
		return false;
	*ret_rows = TAKE_PTR(rows);
	return acceptance.failed == 0 || fail_together(&acceptance, err);
}
