/* muster bundle: what is spooled goes to another station on a stick, and its receipt comes back. */
#include "muster/file.h"
#include "muster/json.h"
#include "muster/log.h"
#include "muster/station-bundle.h"

#include "journal.h"
#include "report.h"
#include "sync-options.h"

static const struct column columns[] = {
	{ "registrationId", "REGISTRATION ID", false, false },
	{ "state", "STATE", false, false },
	{ "verified", "VERIFIED", false, false },
	{ "hub", "HUB", false, false },
	{ "cause", "CAUSE", false, false },
};

static bool check_from(const struct invocation *call, const char *from, struct muster_error *err)
{
	return from || muster_fail(err, CAUSE_USAGE,
				   "'muster %s' needs --from FILE, the public key of the station "
				   "that has to have signed",
				   verb_full_name(call->verb));
}

/* -- export ------------------------------------------------------------------------------------------------------- */

static const struct column bundle_columns[] = {
	{ "bundle", "BUNDLE", false, false },
	{ "devices", "DEVICES", true, false },
};

struct export_options {
	const char *journal;
	const char *key;
	const char *operator_name;
};

/* clang-format off */
static const struct option_row export_rows[] = {
	JOURNAL_ROW(struct export_options),
	{ 0, "key", NULL, OPTION_TEXT, "KEY", "The station's key, a file or a PKCS#11 URI; default: station.key beside the journal",
	  offsetof(struct export_options, key), NULL, NULL, 0 },
	OPERATOR_ROW(struct export_options, operator_name),
	{ 0 },
};
/* clang-format on */

static bool run_export(const struct invocation *call, struct muster_error *err)
{
	const struct export_options *options = call->options;
	CLEANUP(freep) char *journal = NULL;
	CLEANUP(cJSON_freep) cJSON *object = NULL;
	struct station_bundle_request request = { .path = call->operands[0],
						  .key = options->key,
						  .operator_name = options->operator_name };
	size_t count;

	if (!file_check_absent(request.path, err) ||
	    !journal_verb_path(options->journal, &journal, err))
		return false;
	request.journal_path = journal;
	if (!station_bundle_export(&request, &count, err))
		return false;
	object = cJSON_CreateObject();
	if (!object || !json_add_text(object, "bundle", request.path) ||
	    !json_add_int64(object, "devices", (int64_t)count))
		return muster_fail_memory(err);
	return result_print(call, object, err);
}

const struct verb verb_bundle_export = {
	.noun = "bundle",
	.name = "export",
	.operands = "FILE",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Write what is spooled, signed, for another station",
	.description =
		"Writes the spooled devices of the journal to FILE, signed by the station's key. It holds no\n"
		"secret. The devices stay spooled here until a receipt says otherwise; sending them from both\n"
		"stations doubles nothing.",
	.options = export_rows,
	.options_size = sizeof(struct export_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(bundle_columns),
	.run = run_export,
};

/* -- send --------------------------------------------------------------------------------------------------------- */

struct send_options {
	struct sync_options sync;
	struct option_list profiles;
	const char *from;
	const char *receipt;
	const char *key;
};

/* clang-format off */
static const struct option_row send_rows[] = {
	{ 0, "from", NULL, OPTION_TEXT, "FILE", "Public key (PEM) of the station that has to have signed the bundle",
	  offsetof(struct send_options, from), NULL, NULL, 0 },
	{ 0, "receipt", NULL, OPTION_TEXT, "FILE", "Where the answer goes",
	  offsetof(struct send_options, receipt), NULL, NULL, 0 },
	{ 0, "key", NULL, OPTION_TEXT, "KEY", "This station's key, which signs the receipt; default: station.key beside the journal",
	  offsetof(struct send_options, key), NULL, NULL, 0 },
	{ 'p', "profile", NULL, OPTION_LIST, "FILE", "A profile that devices of the bundle were begun with; may be repeated",
	  offsetof(struct send_options, profiles), NULL, NULL, 0 },
	SYNC_ROWS(struct send_options),
	{ 0 },
};
/* clang-format on */

/* They are all conflicts. */
static bool check_refused(const struct station_bundle_taken *taken, struct muster_error *err)
{
	const cJSON *first = cJSON_GetArrayItem(taken->refused, 0);
	int count = cJSON_GetArraySize(taken->refused);

	return !first ||
	       muster_fail(err, CAUSE_RECEIPT_DIFFERS,
			   "%d of %d devices of the bundle were not taken: %s", count,
			   count + cJSON_GetArraySize(taken->ids), json_text(first, "detail"));
}

/* Each of the devices with a cause in words. */
static void tell_failures(const cJSON *rows)
{
	const cJSON *row;

	cJSON_ArrayForEach(row, rows)
	{
		const char *detail = json_text(row, "detail");

		if (detail)
			fprintf(stderr, "%smuster: %s: [%s] %s\n", log_priority(LOG_ERROR),
				PRINTABLE(json_text(row, "registrationId")),
				json_text(row, "cause"), detail);
	}
}

/* The receipt is written whatever became of the devices: it says so. */
static bool send(const struct invocation *call, const struct send_options *options,
		 const struct station_bundle_request *request,
		 const struct station_bundle_taken *taken, struct muster_error *err)
{
	size_t count = (size_t)cJSON_GetArraySize(taken->ids), used = 0;
	CLEANUP(freep) const char **names = calloc(count + 1, sizeof(*names));
	struct muster_error unwritten;
	const cJSON *id;
	bool are_sent;

	if (!names)
		return muster_fail_memory(err);
	cJSON_ArrayForEach(id, taken->ids) names[used++] = id->valuestring;
	are_sent = sync_run(call, &options->sync, names, count, err);
	if (!station_bundle_answer(request, options->receipt, &unwritten)) {
		*err = unwritten;
		return false;
	}
	return are_sent && check_refused(taken, err);
}

static bool run_send(const struct invocation *call, struct muster_error *err)
{
	const struct send_options *options = call->options;
	CLEANUP(freep) char *journal = NULL;
	CLEANUP(station_bundle_taken_done) struct station_bundle_taken taken = { 0 };
	struct station_bundle_request request = {
		.path = call->operands[0],
		.key = options->key,
		.public_key = options->from,
		.operator_name = options->sync.request.operator_name,
	};

	if (!check_from(call, options->from, err))
		return false;
	if (!options->receipt)
		return muster_fail(err, CAUSE_USAGE, "'muster bundle send' needs --receipt FILE");
	if (!file_check_absent(options->receipt, err) ||
	    !journal_verb_path(options->sync.request.journal_path, &journal, err))
		return false;
	request.journal_path = journal;
	if (!station_bundle_take(&request, options->profiles.words, options->profiles.count, &taken,
				 err))
		return false;
	tell_failures(taken.refused);
	return send(call, options, &request, &taken, err);
}

const struct verb verb_bundle_send = {
	.noun = "bundle",
	.name = "send",
	.operands = "FILE",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Send the devices of another station's bundle",
	.description =
		"Takes the devices of a bundle into this station's journal and sends them as muster sync does.\n"
		"The masters of derived keys have to be where the profile says. The receipt goes back to the\n"
		"first station.",
	.options = send_rows,
	.options_size = sizeof(struct send_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(provision_columns),
	.is_missed = true,
	.run = run_send,
};

/* -- accept ------------------------------------------------------------------------------------------------------- */

struct accept_options {
	const char *journal;
	const char *from;
	const char *out;
	const char *operator_name;
};

/* clang-format off */
static const struct option_row accept_rows[] = {
	JOURNAL_ROW(struct accept_options),
	{ 0, "from", NULL, OPTION_TEXT, "FILE", "Public key (PEM) of the station that has to have signed the receipt",
	  offsetof(struct accept_options, from), NULL, NULL, 0 },
	{ 0, "out", NULL, OPTION_TEXT, "DIR", "Where evidence goes",
	  offsetof(struct accept_options, out), "MUSTER_OUT", NULL, 0 },
	OPERATOR_ROW(struct accept_options, operator_name),
	{ 0 },
};
/* clang-format on */

static bool run_accept(const struct invocation *call, struct muster_error *err)
{
	const struct accept_options *options = call->options;
	CLEANUP(freep) char *journal = NULL;
	CLEANUP(freep) char *out = NULL;
	CLEANUP(cJSON_freep) cJSON *rows = NULL;
	CLEANUP(config_done) struct config config = { 0 };
	struct muster_error unprinted;
	bool are_enrolled;
	struct station_bundle_request request = {
		.path = call->operands[0],
		.public_key = options->from,
		.operator_name = options->operator_name,
	};

	if (!check_from(call, options->from, err) || !report_config_load(&config, err) ||
	    !journal_verb_path(options->journal, &journal, err) ||
	    !journal_verb_evidence(options->out, journal, &out, err))
		return false;
	request.journal_path = journal;
	request.out_directory = out;
	request.config = &config;
	are_enrolled = station_bundle_accept(&request, &rows, err);
	tell_failures(rows);
	if (rows && !result_print(call, rows, &unprinted)) {
		*err = unprinted;
		return false;
	}
	return are_enrolled;
}

const struct verb verb_bundle_accept = {
	.noun = "bundle",
	.name = "accept",
	.operands = "RECEIPT",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Take in the receipt for a bundle",
	.description =
		"Releases the devices that the other station has enrolled, each with evidence that names the\n"
		"receipt, and says of the others what became of them.",
	.options = accept_rows,
	.options_size = sizeof(struct accept_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(columns),
	.run = run_accept,
};
