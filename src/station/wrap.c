/* A key that is made here and lives in the device: it leaves the token wrapped for the device alone, and is destroyed there
 * when the device is known to work. Until then the token holds it, so that a run that was cut can go on. */
#include "steps.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "advance.h"
#include "approval.h"
#include "evidence.h"
#include "muster/encoding.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/station-journal.h"
#include "recipient.h"

static bool leaves(const struct job *job)
{
	return job->run->profile.x509.key_leaves;
}

bool wrap_recipient_applies(const struct job *job)
{
	return leaves(job) && !job->was_released && !attest_any_key_is_gone(job) &&
	       !job_is_absent(job);
}

/* Before anything lasting is done. */
bool wrap_recipient_start(struct job *job, struct muster_error *err)
{
	CLEANUP(freep) char *in_folder = NULL;
	const struct approved_folder *approved = job->run->approved_keys;
	const char *path = job->device_key;
	char digest[SHA256_HEX_SIZE];

	if (!path) {
		in_folder = station_evidence_path(job->run->profile.x509.device_keys,
						  job->registration_id, "pem");
		path = in_folder;
	}
	if (!path)
		return muster_fail_memory(err);
	return recipient_read(path, &job->recipient, digest, err) &&
	       (!approved || approved_folder_check(approved, path, digest, err));
}

/* -- Wrapping out --------------------------------------------------------------------------------------------------- */

static struct attest_key *present(struct job *job)
{
	return &job->keys[job_which(job)];
}

static const char *file_suffix(const struct job *job)
{
	return job_which(job) == ATTEST_PRIMARY ? "key.wrapped" : "secondary-key.wrapped";
}

static bool is_wrapped_already(const struct job *job)
{
	const struct attest_key *key = &job->keys[job_which(job)];
	char digest[SHA256_HEX_SIZE];

	sha256_hex(digest, job->recipient.data, job->recipient.size);
	return key->wrapped.file && strcmp(key->wrapped.recipient, digest) == 0 &&
	       access(key->wrapped.file, F_OK) == 0;
}

bool wrap_out_applies(const struct job *job)
{
	return leaves(job) && !job_is_dry(job) && !job_is_absent(job) &&
	       job->keys[job_which(job)].spki.size > 0 && !attest_any_key_is_gone(job) &&
	       !is_wrapped_already(job);
}

bool wrap_out_intend(struct job *job, cJSON *body, struct muster_error *err)
{
	struct attest_key *key = present(job);
	char digest[SHA256_HEX_SIZE];

	free(key->wrapped.file);
	key->wrapped.file = evidence_path(job, file_suffix(job));
	/* What lies there may be of another key, for the same recipient. */
	key->wrapped.recipient[0] = '\0';
	sha256_hex(digest, job->recipient.data, job->recipient.size);
	return (key->wrapped.file && attest_add_names(job, job_which(job), body) &&
		json_add_text(body, "file", key->wrapped.file) &&
		json_add_text(body, "recipientSha256", digest)) ||
	       muster_fail_memory(err);
}

bool wrap_out_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };

	worker_request_init(&request, WORKER_HSM_WRAP_OUT);
	worker_add_bytes(&request, FIELD_KEY_ID, present(job)->id.data, present(job)->id.size);
	worker_add_bytes(&request, FIELD_RECIPIENT, job->recipient.data, job->recipient.size);
	return job_ask(job, job->hsm, &request, err);
}

static bool write_certificate(struct job *job, const struct bytes *der, const char *suffix,
			      struct muster_error *err)
{
	CLEANUP(freep) char *path = evidence_path(job, suffix);
	CLEANUP(X509_freep) X509 *certificate = NULL;
	CLEANUP(freep) char *pem = NULL;

	if (der->size == 0)
		return true;
	if (!path)
		return muster_fail_memory(err);
	return pki_certificate_read(der->data, der->size, "the journal", &certificate, err) &&
	       pki_certificate_pem(certificate, &pem, err) &&
	       file_write(path, pem, strlen(pem), 0644, present(job)->wrapped.is_announced, err);
}

/* Beside each key what is of it. */
static bool write_certificates(struct job *job, struct muster_error *err)
{
	const struct attest_key *keys = job->keys;
	bool of_primary = job_which(job) == ATTEST_PRIMARY;
	bool of_secondary = !of_primary || !attest_has_key(job, ATTEST_SECONDARY);

	return (!of_primary || write_certificate(job, &keys[ATTEST_PRIMARY].certificate,
						 "certificate.pem", err)) &&
	       (!of_secondary || write_certificate(job, &keys[ATTEST_SECONDARY].certificate,
						   "secondary-certificate.pem", err));
}

/* A file of that name is ours to replace when an earlier run had announced it. */
static bool write_files(struct job *job, const struct bytes *wrapped, struct muster_error *err)
{
	const struct attest_key *key = present(job);

	return directory_make(job->run->out_directory, err) &&
	       file_write(key->wrapped.file, wrapped->data, wrapped->size, 0600,
			  key->wrapped.is_announced, err) &&
	       write_certificates(job, err);
}

static bool record_wrapped(struct job *job, struct muster_error *err)
{
	const struct attest_key *key = present(job);
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();

	if (!body || !json_add_text(body, "step", job_step(job)->name) ||
	    !attest_add_names(job, job_which(job), body) ||
	    !json_add_text(body, "file", key->wrapped.file) ||
	    !json_add_text(body, "fileSha256", key->wrapped.digest) ||
	    !json_add_text(body, "recipientSha256", key->wrapped.recipient) ||
	    !json_add_text(body, "method", key->wrapped.method))
		return muster_fail_memory(err);
	return job_record(job, JOURNAL_OUTCOME, STAGE_ATTEST, TAKE_PTR(body), err);
}

bool wrap_out_finish(struct job *job, const struct muster_error *outcome, struct muster_error *err)
{
	const struct bytes *wrapped = worker_bytes(&job->reply, FIELD_WRAPPED);
	const char *method = worker_text(&job->reply, FIELD_METHOD);
	struct attest_key *key = present(job);

	if (outcome->code != MUSTER_OK) {
		*err = *outcome;
		return muster_error_prefix(err, "wrapping the key of '%s'",
					   PRINTABLE(job->registration_id));
	}
	free(key->wrapped.method);
	key->wrapped.method = strdup(method ? method : "");
	if (!key->wrapped.method)
		return muster_fail_memory(err);
	sha256_hex(key->wrapped.recipient, job->recipient.data, job->recipient.size);
	sha256_hex(key->wrapped.digest, wrapped->data, wrapped->size);
	return write_files(job, wrapped, err) && record_wrapped(job, err);
}

/* -- Destroying ------------------------------------------------------------------------------------------------------- */

/* Without a network the key waits for its verification, if there is to be one. */
static bool is_waiting(const struct job *job)
{
	return job_is_offline(job) ? job->run->profile.verify != PROFILE_VERIFY_NONE
				   : verify_is_put_off(job);
}

bool wrap_destroy_applies(const struct job *job)
{
	return leaves(job) && job->keys[job_which(job)].id.size > 0 && token_applies(job) &&
	       !job_is_dry(job) && !job->was_released && !is_waiting(job);
}

bool wrap_destroy_intend(struct job *job, cJSON *body, struct muster_error *err)
{
	return attest_add_names(job, job_which(job), body) || muster_fail_memory(err);
}

bool wrap_destroy_finish(struct job *job, const struct muster_error *outcome,
			 struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();

	if (outcome->code != MUSTER_OK) {
		*err = *outcome;
		return muster_error_prefix(err, "destroying the key that was wrapped for '%s'",
					   PRINTABLE(job->registration_id));
	}
	present(job)->is_gone = true;
	if (!body || !json_add_text(body, "step", job_step(job)->name) ||
	    !attest_add_names(job, job_which(job), body) ||
	    !json_add_bool(body, "wasThere", worker_u64(&job->reply, FIELD_FOUND) == 1))
		return muster_fail_memory(err);
	return job_record(job, JOURNAL_OUTCOME, STAGE_RELEASE, TAKE_PTR(body), err);
}
