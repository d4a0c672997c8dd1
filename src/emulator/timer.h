/* Things to be done later, on one thread, in the order they fall due. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/error.h"

struct timer;

struct timer *timer_new(struct muster_error *err) MUST_CHECK;
/* Does what is left at once, whether due or not; from then on timer_add() refuses. */
void timer_end(struct timer *timer);
/* After timer_end(). Accepts NULL. */
void timer_free(struct timer *timer);

/* Calls action(context) after so long. False when ending or out of memory. */
typedef void (*timer_action)(void *context);
bool timer_add(struct timer *timer, int64_t wait_ms, timer_action action, void *context) MUST_CHECK;
