/* What the device will show: one or two key pairs born in the token with their certificates, or keys derived from a master. */
#include "steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "brake.h"
#include "certificate-terms.h"
#include "evidence.h"
#include "master.h"
#include "muster/encoding.h"
#include "muster/identity.h"
#include "muster/json.h"
#include "muster/log.h"
#include "token.h"
#include "tpm-master.h"

enum { KEY_ID_SIZE = 16 };

bool token_applies(const struct job *job)
{
	return job->run->needs_hsm;
}

bool attest_x509_applies(const struct job *job)
{
	return job->run->profile.attestation == PROFILE_X509;
}

/* Also where the profile has changed since: see attest_key_find_start. */
bool attest_has_key(const struct job *job, enum attest_which which)
{
	return which == ATTEST_PRIMARY || job->run->profile.x509.own_secondary_key ||
	       job->keys[which].id.size > 0;
}

bool attest_any_key_is_gone(const struct job *job)
{
	return job->keys[ATTEST_PRIMARY].is_gone || job->keys[ATTEST_SECONDARY].is_gone;
}

bool attest_key_is_journalled(const struct job *job)
{
	const struct attest_key *key = &job->keys[job_which(job)];

	return attest_x509_applies(job) && token_applies(job) && key->id.size > 0 &&
	       (!key->is_gone || key->may_be_there);
}

/* A released device has one, or it is an error that read-back tells. */
static bool is_to_be_made(const struct job *job, enum attest_which which)
{
	return attest_x509_applies(job) && attest_has_key(job, which) &&
	       job->keys[which].spki.size == 0 && !job->was_released &&
	       !attest_any_key_is_gone(job) && !job_is_absent(job);
}

bool attest_key_is_to_be_made(const struct job *job)
{
	return is_to_be_made(job, job_which(job));
}

/* A dry run makes no key. */
bool attest_key_is_missing(const struct job *job)
{
	return !job_is_dry(job) && attest_key_is_to_be_made(job);
}

bool attest_any_key_is_missing(const struct job *job)
{
	return !job_is_dry(job) &&
	       (is_to_be_made(job, ATTEST_PRIMARY) || is_to_be_made(job, ATTEST_SECONDARY));
}

/* Late, when the certificate is in the journal: a cut never leaves one in the token that nobody knows. Storing it again is
 * harmless. */
bool attest_store_applies(const struct job *job)
{
	return attest_x509_applies(job) && job->keys[job_which(job)].id.size > 0 &&
	       token_applies(job) && !job_is_dry(job) && !job->was_released &&
	       !job->run->profile.x509.key_leaves;
}

bool attest_derive_applies(const struct job *job)
{
	return job->run->profile.attestation == PROFILE_SYMMETRIC_KEY;
}

bool attest_is_derived_again(const struct job *job)
{
	return attest_derive_applies(job) && job->is_derived_again;
}

/* -- After a cut ---------------------------------------------------------------------------------------------- */

/* An earlier run that did not reach its end may have ended its worker in the middle of making an object. */
bool attest_token_sweep_applies(const struct job *job)
{
	return attest_key_is_journalled(job) && !job_is_dry(job) && !job->was_released;
}

bool attest_token_sweep_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };

	worker_request_init(&request, WORKER_HSM_SWEEP);
	return job_ask(job, job->hsm, &request, err);
}

/* -- What it is called ---------------------------------------------------------------------------------------- */

bool attest_expand(const struct job *job, const char *template, enum identity_template kind,
		   char **ret_text, struct muster_error *err)
{
	const struct identity_values values = { .serial = job->serial,
						.registration_id = job->registration_id };

	return identity_template_expand(template, kind, &values, ret_text, err);
}

/* -- The key pair ------------------------------------------------------------------------------------------ */

/* In words. */
static const char *which_word(const struct job *job)
{
	return job_which(job) == ATTEST_PRIMARY ? "" : "secondary ";
}

bool attest_add_names(const struct job *job, enum attest_which which, cJSON *body)
{
	char hex[2 * 64 + 1];
	const struct bytes *id = &job->keys[which].id, *primary = &job->keys[ATTEST_PRIMARY].id;

	return json_add_text(body, "keyId", hex_encode(hex, id->data, id->size)) &&
	       json_add_text(body, "tokenSerial", job->token.serial) &&
	       (which == ATTEST_PRIMARY ||
		json_add_text(body, "secondaryOf", hex_encode(hex, primary->data, primary->size)));
}

static bool take_key(struct job *job, struct muster_error *err)
{
	struct attest_key *taken = &job->keys[job_which(job)];
	const struct bytes *spki = worker_bytes(&job->reply, FIELD_PUBLIC);
	const char *attributes = worker_text(&job->reply, FIELD_ATTRIBUTES);
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;

	if (spki->size == 0)
		return muster_fail(err, CAUSE_HSM_ANSWER_INVALID, "the token gave no public key");
	if (!pki_public_key_read(spki, &key, err) || !pki_key_check(key, err))
		return muster_error_prefix(err, "looking at the key that token '%s' made",
					   PRINTABLE(job->token.label));
	free(taken->attributes);
	taken->attributes = strdup(attributes ? attributes : "");
	return taken->attributes ? bytes_copy(&taken->spki, spki->data, spki->size, err)
				 : muster_fail_memory(err);
}

bool attest_may_leave(const struct attest_key *key)
{
	return key->attributes && strstr(key->attributes, " extractable=true");
}

/* A profile does not take over a key that was made for another kind of life. */
static bool check_lives(const struct job *job, struct muster_error *err)
{
	bool may_leave = attest_may_leave(&job->keys[job_which(job)]);

	return may_leave == job->run->profile.x509.key_leaves ||
	       muster_fail(err, CAUSE_KEY_ATTRIBUTES,
			   "the %skey of device '%s' was made %s, and the profile says otherwise",
			   which_word(job), PRINTABLE(job->registration_id),
			   may_leave ? "to be wrapped out" : "to stay in its token");
}

bool attest_key_find_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	const struct attest_key *key = &job->keys[job_which(job)];

	if (job_which(job) == ATTEST_SECONDARY && !job->run->profile.x509.own_secondary_key)
		return muster_fail(
			err, CAUSE_KEY_ATTRIBUTES,
			"the secondary certificate of device '%s' has a key of its own, and the "
			"profile says otherwise; use the one that the device was begun with",
			PRINTABLE(job->registration_id));
	worker_request_init(&request, WORKER_HSM_KEY_FIND);
	worker_add_bytes(&request, FIELD_KEY_ID, key->id.data, key->id.size);
	return job_ask(job, job->hsm, &request, err);
}

/* What was wrapped, or is in a bundle, is of that key, and of it alone. */
static bool check_lost(const struct job *job, struct muster_error *err)
{
	bool is_replaced = worker_u64(&job->reply, FIELD_FOUND) == 1, is_in_use;

	if (!certificate_terms_in_use(job, &is_in_use, err))
		return false;
	if (is_in_use)
		return muster_fail(
			err, CAUSE_KEY_LOST,
			"the %skey of device '%s', %s, has its certificate in the journal but is not in token '%s', and "
			"may be in use%s",
			which_word(job), PRINTABLE(job->registration_id),
			journal_state_name(job->device.state), PRINTABLE(job->token.label),
			is_replaced ? "; the one of its ID there is another" : "");
	log_warning(
		"the %skey of device '%s', which is not enrolled, is not in token '%s' any more%s; "
		"key and certificate are made anew, going on",
		which_word(job), PRINTABLE(job->registration_id), PRINTABLE(job->token.label),
		is_replaced ? ", and another of its ID there is destroyed" : "");
	return true;
}

/* A journal that was put back from a backup has a key as begun that another one knows as a living device's. The worker looks for a
 * certificate in the token when it is about to destroy; one that leaves has none there. */
static bool check_unfinished(const struct job *job, struct muster_error *err)
{
	const struct attest_key *key = &job->keys[job_which(job)];
	char hex[2 * 64 + 1];

	return key->certificates.size > 0 || !evidence_names_key(job, job_which(job)) ||
	       muster_fail(
		       err, CAUSE_JOURNAL_BEHIND,
		       "the evidence of device '%s' names its %skey, ID %s, which this journal has only as begun; "
		       "the journal seems to be older than the token, and nothing of the key was destroyed",
		       PRINTABLE(job->registration_id), which_word(job),
		       hex_encode(hex, key->id.data, key->id.size));
}

/* Its destruction was announced. One whose public half is destroyed already is not used any more. */
static bool is_destroyed(struct job *job)
{
	struct attest_key *key = &job->keys[job_which(job)];

	if (!key->may_be_there)
		return false;
	key->may_be_there = false;
	key->is_gone = !worker_u64(&job->reply, FIELD_FOUND) ||
		       worker_bytes(&job->reply, FIELD_PUBLIC)->size == 0;
	return key->is_gone;
}

/* Under the ID of the one that was certified, as of a token or a key that somebody put back. */
static bool is_of_another(const struct job *job)
{
	const struct attest_key *key = &job->keys[job_which(job)];
	const struct bytes *spki = worker_bytes(&job->reply, FIELD_PUBLIC);

	return spki->size > 0 && !attest_certificate_is_for(key, spki);
}

static bool fail_not_there(const struct job *job, struct muster_error *err)
{
	bool was_enrolled = job->was_released || job->was_enrolled;

	return muster_fail(
		err, CAUSE_KEY_NOT_FOUND, "the %skey %s device '%s'%s is not in token '%s'%s",
		which_word(job), was_enrolled ? "that" : "of", PRINTABLE(job->registration_id),
		was_enrolled ? " was enrolled with" : ", which waits,", PRINTABLE(job->token.label),
		worker_u64(&job->reply, FIELD_FOUND) == 1
			? "; the one of its ID there is another, which its certificate is not for"
			: "");
}

/* The ID was journalled before the key was made: after a crash it may be there or not, or half of it. Only a key whose
 * certificate is journalled is known to be whole and is adopted; any other is swept away and made anew. */
bool attest_key_find_finish(struct job *job, const struct muster_error *outcome,
			    struct muster_error *err)
{
	const struct attest_key *key = &job->keys[job_which(job)];
	bool is_certified = key->certificate.size > 0;

	if (outcome->code != MUSTER_OK) {
		*err = *outcome;
		return muster_error_prefix(err, "looking for the device's %skey in the token",
					   which_word(job));
	}
	if (is_destroyed(job))
		return true;
	if (worker_u64(&job->reply, FIELD_FOUND) && is_certified && !is_of_another(job))
		return take_key(job, err) && check_lives(job, err);
	if (job->was_released || job_is_absent(job))
		return fail_not_there(job, err);
	return is_certified ? check_lost(job, err)
			    : !worker_u64(&job->reply, FIELD_FOUND) || check_unfinished(job, err);
}

bool attest_sweep_applies(const struct job *job)
{
	return attest_key_is_journalled(job) && attest_key_is_missing(job);
}

/* It may be a whole one, which is made anew. */
bool attest_key_sweep_intend(struct job *job, cJSON *body, struct muster_error *err)
{
	return attest_add_names(job, job_which(job), body) || muster_fail_memory(err);
}

/* What the journal has certified it may give up. */
static void ask_to_sweep(const struct attest_key *key, struct worker_message *ret_request)
{
	worker_request_init(ret_request, WORKER_HSM_KEY_DESTROY);
	worker_add_bytes(ret_request, FIELD_KEY_ID, key->id.data, key->id.size);
	worker_add_u64(ret_request, FIELD_UNFINISHED, 1);
	if (key->certificates.size > 0)
		worker_add_bytes(ret_request, FIELD_DIGEST, key->certificates.data,
				 key->certificates.size);
}

bool attest_key_sweep_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };

	ask_to_sweep(&job->keys[job_which(job)], &request);
	return job_ask(job, job->hsm, &request, err);
}

bool attest_key_sweep_finish(struct job *job, const struct muster_error *outcome,
			     struct muster_error *err)
{
	if (outcome->code == MUSTER_OK)
		return true;
	*err = *outcome;
	return muster_error_prefix(err, "sweeping what an earlier run left in token '%s'",
				   PRINTABLE(job->token.label));
}

bool attest_key_make_intend(struct job *job, cJSON *body, struct muster_error *err)
{
	struct attest_key *key = &job->keys[job_which(job)];
	uint8_t id[KEY_ID_SIZE];

	if (key->id.size == 0 &&
	    (!random_bytes(id, sizeof(id), err) || !bytes_copy(&key->id, id, sizeof(id), err)))
		return false;
	if (key->id.size != KEY_ID_SIZE)
		return muster_fail(err, CAUSE_JOURNAL_DAMAGED, "a key ID of %zu bytes",
				   key->id.size);
	/* What was certified and wrapped before is not this one. */
	bytes_done(&key->certificate);
	bytes_done(&key->certificates);
	attest_forget_wrapped(key);
	return (attest_add_names(job, job_which(job), body) &&
		json_add_text(body, "keyType", job->run->profile.x509.key_type) &&
		json_add_bool(body, "leaves", job->run->profile.x509.key_leaves) &&
		json_add_text(body, "token", job->token.label) &&
		(!key->namesakes ||
		 json_add_item(body, "sameLabel", cJSON_Duplicate(key->namesakes, true)))) ||
	       muster_fail_memory(err);
}

bool attest_key_make_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	const struct attest_key *key = &job->keys[job_which(job)];
	const struct profile *profile = &job->run->profile;
	CLEANUP(freep) char *label = attest_key_label(job, err);

	if (!label)
		return false;
	worker_request_init(&request, WORKER_HSM_KEY_GENERATE);
	worker_add_bytes(&request, FIELD_KEY_ID, key->id.data, key->id.size);
	worker_add_text(&request, FIELD_LABEL, label);
	worker_add_text(&request, FIELD_KEY_TYPE, profile->x509.key_type);
	if (profile->x509.key_leaves)
		worker_add_u64(&request, FIELD_LEAVES, 1);
	return job_ask(job, job->hsm, &request, err);
}

static bool is_recorded(const struct attest_key *key)
{
	return key->certificate.size > 0 && !key->certificate_is_new;
}

bool attest_discard_keys(struct job *job, struct muster_error *err)
{
	for (size_t i = 0; i < ATTEST_KEYS; i++) {
		CLEANUP(worker_message_done)
		struct worker_message request = { 0 }, reply = { 0 };
		const struct attest_key *key = &job->keys[i];
		struct muster_error failure;

		if (key->id.size == 0 || is_recorded(key))
			continue;
		ask_to_sweep(key, &request);
		if (!worker_call(job->hsm, &request, &reply, &failure))
			return muster_error_prefix(err, "left to the next run to destroy (%s)",
						   failure.message);
	}
	return false;
}

bool attest_key_make_finish(struct job *job, const struct muster_error *outcome,
			    struct muster_error *err)
{
	if (outcome->code == MUSTER_OK)
		return take_key(job, err) || attest_discard_keys(job, err);
	*err = *outcome;
	muster_error_prefix(err, "making the device's %skey in token '%s'", which_word(job),
			    PRINTABLE(job->token.label));
	/* The worker left nothing of this one; of the one before there is something. */
	return job_which(job) == ATTEST_SECONDARY && attest_discard_keys(job, err);
}

/* -- Derived keys ------------------------------------------------------------------------------------------ */

static bool derive_one(struct job *job, const struct profile_key_source *source, size_t number,
		       const struct secret *master, struct secret *ret_key,
		       struct muster_error *err)
{
	struct token_master token;
	struct hmac_key software;

	if (source->tpm)
		return identity_device_key_derive(&job->run->tpm_masters[number].key,
						  job->registration_id, ret_key, err);

	if (source->uri) {
		token_master_init(&token, job->hsm, source->uri);
		return identity_device_key_derive(&token.key, job->registration_id, ret_key, err);
	}
	identity_hmac_key_from_secret(&software, master);
	return identity_device_key_derive(&software, job->registration_id, ret_key, err);
}

/* Of what has its keys already, or may have them, nothing is asked but that they are the same. */
static bool may_have_keys(const struct job *job)
{
	return job->spooled || job->was_released || job->may_exist;
}

/* What waits may have been handed out with keys that were derived elsewhere. */
static bool check_random(const struct job *job, const struct profile_key_source *source,
			 const struct secret *master, struct muster_error *err)
{
	return !source->file || may_have_keys(job) ||
	       (job->was_known && job->device.state == JOURNAL_PARKED) ||
	       master_check_random(master, PRINTABLE(source->file), err);
}

static bool check_unlike(const struct job *job, struct muster_error *err)
{
	return may_have_keys(job) ||
	       master_check_unlike(job->primary_key.data, job->secondary_key.data,
				   job->primary_key.size, err);
}

/* Once for all devices of a run. One that was exchanged would give all of them wrong keys. */
static bool look_at_masters(const struct job *job, struct muster_error *err)
{
	struct run *run = job->run;
	const char *const uris[] = { run->profile.master.primary.uri,
				     run->profile.master.secondary.uri };

	for (size_t i = 0; i < ARRAY_SIZE(uris) && !run->masters_are_known; i++) {
		if (!uris[i] || master_look(job->hsm, &job->token, uris[i], run->journal, err))
			continue;
		if (err->cause == CAUSE_MASTER_CHANGED && run->brake)
			brake_stop(run->brake, err);
		return false;
	}
	run->masters_are_known = true;
	return true;
}

bool attest_derive(struct job *job, struct muster_error *err)
{
	const struct run *run = job->run;

	return (look_at_masters(job, err) &&
		check_random(job, &run->profile.master.primary, &run->primary_master, err) &&
		check_random(job, &run->profile.master.secondary, &run->secondary_master, err) &&
		derive_one(job, &run->profile.master.primary, 0, &run->primary_master,
			   &job->primary_key, err) &&
		derive_one(job, &run->profile.master.secondary, 1, &run->secondary_master,
			   &job->secondary_key, err) &&
		check_unlike(job, err)) ||
	       muster_error_prefix(err, "deriving the keys of '%s'",
				   PRINTABLE(job->registration_id));
}
