/* muster journal checkpoint: sign what there is, and say it so that somebody else can keep it. */
#include "muster/json.h"
#include "muster/station-journal.h"

#include "journal.h"

struct checkpoint_options {
	const char *journal;
	const char *key;
	const char *anchor;
	const char *counter;
	const char *operator_name;
	bool new_key, new_counter;
};

/* clang-format off */
static const struct option_row rows[] = {
	JOURNAL_ROW(struct checkpoint_options),
	{ 0, "station-key", NULL, OPTION_TEXT, "FILE|URI",
	  "Key to sign with: PEM, mode 0600, or in a token or a TPM; default: station.key beside the journal",
	  offsetof(struct checkpoint_options, key), NULL, NULL, 0 },
	{ 0, "new-key", NULL, OPTION_FLAG, NULL, "Sign with another key than before; make it, if it is a file that is not there",
	  offsetof(struct checkpoint_options, new_key), NULL, NULL, 0 },
	{ 0, "anchor", NULL, OPTION_TEXT, "FILE", "Write what others need to know there: on a stick, another machine",
	  offsetof(struct checkpoint_options, anchor), NULL, NULL, 0 },
	{ 0, "counter", NULL, OPTION_TEXT, "TPM", "Raise this counter of the station's TPM, tpm:index=0x01800100;tcti=...",
	  offsetof(struct checkpoint_options, counter), NULL, NULL, 0 },
	{ 0, "new-counter", NULL, OPTION_FLAG, NULL, "Begin with a counter that the TPM has already and this journal does not know",
	  offsetof(struct checkpoint_options, new_counter), NULL, NULL, 0 },
	OPERATOR_ROW(struct checkpoint_options, operator_name),
	{ 0 },
};
/* clang-format on */

static const struct column columns[] = {
	{ "entry", "ENTRY", true, false },
	{ "words", "WORDS", false, false },
	{ "keySha256", "KEY", false, false },
};

static bool run(const struct invocation *call, struct muster_error *err)
{
	const struct checkpoint_options *options = call->options;
	CLEANUP(freep) char *path = NULL;
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	struct station_checkpoint_request request = { .key = options->key,
						      .is_new_key = options->new_key,
						      .anchor_path = options->anchor,
						      .counter = options->counter,
						      .counter_is_new = options->new_counter,
						      .operator_name = options->operator_name };
	struct station_checkpoint checkpoint;

	if (!journal_verb_path(options->journal, &path, err))
		return false;
	request.journal_path = path;
	if (!station_checkpoint_make(&request, &checkpoint, err))
		return false;
	if (checkpoint.key_is_new && !call->is_quiet)
		fprintf(stderr,
			"muster: made the station's key; give its public half (.pub) to those who verify\n");
	if (!object || !json_add_int64(object, "entry", checkpoint.entry) ||
	    !json_add_text(object, "digest", checkpoint.digest) ||
	    !json_add_text(object, "words", checkpoint.words) ||
	    !json_add_text(object, "keySha256", checkpoint.key_digest) ||
	    !json_add_text(object, "anchor", options->anchor))
		return muster_fail_memory(err);
	return result_print(call, object, err);
}

const struct verb verb_journal_checkpoint = {
	.noun = "journal",
	.name = "checkpoint",
	.summary = "Sign the journal, and say in words where it ends",
	.description =
		"Signs the digest of the last entry with the station's key and records that. Only what is\n"
		"kept elsewhere can show later that the end of the journal is missing: write down ENTRY and\n"
		"WORDS, or let --anchor write a file. An anchor that exists must be of this journal.",
	.options = rows,
	.options_size = sizeof(struct checkpoint_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(columns),
	.run = run,
};
