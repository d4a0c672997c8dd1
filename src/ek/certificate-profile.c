/* The TCG EK Credential Profile (2.x, 3.2): what an EK certificate has to be beside well-formed and signed. */
#include "muster/ek-trust.h"

#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>

#include "ek-internal.h"

DEFINE_FREEP(EVP_PKEY_freep, EVP_PKEY *, EVP_PKEY_free)
DEFINE_FREEP(EXTENDED_KEY_USAGE_freep, EXTENDED_KEY_USAGE *, EXTENDED_KEY_USAGE_free)

#define OID_EK_CERTIFICATE "2.23.133.8.1"

/* -- The key in it --------------------------------------------------------------------------------------------- */

static bool check_key(const X509 *certificate, struct ek_findings *findings)
{
	ERR_set_mark();
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = ek_certificate_key(certificate);
	ERR_pop_to_mark();
	if (!key) {
		ek_find(findings, "profile", EK_REFUSED, CAUSE_EK_CERTIFICATE_INVALID,
			"the certificate's key cannot be read");
		return false;
	}
	ek_check_certified_strength(key, findings);
	return true;
}

/* -- What it may be used for ------------------------------------------------------------------------------------ */

static bool may_sign(X509 *certificate)
{
	uint32_t usage = X509_get_key_usage(certificate);
	return usage != UINT32_MAX && (usage & KU_KEY_CERT_SIGN);
}

static void check_key_usage(X509 *certificate, struct ek_findings *findings)
{
	uint32_t usage = X509_get_key_usage(certificate);
	uint32_t wanted = KU_KEY_ENCIPHERMENT | KU_KEY_AGREEMENT;
	if (usage == UINT32_MAX)
		ek_find(findings, "profile", EK_WARNED, CAUSE_EK_CERTIFICATE_KEY_USAGE,
			"the certificate says nothing of its key's usage");
	else if (!(usage & wanted))
		ek_find(findings, "profile", EK_REFUSED, CAUSE_EK_CERTIFICATE_KEY_USAGE,
			"the certificate's key usage has neither key encipherment nor key agreement");
}

static bool has_ek_purpose(const X509 *certificate)
{
	CLEANUP(EXTENDED_KEY_USAGE_freep)
	EXTENDED_KEY_USAGE *purposes = X509_get_ext_d2i(certificate, NID_ext_key_usage, NULL, NULL);
	char text[64];
	for (int i = 0; i < sk_ASN1_OBJECT_num(purposes); i++)
		if (OBJ_obj2txt(text, sizeof(text), sk_ASN1_OBJECT_value(purposes, i), 1) > 0 &&
		    strcmp(text, OID_EK_CERTIFICATE) == 0)
			return true;
	return false;
}

static void check_usage(X509 *certificate, struct ek_findings *findings)
{
	if (X509_get_extension_flags(certificate) & EXFLAG_INVALID)
		ek_find(findings, "profile", EK_REFUSED, CAUSE_EK_CERTIFICATE_EXTENSION,
			"an extension of the certificate cannot be read");
	else if (X509_get_extension_flags(certificate) & EXFLAG_CA)
		ek_find(findings, "profile", EK_REFUSED, CAUSE_EK_CERTIFICATE_CA,
			"the certificate is that of an authority, not of an endorsement key");
	else if (may_sign(certificate))
		ek_find(findings, "profile", EK_REFUSED, CAUSE_EK_CERTIFICATE_SIGNS,
			"the certificate's key usage lets its key sign certificates");
	else if (!has_ek_purpose(certificate))
		ek_find(findings, "profile", EK_REFUSED, CAUSE_EK_CERTIFICATE_PURPOSE,
			"the certificate has not the extended key usage " OID_EK_CERTIFICATE
			" of an EK certificate");
	else
		check_key_usage(certificate, findings);
}

/* -- Names and dates -------------------------------------------------------------------------------------------- */

static void check_names(const struct ek_certificate_info *info, struct ek_findings *findings)
{
	const char *vendor = ek_vendor_name(info->manufacturer);
	if (!info->manufacturer[0])
		ek_find(findings, "profile", EK_REFUSED, CAUSE_EK_CERTIFICATE_NAMES,
			"the certificate's alternative name has no TPM manufacturer");
	else if (!vendor)
		ek_find(findings, "profile", EK_WARNED, CAUSE_EK_CERTIFICATE_NAMES,
			"the certificate names the TPM manufacturer '%s', which is not in the TCG's "
			"registry",
			PRINTABLE(info->manufacturer));
	else
		ek_find(findings, "profile", EK_PASSED, CAUSE_NONE,
			"made by %s, model '%s', version '%s'", vendor, PRINTABLE(info->model),
			PRINTABLE(info->version));
}

static void check_dates(const X509 *certificate, const struct ek_certificate_info *info,
			const struct ek_terms *terms, struct ek_findings *findings)
{
	time_t now = (time_t)(terms->now_ms / 1000);
	int begins = X509_cmp_time(X509_get0_notBefore(certificate), &now);
	int ends = X509_cmp_time(X509_get0_notAfter(certificate), &now);
	if (begins == 0 || ends == 0)
		ek_find(findings, "profile", EK_REFUSED, CAUSE_EK_CERTIFICATE_INVALID,
			"the certificate's dates cannot be read");
	else if (begins > 0 || ends < 0)
		ek_find(findings, "profile", terms->allow_expired ? EK_WARNED : EK_REFUSED,
			begins > 0 ? CAUSE_EK_CERTIFICATE_NOT_YET : CAUSE_EK_CERTIFICATE_EXPIRED,
			"the certificate is valid from %s to %s", info->not_before,
			info->not_after);
}

void ek_check_certificate(X509 *certificate, const struct ek_terms *terms,
			  struct ek_findings *findings)
{
	struct ek_certificate_info info;
	struct muster_error err;
	if (!ek_certificate_describe(certificate, &info, &err)) {
		ek_find_error(findings, "profile", EK_REFUSED, &err);
		return;
	}
	if (!check_key(certificate, findings))
		return;
	ERR_set_mark();
	check_usage(certificate, findings);
	check_names(&info, findings);
	check_dates(certificate, &info, terms, findings);
	ERR_pop_to_mark();
}
