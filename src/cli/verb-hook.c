/* muster hook: events that others have not taken yet. */
#include "muster/json.h"
#include "muster/station-hooks.h"

#include "journal.h"
#include "report.h"

struct hook_options {
	const char *journal;
};

static const struct option_row rows[] = { JOURNAL_ROW(struct hook_options), { 0 } };

/* -- list --------------------------------------------------------------------------------------------------------- */

static const struct column list_columns[] = {
	{ "id", "ID", false, false },       { "at", "AT", false, false },
	{ "event", "EVENT", false, false }, { "hook", "HOOK", false, false },
	{ "state", "STATE", false, false }, { "tries", "TRIES", true, false },
	{ "error", "ERROR", false, true },
};

static bool run_list(const struct invocation *call, struct muster_error *err)
{
	const struct hook_options *options = call->options;
	CLEANUP(freep) char *journal = NULL;
	CLEANUP(cJSON_freep) cJSON *events = NULL;

	return journal_verb_path(options->journal, &journal, err) &&
	       hooks_list(journal, &events, err) && result_print(call, events, err);
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
	COLUMNS(list_columns),
	.run = run_list,
};

/* -- deliver ------------------------------------------------------------------------------------------------------ */

struct deliver_options {
	const char *journal;
	bool due;
	bool for_run;
};

/* clang-format off */
static const struct option_row deliver_rows[] = {
	JOURNAL_ROW(struct deliver_options),
	{ 0, "due", NULL, OPTION_FLAG, NULL, "Leave alone what failed a short while ago",
	  offsetof(struct deliver_options, due), NULL, NULL, 0 },
	{ 0, "for-run", NULL, OPTION_FLAG, NULL, "As runs start it: leave it to one that waits already",
	  offsetof(struct deliver_options, for_run), NULL, NULL, OPTION_HIDDEN },
	{ 0 },
};
/* clang-format on */

static const struct column delivery_columns[] = {
	{ "delivered", "DELIVERED", true, false },
	{ "left", "LEFT", true, false },
	{ "setAside", "SET ASIDE", true, false },
};

/* What an earlier run set aside is for a person to decide, and was told then. */
static bool check_taken(const struct hooks_delivery *counts, struct muster_error *err)
{
	size_t count = counts->left + counts->given_up;

	if (count == 0)
		return true;
	if (count == 1)
		return muster_fail(err, CAUSE_HOOK_FAILED, "1 event was not taken%s",
				   counts->given_up ? ", and is set aside now" : "");
	if (counts->given_up == 0)
		return muster_fail(err, CAUSE_HOOK_FAILED, "%zu events were not taken", count);
	return muster_fail(err, CAUSE_HOOK_FAILED,
			   "%zu events were not taken, and of them %zu %s set aside now", count,
			   counts->given_up, counts->given_up == 1 ? "is" : "are");
}

static bool deliver(const struct invocation *call, const char *journal,
		    const struct hooks_terms *terms, struct muster_error *err)
{
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	struct hooks_delivery counts;

	if (!report_config_load(&config, err) ||
	    !hooks_deliver(&config, journal, terms, &counts, err))
		return false;
	if (!object || !json_add_int64(object, "delivered", (int64_t)counts.delivered) ||
	    !json_add_int64(object, "left", (int64_t)counts.left) ||
	    !json_add_int64(object, "setAside", (int64_t)counts.set_aside))
		return muster_fail_memory(err);
	return result_print(call, object, err) && check_taken(&counts, err);
}

static bool run_deliver(const struct invocation *call, struct muster_error *err)
{
	const struct deliver_options *options = call->options;
	const struct hooks_terms terms = { .only_due = options->due,
					   .leaves_to_next = options->for_run };
	CLEANUP(freep) char *journal = NULL;

	return journal_verb_path(options->journal, &journal, err) &&
	       deliver(call, journal, &terms, err);
}

const struct verb verb_hook_deliver = {
	.noun = "hook",
	.name = "deliver",
	.summary = "Deliver the events that wait",
	.description =
		"Delivers the events that wait beside the journal, as every run of muster provision and\n"
		"muster sync does by itself.",
	.options = deliver_rows,
	.options_size = sizeof(struct deliver_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(delivery_columns),
	.run = run_deliver,
};

/* -- retry and drop ----------------------------------------------------------------------------------------------- */

struct decide_options {
	const char *journal;
	bool all;
};

/* clang-format off */
static const struct option_row decide_rows[] = {
	JOURNAL_ROW(struct decide_options),
	{ 0, "all", NULL, OPTION_FLAG, NULL, "All events that are set aside",
	  offsetof(struct decide_options, all), NULL, NULL, 0 },
	{ 0 },
};
/* clang-format on */

static bool decide(const struct invocation *call, const char *journal, bool drops,
		   size_t *ret_count, struct muster_error *err)
{
	const struct decide_options *options = call->options;
	struct hooks_choice choice = { .ids = (const char *const *)call->operands,
				       .count = call->operand_count,
				       .drops = drops };

	if (options->all == (call->operand_count > 0))
		return muster_fail(err, CAUSE_USAGE, "'muster hook %s' needs events, or --all",
				   drops ? "drop" : "retry");
	return hooks_decide(journal, &choice, ret_count, err);
}

static bool run_retry(const struct invocation *call, struct muster_error *err)
{
	const struct decide_options *options = call->options;
	const struct hooks_terms terms = { 0 };
	CLEANUP(freep) char *journal = NULL;
	size_t count;

	return journal_verb_path(options->journal, &journal, err) &&
	       decide(call, journal, false, &count, err) && deliver(call, journal, &terms, err);
}

const struct verb verb_hook_retry = {
	.noun = "hook",
	.name = "retry",
	.operands = "[ID...]",
	.operands_max = 10000,
	.summary = "Put back events that were set aside, and deliver",
	.description =
		"The events named, or all that are set aside, wait again; then all that wait are delivered.",
	.options = decide_rows,
	.options_size = sizeof(struct decide_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(delivery_columns),
	.run = run_retry,
};

static const struct column drop_columns[] = { { "dropped", "DROPPED", true, false } };

static bool run_drop(const struct invocation *call, struct muster_error *err)
{
	const struct decide_options *options = call->options;
	CLEANUP(freep) char *journal = NULL;
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	size_t count;

	if (!journal_verb_path(options->journal, &journal, err) ||
	    !decide(call, journal, true, &count, err))
		return false;
	if (!object || !json_add_int64(object, "dropped", (int64_t)count))
		return muster_fail_memory(err);
	return result_print(call, object, err);
}

const struct verb verb_hook_drop = {
	.noun = "hook",
	.name = "drop",
	.operands = "[ID...]",
	.operands_max = 10000,
	.summary = "Take events out that nobody is going to take",
	.description =
		"The events named, or all that are set aside, are deleted: their hook is not told of them.",
	.options = decide_rows,
	.options_size = sizeof(struct decide_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(drop_columns),
	.run = run_drop,
};
