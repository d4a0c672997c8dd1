#include "sender.h"

#include <stdlib.h>
#include <string.h>

#include "muster/dps-bulk.h"
#include "muster/json.h"

struct sender {
	struct dps_bulk *bulk;
	struct job *jobs[JOBS_MAX]; /* in the order they came; NULL: gone */
	size_t count;
	size_t taken; /* of them by the engine, from the first on */
};

/* -- What the engine asks and tells ---------------------------------------------------------------------------- */

static bool fill_item(const struct job *job, struct dps_bulk_item *ret_item)
{
	*ret_item = (struct dps_bulk_item){
		.id = strdup(job->registration_id),
		.line = json_print_line(job->enrollment),
		.tag = (uint64_t)(uintptr_t)job,
	};
	return ret_item->id && ret_item->line;
}

static bool give(void *context, struct dps_bulk_item *ret_item, bool *ret_has,
		 struct muster_error *err)
{
	struct sender *sender = context;

	*ret_has = sender->taken < sender->count;
	if (!*ret_has)
		return true;
	return fill_item(sender->jobs[sender->taken++], ret_item) || muster_fail_memory(err);
}

static size_t find(const struct sender *sender, uint64_t tag)
{
	size_t i = 0;

	while (i < sender->count && (uint64_t)(uintptr_t)sender->jobs[i] != tag)
		i++;
	return i;
}

static void forget(struct sender *sender, size_t index)
{
	memmove(&sender->jobs[index], &sender->jobs[index + 1],
		(sender->count - index - 1) * sizeof(sender->jobs[0]));
	sender->count--;
	sender->taken -= index < sender->taken;
}

static void settle(struct sender *sender, size_t index, enum dps_bulk_fate fate, bool is_unclear,
		   const struct muster_error *why)
{
	struct job *job = sender->jobs[index];

	job->fate_is_unclear = is_unclear;
	job->fate = fate;
	job->fate_why = why ? *why : (struct muster_error){ 0 };
	job->answer_is_ready = true;
	forget(sender, index);
}

static bool take(void *context, const struct dps_bulk_item *item, enum dps_bulk_fate fate,
		 const struct muster_error *why, struct muster_error *err)
{
	struct sender *sender = context;
	size_t index = find(sender, item->tag);

	(void)err;
	if (index < sender->count)
		settle(sender, index, fate, item->is_unclear, why);
	return true;
}

/* An engine that has stopped takes none. */
static void give_up_untaken(struct sender *sender)
{
	const struct muster_error *why = dps_bulk_stopped(sender->bulk);

	while (why && sender->taken < sender->count)
		settle(sender, sender->taken, DPS_BULK_OPEN, false, why);
}

/* -- For the loop ------------------------------------------------------------------------------------------------ */

bool sender_new(struct dps_client *client, struct sender **ret_sender, struct muster_error *err)
{
	struct sender *sender = calloc(1, sizeof(*sender));
	const struct dps_bulk_owner owner = { give, take, sender };

	if (!sender)
		return muster_fail_memory(err);
	sender->bulk = dps_bulk_new(client, DPS_BULK_CREATE, &owner, err);
	if (!sender->bulk) {
		free(sender);
		return false;
	}
	*ret_sender = sender;
	return true;
}

void sender_free(struct sender *sender)
{
	if (!sender)
		return;
	dps_bulk_free(sender->bulk);
	free(sender);
}

void sender_add(struct sender *sender, struct job *job)
{
	sender->jobs[sender->count++] = job;
	job->operation = OPERATION_SENDER;
}

void sender_remove(struct sender *sender, const struct job *job)
{
	size_t index = find(sender, (uint64_t)(uintptr_t)job);

	if (index < sender->count)
		forget(sender, index);
}

bool sender_pump(struct sender *sender, int64_t *ret_wait_ms, struct muster_error *err)
{
	if (!dps_bulk_pump(sender->bulk, ret_wait_ms, err))
		return false;
	give_up_untaken(sender);
	return true;
}

void sender_stop(struct sender *sender, const struct muster_error *why)
{
	dps_bulk_stop(sender->bulk, why);
}

const struct muster_error *sender_stopped(const struct sender *sender)
{
	return dps_bulk_stopped(sender->bulk);
}
