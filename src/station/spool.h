/* Devices whose hardware work is done and which wait for the network: what is noted of them, so that they can be sent
 * without being here. Keys are not noted: derived ones are derived again, others stay where they were born. Private to the
 * station. */
#pragma once

#include "job.h"

#define SPOOL_NOT_VERIFIED "not possible: the device was not at hand"

/* The note of a device, one entry further on: {"enrollment", "attestation", "keyCheck", "expires"} and terms.h's, with "at", "operator" and
 * "station" of its entry. A later one is taken out of the body and replaces it; the end of a life ends it: NULL. False without
 * memory. */
bool spool_follow(cJSON **note, const struct journal_entry *entry, cJSON *body);
/* Whether it is of the key that the row has: in place of the spooled one another may have been made since. */
bool spool_is_of(const cJSON *note, const struct journal_device *row);
/* The endorsement key that it is of. */
bool spool_ek(const cJSON *note, struct ek_public *ret_ek, struct muster_error *err) MUST_CHECK;
/* The note that holds for a device; NULL: none. */
bool spool_find(struct journal *journal, const struct journal_device *row, cJSON **ret_note,
		struct muster_error *err) MUST_CHECK;
/* Whether a bundle was made since the device was spooled: another station may have sent it. */
bool spool_look_whether_bundled(const struct job *job, bool *ret_is, struct muster_error *err)
	MUST_CHECK;
/* A device that could not register is not said to be ready: no sync would take it. CAUSE_DEVICE_NEEDED. */
bool spool_check_fit(const struct job *job, struct muster_error *err) MUST_CHECK;
/* What a job without its device goes by, after the journal was read. CAUSE_DEVICE_NEEDED when that is not enough. */
bool spool_take_up(struct job *job, struct muster_error *err) MUST_CHECK;
/* Whether what is about to be sent is what was spooled: CAUSE_SPOOLED_OTHERWISE. With the device at hand the profile may have
 * changed since, but not the keys that it was given. */
bool spool_check(const struct job *job, struct muster_error *err) MUST_CHECK;
/* With the device at hand: before anything is sent, the note becomes that of what is sent, and its profile is kept. */
bool spool_renew(struct job *job, struct muster_error *err) MUST_CHECK;
