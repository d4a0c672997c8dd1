/* What the device will show: a key pair born in the token with its certificate, or keys derived from a master. */
#include "steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "issuer.h"
#include "muster/encoding.h"
#include "muster/identity.h"
#include "muster/json.h"
#include "repeat.h"
#include "token.h"
#include "tpm-master.h"

enum { KEY_ID_SIZE = 16 };

bool token_applies(const struct job *job)
{
	return job->run->needs_hsm;
}

bool attest_x509_applies(const struct job *job)
{
	return job->run->profile.attestation == PROFILE_X509;
}

bool attest_key_is_journalled(const struct job *job)
{
	return attest_x509_applies(job) && token_applies(job) && job->key_id.size > 0 &&
	       !job->key_is_gone;
}

/* A dry run makes no key; a released device has one, or it is an error that read-back tells. */
bool attest_key_is_missing(const struct job *job)
{
	return attest_x509_applies(job) && !job_is_dry(job) && job->spki.size == 0 &&
	       !job->was_released && !job->key_is_gone && !job_is_absent(job);
}

/* Late, when the certificate is in the journal: a cut never leaves one in the token that nobody knows. Storing it again is
 * harmless. */
bool attest_store_applies(const struct job *job)
{
	return attest_x509_applies(job) && token_applies(job) && !job_is_dry(job) &&
	       !job->was_released && !job->run->profile.x509.key_leaves;
}

bool attest_derive_applies(const struct job *job)
{
	return job->run->profile.attestation == PROFILE_SYMMETRIC_KEY;
}

/* -- After a cut ---------------------------------------------------------------------------------------------- */

/* An earlier run that did not reach its end may have ended its worker in the middle of making an object. */
bool attest_token_sweep_applies(const struct job *job)
{
	return attest_key_is_journalled(job) && !job_is_dry(job) && !job->was_released;
}

bool attest_token_sweep_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };

	worker_request_init(&request, WORKER_HSM_SWEEP);
	return job_ask(job, job->hsm, &request, err);
}

/* -- The key pair ------------------------------------------------------------------------------------------ */

static bool take_key(struct job *job, struct muster_error *err)
{
	const struct bytes *spki = worker_bytes(&job->reply, FIELD_PUBLIC);
	const char *attributes = worker_text(&job->reply, FIELD_ATTRIBUTES);
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;

	if (spki->size == 0)
		return muster_fail(err, CAUSE_HSM_ANSWER_INVALID, "the token gave no public key");
	if (!pki_public_key_read(spki, &key, err) || !pki_key_check(key, err))
		return muster_error_prefix(err, "looking at the key that token '%s' made",
					   PRINTABLE(job->token.label));
	free(job->key_attributes);
	job->key_attributes = strdup(attributes ? attributes : "");
	return job->key_attributes ? bytes_copy(&job->spki, spki->data, spki->size, err)
				   : muster_fail_memory(err);
}

/* A profile does not take over a key that was made for another kind of life. */
static bool check_lives(const struct job *job, struct muster_error *err)
{
	bool may_leave = strstr(job->key_attributes, " extractable=true") != NULL;

	return may_leave == job->run->profile.x509.key_leaves ||
	       muster_fail(err, CAUSE_KEY_ATTRIBUTES,
			   "the key of device '%s' was made %s, and the profile says otherwise",
			   PRINTABLE(job->registration_id),
			   may_leave ? "to be wrapped out" : "to stay in its token");
}

bool attest_key_find_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };

	worker_request_init(&request, WORKER_HSM_KEY_FIND);
	worker_add_bytes(&request, FIELD_KEY_ID, job->key_id.data, job->key_id.size);
	return job_ask(job, job->hsm, &request, err);
}

/* The ID was journalled before the key was made: after a crash it may be there or not, or half of it. Only a key whose
 * certificate is journalled is known to be whole and is adopted; any other is swept away and made anew. */
bool attest_key_find_finish(struct job *job, const struct muster_error *outcome,
			    struct muster_error *err)
{
	if (outcome->code != MUSTER_OK) {
		*err = *outcome;
		return muster_error_prefix(err, "looking for the device's key in the token");
	}
	if (worker_u64(&job->reply, FIELD_FOUND) && job->certificate.size > 0)
		return take_key(job, err) && check_lives(job, err);
	if (job->was_released || job_is_absent(job))
		return muster_fail(
			err, CAUSE_KEY_NOT_FOUND,
			"the key that device '%s' was enrolled with is not in token '%s'",
			PRINTABLE(job->registration_id), PRINTABLE(job->token.label));
	return true;
}

bool attest_sweep_applies(const struct job *job)
{
	return attest_key_is_journalled(job) && attest_key_is_missing(job);
}

bool attest_key_sweep_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };

	worker_request_init(&request, WORKER_HSM_KEY_DESTROY);
	worker_add_bytes(&request, FIELD_KEY_ID, job->key_id.data, job->key_id.size);
	return job_ask(job, job->hsm, &request, err);
}

bool attest_key_sweep_finish(struct job *job, const struct muster_error *outcome,
			     struct muster_error *err)
{
	if (outcome->code == MUSTER_OK)
		return true;
	*err = *outcome;
	return muster_error_prefix(err, "sweeping what an earlier run left in token '%s'",
				   PRINTABLE(job->token.label));
}

bool attest_key_make_intend(struct job *job, cJSON *body, struct muster_error *err)
{
	char hex[2 * KEY_ID_SIZE + 1];
	uint8_t id[KEY_ID_SIZE];

	if (job->key_id.size == 0 &&
	    (!random_bytes(id, sizeof(id), err) || !bytes_copy(&job->key_id, id, sizeof(id), err)))
		return false;
	if (job->key_id.size != KEY_ID_SIZE)
		return muster_fail(err, CAUSE_JOURNAL_DAMAGED, "a key ID of %zu bytes",
				   job->key_id.size);
	return (json_add_text(body, "keyId", hex_encode(hex, job->key_id.data, KEY_ID_SIZE)) &&
		json_add_text(body, "keyType", job->run->profile.x509.key_type) &&
		json_add_bool(body, "leaves", job->run->profile.x509.key_leaves) &&
		json_add_text(body, "token", job->token.label) &&
		json_add_text(body, "tokenSerial", job->token.serial)) ||
	       muster_fail_memory(err);
}

bool attest_key_make_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	const struct profile *profile = &job->run->profile;
	struct identity_values values = { .serial = job->serial,
					  .registration_id = job->registration_id };
	CLEANUP(freep) char *label = NULL;

	if (!identity_template_expand(profile->x509.key_label, TEMPLATE_LABEL, &values, &label,
				      err))
		return muster_error_prefix(err, "making the key's label");
	worker_request_init(&request, WORKER_HSM_KEY_GENERATE);
	worker_add_bytes(&request, FIELD_KEY_ID, job->key_id.data, job->key_id.size);
	worker_add_text(&request, FIELD_LABEL, label);
	worker_add_text(&request, FIELD_KEY_TYPE, profile->x509.key_type);
	if (profile->x509.key_leaves)
		worker_add_u64(&request, FIELD_LEAVES, 1);
	return job_ask(job, job->hsm, &request, err);
}

/* A key that is refused, or whose certificate nobody can make, does not stay; *err says why. Returns false. */
static bool discard_key(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };
	struct muster_error failure;

	worker_request_init(&request, WORKER_HSM_KEY_DESTROY);
	worker_add_bytes(&request, FIELD_KEY_ID, job->key_id.data, job->key_id.size);
	if (!worker_call(job->hsm, &request, &reply, &failure))
		return muster_error_prefix(err, "left to the next run to destroy (%s)",
					   failure.message);
	return false;
}

bool attest_key_make_finish(struct job *job, const struct muster_error *outcome,
			    struct muster_error *err)
{
	if (outcome->code == MUSTER_OK)
		return take_key(job, err) || discard_key(job, err);
	*err = *outcome;
	return muster_error_prefix(err, "making the device's key in token '%s'",
				   PRINTABLE(job->token.label));
}

/* -- The certificate ------------------------------------------------------------------------------------- */

/* Nothing of another job comes between this and the record of the key. */
static bool check_repeated(struct job *job, struct muster_error *err)
{
	char whose[160];

	snprintf(whose, sizeof(whose), "device '%s'", PRINTABLE(job->registration_id));
	return repeat_check(job->run->journal, &job->spki, whose, err);
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

static bool make_certificate(struct job *job, struct muster_error *err)
{
	const struct profile *profile = &job->run->profile;
	struct identity_values values = { .serial = job->serial,
					  .registration_id = job->registration_id };
	CLEANUP(issuer_done) struct issuer issuer = { 0 };
	CLEANUP(freep) char *subject = NULL;
	struct pki_plan request = {
		.key = job->key,
		.registration_id = job->registration_id,
		.skew_minutes = (unsigned)profile->x509.skew_minutes,
		.crl_url = profile->x509.crl_url,
		.now_ms = clock_wall_ms(),
	};

	if (!check_repeated(job, err) || !issuer_open(job, &issuer, err) ||
	    !identity_template_expand(profile->x509.subject, TEMPLATE_SUBJECT, &values, &subject,
				      err))
		return false;
	request.subject = subject;
	request.issuer_key = issuer.key;
	request.issuer_certificate = issuer.certificate;
	bytes_done(&job->second_certificate);
	if (!certify_for(&request, profile->x509.valid_days, &job->certificate, err) ||
	    (profile->x509.secondary_valid_days > 0 &&
	     !certify_for(&request, profile->x509.secondary_valid_days, &job->second_certificate,
			  err)))
		return false;
	job->certificate_is_new = true;
	return true;
}

static bool add_second(const struct job *job, cJSON *body)
{
	CLEANUP(freep)
	char *der = base64_encode(job->second_certificate.data, job->second_certificate.size);

	return job->second_certificate.size == 0 ||
	       (der && json_add_text(body, "secondaryCertificate", der));
}

static bool record_attestation(struct job *job, struct muster_error *err)
{
	CLEANUP(freep) char *der = base64_encode(job->certificate.data, job->certificate.size);
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();
	char digest[SHA256_HEX_SIZE], id[2 * KEY_ID_SIZE + 1];

	if (!der || !body || !json_add_text(body, "certificate", der) || !add_second(job, body) ||
	    !json_add_text(body, "keyId", hex_encode(id, job->key_id.data, KEY_ID_SIZE)) ||
	    !json_add_text(body, "tokenSerial", job->token.serial) ||
	    !json_add_text(body, "publicSha256",
			   sha256_hex(digest, job->spki.data, job->spki.size)) ||
	    !json_add_text(body, "attributes", job->key_attributes))
		return muster_fail_memory(err);
	return job_record(job, JOURNAL_OUTCOME, STAGE_ATTEST, TAKE_PTR(body), err) &&
	       job_put_row(job, JOURNAL_WORKING, STAGE_ATTEST, CAUSE_NONE, err);
}

/* A journalled certificate counts only while it is for the key that is in the token. */
static bool certificate_fits(const struct job *job)
{
	CLEANUP(X509_freep) X509 *certificate = NULL;
	struct muster_error ignored;

	return job->certificate.size > 0 &&
	       pki_certificate_read(job->certificate.data, job->certificate.size, "journal",
				    &certificate, &ignored) &&
	       pki_certificate_has_key(certificate, &job->spki);
}

bool attest_certify(struct job *job, struct muster_error *err)
{
	if (job->spki.size == 0)
		return true;
	job->signer = calloc(1, sizeof(*job->signer));
	if (!job->signer)
		return muster_fail_memory(err);
	token_signer_init(job->signer, job->hsm, &job->key_id, &job->spki);
	if (!pki_key_from_signer(&job->signer->signer, &job->key, err))
		return false;
	if (!certificate_fits(job) && (job_is_dry(job) || job->was_released))
		return true;
	if (!certificate_fits(job) && !make_certificate(job, err) && !discard_key(job, err))
		return muster_error_prefix(err, "certifying the key of '%s'",
					   PRINTABLE(job->registration_id));
	sha256_hex(job->key_digest, job->certificate.data, job->certificate.size);
	return !job->certificate_is_new || record_attestation(job, err);
}

bool attest_certificate_store_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };

	worker_request_init(&request, WORKER_HSM_CERTIFICATE_STORE);
	worker_add_bytes(&request, FIELD_KEY_ID, job->key_id.data, job->key_id.size);
	worker_add_text(&request, FIELD_LABEL, job->registration_id);
	worker_add_bytes(&request, FIELD_CERTIFICATE, job->certificate.data, job->certificate.size);
	return job_ask(job, job->hsm, &request, err);
}

/* -- Derived keys ------------------------------------------------------------------------------------------ */

static bool derive_one(struct job *job, const struct profile_key_source *source, size_t number,
		       const struct secret *master, struct secret *ret_key,
		       struct muster_error *err)
{
	struct token_master token;
	struct hmac_key software;

	if (source->tpm)
		return identity_device_key_derive(&job->run->tpm_masters[number].key,
						  job->registration_id, ret_key, err);

	if (source->uri) {
		token_master_init(&token, job->hsm, source->uri);
		return identity_device_key_derive(&token.key, job->registration_id, ret_key, err);
	}
	identity_hmac_key_from_secret(&software, master);
	return identity_device_key_derive(&software, job->registration_id, ret_key, err);
}

bool attest_derive(struct job *job, struct muster_error *err)
{
	const struct run *run = job->run;

	return (derive_one(job, &run->profile.master.primary, 0, &run->primary_master,
			   &job->primary_key, err) &&
		derive_one(job, &run->profile.master.secondary, 1, &run->secondary_master,
			   &job->secondary_key, err)) ||
	       muster_error_prefix(err, "deriving the keys of '%s'",
				   PRINTABLE(job->registration_id));
}
