/* muster key: masters, and the device keys that are derived from them. */
#include "muster/json.h"
#include "muster/station-custody.h"

#include "custody-options.h"

/* -- generate-master, import-master ----------------------------------------------------------------------------- */

static const struct column master_columns[] = {
	{ "label", "LABEL", false, false },  { "origin", "ORIGIN", false, false },
	{ "keyId", "KEY ID", false, false }, { "checkValue", "CHECK VALUE", false, false },
	{ "token", "TOKEN", false, false },
};

#define MASTER(member) offsetof(struct station_master, member)
#define LABEL_ROW                                                                                  \
	{                                                                                          \
		0, "label", NULL, OPTION_TEXT, "TEXT", "Label of the master", MASTER(label), NULL, \
			NULL, 0                                                                    \
	}

/* clang-format off */
static const struct option_row generate_rows[] = {
	CUSTODY_ROWS(struct station_master, custody),
	LABEL_ROW,
	{ 0, "bits", NULL, OPTION_NUMBER, "N", "Size, 256 to 512; default: 256", MASTER(bits), NULL, NULL, 0 },
	{ 0 },
};

static const struct option_row import_rows[] = {
	CUSTODY_ROWS(struct station_master, custody),
	LABEL_ROW,
	{ 0, "from", NULL, OPTION_TEXT, "FILE", "File of mode 0600 with the key in base64", MASTER(from), NULL, NULL, 0 },
	{ 0, "from-fd", NULL, OPTION_NUMBER, "N", "Or an open descriptor to read it from", MASTER(from_fd), NULL, NULL, 0 },
	{ 0 },
};
/* clang-format on */

static bool print_master(const struct invocation *call, const cJSON *result,
			 struct muster_error *err)
{
	return output_print(stdout, call->output, result, master_columns,
			    ARRAY_SIZE(master_columns), err);
}

static bool run_generate(const struct invocation *call, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *result = NULL;

	return station_master_generate(call->options, &result, err) &&
	       print_master(call, result, err);
}

static bool run_import(const struct invocation *call, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *result = NULL;

	return station_master_import(call->options, &result, err) &&
	       print_master(call, result, err);
}

const struct verb verb_key_generate_master = {
	.noun = "key",
	.name = "generate-master",
	.summary = "Make a master key inside a token",
	.description =
		"A secret for HMAC-SHA256 that is born in the token and cannot leave it. Announced in\n"
		"the journal before it is made; tried before it is kept.",
	.options = generate_rows,
	.options_size = sizeof(struct station_master),
	.default_output = OUTPUT_TABLE,
	.run = run_generate,
};

const struct verb verb_key_import_master = {
	.noun = "key",
	.name = "import-master",
	.summary = "Bring a master key from a file into a token",
	.description =
		"For an enrollment group's key that exists already. The token shows that such a key was\n"
		"elsewhere before, and the journal says \"imported\". Destroy the file afterwards.",
	.options = import_rows,
	.options_size = sizeof(struct station_master),
	.default_output = OUTPUT_TABLE,
	.run = run_import,
};

/* -- check-value ---------------------------------------------------------------------------------------------------- */

static const struct column check_columns[] = {
	{ "checkValue", "CHECK VALUE", false, false },
	{ "method", "METHOD", false, true },
};

/* clang-format off */
static const struct option_row check_rows[] = {
	CUSTODY_ROWS(struct station_check_value, custody),
	SOURCE_ROWS(struct station_check_value, master, "master", "The master"),
	{ 0 },
};
/* clang-format on */

static bool run_check(const struct invocation *call, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *result = NULL;

	return station_master_check_value(call->options, &result, err) &&
	       output_print(stdout, call->output, result, check_columns, ARRAY_SIZE(check_columns),
			    err);
}

const struct verb verb_key_check_value = {
	.noun = "key",
	.name = "check-value",
	.summary = "Show the check value of a master key",
	.description =
		"40 bits by which two people can tell that they mean the same master, and which tell\n"
		"nothing else about it: the beginning of an HMAC over a text that is no registration ID.",
	.options = check_rows,
	.options_size = sizeof(struct station_check_value),
	.default_output = OUTPUT_TABLE,
	.run = run_check,
};

/* -- derive ----------------------------------------------------------------------------------------------------------- */

static const struct column derive_columns[] = {
	{ "devices", "DEVICES", true, false },
	{ "file", "FILE", false, false },
	{ "wrapped", "WRAPPED", false, false },
};

#define DERIVE(member) offsetof(struct station_derive, member)

/* clang-format off */
static const struct option_row derive_rows[] = {
	CUSTODY_ROWS(struct station_derive, custody),
	SOURCE_ROWS(struct station_derive, primary, "master", "The master"),
	SOURCE_ROWS(struct station_derive, secondary, "secondary-master", "The master of the secondary keys"),
	{ 0, "ids", NULL, OPTION_TEXT, "FILE", "Registration IDs, one a line; - is standard input", DERIVE(ids_path), NULL, NULL, 0 },
	{ 0, "out", NULL, OPTION_TEXT, "FILE", "Create this file, mode 0600", DERIVE(out), NULL, NULL, 0 },
	{ 0, "key-fd", NULL, OPTION_NUMBER, "N", "Write to this open descriptor instead", DERIVE(key_fd), NULL, NULL, 0 },
	{ 0, "sessions", NULL, OPTION_NUMBER, "N", "Sessions with the token at a time, 1 to 32", DERIVE(sessions), NULL, NULL, 0 },
	{ 0, "wrap-to", NULL, OPTION_TEXT, "FILE", "Encrypt for the key of this certificate", DERIVE(wrap_to), NULL, NULL, 0 },
	{ 0 },
};
/* clang-format on */

static bool run_derive(const struct invocation *call, struct muster_error *err)
{
	struct station_derive request = *(const struct station_derive *)call->options;
	CLEANUP(cJSON_freep) cJSON *result = NULL;

	request.ids = call->operands;
	request.id_count = call->operand_count;
	if (!station_derive(&request, &result, err))
		return false;
	/* The keys themselves may have gone to standard output. */
	return request.key_fd == 1 || output_print(stdout, call->output, result, derive_columns,
						   ARRAY_SIZE(derive_columns), err);
}

const struct verb verb_key_derive = {
	.noun = "key",
	.name = "derive",
	.operands = "[ID...]",
	.operands_min = 0,
	.operands_max = 100000,
	.summary = "Derive the keys of devices from masters",
	.description =
		"A line of JSON for each registration ID, as Azure derives them: HMAC-SHA256 over the\n"
		"lower-cased ID, in base64. A master in a token stays there: a token that cannot compute\n"
		"the HMAC is refused. Every ID is looked at before the first key is derived.",
	.options = derive_rows,
	.options_size = sizeof(struct station_derive),
	.default_output = OUTPUT_TABLE,
	.run = run_derive,
};
