/* A batch under way: where its devices come from, when it has to stop, and its figures. Private to the station. */
#pragma once

#include "brake.h"
#include "manifest.h"

struct batch {
	struct feed feed; /* first */
	struct run *run;
	struct manifest manifest;
	char name[65];
	struct brake brake;
	int64_t started_ms, told_ms, paced_ms;
	size_t paced_ended; /* of figures.ended, at paced_ms */
	size_t left_open;   /* devices that failed, and whose batch is not over with that */
	struct station_figures figures;
};

/* Checks the manifest as a whole; touches nothing else. */
bool batch_open(struct run *run, const struct station_batch *request, struct batch **ret_batch,
		struct muster_error *err) MUST_CHECK;
void batch_free(struct batch *batch);
/* In the journal, by name: the manifest and the profile. CAUSE_BATCH_CHANGED when an open batch of this name has others. */
bool batch_pin(struct batch *batch, struct muster_error *err) MUST_CHECK;
/* The end of the batch, in the journal when nothing of it is open. Tells the last figures. */
bool batch_end(struct batch *batch, struct muster_error *err) MUST_CHECK;
/* Whether the station registers as this device. */
bool batch_verifies(const struct batch *batch, size_t row);

/* -- Figures (figures.c) --------------------------------------------------------------------------------------- */

/* A job that came to its end. */
void batch_note_end(struct batch *batch, const struct job *job);
/* Jobs have waited and been worked on for so long. */
void batch_note_time(struct batch *batch, struct job *const *jobs, size_t count, int64_t waited_ms,
		     int64_t worked_ms);
/* Tells the figures when it is time. */
bool batch_tell(struct batch *batch, bool is_end, struct muster_error *err) MUST_CHECK;
/* Milliseconds until then. */
int64_t batch_next_ms(const struct batch *batch);
