/* A budget of requests in one of three shapes. Clients are not told which, so they must not depend on it.
 *
 *   MODEL:RATE/WINDOW_S[:burst=N][:count=call|item][:on=service|register|poll]
 *
 *   fixed    RATE per window, windows begin at whole multiples since start
 *   sliding  RATE within any span as long as the window
 *   bucket   refilled evenly with RATE per window, holds at most burst (RATE when not given)
 *
 * count=item charges a bulk request for each of its items; on= says which requests (service when not given). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/error.h"

enum throttle_model { THROTTLE_FIXED, THROTTLE_SLIDING, THROTTLE_BUCKET };
enum throttle_scope { THROTTLE_SERVICE, THROTTLE_REGISTER, THROTTLE_POLL };

#define THROTTLE_RATE_MAX 100000

struct throttle {
	enum throttle_model model;
	enum throttle_scope scope;
	bool counts_items;
	int64_t rate;
	int64_t window_ms;
	int64_t burst;

	int64_t window_start_ms; /* fixed; bucket: last refill */
	int64_t used;            /* fixed: in this window; bucket: rate * ms owed, see throttle.c */
	int64_t *times;          /* sliding: ring of the last `rate` moments */
	size_t head, filled;
	bool started;
};

bool throttle_parse(const char *spec, struct throttle *ret_throttle, struct muster_error *err)
	MUST_CHECK;
/* Takes cost from the budget at the moment now_ms (never going back); or takes nothing, returns false and says after
 * how many whole seconds to come back. A cost above the whole budget passes when the budget is untouched. Not locked. */
bool throttle_take(struct throttle *throttle, int64_t now_ms, int64_t cost,
		   int64_t *ret_retry_after_s);
void throttle_done(struct throttle *throttle);
