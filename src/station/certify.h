/* Certificates by a key in a token: lint, announce, sign, record, write. Private to the station. */
#pragma once

#include "custody.h"

/* -- Before anything is touched -------------------------------------------------------------------------------- */

bool certify_check_output(const struct station_certificate_output *output, struct muster_error *err)
	MUST_CHECK;
bool certify_check_terms(const struct station_certificate_terms *terms, struct muster_error *err)
	MUST_CHECK;
/* As far as the terms say it. */
struct pki_plan certify_plan(const struct station_certificate_terms *terms);

/* -- The certificate --------------------------------------------------------------------------------------------- */

/* The signer's key is the plan's issuer_key, or its key. */
bool certify_make(struct custody *custody, const struct pki_plan *plan,
		  const struct custody_key *signer, X509 **ret_certificate,
		  struct muster_error *err) MUST_CHECK;
/* Its parts, for who makes many; both ride in a transaction. The announcement has to be on disk before the signature is
 * asked for. */
bool certify_announce(struct custody *custody, const struct pki_linted *linted,
		      const struct bytes *signer_id, struct muster_error *err) MUST_CHECK;
/* `device`: of whom many are made, else NULL. */
struct certify_device {
	const char *registration_id, *terms, *production;
	const struct bytes *key_id;
	bool is_secondary;
};
bool certify_keep(struct custody *custody, const struct bytes *certificate,
		  const struct bytes *signer_id, const struct certify_device *device,
		  struct muster_error *err) MUST_CHECK;
/* Describes it and writes its files. `issuers`: PEM of the certificates above it, or NULL. */
bool certify_deliver(const struct station_certificate_output *output, const X509 *certificate,
		     const struct bytes *issuers, cJSON *result, struct muster_error *err)
	MUST_CHECK;
