/* muster hook: events that others have not taken yet. */
#include "muster/json.h"
#include "muster/station-hooks.h"

#include "journal.h"
#include "report.h"

struct hook_options {
	const char *journal;
};

static const struct option_row rows[] = { JOURNAL_ROW(struct hook_options), { 0 } };

static bool run_list(const struct invocation *call, struct muster_error *err)
{
	static const struct column columns[] = {
		{ "at", "AT", false, false },      { "event", "EVENT", false, false },
		{ "hook", "HOOK", false, false },  { "tries", "TRIES", true, false },
		{ "error", "ERROR", false, true },
	};
	const struct hook_options *options = call->options;
	CLEANUP(freep) char *journal = NULL;
	CLEANUP(cJSON_freep) cJSON *events = NULL;

	return journal_verb_path(options->journal, &journal, err) &&
	       hooks_list(journal, &events, err) &&
	       output_print(stdout, call->output, events, columns, ARRAY_SIZE(columns), err);
}

const struct verb verb_hook_list = {
	.noun = "hook",
	.name = "list",
	.summary = "List events that are not delivered yet",
	.description =
		"Lists the events that wait beside the journal, and why they were not taken.",
	.options = rows,
	.options_size = sizeof(struct hook_options),
	.default_output = OUTPUT_TABLE,
	.run = run_list,
};

static bool run_deliver(const struct invocation *call, struct muster_error *err)
{
	static const struct column columns[] = { { "delivered", "DELIVERED", true, false },
						 { "left", "LEFT", true, false } };
	const struct hook_options *options = call->options;
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(freep) char *journal = NULL;
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	size_t delivered, left;

	if (!report_config_load(&config, err) ||
	    !journal_verb_path(options->journal, &journal, err) ||
	    !hooks_deliver(&config, journal, &delivered, &left, err))
		return false;
	if (!object || !json_add_int64(object, "delivered", (int64_t)delivered) ||
	    !json_add_int64(object, "left", (int64_t)left))
		return muster_fail_memory(err);
	if (!output_print(stdout, call->output, object, columns, ARRAY_SIZE(columns), err))
		return false;
	return left == 0 ||
	       muster_fail(err, CAUSE_HOOK_FAILED, "events that were not taken: %zu", left);
}

const struct verb verb_hook_deliver = {
	.noun = "hook",
	.name = "deliver",
	.summary = "Deliver the events that wait",
	.description =
		"Delivers the events that wait beside the journal, as every run of muster provision and\n"
		"muster sync does by itself.",
	.options = rows,
	.options_size = sizeof(struct hook_options),
	.default_output = OUTPUT_TABLE,
	.run = run_deliver,
};
