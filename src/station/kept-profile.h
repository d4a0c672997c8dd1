/* Copies of the profiles by which devices wait, beside the journal: a device is finished by the profile that it was begun
 * with, whatever has become of the file. Private to the station. */
#pragma once

#include "muster/profile.h"

/* Keeps the file that *profile was read from, unless it is kept already. CAUSE_PROFILE_NOT_KEPT when it has changed since. */
bool kept_profile_keep(const char *journal_path, const struct profile *profile,
		       struct muster_error *err) MUST_CHECK;
/* Whether there is a copy of one with that digest. Only memory can fail. */
bool kept_profile_look(const char *journal_path, const char *digest, bool *ret_is_kept,
		       struct muster_error *err) MUST_CHECK;
/* CAUSE_PROFILE_NOT_KEPT when there is none with that digest. */
bool kept_profile_load(const char *journal_path, const char *digest, struct profile *ret_profile,
		       struct profile_report *report, struct muster_error *err) MUST_CHECK;
