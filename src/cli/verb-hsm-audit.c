/* muster hsm audit. */
#include "muster/json.h"
#include "muster/station-token.h"

#include "journal.h"

#define AUDIT(member) offsetof(struct station_token_audit, member)

/* clang-format off */
static const struct option_row rows[] = {
	{ 'j', "journal", NULL, OPTION_TEXT, "FILE", "Journal of this station", AUDIT(journal_path), "MUSTER_JOURNAL", NULL, 0 },
	{ 0, "pin-file", NULL, OPTION_TEXT, "FILE", "The token's user PIN, in a file of mode 0600", AUDIT(pin.file),
	  "MUSTER_PIN_FILE", NULL, 0 },
	{ 0, "pin-fd", NULL, OPTION_FD, "N", "Read the PIN from this open descriptor", AUDIT(pin.fd), NULL, NULL, 0 },
	{ 0 },
};
/* clang-format on */

static const struct column columns[] = {
	{ "finding", "FINDING", false, false }, { "label", "LABEL", false, true },
	{ "keyId", "KEY ID", false, false },    { "detail", "DETAIL", false, true },
	{ "remedy", "REMEDY", false, true },
};

static bool print(const struct invocation *call, const cJSON *document, struct muster_error *err)
{
	const cJSON *findings = json_get(document, "findings");

	if (call->output != OUTPUT_TABLE)
		return result_print(call, document, err);
	return cJSON_GetArraySize(findings) == 0 ||
	       output_print(stdout, OUTPUT_TABLE, findings, columns, ARRAY_SIZE(columns), err);
}

static bool run(const struct invocation *call, struct muster_error *err)
{
	struct station_token_audit request = *(const struct station_token_audit *)call->options;
	CLEANUP(freep) char *path = NULL;
	CLEANUP(cJSON_freep) cJSON *document = NULL;
	int64_t objects = 0, keys = 0;
	int count;

	if (!journal_verb_path(request.journal_path, &path, err))
		return false;
	request.journal_path = path;
	if (!station_token_audit(call->operands[0], &request, &document, err) ||
	    !print(call, document, err))
		return false;
	count = cJSON_GetArraySize(json_get(document, "findings"));
	if (count > 0)
		return muster_fail(err, CAUSE_AUDIT_DIFFERS,
				   "token '%s' and journal '%s' differ in %d point%s",
				   PRINTABLE(json_text(json_get(document, "token"), "label")),
				   PRINTABLE(path), count, count == 1 ? "" : "s");
	if (!call->is_quiet && json_int64(document, "objects", &objects) &&
	    json_int64(document, "keys", &keys))
		fprintf(stderr,
			"muster: the token's objects (%lld) are what the journal says of its keys (%lld)\n",
			(long long)objects, (long long)keys);
	return true;
}

const struct verb verb_hsm_audit = {
	.noun = "hsm",
	.name = "audit",
	.operands = "TOKEN",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Compare a token with the journal",
	.description =
		"Objects that the journal does not know, keys that the token does not have, attributes,\n"
		"public halves and certificates that are not those recorded, and keys left half-made. Each\n"
		"with what to do about it; any of them is the status 8. Changes nothing.",
	.options = rows,
	.options_size = sizeof(struct station_token_audit),
	.default_output = OUTPUT_TABLE,
	COLUMNS(columns),
	.rows = "findings",
	.run = run,
};
