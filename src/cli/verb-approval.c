/* muster approval: what is going to be done is written down, and other people sign that they agree. */
#include "muster/json.h"
#include "muster/station-approval.h"

#include "provision-batch.h"
#include "report.h"

enum { HOURS_TO_ASK = 168, HOURS_TO_GRANT = 8 };

/* -- What is printed ---------------------------------------------------------------------------------------------- */

static const struct column plan_columns[] = {
	{ "verb", "COMMAND", false, false },     { "devices", "DEVICES", true, false },
	{ "words", "WORDS", false, false },      { "needed", "NEEDED", true, false },
	{ "counting", "COUNTING", true, false },
};

static const struct column subject_columns[] = {
	{ "subject", "SUBJECT", false, false },
	{ "sha256", "SHA-256", false, false },
	{ "words", "WORDS", false, false },
};

static const struct column signature_columns[] = {
	{ "role", "ROLE", false, false },     { "name", "NAME", false, false },
	{ "keySha256", "KEY", false, false }, { "at", "AT", false, false },
	{ "until", "UNTIL", false, false },   { "state", "STATE", false, false },
};

static bool print(const struct invocation *call, const cJSON *result, struct muster_error *err)
{
	if (!result_print(call, result, err))
		return false;
	return call->output != OUTPUT_TABLE ||
	       (output_print(stdout, OUTPUT_TABLE, json_get(result, "subjects"), subject_columns,
			     ARRAY_SIZE(subject_columns), err) &&
		output_print(stdout, OUTPUT_TABLE, json_get(result, "signatures"),
			     signature_columns, ARRAY_SIZE(signature_columns), err));
}

static bool complete_terms(const struct invocation *call, const char *hours, int64_t otherwise,
			   struct station_approval_terms *terms, struct muster_error *err)
{
	terms->path = call->operands[0];
	terms->hours = otherwise;
	if (!terms->key)
		return muster_fail(err, CAUSE_USAGE, "'muster %s' needs --key KEY, which signs",
				   verb_full_name(call->verb));
	return !hours || text_to_int64(hours, 1, STATION_APPROVAL_HOURS_MAX, &terms->hours) ||
	       muster_fail(err, CAUSE_USAGE, "--hours=%s is not a number from 1 to %d",
			   PRINTABLE(hours), STATION_APPROVAL_HOURS_MAX);
}

/* clang-format off */
#define TERMS_ROWS(options, default_hours) \
	{ 0, "key", NULL, OPTION_TEXT, "KEY", "Your key: a file (PEM, mode 0600), in a token or a TPM", \
	  offsetof(options, terms.key), NULL, NULL, 0 }, \
	{ 0, "hours", NULL, OPTION_TEXT, "N", "Hours until it expires, 1 to 720; default: " default_hours, \
	  offsetof(options, hours), NULL, NULL, 0 }, \
	OPERATOR_ROW(options, terms.operator_name)
/* clang-format on */

/* -- request ------------------------------------------------------------------------------------------------------ */

struct request_options {
	struct station_approval_terms terms;
	const char *hours, *profile, *serials;
	struct provision_batch_options batch;
};

/* clang-format off */
static const struct option_row request_rows[] = {
	{ 'p', "profile", NULL, OPTION_TEXT, "FILE", "Product profile to provision by",
	  offsetof(struct request_options, profile), "MUSTER_PROFILE", NULL, 0 },
	{ 'm', "manifest", NULL, OPTION_TEXT, "FILE", "Devices, one a row: CSV, or JSON Lines (.jsonl)",
	  offsetof(struct request_options, batch.manifest), NULL, NULL, 0 },
	{ 0, "serials", NULL, OPTION_TEXT, "FILE", "Or serials, one a line, for muster cert produce",
	  offsetof(struct request_options, serials), NULL, NULL, 0 },
	TERMS_ROWS(struct request_options, "168"),
	{ 0 },
};
/* clang-format on */

static bool ask_for_batch(const struct invocation *call, const struct station_approval_terms *terms,
			  cJSON **ret_result, struct muster_error *err)
{
	const struct request_options *options = call->options;
	CLEANUP(profile_report_done) struct profile_report mistakes = { 0 };
	struct station_request request = { .profile_path = options->profile };
	struct provision_batch batch;
	bool is_done;

	if (!provision_batch_begin(&options->batch, call, &batch, err))
		return false;
	request.batch = &batch.request;
	is_done = station_approval_request(terms, &request, &mistakes, ret_result, err);
	if (!is_done || !call->is_quiet)
		report_print(&mistakes);
	return is_done;
}

static bool run_request(const struct invocation *call, struct muster_error *err)
{
	const struct request_options *options = call->options;
	const struct station_produce produce = { .profile_path = options->profile,
						 .serials_path = options->serials };
	CLEANUP(cJSON_freep) cJSON *result = NULL;
	struct station_approval_terms terms = options->terms;

	if (!options->profile || !options->batch.manifest == !options->serials)
		return muster_fail(
			err, CAUSE_USAGE,
			"'muster approval request' needs --profile FILE, and either --manifest FILE or --serials FILE");
	return complete_terms(call, options->hours, HOURS_TO_ASK, &terms, err) &&
	       (options->serials ? station_approval_request_produce(&terms, &produce, &result, err)
				 : ask_for_batch(call, &terms, &result, err)) &&
	       print(call, result, err);
}

const struct verb verb_approval_request = {
	.noun = "approval",
	.name = "request",
	.operands = "FILE",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Write down what is going to be made, for others to approve",
	.description =
		"Checks profile and manifest as provisioning would, writes their digests to FILE, and signs\n"
		"that with your key. Whoever approves can compare the files by digest, or by words.",
	.options = request_rows,
	.options_size = sizeof(struct request_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(plan_columns),
	.run = run_request,
};

/* -- grant -------------------------------------------------------------------------------------------------------- */

struct grant_options {
	struct station_approval_terms terms;
	const char *hours, *words;
};

/* clang-format off */
static const struct option_row grant_rows[] = {
	{ 0, "words", NULL, OPTION_TEXT, "WORDS", "The request's words, as shown or read to you. Must be given",
	  offsetof(struct grant_options, words), NULL, NULL, 0 },
	TERMS_ROWS(struct grant_options, "8"),
	{ 0 },
};
/* clang-format on */

static bool run_grant(const struct invocation *call, struct muster_error *err)
{
	const struct grant_options *options = call->options;
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(cJSON_freep) cJSON *result = NULL;
	struct station_approval_terms terms = options->terms;

	/* What was looked at is what is signed, whatever the file is by now. */
	if (!options->words)
		return muster_fail(
			err, CAUSE_USAGE,
			"'muster approval grant' needs --words WORDS, as muster approval "
			"show tells them");
	return complete_terms(call, options->hours, HOURS_TO_GRANT, &terms, err) &&
	       report_config_load(&config, err) &&
	       station_approval_grant(&terms, options->words, &config, &result, err) &&
	       print(call, result, err);
}

const struct verb verb_approval_grant = {
	.noun = "approval",
	.name = "grant",
	.operands = "FILE",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Approve what is written down",
	.description =
		"Adds your signature to FILE; look at it first with muster approval show. The key that asked\n"
		"cannot approve, no key counts twice, and where a configuration names approvers it has to be\n"
		"one of theirs.",
	.options = grant_rows,
	.options_size = sizeof(struct grant_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(plan_columns),
	.run = run_grant,
};

/* -- show --------------------------------------------------------------------------------------------------------- */

static const struct option_row show_rows[] = { { 0 } };

static bool run_show(const struct invocation *call, struct muster_error *err)
{
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(cJSON_freep) cJSON *result = NULL;

	return report_config_load(&config, err) &&
	       station_approval_show(call->operands[0], &config, &result, err) &&
	       print(call, result, err);
}

const struct verb verb_approval_show = {
	.noun = "approval",
	.name = "show",
	.operands = "FILE",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Show what is to be approved, and who has",
	.description =
		"Verifies every signature in FILE, and says of each whether it counts here and now.",
	.options = show_rows,
	.options_size = 0,
	.default_output = OUTPUT_TABLE,
	COLUMNS(plan_columns),
	.run = run_show,
};
