/* What becomes of a device that did not reach its end. Private to the station. */
#pragma once

#include "job.h"

/* Writes the row of a job that has failed: its failure is in the job. */
bool park_device(struct job *job, enum stage stage, struct muster_error *err) MUST_CHECK;
/* Notes how the journal has a job that has failed, while nothing is written of that; one that was not looked up goes by what it is
 * called. */
bool park_look(struct job *job, struct muster_error *err) MUST_CHECK;
/* How many of a device's runs count against its budget, one entry further on. What is wrong with the station, the network or
 * the credential does not count; a success, or a person, begins it anew. */
int64_t park_count(int64_t failures, const struct journal_entry *entry, const cJSON *body);
/* Whether its own registration failed when it was last tried, one entry further on. What is wrong with the station, the network,
 * or what a person typed says nothing of the device. */
bool park_is_unfit(bool is_unfit, const struct journal_entry *entry, const cJSON *body);
