/* A receipt on the station that spooled the devices: what the other one released is released here. */
#include <string.h>

#include "bundle.h"
#include "evidence.h"
#include "muster/clock.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/station-bundle.h"
#include "muster/station-journal.h"
#include "spool.h"
#include "who.h"

struct acceptance {
	const struct station_bundle_request *request;
	struct journal *journal;
	struct who who;
	const char *digest; /* of the receipt */
	const cJSON *receipt;
	cJSON *rows;
};

static void acceptance_done(struct acceptance *acceptance)
{
	journal_close(acceptance->journal);
	who_done(&acceptance->who);
}

/* -- Is it the same? ---------------------------------------------------------------------------------------------- */

/* The key, the terms and the attempt are those that were spooled here. */
static bool check_same(const struct journal_device *row, const cJSON *note, const cJSON *evidence,
		       struct muster_error *err)
{
	const char *attempt = json_text(evidence, "attemptId");
	const char *profile = json_text(json_get(evidence, "profile"), "sha256");
	bool is_same = note && attempt && row->attempt_id &&
		       strcmp(attempt, row->attempt_id) == 0 && profile && row->profile_digest &&
		       strcmp(profile, row->profile_digest) == 0 &&
		       json_equal(json_get(note, "attestation"), json_get(evidence, "attestation"));

	return is_same ||
	       muster_fail(err, CAUSE_RECEIPT_DIFFERS,
			   "the receipt speaks of another device '%s' than was spooled here",
			   PRINTABLE(row->registration_id));
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
	const cJSON *verification = json_get(json_get(answer, "evidence"), "verification");
	const char *result = json_text(verification, "result");
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
	    (result && strcmp(result, SPOOL_NOT_VERIFIED) == 0 &&
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
	row.hub = json_text(answer, "hub");
	row.etag = json_text(answer, "etag");
	row.evidence_path = path;
	row.evidence_digest = sha256_hex(digest, evidence, strlen(evidence));
	row.operator= acceptance->who.operator_name;
	row.station = acceptance->who.station;
	row.updated_ms = clock_wall_ms();
	return journal_device_put(acceptance->journal, &row, err);
}

static bool release(const struct acceptance *acceptance, const struct journal_device *row,
		    const cJSON *answer, struct muster_error *err)
{
	CLEANUP(freep) char *evidence = NULL;
	CLEANUP(freep)
	char *path = station_evidence_path(acceptance->request->out_directory, row->registration_id,
					   "evidence.json");

	if (!path)
		return muster_fail_memory(err);
	return journal_begin(acceptance->journal, err) &&
	       compose_evidence(acceptance, json_get(answer, "evidence"), &evidence, err) &&
	       append_release(acceptance, row, answer, evidence, err) &&
	       put_row(acceptance, row, answer, evidence, path, err) &&
	       /* The file first: a row that is released is not looked at again. */
	       file_write(path, evidence, strlen(evidence), 0600, true, err) &&
	       journal_commit(acceptance->journal, err);
}

/* -- Each device --------------------------------------------------------------------------------------------------- */

static bool add_row(const struct acceptance *acceptance, const cJSON *answer, const char *state,
		    struct muster_error *err)
{
	const cJSON *verification = json_get(json_get(answer, "evidence"), "verification");
	CLEANUP(cJSON_freep) cJSON *row = cJSON_CreateObject();
	int64_t cause = 0;
	char code[8];

	if (json_int64(answer, "cause", &cause) && cause)
		snprintf(code, sizeof(code), "E%04d", (int)cause);
	if (!row || !json_add_text(row, "registrationId", json_text(answer, "registrationId")) ||
	    !json_add_text(row, "state", state) ||
	    !json_add_bool(row, "verified", json_bool(verification, "verified", false)) ||
	    !json_add_text(row, "hub", json_text(answer, "hub")) ||
	    !json_add_text(row, "cause", cause ? code : NULL))
		return muster_fail_memory(err);
	return cJSON_AddItemToArray(acceptance->rows, TAKE_PTR(row)) || muster_fail_memory(err);
}

static bool accept_device(const struct acceptance *acceptance, const cJSON *answer,
			  struct muster_error *err)
{
	const char *id = json_text(answer, "registrationId"), *state = json_text(answer, "state");
	CLEANUP(journal_device_done) struct journal_device row = { 0 };
	CLEANUP(cJSON_freep) cJSON *note = NULL;
	bool found = false;

	if (!id || !state)
		return muster_fail(err, CAUSE_BUNDLE_INVALID,
				   "the receipt has a device without its name");
	if (!journal_device_find(acceptance->journal, JOURNAL_BY_REGISTRATION_ID, id, &row, &found,
				 err))
		return false;
	if (!found)
		return muster_fail(
			err, CAUSE_RECEIPT_DIFFERS,
			"the receipt speaks of device '%s', which is not in this journal",
			PRINTABLE(id));
	if (row.state == JOURNAL_RELEASED)
		return add_row(acceptance, answer, "already enrolled", err);
	/* The receipt tells of an earlier life: what a person has ended since stays so. */
	if (!journal_state_is_live(row.state))
		return add_row(acceptance, answer, journal_state_name(row.state), err);
	if (strcmp(state, journal_state_name(JOURNAL_RELEASED)) != 0)
		return add_row(acceptance, answer, state, err);
	return spool_find(acceptance->journal, &row, &note, err) &&
	       check_same(&row, note, json_get(answer, "evidence"), err) &&
	       release(acceptance, &row, answer, err) &&
	       add_row(acceptance, answer, "enrolled", err);
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
	    !journal_open(request->journal_path, JOURNAL_WRITE, &acceptance.journal, err))
		return false;
	acceptance.digest = digest;
	acceptance.receipt = content;
	cJSON_ArrayForEach(answer, json_get(content, "devices"))
	{
		if (!accept_device(&acceptance, answer, err))
			return false;
	}
	*ret_rows = TAKE_PTR(rows);
	return true;
}
