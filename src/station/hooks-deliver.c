/* The other end: events are delivered in their order; a hook that fails is left alone until the next time. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "hook-send.h"
#include "hook-spool.h"
#include "hooks.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/log.h"
#include "muster/station-hooks.h"

struct delivery {
	const struct config *config;
	char *directory;
	struct http *http;
	bool *has_failed; /* by hook */
	size_t delivered, left;
	int turn, work; /* locks */
};

static void delivery_done(struct delivery *delivery)
{
	http_free(delivery->http);
	free(delivery->directory);
	free(delivery->has_failed);
	closep(&delivery->turn);
	closep(&delivery->work);
}

/* -- One at a time ------------------------------------------------------------------------------------------------- */

static int open_lock(const struct delivery *delivery, const char *name)
{
	CLEANUP(freep) char *path = text_format("%s/%s", delivery->directory, name);

	return path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
}

/* Whoever waits for the one at work will see what is there by then, so a third has nothing to do. */
static bool take_turn(struct delivery *delivery, bool *ret_is_ours, struct muster_error *err)
{
	delivery->turn = open_lock(delivery, ".turn");
	delivery->work = open_lock(delivery, ".work");
	if (delivery->turn < 0 || delivery->work < 0)
		return muster_fail_errno(err, CAUSE_HOOK_FAILED, errno, "opening the locks in '%s'",
					 PRINTABLE(delivery->directory));
	*ret_is_ours = flock(delivery->turn, LOCK_EX | LOCK_NB) == 0;
	if (!*ret_is_ours)
		return true;
	while (flock(delivery->work, LOCK_EX) < 0)
		if (errno != EINTR)
			return muster_fail_errno(err, CAUSE_HOOK_FAILED, errno,
						 "waiting for another delivery");
	flock(delivery->turn, LOCK_UN);
	return true;
}

/* -- One event ----------------------------------------------------------------------------------------------------- */

static bool find_hook(const struct delivery *delivery, const char *name, size_t *ret_index)
{
	for (size_t i = 0; name && i < delivery->config->hook_count; i++) {
		if (strcmp(delivery->config->hooks[i].name, name) == 0) {
			*ret_index = i;
			return true;
		}
	}
	return false;
}

static bool note_failure(const struct delivery *delivery, cJSON *event,
			 const struct muster_error *failure, struct muster_error *err)
{
	int64_t tries = 0;

	if (!json_int64(event, "tries", &tries))
		tries = 0;
	cJSON_DeleteItemFromObjectCaseSensitive(event, "tries");
	cJSON_DeleteItemFromObjectCaseSensitive(event, "error");
	if (!json_add_int64(event, "tries", tries + 1) ||
	    !json_add_text(event, "error", failure->message))
		return muster_fail_memory(err);
	return hook_spool_write(delivery->directory, event, err);
}

static bool deliver_one(struct delivery *delivery, const char *name, bool *ret_was_delivered,
			struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *event = NULL;
	struct muster_error failure;
	size_t index;

	*ret_was_delivered = false;
	if (!hook_spool_read(delivery->directory, name, &event, &failure)) {
		log_warning("%s, going on", failure.message);
		return true;
	}
	if (!find_hook(delivery, json_text(event, "hook"), &index) || delivery->has_failed[index])
		return true;
	if (!hook_check(&delivery->config->hooks[index], &failure) ||
	    !hook_send(delivery->config, &delivery->config->hooks[index], event, &delivery->http,
		       &failure)) {
		delivery->has_failed[index] = true;
		log_warning("%s, going on", failure.message);
		return note_failure(delivery, event, &failure, err);
	}
	hook_spool_remove(delivery->directory, name);
	delivery->delivered++;
	*ret_was_delivered = true;
	return true;
}

/* Once through what is there. */
static bool deliver_all(struct delivery *delivery, bool *ret_any, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *names = NULL;
	const cJSON *name;

	*ret_any = false;
	delivery->left = 0;
	if (!hook_spool_names(delivery->directory, &names, err))
		return false;
	cJSON_ArrayForEach(name, names)
	{
		bool was_delivered;

		if (!deliver_one(delivery, name->valuestring, &was_delivered, err))
			return false;
		*ret_any |= was_delivered;
		delivery->left += !was_delivered;
	}
	return true;
}

bool hooks_deliver(const struct config *config, const char *journal_path, size_t *ret_delivered,
		   size_t *ret_left, struct muster_error *err)
{
	CLEANUP(delivery_done)
	struct delivery delivery = { .config = config, .turn = -1, .work = -1 };
	bool is_ours = false, any;

	*ret_delivered = *ret_left = 0;
	delivery.directory = file_beside(journal_path, HOOK_DIRECTORY);
	delivery.has_failed = calloc(config->hook_count + 1, sizeof(bool));
	if (!delivery.directory || !delivery.has_failed)
		return muster_fail_memory(err);
	if (access(delivery.directory, F_OK) < 0)
		return true;
	if (!take_turn(&delivery, &is_ours, err))
		return false;
	do {
		if (!is_ours)
			return true;
		if (!deliver_all(&delivery, &any, err))
			return false;
	} while (any);
	*ret_delivered = delivery.delivered;
	*ret_left = delivery.left;
	return true;
}

bool hooks_list(const char *journal_path, cJSON **ret_rows, struct muster_error *err)
{
	CLEANUP(freep) char *directory = file_beside(journal_path, HOOK_DIRECTORY);
	CLEANUP(cJSON_freep) cJSON *names = NULL;
	CLEANUP(cJSON_freep) cJSON *rows = cJSON_CreateArray();
	const cJSON *name;

	if (!directory || !rows)
		return muster_fail_memory(err);
	if (!hook_spool_names(directory, &names, err))
		return false;
	cJSON_ArrayForEach(name, names)
	{
		cJSON *event = NULL;

		if (!hook_spool_read(directory, name->valuestring, &event, err))
			return false;
		cJSON_DeleteItemFromObjectCaseSensitive(event, "atMs");
		if (!cJSON_AddItemToArray(rows, event))
			return muster_fail_memory(err);
	}
	*ret_rows = TAKE_PTR(rows);
	return true;
}
