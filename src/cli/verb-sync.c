/* muster sync: what waits for the network is sent from the journal. */
#include <unistd.h>

#include "muster/log.h"
#include "muster/station-sync.h"
#include "muster/text.h"

#include "login-options.h"
#include "provision-report.h"
#include "report.h"
#include "token-options.h"

struct sync_options {
	struct station_request request;
	struct login_options login;
};

/* clang-format off */
static const struct option_row rows[] = {
	TOKEN_ROWS(struct sync_options, request.token),
	LOGIN_ROWS_LETTERED(0, 0, 0, struct sync_options, login),
	RATE_ROW(struct sync_options, login),
	{ 0, "id-scope", NULL, OPTION_TEXT, "SCOPE", "ID scope of the DPS; holds over the profile's",
	  offsetof(struct sync_options, request.id_scope), "MUSTER_ID_SCOPE", NULL, 0 },
	{ 0, "device-endpoint", NULL, OPTION_TEXT, "HOST", "Where devices register, HOST[:PORT]",
	  offsetof(struct sync_options, request.device_endpoint), "MUSTER_DEVICE_ENDPOINT", NULL, 0 },
	{ 'j', "journal", NULL, OPTION_TEXT, "FILE", "Journal of this station",
	  offsetof(struct sync_options, request.journal_path), "MUSTER_JOURNAL", NULL, 0 },
	{ 0, "out", NULL, OPTION_TEXT, "DIR", "Where evidence and key files go",
	  offsetof(struct sync_options, request.out_directory), "MUSTER_OUT", NULL, 0 },
	{ 0, "operator", NULL, OPTION_TEXT, "NAME", "Who is working here; default: the login user",
	  offsetof(struct sync_options, request.operator_name), "MUSTER_OPERATOR", NULL, 0 },
	{ 0 },
};
/* clang-format on */

static bool run(const struct invocation *call, struct muster_error *err)
{
	const struct sync_options *options = call->options;
	CLEANUP(profile_report_done) struct profile_report mistakes = { 0 };
	CLEANUP(provision_report_done) struct provision_report report = { .output = call->output };
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(dps_credential_freep) struct dps_credential *credential = NULL;
	struct login_options login = options->login;
	struct station_request request = options->request;
	bool is_done;

	if (!report_config_load(&config, err))
		return false;
	login_options_complete(&login, &config);
	if (!login_credential_new(&login, &credential, err) ||
	    !login_rate(login.rate, &request.rate, err))
		return false;
	report.rows = cJSON_CreateArray();
	if (!report.rows)
		return muster_fail_memory(err);
	request.credential = credential;
	request.ca_file = login.ca_file;
	request.finished = provision_report_add;
	request.context = &report;
	is_done = station_sync(&request, call->operand_count > 0 ? call->operands : NULL,
			       call->operand_count, &mistakes, err);
	if (!is_done || !call->is_quiet)
		report_print(&mistakes);
	return is_done && provision_report_end(&report, err);
}

const struct verb verb_sync = {
	.name = "sync",
	.operands = "[ID...]",
	.operands_max = 10000,
	.summary = "Send what waits for the network",
	.description =
		"Takes the devices of the journal that wait for the network, or those named by their\n"
		"registration IDs, through enroll, confirm, verify and release, without their hardware.\n"
		"Derived keys are derived again from the profile's masters. A device whose key is in a\n"
		"token is verified with --token; any other is enrolled and not verified, until muster\n"
		"provision has it at hand. Run again it goes on where it stopped.",
	.options = rows,
	.options_size = sizeof(struct sync_options),
	.default_output = OUTPUT_TABLE,
	.run = run,
};
