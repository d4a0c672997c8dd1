/* muster journal list: the devices that changed last. */
#include "muster/json.h"

#include "journal.h"

enum { LIMIT_DEFAULT = 500, LIMIT_MAX = 10000 };

struct list_options {
	const char *journal;
	struct journal_which which;
	int64_t limit;
};

/* clang-format off */
static const struct option_row rows[] = {
	JOURNAL_ROW(struct list_options),
	JOURNAL_WHICH_ROWS(struct list_options),
	{ 0, "limit", NULL, OPTION_NUMBER, "N", "At most N devices; default 500, at most 10000",
	  offsetof(struct list_options, limit), NULL, NULL, 0 },
	{ 0 },
};
/* clang-format on */

static const struct column columns[] = {
	{ "registrationId", "REGISTRATION ID", false, false },
	{ "serial", "SERIAL", false, false },
	{ "attestation", "ATTESTATION", false, false },
	{ "state", "STATE", false, false },
	{ "stage", "STAGE", false, false },
	{ "cause", "CAUSE", false, false },
	{ "verification", "VERIFICATION", false, false },
	{ "hub", "HUB", false, false },
	{ "operator", "OPERATOR", false, false },
	{ "updated", "UPDATED", false, false },
};

struct collection {
	struct journal_filter filter;
	size_t limit;
	size_t count;
	bool is_complete; /* what comes now is older than asked for, or too much */
	bool is_cut;
	cJSON *rows;
};

static bool collect(void *context, const struct journal_device *device, struct muster_error *err)
{
	struct collection *collection = context;

	if (device->updated_ms < collection->filter.since_ms)
		collection->is_complete = true;
	if (collection->is_complete || !journal_filter_takes(&collection->filter, device))
		return true;
	if (collection->count == collection->limit) {
		collection->is_complete = collection->is_cut = true;
		return true;
	}
	collection->count++;
	return cJSON_AddItemToArray(collection->rows, journal_device_json(device)) ||
	       muster_fail_memory(err);
}

static bool run(const struct invocation *call, struct muster_error *err)
{
	const struct list_options *options = call->options;
	CLEANUP(journal_freep) struct journal *journal = NULL;
	CLEANUP(cJSON_freep) cJSON *array = cJSON_CreateArray();
	struct collection collection = { .rows = array, .limit = LIMIT_DEFAULT };
	struct journal_cursor cursor = { .updated_ms = INT64_MAX, .newest_first = true };
	size_t count = 0;

	if (!array)
		return muster_fail_memory(err);
	if (options->limit > LIMIT_MAX)
		return muster_fail(err, CAUSE_USAGE,
				   "--limit is at most %d; muster journal export gives all",
				   LIMIT_MAX);
	if (options->limit > 0)
		collection.limit = (size_t)options->limit;
	if (!journal_filter_read(&options->which, &collection.filter, err) ||
	    !journal_verb_open(options->journal, &journal, err))
		return false;
	do {
		if (!journal_devices_changed(journal, &cursor, collect, &collection, &count, err))
			return false;
	} while (count > 0 && !collection.is_complete);
	if (collection.is_cut && !call->is_quiet)
		fprintf(stderr,
			"muster: these are the latest %zu devices; muster journal export gives all\n",
			collection.limit);
	return result_print(call, array, err);
}

const struct verb verb_journal_list = {
	.noun = "journal",
	.name = "list",
	.summary = "List devices, the latest first",
	.description =
		"Lists the devices of the journal by their last change. Never waits for, and never holds\n"
		"up, a run that is writing.",
	.options = rows,
	.options_size = sizeof(struct list_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(columns),
	.run = run,
};
