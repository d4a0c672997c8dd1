/* A bundle on the station that sends it: its devices become this journal's, and a receipt says what became of them. */
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
#include "who.h"

struct taking {
	struct journal *journal;
	struct who who;
	const char *digest; /* of the bundle */
};

/* -- Taking it --------------------------------------------------------------------------------------------------- */

static bool fail_broken(struct muster_error *err)
{
	return muster_fail(err, CAUSE_BUNDLE_INVALID, "the bundle has a device without its names");
}

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

static bool append_note(const struct taking *taking, const char *id, const cJSON *note,
			struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();

	if (!body || !json_add_item(body, "spooled", cJSON_Duplicate(note, true)))
		return muster_fail_memory(err);
	return append(taking, id, "enroll", JOURNAL_NOTE, TAKE_PTR(body), err);
}

static bool put_row(const struct taking *taking, const cJSON *object, struct muster_error *err)
{
	const struct journal_device row = {
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

	return journal_device_put(taking->journal, &row, err);
}

/* One that is here already with the same attempt came with this bundle before. */
static bool take_device(const struct taking *taking, const cJSON *object, struct muster_error *err)
{
	const char *id = json_text(object, "registrationId");
	const char *attempt = json_text(object, "attemptId");
	const cJSON *note = json_get(object, "spooled");
	CLEANUP(journal_device_done) struct journal_device known = { 0 };
	bool is_known;

	if (!id || !attempt || !cJSON_IsObject(note) || !json_text(object, "profileSha256"))
		return fail_broken(err);
	if (!journal_device_find(taking->journal, JOURNAL_BY_REGISTRATION_ID, id, &known, &is_known,
				 err))
		return false;
	if (is_known && known.attempt_id && strcmp(known.attempt_id, attempt) == 0)
		return true;
	if (is_known && journal_state_is_live(known.state))
		return muster_fail(err, CAUSE_RECEIPT_DIFFERS,
				   "device '%s' of the bundle is %s here by another attempt",
				   PRINTABLE(id), journal_state_name(known.state));
	return append_certificates(taking, id, json_get(note, "attestation"), err) &&
	       append_note(taking, id, note, err) && put_row(taking, object, err);
}

static bool keep_profiles(const char *journal_path, const char *const *paths, size_t count,
			  struct muster_error *err)
{
	for (size_t i = 0; i < count; i++) {
		CLEANUP(profile_report_done) struct profile_report mistakes = { 0 };
		CLEANUP(profile_done) struct profile profile = { 0 };

		if (!profile_load(paths[i], &profile, &mistakes, err) ||
		    !kept_profile_keep(journal_path, &profile, err))
			return muster_error_prefix(err, "profile '%s'", PRINTABLE(paths[i]));
	}
	return true;
}

static bool take_all(const struct taking *taking, const cJSON *devices, cJSON *ids,
		     struct muster_error *err)
{
	const cJSON *object;

	if (!journal_begin(taking->journal, err))
		return false;
	cJSON_ArrayForEach(object, devices)
	{
		if (!take_device(taking, object, err))
			return false;
		if (!cJSON_AddItemToArray(ids,
					  cJSON_CreateString(json_text(object, "registrationId"))))
			return muster_fail_memory(err);
	}
	return journal_commit(taking->journal, err);
}

static void taking_done(struct taking *taking)
{
	journal_close(taking->journal);
	who_done(&taking->who);
}

bool station_bundle_take(const struct station_bundle_request *request, const char *const *profiles,
			 size_t profile_count, cJSON **ret_ids, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *content = NULL;
	CLEANUP(cJSON_freep) cJSON *ids = cJSON_CreateArray();
	CLEANUP(taking_done) struct taking taking = { 0 };
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	char digest[SHA256_HEX_SIZE];

	taking.digest = digest;
	if (!ids)
		return muster_fail_memory(err);
	if (!checkpoint_key_is_there(request->key, err) || !config_load(&config, &report, err) ||
	    !approval_check_station(&config, request->public_key, err) ||
	    !bundle_read(request->path, BUNDLE_SCHEMA, request->public_key, &content, digest,
			 err) ||
	    !who_is_here(&taking.who, request->operator_name, NULL, err) ||
	    !journal_open(request->journal_path, JOURNAL_WRITE, &taking.journal, err) ||
	    !keep_profiles(request->journal_path, profiles, profile_count, err) ||
	    !take_all(&taking, json_get(content, "devices"), ids, err))
		return false;
	*ret_ids = TAKE_PTR(ids);
	return true;
}

/* -- The answer -------------------------------------------------------------------------------------------------- */

struct evidence {
	cJSON *tree; /* of the release, parsed; NULL: none */
};

static bool take_release(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	struct evidence *evidence = context;
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	const char *text;

	if (strcmp(entry->stage, "release") != 0 || entry->kind != JOURNAL_OUTCOME)
		return true;
	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return false;
	text = json_text(body, "evidence");
	if (!text)
		return true;
	cJSON_Delete(TAKE_PTR(evidence->tree));
	return json_parse(text, strlen(text), "the evidence", &evidence->tree, err);
}

static bool find_evidence(struct journal *journal, const char *id, cJSON **ret_tree,
			  struct muster_error *err)
{
	struct evidence evidence = { 0 };

	if (!journal_entries_all(journal, id, take_release, &evidence, err)) {
		cJSON_Delete(evidence.tree);
		return false;
	}
	*ret_tree = evidence.tree;
	return true;
}

static bool answer_device(struct journal *journal, const cJSON *object, cJSON *answers,
			  struct muster_error *err)
{
	const char *id = json_text(object, "registrationId");
	CLEANUP(journal_device_done) struct journal_device row = { 0 };
	CLEANUP(cJSON_freep) cJSON *answer = cJSON_CreateObject();
	CLEANUP(cJSON_freep) cJSON *evidence = NULL;
	bool found;

	if (!id)
		return fail_broken(err);
	if (!answer)
		return muster_fail_memory(err);
	if (!journal_device_find(journal, JOURNAL_BY_REGISTRATION_ID, id, &row, &found, err) ||
	    !find_evidence(journal, id, &evidence, err))
		return false;
	if (!found)
		return true;
	if (!json_add_text(answer, "registrationId", id) ||
	    !json_add_text(answer, "attemptId", row.attempt_id) ||
	    !json_add_text(answer, "state", journal_state_name(row.state)) ||
	    !json_add_int64(answer, "cause", row.cause) || !json_add_text(answer, "hub", row.hub) ||
	    !json_add_text(answer, "etag", row.etag) ||
	    (evidence && row.state == JOURNAL_RELEASED &&
	     !json_add_item(answer, "evidence", TAKE_PTR(evidence))))
		return muster_fail_memory(err);
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
	char digest[SHA256_HEX_SIZE], own[SHA256_HEX_SIZE], at[RFC3339_SIZE];
	const cJSON *object;

	if (!answers)
		return muster_fail_memory(err);
	if (!bundle_read(request->path, BUNDLE_SCHEMA, request->public_key, &bundle, digest, err) ||
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
	return bundle_write(receipt, RECEIPT_SCHEMA, content, request->key, request->journal_path,
			    own, err);
}
