#include "spool.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "approval.h"
#include "evidence.h"
#include "expiry.h"
#include "kept-profile.h"
#include "life.h"
#include "muster/encoding.h"
#include "muster/json.h"
#include "steps.h"
#include "terms.h"

#define CHECK_WORDS "muster.spool/1 "
enum { CHECK_SIZE = 8 };

/* -- What tells that the same keys are derived again -------------------------------------------------------------- */

#define KEY_CHECK_SIZE (2 * 2 * CHECK_SIZE + 1)

static bool check_of(const struct secret *key, const char *registration_id, char *out,
		     struct muster_error *err)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	char words[sizeof(CHECK_WORDS) + 129];
	unsigned size;
	int length = snprintf(words, sizeof(words), CHECK_WORDS "%s", registration_id);

	if (!HMAC(EVP_sha256(), key->data, (int)key->size, (const uint8_t *)words, (size_t)length,
		  digest, &size))
		return muster_fail(err, CAUSE_CRYPTO, "computing a check value");
	hex_encode(out, digest, CHECK_SIZE);
	return true;
}

/* "" for devices without derived keys. */
static bool key_check(const struct job *job, char out[KEY_CHECK_SIZE], struct muster_error *err)
{
	out[0] = '\0';
	if (!attest_derive_applies(job))
		return true;
	return check_of(&job->primary_key, job->registration_id, out, err) &&
	       check_of(&job->secondary_key, job->registration_id, out + 2 * CHECK_SIZE, err);
}

/* -- The note ------------------------------------------------------------------------------------------------------- */

static cJSON *redacted_enrollment(const struct job *job, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *copy = cJSON_Duplicate(job->enrollment, true);

	if (!copy) {
		muster_fail_memory(err);
		return NULL;
	}
	json_sort(copy);
	return dps_document_redact(copy, err) ? TAKE_PTR(copy) : NULL;
}

static cJSON *compose_note(const struct job *job, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();
	cJSON *note = body ? cJSON_AddObjectToObject(body, "spooled") : NULL;
	cJSON *enrollment = redacted_enrollment(job, err);
	struct validity validity;
	char check[KEY_CHECK_SIZE];

	if (!enrollment)
		return NULL;
	if (!json_add_item(note, "enrollment", enrollment) || !terms_add(job, note) ||
	    !json_add_item(note, "attestation", evidence_attestation(job))) {
		muster_fail_memory(err);
		return NULL;
	}
	if (!key_check(job, check, err) || !expiry_read(job, &validity, err))
		return NULL;
	if (!kept_profile_add(body, job->run->profile.digest, job->run->kept_name) ||
	    !json_add_text(note, "keyCheck", check[0] ? check : NULL) ||
	    !json_add_text(note, "expires", validity.until[0] ? validity.until : NULL)) {
		muster_fail_memory(err);
		return NULL;
	}
	return TAKE_PTR(body);
}

bool spool_applies(const struct job *job)
{
	return job_is_offline(job) && !job_is_dry(job) && !job->was_released;
}

/* A device that is spooled already with the same content needs no second note, but for a new approval. */
static bool is_noted(const struct job *job, const cJSON *body)
{
	static const char *const members[] = { "enrollment", "keyCheck", "verify" };
	const cJSON *note = json_get(body, "spooled");
	const cJSON *approval = json_get(note, "approval");
	const cJSON *before = json_get(job->spooled, "approval");

	if (!terms_go_by_copy(job) || (approval && (!before || !json_equal(before, approval))))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		const cJSON *old = json_get(job->spooled, members[i]);
		const cJSON *new = json_get(note, members[i]);

		if (!old != !new || (old && !json_equal(old, new)))
			return false;
	}
	return true;
}

static bool take_note(struct job *job, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = compose_note(job, err);

	if (!body)
		return muster_error_prefix(err, "spooling device '%s'",
					   PRINTABLE(job->registration_id));
	job->is_noted = is_noted(job, body) ||
			job_record(job, JOURNAL_NOTE, STAGE_ENROLL, TAKE_PTR(body), err);
	return job->is_noted;
}

bool spool_check_fit(const struct job *job, struct muster_error *err)
{
	return !spool_applies(job) || !job->is_unfit || attest_derive_applies(job) ||
	       muster_fail(
		       err, CAUSE_DEVICE_NEEDED,
		       "device '%s' could not register when it was last tried; it has to be tried again with a network",
		       PRINTABLE(job->registration_id));
}

bool spool_record(struct job *job, struct muster_error *err)
{
	return take_note(job, err) &&
	       job_put_row(job, JOURNAL_SPOOLED, STAGE_ENROLL, CAUSE_NONE, err);
}

/* What is going to be sent is made by the files of this folder, not of that where the same profile was used before. */
static bool renew_terms(struct job *job, struct muster_error *err)
{
	const struct run *run = job->run;

	if (!job->was_known || !attest_derive_applies(job) || terms_go_by_copy(job))
		return true;
	return kept_profile_keep(run->journal_path, &run->profile, err) &&
	       terms_record(job, STAGE_ENROLL, err) &&
	       job_put_row(job, JOURNAL_WORKING, STAGE_ENROLL, CAUSE_NONE, err);
}

bool spool_renew(struct job *job, struct muster_error *err)
{
	const struct run *run = job->run;

	if (job_is_dry(job) || job->was_released || run->way != RUN_WHOLE)
		return true;
	if (!job->spooled)
		return renew_terms(job, err);
	/* The row with it: what lies between here and the sending may be cut. */
	return kept_profile_keep(run->journal_path, &run->profile, err) && take_note(job, err) &&
	       job_put_row(job, JOURNAL_WORKING, STAGE_ENROLL, CAUSE_NONE, err);
}

/* -- Finding it again ------------------------------------------------------------------------------------------------- */

/* Who made the note and when, unless it says so already because it came from another station. */
static bool sign_note(cJSON *note, const struct journal_entry *entry)
{
	char at[RFC3339_SIZE];

	return json_get(note, "at") ||
	       (json_add_text(note, "at", rfc3339_format(at, entry->at_ms)) &&
		json_add_text(note, "operator", entry->operator) &&
		json_add_text(note, "station", entry->station));
}

bool spool_follow(cJSON **note, const struct journal_entry *entry, cJSON *body)
{
	cJSON *spooled = cJSON_DetachItemFromObjectCaseSensitive(body, "spooled");

	if (spooled || life_ends(entry, body)) {
		cJSON_Delete(*note);
		*note = spooled;
	}
	return !spooled || sign_note(spooled, entry);
}

bool spool_is_of(const cJSON *note, const struct journal_device *row)
{
	const char *digest = evidence_key_digest(json_get(note, "attestation"));

	return !digest || (row->key_digest && strcmp(digest, row->key_digest) == 0);
}

bool spool_ek(const cJSON *note, struct ek_public *ret_ek, struct muster_error *err)
{
	const char *text = json_text(json_get(note, "attestation"), "endorsementKey");
	CLEANUP(bytes_done) struct bytes bytes = { 0 };

	if (!text || !base64_decode(text, strlen(text), &bytes))
		return muster_fail(err, CAUSE_JOURNAL_DAMAGED,
				   "it was spooled without its endorsement key");
	return ek_public_parse(bytes.data, bytes.size, ret_ek, err);
}

static bool follow_entry(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	cJSON **note = context;
	CLEANUP(cJSON_freep) cJSON *body = NULL;

	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return false;
	return spool_follow(note, entry, body) || muster_fail_memory(err);
}

bool spool_find(struct journal *journal, const struct journal_device *row, cJSON **ret_note,
		struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *note = NULL;

	if (!journal_entries_all(journal, row->registration_id, follow_entry, &note, err))
		return false;
	*ret_note = note && spool_is_of(note, row) ? TAKE_PTR(note) : NULL;
	return true;
}

/* -- Whether it left in a bundle ------------------------------------------------------------------------------------ */

static bool take_seq(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	int64_t *seq = context;

	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return false;
	if (json_get(body, "spooled"))
		*seq = entry->seq;
	return true;
}

struct bundles {
	int64_t since;
	bool was_made;
};

/* See station_bundle_export. */
static bool look_for_bundle(void *context, const struct journal_entry *entry,
			    struct muster_error *err)
{
	struct bundles *bundles = context;

	(void)err;
	if (entry->seq > bundles->since && strcmp(entry->stage, "journal") == 0 &&
	    text_has_prefix(entry->body, "{\"bundle\":"))
		bundles->was_made = true;
	return true;
}

bool spool_look_whether_bundled(const struct job *job, bool *ret_is, struct muster_error *err)
{
	struct journal *journal = job->run->journal;
	struct bundles bundles = { 0 };

	if (!journal_entries_all(journal, job->registration_id, take_seq, &bundles.since, err) ||
	    !journal_entries_all(journal, "", look_for_bundle, &bundles, err))
		return false;
	*ret_is = bundles.was_made;
	return true;
}

/* -- Taking it up again ----------------------------------------------------------------------------------------------- */

static bool check_ek(const struct job *job, struct muster_error *err)
{
	char digest[SHA256_HEX_SIZE];

	return strcmp(sha256_hex(digest, job->ek.data, job->ek.size), job->key_digest) == 0 ||
	       muster_fail(
		       err, CAUSE_SPOOLED_OTHERWISE,
		       "the endorsement key that was spooled of device '%s' is not the one that "
		       "the journal has of it",
		       PRINTABLE(job->registration_id));
}

static bool take_ek(struct job *job, struct muster_error *err)
{
	job->has_ek = spool_ek(job->spooled, &job->ek, err);
	return job->has_ek
		       ? check_ek(job, err)
		       : muster_error_prefix(err, "device '%s'", PRINTABLE(job->registration_id));
}

/* By the approvals that were given then. */
static bool check_approval(const struct job *job, struct muster_error *err)
{
	const char *at = json_text(terms_of(job), "at");
	int64_t kept_ms = 0;

	if (!job->run->demand)
		return true;
	if (at && !rfc3339_parse(at, &kept_ms))
		kept_ms = 0;
	return approval_demand_check(job->run->demand, json_get(terms_of(job), "approval"),
				     job->run->profile.digest, kept_ms, err) ||
	       muster_error_prefix(err, "device '%s'", PRINTABLE(job->registration_id));
}

bool spool_take_up(struct job *job, struct muster_error *err)
{
	if (!check_approval(job, err))
		return false;
	if (!job->spooled && !attest_derive_applies(job))
		return muster_fail(err, CAUSE_DEVICE_NEEDED,
				   "device '%s' was not spooled; its hardware has to be here",
				   PRINTABLE(job->registration_id));
	job->skips_verification = !json_bool(terms_of(job), "verify", true);
	return job->run->profile.attestation != PROFILE_TPM || take_ek(job, err);
}

/* What the devices were given is on its way into them. */
static bool check_keys(const struct job *job, struct muster_error *err)
{
	const char *noted = json_text(job->spooled, "keyCheck");
	char check[KEY_CHECK_SIZE];

	return key_check(job, check, err) &&
	       (strcmp(noted ? noted : "", check) == 0 ||
		muster_fail(err, CAUSE_SPOOLED_OTHERWISE,
			    "the master derives other keys for device '%s' than those "
			    "that it has been given",
			    PRINTABLE(job->registration_id)));
}

static bool check_enrollment(const struct job *job, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *enrollment = redacted_enrollment(job, err);

	if (!enrollment)
		return false;
	return json_equal(json_get(job->spooled, "enrollment"), enrollment) ||
	       muster_fail(err, CAUSE_SPOOLED_OTHERWISE,
			   "the enrollment of device '%s' would not be the one that was spooled",
			   PRINTABLE(job->registration_id));
}

bool spool_check(const struct job *job, struct muster_error *err)
{
	return !job->spooled || job->was_released ||
	       ((!attest_derive_applies(job) || check_keys(job, err)) &&
		(!job_is_absent(job) || check_enrollment(job, err)));
}
