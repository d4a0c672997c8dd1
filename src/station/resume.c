#include "resume.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certificate-terms.h"
#include "expiry.h"
#include "kept-profile.h"
#include "life.h"
#include "muster/encoding.h"
#include "muster/json.h"
#include "muster/log.h"
#include "park.h"
#include "spool.h"
#include "terms.h"
#include "wrap.h"

struct resumption {
	struct job *job;
	bool has_ended;           /* a life, and no other began yet */
	int64_t ended_attempt;    /* of that life, the last one */
	bool is_derived;          /* the key of the life that is read */
	int64_t enrolled_attempt; /* of this life, the one that released it first */
	struct service_sendings sendings;
};

static bool take_bytes(struct bytes *target, const char *text,
		       bool (*decode)(const char *text, size_t size, struct bytes *ret_bytes))
{
	struct bytes decoded;

	if (!text || !decode(text, strlen(text), &decoded))
		return false;
	bytes_done(target);
	*target = decoded;
	return true;
}

/* Whichever of the keys it is about. */
static bool is_step(const cJSON *body, const char *step)
{
	static const char secondary[] = "secondary-";
	const char *text = json_text(body, "step");

	if (text && text_has_prefix(text, secondary))
		text += strlen(secondary);
	return text && strcmp(text, step) == 0;
}

/* Of a step: it says nothing of a key that the entries before it do not. */
static bool is_failure(const cJSON *body)
{
	return json_get(body, "cause") != NULL;
}

static struct attest_key *key_of(struct job *job, const cJSON *body)
{
	return &job->keys[json_text(body, "secondaryOf") ? ATTEST_SECONDARY : ATTEST_PRIMARY];
}

static bool replace(char **target, const char *value)
{
	char *copy = strdup(value ? value : "");

	if (!copy)
		return false;
	free(*target);
	*target = copy;
	return true;
}

static bool add_announced(struct attest_key *key, const char *file)
{
	cJSON *name = cJSON_CreateString(file ? file : "");

	if (!key->wrapped.announced)
		key->wrapped.announced = cJSON_CreateArray();
	if (cJSON_AddItemToArray(key->wrapped.announced, name))
		return true;
	cJSON_Delete(name);
	return false;
}

static bool take_wrapped(struct job *job, const struct journal_entry *entry, const cJSON *body)
{
	const char *digest = json_text(body, "fileSha256");
	const char *recipient = json_text(body, "recipientSha256");
	struct attest_key *key = key_of(job, body);

	if (!add_announced(key, json_text(body, "file")))
		return false;
	/* The file may be another since. */
	if (entry->kind != JOURNAL_OUTCOME) {
		free(TAKE_PTR(key->wrapped.file));
		return true;
	}
	snprintf(key->wrapped.digest, sizeof(key->wrapped.digest), "%s", digest ? digest : "");
	snprintf(key->wrapped.recipient, sizeof(key->wrapped.recipient), "%s",
		 recipient ? recipient : "");
	return replace(&key->wrapped.file, json_text(body, "file")) &&
	       replace(&key->wrapped.method, json_text(body, "method"));
}

static bool take_terms(struct attest_key *key, const cJSON *body)
{
	const cJSON *terms = json_get(body, CERTIFICATE_TERMS);

	cJSON_Delete(TAKE_PTR(key->terms));
	key->terms = cJSON_Duplicate(terms, true);
	return !terms || key->terms;
}

/* What this journal has finished may be swept. */
static bool add_certificate(struct attest_key *key)
{
	size_t size = key->certificates.size;
	uint8_t *digests = realloc(key->certificates.data, size + SHA256_SIZE);

	if (!digests)
		return false;
	sha256(digests + size, key->certificate.data, key->certificate.size);
	key->certificates = (struct bytes){ digests, size + SHA256_SIZE };
	return true;
}

static bool take_attest(struct job *job, const struct journal_entry *entry, const cJSON *body)
{
	struct attest_key *key = key_of(job, body);

	if (is_failure(body))
		return true;
	/* The primary's is in the device's row. */
	if (key == &job->keys[ATTEST_SECONDARY] &&
	    !take_bytes(&key->id, json_text(body, "keyId"), hex_decode))
		return false;
	if (json_text(body, "tokenSerial") &&
	    !replace(&key->token_serial, json_text(body, "tokenSerial")))
		return false;
	if (json_text(body, "token") && !replace(&key->token_label, json_text(body, "token")))
		return false;
	if (is_step(body, "key-sweep") || is_step(body, "key-make")) {
		bytes_done(&key->certificate);
		cJSON_Delete(TAKE_PTR(key->terms));
		attest_forget_wrapped(key);
		key->is_gone = key->may_be_there = false;
	}
	if (is_step(body, "key-make")) {
		bytes_done(&key->certificates);
		cJSON_Delete(key->namesakes);
		key->namesakes = cJSON_Duplicate(json_get(body, "sameLabel"), true);
	}
	if (is_step(body, "wrap-out"))
		return take_wrapped(job, entry, body);
	if (entry->kind != JOURNAL_OUTCOME ||
	    !take_bytes(&key->certificate, json_text(body, "certificate"), base64_decode))
		return true;
	if (!add_certificate(key))
		return false;
	take_bytes(&key->request, json_text(body, "request"), base64_decode);
	take_bytes(&job->keys[ATTEST_SECONDARY].certificate,
		   json_text(body, "secondaryCertificate"), base64_decode);
	attest_forget_wrapped(key);
	return take_terms(key, body) && replace(&key->attributes, json_text(body, "attributes"));
}

/* Only when the key is gone does this count: otherwise the device is asked once more. */
static bool take_verify(struct job *job, const struct journal_entry *entry, const cJSON *body)
{
	if (entry->kind != JOURNAL_OUTCOME || !json_bool(body, "verified", false) ||
	    !job->run->profile.x509.key_leaves)
		return true;
	job->verified = true;
	return replace(&job->verification, json_text(body, "result"));
}

bool resume_forget_verification(struct job *job, struct muster_error *err)
{
	job->verified = false;
	free(TAKE_PTR(job->verification));
	/* Nobody here can show it. */
	if (attest_any_key_is_gone(job))
		job->verification = strdup("not since the enrollment was changed");
	return !attest_any_key_is_gone(job) || job->verification || muster_fail_memory(err);
}

static bool forget_earlier_verification(struct job *job)
{
	struct muster_error no_memory;

	return !job->verified || resume_forget_verification(job, &no_memory);
}

/* What was taken over after the device had registered, or written since, is not what it registered with. */
static bool take_confirm(struct job *job, const struct journal_entry *entry, const cJSON *body)
{
	const char *etag = json_text(body, "etag");
	bool is_other = etag && job->etag_before && strcmp(etag, job->etag_before) != 0;

	(void)entry;
	if ((is_other || json_bool(body, "adopted", false)) && !forget_earlier_verification(job))
		return false;
	return !etag || replace(&job->etag_before, etag);
}

bool resume_is_refusal(const struct journal_entry *entry, const cJSON *body)
{
	return entry->kind == JOURNAL_OUTCOME &&
	       (json_bool(body, "refused", false) || json_bool(body, "undone", false));
}

/* A sending that is announced but has no outcome, or one that says unknown, may have had its effect, or have it yet, whatever became
 * of those behind it. */
static bool take_enroll(struct job *job, const struct journal_entry *entry, const cJSON *body)
{
	if (entry->kind == JOURNAL_INTENT) {
		free(TAKE_PTR(job->etag_before));
		if (!forget_earlier_verification(job))
			return false;
		job->may_land = job->may_land || job->outcome_is_unknown;
		job->may_exist = job->outcome_is_unknown = true;
		/* Nothing is sent while the former one is there. */
		job->was_enrolled = false;
	} else if (resume_is_refusal(entry, body)) {
		job->may_exist = job->may_land = job->may_land || json_bool(body, "unclear", false);
		job->outcome_is_unknown = false;
	} else if (entry->kind == JOURNAL_OUTCOME && json_bool(body, "created", false)) {
		job->may_exist = job->outcome_is_unknown = job->created = true;
	}
	return true;
}

static bool take_release(struct job *job, const struct journal_entry *entry, const cJSON *body)
{
	const char *evidence = json_text(body, "evidence");
	char *copy;

	if (is_step(body, "key-destroy") && !is_failure(body)) {
		key_of(job, body)->is_gone = true;
		key_of(job, body)->may_be_there = entry->kind != JOURNAL_OUTCOME;
	}
	if (entry->kind != JOURNAL_OUTCOME || !evidence)
		return true;
	job->was_unverified = json_bool(body, "unverified", false);
	/* Also where the journal was made again, and has nothing of its sending. */
	job->may_exist = true;
	copy = strdup(evidence);
	if (!copy)
		return false;
	free(job->evidence);
	job->evidence = copy;
	return true;
}

/* What the device was in an earlier life says nothing of what it is now. */
static void forget(struct job *job)
{
	for (size_t i = 0; i < ATTEST_KEYS; i++)
		attest_key_done(&job->keys[i]);
	job->may_exist = job->may_land = job->outcome_is_unknown = job->created = job->verified =
		job->was_unverified = job->was_enrolled = false;
	free(TAKE_PTR(job->evidence));
	free(TAKE_PTR(job->etag_before));
}

static bool is_derived(const char *attestation)
{
	return attestation &&
	       text_equal_folded(attestation, profile_attestation_word(PROFILE_SYMMETRIC_KEY));
}

/* By the row of another attempt, which whatever a run does comes with. A run that ended before that says only why. */
static bool begins_life(const struct resumption *resumption, const struct journal_entry *entry)
{
	return strcmp(entry->stage, JOURNAL_DEVICE_STAGE) == 0 &&
	       entry->attempt != resumption->ended_attempt;
}

/* Whether it was released in this life, by what is said of its row. */
static bool follow_enrolled(struct resumption *resumption, const struct journal_entry *entry,
			    const cJSON *body)
{
	bool was_enrolled = resumption->job->was_enrolled;
	const char *name = json_text(body, "state");
	enum journal_state state;

	/* The run that released it had no room for its files, and told a failure. */
	if (is_step(body, "write-out") && is_failure(body) &&
	    entry->attempt == resumption->enrolled_attempt)
		return false;
	if (strcmp(entry->stage, JOURNAL_DEVICE_STAGE) != 0 || !name ||
	    !journal_state_find(name, &state))
		return was_enrolled;
	if (!was_enrolled)
		resumption->enrolled_attempt = entry->attempt;
	return state == JOURNAL_RELEASED || (was_enrolled && journal_state_is_live(state));
}

static bool take_entry(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	static const struct {
		const char *stage;
		bool (*take)(struct job *job, const struct journal_entry *entry, const cJSON *body);
	} takers[] = {
		{ "attest", take_attest }, { "enroll", take_enroll },   { "confirm", take_confirm },
		{ "verify", take_verify }, { "release", take_release },
	};
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	struct resumption *resumption = context;
	struct job *job = resumption->job;

	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return muster_error_prefix(err, "reading entry %lld of the journal",
					   (long long)entry->seq);
	if (strcmp(entry->stage, JOURNAL_DEVICE_STAGE) == 0 && json_get(body, "attestation"))
		resumption->is_derived = is_derived(json_text(body, "attestation"));
	if (life_ends(entry, body)) {
		forget(job);
		job->is_derived_again = job->is_derived_again || resumption->is_derived;
		resumption->has_ended = true;
		resumption->ended_attempt = entry->attempt;
	} else if (begins_life(resumption, entry)) {
		resumption->has_ended = false;
	}
	for (size_t i = 0; i < ARRAY_SIZE(takers); i++)
		if (strcmp(entry->stage, takers[i].stage) == 0 && !takers[i].take(job, entry, body))
			return muster_fail_memory(err);
	job->was_enrolled = follow_enrolled(resumption, entry, body);
	job->failures = park_count(job->failures, entry, body);
	job->is_unfit = park_is_unfit(job->is_unfit, entry, body);
	kept_profile_follow(job->kept_name, entry, body);
	if (!service_sendings_follow(&resumption->sendings, entry, body, err))
		return false;
	return (terms_follow(&job->terms, entry, body) &&
		spool_follow(&job->spooled, entry, body)) ||
	       muster_fail_memory(err);
}

static bool copy_optional(char **target, const char *value, struct muster_error *err)
{
	if (!value)
		return true;
	free(*target);
	*target = strdup(value);
	return *target || muster_fail_memory(err);
}

static bool take_row(struct job *job, struct muster_error *err)
{
	const struct journal_device *row = &job->device;

	job->was_released = row->state == JOURNAL_RELEASED;
	if (row->attempt_id)
		snprintf(job->attempt_id, sizeof(job->attempt_id), "%s", row->attempt_id);
	if (row->key_id && !take_bytes(&job->keys[ATTEST_PRIMARY].id, row->key_id, hex_decode))
		return muster_fail(err, CAUSE_JOURNAL_DAMAGED,
				   "the journal's key ID of device '%s' is not hex",
				   PRINTABLE(job->registration_id));
	if (row->key_digest && !job->key_digest[0])
		snprintf(job->key_digest, sizeof(job->key_digest), "%s", row->key_digest);
	return copy_optional(&job->hub, row->hub, err) &&
	       copy_optional(&job->evidence_path, row->evidence_path, err);
}

static void drop_note_of_another_key(struct job *job)
{
	if (job->spooled && !spool_is_of(job->spooled, &job->device))
		cJSON_Delete(TAKE_PTR(job->spooled));
}

void resume_begin_anew(struct job *job)
{
	for (size_t i = 0; i < ATTEST_KEYS; i++) {
		bytes_done(&job->keys[i].certificate);
		bytes_done(&job->keys[i].request);
		cJSON_Delete(TAKE_PTR(job->keys[i].terms));
		/* Another key is wrapped anew, also where the former was destroyed when that was done. */
		attest_forget_wrapped(&job->keys[i]);
		job->keys[i].is_gone = job->keys[i].may_be_there = false;
	}
	cJSON_Delete(TAKE_PTR(job->spooled));
	job->attempt_id[0] = job->key_digest[0] = '\0';
}

/* With the device at hand another certificate can be made, of another key, while nothing can be enrolled with this one. */
static void drop_invalid(struct job *job)
{
	struct muster_error why;

	if (job_is_absent(job) || job->was_released || job->may_exist || expiry_check(job, &why) ||
	    !expiry_is_cause(why.cause))
		return;
	log_info("%s; another is made", why.message);
	resume_begin_anew(job);
}

/* It has nothing of the former one's row, either. */
static bool begin_another_life(struct job *job)
{
	job->device.batch = NULL;
	return true;
}

/* What nobody asked for then, or what could not be done without the device. */
static bool was_left_out(const struct job *job)
{
	const char *known = job->device.verification;

	return job->was_unverified || (known && strcmp(known, JOURNAL_NOT_ASKED) == 0);
}

static bool is_asked_for_now(const struct job *job)
{
	return job->was_released && job->run->way == RUN_WHOLE && !job_is_dry(job) &&
	       (was_left_out(job) || wrap_may_end_now(job)) &&
	       job->run->profile.verify != PROFILE_VERIFY_NONE && !job->skips_verification &&
	       !attest_any_key_is_gone(job);
}

/* One whose certificate is over could not register, and would only be parked for it. */
static bool decide_late(struct job *job, struct muster_error *err)
{
	bool is_over;

	job->is_asked_late = is_asked_for_now(job);
	if (!job->is_asked_late)
		return true;
	if (!expiry_is_over(job, &is_over, err))
		return false;
	job->is_asked_late = !is_over;
	return true;
}

bool resume_from_journal(struct job *job, struct service_sendings *ret_sendings,
			 struct muster_error *err)
{
	struct resumption resumption = { .job = job };

	*ret_sendings = resumption.sendings;
	if (job->device.state == JOURNAL_RETIRED) {
		job->is_derived_again = is_derived(job->device.attestation);
		return begin_another_life(job);
	}
	if (!journal_entries_all(job->run->journal, job->registration_id, take_entry, &resumption,
				 err))
		return false;
	if (resumption.has_ended && !journal_state_is_live(job->device.state))
		return begin_another_life(job);
	*ret_sendings = resumption.sendings;
	if (!take_row(job, err))
		return false;
	drop_note_of_another_key(job);
	drop_invalid(job);
	return decide_late(job, err);
}
