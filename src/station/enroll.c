/* The enrollment: composed, sent as a create that can never overwrite, and read back until it is known. */
#include "steps.h"

#include <stdlib.h>
#include <string.h>

#include "evidence.h"
#include "expiry.h"
#include "muster/encoding.h"
#include "muster/json.h"
#include "resume.h"
#include "sender.h"
#include "spool.h"

/* -- Composing ---------------------------------------------------------------------------------------------- */

static const enum dps_attestation attestations[] = {
	[PROFILE_TPM] = DPS_ATTESTATION_TPM,
	[PROFILE_X509] = DPS_ATTESTATION_X509,
	[PROFILE_SYMMETRIC_KEY] = DPS_ATTESTATION_SYMMETRIC,
};

static const enum dps_allocation allocations[] = {
	[PROFILE_ALLOCATION_UNSET] = DPS_ALLOCATION_UNSET,
	[PROFILE_HASHED] = DPS_ALLOCATION_HASHED,
	[PROFILE_GEO_LATENCY] = DPS_ALLOCATION_GEO_LATENCY,
	[PROFILE_STATIC] = DPS_ALLOCATION_STATIC,
	[PROFILE_CUSTOM] = DPS_ALLOCATION_CUSTOM,
};

static const struct bytes *certificate_of(const struct job *job, enum attest_which which)
{
	const struct bytes *certificate = &job->keys[which].certificate;

	return certificate->size > 0 ? certificate : NULL;
}

/* A dry run of an X.509 device has no certificate yet. */
static bool has_attestation(const struct job *job)
{
	return job->run->profile.attestation != PROFILE_X509 || certificate_of(job, ATTEST_PRIMARY);
}

struct dps_enrollment_terms enroll_terms(const struct profile *profile)
{
	return (struct dps_enrollment_terms){
		.attestation = attestations[profile->attestation],
		.disabled = profile->is_disabled,
		.allocation = allocations[profile->allocation],
		.hubs = (const char *const *)profile->iot_hubs.items,
		.hub_count = profile->iot_hubs.count,
		.webhook_url = profile->webhook_url,
		.webhook_api_version = profile->webhook_api_version,
		.update_hub_assignment = profile->update_hub_assignment,
		.migrate_device_data = profile->migrate_device_data,
		.iot_edge = profile->iot_edge,
		.twin_tags = profile->twin_tags,
		.twin_properties = profile->twin_desired,
		.device_information = profile->device_information,
	};
}

/* Derived keys stand in the enrollment now. */
static void forget_keys(struct job *job)
{
	const struct run *run = job->run;

	/* A released one may have to be verified anew. */
	if (verify_applies(job) || job->was_released || run->writes_keys ||
	    run->request->key_fd > 0 || job_is_offline(job))
		return;
	secret_done(&job->primary_key);
	secret_done(&job->secondary_key);
}

bool enroll_compose(struct job *job, struct muster_error *err)
{
	struct dps_enrollment_terms terms = enroll_terms(&job->run->profile);
	struct bytes ek = { job->ek.data, job->ek.size };

	terms.registration_id = job->registration_id;
	terms.device_id = job->device_id;
	terms.ek = job->has_ek ? &ek : NULL;
	terms.certificate = certificate_of(job, ATTEST_PRIMARY);
	terms.secondary_certificate = certificate_of(job, ATTEST_SECONDARY);
	terms.primary_key = job->primary_key.data ? &job->primary_key : NULL;
	terms.secondary_key = job->secondary_key.data ? &job->secondary_key : NULL;
	terms.attempt_id = job->attempt_id;
	if (!has_attestation(job))
		return true;
	if (!dps_enrollment_build(&terms, &job->enrollment, err))
		return muster_error_prefix(err, "composing the enrollment of '%s'",
					   PRINTABLE(job->registration_id));
	if (!job->was_released && !evidence_check_room(job, err))
		return false;
	if (!(job->was_released ? expiry_tell(job, err) : expiry_check(job, err)) ||
	    !spool_check(job, err) || !release_check_keys(job, err) || !spool_renew(job, err))
		return false;
	forget_keys(job);
	return true;
}

/* -- Sending ------------------------------------------------------------------------------------------------ */

static const char *name_of(const struct job *job, char out[160])
{
	snprintf(out, 160, "enrollment '%s'", job->registration_id);
	return out;
}

/* What may have been sent already is read back first. */
bool enroll_put_applies(const struct job *job)
{
	return !job_is_dry(job) && !job_is_offline(job) && !job->was_released &&
	       !job->outcome_is_unknown;
}

bool enroll_put_intend(struct job *job, cJSON *body, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret bytes = { 0 };

	if (!dps_document_body(job->enrollment, &bytes, err))
		return false;
	sha256_hex(job->body_digest, bytes.data, bytes.size);
	return (json_add_text(body, "operation", "create") &&
		json_add_text(body, "host", job_host(job)) &&
		json_add_int64(body, "send", job->sends + 1) &&
		json_add_text(body, "attemptId", job->attempt_id) &&
		json_add_text(body, "bodySha256", job->body_digest)) ||
	       muster_fail_memory(err);
}

bool enroll_put_start(struct job *job, struct muster_error *err)
{
	CLEANUP(http_request_done) struct http_request request = { 0 };

	if (job->run->sender) {
		job->sends++;
		job->may_exist = true;
		sender_add(job->run->sender, job);
		return true;
	}
	if (!dps_enrollment_put(job_host(job), job->registration_id, job->enrollment, NULL,
				&request, err))
		return false;
	job->sends++;
	job->may_exist = true;
	return job_send_authorized(job, &request, err);
}

static bool record_put(struct job *job, const char *result, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();

	if (!body || !json_add_text(body, "operation", "create") ||
	    (job->operation == OPERATION_HTTP &&
	     !json_add_int64(body, "status", job->answer.status)) ||
	    (job->is_confirmed && !json_add_bool(body, "confirmed", true)) ||
	    (job->operation == OPERATION_SENDER && job->fate_is_unclear && !job->created &&
	     !json_add_bool(body, "unclear", true)) ||
	    !json_add_bool(body, result, true))
		return muster_fail_memory(err);
	return job_record(job, JOURNAL_OUTCOME, STAGE_ENROLL, TAKE_PTR(body), err);
}

/* Nothing can have come of this one. */
static bool put_had_no_effect(struct job *job, const char *result, struct muster_error *err)
{
	job->may_exist = job->may_land;
	job->outcome_is_unknown = false;
	return record_put(job, result, err);
}

static bool put_is_unclear(struct job *job, bool may_land, struct muster_error *err)
{
	job->outcome_is_unknown = true;
	job->may_land = job->may_land || may_land;
	return record_put(job, "unknown", err);
}

static bool put_was_answered_ok(const struct http_answer *answer)
{
	return answer->outcome == HTTP_ANSWERED && answer->status == 200;
}

/* The sender has sent it as often as it took, and read back what it was not sure of. */
static bool take_fate(struct job *job, struct muster_error *err)
{
	switch (job->fate) {
	case DPS_BULK_WRITTEN:
		/* Found as it was to be, it may be an equal one that others wrote. */
		if (job->fate_is_unclear)
			return put_is_unclear(job, true, err);
		job->created = job->is_confirmed = true;
		return record_put(job, "created", err);
	case DPS_BULK_REFUSED:
		job->may_land = job->may_land || job->fate_is_unclear;
		if (!put_had_no_effect(job, "refused", err))
			return false;
		break;
	case DPS_BULK_OPEN:
		if (!job->fate_is_unclear && !put_had_no_effect(job, "undone", err))
			return false;
		break;
	case DPS_BULK_ALREADY:
	case DPS_BULK_DIFFERS:
		/* Whose it is, the attempt in it says. */
		return put_is_unclear(job, job->fate_is_unclear, err);
	}
	*err = job->fate_why;
	return false;
}

bool enroll_put_finish(struct job *job, const struct muster_error *outcome,
		       struct muster_error *err)
{
	struct muster_error storage;
	char name[160];

	(void)outcome;
	if (job->operation == OPERATION_SENDER)
		return take_fate(job, err);
	if (put_was_answered_ok(&job->answer)) {
		job->created = true;
		return record_put(job, "created", err);
	}
	switch (dps_next_step(&job->answer, true)) {
	case DPS_NEXT_RETRY:
	case DPS_NEXT_RENEW:
		return put_had_no_effect(job, "refused", err) &&
		       job_retry_or_fail(job, name_of(job, name), err);
	case DPS_NEXT_STOP:
		if (job->answer.outcome == HTTP_ANSWERED &&
		    !put_had_no_effect(job, "refused", &storage)) {
			*err = storage;
			return false;
		}
		return dps_answer_fail(&job->answer, name_of(job, name), err);
	case DPS_NEXT_DONE:
	case DPS_NEXT_READ_BACK:
		break;
	}
	/* A lost answer, a server error, or "exists already", which may be our own sending. */
	return put_is_unclear(
		job, job->answer.outcome != HTTP_ANSWERED || job->answer.status >= 500, err);
}

/* -- Reading back -------------------------------------------------------------------------------------------- */

bool confirm_applies(const struct job *job)
{
	/* Keys of a released one are handed out again when they are those that are enrolled. */
	bool is_left = job->run->batch && job->was_released && !job->primary_key.data &&
		       !identify_is_looked_at(job);

	return job->enrollment != NULL && !job_is_offline(job) && !job->is_confirmed && !is_left;
}

bool confirm_read_start(struct job *job, struct muster_error *err)
{
	CLEANUP(http_request_done) struct http_request request = { 0 };

	return dps_enrollment_get(job_host(job), job->registration_id, &request, err) &&
	       job_send_authorized(job, &request, err);
}

/* The one that a run before verified, and then was cut. */
static bool forget_earlier_verification(struct job *job, struct muster_error *err)
{
	return !job->verified || resume_forget_verification(job, err);
}

static bool fail_gone(const struct job *job, struct muster_error *err)
{
	muster_fail(err, CAUSE_ENROLLMENT_GONE,
		    "device '%s' was enrolled by this station, but its enrollment is gone from the "
		    "service",
		    PRINTABLE(job->registration_id));
	return !identify_has_other_scope(job)
		       ? false
		       : muster_error_prefix(err, "with ID scope '%s', and not '%s' as before",
					     PRINTABLE(job->run->id_scope),
					     PRINTABLE(job->device.service));
}

/* The create is conditional on absence, so sending it once more cannot double or overwrite anything, even should an
 * earlier one still be on its way. */
static bool read_found_nothing(struct job *job, struct muster_error *err)
{
	if (job_is_dry(job))
		return true;
	if (job->was_released)
		return fail_gone(job, err);
	if (job->sends >= DPS_RETRY_ATTEMPTS)
		return muster_fail(err, CAUSE_OUTCOME_UNKNOWN,
				   "enrollment '%s' was sent %u times and is not there",
				   PRINTABLE(job->registration_id), job->sends);
	job->outcome_is_unknown = false;
	job_go_to(job, "put");
	return forget_earlier_verification(job, err);
}

/* A garbled answer says nothing: ask again. */
static bool read_again(struct job *job, const struct muster_error *unread, struct muster_error *err)
{
	const struct http_answer *answer = &job->answer;
	char name[160];

	if (answer->outcome != HTTP_ANSWERED || answer->status != 200)
		return job_retry_or_fail(job, name_of(job, name), err);
	if (++job->tries >= DPS_RETRY_ATTEMPTS) {
		*err = *unread;
		return false;
	}
	job_again(job, DPS_RETRY_BASE_MS);
	return true;
}

bool confirm_read_finish(struct job *job, const struct muster_error *outcome,
			 struct muster_error *err)
{
	const struct http_answer *answer = &job->answer;
	struct muster_error unread;

	(void)outcome;
	if (answer->outcome == HTTP_ANSWERED && answer->status == 404)
		return read_found_nothing(job, err);
	return dps_enrollment_read(answer, job->registration_id, &job->found, &unread) ||
	       read_again(job, &unread, err);
}

bool confirm_mechanism_applies(const struct job *job)
{
	return job->found && dps_enrollment_needs_mechanism(job->enrollment, job->found);
}

bool confirm_mechanism_start(struct job *job, struct muster_error *err)
{
	CLEANUP(http_request_done) struct http_request request = { 0 };

	return dps_enrollment_mechanism(job_host(job), job->registration_id, &request, err) &&
	       job_send_authorized(job, &request, err);
}

bool confirm_mechanism_finish(struct job *job, const struct muster_error *outcome,
			      struct muster_error *err)
{
	struct muster_error unread;

	(void)outcome;
	return dps_mechanism_read(&job->answer, &job->mechanism, &unread) ||
	       read_again(job, &unread, err);
}

/* -- Comparing ----------------------------------------------------------------------------------------------- */

/* What was written in another run differs because the profile was changed since, or the enrollment was. */
static bool fail_different(const struct job *job, struct text *differences,
			   struct muster_error *err)
{
	const char *attempt = dps_enrollment_attempt(job->found);
	bool is_ours = attempt && strcmp(attempt, job->attempt_id) == 0;
	bool is_new = is_ours && job->created && job->sends > 0;

	return muster_fail(err, is_new ? CAUSE_READBACK_DIFFERS : CAUSE_ENROLLED_OTHERWISE,
			   "enrollment '%s' %s: %s", PRINTABLE(job->registration_id),
			   is_new ? "was written but reads back otherwise"
			   : is_ours
				   ? "of this station differs from the profile, nothing was changed"
				   : "exists with other content, nothing was changed",
			   text_one_line(differences));
}

/* Of one that came with a bulk no etag is known; its evidence has what was sent. */
static bool was_changed_since(const struct job *job, const char *etag)
{
	const struct journal_device *row = &job->device;

	if (row->etag && *row->etag)
		return !etag || strcmp(etag, row->etag) != 0;
	if (row->profile_digest && strcmp(row->profile_digest, job->run->profile.digest) != 0 &&
	    !evidence_has_enrollment(job))
		return true;
	/* By the station's clock that says little; by the service's, nobody wrote it since it was created. */
	return evidence_is_of_former(job, job->found) || !dps_enrollment_is_unwritten(job->found);
}

/* A released device that was found as it is known is known by that etag from now on, and in the ID scope that it was found with. */
static bool record_found(struct job *job, struct muster_error *err)
{
	struct journal *journal = job->run->journal;
	struct journal_device *row = &job->device;
	bool has_other_scope = identify_has_other_scope(job);
	bool is_new = !(row->etag && *row->etag) && *job->etag;

	/* A batch that finds nothing to do writes nothing. */
	if (!job->was_released || job_is_dry(job) ||
	    !(has_other_scope || (is_new && !job->run->batch)))
		return true;
	row->etag = job->etag;
	row->service = has_other_scope ? job->run->id_scope : row->service;
	row->serial = job->serial;
	row->operator= job->run->who.operator_name;
	row->station = job->run->who.station;
	row->updated_ms = clock_wall_ms();
	return (journal_is_in_transaction(journal) || journal_begin(journal, err)) &&
	       journal_device_put(journal, row, err);
}

/* It is what the profile wants, but not what the device registered with: that is taken over, and shown anew. */
static bool take_over_changed(struct job *job, struct muster_error *err)
{
	job->was_released = job->created = false;
	free(TAKE_PTR(job->hub));
	return resume_forget_verification(job, err);
}

/* Where no etag is known it is ours alone, by the answer to its sending. */
static bool was_written_since_verified(const struct job *job, const char *etag)
{
	const char *attempt = dps_enrollment_attempt(job->found), *before = job->etag_before;

	if (job->was_released || !job->verified)
		return false;
	if (before)
		return !etag || strcmp(etag, before) != 0;
	return !attempt || strcmp(attempt, job->attempt_id) != 0;
}

static bool keep_confirmation(struct job *job, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();
	const char *etag = json_text(job->found, "etag");
	const char *attempt = dps_enrollment_attempt(job->found);
	bool is_over = false, is_changed;

	/* The attempt ID tells a lost answer to our own sending from somebody else's enrollment. */
	if (attempt && strcmp(attempt, job->attempt_id) == 0 && job->may_exist)
		job->created = true;
	/* What can register no more stays as it is known. */
	if (job->was_released && !expiry_is_over(job, &is_over, err))
		return false;
	if (was_written_since_verified(job, etag) && !forget_earlier_verification(job, err))
		return false;
	is_changed = job->was_released && !is_over && was_changed_since(job, etag);
	if (is_changed && !take_over_changed(job, err))
		return false;
	if (job->is_asked_late && !is_changed)
		job->was_released = false;
	free(job->etag);
	job->etag = strdup(etag ? etag : "");
	if (!job->etag)
		return muster_fail_memory(err);
	if (!is_over && !record_found(job, err))
		return false;
	if (job->was_released || job_is_dry(job))
		return true;
	if (!body || !json_add_bool(body, "confirmed", true) ||
	    !json_add_bool(body, "adopted", !job->created) || !json_add_text(body, "etag", etag))
		return muster_fail_memory(err);
	return job_record(job, JOURNAL_OUTCOME, STAGE_CONFIRM, TAKE_PTR(body), err) &&
	       job_put_row(job, JOURNAL_WORKING, STAGE_CONFIRM, CAUSE_NONE, err);
}

bool confirm_compare(struct job *job, struct muster_error *err)
{
	CLEANUP(text_done) struct text differences = TEXT_MAX(64 * 1024);

	if (!job->found)
		return true;
	if (!dps_enrollment_compare(job->enrollment, job->found, job->mechanism, &differences, err))
		return false;
	cJSON_Delete(TAKE_PTR(job->mechanism));
	return differences.length > 0 ? fail_different(job, &differences, err)
				      : keep_confirmation(job, err);
}
