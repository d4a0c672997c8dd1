/* muster tpm: list, doctor and show. */
#include <string.h>

#include "muster/json.h"
#include "muster/log.h"
#include "muster/station-attached.h"
#include "muster/station-tpm.h"
#include "muster/text.h"

#include "report.h"
#include "socket-options.h"

struct tpm_options {
	const char *tpm;
};

/* -- Documents as rows: for people, who read tables ------------------------------------------------------------ */

static const struct column item_columns[] = {
	{ "item", "ITEM", false, false },
	{ "value", "VALUE", false, true },
};

static bool add_row(cJSON *rows, const char *name, const char *value)
{
	cJSON *row = cJSON_CreateObject();

	return row && cJSON_AddItemToArray(rows, row) && json_add_text(row, "item", name) &&
	       json_add_text(row, "value", value);
}

static bool flatten(cJSON *rows, const char *name, const cJSON *item);

/* Texts and numbers stand in one row, separated by commas. */
static bool flatten_words(cJSON *rows, const char *name, const cJSON *array)
{
	CLEANUP(text_done) struct text words = TEXT_MAX(16 * 1024);
	const cJSON *item;

	cJSON_ArrayForEach(item, array)
		text_addf(&words, "%s%s", words.length > 0 ? ", " : "", item->valuestring);
	return !words.failed && add_row(rows, name, words.data ? words.data : "none");
}

static bool flatten_array(cJSON *rows, const char *name, const cJSON *array)
{
	size_t number = 0;
	const cJSON *item;

	if (!array->child || cJSON_IsString(array->child))
		return flatten_words(rows, name, array);
	cJSON_ArrayForEach(item, array)
	{
		CLEANUP(freep)
		char *path =
			array->child->next ? text_format("%s.%zu", name, ++number) : strdup(name);

		if (!path || !flatten(rows, path, item))
			return false;
	}
	return true;
}

static bool flatten(cJSON *rows, const char *name, const cJSON *item)
{
	const cJSON *member;

	if (cJSON_IsArray(item))
		return flatten_array(rows, name, item);
	if (!cJSON_IsObject(item)) {
		CLEANUP(freep)
		char *text =
			cJSON_IsString(item) ? strdup(item->valuestring) : json_print_line(item);

		return text && add_row(rows, name, text);
	}
	cJSON_ArrayForEach(member, item)
	{
		CLEANUP(freep)
		char *path =
			*name ? text_format("%s.%s", name, member->string) : strdup(member->string);

		/* Of several lines; who wants it takes another format. */
		if (strcmp(member->string, "pem") == 0)
			continue;
		if (!path || !flatten(rows, path, member))
			return false;
	}
	return true;
}

static bool print_document(const struct invocation *call, const cJSON *document,
			   struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *rows = NULL;

	if (call->output != OUTPUT_TABLE && call->output != OUTPUT_TSV)
		return result_print(call, document, err);
	rows = cJSON_CreateArray();
	if (!rows || !flatten(rows, "", document))
		return muster_fail_memory(err);
	return result_print(call, rows, err);
}

/* -- Show ------------------------------------------------------------------------------------------------------ */

/* clang-format off */
static const struct option_row show_rows[] = {
	{ 'T', "tpm", "tcti", OPTION_TEXT, "TCTI", "The TPM, e.g. device:/dev/tpmrm0",
	  offsetof(struct tpm_options, tpm), "MUSTER_TPM", NULL, 0 },
	{ 0 },
};
/* clang-format on */

static bool run_show(const struct invocation *call, struct muster_error *err)
{
	const struct tpm_options *options = call->options;
	CLEANUP(cJSON_freep) cJSON *document = NULL;

	if (!options->tpm)
		return muster_fail(
			err, CAUSE_USAGE,
			"'muster tpm show' needs --tpm TCTI (see muster tpm show --help)");
	return station_tpm_show(options->tpm, &document, err) &&
	       print_document(call, document, err);
}

const struct verb verb_tpm_show = {
	.noun = "tpm",
	.name = "show",
	.summary = "Show keys, certificates, handles and capabilities of a TPM",
	.description =
		"The endorsement key in every form that tools ask for, the line to paste into an\n"
		"enrollment command, the storage root key, certificates, handles and capabilities.\n"
		"Nothing on the chip is changed. Keys in PEM are in the formats json and yaml.",
	.options = show_rows,
	.options_size = sizeof(struct tpm_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(item_columns),
	.run = run_show,
};

/* -- List ------------------------------------------------------------------------------------------------------ */

struct tpm_list_options {
	struct option_list named;
	bool own;
	const char *map;
};

/* clang-format off */
static const struct option_row list_rows[] = {
	{ 'T', "tpm", "tcti", OPTION_LIST, "TCTI", "Another TPM to list, such as a simulator; may be repeated",
	  offsetof(struct tpm_list_options, named), NULL, NULL, 0 },
	{ 0, "own", NULL, OPTION_FLAG, NULL, "Ask the station's own TPM too",
	  offsetof(struct tpm_list_options, own), NULL, NULL, 0 },
	SOCKET_MAP_ROW(struct tpm_list_options, map),
	{ 0 },
};
/* clang-format on */

static const struct column list_columns[] = {
	{ "tpm", "TPM", false, false },     { "socket", "SOCKET", false, false },
	{ "path", "PATH", false, false },   { "vendor", "VENDOR", false, false },
	{ "model", "MODEL", false, false }, { "firmware", "FIRMWARE", false, false },
	{ "state", "STATE", false, true },
};

static bool run_list(const struct invocation *call, struct muster_error *err)
{
	const struct tpm_list_options *options = call->options;
	CLEANUP(socket_map_done) struct socket_map map = { 0 };
	CLEANUP(cJSON_freep) cJSON *document = NULL;

	return socket_map_open(options->map, &map, err) &&
	       station_tpm_list(&map, options->named.words, options->named.count, options->own,
				&document, err) &&
	       result_print(call, document, err);
}

const struct verb verb_tpm_list = {
	.noun = "tpm",
	.name = "list",
	.summary = "List every TPM in reach",
	.description =
		"The TPMs of this machine by device node, with the socket and the bus path that udev\n"
		"knows, and those that are named. A TPM on the mainboard is taken for the station's own\n"
		"and is not asked without --own, unless the map of sockets names its port.",
	.options = list_rows,
	.options_size = sizeof(struct tpm_list_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(list_columns),
	.run = run_list,
};

/* -- Doctor ---------------------------------------------------------------------------------------------------- */

struct tpm_doctor_options {
	struct station_tpm_request request;
	int persist; /* index in persist_choices */
	bool own;
	const char *map;
};

static const char *const persist_choices[] = { "none", "tcg", NULL };

#define REQUEST(member) offsetof(struct tpm_doctor_options, request.member)

/* clang-format off */
static const struct option_row doctor_rows[] = {
	{ 'T', "tpm", "tcti", OPTION_TEXT, "TCTI", "The TPM, e.g. device:/dev/tpmrm0",
	  REQUEST(tpm), "MUSTER_TPM", NULL, 0 },
	{ 0, "own", NULL, OPTION_FLAG, NULL, "It may be the station's own",
	  offsetof(struct tpm_doctor_options, own), NULL, NULL, 0 },
	SOCKET_MAP_ROW(struct tpm_doctor_options, map),
	{ 'p', "profile", NULL, OPTION_TEXT, "FILE", "Judge by what this profile asks for",
	  REQUEST(profile_path), "MUSTER_PROFILE", NULL, 0 },
	{ 0, "roots", NULL, OPTION_TEXT, "DIR", "Folder of the vendors' roots, PEM; holds over the profile's",
	  REQUEST(roots), NULL, NULL, 0 },
	{ 0, "crl", NULL, OPTION_TEXT, "DIR", "Folder of revocation lists; holds over the profile's",
	  REQUEST(crls), NULL, NULL, 0 },
	{ 0, "ek-certificate", NULL, OPTION_TEXT, "FILE", "EK certificate to take instead of those in the TPM",
	  REQUEST(ek_certificate), NULL, NULL, 0 },
	{ 's', "serial", NULL, OPTION_TEXT, "TEXT", "Serial number to compare with the journal",
	  REQUEST(serial), NULL, NULL, 0 },
	{ 'j', "journal", NULL, OPTION_TEXT, "FILE", "Journal of this station",
	  REQUEST(journal_path), "MUSTER_JOURNAL", NULL, 0 },
	{ 0, "operator", NULL, OPTION_TEXT, "NAME", "Who is working here, for the journal; default: the login user",
	  REQUEST(operator_name), "MUSTER_OPERATOR", NULL, 0 },
	{ 0, "deep", NULL, OPTION_FLAG, NULL, "Make a key of every template, which may take minutes",
	  REQUEST(deep), NULL, NULL, 0 },
	{ 0, "persist", NULL, OPTION_CHOICE, "WHICH", "tcg: put the TCG's RSA-2048 EK at 0x81010001",
	  offsetof(struct tpm_doctor_options, persist), NULL, persist_choices, 0 },
	{ 0, "replaces", NULL, OPTION_TEXT, "SHA256", "Digest of the key that --persist takes away",
	  REQUEST(replaces), NULL, NULL, 0 },
	{ 0 },
};
/* clang-format on */

static const struct column verdict_columns[] = {
	{ "tpm", "TPM", false, false },
	{ "verdict", "VERDICT", false, false },
	{ "seen", "SEEN", false, true },
	{ "remedy", "TRY", false, true },
};

static const struct column check_columns[] = {
	{ "check", "CHECK", false, false },
	{ "verdict", "VERDICT", false, false },
	{ "seen", "SEEN", false, true },
	{ "remedy", "TRY", false, true },
};

/* For people the verdict is one line, and with -v each check is one above it. */
static bool print_verdict(const struct invocation *call, const cJSON *document,
			  struct muster_error *err)
{
	bool is_table = call->output == OUTPUT_TABLE;

	if (is_table && log_get_level() >= LOG_INFO &&
	    (!output_print(stdout, call->output, json_get(document, "checks"), check_columns,
			   ARRAY_SIZE(check_columns), err) ||
	     fputs("\n", stdout) == EOF))
		return false;
	return result_print(call, document, err);
}

static bool check_own(const struct tpm_doctor_options *options, struct muster_error *err)
{
	return options->own ||
	       attached_tpms_refuse_own(options->map, &options->request.tpm, 1, err);
}

static bool run_doctor(const struct invocation *call, struct muster_error *err)
{
	const struct tpm_doctor_options *options = call->options;
	CLEANUP(profile_report_done) struct profile_report mistakes = { 0 };
	CLEANUP(station_tpm_report_done) struct station_tpm_report report = { 0 };
	struct station_tpm_request request = options->request;
	bool is_done;

	request.persist = options->persist > 0;
	if (!request.tpm)
		return muster_fail(
			err, CAUSE_USAGE,
			"'muster tpm doctor' needs --tpm TCTI (see muster tpm doctor --help)");
	if (request.replaces && !request.persist)
		return muster_fail(err, CAUSE_USAGE, "--replaces goes with --persist tcg");
	if (!check_own(options, err))
		return false;
	is_done = station_tpm_doctor(&request, &mistakes, &report, err);
	if (!is_done || !call->is_quiet)
		report_print(&mistakes);
	if (!is_done || !print_verdict(call, report.document, err))
		return false;
	*err = report.refusal;
	return report.refusal.code == MUSTER_OK;
}

const struct verb verb_tpm_doctor = {
	.noun = "tpm",
	.name = "doctor",
	.summary = "Say whether to trust a TPM and its endorsement key",
	.description =
		"Finds out which endorsement key is persisted, which one is certified and which one the\n"
		"device's software will present; judges the certificate by its profile, its chain to the\n"
		"vendors' roots and the revocation lists at hand; and lets the TPM prove that it holds the\n"
		"key. One verdict, one remedy; all checks with -v and in the formats json and yaml. The\n"
		"exit status is that of the refusal. Persistent keys change only with --persist.",
	.options = doctor_rows,
	.options_size = sizeof(struct tpm_doctor_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(verdict_columns),
	.run = run_doctor,
};
