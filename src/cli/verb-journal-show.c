/* muster journal show: everything known of one device. */
#include <string.h>

#include "muster/json.h"
#include "muster/text.h"

#include "journal.h"

enum { ENTRIES_MAX = 10000 };

struct show_options {
	const char *journal;
	int by;
};

/* clang-format off */
static const struct option_row rows[] = {
	JOURNAL_ROW(struct show_options),
	BY_ROW(struct show_options, by),
	{ 0 },
};
/* clang-format on */

static const struct column columns[] = {
	{ "seq", "ENTRY", true, false },        { "at", "AT", false, false },
	{ "attempt", "ATTEMPT", true, false },  { "stage", "STAGE", false, false },
	{ "kind", "KIND", false, false },       { "operator", "OPERATOR", false, false },
	{ "station", "STATION", false, false }, { "what", "WHAT", false, true },
};

struct collection {
	int64_t last_seq;
	size_t count;
	cJSON *entries;
};

static bool collect(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	struct collection *collection = context;

	collection->last_seq = entry->seq;
	collection->count++;
	return cJSON_AddItemToArray(collection->entries, journal_entry_json(entry)) ||
	       muster_fail_memory(err);
}

static bool read_entries(struct journal *journal, const char *registration_id, cJSON *entries,
			 struct muster_error *err)
{
	struct collection collection = { .entries = entries };
	size_t count = 0;

	do {
		if (!journal_entries(journal, registration_id, collection.last_seq, collect,
				     &collection, &count, err))
			return false;
	} while (count > 0 && collection.count < ENTRIES_MAX);
	return true;
}

/* -- For people --------------------------------------------------------------------------------------------- */

/* A body as words: short members as they are, long ones (evidence, certificates) by name. */
static bool add_words(cJSON *entry)
{
	CLEANUP(text_done) struct text words = TEXT_MAX(4096);
	struct muster_error err;
	const cJSON *item;

	cJSON_ArrayForEach(item, json_get(entry, "body"))
	{
		CLEANUP(freep)
		char *value =
			cJSON_IsString(item) ? strdup(item->valuestring) : json_print_line(item);

		if (!value)
			return false;
		text_addf(&words, "%s%s %s", words.length > 0 ? ", " : "", item->string,
			  strlen(value) > 100 ? "..." : value);
	}
	return text_ok(&words, &err) && json_add_text(entry, "what", words.data ? words.data : "");
}

static bool add_all_words(cJSON *entries, struct muster_error *err)
{
	cJSON *entry;

	cJSON_ArrayForEach(entry, entries)
	{
		if (!add_words(entry))
			return muster_fail_memory(err);
	}
	return true;
}

static bool print_for_people(const cJSON *device, const cJSON *entries, struct muster_error *err)
{
	if (!journal_print_members(device, entries, err))
		return false;
	putchar('\n');
	return output_print(stdout, OUTPUT_TABLE, entries, columns, ARRAY_SIZE(columns), err);
}

/* Where the name was that of a board before. */
static bool add_life(struct journal *journal, const char *registration_id, const char *key,
		     cJSON *object, struct muster_error *err)
{
	cJSON *life;

	if (!key[0])
		return true;
	return journal_life_of_key(journal, registration_id, key, &life, err) &&
	       (json_add_item(object, "formerLife", life) || muster_fail_memory(err));
}

static bool run(const struct invocation *call, struct muster_error *err)
{
	const struct show_options *options = call->options;
	CLEANUP(journal_freep) struct journal *journal = NULL;
	CLEANUP(journal_device_done) struct journal_device device = { 0 };
	CLEANUP(cJSON_freep) cJSON *object = NULL;
	char former[JOURNAL_NAME_SIZE];
	cJSON *entries;

	if (!journal_verb_open(options->journal, &journal, err) ||
	    !journal_verb_find_ever(journal, options->by, call->operands[0], &device, former, err))
		return false;
	object = journal_device_json(&device);
	if (object && !add_life(journal, device.registration_id, former, object, err))
		return false;
	entries = object ? cJSON_AddArrayToObject(object, "entries") : NULL;
	if (!entries)
		return muster_fail_memory(err);
	if (!read_entries(journal, device.registration_id, entries, err))
		return false;
	if ((call->output == OUTPUT_TABLE || call->output == OUTPUT_TSV) &&
	    !add_all_words(entries, err))
		return false;
	return call->output == OUTPUT_TABLE ? print_for_people(object, entries, err)
					    : result_print(call, object, err);
}

const struct verb verb_journal_show = {
	.noun = "journal",
	.name = "show",
	.operands = "DEVICE",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Show everything known of a device",
	.description =
		"Shows a device and what happened to it. DEVICE is its registration ID, serial, device ID,\n"
		"key ID, or the SHA-256 of its endorsement key or certificate (the thumbprint; capitals and\n"
		"colons do not matter). By the key of a board that was replaced: the device that had it then,\n"
		"with the time of that life and why it ended (formerLife).",
	.options = rows,
	.options_size = sizeof(struct show_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(columns),
	.rows = "entries",
	.run = run,
};
