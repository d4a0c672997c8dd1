/* What the verbs of the journal share: opening it, naming a device, filtering by state and time. */
#pragma once

#include "muster/journal.h"

#include "cli-internal.h"

/* A row for the option struct's member `journal`. */
/* clang-format off */
#define JOURNAL_ROW(options) \
	{ 'j', "journal", NULL, OPTION_TEXT, "FILE", "Journal of this station", offsetof(options, journal), \
	  "MUSTER_JOURNAL", NULL, 0 }
/* clang-format on */

/* `given` NULL: the configuration's, or the default one. Caller frees. */
bool journal_verb_path(const char *given, char **ret_path, struct muster_error *err) MUST_CHECK;
/* Where its evidence is, from the root on: `given`, the configuration's, or the folder beside it. Caller frees. */
bool journal_verb_evidence(const char *given, const char *journal, char **ret_directory,
			   struct muster_error *err) MUST_CHECK;
/* For reading. */
bool journal_verb_open(const char *given, struct journal **ret_journal, struct muster_error *err)
	MUST_CHECK;

/* For writing; one that is not there is CAUSE_INPUT_NOT_FOUND and not made only to find nothing in it. */
bool journal_verb_open_to_write(const char *given, struct journal **ret_journal,
				struct muster_error *err) MUST_CHECK;

/* Which devices. */
struct journal_filter {
	unsigned states;          /* bits 1 << enum journal_state; 0: all */
	int64_t since_ms;         /* changed at or after */
	int64_t after;            /* by an entry behind this one; -1: not asked */
	const char *verification; /* NULL: any */
};
/* The options for them. */
struct journal_which {
	struct option_list states;
	const char *verification; /* one of journal_verification_choices; NULL: any */
	const char *since;
};
extern const char *const journal_verification_choices[];
/* Rows for the option struct's member `which`. */
/* clang-format off */
#define JOURNAL_WHICH_ROWS(options) \
	{ 0, "state", NULL, OPTION_LIST, "STATE", \
	  "Only working, parked, spooled, dead-letter, released, failed or retired; may be repeated", \
	  offsetof(options, which.states), NULL, NULL, 0 }, \
	{ 0, "verification", NULL, OPTION_ONE_OF, "WORD", "Only what was released so: verified, not-asked or put-off", \
	  offsetof(options, which.verification), NULL, journal_verification_choices, 0 }, \
	{ 0, "since", NULL, OPTION_TEXT, "TIME", "Only what changed since: a time, a date, 'today', an age (2h, 7d), or entry:N", \
	  offsetof(options, which.since), NULL, NULL, 0 }
/* clang-format on */
/* A time is RFC 3339, a date, "today", or an age: 90s, 30m, 2h, 7d; "entry:N" is behind an entry, whatever the clock said. */
bool journal_filter_read(const struct journal_which *which, struct journal_filter *ret_filter,
			 struct muster_error *err) MUST_CHECK;
bool journal_filter_takes(const struct journal_filter *filter, const struct journal_device *device);

/* The choices of --by; the first one is "any". */
extern const char *const journal_key_choices[];
/* clang-format off */
#define BY_ROW(type, member) \
	{ 0, "by", NULL, OPTION_CHOICE, "KIND", "What DEVICE is: any, registration-id, serial, device-id, key or key-id", \
	  offsetof(type, member), NULL, journal_key_choices, 0 }
/* clang-format on */
#define JOURNAL_NAME_SIZE 256
/* The device that `name` is a name of, or was: *ret_former is the key, or its ID, when another life of it had that, else "". */
bool journal_verb_find_ever(struct journal *journal, int by, const char *name,
			    struct journal_device *ret_device, char ret_former[JOURNAL_NAME_SIZE],
			    struct muster_error *err) MUST_CHECK;
/* When the life began and ended that had this key, and why it ended: {"key", "from", "until", "reason"}. Caller deletes. */
bool journal_life_of_key(struct journal *journal, const char *registration_id, const char *key,
			 cJSON **ret_life, struct muster_error *err) MUST_CHECK;
/* The device that `name` is a name of now. CAUSE_DEVICE_NOT_IN_JOURNAL; CAUSE_DEVICE_AMBIGUOUS when it names two. */
bool journal_verb_find(struct journal *journal, int by, const char *name,
		       struct journal_device *ret_device, struct muster_error *err) MUST_CHECK;
/* A line for each member, for people; none for `without`. */
bool journal_print_members(const cJSON *object, const cJSON *without, struct muster_error *err)
	MUST_CHECK;
