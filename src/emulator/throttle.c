#include "throttle.h"

#include <stdlib.h>
#include <string.h>

#include "spec.h"

static const char *const models[] = { "fixed", "sliding", "bucket" };
static const char *const scopes[] = { "service", "register", "poll" };
static const char *const counts[] = { "call", "item" };

/* -- Grammar ----------------------------------------------------------------------------------------------- */

static bool parse_rate(const struct spec_part *part, struct throttle *throttle)
{
	char text[64];
	int64_t window_s;

	(void)memcpy(text, part->name, sizeof(text));
	char *slash = strchr(text, '/');
	if (!slash || part->has_value)
		return false;
	*slash = '\0';
	if (!text_to_int64(text, 1, THROTTLE_RATE_MAX, &throttle->rate) ||
	    !text_to_int64(slash + 1, 1, 86400, &window_s))
		return false;
	throttle->window_ms = window_s * 1000;
	throttle->burst = throttle->rate;
	return true;
}

static bool parse_option(const struct spec_part *part, struct throttle *throttle)
{
	size_t choice;

	if (strcmp(part->name, "burst") == 0)
		return text_to_int64(part->value, 1, THROTTLE_RATE_MAX, &throttle->burst);
	if (strcmp(part->name, "count") == 0 &&
	    spec_choice(part->value, counts, ARRAY_SIZE(counts), &choice)) {
		throttle->counts_items = choice == 1;
		return true;
	}
	if (strcmp(part->name, "on") == 0 &&
	    spec_choice(part->value, scopes, ARRAY_SIZE(scopes), &choice)) {
		throttle->scope = (enum throttle_scope)choice;
		return true;
	}
	return false;
}

bool throttle_parse(const char *spec, struct throttle *ret_throttle, struct muster_error *err)
{
	struct throttle throttle = { 0 };
	struct spec_part part;
	const char *rest = spec;
	size_t model;

	if (!spec_next(&rest, &part) || part.has_value ||
	    !spec_choice(part.name, models, ARRAY_SIZE(models), &model))
		return muster_fail(err, CAUSE_USAGE,
				   "--throttle '%s': begins with fixed, sliding or bucket",
				   PRINTABLE(spec));
	throttle.model = (enum throttle_model)model;
	if (!spec_next(&rest, &part) || !parse_rate(&part, &throttle))
		return muster_fail(err, CAUSE_USAGE,
				   "--throttle '%s': needs a rate and a window, such as 100/60",
				   PRINTABLE(spec));
	while (spec_next(&rest, &part))
		if (!parse_option(&part, &throttle))
			return muster_fail(err, CAUSE_USAGE,
					   "--throttle '%s': '%s' is not understood",
					   PRINTABLE(spec), PRINTABLE(part.name));
	if (*rest != '\0')
		return muster_fail(err, CAUSE_USAGE, "--throttle '%s': a part is empty or too long",
				   PRINTABLE(spec));
	if (throttle.model == THROTTLE_SLIDING) {
		throttle.times = calloc((size_t)throttle.rate, sizeof(*throttle.times));
		if (!throttle.times)
			return muster_fail_memory(err);
	}
	*ret_throttle = throttle;
	return true;
}

/* -- The three models -------------------------------------------------------------------------------------- */

static int64_t whole_seconds(int64_t ms)
{
	return ms <= 0 ? 1 : (ms + 999) / 1000;
}

static bool take_fixed(struct throttle *throttle, int64_t now_ms, int64_t cost,
		       int64_t *ret_wait_ms)
{
	int64_t passed = now_ms - throttle->window_start_ms;

	if (passed >= throttle->window_ms) {
		throttle->window_start_ms += passed / throttle->window_ms * throttle->window_ms;
		throttle->used = 0;
	}
	if (throttle->used > 0 && throttle->used + cost > throttle->rate) {
		*ret_wait_ms = throttle->window_start_ms + throttle->window_ms - now_ms;
		return false;
	}
	throttle->used += cost;
	return true;
}

static int64_t *ring_at(struct throttle *throttle, size_t index)
{
	return &throttle->times[(throttle->head + index) % (size_t)throttle->rate];
}

static bool take_sliding(struct throttle *throttle, int64_t now_ms, int64_t cost,
			 int64_t *ret_wait_ms)
{
	while (throttle->filled > 0 && *ring_at(throttle, 0) + throttle->window_ms <= now_ms) {
		throttle->head = (throttle->head + 1) % (size_t)throttle->rate;
		throttle->filled--;
	}
	size_t wanted = (size_t)(cost < throttle->rate ? cost : throttle->rate);
	size_t room = (size_t)throttle->rate - throttle->filled;
	if (wanted > room) {
		*ret_wait_ms = *ring_at(throttle, wanted - room - 1) + throttle->window_ms - now_ms;
		return false;
	}
	for (size_t i = 0; i < wanted; i++)
		*ring_at(throttle, throttle->filled++) = now_ms;
	return true;
}

/* `used` counts in units of 1/window_ms tokens, so that refilling stays exact. */
static bool take_bucket(struct throttle *throttle, int64_t now_ms, int64_t cost,
			int64_t *ret_wait_ms)
{
	int64_t passed = now_ms - throttle->window_start_ms;
	int64_t most = throttle->burst * throttle->window_ms;

	throttle->window_start_ms = now_ms;
	if (passed > throttle->used / throttle->rate)
		throttle->used = 0;
	else
		throttle->used -= passed * throttle->rate;
	int64_t wanted = cost * throttle->window_ms;
	if (throttle->used > 0 && throttle->used + wanted > most) {
		int64_t over = throttle->used + wanted - most;
		*ret_wait_ms = (over < throttle->used ? over : throttle->used) / throttle->rate + 1;
		return false;
	}
	throttle->used += wanted;
	return true;
}

typedef bool (*take_function)(struct throttle *, int64_t, int64_t, int64_t *);
static const take_function take_functions[] = { take_fixed, take_sliding, take_bucket };

bool throttle_take(struct throttle *throttle, int64_t now_ms, int64_t cost,
		   int64_t *ret_retry_after_s)
{
	int64_t wait_ms = 0;

	if (!throttle->started) {
		throttle->window_start_ms = now_ms;
		throttle->started = true;
	}
	if (take_functions[throttle->model](throttle, now_ms, cost, &wait_ms))
		return true;
	*ret_retry_after_s = whole_seconds(wait_ms);
	return false;
}

void throttle_done(struct throttle *throttle)
{
	free(throttle->times);
	throttle->times = NULL;
}
