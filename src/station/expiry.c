#include "expiry.h"

#include <string.h>

#include "muster/log.h"

enum { DAY_MS = 24 * 60 * 60 * 1000, EXPIRY_WARNING_DAYS = 30 };

static bool read_one(const struct bytes *der, char text[RFC3339_SIZE], int64_t *ret_ms,
		     struct muster_error *err)
{
	CLEANUP(pki_certificate_info_done) struct pki_certificate_info info = { 0 };
	CLEANUP(X509_freep) X509 *certificate = NULL;

	if (!pki_certificate_read(der->data, der->size, "the device's certificate", &certificate,
				  err) ||
	    !pki_certificate_info(certificate, &info, err))
		return false;
	if (*ret_ms >= 0 && *ret_ms <= info.not_after_ms)
		return true;
	memcpy(text, info.not_after, RFC3339_SIZE);
	*ret_ms = info.not_after_ms;
	return true;
}

bool expiry_read(const struct job *job, char text[RFC3339_SIZE], int64_t *ret_ms,
		 struct muster_error *err)
{
	int64_t first_ms = -1;

	text[0] = '\0';
	for (size_t i = 0; i < ATTEST_KEYS; i++)
		if (job->keys[i].certificate.size > 0 &&
		    !read_one(&job->keys[i].certificate, text, &first_ms, err))
			return false;
	*ret_ms = first_ms;
	return true;
}

bool expiry_check(const struct job *job, struct muster_error *err)
{
	int64_t now = clock_wall_ms(), expires;
	char text[RFC3339_SIZE];

	/* To look into a certificate that was just made costs a batch of them much. */
	if (job->keys[ATTEST_PRIMARY].certificate_is_new)
		return true;
	if (!expiry_read(job, text, &expires, err))
		return false;
	if (!text[0])
		return true;
	if (expires <= now)
		return muster_fail(
			err, CAUSE_CERTIFICATE_EXPIRED,
			"the certificate of device '%s' expired at %s, before it was sent",
			PRINTABLE(job->registration_id), text);
	if (job_is_absent(job) && expires - now <= (int64_t)EXPIRY_WARNING_DAYS * DAY_MS)
		log_warning("the certificate of device '%s' expires at %s, going on",
			    PRINTABLE(job->registration_id), text);
	return true;
}
