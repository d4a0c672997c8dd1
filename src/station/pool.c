#include "pool.h"

#include <stdlib.h>
#include <string.h>

#include "custody.h"
#include "token.h"

struct lease {
	struct custody token; /* without journal; its lines are the sessions */
	struct job *holders[CUSTODY_LINES_MAX];
	size_t holder_count;
	size_t held_at_death; /* by so many; 0: it is alive, as far as anybody has found out */
};

static void lease_free(struct lease *lease)
{
	custody_done(&lease->token);
	free(lease);
}

/* Who holds a session of a worker that died finds out by using it. */
static void give_up(struct pool *pool)
{
	struct lease *lease = TAKE_PTR(pool->lease);

	pool->has_died = true;
	if (lease->holder_count == 0)
		lease_free(lease);
}

enum pool_state pool_look(struct pool *pool)
{
	if (pool->opener)
		return POOL_OPENING;
	if (pool->lease && !worker_is_alive(pool->lease->token.hsm))
		give_up(pool);
	return pool->lease ? POOL_OPEN : POOL_CLOSED;
}

size_t pool_capacity(const struct pool *pool)
{
	return pool->lease && !pool->opener ? pool->lease->token.line_count : 1;
}

/* -- Opening --------------------------------------------------------------------------------------------------- */

static void hold(struct lease *lease, size_t line, struct job *job)
{
	lease->holders[line] = job;
	lease->holder_count++;
	job->lease = lease;
	job->hsm = lease->token.lines[line];
}

bool pool_begin(struct pool *pool, struct job *job, struct muster_error *err)
{
	const struct station_module *module = &job->run->module;
	struct lease *lease = calloc(1, sizeof(*lease));

	if (!lease)
		return muster_fail_memory(err);
	if (!custody_spawn(&lease->token, module, err)) {
		lease_free(lease);
		return false;
	}
	pool->lease = lease;
	pool->opener = job;
	hold(lease, 0, job);
	return true;
}

bool pool_is_opener(const struct pool *pool, const struct job *job)
{
	return pool->opener == job;
}

bool pool_opened(struct pool *pool, const struct token_facts *facts, struct muster_error *err)
{
	if (!pool->facts.serial)
		return token_facts_copy(&pool->facts, facts, err);
	return token_is_same(&pool->facts, facts) ||
	       muster_fail(err, CAUSE_TOKEN_GONE,
			   "another token (label '%s', serial %s) is in the place of token '%s', "
			   "serial %s; no login was tried",
			   PRINTABLE(facts->label), PRINTABLE(facts->serial),
			   PRINTABLE(pool->facts.label), PRINTABLE(pool->facts.serial));
}

bool pool_ready(struct pool *pool, struct muster_error *err)
{
	if (!pool->has_died && !custody_join(&pool->lease->token, pool->wanted, err))
		return false;
	token_watch(&pool->facts, pool->lease->token.hsm);
	pool->opener = NULL;
	return true;
}

/* -- Holding --------------------------------------------------------------------------------------------------- */

bool pool_take(struct pool *pool, struct job *job)
{
	struct lease *lease = pool->lease;

	for (size_t i = 0; !job->lease && i < lease->token.line_count; i++)
		if (!lease->holders[i])
			hold(lease, i, job);
	return job->lease != NULL;
}

bool pool_was_shared(struct job *job)
{
	struct lease *lease = job->lease;

	if (!lease || worker_is_alive(job->hsm))
		return false;
	if (lease->held_at_death == 0)
		lease->held_at_death = lease->holder_count;
	return lease->held_at_death > 1;
}

void pool_leave(struct pool *pool, struct job *job)
{
	struct lease *lease = TAKE_PTR(job->lease);

	job->hsm = NULL;
	if (!lease)
		return;
	for (size_t i = 0; i < CUSTODY_LINES_MAX; i++)
		if (lease->holders[i] == job)
			lease->holders[i] = NULL;
	lease->holder_count--;
	if (pool->opener == job) {
		pool->opener = NULL;
		pool->lease = NULL;
	}
	if (lease != pool->lease && lease->holder_count == 0)
		lease_free(lease);
}

void pool_done(struct pool *pool)
{
	if (pool->lease)
		lease_free(pool->lease);
	token_facts_done(&pool->facts);
	*pool = (struct pool){ 0 };
}
