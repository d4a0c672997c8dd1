/* Evidence and keys of devices. Those of a batch are synced many at a time, which costs no more than syncing one; no device is told
 * of before its files are on disk. Private to the station. */
#pragma once

#include "job.h"

/* As file_write() with mode 0600, in the run's folder for evidence; of a batch it is a draft, one more in job->draft_count. */
bool device_file_write(struct job *job, const char *path, const void *data, size_t size,
		       bool replace, struct muster_error *err) MUST_CHECK;
/* A line of a batch's file, likewise: a draft without a name. */
bool device_file_add_line(struct job *job, const char *path, const char *line,
			  struct muster_error *err) MUST_CHECK;
/* Syncs the drafts of these jobs and gives them their names, when that is due: many wait for it, one has waited long, or nothing else is to be done. */
bool device_files_sync(struct run *run, struct job *const *jobs, size_t count,
		       struct muster_error *err) MUST_CHECK;
/* When it is due at the latest; INT64_MAX: no file waits. */
int64_t device_files_due_ms(const struct run *run);
/* Drafts without a name go. */
void device_files_done(struct job *job);
