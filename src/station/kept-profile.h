/* Copies of the profiles by which devices wait, beside the journal: a device is finished by the profile that it was begun
 * with, whatever has become of the file. Private to the station. */
#pragma once

#include <cjson/cJSON.h>

#include "muster/journal.h"
#include "muster/profile.h"

/* What the copy of a profile goes by: its digest, or, where it names files beside itself, one of that and its folder. So the same
 * text in two folders, with other keys in each, is kept twice. */
bool kept_profile_name(const struct profile *profile, char ret_name[SHA256_HEX_SIZE],
		       struct muster_error *err) MUST_CHECK;
/* Keeps the file that *profile was read from, unless it is kept already. CAUSE_PROFILE_NOT_KEPT when it has changed since. */
bool kept_profile_keep(const char *journal_path, const struct profile *profile,
		       struct muster_error *err) MUST_CHECK;
/* Whether there is a copy of that name. Only memory can fail. */
bool kept_profile_look(const char *journal_path, const char *name, bool *ret_is_kept,
		       struct muster_error *err) MUST_CHECK;
/* The copy of that name, or, by the digest as name, the first of that text that was kept: CAUSE_PROFILE_NOT_KEPT when there is
 * none. */
bool kept_profile_load(const char *journal_path, const char *digest, const char *name,
		       struct profile *ret_profile, struct profile_report *report,
		       struct muster_error *err) MUST_CHECK;

/* -- Which copy a device goes by ---------------------------------------------------------------------------------- */

/* It stands in the entry beside what was spooled (spool.c) or asked (terms.h), where the digest of the row does not tell. False
 * without memory. */
bool kept_profile_add(cJSON *body, const char *digest, const char *name) MUST_CHECK;
/* The name, one entry further on; "": the row's digest, also where the journal is of before. */
void kept_profile_follow(char name[SHA256_HEX_SIZE], const struct journal_entry *entry,
			 const cJSON *body);
