/* What a profile, or a person at the bench, asks of a TPM. Private to the station. */
#pragma once

#include "muster/config.h"
#include "muster/ek-judge.h"
#include "muster/profile.h"

struct tpm_terms {
	enum ek_certificate_need need;
	bool prove;
	bool fetch;           /* what the TPM does not hold may be asked of its vendor */
	struct config config; /* where; empty without `fetch` */
	struct ek_terms terms;
	struct ek_trust *trust; /* behind terms.trust */
};

/* Reads the folders. Without a profile: the defaults of one. `roots` and `crls` hold over it; all may be NULL. */
bool tpm_terms_load(const struct profile *profile, const char *roots, const char *crls,
		    struct tpm_terms *ret_terms, struct muster_error *err) MUST_CHECK;
void tpm_terms_done(struct tpm_terms *terms);
