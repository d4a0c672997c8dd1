/* The late duplicate: the same request arrives once more, as from a proxy that held it back. */
#pragma once

#include "request.h"
#include "timer.h"

/* Copies the request; it is served again after so long, without an answer to anybody. */
void replay_schedule(const struct exchange *exchange, struct timer *timer, int64_t wait_ms);
