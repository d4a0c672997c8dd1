/* Devices whose hardware work is done and which wait for the network: what is noted of them, so that they can be sent
 * without being here. Keys are not noted: derived ones are derived again, others stay where they were born. Private to the
 * station. */
#pragma once

#include "job.h"

#define SPOOL_NOT_VERIFIED "not possible: the device was not at hand"

/* A note that was read: {"enrollment", "attestation", "keyCheck", "expires"}; it gets "at", "operator" and "station" of
 * its entry. False without memory. */
bool spool_take(struct job *job, const struct journal_entry *entry, const cJSON *spooled);
/* Adds who made the note and when, unless it says so already because it came from another station. */
bool spool_sign_note(cJSON *note, const struct journal_entry *entry);
/* What a job without its device goes by, after the journal was read. CAUSE_DEVICE_NEEDED when that is not enough. */
bool spool_take_up(struct job *job, struct muster_error *err) MUST_CHECK;
/* Whether what is about to be sent is what was spooled: CAUSE_SPOOLED_OTHERWISE, CAUSE_CERTIFICATE_EXPIRED. */
bool spool_check(struct job *job, struct muster_error *err) MUST_CHECK;
