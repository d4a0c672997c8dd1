#include "device-files.h"

#include "evidence-lines.h"
#include "muster/file.h"

enum { MODE = 0600, TOGETHER = JOBS_MAX / 2, WAIT_MS = 100 };

static bool has_room(const struct job *job, struct muster_error *err)
{
	return job->draft_count < ARRAY_SIZE(job->drafts) ||
	       muster_fail(err, CAUSE_INTERNAL, "more files of a device than there can be");
}

static void note_draft(struct job *job, const struct file_draft *draft)
{
	job->drafts[job->draft_count++] = *draft;
	if (job->run->unsynced_since_ms == 0)
		job->run->unsynced_since_ms = clock_now_ms();
}

bool device_file_write(struct job *job, const char *path, const void *data, size_t size,
		       bool replace, struct muster_error *err)
{
	struct file_draft draft = { 0 };

	if (!job->run->brake)
		return file_write(path, data, size, MODE, replace, err);
	if (!has_room(job, err) || !file_draft_write(path, data, size, MODE, replace, &draft, err))
		return false;
	note_draft(job, &draft);
	return true;
}

bool device_file_add_line(struct job *job, const char *path, const char *line,
			  struct muster_error *err)
{
	if (!has_room(job, err) || !evidence_lines_add(job->run, path, line, err))
		return false;
	note_draft(job, &(struct file_draft){ 0 });
	return true;
}

int64_t device_files_due_ms(const struct run *run)
{
	return run->unsynced_since_ms == 0 ? INT64_MAX : run->unsynced_since_ms + WAIT_MS;
}

static bool are_due(const struct run *run, struct job *const *jobs, size_t count)
{
	size_t waiting = 0;

	for (size_t i = 0; i < count; i++)
		waiting += jobs[i]->draft_count > 0;
	return waiting > 0 && (waiting >= TOGETHER || waiting == count ||
			       clock_now_ms() >= device_files_due_ms(run));
}

static bool place(struct job *job, struct muster_error *err)
{
	for (size_t i = 0; i < job->draft_count; i++)
		if (job->drafts[i].path && !file_draft_place(&job->drafts[i], err))
			return false;
	device_files_done(job);
	return true;
}

static bool are_files(struct job *const *jobs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < jobs[i]->draft_count; k++)
			if (jobs[i]->drafts[k].path)
				return true;
	return false;
}

bool device_files_sync(struct run *run, struct job *const *jobs, size_t count,
		       struct muster_error *err)
{
	bool has_files = are_files(jobs, count);

	if (!are_due(run, jobs, count))
		return true;
	if (!evidence_lines_sync(run, err) ||
	    (has_files && !file_system_sync(run->out_directory, err)))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!place(jobs[i], err))
			return false;
	run->unsynced_since_ms = 0;
	return !has_files || directory_sync(run->out_directory, err);
}

void device_files_done(struct job *job)
{
	while (job->draft_count > 0)
		file_draft_done(&job->drafts[--job->draft_count]);
}
