/* A bundle on the station that sends it: its devices become this journal's, and a receipt says what became of them. */
#include <stdlib.h>
#include <string.h>

#include "approval.h"
#include "bundle.h"
#include "checkpoint-key.h"
#include "evidence.h"
#include "kept-profile.h"
#include "muster/clock.h"
#include "muster/journal.h"
#include "muster/json.h"
#include "muster/station-bundle.h"
#include "muster/station-sync.h"
#include "spool.h"
#include "who.h"

struct taking {
	struct journal *journal;
	struct who who;
	const char *digest; /* of the bundle */
	struct named {
		char digest[SHA256_HEX_SIZE];
		char kept[SHA256_HEX_SIZE]; /* the name of its copy */
	} * named;                          /* profiles that were named now */
	size_t named_count;
};

/* -- Taking it --------------------------------------------------------------------------------------------------- */

static bool append(const struct taking *taking, const char *id, const char *stage,
		   enum journal_kind kind, cJSON *body, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *owned = body;
	CLEANUP(freep) char *line = NULL;
	struct journal_entry entry = {
		.registration_id = id,
		.at_ms = clock_wall_ms(),
		.stage = stage,
		.kind = kind,
		.operator= taking->who.operator_name,
		.station = taking->who.station,
	};

	if (!owned || !json_add_text(owned, "bundle", taking->digest))
		return muster_fail_memory(err);
	entry.body = line = json_print_line(owned);
	return line ? journal_append(taking->journal, &entry, err) : muster_fail_memory(err);
}

/* So that the run finds it where it finds that of its own devices. */
static bool append_certificates(const struct taking *taking, const char *id,
				const cJSON *attestation, struct muster_error *err)
{
	for (enum attest_which i = 0; i < ATTEST_KEYS; i++) {
		cJSON *body;

		if (!evidence_attest_outcome(attestation, i, &body, err) ||
		    (body && !append(taking, id, "attest", JOURNAL_OUTCOME, body, err)))
			return false;
	}
	return true;
}

/* NULL: the profile was not named. In two folders: the last. */
static const struct named *find_named(const struct taking *taking, const cJSON *object)
{
	const char *digest = json_text(object, "profileSha256");

	for (size_t i = taking->named_count; digest && i > 0; i--)
		if (strcmp(taking->named[i - 1].digest, digest) == 0)
			return &taking->named[i - 1];
	return NULL;
}

static bool follow_copy(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;

	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return false;
	kept_profile_follow(context, entry, body);
	return true;
}

/* The name of the profile's copy that a device that is here goes by; "": its digest. */
static bool find_copy(const struct taking *taking, const cJSON *object,
		      char ret_kept[SHA256_HEX_SIZE], struct muster_error *err)
{
	ret_kept[0] = '\0';
	return journal_entries_all(taking->journal, json_text(object, "registrationId"),
				   follow_copy, ret_kept, err);
}

static bool append_note(const struct taking *taking, const cJSON *object, struct muster_error *err)
{
	const struct named *named = find_named(taking, object);
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();
	char kept[SHA256_HEX_SIZE];

	if (!find_copy(taking, object, kept, err))
		return false;
	if (!body ||
	    !json_add_item(body, "spooled", cJSON_Duplicate(json_get(object, "spooled"), true)) ||
	    !kept_profile_add(body, named ? named->digest : "", named ? named->kept : kept))
		return muster_fail_memory(err);
	return append(taking, json_text(object, "registrationId"), "enroll", JOURNAL_NOTE,
		      TAKE_PTR(body), err);
}

/* Attempts go on where the device was here before: what an earlier life did has the number of its own. */
static bool put_row(const struct taking *taking, const cJSON *object, struct muster_error *err)
{
	CLEANUP(journal_device_done) struct journal_device before = { 0 };
	struct journal_device row = {
		.registration_id = json_text(object, "registrationId"),
		.serial = json_text(object, "serial"),
		.device_id = json_text(object, "deviceId"),
		.service = json_text(object, "service"),
		.attestation = json_text(object, "attestation"),
		.key_kind = json_text(object, "keyKind"),
		.key_digest = json_text(object, "keySha256"),
		.key_id = json_text(object, "keyId"),
		.key_place = json_text(object, "keyPlace"),
		.profile_name = json_text(object, "profile"),
		.profile_digest = json_text(object, "profileSha256"),
		.attempt_id = json_text(object, "attemptId"),
		.operator= taking->who.operator_name,
		.station = taking->who.station,
		.state = JOURNAL_SPOOLED,
		.stage = "enroll",
		.updated_ms = clock_wall_ms(),
	};
	bool is_known;

	if (!journal_device_find(taking->journal, JOURNAL_BY_REGISTRATION_ID, row.registration_id,
				 &before, &is_known, err))
		return false;
	row.attempt = before.attempt;
	return journal_device_put(taking->journal, &row, err);
}

static int64_t time_of(const cJSON *note)
{
	const char *at = json_text(note, "at");
	int64_t ms;

	return at && rfc3339_parse(at, &ms) ? ms : 0;
}

/* The profile was named from another folder than when the device came first. */
static bool look_whether_moved(const struct taking *taking, const cJSON *object,
			       bool *ret_has_moved, struct muster_error *err)
{
	const struct named *named = find_named(taking, object);
	char kept[SHA256_HEX_SIZE];

	if (!find_copy(taking, object, kept, err))
		return false;
	*ret_has_moved = named && strcmp(kept[0] ? kept : named->digest, named->kept) != 0;
	return true;
}

/* A later bundle brings what was missing, an approval say, as long as nothing of the device was sent from here. */
static bool look_whether_later(const struct taking *taking, const cJSON *object, bool *ret_is_later,
			       struct muster_error *err)
{
	const char *id = json_text(object, "registrationId");
	const cJSON *note = json_get(object, "spooled");
	CLEANUP(journal_device_done) struct journal_device known = { 0 };
	CLEANUP(cJSON_freep) cJSON *before = NULL;
	bool is_known, has_moved;

	if (!journal_device_find(taking->journal, JOURNAL_BY_REGISTRATION_ID, id, &known, &is_known,
				 err) ||
	    !spool_find(taking->journal, &known, &before, err) ||
	    !look_whether_moved(taking, object, &has_moved, err))
		return false;
	*ret_is_later = known.state == JOURNAL_SPOOLED && before &&
			(has_moved || !json_equal(note, before)) &&
			time_of(note) >= time_of(before);
	return true;
}

/* It came in a bundle before, and a person or a retiring ended it: the receipt says so, and so does the exit status. */
static bool check_not_ended(const struct taking *taking, const char *id, struct muster_error *err)
{
	CLEANUP(journal_device_done) struct journal_device known = { 0 };
	bool is_known;

	if (!journal_device_find(taking->journal, JOURNAL_BY_REGISTRATION_ID, id, &known, &is_known,
				 err))
		return false;
	return journal_state_is_live(known.state) ||
	       muster_fail(err,
			   known.state == JOURNAL_RETIRED ? CAUSE_DEVICE_RETIRED
							  : CAUSE_RECEIPT_DIFFERS,
			   "device '%s' of the bundle was taken before and is %s here",
			   PRINTABLE(id), journal_state_name(known.state));
}

/* So did one that no run sends: the sync passes it over. */
static bool check_not_waiting(const struct taking *taking, const char *id, struct muster_error *err)
{
	CLEANUP(journal_device_done) struct journal_device known = { 0 };
	struct station_waiting waiting;
	bool is_known;

	if (!journal_device_find(taking->journal, JOURNAL_BY_REGISTRATION_ID, id, &known, &is_known,
				 err) ||
	    !station_wait_look(taking->journal, &known, &waiting, err))
		return false;
	return waiting.what == STATION_WAITS_NOT || waiting.what == STATION_WAITS_NETWORK ||
	       muster_fail(err, CAUSE_RECEIPT_DIFFERS,
			   "device '%s' of the bundle was taken before, is %s here and waits for "
			   "%s %s%s%s",
			   PRINTABLE(id), journal_state_name(known.state),
			   waiting.what == STATION_WAITS_PERSON ? "a" : "the",
			   station_wait_word(waiting.what), waiting.reason[0] ? ": " : "",
			   PRINTABLE(waiting.reason));
}

/* The row first: nothing was written when its key is taken. */
static bool take_device(const struct taking *taking, const cJSON *object, struct muster_error *err)
{
	const char *id = json_text(object, "registrationId");
	const cJSON *note = json_get(object, "spooled");
	bool is_here, is_later = false;

	if (!bundle_judge_device(taking->journal, object, &is_here, err) ||
	    (is_here && (!check_not_ended(taking, id, err) ||
			 !look_whether_later(taking, object, &is_later, err))))
		return false;
	if (is_here && !is_later)
		return check_not_waiting(taking, id, err);
	return put_row(taking, object, err) &&
	       append_certificates(taking, id, json_get(note, "attestation"), err) &&
	       append_note(taking, object, err);
}

static bool keep_profiles(struct taking *taking, const char *journal_path, const char *const *paths,
			  size_t count, struct muster_error *err)
{
	taking->named = calloc(count + 1, sizeof(*taking->named));
	if (!taking->named)
		return muster_fail_memory(err);
	for (size_t i = 0; i < count; i++) {
		struct named *named = &taking->named[taking->named_count];
		CLEANUP(profile_report_done) struct profile_report mistakes = { 0 };
		CLEANUP(profile_done) struct profile profile = { 0 };

		if (!profile_load(paths[i], &profile, &mistakes, err) ||
		    !kept_profile_name(&profile, named->kept, err) ||
		    !kept_profile_keep(journal_path, &profile, err))
			return muster_error_prefix(err, "profile '%s'", PRINTABLE(paths[i]));
		memcpy(named->digest, profile.digest, sizeof(named->digest));
		taking->named_count++;
	}
	return true;
}

static bool check_all(const cJSON *devices, struct muster_error *err)
{
	const cJSON *object;

	cJSON_ArrayForEach(object, devices)
	{
		if (!bundle_check_device(object, err))
			return false;
	}
	return true;
}

static bool add_refused(cJSON *refused, const char *id, const struct muster_error *why,
			struct muster_error *err)
{
	cJSON *row = cJSON_CreateObject();

	return (row && cJSON_AddItemToArray(refused, row) &&
		json_add_text(row, "registrationId", id) && bundle_add_why(row, why)) ||
	       muster_fail_memory(err);
}

/* What one device clashes with is no matter of the others. */
static bool take_all(const struct taking *taking, const cJSON *devices,
		     struct station_bundle_taken *taken, struct muster_error *err)
{
	const cJSON *object;

	if (!journal_begin(taking->journal, err))
		return false;
	cJSON_ArrayForEach(object, devices)
	{
		const char *id = json_text(object, "registrationId");
		struct muster_error why;

		if (take_device(taking, object, &why)) {
			if (!cJSON_AddItemToArray(taken->ids, cJSON_CreateString(id)))
				return muster_fail_memory(err);
		} else if (why.code != MUSTER_E_CONFLICT) {
			*err = why;
			return false;
		} else if (!add_refused(taken->refused, id, &why, err)) {
			return false;
		}
	}
	return journal_commit(taking->journal, err);
}

static void taking_done(struct taking *taking)
{
	journal_close(taking->journal);
	who_done(&taking->who);
	free(taking->named);
}

void station_bundle_taken_done(struct station_bundle_taken *taken)
{
	cJSON_Delete(taken->ids);
	cJSON_Delete(taken->refused);
}

bool station_bundle_take(const struct station_bundle_request *request, const char *const *profiles,
			 size_t profile_count, struct station_bundle_taken *ret_taken,
			 struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *content = NULL;
	CLEANUP(station_bundle_taken_done)
	struct station_bundle_taken taken = { cJSON_CreateArray(), cJSON_CreateArray() };
	CLEANUP(taking_done) struct taking taking = { 0 };
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	char digest[SHA256_HEX_SIZE];
	const cJSON *devices;

	taking.digest = digest;
	if (!taken.ids || !taken.refused)
		return muster_fail_memory(err);
	if (!checkpoint_key_is_there(request->key, err) || !config_load(&config, &report, err) ||
	    !approval_check_station(&config, request->public_key, err) ||
	    !bundle_read(request->path, BUNDLE_SCHEMA, request->public_key, &content, digest, err))
		return false;
	devices = json_get(content, "devices");
	if (!check_all(devices, err) ||
	    !who_is_here(&taking.who, request->operator_name, NULL, err) ||
	    !journal_open(request->journal_path, JOURNAL_WRITE, &taking.journal, err) ||
	    !keep_profiles(&taking, request->journal_path, profiles, profile_count, err) ||
	    !take_all(&taking, devices, &taken, err))
		return false;
	*ret_taken = taken;
	taken = (struct station_bundle_taken){ 0 };
	return true;
}

/* -- The answer -------------------------------------------------------------------------------------------------- */

/* What this station has of it; evidence where it was released. */
static bool add_row(cJSON *answer, struct journal *journal, const char *id,
		    struct muster_error *err)
{
	CLEANUP(journal_device_done) struct journal_device row = { 0 };
	CLEANUP(cJSON_freep) cJSON *evidence = NULL;
	bool found;

	if (!journal_device_find(journal, JOURNAL_BY_REGISTRATION_ID, id, &row, &found, err) ||
	    (row.state == JOURNAL_RELEASED && !evidence_find(journal, id, &evidence, err)))
		return false;
	return (json_add_text(answer, "state", journal_state_name(row.state)) &&
		json_add_int64(answer, "cause", row.cause) &&
		json_add_text(answer, "hub", row.hub) && json_add_text(answer, "etag", row.etag) &&
		(!evidence || json_add_item(answer, "evidence", TAKE_PTR(evidence)))) ||
	       muster_fail_memory(err);
}

static bool add_refusal(cJSON *answer, const struct muster_error *why, struct muster_error *err)
{
	return (json_add_text(answer, "state", "refused") &&
		json_add_int64(answer, "cause", why->cause) &&
		json_add_text(answer, "detail", why->message)) ||
	       muster_fail_memory(err);
}

static bool answer_device(struct journal *journal, const cJSON *object, cJSON *answers,
			  struct muster_error *err)
{
	const char *id = json_text(object, "registrationId");
	CLEANUP(cJSON_freep) cJSON *answer = cJSON_CreateObject();
	struct muster_error why = { 0 };
	bool is_here;

	if (!bundle_judge_device(journal, object, &is_here, &why) &&
	    why.code != MUSTER_E_CONFLICT) {
		*err = why;
		return false;
	}
	if (!answer || !json_add_text(answer, "registrationId", id) ||
	    !json_add_text(answer, "attemptId", json_text(object, "attemptId")))
		return muster_fail_memory(err);
	if (is_here ? !add_row(answer, journal, id, err) : !add_refusal(answer, &why, err))
		return false;
	return cJSON_AddItemToArray(answers, TAKE_PTR(answer)) || muster_fail_memory(err);
}

bool station_bundle_answer(const struct station_bundle_request *request, const char *receipt,
			   struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *bundle = NULL;
	CLEANUP(cJSON_freep) cJSON *content = cJSON_CreateObject();
	cJSON *answers = content ? cJSON_AddArrayToObject(content, "devices") : NULL;
	CLEANUP(journal_freep) struct journal *journal = NULL;
	CLEANUP(who_done) struct who who = { 0 };
	CLEANUP(file_sink_done) struct file_sink file = FILE_SINK_NONE;
	char digest[SHA256_HEX_SIZE], own[SHA256_HEX_SIZE], at[RFC3339_SIZE];
	const cJSON *object;

	if (!answers)
		return muster_fail_memory(err);
	if (!bundle_read(request->path, BUNDLE_SCHEMA, request->public_key, &bundle, digest, err) ||
	    !check_all(json_get(bundle, "devices"), err) ||
	    !who_is_here(&who, request->operator_name, NULL, err) ||
	    !journal_open(request->journal_path, JOURNAL_READ, &journal, err))
		return false;
	cJSON_ArrayForEach(object, json_get(bundle, "devices"))
	{
		if (!answer_device(journal, object, answers, err))
			return false;
	}
	if (!json_add_text(content, "at", rfc3339_format(at, clock_wall_ms())) ||
	    !json_add_text(content, "station", who.station) ||
	    !json_add_text(content, "operator", who.operator_name) ||
	    !json_add_text(content, "bundle", digest))
		return muster_fail_memory(err);
	return bundle_draft(receipt, RECEIPT_SCHEMA, content, request->key, request->journal_path,
			    own, &file, err) &&
	       file_sink_commit(&file, err);
}
