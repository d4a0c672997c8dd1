/* muster hsm check. */
#include "muster/json.h"
#include "muster/station-token.h"

#include "report.h"

#define CHECK(member) offsetof(struct station_token_check, member)

/* clang-format off */
static const struct option_row rows[] = {
	{ 'p', "profile", NULL, OPTION_TEXT, "FILE", "Only what this profile needs, and all of it", CHECK(profile_path), NULL, NULL, 0 },
	{ 0, "pin-file", NULL, OPTION_TEXT, "FILE", "The token's user PIN, in a file of mode 0600", CHECK(pin.file),
	  "MUSTER_PIN_FILE", NULL, 0 },
	{ 0, "pin-fd", NULL, OPTION_FD, "N", "Read the PIN from this open descriptor", CHECK(pin.fd), NULL, NULL, 0 },
	{ 0 },
};
/* clang-format on */

static const struct column columns[] = {
	{ "need", "NEED", false, true }, { "state", "STATE", false, false },
	{ "rate", "RATE", true, false }, { "unit", "UNIT", false, false },
	{ "note", "NOTE", false, true },
};

/* People get how or why not in one column. */
static bool add_note(cJSON *row, struct muster_error *err)
{
	const char *reason = json_text(row, "reason");

	return json_add_text(row, "note", reason ? reason : json_text(row, "method")) ||
	       muster_fail_memory(err);
}

static bool print(const struct invocation *call, cJSON *document, struct muster_error *err)
{
	cJSON *needs = json_get(document, "needs"), *row;

	if (call->output == OUTPUT_TABLE || call->output == OUTPUT_TSV)
		cJSON_ArrayForEach(row, needs) if (!add_note(row, err)) return false;
	return call->output == OUTPUT_TABLE ? output_print(stdout, OUTPUT_TABLE, needs, columns,
							   ARRAY_SIZE(columns), err)
					    : result_print(call, document, err);
}

static bool run(const struct invocation *call, struct muster_error *err)
{
	const struct station_token_check *request = call->options;
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	CLEANUP(cJSON_freep) cJSON *document = NULL;
	int64_t unmet = 0;

	if (!station_token_check(call->operands[0], request, &report, &document, err)) {
		report_print(&report);
		return false;
	}
	if (!print(call, document, err))
		return false;
	if (!request->profile_path || !json_int64(document, "unmet", &unmet) || unmet == 0)
		return true;
	return muster_fail(err, CAUSE_MODULE_UNFIT,
			   "token '%s' does not meet %lld needs of profile '%s'",
			   PRINTABLE(json_text(json_get(document, "token"), "label")),
			   (long long)unmet, PRINTABLE(json_text(document, "profile")));
}

const struct verb verb_hsm_check = {
	.noun = "hsm",
	.name = "check",
	.operands = "TOKEN",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Try what profiles need of a token, and measure it",
	.description =
		"Makes keys that live as long as the session, signs, derives and wraps with them, and looks\n"
		"at everything as if it were for a device: a need is present, missing, or met in a way that\n"
		"is not to be trusted. Nothing is left on the token. With --profile an unmet need is the\n"
		"status 4.",
	.options = rows,
	.options_size = sizeof(struct station_token_check),
	.default_output = OUTPUT_TABLE,
	COLUMNS(columns),
	.rows = "needs",
	.run = run,
};
