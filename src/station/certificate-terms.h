/* What a profile says of a key and its certificates, kept with them in the journal: a device that is taken up again is not enrolled
 * with one that was made by other terms. Private to the station. */
#pragma once

#include "job.h"

/* Where they stand in the entry of a key. */
#define CERTIFICATE_TERMS "certificateTerms"

/* The terms of the key and of what certifies it, in words: {"keyType", "subject", "validDays", ...}. `issuer` is NULL where the key
 * signs for itself. */
bool certificate_terms_make(const struct job *job, enum attest_which which, const X509 *issuer,
			    cJSON **ret_terms, struct muster_error *err) MUST_CHECK;
/* What an earlier run made and recorded, held against the present profile. Where the terms differ, keys and certificates are made
 * anew; CAUSE_CERTIFIED_OTHERWISE where they are in use, or may be. Of a journal without terms nothing is asked. */
bool certificate_terms_check(struct job *job, struct muster_error *err) MUST_CHECK;
/* The key that was certified may be what the device has, or what is enrolled or will be: another does not take its place. */
bool certificate_terms_in_use(const struct job *job, bool *ret_is, struct muster_error *err)
	MUST_CHECK;
