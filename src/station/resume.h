/* What an earlier run of the same device left in the journal. Private to the station. */
#pragma once

#include "job.h"
#include "service-place.h"

/* Takes over from job->device and the entries of its present life: attempt ID, key ID, certificate, evidence, and whether
 * something was sent whose outcome is not known. *ret_sendings: where to. */
bool resume_from_journal(struct job *job, struct service_sendings *ret_sendings,
			 struct muster_error *err) MUST_CHECK;
/* Of what the journal has nothing is taken over but the key's ID: another key is made, certified and wrapped. */
void resume_begin_anew(struct job *job);
/* What the device has registered with is not what is enrolled any more: the verification of an earlier run counts no longer. */
bool resume_forget_verification(struct job *job, struct muster_error *err) MUST_CHECK;
/* Of an entry about a sending: nothing came of it, unless the body calls that "unclear". */
bool resume_is_refusal(const struct journal_entry *entry, const cJSON *body);
