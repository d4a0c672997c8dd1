#include "device-files.h"

#include "muster/file.h"

enum { MODE = 0600, TOGETHER = JOBS_MAX / 2, WAIT_MS = 100 };

static bool syncs_together(const struct run *run)
{
	return run->batch || run->way == RUN_SYNC;
}

bool device_file_write(struct job *job, const char *path, const void *data, size_t size,
		       bool replace, struct muster_error *err)
{
	struct run *run = job->run;

	if (!syncs_together(run))
		return file_write(path, data, size, MODE, replace, err);
	if (!file_write_unsynced(path, data, size, MODE, replace, err))
		return false;
	if (run->unsynced_since_ms == 0)
		run->unsynced_since_ms = clock_now_ms();
	job->has_unsynced_files = true;
	return true;
}

int64_t device_files_due_ms(const struct run *run)
{
	return run->unsynced_since_ms == 0 ? INT64_MAX : run->unsynced_since_ms + WAIT_MS;
}

bool device_files_sync(struct run *run, struct job *const *jobs, size_t count,
		       struct muster_error *err)
{
	size_t waiting = 0;

	for (size_t i = 0; i < count; i++)
		waiting += jobs[i]->has_unsynced_files;
	if (waiting == 0 ||
	    (waiting < TOGETHER && waiting < count && clock_now_ms() < device_files_due_ms(run)))
		return true;
	if (!file_system_sync(run->out_directory, err))
		return false;
	run->unsynced_since_ms = 0;
	for (size_t i = 0; i < count; i++)
		jobs[i]->has_unsynced_files = false;
	return true;
}
