/* What a job writes into the journal. */
#include <string.h>

#include "batch.h"

#include "muster/encoding.h"
#include "muster/json.h"
#include "steps.h"

const char *stage_name(enum stage stage)
{
	static const char *const names[] = { "identify", "attest", "enroll",
					     "confirm",  "verify", "release" };

	return names[stage];
}

bool job_record(struct job *job, enum journal_kind kind, enum stage stage, cJSON *body,
		struct muster_error *err)
{
	CLEANUP(freep) char *line = body ? json_print_line(body) : NULL;
	struct journal_entry entry = {
		.registration_id = job->registration_id,
		.at_ms = clock_wall_ms(),
		.stage = stage_name(stage),
		.kind = kind,
		.attempt = job->attempt,
		.operator= job->run->who.operator_name,
		.station = job->run->who.station,
		.body = line,
	};

	cJSON_Delete(body);
	if (!job->run->journal)
		return true;
	if (!line)
		return muster_fail_memory(err);
	if (!journal_is_in_transaction(job->run->journal) && !journal_begin(job->run->journal, err))
		return false;
	return journal_append(job->run->journal, &entry, err);
}

/* Which key stands for the device, in the journal's words. */
static const char *key_kind(const struct job *job)
{
	switch (job->run->profile.attestation) {
	case PROFILE_TPM:
		return "ek";
	case PROFILE_X509:
		return "certificate";
	case PROFILE_SYMMETRIC_KEY:
		break;
	}
	return "derived";
}

/* A device that is not here keeps what was known of its places. */
static const char *or_as_known(const struct job *job, const char *value, const char *known)
{
	return !value && job_is_absent(job) ? known : value;
}

/* What may have been enrolled there stays there, though this run did not need to know. */
static const char *service_of(const struct job *job)
{
	if (job->run->id_scope || !journal_state_is_live(job->device.state))
		return job->run->id_scope;
	return job->device.service;
}

/* What was spooled is sent by the profile that it was composed by. */
static bool is_of_former_profile(const struct job *job)
{
	return job->run->way != RUN_SYNC && job->spooled && !job->is_noted;
}

static const char *verification_of(const struct job *job, enum journal_state state)
{
	if (state != JOURNAL_RELEASED)
		return NULL;
	if (job->verified)
		return JOURNAL_VERIFIED;
	return verify_is_put_off(job) ? JOURNAL_PUT_OFF : JOURNAL_NOT_ASKED;
}

bool job_put_row(struct job *job, enum journal_state state, enum stage stage,
		 enum muster_cause cause, struct muster_error *err)
{
	const struct run *run = job->run;
	bool is_former = is_of_former_profile(job);
	char key_id[2 * 64 + 1];
	struct journal_device row = {
		.registration_id = job->registration_id,
		.serial = job->serial,
		.device_id = job->device_id ? job->device_id : job->registration_id,
		.service = service_of(job),
		.attestation = profile_attestation_word(run->profile.attestation),
		.key_kind = job->key_digest[0] ? key_kind(job) : NULL,
		.key_digest = job->key_digest[0] ? job->key_digest : NULL,
		.key_id = job->keys[ATTEST_PRIMARY].id.size > 0 &&
					  job->keys[ATTEST_PRIMARY].id.size <= 64
				  ? hex_encode(key_id, job->keys[ATTEST_PRIMARY].id.data,
					       job->keys[ATTEST_PRIMARY].id.size)
				  : NULL,
		.key_place = run->profile.attestation == PROFILE_TPM ? "tpm:0x81010001"
			     : run->profile.attestation == PROFILE_X509
				     ? or_as_known(job, run->token_text, job->device.key_place)
				     : NULL,
		.profile_name = is_former ? job->device.profile_name : run->profile.name,
		.profile_digest = is_former ? job->device.profile_digest : run->profile.digest,
		.batch = run->batch ? run->batch->manifest.digest : job->device.batch,
		.operator= run->who.operator_name,
		.station = run->who.station,
		.socket = or_as_known(job, job->socket, job->device.socket),
		.state = state,
		.stage = stage_name(stage),
		.attempt = job->attempt,
		.attempt_id = job->attempt_id,
		.cause = cause,
		.hub = job->hub,
		.verification = verification_of(job, state),
		.etag = job->etag,
		.evidence_path = job->evidence_path,
		.updated_ms = clock_wall_ms(),
	};
	char digest[SHA256_HEX_SIZE];

	if (!run->journal)
		return true;
	if (job->evidence)
		row.evidence_digest = sha256_hex(digest, job->evidence, strlen(job->evidence));
	if (!journal_is_in_transaction(run->journal) && !journal_begin(run->journal, err))
		return false;
	job->has_new_end = state != JOURNAL_WORKING;
	return journal_device_put(run->journal, &row, err);
}
