#include "issuer.h"

#include <stdlib.h>

#include "brake.h"
#include "custody.h"
#include "guard.h"
#include "muster/clock.h"
#include "muster/file.h"
#include "muster/json.h"
#include "steps.h"

enum { ISSUER_FILE_MAX = 1024 * 1024 };

void issuer_done(struct issuer *issuer)
{
	EVP_PKEY_free(issuer->key);
	X509_free(issuer->certificate);
	bytes_done(&issuer->id);
	bytes_done(&issuer->spki);
}

static bool open_elsewhere(struct run *run, const char *key_uri, struct muster_error *err)
{
	struct station_custody request = { 0 };
	struct custody *custody;

	if (run->issuer_custody && worker_is_alive(run->issuer_custody->hsm))
		return true;
	if (run->issuer_custody)
		custody_done(run->issuer_custody);
	free(TAKE_PTR(run->issuer_custody));
	custody = calloc(1, sizeof(*custody));
	if (!custody)
		return muster_fail_memory(err);
	if (!custody_open(custody, &request, key_uri, CUSTODY_LOOKS, err)) {
		custody_done(custody);
		free(custody);
		return false;
	}
	run->issuer_custody = custody;
	return true;
}

static bool choose_worker(struct job *job, struct worker **ret_worker, struct muster_error *err)
{
	const char *key_uri = job->run->profile.x509.issuer_key;
	bool elsewhere = job->run->issuer_custody != NULL;

	if (!elsewhere &&
	    !token_is_elsewhere(&job->token, &job->run->module, key_uri, &elsewhere, err))
		return false;
	*ret_worker = job->hsm;
	if (!elsewhere)
		return true;
	if (!open_elsewhere(job->run, key_uri, err))
		return false;
	*ret_worker = job->run->issuer_custody->hsm;
	return true;
}

/* -- Opening -------------------------------------------------------------------------------------------------------- */

bool issuer_read_file(const char *path, struct bytes *file, X509 **ret_certificate,
		      struct muster_error *err)
{
	return (file->data || file_read(path, ISSUER_FILE_MAX, file, err)) &&
	       pki_certificate_read(file->data, file->size, path, ret_certificate, err);
}

/* Once for all devices of a run: what is looked at is what is used. */
bool issuer_read_certificate(struct run *run, struct muster_error *err)
{
	return run->issuer_certificate ||
	       issuer_read_file(run->profile.x509.issuer_certificate, &run->issuer_file,
				&run->issuer_certificate, err);
}

static bool open_key(struct job *job, struct issuer *issuer, struct muster_error *err)
{
	const struct profile *profile = &job->run->profile;
	CLEANUP(freep) char *attributes = NULL;
	struct worker *worker;

	if (!choose_worker(job, &worker, err) ||
	    !token_key_find(worker, profile->x509.issuer_key, &issuer->id, &issuer->spki,
			    &attributes, err))
		return false;
	if (!job->run->issuer_was_seen)
		guard_warn("private", profile->x509.issuer_key, attributes);
	job->run->issuer_was_seen = true;
	if (!pki_certificate_has_key(issuer->certificate, &issuer->spki))
		return muster_fail(err, CAUSE_CERTIFICATE_INVALID,
				   "the issuer's certificate '%s' is not for the issuer's key",
				   PRINTABLE(profile->x509.issuer_certificate));
	token_signer_init(&issuer->signer, worker, &issuer->id, &issuer->spki);
	return pki_key_from_signer(&issuer->signer.signer, &issuer->key, err);
}

bool issuer_open(struct job *job, struct issuer *ret_issuer, struct muster_error *err)
{
	struct run *run = job->run;

	if (!run->profile.x509.issuer_key)
		return true;
	if (!issuer_read_certificate(run, err))
		return muster_error_prefix(err, "opening the issuer");
	X509_up_ref(run->issuer_certificate);
	ret_issuer->certificate = run->issuer_certificate;
	return open_key(job, ret_issuer, err) || muster_error_prefix(err, "opening the issuer");
}

bool issuer_check_days(const X509 *certificate, const struct profile *profile,
		       struct muster_error *err)
{
	int64_t days = profile->x509.valid_days, second = profile->x509.secondary_valid_days;

	return pki_issuer_outlives(certificate, (unsigned)(second > days ? second : days),
				   clock_wall_ms(), err);
}

/* -- Before a key is made ------------------------------------------------------------------------------------------- */

bool issuer_prove_applies(const struct job *job)
{
	return job->run->profile.x509.issuer_key && !job->run->issuer_is_proven &&
	       attest_any_key_is_missing(job);
}

bool issuer_prove(struct job *job, struct muster_error *err)
{
	struct run *run = job->run;
	CLEANUP(issuer_done) struct issuer issuer = { 0 };

	run->issuer_is_proven = issuer_open(job, &issuer, err) &&
				issuer_check_days(issuer.certificate, &run->profile, err);
	/* It is that of all other devices, too. A worker that died says nothing of it. */
	if (!run->issuer_is_proven && run->brake && worker_is_alive(job->hsm))
		brake_stop(run->brake, err);
	return run->issuer_is_proven;
}
