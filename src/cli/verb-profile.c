/* muster profile check, muster profile schema. */
#include <errno.h>

#include "muster/json.h"

#include "report.h"

static const struct column columns[] = {
	{ "path", "FILE", false, false },      { "valid", "VALID", false, false },
	{ "name", "NAME", false, false },      { "attestation", "ATTESTATION", false, false },
	{ "digest", "SHA-256", false, false },
};

static bool describe(const char *path, const struct profile *profile,
		     const struct profile_report *report, cJSON *rows, struct muster_error *err)
{
	cJSON *object = cJSON_CreateObject();
	cJSON *mistakes;

	if (!object || !cJSON_AddItemToArray(rows, object) ||
	    !json_add_text(object, "path", path) ||
	    !json_add_bool(object, "valid", profile != NULL))
		return muster_fail_memory(err);
	if (profile && (!json_add_text(object, "name", profile->name) ||
			!json_add_text(object, "attestation",
				       profile_attestation_word(profile->attestation)) ||
			!json_add_text(object, "digest", profile->digest)))
		return muster_fail_memory(err);
	mistakes = cJSON_AddArrayToObject(object, "mistakes");
	return mistakes ? report_add_json(report, mistakes, err) : muster_fail_memory(err);
}

/* One file; a profile with mistakes makes *ret_is_valid false and is no failure here. */
static bool check(const struct invocation *call, const char *path, cJSON *rows, bool *ret_is_valid,
		  struct muster_error *err)
{
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	CLEANUP(profile_done) struct profile profile = { 0 };
	bool is_valid = profile_load(path, &profile, &report, err);

	if (!is_valid && err->cause != CAUSE_PROFILE_INVALID)
		return false;
	if (call->output == OUTPUT_TABLE || call->output == OUTPUT_TSV)
		report_print(&report);
	*ret_is_valid = is_valid;
	return describe(path, is_valid ? &profile : NULL, &report, rows, err);
}

static bool run_check(const struct invocation *call, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *rows = cJSON_CreateArray();
	struct muster_error first = { 0 };
	size_t invalid = 0;

	if (!rows)
		return muster_fail_memory(err);
	for (size_t i = 0; i < call->operand_count; i++) {
		bool is_valid = false;

		if (!check(call, call->operands[i], rows, &is_valid, err))
			return false;
		if (!is_valid && invalid++ == 0)
			first = *err;
	}
	if (!result_print(call, rows, err))
		return false;
	if (invalid == 0)
		return true;
	if (call->operand_count > 1)
		return muster_fail(err, CAUSE_PROFILE_INVALID, "%zu of %zu profiles have mistakes",
				   invalid, call->operand_count);
	*err = first;
	return false;
}

static bool run_schema(const struct invocation *call, struct muster_error *err)
{
	CLEANUP(text_done) struct text schema = TEXT_MAX(1024 * 1024);

	(void)call;
	if (!profile_schema(&schema, err) || !text_ok(&schema, err))
		return false;
	return fputs(schema.data, stdout) >= 0 ||
	       muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "writing to standard output");
}

const struct verb verb_profile_check = {
	.noun = "profile",
	.name = "check",
	.operands = "FILE...",
	.operands_min = 1,
	.operands_max = 1000,
	.summary = "Find every mistake in product profiles",
	.description =
		"Reads each profile and names every mistake with line and column. Nothing is\n"
		"touched; the exit status is 2 when there is a mistake.",
	.default_output = OUTPUT_TABLE,
	COLUMNS(columns),
	.run = run_check,
};

const struct verb verb_profile_schema = {
	.noun = "profile",
	.name = "schema",
	.summary = "Print the JSON Schema of profiles, for editors",
	.description =
		"Prints the JSON Schema (draft-07) of product profiles, whatever the output format.",
	.default_output = OUTPUT_JSON,
	.run = run_schema,
};
