/* Which device is it, and what does the journal know of it. */
#include "steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "brake.h"
#include "certificate-terms.h"
#include "kept-profile.h"
#include "known.h"
#include "life.h"
#include "muster/encoding.h"
#include "muster/json.h"
#include "muster/log.h"
#include "names.h"
#include "resume.h"
#include "service-place.h"
#include "spool.h"
#include "wrap.h"

/* -- The service ----------------------------------------------------------------------------------------- */

bool service_reach_applies(const struct job *job)
{
	return !job_is_offline(job) && !(job->run->brake && job->run->brake->is_proven);
}

/* A request without credential, before anything has an effect: does the service answer, is it who it says, and does
 * its clock agree with ours? A wrong clock would make tokens that expire at the wrong time. */
bool service_reach_start(struct job *job, struct muster_error *err)
{
	CLEANUP(http_request_done) struct http_request request = { .method = HTTP_GET };

	text_addf(&request.url, "https://%s/?api-version=%s", job_host(job),
		  DPS_SERVICE_API_VERSION);
	return text_ok(&request.url, err) && job_send(job, &request, err);
}

bool service_reach_finish(struct job *job, const struct muster_error *outcome,
			  struct muster_error *err)
{
	const struct http_answer *answer = &job->answer;
	int64_t skew = answer->received_ms - answer->date_ms;

	(void)outcome;
	if (answer->outcome != HTTP_ANSWERED)
		return job_retry_or_fail(job, "the provisioning service", err);
	if (answer->date_ms >= 0 && llabs(skew) > CLOCK_SKEW_MAX_MS)
		return muster_fail(
			err, CAUSE_CLOCK_SKEWED,
			"this station's clock is %lld minutes %s the provisioning service's",
			(long long)llabs(skew) / 60000, skew > 0 ? "ahead of" : "behind");
	return true;
}

/* -- Names ------------------------------------------------------------------------------------------------- */

/* A device that is not here keeps its IDs: they may have been given, not made. Its row has the registration ID as device ID
 * where the enrollment has none, and where it has the same. */
static const char *device_id_of_absent(const struct job *job)
{
	const char *id = job->device.device_id;

	if (job->spooled)
		return json_text(json_get(job->spooled, "enrollment"), "deviceId");
	return id && (job->run->profile.device_id || strcmp(id, job->registration_id) != 0) ? id
											    : NULL;
}

static bool expand_ids(struct job *job, struct muster_error *err)
{
	const struct station_device device = {
		.serial = job->serial,
		.registration_id =
			job_is_absent(job) ? job->registration_id : job->given_registration_id,
		.device_id = job_is_absent(job) ? device_id_of_absent(job) : job->given_device_id,
	};
	CLEANUP(names_done) struct names names = { 0 };

	if (!names_make(&job->run->profile, &device, job->has_ek ? &job->ek : NULL, &names, err))
		return false;
	if (!names.registration_id)
		return muster_fail(err, CAUSE_INTERNAL, "a registration ID without its EK");
	free(job->registration_id);
	job->registration_id = TAKE_PTR(names.registration_id);
	job->device_id = TAKE_PTR(names.device_id);
	return true;
}

/* -- The journal ------------------------------------------------------------------------------------------- */

/* That of a device that is not here is made later, as it was before. */
static const char *claimed_device_id(const struct job *job)
{
	if (job_is_absent(job))
		return job->device.device_id;
	return job->device_id ? job->device_id : job->registration_id;
}

static struct known_claim claim_of(const struct job *job)
{
	struct known_claim claim = { .serial = job->serial,
				     .registration_id = job->registration_id,
				     .device_id = claimed_device_id(job),
				     .service = job->run->id_scope,
				     .hubs = (const char *const *)job->run->profile.iot_hubs.items,
				     .hub_count = job->run->profile.iot_hubs.count };

	/* What is released has it. */
	if (job->was_known && job->device.state == JOURNAL_RELEASED && job->device.device_id &&
	    claim.device_id && strcmp(job->device.device_id, claim.device_id) == 0)
		claim.device_id = NULL;
	if (job->has_ek)
		known_claim_ek(&claim, &job->ek);
	else
		snprintf(claim.key_digest, sizeof(claim.key_digest), "%s", job->key_digest);
	return claim;
}

static bool fail_service(const struct job *job, const char *known, const char *here,
			 struct muster_error *err)
{
	return muster_fail(err, CAUSE_SERVICE_CHANGED,
			   "device '%s' is in the journal as provisioned into '%s', not '%s'",
			   PRINTABLE(job->registration_id), PRINTABLE(known), PRINTABLE(here));
}

/* Login and ID scope come from different places, so either may be another service's alone. The login's is where the enrollment was
 * sent. The scope is what somebody has typed until the device has registered with it; where it is not known whither anything was
 * sent, or this run has no login to tell by, it is all there is. */
static bool check_service(const struct job *job, const struct service_sendings *sendings,
			  struct muster_error *err)
{
	const struct journal_device *known = &job->device;
	const struct service_place *place = service_place(sendings);
	const char *here = job->run->id_scope, *host = job_host(job);
	bool has_scopes = known->service && here;
	bool has_same_scope = has_scopes && strcmp(known->service, here) == 0;

	if (!journal_state_is_live(known->state))
		return true;
	if (service_place_is_elsewhere(place, host, has_same_scope))
		return fail_service(job, place->host, host, err);
	return !has_scopes || has_same_scope ||
	       !(known->hub || place->is_unknown || (place->host[0] && !host[0])) ||
	       fail_service(job, known->service, here, err);
}

/* One that is under way is read back before it is sent, and differs then. Of a released one nothing might be asked. */
static bool check_attestation(const struct job *job, struct muster_error *err)
{
	const char *wanted = profile_attestation_word(job->run->profile.attestation);
	const char *known = job->device.attestation;

	return job->device.state != JOURNAL_RELEASED || !known ||
	       text_equal_folded(known, wanted) ||
	       muster_fail(
		       err, CAUSE_ATTESTED_OTHERWISE,
		       "device '%s' was released with attestation %s, and profile '%s' wants %s",
		       PRINTABLE(job->registration_id), PRINTABLE(known),
		       PRINTABLE(job->run->profile.name), wanted);
}

/* Only a manifest gives one. What is under way is read back before it is sent. */
static bool check_device_id(const struct job *job, struct muster_error *err)
{
	const char *given = job->given_device_id, *known = job->device.device_id;

	return job->device.state != JOURNAL_RELEASED || !given || !known ||
	       strcmp(given, known) == 0 ||
	       muster_fail(
		       err, CAUSE_DEVICE_ID_CHANGED,
		       "device '%s' was released with device ID '%s', and the manifest says '%s'",
		       PRINTABLE(job->registration_id), PRINTABLE(known), PRINTABLE(given));
}

/* By the receipt for a bundle it was ended where it had gone, and nobody has decided about it here. */
static bool has_ended_elsewhere(const struct job *job)
{
	return journal_state_is_live(job->device.state) &&
	       job->device.cause == CAUSE_ENDED_ELSEWHERE;
}

static bool fail_retired(const struct job *job, const char *how, struct muster_error *err)
{
	bool is_elsewhere = has_ended_elsewhere(job);

	return muster_fail(err, is_elsewhere ? CAUSE_ENDED_ELSEWHERE : CAUSE_DEVICE_RETIRED,
			   "device '%s' was %s%s", PRINTABLE(job->registration_id),
			   is_elsewhere ? "ended at another station" : "retired", how);
}

/* No manifest brings a device back only because it is run again, and none that was approved while the device was in use. */
static bool check_retired(const struct job *job, struct muster_error *err)
{
	const struct run *run = job->run;
	const char *asked = json_text(json_get(run->approval, "requestedBy"), "at");
	int64_t asked_ms;

	if ((job->device.state != JOURNAL_RETIRED && !has_ended_elsewhere(job)) || !run->batch)
		return true;
	if (!run->request->batch->with_retired)
		return fail_retired(job, "", err);
	return !run->approval ||
	       (asked && rfc3339_parse(asked, &asked_ms) && asked_ms >= job->device.updated_ms) ||
	       fail_retired(job, " after the approval of this manifest had been asked for", err);
}

static bool check_known(struct job *job, const struct known_claim *claim, struct muster_error *err)
{
	const struct journal_device *known = &job->device;
	const char *serial = job->serial;
	bool is_other_key;

	if (!check_retired(job, err))
		return false;
	if (!journal_state_is_live(known->state))
		return true;
	if (!check_attestation(job, err) || !check_device_id(job, err))
		return false;
	is_other_key = tpm_applies(job) && known->key_digest &&
		       strcmp(known->key_digest, job->key_digest) != 0;
	if (serial && known->serial && strcmp(serial, known->serial) != 0)
		return known_fail(claim, known,
				  tpm_applies(job) && !is_other_key ? CAUSE_KEY_TAKEN
								    : CAUSE_REGISTRATION_ID_TAKEN,
				  err);
	return !is_other_key || known_fail(claim, known, CAUSE_SERIAL_TAKEN, err);
}

static bool new_attempt_id(struct job *job, struct muster_error *err)
{
	struct run *run = job->run;

	if (run->attempt_ids_left == 0) {
		if (!random_bytes(run->attempt_ids, sizeof(run->attempt_ids), err))
			return false;
		run->attempt_ids_left = ARRAY_SIZE(run->attempt_ids);
	}
	hex_encode(job->attempt_id, run->attempt_ids[--run->attempt_ids_left],
		   sizeof(*run->attempt_ids));
	return true;
}

/* A live device that was given its serial keeps it, whether or not it is said again. */
static bool keep_serial(struct job *job, struct muster_error *err)
{
	const struct journal_device *row = &job->device;

	if (job->serial || !row->serial || !journal_state_is_live(row->state))
		return true;
	job->serial = strdup(row->serial);
	return job->serial || muster_fail_memory(err);
}

/* The profile that it was begun with makes another one. Where that is not kept, nobody can tell. */
static bool find_out_given(const struct job *job, const char *made, bool *ret_is_given,
			   struct muster_error *err)
{
	const struct journal_device *row = &job->device;
	const struct station_device device = { .serial = job->serial,
					       .registration_id = job->registration_id };
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	CLEANUP(profile_done) struct profile former = { 0 };
	CLEANUP(names_done) struct names names = { 0 };

	if (strcmp(row->profile_digest, job->run->profile.digest) != 0) {
		*ret_is_given = false;
		if (!kept_profile_load(job->run->journal_path, row->profile_digest,
				       row->profile_digest, &former, &report, err))
			return err->cause == CAUSE_PROFILE_NOT_KEPT;
		if (!names_make(&former, &device, job->has_ek ? &job->ek : NULL, &names, err))
			return false;
		made = names.device_id ? names.device_id : job->registration_id;
	}
	*ret_is_given = strcmp(row->device_id, made) != 0;
	return true;
}

/* So it does a device ID that was given. */
static bool keep_device_id(struct job *job, struct muster_error *err)
{
	const struct journal_device *row = &job->device;
	const char *made = job->device_id ? job->device_id : job->registration_id;
	bool is_given;

	if (job_is_absent(job) || job->given_device_id || !row->device_id ||
	    strcmp(row->device_id, made) == 0 || !journal_state_is_live(row->state) ||
	    !row->profile_digest)
		return true;
	if (!find_out_given(job, made, &is_given, err))
		return false;
	if (!is_given)
		return true;
	free(job->device_id);
	job->device_id = strdup(row->device_id);
	return job->device_id || muster_fail_memory(err);
}

/* One that was released without a serial gets it now; that of any other is written with its next step. */
static bool record_serial(const struct job *job, struct muster_error *err)
{
	struct journal *journal = job->run->journal;
	struct journal_device row = job->device;

	if (!job->was_released || !job->serial || row.serial || job_is_dry(job))
		return true;
	row.serial = job->serial;
	row.operator= job->run->who.operator_name;
	row.station = job->run->who.station;
	row.updated_ms = clock_wall_ms();
	return (journal_is_in_transaction(journal) || journal_begin(journal, err)) &&
	       journal_device_put(journal, &row, err);
}

static bool is_in_token(const struct attest_key *key, const struct token_facts *token)
{
	return strcmp(key->token_serial, token->serial) == 0 &&
	       (!key->token_label || strcmp(key->token_label, token->label) == 0);
}

static bool fail_other_token(const struct job *job, const struct attest_key *key,
			     struct muster_error *err)
{
	const struct journal_device *row = &job->device;
	const char *label = key->token_label;
	char when[RFC3339_SIZE];

	return muster_fail(
		err, CAUSE_SERIAL_TAKEN,
		"device '%s' is in the journal, %s since %s, with a key in the token%s%s%s with serial %s; token '%s' has serial %s",
		PRINTABLE(job->registration_id), journal_state_name(row->state),
		rfc3339_format(when, row->updated_ms), label ? " '" : "",
		PRINTABLE(label ? label : ""), label ? "'" : "", PRINTABLE(key->token_serial),
		PRINTABLE(job->token.label), PRINTABLE(job->token.serial));
}

/* Another token is another board, or the wrong one, while the key with its certificate waits in the first. Where none was
 * certified, or nothing came of it, what is made here is another key. Whether a released device's key is here is asked of the
 * token. */
static bool check_token(struct job *job, struct muster_error *err)
{
	bool waits = job->device.key_digest && journal_state_is_live(job->device.state);

	if (!token_applies(job) || job_is_absent(job) || job->was_released)
		return true;
	for (size_t i = 0; i < ATTEST_KEYS; i++) {
		struct attest_key *key = &job->keys[i];

		if (!key->token_serial || is_in_token(key, &job->token))
			continue;
		if (waits)
			return fail_other_token(job, key, err);
		bytes_done(&key->id);
	}
	return true;
}

static bool look_into_journal(struct job *job, struct muster_error *err)
{
	struct journal *journal = job->run->journal;
	struct service_sendings sendings;
	struct known_claim claim;

	if (!journal_device_find(journal, JOURNAL_BY_REGISTRATION_ID, job->registration_id,
				 &job->device, &job->was_known, err) ||
	    (job->was_known && !job_is_dry(job) &&
	     !journal_device_verify(journal, &job->device, err)) ||
	    !keep_serial(job, err) || !keep_device_id(job, err))
		return false;
	claim = claim_of(job);
	if ((job->was_known && !check_known(job, &claim, err)) ||
	    !known_check(journal, &claim, err))
		return false;
	if (!job->was_known)
		return known_check_letters(journal, &claim, job->run->profile.batch.lookalikes,
					   err);
	if (!resume_from_journal(job, &sendings, err) || !check_service(job, &sendings, err) ||
	    !spool_check_fit(job, err) || !check_token(job, err) ||
	    !certificate_terms_check(job, err) || !wrap_check_owner(job, err))
		return false;
	if (attest_is_derived_again(job) && !job->was_released)
		log_warning(
			"[E%u] a board of '%s' was retired, and this one gets the same key if the "
			"master is the same, going on",
			CAUSE_DERIVED_AGAIN, PRINTABLE(job->registration_id));
	return record_serial(job, err);
}

static bool differ(const char *a, const char *b)
{
	return a && b && strcmp(a, b) != 0;
}

bool identify_has_other_scope(const struct job *job)
{
	return job->was_known && differ(job->device.service, job->run->id_scope);
}

bool identify_is_looked_at(const struct job *job)
{
	return job->is_asked_late || identify_has_other_scope(job) ||
	       (job->was_known && differ(job->device.profile_digest, job->run->profile.digest));
}

/* In a batch nothing is asked about a device that was released as this run wants it; an enrollment that is gone is found by reading all
 * of them. Only a file that the end of an earlier run left out is written. */
void identify_skip_released(struct job *job)
{
	if (job->run->batch && job->was_released &&
	    (job_is_offline(job) || !identify_is_looked_at(job)))
		job_go_to(job, release_lacks_keys(job) ? "derive" : "tpm-release");
}

/* The row comes with the first announcement where nothing outside is done before that: no hardware, and no reading back. */
static bool needs_row(const struct job *job)
{
	return job->outcome_is_unknown || !(attest_derive_applies(job) || job_is_absent(job));
}

bool identify_look_up(struct job *job, struct muster_error *err)
{
	if (job->run->brake)
		job->run->brake->is_proven = true;
	/* What the IDs of an absent device are made of is in the journal. */
	if (job_is_absent(job)
		    ? !look_into_journal(job, err) || !spool_take_up(job, err) ||
			      !expand_ids(job, err)
		    : !expand_ids(job, err) || (job->run->journal && !look_into_journal(job, err)))
		return false;
	if (!job->attempt_id[0] && !new_attempt_id(job, err))
		return false;
	job->attempt = job->device.attempt + 1;
	if (!wrap_recipient_applies(job))
		identify_skip_released(job);
	if (job_is_dry(job) || job->was_released || !needs_row(job))
		return true;
	return job_put_row(job, JOURNAL_WORKING, STAGE_IDENTIFY, CAUSE_NONE, err);
}
