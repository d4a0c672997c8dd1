/* The end: outcome row, evidence file, result line, in that order. */
#include "steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device-files.h"
#include "evidence-lines.h"
#include "evidence.h"
#include "muster/file.h"
#include "muster/json.h"

enum { OUTPUT_FILE_MAX = 256 * 1024, KEY_FILE_MAX = 1024 };

bool release_lacks_keys(const struct job *job)
{
	CLEANUP(freep) char *path = NULL;

	if (job->run->profile.attestation != PROFILE_SYMMETRIC_KEY)
		return false;
	/* Nobody knows what was read of a descriptor before. */
	if (job->run->request->key_fd > 0)
		return true;
	if (!job->run->writes_keys)
		return false;
	path = evidence_path(job, "keys.json");
	return path && access(path, F_OK) < 0;
}

bool release_tpm_applies(const struct job *job)
{
	return job->tpm != NULL;
}

bool release_applies(const struct job *job)
{
	return !job_is_dry(job) && (job->was_released || !job_is_offline(job));
}

bool write_out_applies(const struct job *job)
{
	return !job_is_dry(job);
}

bool release_tpm_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };

	worker_request_init(&request, WORKER_TPM_RELEASE);
	return job_ask(job, job->tpm, &request, err);
}

/* Where this run would put what lies in the journal: lines stay lines. NULL without memory. */
static char *path_here(const struct job *job)
{
	const char *path = job->evidence_path;

	return evidence_lines_is_path(path)
		       ? text_format("%s/%s", job->run->out_directory, strrchr(path, '/') + 1)
		       : evidence_path(job, "evidence.json");
}

/* Evidence of a released device that is not there any more is written again, into the folder of this run: the former one may be
 * gone as a whole. Its row says where it is. */
static bool record_place(struct job *job, struct muster_error *err)
{
	struct journal *journal = job->run->journal;
	struct journal_device row = job->device;
	CLEANUP(freep) char *path = NULL;

	if (!job->evidence || !job->evidence_path || access(job->evidence_path, F_OK) == 0)
		return true;
	path = path_here(job);
	if (!path)
		return muster_fail_memory(err);
	if (strcmp(path, job->evidence_path) == 0)
		return true;
	free(job->evidence_path);
	job->evidence_path = TAKE_PTR(path);
	job->evidence_has_moved = true;
	row.serial = job->serial;
	row.evidence_path = job->evidence_path;
	row.operator= job->run->who.operator_name;
	row.station = job->run->who.station;
	row.updated_ms = clock_wall_ms();
	return (journal_is_in_transaction(journal) || journal_begin(journal, err)) &&
	       journal_device_put(journal, &row, err);
}

/* The evidence lies in the journal too, so that a cut between row and file loses nothing: the next run with the device writes
 * the file. A device that is not here has no such run, so its row says that it is released when the file is there. */
bool release_record(struct job *job, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;

	if (job->was_released)
		return record_place(job, err);
	free(job->evidence_path);
	job->evidence_path = evidence_lines_apply(job) ? evidence_lines_path(job)
						       : evidence_path(job, "evidence.json");
	if (!job->evidence_path)
		return muster_fail_memory(err);
	free(TAKE_PTR(job->evidence));
	if (!evidence_compose(job, &job->evidence, err))
		return muster_error_prefix(err, "composing the evidence");
	body = cJSON_CreateObject();
	if (!body || !json_add_bool(body, "released", true) ||
	    (verify_is_put_off(job) && !json_add_bool(body, "unverified", true)) ||
	    !json_add_text(body, "evidence", job->evidence))
		return muster_fail_memory(err);
	return job_record(job, JOURNAL_OUTCOME, STAGE_RELEASE, TAKE_PTR(body), err) &&
	       job_put_row(job, job_is_absent(job) ? JOURNAL_WORKING : JOURNAL_RELEASED,
			   STAGE_RELEASE, CAUSE_NONE, err);
}

bool release_absent_applies(const struct job *job)
{
	return release_applies(job) && job_is_absent(job) && !job->was_released;
}

bool release_absent(struct job *job, struct muster_error *err)
{
	return job_put_row(job, JOURNAL_RELEASED, STAGE_RELEASE, CAUSE_NONE, err);
}

static bool file_says(const char *path, const void *data, size_t size)
{
	CLEANUP(bytes_done) struct bytes present = { 0 };
	struct bytes wanted = { (uint8_t *)(uintptr_t)data, size };
	struct muster_error unread;

	return file_read(path, OUTPUT_FILE_MAX, &present, &unread) &&
	       bytes_equal(&present, &wanted);
}

/* A file of ours from an earlier run is fine when it says the same. */
static bool write_once(struct job *job, const char *path, const void *data, size_t size,
		       struct muster_error *err)
{
	return device_file_write(job, path, data, size, false, err) ||
	       (err->cause == CAUSE_OUTPUT_EXISTS && file_says(path, data, size));
}

static bool compose_keys(const struct job *job, struct secret *ret_keys, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret primary = { 0 }, secondary = { 0 };
	int size;

	if (!secret_to_base64(&primary, job->primary_key.data, job->primary_key.size, err) ||
	    !secret_to_base64(&secondary, job->secondary_key.data, job->secondary_key.size, err) ||
	    !secret_new(ret_keys, KEY_FILE_MAX, err))
		return false;
	size = snprintf((char *)ret_keys->data, ret_keys->size,
			"{\n  \"registrationId\": \"%s\",\n  \"primaryKey\": \"%.*s\",\n"
			"  \"secondaryKey\": \"%.*s\"\n}\n",
			job->registration_id, (int)primary.size, (const char *)primary.data,
			(int)secondary.size, (const char *)secondary.data);
	if (size < 0 || size >= KEY_FILE_MAX)
		return muster_fail(err, CAUSE_INTERNAL, "the keys do not fit their file");
	secret_shrink(ret_keys, (size_t)size);
	return true;
}

/* Keys that nobody has seen are not called others. */
static bool check_readable(const struct job *job, const char *path, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes present = { 0 };

	if (file_read(path, OUTPUT_FILE_MAX, &present, err))
		return true;
	err->cause = CAUSE_OUTPUT_WRITE;
	err->code = MUSTER_E_STORAGE;
	return muster_error_prefix(err,
				   "looking for the keys of device '%s' in a file of their name",
				   PRINTABLE(job->registration_id));
}

bool release_check_keys(const struct job *job, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret keys = { 0 };
	CLEANUP(freep) char *path = NULL;

	if (!job->run->writes_keys || !job->primary_key.data || job->was_released)
		return true;
	path = evidence_path(job, "keys.json");
	if (!path)
		return muster_fail_memory(err);
	if (access(path, F_OK) < 0)
		return true;
	return compose_keys(job, &keys, err) && check_readable(job, path, err) &&
	       (file_says(path, keys.data, keys.size) ||
		muster_fail(err, CAUSE_OUTPUT_EXISTS,
			    "'%s' has other keys than those of device '%s'", PRINTABLE(path),
			    PRINTABLE(job->registration_id)));
}

static bool write_keys(struct job *job, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret keys = { 0 };
	CLEANUP(freep) char *path = NULL;

	if (!compose_keys(job, &keys, err))
		return false;
	if (job->run->request->key_fd > 0)
		return file_write_fd((int)job->run->request->key_fd, keys.data, keys.size, err);
	if (!job->run->writes_keys)
		return true;
	path = evidence_path(job, "keys.json");
	if (!path)
		return muster_fail_memory(err);
	if (!write_once(job, path, keys.data, keys.size, err))
		return false;
	job->key_file = TAKE_PTR(path);
	return true;
}

/* A line that is missing is written again. */
static bool write_line(struct job *job, struct muster_error *err)
{
	bool is_there = false;

	if (job->was_released &&
	    !evidence_lines_have(job->run, job->evidence_path, job->evidence, &is_there, err))
		return false;
	return is_there || device_file_add_line(job, job->evidence_path, job->evidence, err);
}

/* An evidence file is written when it is missing; one that is there is left as it is, or kept under another name. */
static bool write_evidence(struct job *job, struct muster_error *err)
{
	if (!job->evidence || !job->evidence_path)
		return true;
	if (evidence_lines_is_path(job->evidence_path))
		return write_line(job, err);
	/* Where it has moved to, what lies there is that of an earlier life. */
	if (job->was_released && !job->evidence_has_moved && access(job->evidence_path, F_OK) == 0)
		return true;
	return evidence_keep_former(job->evidence_path, job->attempt_id, err) &&
	       device_file_write(job, job->evidence_path, job->evidence, strlen(job->evidence),
				 true, err);
}

bool release_write(struct job *job, struct muster_error *err)
{
	if (job->primary_key.data && !write_keys(job, err))
		return muster_error_prefix(err, "writing the keys of '%s'",
					   PRINTABLE(job->registration_id));
	return write_evidence(job, err) || muster_error_prefix(err, "writing the evidence of '%s'",
							       PRINTABLE(job->registration_id));
}
