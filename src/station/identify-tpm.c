/* Who is it: the endorsement key of a TPM and its certificate. */
#include "steps.h"

#include <string.h>

#include "muster/encoding.h"
#include "muster/json.h"

bool tpm_applies(const struct job *job)
{
	return job->run->profile.attestation == PROFILE_TPM;
}

bool tpm_ek_is_missing(const struct job *job)
{
	return tpm_applies(job) && !job->has_ek;
}

bool tpm_open_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request;

	worker_request_init(&request, WORKER_TPM_OPEN);
	if (!worker_spawn("muster-tpm-worker", NULL, &job->tpm, err))
		return false;
	worker_add_text(&request, FIELD_TCTI, job->tcti);
	return job_ask(job, job->tpm, &request, err);
}

bool tpm_open_finish(struct job *job, const struct muster_error *outcome, struct muster_error *err)
{
	if (outcome->code == MUSTER_OK)
		return true;
	*err = *outcome;
	return muster_error_prefix(err, "opening the TPM at '%s'", PRINTABLE(job->tcti));
}

/* -- The endorsement key --------------------------------------------------------------------------------- */

bool tpm_ek_read_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request;

	worker_request_init(&request, WORKER_TPM_READ_PUBLIC);
	worker_add_u64(&request, FIELD_HANDLE, EK_HANDLE);
	return job_ask(job, job->tpm, &request, err);
}

static bool take_ek(struct job *job, struct muster_error *err)
{
	const struct bytes *public = worker_bytes(&job->reply, FIELD_PUBLIC);
	uint8_t digest[SHA256_SIZE];

	if (!ek_public_parse(public->data, public->size, &job->ek, err) ||
	    !ek_check_dps(&job->ek, err))
		return muster_error_prefix(err, "looking at the endorsement key of the TPM at '%s'",
					   PRINTABLE(job->tcti));
	ek_public_digest(&job->ek, digest);
	hex_encode(job->key_digest, digest, sizeof(digest));
	job->has_ek = true;
	return true;
}

bool tpm_ek_read_finish(struct job *job, const struct muster_error *outcome,
			struct muster_error *err)
{
	if (outcome->code != MUSTER_OK) {
		*err = *outcome;
		return muster_error_prefix(err, "reading the endorsement key");
	}
	if (worker_u64(&job->reply, FIELD_FOUND))
		return take_ek(job, err);
	if (!job->run->profile.tpm.persist)
		return muster_fail(
			err, CAUSE_EK_UNSUPPORTED,
			"the TPM at '%s' has no endorsement key at 0x%08x and the profile makes none",
			PRINTABLE(job->tcti), EK_HANDLE);
	if (job_is_dry(job))
		return muster_fail(
			err, CAUSE_EK_UNSUPPORTED,
			"the TPM at '%s' has no endorsement key at 0x%08x; a real run would make and persist it",
			PRINTABLE(job->tcti), EK_HANDLE);
	return true;
}

bool tpm_ek_make_intend(struct job *job, cJSON *body, struct muster_error *err)
{
	char handle[16];

	snprintf(handle, sizeof(handle), "0x%08x", EK_HANDLE);
	return (json_add_text(body, "handle", handle) &&
		json_add_text(body, "template", "TCG L-1 RSA-2048") &&
		json_add_text(body, "tpm", job->tcti)) ||
	       muster_fail_memory(err);
}

bool tpm_ek_make_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request;

	worker_request_init(&request, WORKER_TPM_EK_CREATE);
	worker_add_u64(&request, FIELD_HANDLE, EK_HANDLE);
	return job_ask(job, job->tpm, &request, err);
}

bool tpm_ek_make_finish(struct job *job, const struct muster_error *outcome,
			struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();

	if (outcome->code != MUSTER_OK) {
		*err = *outcome;
		return muster_error_prefix(err, "making and persisting the endorsement key");
	}
	if (!take_ek(job, err))
		return false;
	job->ek_was_created = true;
	if (!body || !json_add_text(body, "step", "tpm-ek-make") ||
	    !json_add_text(body, "ekSha256", job->key_digest))
		return muster_fail_memory(err);
	return job_record(job, JOURNAL_OUTCOME, STAGE_IDENTIFY, TAKE_PTR(body), err);
}

/* -- Its certificate --------------------------------------------------------------------------------------- */

bool tpm_certificate_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request;

	if (job->run->profile.tpm.certificate == PROFILE_EK_IGNORE)
		return true;
	worker_request_init(&request, WORKER_TPM_NV_READ);
	worker_add_u64(&request, FIELD_HANDLE, EK_CERTIFICATE_INDEX);
	return job_ask(job, job->tpm, &request, err);
}

static bool check_certificate(struct job *job, const struct bytes *nv, struct muster_error *err)
{
	CLEANUP(X509_freep) X509 *certificate = NULL;

	return ek_certificate_parse(nv->data, nv->size, &certificate, &job->ek_certificate, err) &&
	       ek_certificate_check_key(certificate, &job->ek, err);
}

bool tpm_certificate_finish(struct job *job, const struct muster_error *outcome,
			    struct muster_error *err)
{
	enum profile_ek_certificate policy = job->run->profile.tpm.certificate;
	bool found = worker_u64(&job->reply, FIELD_FOUND);

	if (policy == PROFILE_EK_IGNORE)
		return true;
	if (outcome->code != MUSTER_OK) {
		*err = *outcome;
		return muster_error_prefix(err, "reading the EK certificate");
	}
	if (found && check_certificate(job, worker_bytes(&job->reply, FIELD_DATA), err))
		return true;
	if (found && (err->cause != CAUSE_EK_CERTIFICATE_MISSING || policy == PROFILE_EK_REQUIRED))
		return muster_error_prefix(err, "looking at the EK certificate");
	if (policy == PROFILE_EK_REQUIRED)
		return muster_fail(err, CAUSE_EK_CERTIFICATE_MISSING,
				   "the TPM at '%s' holds no EK certificate at NV index 0x%08x",
				   PRINTABLE(job->tcti), EK_CERTIFICATE_INDEX);
	return true;
}
