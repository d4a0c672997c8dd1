/* muster journal upgrade */
#include "muster/json.h"
#include "muster/text.h"

#include "journal.h"

struct upgrade_options {
	const char *journal;
};

/* clang-format off */
static const struct option_row rows[] = {
	JOURNAL_ROW(struct upgrade_options),
	{ 0 },
};
/* clang-format on */

static const struct column columns[] = {
	{ "journal", "JOURNAL", false, false },
	{ "upgraded", "UPGRADED", false, false },
};

/* Whoever opens a journal to write brings it to our version. */
static bool upgrade(const char *path, bool *ret_was_older, struct muster_error *err)
{
	CLEANUP(journal_freep) struct journal *journal = NULL;

	*ret_was_older = false;
	if (journal_open(path, JOURNAL_READ, &journal, err))
		return true;
	*ret_was_older = err->cause == CAUSE_JOURNAL_OLDER;
	return *ret_was_older && journal_open(path, JOURNAL_WRITE, &journal, err);
}

static bool run(const struct invocation *call, struct muster_error *err)
{
	const struct upgrade_options *options = call->options;
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	CLEANUP(freep) char *path = NULL;
	bool was_older;

	if (!journal_verb_path(options->journal, &path, err) || !upgrade(path, &was_older, err))
		return false;
	if (!object || !json_add_text(object, "journal", path) ||
	    !json_add_bool(object, "upgraded", was_older))
		return muster_fail_memory(err);
	return result_print(call, object, err);
}

const struct verb verb_journal_upgrade = {
	.noun = "journal",
	.name = "upgrade",
	.summary = "Bring a journal of an older version to this one",
	.description =
		"Runs that write do this by themselves; commands that only read refuse an older journal.\n"
		"What was recorded stays as it is. There is no way back: make a copy first.",
	.options = rows,
	.options_size = sizeof(struct upgrade_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(columns),
	.run = run,
};
