/* What the service takes, and the device then fails with. */
#include <string.h>

#include "muster/clock.h"

#include "document-internal.h"

static bool time_of(const ASN1_TIME *value, int64_t *ret_ms)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(value, &tm) != 1)
		return false;
	*ret_ms = (int64_t)timegm(&tm) * 1000;
	return true;
}

static void doubt_validity(struct check *check, const X509 *certificate)
{
	char text[RFC3339_SIZE];
	int64_t ms;

	if (time_of(X509_get0_notAfter(certificate), &ms) && ms < check->rules->now_ms)
		check_problem(check, "the certificate expired at %s", rfc3339_format(text, ms));
	else if (time_of(X509_get0_notBefore(certificate), &ms) && ms > check->rules->now_ms)
		check_problem(check, "the certificate is valid from %s only",
			      rfc3339_format(text, ms));
}

static void doubt_name(struct check *check, const X509 *certificate)
{
	const char *id = document_text(check->document, "registrationId");
	char name[DPS_REGISTRATION_ID_MAX + 1] = "";

	X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name,
				  sizeof(name));
	if (id && !text_equal_folded(name, id))
		check_problem(check,
			      "the certificate has the common name '%s', and the device's "
			      "registration ID is '%s'",
			      PRINTABLE(name), PRINTABLE(id));
}

void doubt_certificate(const struct check *check, const X509 *certificate)
{
	struct check doubt = *check;

	/* An authority's is not the device's. */
	if (!check->rules->doubts || check->depth < 2 ||
	    strcmp(check->path[check->depth - 2], "clientCertificates") != 0)
		return;
	doubt.problems = check->rules->doubts;
	doubt_validity(&doubt, certificate);
	doubt_name(&doubt, certificate);
}
