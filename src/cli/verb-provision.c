/* muster provision: one device through all stages. */
#include <unistd.h>

#include "muster/json.h"
#include "muster/log.h"
#include "muster/station.h"

#include "login-options.h"
#include "report.h"
#include "token-options.h"

struct provision_options {
	struct station_request request;
	struct login_options login;
};

/* clang-format off */
static const struct option_row rows[] = {
	{ 'p', "profile", NULL, OPTION_TEXT, "FILE", "Product profile to provision by",
	  offsetof(struct provision_options, request.profile_path), "MUSTER_PROFILE", NULL, 0 },
	{ 's', "serial", NULL, OPTION_TEXT, "TEXT", "Serial number of the device",
	  offsetof(struct provision_options, request.serial), NULL, NULL, 0 },
	{ 'T', "tpm", "tcti", OPTION_TEXT, "TCTI", "TPM of the device, e.g. device:/dev/tpmrm0",
	  offsetof(struct provision_options, request.tpm), "MUSTER_TPM", NULL, 0 },
	TOKEN_ROWS(struct provision_options, request.token),
	LOGIN_ROWS_LETTERED(0, 0, 0, struct provision_options, login),
	{ 0, "id-scope", NULL, OPTION_TEXT, "SCOPE", "ID scope of the DPS; holds over the profile's",
	  offsetof(struct provision_options, request.id_scope), "MUSTER_ID_SCOPE", NULL, 0 },
	{ 0, "device-endpoint", NULL, OPTION_TEXT, "HOST", "Where devices register, HOST[:PORT]",
	  offsetof(struct provision_options, request.device_endpoint), "MUSTER_DEVICE_ENDPOINT", NULL, 0 },
	{ 'j', "journal", NULL, OPTION_TEXT, "FILE", "Journal of this station",
	  offsetof(struct provision_options, request.journal_path), "MUSTER_JOURNAL", NULL, 0 },
	{ 0, "out", NULL, OPTION_TEXT, "DIR", "Where evidence and key files go",
	  offsetof(struct provision_options, request.out_directory), "MUSTER_OUT", NULL, 0 },
	{ 0, "key-fd", NULL, OPTION_NUMBER, "N", "Write derived keys to this open descriptor, not to a file",
	  offsetof(struct provision_options, request.key_fd), NULL, NULL, 0 },
	{ 0, "operator", NULL, OPTION_TEXT, "NAME", "Who is working here; default: the login user",
	  offsetof(struct provision_options, request.operator_name), "MUSTER_OPERATOR", NULL, 0 },
	{ 0, "dry-run", NULL, OPTION_FLAG, NULL, "Show what would be done; change nothing",
	  offsetof(struct provision_options, request.dry_run), NULL, NULL, 0 },
	{ 0 },
};
/* clang-format on */

static const struct column columns[] = {
	{ "device", "DEVICE", false, false },
	{ "registrationId", "REGISTRATION ID", false, false },
	{ "attestation", "ATTESTATION", false, false },
	{ "hub", "HUB", false, false },
	{ "state", "STATE", false, false },
	{ "verified", "VERIFIED", false, false },
	{ "seconds", "SECONDS", true, false },
};

static void show_stage(void *context, const char *stage)
{
	const struct station_request *request = context;

	fprintf(stderr, "muster: %s%s%s\n", request->serial ? request->serial : "",
		request->serial ? ": " : "", stage);
}

static bool add_seconds(cJSON *object, double seconds)
{
	char text[32];

	snprintf(text, sizeof(text), "%.2f", seconds);
	return cJSON_AddRawToObject(object, "seconds", text);
}

static cJSON *describe(struct station_result *result)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();

	if (!object || !json_add_text(object, "device", result->device) ||
	    !json_add_text(object, "registrationId", result->registration_id) ||
	    !json_add_text(object, "deviceId", result->device_id) ||
	    !json_add_text(object, "attestation", result->attestation) ||
	    !json_add_text(object, "hub", result->hub) ||
	    !json_add_text(object, "state", result->state) ||
	    !json_add_bool(object, "verified", result->verified) ||
	    !add_seconds(object, result->seconds) ||
	    !json_add_text(object, "evidence", result->evidence_path) ||
	    !json_add_text(object, "keyFile", result->key_file) ||
	    (result->plan && !json_add_item(object, "plan", TAKE_PTR(result->plan))))
		return NULL;
	return TAKE_PTR(object);
}

static bool print_result(const struct invocation *call, struct station_result *result,
			 struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *object = describe(result);
	const cJSON *plan = json_get(object, "plan");

	if (!object)
		return muster_fail_memory(err);
	if (!output_print(stdout, call->output, object, columns, ARRAY_SIZE(columns), err))
		return false;
	/* A plan is no row; people get it below the table. */
	return !plan || call->output != OUTPUT_TABLE ||
	       output_print(stdout, OUTPUT_YAML, plan, NULL, 0, err);
}

static bool run(const struct invocation *call, struct muster_error *err)
{
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	CLEANUP(station_result_done) struct station_result result = { 0 };
	CLEANUP(dps_credential_freep) struct dps_credential *credential = NULL;
	CLEANUP(config_done) struct config config = { 0 };
	const struct provision_options *options = call->options;
	struct station_request request = options->request;
	struct login_options login = options->login;
	bool is_done;

	if (!request.profile_path)
		return muster_fail(err, CAUSE_USAGE,
				   "'muster provision' needs --profile FILE (see muster provision "
				   "--help)");
	if (!report_config_load(&config, err))
		return false;
	login_options_complete(&login, &config);
	if (!login_credential_new(&login, &credential, err))
		return false;
	request.credential = credential;
	request.ca_file = login.ca_file;
	if (!call->is_quiet && (isatty(STDERR_FILENO) || log_get_level() >= LOG_INFO)) {
		request.progress = show_stage;
		request.progress_context = &request;
	}
	is_done = station_provision(&request, &report, &result, err);
	if (!is_done || !call->is_quiet)
		report_print(&report);
	return is_done && print_result(call, &result, err);
}

const struct verb verb_provision = {
	.name = "provision",
	.summary = "Make a device a verified enrollment",
	.description =
		"Takes one device through identify, attest, enroll, confirm, verify and release, as its\n"
		"profile says. Run again on the same device it goes on where it stopped, or says that\n"
		"the device is enrolled already.",
	.options = rows,
	.options_size = sizeof(struct provision_options),
	.default_output = OUTPUT_TABLE,
	.run = run,
};
