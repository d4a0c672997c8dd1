/* What people see of events that wait, and decide about them. */
#include <string.h>
#include <unistd.h>

#include "hook-owed.h"
#include "hook-spool.h"
#include "muster/clock.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/log.h"
#include "muster/station-hooks.h"

/* Of one that was delivered meanwhile *ret_event is NULL. */
static bool read_event(const char *directory, const char *name, cJSON **ret_event,
		       struct muster_error *err)
{
	*ret_event = NULL;
	return hook_spool_read(directory, name, ret_event, err) || !hook_spool_has(directory, name);
}

static bool read_all(const char *directory, cJSON **ret_events, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *names = NULL;
	CLEANUP(cJSON_freep) cJSON *events = cJSON_CreateArray();
	const cJSON *name;

	if (!events)
		return muster_fail_memory(err);
	if (!hook_spool_names(directory, &names, err))
		return false;
	cJSON_ArrayForEach(name, names)
	{
		cJSON *event;

		if (!read_event(directory, name->valuestring, &event, err))
			return false;
		if (event && !cJSON_AddItemToArray(events, event))
			return muster_fail_memory(err);
	}
	*ret_events = TAKE_PTR(events);
	return true;
}

static bool is_set_aside(const cJSON *event)
{
	return json_bool(event, "setAside", false);
}

/* -- Looking ------------------------------------------------------------------------------------------------------- */

/* Also where the journal cannot be read, people see what waits. */
static void add_owed(const char *directory, const char *journal_path, cJSON *events)
{
	CLEANUP(cJSON_freep) cJSON *owed = NULL;
	struct muster_error failure;

	if (!hook_owed_list(directory, journal_path, &owed, &failure)) {
		log_warning("events that are owed to hooks: %s, going on", failure.message);
		return;
	}
	while (owed->child) {
		CLEANUP(cJSON_freep) cJSON *event = cJSON_DetachItemFromArray(owed, 0);

		if (json_add_bool(event, "owed", true) && cJSON_AddItemToArray(events, event))
			event = NULL;
	}
}

static const char *state_of(const cJSON *event)
{
	return json_get(event, "owed") ? "owed" : is_set_aside(event) ? "set-aside" : "waits";
}

bool hooks_list(const char *journal_path, cJSON **ret_rows, struct muster_error *err)
{
	static const char *const inner[] = { "atMs",   "triedMs", "refusals", "setAside",
					     "source", "owed",    "promise",  "number" };
	CLEANUP(freep) char *directory = file_beside(journal_path, HOOK_DIRECTORY);
	CLEANUP(cJSON_freep) cJSON *events = NULL;
	cJSON *event;

	if (!directory)
		return muster_fail_memory(err);
	if (!read_all(directory, &events, err))
		return false;
	add_owed(directory, journal_path, events);
	cJSON_ArrayForEach(event, events)
	{
		if (!json_add_text(event, "state", state_of(event)))
			return muster_fail_memory(err);
		for (size_t i = 0; i < ARRAY_SIZE(inner); i++)
			cJSON_DeleteItemFromObjectCaseSensitive(event, inner[i]);
	}
	*ret_rows = TAKE_PTR(events);
	return true;
}

enum { UNTRIED_MAX_MS = 5 * 60 * 1000 };

/* Refused, or not even tried for so long that nobody can be at it. */
static bool is_in_trouble(const cJSON *event)
{
	int64_t at_ms, tries;

	return json_text(event, "error") ||
	       (json_int64(event, "tries", &tries) && tries == 0 &&
		json_int64(event, "atMs", &at_ms) && clock_wall_ms() - at_ms > UNTRIED_MAX_MS);
}

/* Hooks that did not take an event: their names, as members of *troubled. */
static bool find_troubled(const cJSON *events, cJSON *troubled)
{
	const cJSON *event;

	cJSON_ArrayForEach(event, events)
	{
		const char *hook = json_text(event, "hook");

		if (hook && is_in_trouble(event) && !json_get(troubled, hook) &&
		    !json_add_bool(troubled, hook, true))
			return false;
	}
	return true;
}

static bool name_them(const cJSON *troubled, struct text *out, struct muster_error *err)
{
	const cJSON *hook;

	cJSON_ArrayForEach(hook, troubled)
		text_addf(out, "%s'%s'", out->length > 0 ? ", " : "", PRINTABLE(hook->string));
	return text_ok(out, err);
}

bool hooks_backlog(const char *journal_path, struct hooks_backlog *ret_backlog,
		   struct muster_error *err)
{
	CLEANUP(freep) char *directory = file_beside(journal_path, HOOK_DIRECTORY);
	CLEANUP(cJSON_freep) cJSON *events = NULL;
	CLEANUP(cJSON_freep) cJSON *troubled = cJSON_CreateObject();
	CLEANUP(text_done) struct text hooks = TEXT_MAX(64 * 1024);
	struct hooks_backlog backlog = { 0 };
	const cJSON *event;

	if (!directory || !troubled)
		return muster_fail_memory(err);
	if (!read_all(directory, &events, err))
		return false;
	if (!find_troubled(events, troubled))
		return muster_fail_memory(err);
	cJSON_ArrayForEach(event, events)
	{
		const char *hook = json_text(event, "hook");

		if (is_set_aside(event))
			backlog.set_aside++;
		else if (hook && json_get(troubled, hook))
			backlog.waiting++;
	}
	if (!name_them(troubled, &hooks, err))
		return false;
	snprintf(backlog.hooks, sizeof(backlog.hooks), "%s", hooks.length > 0 ? hooks.data : "");
	*ret_backlog = backlog;
	return true;
}

bool hooks_count_owed(const char *journal_path, size_t *ret_count, struct muster_error *err)
{
	CLEANUP(freep) char *directory = file_beside(journal_path, HOOK_DIRECTORY);
	CLEANUP(cJSON_freep) cJSON *events = NULL;

	if (!directory)
		return muster_fail_memory(err);
	if (!hook_owed_list(directory, journal_path, &events, err))
		return false;
	*ret_count = (size_t)cJSON_GetArraySize(events);
	return true;
}

/* -- Deciding ------------------------------------------------------------------------------------------------------ */

static bool is_chosen(const struct hooks_choice *choice, const cJSON *event)
{
	const char *id = json_text(event, "id");

	for (size_t i = 0; id && i < choice->count; i++)
		if (strcmp(choice->ids[i], id) == 0)
			return true;
	return choice->count == 0 && is_set_aside(event);
}

static bool check_ids(const struct hooks_choice *choice, const cJSON *events,
		      struct muster_error *err)
{
	for (size_t i = 0; i < choice->count; i++) {
		const cJSON *event;
		bool is_there = false;

		cJSON_ArrayForEach(event, events)
		{
			const char *id = json_text(event, "id");

			is_there |= id && strcmp(id, choice->ids[i]) == 0;
		}
		if (!is_there)
			return muster_fail(err, CAUSE_EVENT_NOT_FOUND, "no event '%s' waits",
					   PRINTABLE(choice->ids[i]));
	}
	return true;
}

static bool put_back(const char *directory, cJSON *event, struct muster_error *err)
{
	static const char *const past[] = { "setAside", "refusals", "triedMs" };

	for (size_t i = 0; i < ARRAY_SIZE(past); i++)
		cJSON_DeleteItemFromObjectCaseSensitive(event, past[i]);
	return hook_spool_write(directory, event, err);
}

static bool decide(const char *directory, const struct hooks_choice *choice, const cJSON *events,
		   size_t *ret_count, struct muster_error *err)
{
	cJSON *event;

	cJSON_ArrayForEach(event, events)
	{
		if (!is_chosen(choice, event))
			continue;
		if (!(choice->drops ? hook_spool_drop(directory, event, err)
				    : put_back(directory, event, err)))
			return false;
		++*ret_count;
	}
	return true;
}

bool hooks_decide(const char *journal_path, const struct hooks_choice *choice, size_t *ret_count,
		  struct muster_error *err)
{
	CLEANUP(freep) char *directory = file_beside(journal_path, HOOK_DIRECTORY);
	CLEANUP(cJSON_freep) cJSON *events = NULL;
	CLEANUP(closep) int lock = -1;

	*ret_count = 0;
	if (!directory)
		return muster_fail_memory(err);
	if (access(directory, F_OK) == 0 && !hook_spool_lock(directory, &lock, err))
		return false;
	return read_all(directory, &events, err) && check_ids(choice, events, err) &&
	       decide(directory, choice, events, ret_count, err);
}
