/* Who issues a device's certificate: a key in the device's own token or in another, and its certificate. Private to the
 * station. */
#pragma once

#include "job.h"
#include "token.h"

/* Does not move: the signer points into it. Zero when the profile has no issuer. */
struct issuer {
	struct token_signer signer;
	struct bytes id, spki;
	EVP_PKEY *key;
	X509 *certificate;
};

/* From `file`, which has what was approved, or is read now. */
bool issuer_read_file(const char *path, struct bytes *file, X509 **ret_certificate,
		      struct muster_error *err) MUST_CHECK;
/* Into the run, unless it is there. */
bool issuer_read_certificate(struct run *run, struct muster_error *err) MUST_CHECK;
/* Whether it is valid as long as what the profile has it issue: CAUSE_ISSUER_ENDS_FIRST. */
bool issuer_check_days(const X509 *certificate, const struct profile *profile,
		       struct muster_error *err) MUST_CHECK;
/* Another token than the device's is opened once for all jobs of a run, with the PIN that the issuer's URI names. Blocks
 * up to the deadlines of opening and logging in. */
bool issuer_open(struct job *job, struct issuer *ret_issuer, struct muster_error *err) MUST_CHECK;
void issuer_done(struct issuer *issuer);
