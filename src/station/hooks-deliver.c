/* The other end: events are delivered in their order. A hook that is not there, or has refused several in a row, is left alone until
 * the next time; one event that is refused holds up no others. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "hook-owed.h"
#include "hook-send.h"
#include "hook-spool.h"
#include "hooks.h"
#include "muster/clock.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/log.h"
#include "muster/station-hooks.h"

enum {
	REFUSALS_MAX = 5, /* of one event; then a person has to look */
	/* Events refused in a row; then it is not the events. One of them is tried for the first time, if there is such a one. */
	ROW_MAX = 3,
	WAIT_MIN_MS = 10 * 1000,
	WAIT_MAX_MS = 60 * 60 * 1000,
};

/* How a hook fares, on one way through the events. */
struct standing {
	unsigned refused; /* in a row */
	bool is_left;     /* for this time */
};

struct delivery {
	const struct config *config;
	char *directory;
	struct http *http;
	struct standing *standings; /* by hook */
	bool only_due;
	int64_t begun_ms;
	cJSON *put_off; /* names of files, on one way through the events */
	struct hooks_delivery counts;
	int turn, work; /* locks */
};

static void delivery_done(struct delivery *delivery)
{
	http_free(delivery->http);
	cJSON_Delete(delivery->put_off);
	free(delivery->directory);
	free(delivery->standings);
	closep(&delivery->turn);
	closep(&delivery->work);
}

/* Whoever waits for the one at work will see what is there by then, so a third that nobody asks what came of it has nothing to do. */
static bool take_turn(struct delivery *delivery, bool leaves_to_next, bool *ret_is_ours,
		      struct muster_error *err)
{
	CLEANUP(freep) char *path = text_format("%s/.turn", delivery->directory);

	if (!path)
		return muster_fail_memory(err);
	delivery->turn = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (delivery->turn < 0)
		return muster_fail_errno(err, CAUSE_HOOK_FAILED, errno, "opening '%s'",
					 PRINTABLE(path));
	*ret_is_ours = flock(delivery->turn, LOCK_EX | LOCK_NB) == 0;
	if (!*ret_is_ours && leaves_to_next)
		return true;
	*ret_is_ours = true;
	if (!hook_spool_wait(delivery->turn, err) ||
	    !hook_spool_lock(delivery->directory, &delivery->work, err))
		return false;
	flock(delivery->turn, LOCK_UN);
	return true;
}

/* -- When it is due ------------------------------------------------------------------------------------------------ */

static int64_t number_of(const cJSON *event, const char *name)
{
	int64_t number;

	return json_int64(event, name, &number) ? number : 0;
}

/* After its first try, its second, and so on. */
static int64_t wait_after(int64_t tries)
{
	int64_t wait_ms = WAIT_MIN_MS;

	while (--tries > 0 && wait_ms < WAIT_MAX_MS)
		wait_ms *= 2;
	return wait_ms < WAIT_MAX_MS ? wait_ms : WAIT_MAX_MS;
}

static bool is_due(const struct delivery *delivery, const cJSON *event)
{
	int64_t tries = number_of(event, "tries"), tried_ms = number_of(event, "triedMs");
	int64_t now_ms = clock_wall_ms();

	/* A clock that was set back keeps nothing waiting. */
	if (tries == 0 || tried_ms > now_ms)
		return true;
	return tried_ms < delivery->begun_ms &&
	       (!delivery->only_due || now_ms - tried_ms >= wait_after(tries));
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

static bool set(cJSON *event, const char *name, cJSON *value)
{
	cJSON_DeleteItemFromObjectCaseSensitive(event, name);
	return value && json_add_item(event, name, value);
}

static bool set_aside(struct delivery *delivery, cJSON *event, const char *why,
		      struct muster_error *err)
{
	delivery->counts.set_aside++;
	delivery->counts.given_up++;
	if (!set(event, "setAside", cJSON_CreateTrue()) ||
	    !set(event, "error", cJSON_CreateString(why)))
		return muster_fail_memory(err);
	return hook_spool_write(delivery->directory, event, err);
}

static bool note_failure(struct delivery *delivery, cJSON *event,
			 const struct muster_error *failure, struct muster_error *err)
{
	bool was_refused = failure->cause == CAUSE_HOOK_REFUSED;
	int64_t refusals = was_refused ? number_of(event, "refusals") + 1 : 0;
	int64_t tries = number_of(event, "tries") + 1;

	log_warning("%s, going on", failure->message);
	cJSON_DeleteItemFromObjectCaseSensitive(event, "tries");
	cJSON_DeleteItemFromObjectCaseSensitive(event, "refusals");
	cJSON_DeleteItemFromObjectCaseSensitive(event, "triedMs");
	if (!json_add_int64(event, "tries", tries) ||
	    !json_add_int64(event, "refusals", refusals) ||
	    !json_add_int64(event, "triedMs", clock_wall_ms()))
		return muster_fail_memory(err);
	if (refusals >= REFUSALS_MAX)
		return set_aside(delivery, event, failure->message, err);
	delivery->counts.left++;
	if (!set(event, "error", cJSON_CreateString(failure->message)))
		return muster_fail_memory(err);
	return hook_spool_write(delivery->directory, event, err);
}

static void note_standing(struct standing *standing, bool was_refused)
{
	standing->is_left = !was_refused || ++standing->refused == ROW_MAX;
}

static bool try_one(struct delivery *delivery, size_t index, const char *name, cJSON *event,
		    bool *ret_was_delivered, struct muster_error *err)
{
	const struct config_hook *hook = &delivery->config->hooks[index];
	struct standing *standing = &delivery->standings[index];
	struct muster_error failure;

	if (!hook_check(hook, &failure) ||
	    !hook_send(delivery->config, hook, event, &delivery->http, &failure)) {
		note_standing(standing, failure.cause == CAUSE_HOOK_REFUSED);
		return note_failure(delivery, event, &failure, err);
	}
	standing->refused = 0;
	hook_spool_remove(delivery->directory, name);
	delivery->counts.delivered++;
	*ret_was_delivered = true;
	return true;
}

/* Those that were refused before are not all that there is to judge a hook by. */
static bool has_to_wait(const struct delivery *delivery, const struct standing *standing,
			const cJSON *event)
{
	return delivery->put_off && !standing->is_left && standing->refused >= ROW_MAX - 1 &&
	       number_of(event, "refusals") > 0;
}

static bool put_off(struct delivery *delivery, const char *name, struct muster_error *err)
{
	return cJSON_AddItemToArray(delivery->put_off, cJSON_CreateString(name)) ||
	       muster_fail_memory(err);
}

static bool deliver_one(struct delivery *delivery, const char *name, bool *ret_was_delivered,
			struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *event = NULL;
	struct muster_error failure;
	char why[200];
	size_t index;

	*ret_was_delivered = false;
	if (!hook_spool_read(delivery->directory, name, &event, &failure)) {
		log_warning("%s, going on", failure.message);
		delivery->counts.left++;
		return true;
	}
	if (json_bool(event, "setAside", false)) {
		delivery->counts.set_aside++;
		return true;
	}
	if (!find_hook(delivery, json_text(event, "hook"), &index)) {
		snprintf(why, sizeof(why), "hook '%s' is not in muster.yaml",
			 PRINTABLE(json_text(event, "hook") ? json_text(event, "hook") : ""));
		return set_aside(delivery, event, why, err);
	}
	if (has_to_wait(delivery, &delivery->standings[index], event))
		return put_off(delivery, name, err);
	if (!delivery->standings[index].is_left && is_due(delivery, event))
		return try_one(delivery, index, name, event, ret_was_delivered, err);
	delivery->counts.left++;
	if (!delivery->standings[index].is_left)
		note_standing(&delivery->standings[index], number_of(event, "refusals") > 0);
	return true;
}

static bool deliver_each(struct delivery *delivery, const cJSON *names, bool *ret_any,
			 struct muster_error *err)
{
	const cJSON *name;

	cJSON_ArrayForEach(name, names)
	{
		bool was_delivered;

		if (!deliver_one(delivery, name->valuestring, &was_delivered, err))
			return false;
		*ret_any |= was_delivered;
	}
	return true;
}

/* Once through what is there. */
static bool deliver_all(struct delivery *delivery, bool *ret_any, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *names = NULL;
	CLEANUP(cJSON_freep) cJSON *last = NULL;

	*ret_any = false;
	delivery->counts.left = delivery->counts.set_aside = 0;
	memset(delivery->standings, 0, delivery->config->hook_count * sizeof(*delivery->standings));
	if (!hook_spool_names(delivery->directory, &names, err))
		return false;
	delivery->put_off = cJSON_CreateArray();
	if (!delivery->put_off)
		return muster_fail_memory(err);
	if (!deliver_each(delivery, names, ret_any, err))
		return false;
	last = TAKE_PTR(delivery->put_off);
	return deliver_each(delivery, last, ret_any, err);
}

static void recover_owed(const char *directory, const char *journal_path)
{
	struct muster_error failure;

	if (!hook_owed_recover(directory, journal_path, &failure))
		log_warning("events that are owed to hooks: %s, going on", failure.message);
}

bool hooks_deliver(const struct config *config, const char *journal_path,
		   const struct hooks_terms *terms, struct hooks_delivery *ret_counts,
		   struct muster_error *err)
{
	CLEANUP(delivery_done)
	struct delivery delivery = {
		.config = config, .only_due = terms->only_due, .turn = -1, .work = -1
	};
	bool is_ours = false, any;

	*ret_counts = (struct hooks_delivery){ 0 };
	delivery.directory = file_beside(journal_path, HOOK_DIRECTORY);
	delivery.standings = calloc(config->hook_count + 1, sizeof(*delivery.standings));
	if (!delivery.directory || !delivery.standings)
		return muster_fail_memory(err);
	if (access(delivery.directory, F_OK) < 0)
		return true;
	if (!terms->leaves_to_next)
		recover_owed(delivery.directory, journal_path);
	/* What another one tries meanwhile is not tried once more at once. */
	delivery.begun_ms = clock_wall_ms();
	if (!take_turn(&delivery, terms->leaves_to_next, &is_ours, err))
		return false;
	do {
		if (!is_ours)
			return true;
		if (!deliver_all(&delivery, &any, err))
			return false;
	} while (any);
	*ret_counts = delivery.counts;
	return true;
}
