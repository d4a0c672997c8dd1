/* A key that is made here and lives in the device: it leaves the token wrapped for the device alone, and is destroyed there
 * when the device is known to work. Until then the token holds it, so that a run that was cut can go on. */
#include "wrap.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "advance.h"
#include "approval.h"
#include "evidence.h"
#include "muster/encoding.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/log.h"
#include "muster/station-journal.h"
#include "recipient.h"
#include "resume.h"
#include "steps.h"

enum { WRAPPED_MAX = 64 * 1024 };

static bool leaves(const struct job *job)
{
	return job->run->profile.x509.key_leaves;
}

bool wrap_recipient_applies(const struct job *job)
{
	return leaves(job) && !job_is_absent(job);
}

/* Whom the device's key was wrapped for: no other gets it, or two had the same. "" for nobody. A journal that was made again has
 * the evidence alone. */
static bool find_owner(const struct job *job, char ret_digest[SHA256_HEX_SIZE],
		       struct muster_error *err)
{
	const char *digest = job->keys[ATTEST_PRIMARY].wrapped.recipient;
	CLEANUP(cJSON_freep) cJSON *evidence = NULL;

	if (!digest[0] && job->was_released && job->evidence) {
		if (!json_parse(job->evidence, strlen(job->evidence), "the evidence", &evidence,
				err))
			return false;
		digest = json_text(json_at(evidence, "attestation", "wrappedKey", NULL),
				   "recipientSha256");
	}
	snprintf(ret_digest, SHA256_HEX_SIZE, "%s", digest ? digest : "");
	return true;
}

static bool check_owner(struct job *job, const char *path, const char *owner,
			struct muster_error *err)
{
	char own[SHA256_HEX_SIZE];

	/* A folder need not keep it for ever. */
	if ((job->was_released || job->was_enrolled || attest_any_key_is_gone(job)) &&
	    !job->device_key && access(path, F_OK) < 0)
		return true;
	if (!recipient_read_known(path, &job->recipient, err))
		return false;
	sha256_hex(own, job->recipient.data, job->recipient.size);
	if (strcmp(owner, own) == 0)
		return true;
	/* Nothing came of it: the next board gets a key of its own. */
	if (job->device.state == JOURNAL_FAILED && !attest_any_key_is_gone(job)) {
		log_info(
			"nothing came of the key of '%s' that was wrapped for another device; another is made",
			PRINTABLE(job->registration_id));
		resume_begin_anew(job);
		return true;
	}
	return muster_fail(
		err, CAUSE_SERIAL_TAKEN,
		"the key of device '%s', %s, was wrapped for another device's public key "
		"(SHA-256 %.16s...) than this one's (%.16s...)",
		PRINTABLE(job->registration_id), journal_state_name(job->device.state), owner, own);
}

static bool is_announced(const struct attest_key *key, const char *path)
{
	const cJSON *file;

	cJSON_ArrayForEach(file, key->wrapped.announced)
	{
		if (strcmp(file->valuestring, path) == 0 ||
		    (strchr(file->valuestring, '/') && file_is_same_place(file->valuestring, path)))
			return true;
	}
	return false;
}

/* In a folder that was renamed since, or copied. */
static bool has_its_content(const struct attest_key *key, const char *path)
{
	CLEANUP(bytes_done) struct bytes content = { 0 };
	struct muster_error unreadable;
	char digest[SHA256_HEX_SIZE];

	if (!key->wrapped.digest[0] || !file_read(path, WRAPPED_MAX, &content, &unreadable))
		return false;
	sha256_hex(digest, content.data, content.size);
	return strcmp(digest, key->wrapped.digest) == 0;
}

static const char *file_suffix(enum attest_which which)
{
	return which == ATTEST_PRIMARY ? "key.wrapped" : "secondary-key.wrapped";
}

/* What the device can be given is where it was written, or in the folder of this run. */
static bool is_kept(const struct job *job, enum attest_which which)
{
	const struct attest_key *key = &job->keys[which];
	CLEANUP(freep) char *here = evidence_path(job, file_suffix(which));

	return key->wrapped.file &&
	       (has_its_content(key, key->wrapped.file) || (here && has_its_content(key, here)));
}

/* An earlier run of the device's present life had announced the file, or wrote what is in it. Any other may be of another life, whose
 * device cannot do without it. */
static bool is_ours(const struct attest_key *key, const char *path)
{
	return is_announced(key, path) || has_its_content(key, path);
}

/* What lies there is of another key, unless it is ours. */
static bool check_no_files(const struct job *job, struct muster_error *err)
{
	static const char *const suffixes[] = { "key.wrapped", "certificate.pem",
						"secondary-key.wrapped",
						"secondary-certificate.pem" };

	CLEANUP(freep) char *wrapped = evidence_path(job, suffixes[0]);

	if (!wrapped)
		return muster_fail_memory(err);
	if (is_ours(&job->keys[ATTEST_PRIMARY], wrapped))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		CLEANUP(freep) char *path = evidence_path(job, suffixes[i]);

		if (!path)
			return muster_fail_memory(err);
		if (access(path, F_OK) == 0)
			return muster_fail(err, CAUSE_OUTPUT_EXISTS,
					   "'%s' is there already, of another key than the one to "
					   "be made for device '%s'",
					   PRINTABLE(path), PRINTABLE(job->registration_id));
	}
	return true;
}

static bool is_wrapped_already(const struct job *job)
{
	const struct attest_key *key = &job->keys[job_which(job)];
	char digest[SHA256_HEX_SIZE];

	sha256_hex(digest, job->recipient.data, job->recipient.size);
	return key->wrapped.file && strcmp(key->wrapped.recipient, digest) == 0 &&
	       has_its_content(key, key->wrapped.file);
}

/* -- The last copy ------------------------------------------------------------------------------------------------------ */

/* It may be in its device long since; nobody can make it again. */
static void warn_of_lost_file(const struct job *job)
{
	const struct attest_key *key = &job->keys[ATTEST_PRIMARY];
	const char *file = key->wrapped.file;

	/* Where nothing is asked of the device the token keeps its key. */
	if (!job->was_released || !key->is_gone || job->run->batch || !file ||
	    access(file, F_OK) == 0)
		return;
	log_warning(
		"'%s' is not there any more, and its key was destroyed here; if device '%s' has "
		"not got it, end it with muster retire, going on",
		PRINTABLE(file), PRINTABLE(job->registration_id));
}

static const char *fate_of(const char *file)
{
	return file && access(file, F_OK) == 0 ? "is not as it was written" : "is not there";
}

static bool fail_lost(const struct job *job, enum attest_which which, struct muster_error *err)
{
	const char *file = job->keys[which].wrapped.file;

	return muster_fail(
		err, CAUSE_WRAPPED_FILE_LOST,
		"the %skey of device '%s' was wrapped into '%s', which %s; the key in token '%s' may be the last copy and "
		"is not destroyed",
		which == ATTEST_PRIMARY ? "" : "secondary ", PRINTABLE(job->registration_id),
		PRINTABLE(file ? file : "a file"), fate_of(file), PRINTABLE(job->token.label));
}

static bool lacks_file(const struct job *job, enum attest_which which)
{
	const struct attest_key *key = &job->keys[which];

	return key->id.size > 0 && !key->is_gone && !is_kept(job, which);
}

/* One whose verification was put off is wrapped anew once its enrollment was looked at. */
static void warn_of_wrapping_late(const struct job *job)
{
	for (size_t i = 0; job->is_asked_late && job->recipient.size > 0 && i < ATTEST_KEYS; i++) {
		const char *file = job->keys[i].wrapped.file;

		if (lacks_file(job, i))
			log_warning(
				"'%s' is not there any more as it was written; its key is wrapped anew for device '%s', "
				"and is destroyed here once the device is verified, going on",
				PRINTABLE(file ? file : "the wrapped key"),
				PRINTABLE(job->registration_id));
	}
}

/* What was released before is finished without its file, which may be in the device; but its keys stay in their token. */
static bool stays(const struct job *job)
{
	return job->was_enrolled &&
	       (lacks_file(job, ATTEST_PRIMARY) || lacks_file(job, ATTEST_SECONDARY));
}

static bool find_path(const struct job *job, char **ret_path, struct muster_error *err)
{
	*ret_path = job->device_key ? strdup(job->device_key)
				    : station_evidence_path(job->run->profile.x509.device_keys,
							    job->registration_id, "pem");
	return *ret_path || muster_fail_memory(err);
}

static bool has_public_key(const struct job *job)
{
	CLEANUP(freep) char *path = NULL;
	struct muster_error ignored;

	return (job->device_key || job->run->profile.x509.device_keys) &&
	       find_path(job, &path, &ignored) && access(path, F_OK) == 0;
}

bool wrap_may_end_now(const struct job *job)
{
	bool is_left = false, is_kept_whole = true;

	for (size_t i = 0; leaves(job) && i < ATTEST_KEYS; i++) {
		const struct attest_key *key = &job->keys[i];

		is_left = is_left || (key->id.size > 0 && !key->is_gone && key->wrapped.file);
		is_kept_whole = is_kept_whole && !lacks_file(job, i);
	}
	return is_left && (is_kept_whole || has_public_key(job));
}

bool wrap_check_owner(struct job *job, struct muster_error *err)
{
	CLEANUP(freep) char *path = NULL;
	char owner[SHA256_HEX_SIZE];

	if (!wrap_recipient_applies(job))
		return true;
	if (!find_owner(job, owner, err))
		return false;
	return !owner[0] || (find_path(job, &path, err) && check_owner(job, path, owner, err));
}

/* Before anything lasting is done. */
bool wrap_recipient_start(struct job *job, struct muster_error *err)
{
	CLEANUP(freep) char *path = NULL;
	const struct approved_folder *approved = job->run->approved_keys;
	char digest[SHA256_HEX_SIZE], owner[SHA256_HEX_SIZE];

	if (!find_path(job, &path, err) || !find_owner(job, owner, err))
		return false;
	identify_skip_released(job);
	warn_of_lost_file(job);
	warn_of_wrapping_late(job);
	if (job->was_released)
		return true;
	if (owner[0])
		return attest_any_key_is_gone(job) || is_wrapped_already(job) ||
		       check_no_files(job, err);
	bytes_done(&job->recipient);
	return recipient_read(path, &job->recipient, digest, err) &&
	       (!approved || approved_folder_check(approved, path, digest, err)) &&
	       check_no_files(job, err);
}

/* -- Wrapping out --------------------------------------------------------------------------------------------------- */

static struct attest_key *present(struct job *job)
{
	return &job->keys[job_which(job)];
}

bool wrap_out_applies(const struct job *job)
{
	return leaves(job) && !job_is_dry(job) && !job_is_absent(job) && !job->was_released &&
	       job->keys[job_which(job)].spki.size > 0 && job->recipient.size > 0 &&
	       !is_wrapped_already(job);
}

bool wrap_out_intend(struct job *job, cJSON *body, struct muster_error *err)
{
	struct attest_key *key = present(job);
	char digest[SHA256_HEX_SIZE];

	free(key->wrapped.file);
	key->wrapped.file = evidence_path(job, file_suffix(job_which(job)));
	key->wrapped.replaces = key->wrapped.file && is_ours(key, key->wrapped.file);
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
	       file_write(path, pem, strlen(pem), 0644, present(job)->wrapped.replaces, err);
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

static bool write_files(struct job *job, const struct bytes *wrapped, struct muster_error *err)
{
	const struct attest_key *key = present(job);

	return directory_make(job->run->out_directory, err) &&
	       file_write(key->wrapped.file, wrapped->data, wrapped->size, 0600,
			  key->wrapped.replaces, err) &&
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
	return job_is_offline(job)
		       ? job->run->profile.verify != PROFILE_VERIFY_NONE && !job->skips_verification
		       : verify_is_put_off(job);
}

static bool is_at_its_end(const struct job *job)
{
	return leaves(job) && token_applies(job) && !job_is_dry(job) && !job->was_released &&
	       !is_waiting(job);
}

bool wrap_stays_applies(const struct job *job)
{
	return is_at_its_end(job) && stays(job);
}

bool wrap_stays_tell(struct job *job, struct muster_error *err)
{
	enum attest_which which =
		lacks_file(job, ATTEST_PRIMARY) ? ATTEST_PRIMARY : ATTEST_SECONDARY;
	const char *file = job->keys[which].wrapped.file;

	(void)err;
	log_warning(
		"the %skey of device '%s' stays in token '%s', for '%s', which it was wrapped into, %s; to have it destroyed "
		"there, put that file or a copy back, or pass --device-key to wrap the key anew, and run muster provision again, "
		"going on",
		which == ATTEST_PRIMARY ? "" : "secondary ", PRINTABLE(job->registration_id),
		PRINTABLE(job->token.label), PRINTABLE(file ? file : "a file"), fate_of(file));
	return true;
}

bool wrap_destroy_applies(const struct job *job)
{
	return is_at_its_end(job) && job->keys[job_which(job)].id.size > 0 && !stays(job);
}

/* So that nothing is sent of a device whose key could not be destroyed in the end. */
bool wrap_file_applies(const struct job *job)
{
	return wrap_destroy_applies(job) && !job->keys[job_which(job)].is_gone;
}

bool wrap_file_check(struct job *job, struct muster_error *err)
{
	return is_kept(job, job_which(job)) || fail_lost(job, job_which(job), err);
}

/* What was announced before may be destroyed, and its file in the device. */
bool wrap_destroy_intend(struct job *job, cJSON *body, struct muster_error *err)
{
	if (!present(job)->is_gone && !wrap_file_check(job, err))
		return false;
	return attest_add_names(job, job_which(job), body) || muster_fail_memory(err);
}

/* Without the file the token is only asked whether it is destroyed already. */
bool wrap_destroy_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };

	worker_request_init(&request, is_kept(job, job_which(job)) ? WORKER_HSM_KEY_DESTROY
								   : WORKER_HSM_KEY_FIND);
	worker_add_bytes(&request, FIELD_KEY_ID, present(job)->id.data, present(job)->id.size);
	return job_ask(job, job->hsm, &request, err);
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
	if (job->reply.verb == WORKER_HSM_KEY_FIND && worker_u64(&job->reply, FIELD_FOUND))
		return fail_lost(job, job_which(job), err);
	present(job)->is_gone = true;
	if (!body || !json_add_text(body, "step", job_step(job)->name) ||
	    !attest_add_names(job, job_which(job), body) ||
	    !json_add_bool(body, "wasThere", worker_u64(&job->reply, FIELD_FOUND) == 1))
		return muster_fail_memory(err);
	return job_record(job, JOURNAL_OUTCOME, STAGE_RELEASE, TAKE_PTR(body), err);
}
