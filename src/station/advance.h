/* What a job does between two waits, for the loop. The journal's own failure ends the loop: *err; the job's is kept in the job.
 * Private to the station. */
#pragma once

#include "job.h"

/* The step that it is at. */
const struct step *job_step(const struct job *job);
/* Moves the job on until it waits for an operation, for a commit or for its files. No effect is begun once the run
 * is stopped: `stopped` says by what, in words; NULL: it is not. */
bool job_advance(struct job *job, const char *stopped, struct muster_error *err) MUST_CHECK;
/* Its operation is over; the operation's own failure is in *outcome. */
bool job_complete(struct job *job, const struct muster_error *outcome, struct muster_error *err)
	MUST_CHECK;
bool job_fail(struct job *job, const struct muster_error *failure, struct muster_error *err)
	MUST_CHECK;
void job_forget_operation(struct job *job);
/* Its time runs for this stage from now on. */
void job_enter_stage(struct job *job, enum stage stage);
