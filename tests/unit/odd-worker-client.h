/* The odd worker (odd-worker.c), as tests start and greet it. Behind unit.h. */
#pragma once

#include <string.h>

#include "muster/worker.h"

static inline struct worker *spawn(const char *const *environment)
{
	struct worker *worker = NULL;
	struct muster_error err;

	assert_good(worker_spawn("odd-worker", environment, &worker, &err), err);
	return worker;
}

static inline bool say_hello(struct worker *worker, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	struct worker_message request;

	worker_request_init(&request, WORKER_HELLO);
	return worker_call(worker, &request, &reply, err) &&
	       strcmp(worker_text(&reply, FIELD_VERSION), MUSTER_VERSION) == 0;
}
