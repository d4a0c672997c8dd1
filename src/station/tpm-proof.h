/* That a TPM holds the private half of the key it shows, and that it stays the same chip: the requests, and what their
 * replies mean. Used by jobs and by the doctor alike. Private to the station. */
#pragma once

#include "muster/ek-trust.h"
#include "muster/secret.h"
#include "muster/worker.h"

/* What a credential is bound to: the worker's numbers. */
enum proof_witness { PROOF_BY_SRK = 0, PROOF_BY_AK = 1 };

struct proof {
	enum proof_witness witness;
	struct secret credential;
};
void proof_done(struct proof *proof);

/* Opens the session salted to this EK, which is validated by now; first of all. */
void proof_session_request(const struct ek_public *ek, struct worker_message *ret_request);
/* Asks for the witness. */
void proof_witness_request(enum proof_witness witness, struct worker_message *ret_request);
/* Of its reply makes the challenge: a random credential for this EK and that object. */
bool proof_challenge(struct proof *proof, const struct ek_public *ek,
		     const struct worker_message *reply, struct worker_message *ret_request,
		     struct muster_error *err) MUST_CHECK;
/* CAUSE_TPM_ACTIVATION_FAILED when what came back is not the credential. */
bool proof_check(const struct proof *proof, const struct worker_message *reply,
		 struct muster_error *err) MUST_CHECK;

/* Why a proof failed on a chip that is the same as at the start: *err is the failure, and returns false. */
bool proof_fail(const struct muster_error *failure, struct muster_error *err);

void roll_call_request(struct worker_message *ret_request);
void roll_call_take(const struct worker_message *reply, struct ek_witness *ret_witness);
/* The counters and the clock of a survey, and the key that it found. */
void roll_call_of_survey(const struct worker_message *reply, const struct ek_public *ek,
			 struct ek_witness *ret_witness);
