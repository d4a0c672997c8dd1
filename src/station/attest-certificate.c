/* What certifies the device's keys: a certificate for each, self-signed or issued, and a second one of the primary key where
 * the profile wants that. */
#include "steps.h"

#include <stdio.h>
#include <stdlib.h>

#include "certificate-terms.h"
#include "issuer.h"
#include "muster/encoding.h"
#include "muster/json.h"
#include "repeat.h"
#include "token.h"

/* Nothing of another job comes between this and the record of the key. */
static bool check_repeated(const struct job *job, const struct attest_key *key,
			   struct muster_error *err)
{
	const struct attest_key *keys = job->keys;
	char whose[160];

	if (bytes_equal(&keys[ATTEST_PRIMARY].spki, &keys[ATTEST_SECONDARY].spki))
		return muster_fail(err, CAUSE_KEY_REPEATED,
				   "the token made the same key a second time");
	snprintf(whose, sizeof(whose), "device '%s'", PRINTABLE(job->registration_id));
	return repeat_check(job->run->journal, &key->spki, whose, err);
}

/* Who is issued a certificate shows that the private half is there; self-signing shows it by itself. */
static bool prove_possession(const struct pki_plan *plan, struct bytes *ret_request,
			     struct muster_error *err)
{
	CLEANUP(X509_REQ_freep) X509_REQ *request = NULL;

	bytes_done(ret_request);
	return !plan->issuer_key || (pki_request_make(plan->key, plan->subject, &request, err) &&
				     pki_request_der(request, ret_request, err));
}

/* Signs one certificate for the plan's days. */
static bool certify_for(const struct pki_plan *plan, int64_t days, struct bytes *ret_der,
			struct muster_error *err)
{
	CLEANUP(X509_freep) X509 *certificate = NULL;
	struct pki_plan own = *plan;

	own.valid_days = (unsigned)days;
	return pki_certificate_make(&own, &certificate, err) &&
	       pki_certificate_der(certificate, ret_der, err);
}

/* With the primary certificate comes a secondary one of the same key, where that is wanted. */
static bool certify_key(struct job *job, struct pki_plan *plan, enum attest_which which,
			struct muster_error *err)
{
	const struct profile *profile = &job->run->profile;
	struct attest_key *key = &job->keys[which];
	struct bytes *second = &job->keys[ATTEST_SECONDARY].certificate;
	const int64_t days[ATTEST_KEYS] = { profile->x509.valid_days,
					    profile->x509.secondary_valid_days };

	plan->key = key->key;
	cJSON_Delete(TAKE_PTR(key->terms));
	if (!check_repeated(job, key, err) || !prove_possession(plan, &key->request, err) ||
	    !certificate_terms_make(job, which, plan->issuer_certificate, &key->terms, err) ||
	    !certify_for(plan, days[which], &key->certificate, err))
		return false;
	key->certificate_is_new = true;
	attest_forget_wrapped(key);
	if (attest_has_key(job, ATTEST_SECONDARY))
		return true;
	bytes_done(second);
	return days[ATTEST_SECONDARY] == 0 ||
	       certify_for(plan, days[ATTEST_SECONDARY], second, err);
}

bool attest_certificate_is_for(const struct attest_key *key, const struct bytes *spki)
{
	CLEANUP(X509_freep) X509 *certificate = NULL;
	struct muster_error ignored;

	return key->certificate.size > 0 &&
	       pki_certificate_read(key->certificate.data, key->certificate.size, "journal",
				    &certificate, &ignored) &&
	       pki_certificate_has_key(certificate, spki);
}

static bool is_to_be_certified(const struct attest_key *key)
{
	return key->spki.size > 0 && !attest_certificate_is_for(key, &key->spki);
}

static bool make_certificates(struct job *job, struct muster_error *err)
{
	const struct profile *profile = &job->run->profile;
	CLEANUP(issuer_done) struct issuer issuer = { 0 };
	CLEANUP(freep) char *subject = NULL;
	struct pki_plan plan = {
		.registration_id = job->registration_id,
		.skew_minutes = (unsigned)profile->x509.skew_minutes,
		.crl_url = profile->x509.crl_url,
		.now_ms = clock_wall_ms(),
	};

	if (!issuer_open(job, &issuer, err) ||
	    !attest_expand(job, profile->x509.subject, TEMPLATE_SUBJECT, &subject, err))
		return false;
	plan.subject = subject;
	plan.issuer_key = issuer.key;
	plan.issuer_certificate = issuer.certificate;
	for (size_t i = 0; i < ATTEST_KEYS; i++)
		if (is_to_be_certified(&job->keys[i]) && !certify_key(job, &plan, i, err))
			return false;
	return true;
}

static bool add_der(cJSON *body, const char *name, const struct bytes *der)
{
	CLEANUP(freep) char *text = base64_encode(der->data, der->size);

	return der->size == 0 || (text && json_add_text(body, name, text));
}

/* The secondary certificate stands in the entry of the key that it is for. */
static bool add_secondary(const struct job *job, enum attest_which which, cJSON *body)
{
	const struct bytes *der = &job->keys[ATTEST_SECONDARY].certificate;
	bool has_own = attest_has_key(job, ATTEST_SECONDARY);
	char digest[SHA256_HEX_SIZE];

	if (der->size == 0 || has_own != (which == ATTEST_SECONDARY))
		return true;
	return (has_own || add_der(body, "secondaryCertificate", der)) &&
	       json_add_text(body, "secondaryCertificateSha256",
			     sha256_hex(digest, der->data, der->size));
}

static bool record_key(struct job *job, enum attest_which which, struct muster_error *err)
{
	const struct attest_key *key = &job->keys[which];
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();
	char digest[SHA256_HEX_SIZE];

	if (!body || !add_der(body, "certificate", &key->certificate) ||
	    !add_der(body, "request", &key->request) || !add_secondary(job, which, body) ||
	    !attest_add_names(job, which, body) ||
	    !json_add_text(body, "publicSha256",
			   sha256_hex(digest, key->spki.data, key->spki.size)) ||
	    !json_add_text(body, "attributes", key->attributes) ||
	    !json_add_item(body, CERTIFICATE_TERMS, cJSON_Duplicate(key->terms, true)))
		return muster_fail_memory(err);
	return job_record(job, JOURNAL_OUTCOME, STAGE_ATTEST, TAKE_PTR(body), err);
}

/* Both keys in one transaction: a run finds both whole, or neither. */
static bool record_attestation(struct job *job, struct muster_error *err)
{
	for (size_t i = 0; i < ATTEST_KEYS; i++)
		if (job->keys[i].certificate_is_new && !record_key(job, i, err))
			return false;
	return job_put_row(job, JOURNAL_WORKING, STAGE_ATTEST, CAUSE_NONE, err);
}

static bool open_key(struct job *job, struct attest_key *key, struct muster_error *err)
{
	if (key->spki.size == 0)
		return true;
	key->signer = calloc(1, sizeof(*key->signer));
	if (!key->signer)
		return muster_fail_memory(err);
	token_signer_init(key->signer, job->hsm, &key->id, &key->spki);
	return pki_key_from_signer(&key->signer->signer, &key->key, err);
}

bool attest_certify(struct job *job, struct muster_error *err)
{
	struct attest_key *primary = &job->keys[ATTEST_PRIMARY];
	struct attest_key *secondary = &job->keys[ATTEST_SECONDARY];
	bool is_missing;

	if (primary->spki.size == 0)
		return true;
	if (!open_key(job, primary, err) || !open_key(job, secondary, err))
		return false;
	is_missing = is_to_be_certified(primary) || is_to_be_certified(secondary);
	if (is_missing && job_is_dry(job))
		return true;
	if (is_missing && !make_certificates(job, err) && !attest_discard_keys(job, err))
		return muster_error_prefix(err, "certifying the key of '%s'",
					   PRINTABLE(job->registration_id));
	sha256_hex(job->key_digest, primary->certificate.data, primary->certificate.size);
	return !is_missing || record_attestation(job, err);
}

bool attest_certificate_store_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	const struct attest_key *key = &job->keys[job_which(job)];
	CLEANUP(freep) char *label = attest_label(job, job->registration_id);

	if (!label)
		return muster_fail_memory(err);
	worker_request_init(&request, WORKER_HSM_CERTIFICATE_STORE);
	worker_add_bytes(&request, FIELD_KEY_ID, key->id.data, key->id.size);
	worker_add_text(&request, FIELD_LABEL, label);
	worker_add_bytes(&request, FIELD_CERTIFICATE, key->certificate.data, key->certificate.size);
	return job_ask(job, job->hsm, &request, err);
}
