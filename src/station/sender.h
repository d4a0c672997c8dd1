/* Creates of many jobs through the bulk engine, which sends tens or singles within the rate budget, and reads back what it is
 * not sure of. Private to the station. */
#pragma once

#include "job.h"

struct sender;

/* Borrows the client. */
bool sender_new(struct dps_client *client, struct sender **ret_sender, struct muster_error *err)
	MUST_CHECK;
void sender_free(struct sender *sender);

/* Queues the job's enrollment; job->answer_is_ready when its fate is known. */
void sender_add(struct sender *sender, struct job *job);
/* The job waits no longer. */
void sender_remove(struct sender *sender, const struct job *job);
/* As dps_bulk_pump. */
bool sender_pump(struct sender *sender, int64_t *ret_wait_ms, struct muster_error *err) MUST_CHECK;
/* Sends no more; what is under way may end. */
void sender_stop(struct sender *sender, const struct muster_error *why);
/* Why it stopped by itself or was stopped; NULL: it did not. Borrowed. */
const struct muster_error *sender_stopped(const struct sender *sender);
