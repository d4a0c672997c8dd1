/* What becomes of a device that did not reach its end. Private to the station. */
#pragma once

#include "job.h"

/* Writes the row of a job that has failed: its failure is in the job. */
bool park_device(struct job *job, enum stage stage, struct muster_error *err) MUST_CHECK;
/* Whether a failure with that cause at that stage counts against the device's budget: what is wrong with the station, the
 * network or the credential does not. */
bool park_counts(const char *stage, int64_t cause);
