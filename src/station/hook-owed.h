/* Events that are owed: what a commit makes true is told, whatever comes between. An event of such an end is promised before the commit,
 * in the spool or, where that takes none, in the journal's own transaction, and kept after it. Private to the station. */
#pragma once

#include <cjson/cJSON.h>

#include "muster/error.h"
#include "muster/journal.h"

/* What the journal is called among those that share the folder; part of its path. */
const char *hook_owed_journal(const char *journal_path);

struct hook_owed {
	struct journal *journal;             /* borrowed; NULL: there is none to note anything in */
	const char *directory;               /* of the spool; borrowed */
	const char *journal_path;            /* borrowed */
	const char *operator_name, *station; /* for the notes; borrowed; or NULL */
	cJSON *noted;                        /* events that wait in the journal for the spool */
	int64_t noted_seq;                   /* the last note */
	size_t promised;                     /* noted in the journal, and not kept yet */
};

/* What earlier runs left owed: promises that came true are kept, others broken, and what waits in the journal goes into the spool if
 * that takes it. For whoever writes the journal, and owns the spool. Zero-initialise but for what is borrowed. */
bool hook_owed_open(struct hook_owed *owed, struct muster_error *err) MUST_CHECK;
void hook_owed_done(struct hook_owed *owed);
/* Into the spool or, where that does not work or others wait for it, into the journal. A promise needs a transaction, and is true
 * when that is committed. False: neither worked, and with *err of the journal that takes no more. */
bool hook_owed_write(struct hook_owed *owed, cJSON *event, bool is_promise,
		     struct muster_error *err) MUST_CHECK;
/* After the commit. */
bool hook_owed_keep(struct hook_owed *owed, cJSON *event, int64_t number, struct muster_error *err)
	MUST_CHECK;
void hook_owed_break(struct hook_owed *owed, const cJSON *event);

/* As hook_owed_open(), for whoever does not write the journal: nothing while another does, and nothing is broken. */
bool hook_owed_recover(const char *directory, const char *journal_path, struct muster_error *err)
	MUST_CHECK;
/* The events that are owed; those of a run under way are its own matter. Caller deletes. */
bool hook_owed_list(const char *directory, const char *journal_path, cJSON **ret_events,
		    struct muster_error *err) MUST_CHECK;
