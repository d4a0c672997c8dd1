/* muster explain: what an E-code means and what to do. */
#include <ctype.h>
#include <signal.h>

#include "muster/json.h"
#include "muster/text.h"

#include "cli-internal.h"

struct explain_options {
	bool all;
};

static const struct option_row rows[] = {
	{ .letter = 'a',
	  .name = "all",
	  .kind = OPTION_FLAG,
	  .help = "List every code, as without a code",
	  .offset = offsetof(struct explain_options, all) },
	{ 0 },
};

static const struct column columns[] = {
	{ "code", "CODE", false, false },
	{ "exit", "EXIT", true, false },
	{ "title", "TITLE", false, false },
	{ "remedy", "TRY", false, true },
};

/* "E3107", "e3107" or "3107". */
static const struct muster_cause_info *find(const char *word)
{
	int64_t number;

	if (tolower((unsigned char)word[0]) == 'e')
		word++;
	return text_to_int64(word, 1, 9999, &number) ? muster_cause_find((unsigned)number) : NULL;
}

/* That of a run which a signal ended is the signal's; SIGINT's is told for all. */
static int status_of(const struct muster_cause_info *info)
{
	return info->cause == CAUSE_INTERRUPTED ? 128 + SIGINT : (int)info->code;
}

static bool add(cJSON *array, const struct muster_cause_info *info, struct muster_error *err)
{
	cJSON *object = cJSON_CreateObject();
	char code[8];

	snprintf(code, sizeof(code), "E%04u", (unsigned)info->cause);
	if (!object || !cJSON_AddItemToArray(array, object) ||
	    !json_add_text(object, "code", code) ||
	    !json_add_int64(object, "exit", status_of(info)) ||
	    !json_add_text(object, "class", muster_code_name(info->code)) ||
	    !json_add_text(object, "title", info->title) ||
	    !json_add_text(object, "why", info->why) ||
	    !json_add_text(object, "remedy", info->remedy))
		return muster_fail_memory(err);
	return true;
}

static bool print_for_people(const cJSON *array)
{
	const cJSON *row;

	cJSON_ArrayForEach(row, array)
	{
		int64_t status = 0;

		if (row != array->child)
			putchar('\n');
		(void)!json_int64(row, "exit", &status);
		printf("%s: %s\n\n  why   %s\n  try   %s\n  exit  %d (%s)\n",
		       json_text(row, "code"), json_text(row, "title"), json_text(row, "why"),
		       json_text(row, "remedy"), (int)status, json_text(row, "class"));
	}
	return true;
}

static bool collect(const struct invocation *call, bool all, cJSON *array, struct muster_error *err)
{
	size_t count = 0;
	const struct muster_cause_info *infos = muster_causes(&count);

	for (size_t i = 0; all && i < count; i++) {
		if (!add(array, &infos[i], err))
			return false;
	}
	for (size_t i = 0; !all && i < call->operand_count; i++) {
		const struct muster_cause_info *info = find(call->operands[i]);

		if (!info)
			return muster_fail(err, CAUSE_CODE_UNKNOWN, "there is no code '%s'",
					   PRINTABLE(call->operands[i]));
		if (!add(array, info, err))
			return false;
	}
	return true;
}

static bool run(const struct invocation *call, struct muster_error *err)
{
	const struct explain_options *options = call->options;
	CLEANUP(cJSON_freep) cJSON *array = cJSON_CreateArray();
	bool all = options->all || call->operand_count == 0;
	bool is_one = !all && call->operand_count == 1;

	if (!array)
		return muster_fail_memory(err);
	if (!collect(call, all, array, err))
		return false;
	if (call->output == OUTPUT_TABLE && !all)
		return print_for_people(array);
	return result_print(call, is_one ? array->child : array, err);
}

const struct verb verb_explain = {
	.name = "explain",
	.operands = "[CODE...]",
	.operands_max = 100,
	.summary = "Say what an error code means and what to do",
	.description =
		"Every error carries a code, E and four digits, that never changes its meaning.",
	.options = rows,
	.options_size = sizeof(struct explain_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(columns),
	.run = run,
};
