/* muster outbox: the devices that wait for the network or a person. */
#include <string.h>

#include "muster/json.h"
#include "muster/station-outbox.h"
#include "muster/text.h"

#include "journal.h"
#include "sync-options.h"

/* -- list --------------------------------------------------------------------------------------------------------- */

static const char *const wait_choices[] = { "any", "network", "device", "person", NULL };

struct list_options {
	const char *journal;
	int waits;
};

/* clang-format off */
static const struct option_row list_rows[] = {
	JOURNAL_ROW(struct list_options),
	{ 0, "waits", NULL, OPTION_CHOICE, "WHAT", "Only what waits for this: network, device or person",
	  offsetof(struct list_options, waits), NULL, wait_choices, 0 },
	{ 0 },
};
/* clang-format on */

static const struct column columns[] = {
	{ "registrationId", "REGISTRATION ID", false, false },
	{ "serial", "SERIAL", false, false },
	{ "state", "STATE", false, false },
	{ "waitsFor", "WAITS FOR", false, false },
	{ "cause", "CAUSE", false, false },
	{ "failures", "FAILURES", true, false },
	{ "expires", "EXPIRES", false, false },
	{ "updated", "SINCE", false, false },
	{ "reason", "REASON", false, true },
};

static cJSON *describe(const struct journal_device *device, const struct station_waiting *waiting)
{
	CLEANUP(cJSON_freep) cJSON *object = journal_device_json(device);

	if (!object || !json_add_text(object, "waitsFor", station_wait_word(waiting->what)) ||
	    !json_add_int64(object, "failures", waiting->failures) ||
	    !json_add_text(object, "expires", waiting->expires[0] ? waiting->expires : NULL) ||
	    !json_add_text(object, "reason", waiting->reason[0] ? waiting->reason : NULL))
		return NULL;
	return TAKE_PTR(object);
}

struct collection {
	struct journal *journal;
	int waits;
	char last[129];
	cJSON *rows;
};

static bool collect(void *context, const struct journal_device *device, struct muster_error *err)
{
	struct collection *collection = context;
	struct station_waiting waiting;
	const char *word;
	cJSON *row;

	snprintf(collection->last, sizeof(collection->last), "%s", device->registration_id);
	if (!station_wait_look(collection->journal, device, &waiting, err))
		return false;
	word = station_wait_word(waiting.what);
	if (!word || (collection->waits && strcmp(word, wait_choices[collection->waits]) != 0))
		return true;
	row = describe(device, &waiting);
	return (row && cJSON_AddItemToArray(collection->rows, row)) || muster_fail_memory(err);
}

static bool run_list(const struct invocation *call, struct muster_error *err)
{
	const struct list_options *options = call->options;
	CLEANUP(journal_freep) struct journal *journal = NULL;
	CLEANUP(cJSON_freep) cJSON *array = cJSON_CreateArray();
	struct collection collection = { .waits = options->waits, .rows = array };
	size_t count = 0;

	if (!array)
		return muster_fail_memory(err);
	if (!journal_verb_open(options->journal, &journal, err))
		return false;
	collection.journal = journal;
	do {
		char after[sizeof(collection.last)];

		memcpy(after, collection.last, sizeof(after));
		if (!journal_unfinished(journal, after, collect, &collection, &count, err))
			return false;
	} while (count > 0);
	return result_print(call, array, err);
}

const struct verb verb_outbox_list = {
	.noun = "outbox",
	.name = "list",
	.summary = "List the devices that wait, and for what",
	.description =
		"Lists the devices of the journal that are not at their end: those that wait for the\n"
		"network (muster sync sends them), for their hardware (muster provision goes on with them)\n"
		"or for a person.",
	.options = list_rows,
	.options_size = sizeof(struct list_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(columns),
	.run = run_list,
};

/* -- show --------------------------------------------------------------------------------------------------------- */

struct show_options {
	const char *journal;
	int by;
};

static const struct option_row show_rows[] = { JOURNAL_ROW(struct show_options),
					       BY_ROW(struct show_options, by),
					       { 0 } };

static bool run_show(const struct invocation *call, struct muster_error *err)
{
	const struct show_options *options = call->options;
	CLEANUP(journal_freep) struct journal *journal = NULL;
	CLEANUP(journal_device_done) struct journal_device device = { 0 };
	CLEANUP(cJSON_freep) cJSON *object = NULL;
	struct station_waiting waiting;

	if (!journal_verb_open(options->journal, &journal, err) ||
	    !journal_verb_find(journal, options->by, call->operands[0], &device, err) ||
	    !station_outbox_check(&device, err) ||
	    !station_wait_look(journal, &device, &waiting, err))
		return false;
	object = describe(&device, &waiting);
	if (!object)
		return muster_fail_memory(err);
	if (call->output == OUTPUT_TABLE)
		return journal_print_members(object, NULL, err);
	return result_print(call, object, err);
}

const struct verb verb_outbox_show = {
	.noun = "outbox",
	.name = "show",
	.operands = "DEVICE",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Show what a device waits for, and why",
	.description = "DEVICE is any of its names, as for muster journal show.",
	.options = show_rows,
	.options_size = sizeof(struct show_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(columns),
	.run = run_show,
};

/* -- resolve ------------------------------------------------------------------------------------------------------ */

static const char *const decisions[] = { "failed", "retired", NULL };

struct resolve_options {
	const char *journal;
	int by;
	const char *as;
	const char *reason;
	const char *operator_name;
};

/* clang-format off */
static const struct option_row resolve_rows[] = {
	JOURNAL_ROW(struct resolve_options),
	BY_ROW(struct resolve_options, by),
	{ 0, "as", NULL, OPTION_ONE_OF, "STATE", "failed: it has no enrollment of ours; retired: its enrollment is gone by decision",
	  offsetof(struct resolve_options, as), NULL, decisions, 0 },
	{ 0, "reason", NULL, OPTION_TEXT, "TEXT", "Why it was decided so",
	  offsetof(struct resolve_options, reason), NULL, NULL, 0 },
	{ 0, "operator", NULL, OPTION_TEXT, "NAME", "Who decides; default: the login user",
	  offsetof(struct resolve_options, operator_name), "MUSTER_OPERATOR", NULL, 0 },
	{ 0 },
};
/* clang-format on */

static bool run_resolve(const struct invocation *call, struct muster_error *err)
{
	const struct resolve_options *options = call->options;
	struct station_decision decision = { options->reason, options->operator_name };
	CLEANUP(journal_freep) struct journal *journal = NULL;
	CLEANUP(journal_device_done) struct journal_device device = { 0 };
	CLEANUP(journal_device_done) struct journal_device now = { 0 };
	CLEANUP(cJSON_freep) cJSON *object = NULL;
	enum journal_state state;
	bool found;

	if (!options->as || !options->reason || text_is_blank(options->reason) ||
	    !journal_state_find(options->as, &state))
		return muster_fail(
			err, CAUSE_USAGE,
			"'muster outbox resolve' needs --as failed or retired, and --reason TEXT");
	if (!journal_verb_open_to_write(options->journal, &journal, err) ||
	    !journal_verb_find(journal, options->by, call->operands[0], &device, err) ||
	    !station_outbox_resolve(journal, &device, state, &decision, err) ||
	    !journal_device_find(journal, JOURNAL_BY_REGISTRATION_ID, device.registration_id, &now,
				 &found, err))
		return false;
	object = journal_device_json(&now);
	return object ? result_print(call, object, err) : muster_fail_memory(err);
}

const struct verb verb_outbox_resolve = {
	.noun = "outbox",
	.name = "resolve",
	.operands = "DEVICE",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Record what a person decided about a device that waits",
	.description =
		"Ends the waiting by decision: who, when and why are recorded, and its key is free for another\n"
		"device. Nothing is sent to the service; look there first with muster enrollment show.",
	.options = resolve_rows,
	.options_size = sizeof(struct resolve_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(columns),
	.run = run_resolve,
};

/* -- retry -------------------------------------------------------------------------------------------------------- */

struct retry_options {
	struct sync_options sync;
	int by;
	bool all;
	const char *reason;
};

/* clang-format off */
static const struct option_row retry_rows[] = {
	SYNC_ROWS(struct retry_options),
	BY_ROW(struct retry_options, by),
	{ 0, "all", NULL, OPTION_FLAG, NULL, "All that wait for a person, but for what another station has ended",
	  offsetof(struct retry_options, all), NULL, NULL, 0 },
	{ 0, "reason", NULL, OPTION_TEXT, "TEXT", "Why it is going to be otherwise now",
	  offsetof(struct retry_options, reason), NULL, NULL, 0 },
	{ 0 },
};
/* clang-format on */

/* The devices to put back. */
struct chosen {
	struct journal *journal;
	char last[129];
	struct sync_choice *devices;
};

/* What another station has ended has to be named. */
static bool choose_waiting(void *context, const struct journal_device *device,
			   struct muster_error *err)
{
	struct chosen *chosen = context;
	struct station_waiting waiting;

	snprintf(chosen->last, sizeof(chosen->last), "%s", device->registration_id);
	return station_wait_look(chosen->journal, device, &waiting, err) &&
	       (waiting.what != STATION_WAITS_PERSON || device->cause == CAUSE_ENDED_ELSEWHERE ||
		sync_choice_add(chosen->devices, device->registration_id, err));
}

static bool choose_all(struct chosen *chosen, struct muster_error *err)
{
	size_t count = 0;

	do {
		char after[sizeof(chosen->last)];

		memcpy(after, chosen->last, sizeof(after));
		if (!journal_unfinished(chosen->journal, after, choose_waiting, chosen, &count,
					err))
			return false;
	} while (count > 0);
	return true;
}

static bool choose_named(const struct invocation *call, struct chosen *chosen,
			 struct muster_error *err)
{
	const struct retry_options *options = call->options;

	for (size_t i = 0; i < call->operand_count; i++) {
		CLEANUP(journal_device_done) struct journal_device device = { 0 };

		if (!journal_verb_find(chosen->journal, options->by, call->operands[i], &device,
				       err) ||
		    !station_outbox_check(&device, err) ||
		    !sync_choice_add(chosen->devices, device.registration_id, err))
			return false;
	}
	return true;
}

/* Each by itself; what is put back stays so. Tells of those that need more than the network. */
static bool put_back(const struct invocation *call, struct chosen *chosen,
		     const struct station_decision *decision, struct muster_error *err)
{
	for (size_t i = 0; i < chosen->devices->count; i++) {
		CLEANUP(journal_device_done) struct journal_device before = { 0 };
		CLEANUP(journal_device_done) struct journal_device after = { 0 };
		const char *id = chosen->devices->ids[i];
		struct station_waiting waiting;
		bool found;

		if (!journal_device_find(chosen->journal, JOURNAL_BY_REGISTRATION_ID, id, &before,
					 &found, err) ||
		    !station_outbox_retry(chosen->journal, &before, decision, err) ||
		    !journal_device_find(chosen->journal, JOURNAL_BY_REGISTRATION_ID, id, &after,
					 &found, err) ||
		    !station_wait_look(chosen->journal, &after, &waiting, err))
			return false;
		sync_tell_waiting(call, chosen->devices, id, waiting.what);
	}
	return true;
}

static bool run_retry(const struct invocation *call, struct muster_error *err)
{
	const struct retry_options *options = call->options;
	struct station_decision decision = { options->reason, options->sync.request.operator_name };
	CLEANUP(journal_freep) struct journal *journal = NULL;
	CLEANUP(sync_choice_done) struct sync_choice devices = { 0 };
	struct chosen chosen = { .devices = &devices };

	if (options->all == (call->operand_count > 0))
		return muster_fail(err, CAUSE_USAGE,
				   "'muster outbox retry' needs devices, or --all");
	if (!journal_verb_open_to_write(options->sync.request.journal_path, &journal, err))
		return false;
	chosen.journal = journal;
	if (!(options->all ? choose_all(&chosen, err) : choose_named(call, &chosen, err)) ||
	    !put_back(call, &chosen, &decision, err))
		return false;
	journal_close(TAKE_PTR(journal));
	return sync_run(call, &options->sync,
			devices.count > 0 ? (const char *const *)devices.ids
					  : (const char *const[]){ NULL },
			devices.count, err) &&
	       (options->all || sync_choice_check(&devices, err));
}

const struct verb verb_outbox_retry = {
	.noun = "outbox",
	.name = "retry",
	.operands = "[DEVICE...]",
	.operands_max = 10000,
	.summary = "Put devices back and send them",
	.description =
		"Gives devices a new retry budget, whatever they waited for, and sends them as muster sync\n"
		"does where that needs no hardware.",
	.options = retry_rows,
	.options_size = sizeof(struct retry_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(provision_columns),
	.is_missed = true,
	.run = run_retry,
};
