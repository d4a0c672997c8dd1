/* The token of a run: opened and logged in to once, with a session for each device under way. When its worker dies, the
 * devices are taken up again in a fresh one, where the same token has to be, and from then on one at a time. Private to
 * the station. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/error.h"

#include "pin.h"

struct job;

/* A token as it showed itself when it was opened. */
struct token_facts {
	char *label;
	char *serial;
	char *manufacturer;
	char *model;
	char *flag_words; /* "initialized login-required ..." */
	uint64_t slot;
	struct pin_try attempt; /* under way */
};

struct lease; /* one worker with its sessions */

struct pool {
	size_t wanted;            /* sessions */
	struct lease *lease;      /* the present one, or NULL */
	const struct job *opener; /* who is opening it and logging in; NULL: nobody */
	bool has_died;            /* a worker did, in this run */
	struct token_facts facts; /* of the token that was opened first */
};

/* How many devices may be under way at once. */
size_t pool_capacity(const struct pool *pool);

enum pool_state {
	POOL_CLOSED,
	POOL_OPENING, /* by another device */
	POOL_OPEN,
};
enum pool_state pool_look(struct pool *pool);

/* Starts a worker; the job has its first session in job->hsm, opens the token and logs in. */
bool pool_begin(struct pool *pool, struct job *job, struct muster_error *err) MUST_CHECK;
bool pool_is_opener(const struct pool *pool, const struct job *job);
/* It has opened this token: CAUSE_TOKEN_GONE when it is not that of the run's beginning. */
bool pool_opened(struct pool *pool, const struct token_facts *facts, struct muster_error *err)
	MUST_CHECK;
/* It has logged in: opens the other sessions. */
bool pool_ready(struct pool *pool, struct muster_error *err) MUST_CHECK;
/* A session in job->hsm until pool_leave. False when all are taken. */
bool pool_take(struct pool *pool, struct job *job);
/* Its worker has died, and other jobs had sessions there. To be asked before it leaves. */
bool pool_was_shared(struct job *job);
/* The job is done with the token. */
void pool_leave(struct pool *pool, struct job *job);
void pool_done(struct pool *pool);
