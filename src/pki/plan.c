/* What a plan says, put together. */
#include "pki-internal.h"

#include <string.h>

static bool check_url(const char *url, struct muster_error *err)
{
	if (!text_has_prefix(url, "http://") && !text_has_prefix(url, "https://"))
		return muster_fail(err, CAUSE_CERTIFICATE_INVALID,
				   "the CRL's address '%s' is not http", PRINTABLE(url));
	for (const char *c = url; *c; c++)
		if (*c <= ' ' || *c > '~' || *c == ',' || *c == ';')
			return muster_fail(
				err, CAUSE_CERTIFICATE_INVALID,
				"the CRL's address '%s' has a character that is not for it",
				PRINTABLE(url));
	return true;
}

static bool add_crl(X509 *certificate, const struct pki_plan *plan, struct muster_error *err)
{
	CLEANUP(text_done) struct text value = TEXT_MAX(2048);

	if (!plan->crl_url)
		return true;
	text_addf(&value, "URI:%s", plan->crl_url);
	return check_url(plan->crl_url, err) && text_ok(&value, err) &&
	       pki_extension_add(certificate, plan->issuer_certificate, NID_crl_distribution_points,
				 value.data, err);
}

static bool add_constraints(X509 *certificate, const struct pki_plan *plan,
			    struct muster_error *err)
{
	CLEANUP(text_done) struct text value = TEXT_MAX(64);

	text_addf(&value, "critical,CA:%s", plan->role == PKI_AUTHORITY ? "TRUE" : "FALSE");
	if (plan->role == PKI_AUTHORITY && plan->path_length >= 0)
		text_addf(&value, ",pathlen:%d", plan->path_length);
	return text_ok(&value, err) && pki_extension_add(certificate, plan->issuer_certificate,
							 NID_basic_constraints, value.data, err);
}

static bool add_usage(X509 *certificate, const struct pki_plan *plan, struct muster_error *err)
{
	X509 *issuer = plan->issuer_certificate;

	if (plan->role == PKI_AUTHORITY)
		return pki_extension_add(certificate, issuer, NID_key_usage,
					 "critical,keyCertSign,cRLSign", err);
	return pki_extension_add(certificate, issuer, NID_key_usage, "critical,digitalSignature",
				 err) &&
	       pki_extension_add(certificate, issuer, NID_ext_key_usage, "clientAuth", err);
}

bool pki_issuer_outlives(const X509 *issuer, unsigned valid_days, int64_t now_ms,
			 struct muster_error *err)
{
	CLEANUP(pki_certificate_info_done) struct pki_certificate_info info = { 0 };
	int64_t ends_ms = now_ms + (int64_t)valid_days * 24 * 60 * 60 * 1000;

	if (!pki_certificate_info(issuer, &info, err))
		return false;
	if (info.not_before_ms > now_ms || info.not_after_ms <= now_ms)
		return muster_fail(err, CAUSE_ISSUER_ENDS_FIRST,
				   "the issuer's certificate is valid from %s to %s, not now",
				   info.not_before, info.not_after);
	/* Certificates have whole seconds. */
	return ends_ms / 1000 <= info.not_after_ms / 1000 ||
	       muster_fail(
		       err, CAUSE_ISSUER_ENDS_FIRST,
		       "the issuer's certificate ends at %s, before the %u days of what it is to "
		       "issue are over",
		       info.not_after, valid_days);
}

bool pki_plan_compose(const struct pki_plan *plan, X509 **ret_certificate, struct muster_error *err)
{
	CLEANUP(X509_NAME_freep) X509_NAME *parsed = NULL;
	CLEANUP(X509_freep) X509 *certificate = NULL;
	struct pki_certificate_base base = {
		.key = plan->key,
		.subject = plan->subject_name,
		.issuer = plan->issuer_certificate,
		.valid_days = plan->valid_days,
		.skew_minutes = plan->skew_minutes,
		.now_ms = plan->now_ms,
	};

	if (!base.subject) {
		if (!pki_name_parse(plan->subject, &parsed, err))
			return false;
		base.subject = parsed;
	}
	if (!pki_certificate_begin(&base, &certificate, err) ||
	    !add_constraints(certificate, plan, err) || !add_usage(certificate, plan, err) ||
	    !add_crl(certificate, plan, err))
		return false;
	*ret_certificate = TAKE_PTR(certificate);
	return true;
}
