/* muster hsm list, show, init, acknowledge. */
#include "muster/json.h"
#include "muster/station-token.h"
#include "muster/text.h"

#include "cli-internal.h"

/* -- list ------------------------------------------------------------------------------------------------------ */

struct list_options {
	const char *module;
};

struct acknowledge_options {
	bool is_officer;
};

/* clang-format off */
static const struct option_row list_rows[] = {
	{ 0, "module", NULL, OPTION_TEXT, "FILE", "Only this PKCS#11 module",
	  offsetof(struct list_options, module), NULL, NULL, 0 },
	{ 0 },
};

static const struct option_row show_rows[] = {
	{ 0, "pin-file", NULL, OPTION_TEXT, "FILE", "The token's user PIN, in a file of mode 0600",
	  offsetof(struct station_show, pin.file), "MUSTER_PIN_FILE", NULL, 0 },
	{ 0, "pin-fd", NULL, OPTION_FD, "N", "Read the PIN from this open descriptor",
	  offsetof(struct station_show, pin.fd), NULL, NULL, 0 },
	{ 0, "login", NULL, OPTION_FLAG, NULL, "Log in, and ask for the PIN when there is no other source",
	  offsetof(struct station_show, asks), NULL, NULL, 0 },
	{ 0 },
};

static const struct option_row init_rows[] = {
	{ 0, "label", NULL, OPTION_TEXT, "TEXT", "The new token's label, at most 32 bytes",
	  offsetof(struct station_init, label), NULL, NULL, 0 },
	{ 0, "so-pin-file", NULL, OPTION_TEXT, "FILE", "The security officer's PIN, in a file of mode 0600",
	  offsetof(struct station_init, so_pin.file), NULL, NULL, 0 },
	{ 0, "so-pin-fd", NULL, OPTION_FD, "N", "Read the SO-PIN from this open descriptor",
	  offsetof(struct station_init, so_pin.fd), NULL, NULL, 0 },
	{ 0, "pin-file", NULL, OPTION_TEXT, "FILE", "The new user PIN, in a file of mode 0600",
	  offsetof(struct station_init, pin.file), NULL, NULL, 0 },
	{ 0, "pin-fd", NULL, OPTION_FD, "N", "Read the user PIN from this open descriptor",
	  offsetof(struct station_init, pin.fd), NULL, NULL, 0 },
	{ 0, "any-module", NULL, OPTION_FLAG, NULL, "Also for a module that is not SoftHSM",
	  offsetof(struct station_init, is_any_module), NULL, NULL, 0 },
	{ 0, "yes", NULL, OPTION_TEXT, "LABEL", "Wipe the initialised token of this label",
	  offsetof(struct station_init, confirmation), NULL, NULL, 0 },
	{ 0 },
};

static const struct option_row acknowledge_rows[] = {
	{ 0, "so-pin", NULL, OPTION_FLAG, NULL, "The security officer's PIN, where the user's was refused, too",
	  offsetof(struct acknowledge_options, is_officer), NULL, NULL, 0 },
	{ 0 },
};
/* clang-format on */

static const struct column token_columns[] = {
	{ "module", "MODULE", false, false }, { "label", "LABEL", false, false },
	{ "serial", "SERIAL", false, false }, { "model", "MODEL", false, false },
	{ "flags", "FLAGS", false, true },    { "uri", "URI", false, false },
	{ "error", "ERROR", false, true },
};

static const struct column mechanism_columns[] = {
	{ "name", "MECHANISM", false, false },
	{ "uses", "USES", false, true },
	{ "minimum", "MIN", true, false },
	{ "maximum", "MAX", true, false },
};

static const struct column object_columns[] = {
	{ "kind", "OBJECT", false, false }, { "label", "LABEL", false, false },
	{ "id", "ID", false, false },       { "keyType", "KEY TYPE", false, false },
	{ "has", "HAS", false, true },      { "note", "NOTE", false, true },
};

static bool run_list(const struct invocation *call, struct muster_error *err)
{
	const struct list_options *options = call->options;
	CLEANUP(cJSON_freep) cJSON *tokens = NULL;

	return station_tokens_list(options->module, &tokens, err) &&
	       result_print(call, tokens, err);
}

/* -- show ------------------------------------------------------------------------------------------------------ */

/* What a key has, in words: "local sensitive extractable?"; what the token does not tell has a question mark. */
static bool add_words(cJSON *object, struct muster_error *err)
{
	CLEANUP(text_done) struct text words = TEXT_MAX(4096);
	const cJSON *attribute;

	cJSON_ArrayForEach(attribute, json_get(object, "attributes")) if (!cJSON_IsFalse(attribute))
		text_addf(&words, "%s%s%s", words.length > 0 ? " " : "", attribute->string,
			  cJSON_IsTrue(attribute) ? "" : "?");
	return text_ok(&words, err) &&
	       (json_add_text(object, "has", words.data) || muster_fail_memory(err));
}

static bool add_all_words(cJSON *document, struct muster_error *err)
{
	cJSON *object;

	cJSON_ArrayForEach(object,
			   json_get(document, "objects")) if (!add_words(object, err)) return false;
	return true;
}

/* People get three tables. */
static bool print_tables(const cJSON *document, struct muster_error *err)
{
	return output_print(stdout, OUTPUT_TABLE, json_get(document, "token"), token_columns,
			    ARRAY_SIZE(token_columns), err) &&
	       puts("") != EOF &&
	       output_print(stdout, OUTPUT_TABLE, json_get(document, "mechanisms"),
			    mechanism_columns, ARRAY_SIZE(mechanism_columns), err) &&
	       puts("") != EOF &&
	       output_print(stdout, OUTPUT_TABLE, json_get(document, "objects"), object_columns,
			    ARRAY_SIZE(object_columns), err);
}

static bool run_show(const struct invocation *call, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *document = NULL;

	if (!station_token_show(call->operands[0], call->options, &document, err))
		return false;
	if (!call->is_quiet && !json_bool(document, "loggedIn", false))
		fputs("muster: not logged in, so private objects are not shown\n", stderr);
	if ((call->output == OUTPUT_TABLE || call->output == OUTPUT_TSV) &&
	    !add_all_words(document, err))
		return false;
	return call->output == OUTPUT_TABLE ? print_tables(document, err)
					    : result_print(call, document, err);
}

/* -- init ------------------------------------------------------------------------------------------------------ */

static bool run_init(const struct invocation *call, struct muster_error *err)
{
	const struct station_init *request = call->options;
	CLEANUP(cJSON_freep) cJSON *token = NULL;

	if (!request->label)
		return muster_fail(err, CAUSE_USAGE, "'muster hsm init' needs --label TEXT");
	return station_token_init(call->operands[0], request, &token, err) &&
	       result_print(call, token, err);
}

/* -- acknowledge ----------------------------------------------------------------------------------------------- */

static bool run_acknowledge(const struct invocation *call, struct muster_error *err)
{
	const struct acknowledge_options *options = call->options;
	CLEANUP(freep) char *words = NULL;

	if (!station_pin_acknowledge(call->operands[0], options->is_officer, &words, err))
		return false;
	if (!call->is_quiet)
		fprintf(stderr, "muster: %s may be tried once more\n", words);
	return true;
}

/* -- The verbs ------------------------------------------------------------------------------------------------- */

const struct verb verb_hsm_list = {
	.noun = "hsm",
	.name = "list",
	.summary = "List the tokens of every configured module",
	.description =
		"Asks each PKCS#11 module of muster.yaml and of p11-kit's configuration for its tokens.\n"
		"Nobody is logged in. A module that cannot be asked is listed with the reason.",
	.options = list_rows,
	.options_size = sizeof(struct list_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(token_columns),
	.run = run_list,
};

const struct verb verb_hsm_show = {
	.noun = "hsm",
	.name = "show",
	.operands = "TOKEN",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Show one token, its mechanisms and its objects",
	.description =
		"TOKEN is a PKCS#11 URI that matches exactly one token. Private objects are shown when a\n"
		"PIN is at hand; keys with the attributes that the token itself reports.",
	.options = show_rows,
	.options_size = sizeof(struct station_show),
	.default_output = OUTPUT_TABLE,
	COLUMNS(object_columns),
	.rows = "objects",
	.run = run_show,
};

const struct verb verb_hsm_init = {
	.noun = "hsm",
	.name = "init",
	.operands = "TOKEN",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Initialise a software token",
	.description =
		"Gives the token that the PKCS#11 URI matches a label and a user PIN; of several matching\n"
		"tokens, the only one that is not initialised. A token in use is wiped only when --yes\n"
		"repeats its label. PINs that no option names are asked for.",
	.options = init_rows,
	.options_size = sizeof(struct station_init),
	.default_output = OUTPUT_TABLE,
	COLUMNS(token_columns),
	.run = run_init,
};

const struct verb verb_hsm_acknowledge = {
	.noun = "hsm",
	.name = "acknowledge",
	.operands = "TOKEN",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Allow one more PIN try after a refused PIN",
	.description =
		"A PIN that a token refused is remembered, and no further try is made, until a person\n"
		"says that the PIN has been put right. So it is with a PIN whose answer never came, and\n"
		"where the token reports a wrong one. TOKEN is a PKCS#11 URI or a label. Nobody is logged in.",
	.options = acknowledge_rows,
	.options_size = sizeof(struct acknowledge_options),
	.default_output = OUTPUT_TABLE,
	.run = run_acknowledge,
};
