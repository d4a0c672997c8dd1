/* What the journal says of counters, from entry to entry. Private to the station. */
#pragma once

#include <cjson/cJSON.h>

#include "counter.h"

/* The last announcement of a counter, and the first that did not follow from the one before it. */
struct counter_point {
	char index[COUNTER_INDEX_SIZE];
	int64_t value, entry;
	struct {
		int64_t value, entry, value_before, entry_before; /* entry 0: there was none */
	} jump;
};

struct counter_trail {
	struct counter_point *points;
	size_t count;
};

void counter_trail_done(struct counter_trail *trail);
/* The body of an entry of stage "journal". `*ret_point` is borrowed until the next call, NULL when the entry announces nothing. */
bool counter_trail_take(struct counter_trail *trail, int64_t entry, const cJSON *body,
			const struct counter_point **ret_point, struct muster_error *err)
	MUST_CHECK;
/* A counter's values go up by one, and one is announced again after a cut; anything else is CAUSE_JOURNAL_CUT: an older copy was put
 * back and signed on with the counter as it stood, or another counter has the index now. Such a counter proves nothing. */
bool counter_point_check(const struct counter_point *point, struct muster_error *err) MUST_CHECK;
/* NULL: never announced. */
const struct counter_point *counter_trail_find(const struct counter_trail *trail,
					       const char *index);
