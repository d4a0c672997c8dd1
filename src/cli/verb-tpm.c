/* muster tpm: show. */
#include <string.h>

#include "muster/json.h"
#include "muster/station-tpm.h"
#include "muster/text.h"

#include "cli-internal.h"

struct tpm_options {
	const char *tpm;
};

/* -- Documents as rows: for people, who read tables ------------------------------------------------------------ */

static const struct column item_columns[] = {
	{ "item", "ITEM", false, false },
	{ "value", "VALUE", false, true },
};

static bool add_row(cJSON *rows, const char *name, const char *value)
{
	cJSON *row = cJSON_CreateObject();

	return row && cJSON_AddItemToArray(rows, row) && json_add_text(row, "item", name) &&
	       json_add_text(row, "value", value);
}

static bool flatten(cJSON *rows, const char *name, const cJSON *item);

/* Texts and numbers stand in one row, separated by commas. */
static bool flatten_words(cJSON *rows, const char *name, const cJSON *array)
{
	CLEANUP(text_done) struct text words = TEXT_MAX(16 * 1024);
	const cJSON *item;

	cJSON_ArrayForEach(item, array)
		text_addf(&words, "%s%s", words.length > 0 ? ", " : "", item->valuestring);
	return !words.failed && add_row(rows, name, words.data ? words.data : "none");
}

static bool flatten_array(cJSON *rows, const char *name, const cJSON *array)
{
	size_t number = 0;
	const cJSON *item;

	if (!array->child || cJSON_IsString(array->child))
		return flatten_words(rows, name, array);
	cJSON_ArrayForEach(item, array)
	{
		CLEANUP(freep)
		char *path =
			array->child->next ? text_format("%s.%zu", name, ++number) : strdup(name);

		if (!path || !flatten(rows, path, item))
			return false;
	}
	return true;
}

static bool flatten(cJSON *rows, const char *name, const cJSON *item)
{
	const cJSON *member;

	if (cJSON_IsArray(item))
		return flatten_array(rows, name, item);
	if (!cJSON_IsObject(item)) {
		CLEANUP(freep)
		char *text =
			cJSON_IsString(item) ? strdup(item->valuestring) : json_print_line(item);

		return text && add_row(rows, name, text);
	}
	cJSON_ArrayForEach(member, item)
	{
		CLEANUP(freep)
		char *path =
			*name ? text_format("%s.%s", name, member->string) : strdup(member->string);

		/* Of several lines; who wants it takes another format. */
		if (strcmp(member->string, "pem") == 0)
			continue;
		if (!path || !flatten(rows, path, member))
			return false;
	}
	return true;
}

static bool print_document(const struct invocation *call, const cJSON *document,
			   struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *rows = NULL;

	if (call->output != OUTPUT_TABLE && call->output != OUTPUT_TSV)
		return output_print(stdout, call->output, document, NULL, 0, err);
	rows = cJSON_CreateArray();
	if (!rows || !flatten(rows, "", document))
		return muster_fail_memory(err);
	return output_print(stdout, call->output, rows, item_columns, ARRAY_SIZE(item_columns),
			    err);
}

/* -- Show ------------------------------------------------------------------------------------------------------ */

/* clang-format off */
static const struct option_row show_rows[] = {
	{ 'T', "tpm", "tcti", OPTION_TEXT, "TCTI", "The TPM, e.g. device:/dev/tpmrm0",
	  offsetof(struct tpm_options, tpm), "MUSTER_TPM", NULL, 0 },
	{ 0 },
};
/* clang-format on */

static bool run_show(const struct invocation *call, struct muster_error *err)
{
	const struct tpm_options *options = call->options;
	CLEANUP(cJSON_freep) cJSON *document = NULL;

	if (!options->tpm)
		return muster_fail(
			err, CAUSE_USAGE,
			"'muster tpm show' needs --tpm TCTI (see muster tpm show --help)");
	return station_tpm_show(options->tpm, &document, err) &&
	       print_document(call, document, err);
}

const struct verb verb_tpm_show = {
	.noun = "tpm",
	.name = "show",
	.summary = "Show keys, certificates, handles and capabilities of a TPM",
	.description =
		"The endorsement key in every form that tools ask for, the line to paste into an\n"
		"enrollment command, the storage root key, certificates, handles and capabilities.\n"
		"Nothing on the chip is changed. Keys in PEM are in the formats json and yaml.",
	.options = show_rows,
	.options_size = sizeof(struct tpm_options),
	.default_output = OUTPUT_TABLE,
	.run = run_show,
};
