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

struct import_options {
	struct station_master master; /* all but the components */
	struct option_list components, check_values;
};

#define MASTER(member) offsetof(struct station_master, member)
#define IMPORT(member) offsetof(struct import_options, member)

/* clang-format off */
static const struct option_row generate_rows[] = {
	CUSTODY_ROWS(struct station_master, custody),
	{ 0, "label", NULL, OPTION_TEXT, "TEXT", "Label of the master", MASTER(label), NULL, NULL, 0 },
	{ 0, "bits", NULL, OPTION_NUMBER, "N", "Size, 256 to 512; default: 256", MASTER(bits), NULL, NULL, 0 },
	{ 0 },
};

static const struct option_row import_rows[] = {
	CUSTODY_ROWS(struct import_options, master.custody),
	{ 0, "label", NULL, OPTION_TEXT, "TEXT", "Label of the master", IMPORT(master.label), NULL, NULL, 0 },
	{ 0, "from", NULL, OPTION_TEXT, "FILE", "File of mode 0600 with the key in base64", IMPORT(master.from), NULL, NULL, 0 },
	{ 0, "from-fd", NULL, OPTION_FD, "N", "Or an open descriptor to read it from", IMPORT(master.from_fd), NULL, NULL, 0 },
	{ 0, "component", NULL, OPTION_LIST, "SOURCE", "Or a part of it: FILE, fd:N, or prompt; once for each of two or more",
	  IMPORT(components), NULL, NULL, 0 },
	{ 0, "component-check-value", NULL, OPTION_LIST, "VALUE", "Check value of a part, once for each, in the same order",
	  IMPORT(check_values), NULL, NULL, 0 },
	{ 0, "check-value", NULL, OPTION_TEXT, "VALUE", "Make nothing unless the whole has this check value",
	  IMPORT(master.check_value), NULL, NULL, 0 },
	{ 0 },
};
/* clang-format on */

static bool print_master(const struct invocation *call, const cJSON *result,
			 struct muster_error *err)
{
	return result_print(call, result, err);
}

static bool run_generate(const struct invocation *call, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *result = NULL;

	return station_master_generate(call->options, &result, err) &&
	       print_master(call, result, err);
}

static bool run_import(const struct invocation *call, struct muster_error *err)
{
	const struct import_options *options = call->options;
	CLEANUP(cJSON_freep) cJSON *result = NULL;
	struct station_master request = options->master;

	request.components = (struct station_components){
		.sources = options->components.words,
		.count = options->components.count,
		.check_values = options->check_values.words,
		.check_count = options->check_values.count,
	};
	return station_master_import(&request, &result, err) && print_master(call, result, err);
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
	COLUMNS(master_columns),
	.run = run_generate,
};

const struct verb verb_key_import_master = {
	.noun = "key",
	.name = "import-master",
	.summary = "Bring a master key, or its components, into a token",
	.description =
		"For an enrollment group's key that exists already. The token shows that such a key was\n"
		"elsewhere before, and the journal says \"imported\". Destroy the file afterwards. Components\n"
		"of several people, of whom none knows the key, are read one after the other; their exclusive\n"
		"or is the key. One that was mistyped is named by its number.",
	.options = import_rows,
	.options_size = sizeof(struct import_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(master_columns),
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
	{ 0, "component", NULL, OPTION_TEXT, "SOURCE", "A component of one: FILE, fd:N, or prompt",
	  offsetof(struct station_check_value, component), NULL, NULL, 0 },
	{ 0 },
};
/* clang-format on */

static bool run_check(const struct invocation *call, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *result = NULL;

	return station_master_check_value(call->options, &result, err) &&
	       result_print(call, result, err);
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
	COLUMNS(check_columns),
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
	{ 0, "key-fd", NULL, OPTION_FD, "N", "Write to this open descriptor instead", DERIVE(key_fd), NULL, NULL, 0 },
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
	return request.key_fd == 1 || result_print(call, result, err);
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
	COLUMNS(derive_columns),
	.run = run_derive,
};
