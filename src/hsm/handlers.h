/* What the HSM worker may be asked. Private to the worker's program. */
#pragma once

#include <stddef.h>

#include "muster/worker.h"

/* Context is a struct hsm. */
#define HSM_HANDLER(name)                                              \
	bool name(void *context, const struct worker_message *request, \
		  struct worker_message *reply, struct muster_error *err)

enum { HSM_HANDLERS_MAX = 32 }; /* of both tables */

/* A session of it. */
extern const struct worker_handler hsm_session_handlers[];
extern const size_t hsm_session_handler_count;
/* The worker itself: it opens and logs in. */
extern const struct worker_handler hsm_own_handlers[];
extern const size_t hsm_own_handler_count;
