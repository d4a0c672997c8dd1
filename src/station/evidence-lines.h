/* Evidence of a batch as lines of one file, each as the journal recorded it, in no order. A file only grows; a line that a power
 * cut left in pieces is no line, and its device gets another when it is seen again. Private to the station. */
#pragma once

#include "job.h"

/* Whether the device's evidence is a line of its batch's file: as the profile says, and there is a batch. */
bool evidence_lines_apply(const struct job *job);
/* OUT/batch-DIGEST.evidence.jsonl, by the manifest's digest. NULL without memory. */
char *evidence_lines_path(const struct job *job);
/* Whether evidence that was written there is a line. */
bool evidence_lines_is_path(const char *path);
/* Whether the file has this line, as a whole; reads all of it the first time that it is asked, and need not be allowed more. */
bool evidence_lines_have(struct run *run, const char *path, const char *line, bool *ret_has,
			 struct muster_error *err) MUST_CHECK;
/* One more line, with its newline, which is on disk after evidence_lines_sync(). What has no room leaves nothing behind. */
bool evidence_lines_add(struct run *run, const char *path, const char *line,
			struct muster_error *err) MUST_CHECK;
bool evidence_lines_sync(struct run *run, struct muster_error *err) MUST_CHECK;
void evidence_lines_done(struct run *run);
