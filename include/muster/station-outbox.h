/* What a person does about devices that wait: put them back, or decide about them. Both are entries of the journal. */
#pragma once

#include <cjson/cJSON.h>

#include "muster/journal.h"

/* Texts borrowed. */
struct station_decision {
	const char *reason;
	const char *operator_name; /* NULL: the login user */
};

/* Whether it waits for anything at all, dead letters included: CAUSE_NOT_WAITING. */
bool station_outbox_check(const struct journal_device *device, struct muster_error *err) MUST_CHECK;
/* Gives a device a new budget, and whatever it waited for is tried again. The journal is open for writing, outside of a
 * transaction. */
bool station_outbox_retry(struct journal *journal, const struct journal_device *device,
			  const struct station_decision *decision, struct muster_error *err)
	MUST_CHECK;
/* Ends the waiting: the device is JOURNAL_FAILED (there is no enrollment of ours) or JOURNAL_RETIRED (it is gone by decision),
 * and its key is free. */
bool station_outbox_resolve(struct journal *journal, const struct journal_device *device,
			    enum journal_state state, const struct station_decision *decision,
			    struct muster_error *err) MUST_CHECK;
/* Whether the life of a device ended with this entry: by such a decision, or because it was retired. */
bool station_life_ends(const struct journal_entry *entry, const cJSON *body);
