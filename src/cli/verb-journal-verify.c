/* muster journal verify: does it hold together, and does it end where others say it does. */
#include "muster/json.h"
#include "muster/station-journal.h"

#include "journal.h"

struct verify_options {
	const char *journal;
	const char *export;
	struct option_list anchors;
	struct option_list words;
	struct option_list public_keys;
	const char *counter;
};

/* clang-format off */
static const struct option_row rows[] = {
	JOURNAL_ROW(struct verify_options),
	{ 0, "export", NULL, OPTION_TEXT, "FILE", "Verify what 'export --entries' wrote instead; '-' is standard input",
	  offsetof(struct verify_options, export), NULL, NULL, 0 },
	{ 0, "anchor", NULL, OPTION_LIST, "FILE", "Anchor or evidence file kept elsewhere; may be repeated",
	  offsetof(struct verify_options, anchors), NULL, NULL, 0 },
	{ 0, "words", NULL, OPTION_LIST, "TEXT", "Entry and words as they were read aloud, \"48213 lusab-...\"; may be repeated",
	  offsetof(struct verify_options, words), NULL, NULL, 0 },
	{ 0, "public-key", NULL, OPTION_LIST, "FILE", "Whose signature each checkpoint must have, PEM; one of several, if repeated",
	  offsetof(struct verify_options, public_keys), NULL, NULL, 0 },
	{ 0, "counter", NULL, OPTION_TEXT, "TPM|N", "The counter that checkpoints raised, or its value as read by others; with --public-key",
	  offsetof(struct verify_options, counter), NULL, NULL, 0 },
	{ 0 },
};
/* clang-format on */

static const struct column columns[] = {
	{ "verdict", "VERDICT", false, false },   { "entries", "ENTRIES", true, false },
	{ "devices", "DEVICES", true, false },    { "checkpoints", "CHECKPOINTS", true, false },
	{ "signedTo", "SIGNED TO", true, false }, { "provenTo", "PROVEN TO", true, false },
};

static const char *verdict_of(const struct station_audit *audit)
{
	if (audit->proven_to == 0)
		return "not proven";
	/* A checkpoint is an entry too, the one behind what it signs. */
	if (audit->last == audit->proven_to ||
	    (audit->last == audit->proven_to + 1 && audit->signed_to == audit->proven_to))
		return "proven";
	return "proven in part";
}

static bool describe(const struct station_audit *audit, bool is_export, cJSON *object)
{
	const char *key = audit->key_digest[0] ? audit->key_digest : NULL;

	return json_add_text(object, "verdict", verdict_of(audit)) &&
	       json_add_int64(object, "after", audit->after) &&
	       json_add_int64(object, "entries", audit->last) &&
	       (is_export ||
		(json_add_int64(object, "devices", (int64_t)audit->device_count) &&
		 json_add_bool(object, "structureChecked", audit->structure_was_checked))) &&
	       json_add_int64(object, "checkpoints", (int64_t)audit->checkpoint_count) &&
	       json_add_int64(object, "signedTo", audit->signed_to) &&
	       json_add_text(object, "keySha256", key) &&
	       json_add_int64(object, "provenTo", audit->proven_to);
}

static bool run(const struct invocation *call, struct muster_error *err)
{
	const struct verify_options *options = call->options;
	CLEANUP(freep) char *path = NULL;
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	struct station_audit_request request = { .export_path = options->export,
						 .anchor_paths = options->anchors.words,
						 .anchor_count = options->anchors.count,
						 .spoken = options->words.words,
						 .spoken_count = options->words.count,
						 .public_key_paths = options->public_keys.words,
						 .public_key_count = options->public_keys.count,
						 .counter = options->counter };
	struct station_audit audit;

	if (!request.export_path && !journal_verb_path(options->journal, &path, err))
		return false;
	request.journal_path = path;
	if (!station_audit(&request, &audit, err))
		return false;
	if (!object || !describe(&audit, request.export_path, object))
		return muster_fail_memory(err);
	if (!result_print(call, object, err))
		return false;
	if (audit.proven_to > 0)
		return true;
	return muster_fail(err, CAUSE_JOURNAL_NOT_PROVEN,
			   "the %lld entries hold together, but that none is missing at the end is "
			   "not proven",
			   (long long)audit.last);
}

const struct verb verb_journal_verify = {
	.noun = "journal",
	.name = "verify",
	.summary = "Verify the journal against what others kept of it",
	.description =
		"Verifies every entry, the device rows, the signatures of checkpoints, and that the entries\n"
		"named by anchors, evidence files and spoken words are those. Without any of these the\n"
		"verdict is \"not proven\" and the status 8. Changes nothing.",
	.options = rows,
	.options_size = sizeof(struct verify_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(columns),
	.run = run,
};
