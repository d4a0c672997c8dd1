#include "tpm-terms.h"

#include "muster/clock.h"

static const enum ek_certificate_need needs[] = {
	[PROFILE_EK_REQUIRED] = EK_CERTIFICATE_REQUIRED,
	[PROFILE_EK_OPTIONAL] = EK_CERTIFICATE_OPTIONAL,
	[PROFILE_EK_IGNORE] = EK_CERTIFICATE_IGNORED,
};

static const enum ek_revocation revocations[] = {
	[PROFILE_REVOCATION_OFF] = EK_REVOCATION_OFF,
	[PROFILE_REVOCATION_IF_PRESENT] = EK_REVOCATION_IF_PRESENT,
	[PROFILE_REVOCATION_REQUIRED] = EK_REVOCATION_REQUIRED,
};

bool tpm_terms_load(const struct profile *profile, const char *roots, const char *crls,
		    struct tpm_terms *ret_terms, struct muster_error *err)
{
	CLEANUP(tpm_terms_done)
	struct tpm_terms terms = {
		.need = EK_CERTIFICATE_OPTIONAL,
		.prove = true,
		.terms = { .revocation = EK_REVOCATION_IF_PRESENT, .now_ms = clock_wall_ms() },
	};

	CLEANUP(profile_report_done) struct profile_report ignored = { 0 };

	if (profile) {
		terms.need = needs[profile->tpm.certificate];
		terms.prove = profile->tpm.prove;
		terms.fetch = profile->tpm.fetch;
		terms.terms.revocation = revocations[profile->tpm.revocation];
		terms.terms.allow_expired = profile->tpm.allow_expired;
		roots = roots ? roots : profile->tpm.roots;
		crls = crls ? crls : profile->tpm.crls;
	}
	if (crls && !roots)
		return muster_fail(
			err, CAUSE_USAGE,
			"--crl needs --roots: revocation lists count only for certificates "
			"that chain to a root");
	if ((roots && !ek_trust_load(roots, crls, &terms.trust, err)) ||
	    (terms.fetch && !config_load(&terms.config, &ignored, err)))
		return false;
	terms.terms.trust = terms.trust;
	*ret_terms = terms;
	terms = (struct tpm_terms){ 0 };
	return true;
}

void tpm_terms_done(struct tpm_terms *terms)
{
	ek_trust_free(terms->trust);
	config_done(&terms->config);
	*terms = (struct tpm_terms){ 0 };
}
