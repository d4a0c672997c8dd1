/* muster provision: devices through all stages. */
#include <errno.h>
#include <unistd.h>

#include "muster/log.h"
#include "muster/station.h"
#include "muster/text.h"

#include "login-options.h"
#include "outage.h"
#include "provision-batch.h"
#include "provision-devices.h"
#include "provision-report.h"
#include "provision-watch.h"
#include "report.h"
#include "socket-options.h"
#include "token-options.h"

struct provision_options {
	struct station_request request; /* all but the devices, the login and whom to tell */
	struct provision_choice choice;
	struct provision_batch_options batch;
	struct login_options login;
	const char *device_key;
};

/* clang-format off */
static const struct option_row rows[] = {
	{ 'p', "profile", NULL, OPTION_TEXT, "FILE", "Product profile to provision by",
	  offsetof(struct provision_options, request.profile_path), "MUSTER_PROFILE", NULL, 0 },
	{ 's', "serial", NULL, OPTION_LIST, "TEXT", "Serial number; of one of several devices: SOCKET=TEXT",
	  offsetof(struct provision_options, choice.serials), NULL, NULL, 0 },
	{ 0, "serials", NULL, OPTION_TEXT, "FILE", "Lines of socket, tab, serial number; - for standard input",
	  offsetof(struct provision_options, choice.serials_file), NULL, NULL, 0 },
	{ 'T', "tpm", "tcti", OPTION_LIST, "TCTI", "TPM of a device, e.g. device:/dev/tpmrm0; may be repeated",
	  offsetof(struct provision_options, choice.tpms), "MUSTER_TPM", NULL, 0 },
	{ 0, "all-attached", NULL, OPTION_FLAG, NULL, "All TPMs that are in sockets of the map, at once",
	  offsetof(struct provision_options, choice.all_attached), NULL, NULL, 0 },
	{ 0, "own", NULL, OPTION_FLAG, NULL, "A TPM that is named may be the station's own",
	  offsetof(struct provision_options, choice.own), NULL, NULL, 0 },
	{ 0, "watch", NULL, OPTION_FLAG, NULL, "Whatever is plugged into a socket, until a signal comes",
	  offsetof(struct provision_options, choice.watch), NULL, NULL, 0 },
	SOCKET_MAP_ROW(struct provision_options, choice.map_file),
	{ 'm', "manifest", NULL, OPTION_TEXT, "FILE", "Devices, one a row: CSV, or JSON Lines (.jsonl)",
	  offsetof(struct provision_options, batch.manifest), NULL, NULL, 0 },
	{ 0, "batch", NULL, OPTION_TEXT, "NAME", "Name of the manifest's batch; default: its file's name",
	  offsetof(struct provision_options, batch.name), NULL, NULL, 0 },
	{ 0, "begin-anew", NULL, OPTION_FLAG, NULL, "Leave an open batch of that name, though it was another",
	  offsetof(struct provision_options, batch.begin_anew), NULL, NULL, 0 },
	{ 0, "with-retired", NULL, OPTION_FLAG, NULL, "Devices of the manifest that were retired come back",
	  offsetof(struct provision_options, batch.with_retired), NULL, NULL, 0 },
	{ 0, "verify", NULL, OPTION_TEXT, "WHICH", "Devices of the manifest to verify: all, none or sample:N",
	  offsetof(struct provision_options, batch.verify), NULL, NULL, 0 },
	{ 0, "approval", NULL, OPTION_TEXT, "FILE", "Who approved the manifest and the profile (muster approval)",
	  offsetof(struct provision_options, request.approval), NULL, NULL, 0 },
	{ 0, "look-alikes", NULL, OPTION_ONE_OF, "WHAT", "Serials that differ by 0 and O, or 1, l and I: warn, refuse or pass",
	  offsetof(struct provision_options, batch.lookalikes), NULL, provision_lookalikes, 0 },
	TOKEN_ROWS(struct provision_options, request.token),
	{ 0, "device-key", NULL, OPTION_TEXT, "FILE", "The device's public key, where the profile wraps a key for it",
	  offsetof(struct provision_options, device_key), NULL, NULL, 0 },
	LOGIN_ROWS_LETTERED(0, 0, 0, struct provision_options, login),
	RATE_ROW(struct provision_options, login),
	PATIENCE_ROW(struct provision_options, login),
	{ 0, "id-scope", NULL, OPTION_TEXT, "SCOPE", "ID scope of the DPS; holds over the profile's",
	  offsetof(struct provision_options, request.id_scope), "MUSTER_ID_SCOPE", NULL, 0 },
	{ 0, "device-endpoint", NULL, OPTION_TEXT, "HOST", "Where devices register, HOST[:PORT]",
	  offsetof(struct provision_options, request.device_endpoint), "MUSTER_DEVICE_ENDPOINT", NULL, 0 },
	{ 'j', "journal", NULL, OPTION_TEXT, "FILE", "Journal of this station",
	  offsetof(struct provision_options, request.journal_path), "MUSTER_JOURNAL", NULL, 0 },
	{ 0, "out", NULL, OPTION_TEXT, "DIR", "Where evidence and key files go",
	  offsetof(struct provision_options, request.out_directory), "MUSTER_OUT", NULL, 0 },
	{ 0, "key-fd", NULL, OPTION_FD, "N", "Write derived keys to this open descriptor, not to a file",
	  offsetof(struct provision_options, request.key_fd), NULL, NULL, 0 },
	OPERATOR_ROW(struct provision_options, request.operator_name),
	{ 0, "offline", NULL, OPTION_FLAG, NULL, "Do the hardware's work alone; muster sync sends the rest later",
	  offsetof(struct provision_options, request.offline), NULL, NULL, 0 },
	{ 0, "dry-run", NULL, OPTION_FLAG, NULL, "Show what would be done; change nothing",
	  offsetof(struct provision_options, request.dry_run), NULL, NULL, 0 },
	{ 0 },
};
/* clang-format on */

static void show_stage(void *context, const char *device, const char *stage)
{
	(void)context;
	fprintf(stderr, "muster: %s%s%s\n", PRINTABLE(device ? device : ""), device ? ": " : "",
		stage);
}

static bool check_options(const struct provision_options *options, struct muster_error *err)
{
	const char *profile = options->request.profile_path;

	if (!profile)
		return muster_fail(
			err, CAUSE_USAGE,
			"'muster provision' needs --profile FILE (see muster provision --help)");
	/* Before a login is looked for, or asked for. */
	return access(profile, R_OK) == 0 ||
	       muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "reading profile '%s'",
				 PRINTABLE(profile));
}

/* What the request gets is borrowed from the options and from *config. */
static bool log_in(const struct provision_options *options, struct config *config,
		   struct station_request *request, struct dps_credential **ret_credential,
		   struct muster_error *err)
{
	struct login_options login = options->login;

	if (request->offline)
		return true;
	if (!report_config_load(config, err))
		return false;
	login_options_complete(&login, config);
	if (!http_terms_check(&login.network, err) ||
	    !login_credential_new(&login, ret_credential, err))
		return false;
	request->credential = *ret_credential;
	request->network = login.network;
	return login_rate(login.rate, &request->rate, err) &&
	       outage_patience(login.patience, &request->patience_ms, err);
}

static bool is_tpm_default(const struct provision_choice *choice)
{
	return choice->tpms.count == 1 && option_is_from(choice->tpms.words[0], "MUSTER_TPM");
}

/* Which devices the request is about; what it gets is borrowed from *devices and *watch. */
static bool take_devices(const struct provision_choice *choice, struct provision_devices *devices,
			 struct provision_watch *watch, struct station_request *request,
			 struct muster_error *err)
{
	if (choice->watch) {
		request->watch = &watch->request;
		return provision_watch_open(choice, watch, err);
	}
	if (!provision_devices_read(choice, devices, err))
		return false;
	request->devices = devices->rows;
	request->device_count = devices->count;
	request->tpm_is_default = is_tpm_default(choice);
	return true;
}

static bool check_manifest_alone(const struct provision_options *options, struct muster_error *err)
{
	const struct provision_batch_options *batch = &options->batch;

	if (!batch->manifest && (batch->name || batch->begin_anew || batch->with_retired ||
				 batch->verify || batch->lookalikes))
		return muster_fail(err, CAUSE_OPTIONS_CONTRADICT,
				   "--batch, --begin-anew, --with-retired, --verify and "
				   "--look-alikes are for the devices of a --manifest");
	return !batch->manifest ||
	       (options->choice.serials.count == 0 && !options->choice.serials_file &&
		(options->choice.tpms.count == 0 || is_tpm_default(&options->choice)) &&
		!options->choice.all_attached && !options->choice.watch && !options->device_key) ||
	       muster_fail(
		       err, CAUSE_OPTIONS_CONTRADICT,
		       "the manifest names the devices; --serial, --serials, --tpm, --device-key, --all-attached and --watch do not go with it");
}

/* They stay alone there. */
static bool keys_go_to_output(const struct station_request *request)
{
	return request->key_fd == STDOUT_FILENO && !request->dry_run;
}

/* The devices of a manifest. */
static bool run_batch(const struct invocation *call, struct station_request *request,
		      struct muster_error *err)
{
	const struct provision_options *options = call->options;
	CLEANUP(profile_report_done) struct profile_report mistakes = { 0 };
	struct provision_batch batch;
	bool is_done;

	if (!provision_batch_begin(&options->batch, call, &batch, err))
		return false;
	batch.request.socket_map = options->choice.map_file;
	batch.request.own = options->choice.own;
	batch.is_dry = request->dry_run;
	batch.has_key_fd = request->key_fd > 0;
	batch.is_mute = keys_go_to_output(request);
	request->batch = &batch.request;
	request->finished = provision_batch_add;
	request->told = provision_told;
	request->outage = provision_batch_outage;
	request->context = &batch;
	is_done = station_provision(request, &mistakes, err);
	if (!is_done || !call->is_quiet)
		report_print(&mistakes);
	return is_done && provision_batch_end(&batch, err);
}

static bool run(const struct invocation *call, struct muster_error *err)
{
	const struct provision_options *options = call->options;
	CLEANUP(profile_report_done) struct profile_report mistakes = { 0 };
	CLEANUP(provision_devices_done) struct provision_devices devices = { 0 };
	CLEANUP(provision_watch_done) struct provision_watch watch = { .serials_file = -1 };
	CLEANUP(provision_report_done) struct provision_report report = { .output = call->output };
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(dps_credential_freep) struct dps_credential *credential = NULL;
	struct station_request request = options->request;
	bool is_done;

	if (!check_options(options, err) || !check_manifest_alone(options, err))
		return false;
	if (options->batch.manifest)
		return log_in(options, &config, &request, &credential, err) &&
		       run_batch(call, &request, err);
	if (!take_devices(&options->choice, &devices, &watch, &request, err) ||
	    !log_in(options, &config, &request, &credential, err))
		return false;
	if (options->device_key && devices.count != 1)
		return muster_fail(err, CAUSE_USAGE, "--device-key is for one device at a time");
	if (options->device_key)
		devices.rows[0].device_key = options->device_key;
	report.is_single = devices.count == 1 && !options->choice.all_attached;
	report.has_key_fd = request.key_fd > 0;
	report.is_mute = keys_go_to_output(&request);
	report.is_quiet = call->is_quiet;
	if (request.watch) {
		provision_report_stream(&report);
		if (!call->is_quiet)
			provision_watch_announce(&options->choice, &watch);
	}
	request.finished = provision_report_add;
	request.told = provision_told;
	request.context = &report;
	if (!call->is_quiet && (isatty(STDERR_FILENO) || log_get_level() >= LOG_INFO))
		request.progress = show_stage;
	is_done = station_provision(&request, &mistakes, err);
	if (!is_done || !call->is_quiet)
		report_print(&mistakes);
	if (!is_done && report.count == 0)
		return false;
	/* What came to its end before the run had to stop is told, too. */
	return provision_report_end(&report, is_done ? err : &(struct muster_error){ 0 }) &&
	       is_done;
}

const struct verb verb_provision = {
	.name = "provision",
	.summary = "Make devices verified enrollments",
	.description =
		"Takes each device through identify, attest, enroll, confirm, verify and release, as its\n"
		"profile says. Run again on the same device it goes on where it stopped, or says that\n"
		"the device is enrolled already. Several TPMs are done at once, and no failure of one\n"
		"stops another: the status is 0 when all are done, that of the failures when they share\n"
		"one, else 1. With --watch each board is done once while it is plugged in; SIGINT and\n"
		"SIGTERM end it, and what is under way is left in a recorded state.",
	.options = rows,
	.options_size = sizeof(struct provision_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(provision_columns),
	.is_missed = true,
	.run = run,
};
