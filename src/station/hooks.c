/* Events become files, and a process of its own is there to deliver them. */
#include "muster/station-hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hook-owed.h"
#include "hook-send.h"
#include "hook-spool.h"
#include "hooks.h"
#include "muster/clock.h"
#include "muster/encoding.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/log.h"
#include "muster/process.h"
#include "muster/station.h"

struct hooks {
	char *journal_path, *directory;
	char *source;   /* a URI that names the station */
	cJSON *context; /* what stands in the data of all events */
	struct wish {
		char *name;
		unsigned events; /* bits 1 << enum hook_event */
	} * wishes;
	size_t count;
	size_t devices, failed, parked, spooled;
	size_t lost;        /* events that nothing took */
	int64_t last_at_ms; /* of the newest event: no two of a run share a time */
	int64_t last_number; /* of the newest event, of any run: it is their order, whatever the clock does */
	int ownership; /* of the spool: see hook_spool_own() */
	struct hook_owed owed;
	bool has_events, was_warned;
	pid_t deliverer; /* 0: none is at work */
	int64_t started_ms;
	int64_t not_before_ms; /* the next may be started */
	struct hooks *earlier; /* that are kept until hooks_linger() */
};

/* Closed, and not yet delivered: see hooks_linger(). */
static struct hooks *waiting;

/* After one that left something; so a hook that is away costs no process for each device. */
enum { PAUSE_MS = 5000 };

static const char *const event_names[] = {
	[HOOK_UNIT_START] = "unit-start",
	[HOOK_UNIT_DONE] = "unit-done",
	[HOOK_BATCH_DONE] = "batch-done",
};

/* Also one that is not well-formed is found before anything is done. */
static bool check_secret(const struct config_hook *hook, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret key = { 0 };

	return !hook->secret_file || hook_secret_read(hook, &key, err) ||
	       muster_error_prefix(err, "the secret of hook '%s'", PRINTABLE(hook->name));
}

bool hooks_check_form(const struct config *config, struct muster_error *err)
{
	for (size_t i = 0; i < config->hook_count; i++)
		if (!hook_check(&config->hooks[i], err))
			return false;
	return true;
}

bool hooks_check(const struct config *config, struct muster_error *err)
{
	for (size_t i = 0; i < config->hook_count; i++)
		if (!hook_check(&config->hooks[i], err) || !check_secret(&config->hooks[i], err))
			return false;
	return true;
}

static bool check_command(const struct config_hook *hook, struct muster_error *err)
{
	const char *program = hook->command.items[0];
	struct stat status;

	if (stat(program, &status) < 0)
		return muster_fail_errno(err, CAUSE_HOOK_FAILED, errno, "command '%s'",
					 PRINTABLE(program));
	return file_check_trusted(program, err) &&
	       ((S_ISREG(status.st_mode) && access(program, X_OK) == 0) ||
		muster_fail(err, CAUSE_HOOK_FAILED, "command '%s' is no program that may be run",
			    PRINTABLE(program)));
}

static bool check_folder(const struct config_hook *hook, struct muster_error *err)
{
	struct stat status;

	if (stat(hook->folder, &status) < 0)
		return muster_fail_errno(err, CAUSE_HOOK_FAILED, errno, "folder '%s'",
					 PRINTABLE(hook->folder));
	return (S_ISDIR(status.st_mode) && access(hook->folder, W_OK | X_OK) == 0) ||
	       muster_fail(err, CAUSE_HOOK_FAILED, "folder '%s' is none that can be written to",
			   PRINTABLE(hook->folder));
}

bool hooks_check_places(const struct config *config, struct muster_error *err)
{
	for (size_t i = 0; i < config->hook_count; i++) {
		const struct config_hook *hook = &config->hooks[i];

		if ((hook->command.count > 0 && !check_command(hook, err)) ||
		    (hook->folder && !check_folder(hook, err)))
			return muster_error_prefix(err, "hook '%s'", PRINTABLE(hook->name));
	}
	return true;
}

bool hook_check(const struct config_hook *hook, struct muster_error *err)
{
	size_t places =
		(hook->command.count > 0) + (hook->webhook != NULL) + (hook->folder != NULL);

	if (places != 1)
		return muster_fail(
			err, CAUSE_USAGE,
			"hook '%s' in muster.yaml needs one of command, webhook and folder",
			PRINTABLE(hook->name));
	/* It is not shown: there may be a password in it. */
	if (hook->webhook && !http_is_https(hook->webhook))
		return muster_fail(
			err, CAUSE_USAGE,
			"the webhook of hook '%s' in muster.yaml is no https address that can be used; "
			"user and password do not belong into it",
			PRINTABLE(hook->name));
	return hook->command.count == 0 || hook->command.items[0][0] == '/' ||
	       muster_fail(err, CAUSE_USAGE,
			   "the command of hook '%s' in muster.yaml is no absolute path",
			   PRINTABLE(hook->name));
}

/* -- Open and close ------------------------------------------------------------------------------------------------ */

static unsigned events_of(const struct config_hook *hook)
{
	unsigned events = 0;

	for (size_t i = 0; i < hook->on.count; i++)
		for (size_t event = 0; event < ARRAY_SIZE(event_names); event++)
			if (strcmp(hook->on.items[i], event_names[event]) == 0)
				events |= 1U << event;
	return events;
}

static bool fill(struct hooks *hooks, const struct config *config, struct muster_error *err)
{
	hooks->wishes = calloc(config->hook_count, sizeof(*hooks->wishes));
	if (!hooks->wishes || !hooks->journal_path || !hooks->directory)
		return muster_fail_memory(err);
	for (size_t i = 0; i < config->hook_count; i++) {
		struct wish *wish = &hooks->wishes[hooks->count];

		wish->events = events_of(&config->hooks[i]);
		wish->name = strdup(config->hooks[i].name);
		if (!wish->name)
			return muster_fail_memory(err);
		hooks->count++;
	}
	return true;
}

static void hooks_free(struct hooks *hooks)
{
	hook_owed_done(&hooks->owed);
	closep(&hooks->ownership);
	for (size_t i = 0; i < hooks->count; i++)
		free(hooks->wishes[i].name);
	free(hooks->wishes);
	free(hooks->journal_path);
	free(hooks->directory);
	free(hooks->source);
	cJSON_Delete(hooks->context);
	free(hooks);
}

/* Also what never came into the spool, and what lies there as a promise only. It is no matter of the run when that does not work. */
static void take_up_owed(struct hooks *hooks, struct journal *journal)
{
	struct muster_error failure;

	if (journal)
		hooks->ownership =
			hook_spool_own(hooks->directory, hook_owed_journal(hooks->journal_path),
				       &hooks->last_number);
	hooks->owed = (struct hook_owed){
		.journal = journal,
		.directory = hooks->directory,
		.journal_path = hooks->journal_path,
		.operator_name = json_text(hooks->context, "operator"),
		.station = json_text(hooks->context, "station"),
	};
	if (!(journal ? hook_owed_open(&hooks->owed, &failure)
		      : hook_owed_recover(hooks->directory, hooks->journal_path, &failure)))
		log_warning("events that are owed to hooks: %s, going on", failure.message);
}

/* What an earlier run left is tried again. */
static bool look_for_events(struct hooks *hooks, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *names = NULL;
	const cJSON *name;

	if (!hook_spool_names(hooks->directory, &names, err))
		return false;
	hooks->has_events = cJSON_GetArraySize(names) > 0;
	cJSON_ArrayForEach(name, names)
	{
		int64_t number = hook_spool_number(name->valuestring);

		if (number > hooks->last_number)
			hooks->last_number = number;
	}
	return true;
}

static bool take_origin(struct hooks *hooks, const struct hooks_origin *origin,
			struct muster_error *err)
{
	CLEANUP(text_done) struct text source = TEXT_MAX(1024);
	cJSON *context = hooks->context = cJSON_CreateObject();

	if (!context || !json_add_text(context, "station", origin->station) ||
	    !json_add_text(context, "operator", origin->operator_name) ||
	    !json_add_text(context, "profile", origin->profile) ||
	    !json_add_text(context, "batch", origin->batch) ||
	    !json_add_text(context, "manifest", origin->manifest))
		return muster_fail_memory(err);
	text_add(&source, "muster://");
	text_add_url(&source, origin->station);
	if (!text_ok(&source, err))
		return false;
	hooks->source = strdup(source.data);
	return hooks->source || muster_fail_memory(err);
}

bool hooks_open(const struct config *config, const char *journal_path, struct journal *journal,
		const struct hooks_origin *origin, struct hooks **ret_hooks,
		struct muster_error *err)
{
	struct hooks *hooks;

	*ret_hooks = NULL;
	if (config->hook_count == 0)
		return true;
	if (!hooks_check(config, err))
		return false;
	hooks = calloc(1, sizeof(*hooks));
	if (!hooks)
		return muster_fail_memory(err);
	hooks->ownership = -1;
	hooks->journal_path = strdup(journal_path);
	hooks->directory = file_beside(journal_path, HOOK_DIRECTORY);
	if (!fill(hooks, config, err) || (origin && !take_origin(hooks, origin, err)) ||
	    !directory_make(hooks->directory, err)) {
		hooks_free(hooks);
		return false;
	}
	take_up_owed(hooks, journal);
	if (!look_for_events(hooks, err)) {
		hooks_free(hooks);
		return false;
	}
	*ret_hooks = hooks;
	return true;
}

bool hooks_set_profile(struct hooks *hooks, const char *name, struct muster_error *err)
{
	if (!hooks)
		return true;
	cJSON_DeleteItemFromObjectCaseSensitive(hooks->context, "profile");
	return json_add_text(hooks->context, "profile", name) || muster_fail_memory(err);
}

/* -- The process that delivers ------------------------------------------------------------------------------------- */

enum { VARIABLES_MAX = 24 };

static void fill_environment(const char *variables[VARIABLES_MAX])
{
	static const char *const kept[] = {
		"PATH=",         "HOME=",          "LANG=",
		"TZ=",           "MUSTER_CONFIG=", "XDG_CONFIG_HOME=",
		"ASAN_OPTIONS=", "UBSAN_OPTIONS=", "MUSTER_INSECURE_MEMORY="
	};
	size_t count = 0;

	for (char **variable = environ; *variable; variable++)
		for (size_t i = 0; i < ARRAY_SIZE(kept) && count < VARIABLES_MAX - 1; i++)
			if (text_has_prefix(*variable, kept[i]))
				variables[count++] = *variable;
	variables[count] = NULL;
}

enum { EXIT_UNSTARTED = 127 };

/* Our own file, also when an upgrade has put another in its place: so both are of one version. Where there is no /proc, the one
 * that is installed. */
static const char *const programs[] = { "/proc/self/exe", MUSTER_PROGRAM };

/* Between fork and exec. It has a session of its own and none of our descriptors, so nobody waits for its end. */
static _Noreturn void become_deliverer(const char *const *arguments, const char *const *variables)
{
	int null = open("/dev/null", O_RDWR);
	sigset_t none;

	sigemptyset(&none);
	setsid();
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 ||
	    close_range(3, ~0U, 0) < 0)
		_exit(EXIT_UNSTARTED);
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		execve(programs[i], (char *const *)(uintptr_t)arguments,
		       (char *const *)(uintptr_t)variables);
	_exit(EXIT_UNSTARTED);
}

static void warn_of_start(struct hooks *hooks)
{
	if (!hooks->was_warned)
		log_warning(
			"no process that tells the hooks could be started, so events wait (muster "
			"hook deliver), going on");
	hooks->was_warned = true;
}

/* Whether none is at work any more. */
static bool has_ended(struct hooks *hooks)
{
	int status = 0;

	if (hooks->deliverer == 0)
		return true;
	if (waitpid(hooks->deliverer, &status, WNOHANG) == 0)
		return false;
	hooks->deliverer = 0;
	if (status != 0)
		hooks->not_before_ms = hooks->started_ms + PAUSE_MS;
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_UNSTARTED)
		warn_of_start(hooks);
	return true;
}

static void start_deliverer(struct hooks *hooks, bool only_due)
{
	const char *const arguments[] = { "muster",
					  "hook",
					  "deliver",
					  "--journal",
					  hooks->journal_path,
					  "--for-run",
					  only_due ? "--due" : NULL,
					  NULL };
	const char *variables[VARIABLES_MAX];

	fill_environment(variables);
	hooks->started_ms = clock_now_ms();
	hooks->deliverer = fork();
	if (hooks->deliverer == 0)
		become_deliverer(arguments, variables);
	if (hooks->deliverer < 0) {
		hooks->deliverer = 0;
		warn_of_start(hooks);
	}
}

static void warn_of_backlog(const struct hooks *hooks)
{
	struct hooks_backlog backlog;
	struct muster_error failure;

	if (!hooks_backlog(hooks->journal_path, &backlog, &failure))
		log_warning("%s, going on", failure.message);
	else if (backlog.hooks[0])
		log_warning("%zu events wait and %zu are set aside, which hooks (%s) did not take "
			    "(muster hook list), going on",
			    backlog.waiting, backlog.set_aside, backlog.hooks);
}

static void warn_of_owed(const struct hooks *hooks)
{
	int owed = cJSON_GetArraySize(hooks->owed.noted);

	if (owed > 0)
		log_warning(
			"%d %s owed to hooks, because '%s' takes none: see to it; the next run or "
			"muster hook deliver makes up for it, going on",
			owed, owed == 1 ? "event is" : "events are", PRINTABLE(hooks->directory));
	if (hooks->lost > 0)
		log_warning("%zu %s of this run lost: no hook is going to be told, going on",
			    hooks->lost, hooks->lost == 1 ? "event is" : "events are");
}

/* What came while the one at work was about to end is for another, which waits for it. */
void hooks_close(struct hooks *hooks)
{
	if (!hooks)
		return;
	warn_of_owed(hooks);
	closep(&hooks->ownership);
	hooks->ownership = -1;
	if (hooks->has_events) {
		has_ended(hooks);
		warn_of_backlog(hooks);
		if (process_is_main()) {
			hooks->earlier = waiting;
			waiting = hooks;
			return;
		}
		start_deliverer(hooks, false);
	}
	hooks_free(hooks);
}

static void end_the_wait(int number)
{
	(void)number;
}

/* Where we are the first process of a container, a signal without a handler would not reach us at all. */
static void watch_for_an_end(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	const struct sigaction action = { .sa_handler = end_the_wait };

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (!process_ignores(numbers[i]))
			sigaction(numbers[i], &action, NULL);
}

/* False: a signal wants us to end. */
static bool wait_for_deliverer(const struct hooks *hooks)
{
	return hooks->deliverer <= 0 || waitpid(hooks->deliverer, NULL, 0) >= 0 || errno != EINTR;
}

void hooks_linger(bool delivers)
{
	if (delivers && waiting)
		watch_for_an_end();
	for (struct hooks *hooks = waiting; delivers && hooks; hooks = hooks->earlier)
		delivers = wait_for_deliverer(hooks);
	if (delivers && waiting) {
		start_deliverer(waiting, false);
		wait_for_deliverer(waiting);
	}
	while (waiting) {
		struct hooks *hooks = waiting;

		waiting = hooks->earlier;
		hooks_free(hooks);
	}
}

/* -- Events -------------------------------------------------------------------------------------------------------- */

static int64_t next_number(struct hooks *hooks)
{
	int64_t now = clock_wall_ms();

	hooks->last_number = now > hooks->last_number ? now : hooks->last_number + 1;
	hook_spool_note_last(hooks->ownership, hooks->last_number);
	return hooks->last_number;
}

static int64_t next_time(struct hooks *hooks)
{
	int64_t now = clock_wall_ms();

	hooks->last_at_ms = now > hooks->last_at_ms ? now : hooks->last_at_ms + 1;
	return hooks->last_at_ms;
}

struct moment {
	int64_t at_ms, number;
};

static cJSON *compose(const struct hooks *hooks, const struct wish *wish, enum hook_event event,
		      const struct moment *moment, const cJSON *data)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	struct muster_error failure;
	char id[33], at[RFC3339_SIZE];
	uint8_t random[16];

	if (!object || !random_bytes(random, sizeof(random), &failure) ||
	    !json_add_text(object, "id", hex_encode(id, random, sizeof(random))) ||
	    !json_add_text(object, "hook", wish->name) ||
	    !json_add_text(object, "event", event_names[event]) ||
	    !json_add_text(object, "source", hooks->source) ||
	    !json_add_text(object, "at", rfc3339_format(at, moment->at_ms)) ||
	    !json_add_int64(object, "atMs", moment->at_ms) ||
	    !json_add_int64(object, "number", moment->number) ||
	    !json_add_int64(object, "tries", 0) ||
	    !json_add_item(object, "data", cJSON_Duplicate(data, true)))
		return NULL;
	return TAKE_PTR(object);
}

/* One for each hook that wants it, as an array; NULL: no memory. */
static cJSON *compose_all(struct hooks *hooks, enum hook_event event, const cJSON *data)
{
	CLEANUP(cJSON_freep) cJSON *events = cJSON_CreateArray();
	struct moment moment = { next_time(hooks), next_number(hooks) };

	for (size_t i = 0; data && events && i < hooks->count; i++) {
		cJSON *composed;

		if (!(hooks->wishes[i].events & 1U << event))
			continue;
		composed = compose(hooks, &hooks->wishes[i], event, &moment, data);
		if (!composed || !cJSON_AddItemToArray(events, composed))
			return NULL;
	}
	return data ? TAKE_PTR(events) : NULL;
}

static void lose(struct hooks *hooks, const cJSON *event, const struct muster_error *why)
{
	hooks->lost++;
	log_warning("hook '%s' is not told of %s: %s, going on",
		    PRINTABLE(json_text(event, "hook")), json_text(event, "event"), why->message);
}

static void deliver_soon(struct hooks *hooks)
{
	hooks->has_events = true;
	if (has_ended(hooks) && clock_now_ms() >= hooks->not_before_ms)
		start_deliverer(hooks, true);
}

/* Takes `data` over; NULL is no memory. */
static void emit(struct hooks *hooks, enum hook_event event, cJSON *data)
{
	CLEANUP(cJSON_freep) cJSON *owned = data;
	CLEANUP(cJSON_freep) cJSON *events = compose_all(hooks, event, owned);
	struct muster_error failure;
	cJSON *each;

	if (!events) {
		hooks->lost++;
		log_warning("no memory for a hook's event, going on");
		return;
	}
	cJSON_ArrayForEach(each, events)
	{
		if (!hook_owed_write(&hooks->owed, each, false, &failure))
			lose(hooks, each, &failure);
	}
	if (events->child)
		deliver_soon(hooks);
}

void hooks_unit_start(struct hooks *hooks, const char *serial, const char *socket)
{
	CLEANUP(cJSON_freep) cJSON *data = NULL;

	if (!hooks)
		return;
	data = cJSON_Duplicate(hooks->context, true);
	if (data &&
	    (!json_add_text(data, "serial", serial) || !json_add_text(data, "socket", socket)))
		cJSON_Delete(TAKE_PTR(data));
	emit(hooks, HOOK_UNIT_START, TAKE_PTR(data));
}

/* One that only waits to be sent has not failed. */
static bool is_spooled(const struct station_result *result)
{
	return result->failure.cause == CAUSE_DEVICE_SPOOLED;
}

static cJSON *describe(const struct hooks *hooks, const struct station_result *result)
{
	CLEANUP(cJSON_freep) cJSON *data = cJSON_Duplicate(hooks->context, true);
	bool has_failed = result->failure.code != MUSTER_OK && !is_spooled(result);
	char cause[8];

	snprintf(cause, sizeof(cause), "E%04d", (int)result->failure.cause);
	if (!data || !json_add_text(data, "device", result->device) ||
	    !json_add_text(data, "serial", result->serial) ||
	    !json_add_text(data, "socket", result->socket) ||
	    !json_add_text(data, "registrationId", result->registration_id) ||
	    !json_add_text(data, "deviceId", result->device_id) ||
	    !json_add_text(data, "state", result->state) ||
	    !json_add_text(data, "journalState", result->journal_state) ||
	    !json_add_bool(data, "verified", result->verified) ||
	    !json_add_text(data, "hub", result->hub) ||
	    !json_add_text(data, "evidence", result->evidence_path) ||
	    (has_failed && (!json_add_text(data, "cause", cause) ||
			    !json_add_text(data, "detail", result->failure.message))))
		return NULL;
	return TAKE_PTR(data);
}

bool hooks_promise(struct hooks *hooks, const struct station_result *result, cJSON **promise,
		   struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *data = NULL;
	CLEANUP(cJSON_freep) cJSON *events = NULL;
	cJSON *event;

	if (!hooks)
		return true;
	data = describe(hooks, result);
	events = compose_all(hooks, HOOK_UNIT_DONE, data);
	if (!events)
		return muster_fail_memory(err);
	cJSON_ArrayForEach(event, events)
	{
		if (!hook_owed_write(&hooks->owed, event, true, err))
			return false;
	}
	/* What was true before has to be told until this is true. */
	if (*promise && events->child &&
	    !json_add_item(events->child, "former", TAKE_PTR(*promise)))
		return muster_fail_memory(err);
	cJSON_Delete(*promise);
	*promise = TAKE_PTR(events);
	return true;
}

static void break_all(struct hooks *hooks, const cJSON *events)
{
	const cJSON *event;

	cJSON_ArrayForEach(event, events)
	{
		hook_owed_break(&hooks->owed, event);
		break_all(hooks, json_get(event, "former"));
	}
}

static void keep(struct hooks *hooks, cJSON *promise)
{
	int64_t number = next_number(hooks);
	struct muster_error failure;
	cJSON *event;

	cJSON_ArrayForEach(event, promise)
	{
		CLEANUP(cJSON_freep)
		cJSON *former = cJSON_DetachItemFromObjectCaseSensitive(event, "former");

		if (!hook_owed_keep(&hooks->owed, event, number, &failure))
			lose(hooks, event, &failure);
		break_all(hooks, former);
	}
	if (promise->child)
		deliver_soon(hooks);
}

void hooks_unit_done(struct hooks *hooks, const struct station_result *result, cJSON *promise)
{
	if (!hooks)
		return;
	hooks->devices++;
	if (is_spooled(result))
		hooks->spooled++;
	else if (result->is_parked)
		hooks->parked++;
	else
		hooks->failed += result->failure.code != MUSTER_OK;
	if (promise)
		keep(hooks, promise);
	else
		emit(hooks, HOOK_UNIT_DONE, describe(hooks, result));
}

void hooks_batch_done(struct hooks *hooks)
{
	CLEANUP(cJSON_freep) cJSON *data = NULL;

	if (!hooks)
		return;
	data = cJSON_Duplicate(hooks->context, true);
	if (data && (!json_add_int64(data, "devices", (int64_t)hooks->devices) ||
		     !json_add_int64(data, "spooled", (int64_t)hooks->spooled) ||
		     !json_add_int64(data, "parked", (int64_t)hooks->parked) ||
		     !json_add_int64(data, "failed", (int64_t)hooks->failed)))
		cJSON_Delete(TAKE_PTR(data));
	emit(hooks, HOOK_BATCH_DONE, TAKE_PTR(data));
}
