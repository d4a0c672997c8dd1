/* Is the key that the TPM shows in this chip, and is it still the same chip? Asked before anything is enrolled. */
#include "steps.h"

#include <assert.h>

bool tpm_prove_applies(const struct job *job)
{
	return tpm_applies(job) && job->run->tpm_terms.prove;
}

/* -- Possession --------------------------------------------------------------------------------------------- */

static bool has_persistent_srk(const struct job *job)
{
	struct ek_public srk;
	struct muster_error ignored;
	bool found;

	return ek_holdings_public(&job->holdings, SRK_HANDLE, &found, &srk, &ignored) && found &&
	       ek_check_srk(&srk, &ignored);
}

/* A chip that was swapped fails in many ways; that it was is the reason to give, so the roll is called first. */
static bool put_off(struct job *job, const struct muster_error *outcome, struct muster_error *err)
{
	*err = *outcome;
	if (!worker_is_alive(job->tpm))
		return false;
	job->proof_failure = *outcome;
	job_go_to(job, "tpm-roll-call");
	return true;
}

/* What follows travels in a session that only the holder of the key can open. */
bool tpm_session_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };

	/* The judgement on the key and its certificate has come to its end. */
	assert(job->has_ek && !job->needs_fetch && !job->needs_templates);
	proof_session_request(&job->ek, &request);
	return job_ask(job, job->tpm, &request, err);
}

bool tpm_session_finish(struct job *job, const struct muster_error *outcome,
			struct muster_error *err)
{
	return outcome->code == MUSTER_OK || put_off(job, outcome, err);
}

/* The SRK is made anyway when the device is to register; otherwise an attestation key is quicker. */
bool tpm_witness_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	bool registers = job->run->profile.verify != PROFILE_VERIFY_NONE;

	job->proof.witness = registers || has_persistent_srk(job) ? PROOF_BY_SRK : PROOF_BY_AK;
	proof_witness_request(job->proof.witness, &request);
	return job_ask(job, job->tpm, &request, err);
}

bool tpm_witness_finish(struct job *job, const struct muster_error *outcome,
			struct muster_error *err)
{
	if (outcome->code != MUSTER_OK)
		return put_off(job, outcome, err);
	return proof_challenge(&job->proof, &job->ek, &job->reply, &job->proof_request, err);
}

bool tpm_prove_start(struct job *job, struct muster_error *err)
{
	return job_ask(job, job->tpm, &job->proof_request, err);
}

bool tpm_prove_finish(struct job *job, const struct muster_error *outcome, struct muster_error *err)
{
	struct muster_error failure;

	if (outcome->code != MUSTER_OK)
		return put_off(job, outcome, err);
	if (!proof_check(&job->proof, &job->reply, &failure))
		return put_off(job, &failure, err);
	ek_find(&job->findings, "possession", EK_PASSED, CAUSE_NONE,
		"the TPM holds the private half of its endorsement key (over %s)",
		job->proof.witness == PROOF_BY_SRK ? "the storage root key" : "an attestation key");
	return true;
}

/* -- The same chip ------------------------------------------------------------------------------------------- */

bool tpm_roll_call_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };

	roll_call_request(&request);
	return job_ask(job, job->tpm, &request, err);
}

bool tpm_roll_call_finish(struct job *job, const struct muster_error *outcome,
			  struct muster_error *err)
{
	struct ek_witness now;

	if (outcome->code != MUSTER_OK) {
		*err = *outcome;
		return muster_error_prefix(err, "asking whether it is still the same TPM");
	}
	roll_call_take(&job->reply, &now);
	if (!ek_witness_check(&job->first_seen, &now, err))
		return false;
	return job->proof_failure.code == MUSTER_OK || proof_fail(&job->proof_failure, err);
}

bool tpm_still_there_applies(const struct job *job)
{
	return tpm_applies(job) && enroll_put_applies(job);
}
