/* What a run was asked of a device beyond its profile, kept for whoever goes on with it without that run's manifest. It stands in the
 * note of a spooled device, and in one of its own for a device with derived keys that could not be reached. Private to the station. */
#pragma once

#include "job.h"

/* Adds what holds for this job: {"approval", "verify": false}. False without memory. */
bool terms_add(const struct job *job, cJSON *object) MUST_CHECK;
/* The terms, one entry further on; a note of a spooled device takes their place. False without memory. */
bool terms_follow(cJSON **terms, const struct journal_entry *entry, cJSON *body) MUST_CHECK;
/* What the journal has of the device. */
const cJSON *terms_of(const struct job *job);
/* The profile's copy that the device waits by is this run's. */
bool terms_go_by_copy(const struct job *job);
/* For the next run, which may be without device and manifest, with the name of the profile's copy. */
bool terms_record(struct job *job, enum stage stage, struct muster_error *err) MUST_CHECK;
