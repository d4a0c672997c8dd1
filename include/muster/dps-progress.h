/* Which rows of a file are done: one bit each in a small file, so that a run that was cut off goes on where it stopped. A bit
 * that was lost only means that the row is asked for once more. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/encoding.h"
#include "muster/error.h"

struct dps_progress;

/* In directory_state(). `place` is what was to be done something with (file, service) and names it; `work` is that and what
 * (mode); rows is fixed by both. Nothing is done yet, whatever the file says, with `restart`, when the last run on that place was
 * other work, and when the last one came to its end: what has been done since may have undone it. CAUSE_IMPORT_BUSY when
 * another process has it open. */
bool dps_progress_open(const uint8_t place[SHA256_SIZE], const uint8_t work[SHA256_SIZE],
		       size_t rows, bool restart, struct dps_progress **ret_progress,
		       struct muster_error *err) MUST_CHECK;
/* Writes to disk what is not there yet, as well as it can. */
void dps_progress_close(struct dps_progress *progress);
DEFINE_FREEP(dps_progress_freep, struct dps_progress *, dps_progress_close)

bool dps_progress_is_done(const struct dps_progress *progress, size_t row);
size_t dps_progress_count(const struct dps_progress *progress);
/* Survives the end of this process at once, and a power cut after a second. */
bool dps_progress_mark(struct dps_progress *progress, size_t row, struct muster_error *err)
	MUST_CHECK;
