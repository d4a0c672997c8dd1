/* The record of one device for an auditor: who, when, by which profile, which key, what the service holds. Never a
 * secret. Private to the station. */
#pragma once

#include "job.h"

/* JSON on one line, with a newline at the end. */
bool evidence_print_line(const cJSON *root, char **ret_text, struct muster_error *err) MUST_CHECK;
/* JSON with a newline at the end: indented for people, unless an entry of the journal has no room for that. */
bool evidence_print(const cJSON *root, char **ret_text, struct muster_error *err) MUST_CHECK;
/* Whether such a text has room in an entry. */
bool evidence_fits(const char *text, bool *ret_fits, struct muster_error *err) MUST_CHECK;
/* What the job wants is what it was released with, word for word. */
bool evidence_has_enrollment(const struct job *job);
/* By its mark and the service's clock: the enrollment that was found is not the one that the job's evidence is of, or was written since. */
bool evidence_is_of_former(const struct job *job, const cJSON *found);
/* Whether evidence of what is to be enrolled will have room in an entry; CAUSE_INPUT_TOO_LARGE. */
bool evidence_check_room(const struct job *job, struct muster_error *err) MUST_CHECK;
/* Of the job, as evidence_print() prints it, or as one line. */
bool evidence_compose(struct job *job, char **ret_text, struct muster_error *err) MUST_CHECK;
/* The device's key and what was found out about it. NULL without memory. */
cJSON *evidence_attestation(const struct job *job);
/* That of a device's last release, as the journal has it; NULL: none. */
bool evidence_find(struct journal *journal, const char *registration_id, cJSON **ret_evidence,
		   struct muster_error *err) MUST_CHECK;
/* SHA-256 of the key that it is of, as rows of the journal have it; NULL for derived keys. */
const char *evidence_key_digest(const cJSON *attestation);
/* Whether the device's file in the folder of this run names that key. */
bool evidence_names_key(const struct job *job, enum attest_which which);
/* The attempt that wrote the enrollment that it is of: another station's, or NULL, where that was taken over. */
const char *evidence_attempt(const cJSON *evidence);
/* JOURNAL_VERIFIED, ...; NULL for no evidence. */
const char *evidence_verification(const cJSON *evidence);
/* What the attest stage would have recorded of a key with a certificate, made again from that; for a journal that did not see
 * it. NULL when there is no such key. */
bool evidence_attest_outcome(const cJSON *attestation, enum attest_which which, cJSON **ret_body,
			     struct muster_error *err) MUST_CHECK;
/* The same of a key that was wrapped for its device, and of one that was destroyed in its token then. NULL when it was not. */
bool evidence_wrap_outcome(const cJSON *attestation, enum attest_which which, cJSON **ret_body,
			   struct muster_error *err) MUST_CHECK;
bool evidence_destroy_outcome(const cJSON *attestation, enum attest_which which, cJSON **ret_body,
			      struct muster_error *err) MUST_CHECK;
/* station_evidence_path() of a job. */
char *evidence_path(const struct job *job, const char *suffix);
/* ID.evidence.NUMBER.json beside ID.evidence.json. NULL without memory. */
char *evidence_former_path(const char *path, unsigned number);
/* Copies what another attempt has written there to the first number that is free. Nothing where there is no file. */
bool evidence_keep_former(const char *path, const char *attempt_id, struct muster_error *err)
	MUST_CHECK;
