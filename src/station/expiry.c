#include "expiry.h"

#include <string.h>

#include "muster/log.h"

enum { DAY_MS = 24 * 60 * 60 * 1000, EXPIRY_WARNING_DAYS = 30 };

static void take_begin(struct validity *validity, const struct pki_certificate_info *info)
{
	if (validity->until[0] && info->not_before_ms <= validity->from_ms)
		return;
	memcpy(validity->from, info->not_before, RFC3339_SIZE);
	validity->from_ms = info->not_before_ms;
}

static void take_end(struct validity *validity, const struct pki_certificate_info *info)
{
	if (validity->until[0] && info->not_after_ms >= validity->until_ms)
		return;
	memcpy(validity->until, info->not_after, RFC3339_SIZE);
	validity->until_ms = info->not_after_ms;
}

static bool read_one(const struct bytes *der, struct validity *validity, struct muster_error *err)
{
	CLEANUP(pki_certificate_info_done) struct pki_certificate_info info = { 0 };
	CLEANUP(X509_freep) X509 *certificate = NULL;

	if (!pki_certificate_read(der->data, der->size, "the device's certificate", &certificate,
				  err) ||
	    !pki_certificate_info(certificate, &info, err))
		return false;
	take_begin(validity, &info);
	take_end(validity, &info);
	return true;
}

bool expiry_read(const struct job *job, struct validity *ret_validity, struct muster_error *err)
{
	*ret_validity = (struct validity){ 0 };
	for (size_t i = 0; i < ATTEST_KEYS; i++)
		if (job->keys[i].certificate.size > 0 &&
		    !read_one(&job->keys[i].certificate, ret_validity, err))
			return false;
	return true;
}

static bool fail_early(const struct job *job, const struct validity *validity, int64_t now,
		       struct muster_error *err)
{
	char when[RFC3339_SIZE];

	return muster_fail(
		err, CAUSE_CERTIFICATE_NOT_YET,
		"the certificate of device '%s' is not valid before %s, and this station has %s",
		PRINTABLE(job->registration_id), validity->from, rfc3339_format(when, now));
}

bool expiry_check(const struct job *job, struct muster_error *err)
{
	int64_t now = clock_wall_ms();
	struct validity validity;

	/* To look into a certificate that was just made costs a batch of them much. */
	if (job->keys[ATTEST_PRIMARY].certificate_is_new)
		return true;
	if (!expiry_read(job, &validity, err))
		return false;
	if (!validity.until[0])
		return true;
	if (validity.until_ms <= now)
		return muster_fail(
			err, CAUSE_CERTIFICATE_EXPIRED,
			"the certificate of device '%s' expired at %s, before it was sent",
			PRINTABLE(job->registration_id), validity.until);
	if (validity.from_ms - now > CLOCK_SKEW_MAX_MS)
		return fail_early(job, &validity, now, err);
	if (job_is_absent(job) && validity.until_ms - now <= (int64_t)EXPIRY_WARNING_DAYS * DAY_MS)
		log_warning("the certificate of device '%s' expires at %s, going on",
			    PRINTABLE(job->registration_id), validity.until);
	return true;
}

static bool is_over(const struct validity *validity)
{
	return validity->until[0] && validity->until_ms <= clock_wall_ms();
}

bool expiry_is_over(const struct job *job, bool *ret_is_over, struct muster_error *err)
{
	struct validity validity;

	if (!expiry_read(job, &validity, err))
		return false;
	*ret_is_over = is_over(&validity);
	return true;
}

bool expiry_tell(const struct job *job, struct muster_error *err)
{
	struct validity validity;

	if (!expiry_read(job, &validity, err))
		return false;
	if (is_over(&validity))
		log_warning(
			"[E%u] a certificate of device '%s' expired at %s, and it cannot register with that "
			"one; muster retire, then muster provision, make another, going on",
			CAUSE_CERTIFICATE_EXPIRED, PRINTABLE(job->registration_id), validity.until);
	return true;
}

bool expiry_is_cause(enum muster_cause cause)
{
	return cause == CAUSE_CERTIFICATE_EXPIRED || cause == CAUSE_CERTIFICATE_NOT_YET;
}
