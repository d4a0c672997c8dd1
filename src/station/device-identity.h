/* What a device proves its identity with, opened outside of a job: a certificate and its key, in files or in a token, or a
 * symmetric key. A TPM is the job's own to open. Private to the station. */
#pragma once

#include "custody.h"
#include "muster/station-verify.h"

/* Does not move: the signer points into it. */
struct device_identity {
	X509 *certificate;
	EVP_PKEY *key;
	struct secret symmetric_key; /* raw */

	struct custody custody; /* the token, while it is open */
	struct bytes id, spki;
	struct token_signer signer;
};
void device_identity_done(struct device_identity *identity);

/* Which kind the material is of: CAUSE_OPTIONS_CONTRADICT for two kinds or none. */
bool device_identity_kind(const struct station_material *material,
			  enum profile_attestation *ret_kind, struct muster_error *err) MUST_CHECK;
/* Everything but what is in a token, which is opened. Blocks up to the deadlines of opening and logging in. */
bool device_identity_open(const struct station_material *material, const char *registration_id,
			  struct device_identity *identity, struct muster_error *err) MUST_CHECK;
/* What is in the token, if one was opened. Of several certificates that match, the one that has one of the digests. */
bool device_identity_find(const struct station_material *material, const char *registration_id,
			  const struct bytes *digests, struct device_identity *identity,
			  struct muster_error *err) MUST_CHECK;
