/* Everything that can be known to be wrong before anything outside is touched. */
#include "approval.h"
#include "batch.h"
#include "custody.h"
#include "evidence-lines.h"
#include "journal-clock.h"
#include "kept-profile.h"
#include "master.h"
#include "network.h"
#include "sender.h"
#include "token.h"
#include "tpm-chip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "muster/config.h"
#include "muster/file.h"
#include "muster/identity.h"
#include "muster/json.h"
#include "recipient.h"
#include "tpm-chip.h"
#include "tpm-master.h"

void run_done(struct run *run)
{
	if (run->issuer_custody)
		custody_done(run->issuer_custody);
	free(run->issuer_custody);
	X509_free(run->issuer_certificate);
	bytes_done(&run->issuer_file);
	sender_free(run->sender);
	batch_free(run->batch);
	evidence_lines_done(run);
	dps_client_free(run->client);
	pool_done(&run->pool);
	hooks_close(run->hooks);
	if (!run->shared_http)
		http_free(run->http);
	dps_meter_close(run->meter);
	journal_close(run->journal);
	cJSON_Delete(run->approval);
	approval_demand_free(run->demand);
	approved_folder_free(run->approved_keys);
	tpm_terms_done(&run->tpm_terms);
	profile_done(&run->profile);
	free(run->journal_path);
	free(run->out_directory);
	free(run->id_scope);
	who_done(&run->who);
	token_uri_done(&run->token);
	free(run->token_text);
	station_module_done(&run->module);
	for (size_t i = 0; run->tpm_masters && i < 2; i++)
		tpm_master_done(&run->tpm_masters[1 - i]);
	free(run->tpm_masters);
	secret_done(&run->primary_master);
	secret_done(&run->secondary_master);
	*run = (struct run){ 0 };
}

/* -- Parts ----------------------------------------------------------------------------------------------------- */

static bool check_serial(const struct run *run, const struct station_device *device,
			 struct muster_error *err)
{
	const char *place = device->socket ? device->socket : device->tpm;

	if (device->serial)
		return identity_serial_check(device->serial, err);
	return !profile_needs_serial(&run->profile) ||
	       muster_fail(err, CAUSE_SERIAL_MISSING,
			   "profile '%s' makes IDs from the serial, and none was given%s%s%s",
			   PRINTABLE(run->profile.name), place ? " for '" : "",
			   PRINTABLE(place ? place : ""), place ? "'" : "");
}

bool run_is_networked(const char *tcti)
{
	static const char *const forms[] = { "swtpm:host=", "swtpm:port=", "mssim:" };

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
		if (text_has_prefix(tcti, forms[i]))
			return true;
	return false;
}

bool run_check_tpm(const struct run *run, const char *tcti, struct muster_error *err)
{
	if (!tcti)
		return muster_fail(err, CAUSE_TPM_TCTI_REFUSED,
				   "profile '%s' is for TPM devices, and no TPM was named",
				   PRINTABLE(run->profile.name));
	if (!chip_check_name(tcti, err))
		return false;
	return run->may_use_network || !run_is_networked(tcti) ||
	       muster_fail(err, CAUSE_TPM_TCTI_REFUSED,
			   "TPM '%s' is reached over the network, which has to be allowed with "
			   "'tpmNetwork: true' in muster.yaml",
			   PRINTABLE(tcti));
}

static bool check_device_key(const struct run *run, const struct station_device *device,
			     struct muster_error *err)
{
	const struct profile *profile = &run->profile;
	CLEANUP(bytes_done) struct bytes spki = { 0 };
	char digest[SHA256_HEX_SIZE];

	if (!device->device_key)
		return !profile->x509.key_leaves || profile->x509.device_keys ||
		       muster_fail(
			       err, CAUSE_DEVICE_KEY_INVALID,
			       "profile '%s' wraps keys for devices, and no device's key was named",
			       PRINTABLE(profile->name));
	if (!profile->x509.key_leaves)
		return muster_fail(
			err, CAUSE_USAGE,
			"profile '%s' lets no key leave its token: --device-key is for key.lives wrapped-to-device",
			PRINTABLE(profile->name));
	return recipient_read(device->device_key, &spki, digest, err);
}

bool run_check_device(const struct run *run, const struct station_device *device,
		      struct muster_error *err)
{
	return check_serial(run, device, err) && check_device_key(run, device, err) &&
	       (!run->needs_tpm || run_check_tpm(run, device->tpm, err));
}

/* One that stands in the environment is for other runs. */
static bool check_no_tpm(const struct run *run, struct muster_error *err)
{
	const struct station_request *request = run->request;

	if (request->device_count > 1 || request->watch)
		return muster_fail(
			err, CAUSE_USAGE,
			"profile '%s' is not for TPM devices, which alone can be several",
			PRINTABLE(run->profile.name));
	return request->device_count == 0 || !request->devices[0].tpm || request->tpm_is_default ||
	       muster_fail(err, CAUSE_USAGE,
			   "profile '%s' is not for TPM devices, and TPM '%s' was named",
			   PRINTABLE(run->profile.name), PRINTABLE(request->devices[0].tpm));
}

static bool check_devices(struct run *run, struct muster_error *err)
{
	const struct station_request *request = run->request;

	run->needs_tpm = run->profile.attestation == PROFILE_TPM && run->way != RUN_SYNC;
	if (!run->needs_tpm && !check_no_tpm(run, err))
		return false;
	for (size_t i = 0; i < request->device_count; i++)
		if (!run_check_device(run, &request->devices[i], err))
			return false;
	return true;
}

bool run_take_endpoint(struct run *run, const char *endpoint, struct muster_error *err)
{
	if (!endpoint)
		return true;
	if (!profile_value_check("deviceEndpoint", endpoint, "the device endpoint", err))
		return false;
	if (strlen(endpoint) >= sizeof(run->device_host))
		return muster_fail(err, CAUSE_USAGE, "the device endpoint is too long");
	snprintf(run->device_host, sizeof(run->device_host), "%s", endpoint);
	return true;
}

bool run_take_id_scope(struct run *run, const char *id_scope, struct muster_error *err)
{
	if (!profile_value_check("idScope", id_scope, "the ID scope", err))
		return false;
	run->id_scope = strdup(id_scope);
	return run->id_scope || muster_fail_memory(err);
}

static bool read_places(struct run *run, const struct config *config, struct muster_error *err)
{
	const struct station_request *request = run->request;
	const char *endpoint =
		request->device_endpoint ? request->device_endpoint : run->profile.device_endpoint;
	const char *id_scope = request->id_scope       ? request->id_scope
			       : run->profile.id_scope ? run->profile.id_scope
						       : config->id_scope;

	if (!run_take_endpoint(run, endpoint, err) ||
	    (id_scope && !run_take_id_scope(run, id_scope, err)))
		return false;
	return run->id_scope || run->profile.verify == PROFILE_VERIFY_NONE ||
	       run->way == RUN_OFFLINE ||
	       muster_fail(
		       err, CAUSE_USAGE,
		       "verifying a device needs the ID scope: pass --id-scope, or set idScope in the profile");
}

static bool check_key_fd(const struct run *run, struct muster_error *err)
{
	return run->request->key_fd == 0 || file_check_fd(run->request->key_fd, "--key-fd", err);
}

static bool load_tpm_terms(struct run *run, struct muster_error *err)
{
	return !run->needs_tpm || tpm_terms_load(&run->profile, NULL, NULL, &run->tpm_terms, err);
}

/* The URI that names the token: the command line's, the profile's, or that of the master key. */
static const char *token_of(const struct run *run)
{
	const struct profile *profile = &run->profile;

	if (run->request->token.uri)
		return run->request->token.uri;
	if (profile->attestation == PROFILE_X509)
		return profile->x509.token;
	return profile->master.primary.uri ? profile->master.primary.uri
					   : profile->master.secondary.uri;
}

static size_t count_of(const struct run *run)
{
	return run->batch ? run->batch->manifest.count : run->request->device_count;
}

/* The profile's, the configuration's, or one; no more than there are devices for. */
static size_t sessions_of(const struct run *run)
{
	int64_t sessions = run->profile.sessions ? run->profile.sessions : run->module.sessions;

	if (sessions == 0)
		sessions = 1;
	/* How many devices wait is not known yet. */
	if (run->way == RUN_SYNC)
		return (size_t)sessions;
	return (size_t)sessions < count_of(run) ? (size_t)sessions : count_of(run);
}

static bool find_token(struct run *run, struct muster_error *err)
{
	const struct profile *profile = &run->profile;
	const char *uri;

	/* Where the keys of absent devices are is for the caller to say. */
	run->needs_hsm = (profile->attestation == PROFILE_X509 &&
			  (run->way != RUN_SYNC || run->request->token.uri)) ||
			 (profile->attestation == PROFILE_SYMMETRIC_KEY &&
			  (profile->master.primary.uri || profile->master.secondary.uri));
	if (!run->needs_hsm)
		return true;
	uri = token_of(run);
	if (!uri)
		return muster_fail(
			err, CAUSE_TOKEN_URI_INVALID,
			"profile '%s' needs a token, and none was named: pass --token URI",
			PRINTABLE(profile->name));
	if (!token_uri_parse(uri, &run->token, err))
		return false;
	run->token_text = token_text_of(&run->token);
	if (!run->token_text)
		return muster_fail_memory(err);
	if (!station_module_find(uri, &run->module, err))
		return false;
	run->pool.wanted = sessions_of(run);
	return true;
}

static bool open_tpm_masters(struct run *run, struct muster_error *err)
{
	const struct profile *profile = &run->profile;

	if (!profile->master.primary.tpm && !profile->master.secondary.tpm)
		return true;
	run->tpm_masters = calloc(2, sizeof(*run->tpm_masters));
	if (!run->tpm_masters)
		return muster_fail_memory(err);
	return (!profile->master.primary.tpm ||
		tpm_master_open(profile->master.primary.tpm, NULL, &run->tpm_masters[0], err)) &&
	       (!profile->master.secondary.tpm ||
		tpm_master_open(profile->master.secondary.tpm, &run->tpm_masters[0],
				&run->tpm_masters[1], err));
}

/* Which devices may go by a weak one is for attest_derive to say. */
static bool read_master(const char *path, struct secret *ret_master, struct muster_error *err)
{
	if (!path)
		return true;
	if (!identity_master_read(path, ret_master, err))
		return false;
	master_warn_weak(ret_master, PRINTABLE(path));
	return true;
}

static bool read_masters(struct run *run, struct muster_error *err)
{
	const struct profile *profile = &run->profile;

	return read_master(profile->master.primary.file, &run->primary_master, err) &&
	       read_master(profile->master.secondary.file, &run->secondary_master, err);
}

/* Evidence goes to --out, or to a folder beside the journal. */
static bool choose_out(struct run *run, const struct config *config, struct muster_error *err)
{
	const char *out = run->request->out_directory ? run->request->out_directory : config->out;
	CLEANUP(freep)
	char *path = out ? strdup(out) : file_beside(run->journal_path, "evidence");

	run->writes_keys = out != NULL;
	/* The journal and hooks tell others where the evidence lies. */
	run->out_directory = path ? file_absolute(path) : NULL;
	if (!run->out_directory)
		return muster_fail_memory(err);
	return text_is_utf8(run->out_directory, strlen(run->out_directory)) ||
	       muster_fail(
		       err, CAUSE_USAGE,
		       "the folder for evidence, '%s', has a name that is not UTF-8 text; choose another",
		       PRINTABLE(run->out_directory));
}

static bool open_journal(struct run *run, const struct config *config, struct muster_error *err)
{
	const char *path = run->journal_path;

	if (!choose_out(run, config, err))
		return false;
	if (run->request->dry_run)
		return access(path, F_OK) < 0 ||
		       journal_open(path, JOURNAL_READ, &run->journal, err);
	return journal_check_space(path, count_of(run), err) &&
	       journal_open(path, JOURNAL_WRITE, &run->journal, err) &&
	       directory_make(run->out_directory, err);
}

static bool check_clock(const struct run *run, struct muster_error *err)
{
	return run->way != RUN_OFFLINE || !run->journal || journal_clock_check(run->journal, err);
}

static bool open_hooks(struct run *run, const struct config *config, struct muster_error *err)
{
	const struct hooks_origin origin = {
		.station = run->who.station,
		.operator_name = run->who.operator_name,
		.profile = run->profile.name,
		.batch = run->batch ? run->batch->name : NULL,
		.manifest = run->batch ? run->batch->manifest.digest : NULL,
	};

	return run->request->dry_run ||
	       hooks_open(config, run->journal_path, run->journal, &origin, &run->hooks, err);
}

static bool choose_journal(struct run *run, const struct config *config, struct muster_error *err)
{
	return journal_path_choose(run->request->journal_path, config->journal, &run->journal_path,
				   err);
}

/* Devices that are not here go by the profile they were begun with. */
static bool load_profile(struct run *run, struct profile_report *report, struct muster_error *err)
{
	if (run->way == RUN_SYNC)
		return kept_profile_load(run->journal_path, run->kept_profile, run->kept_name,
					 &run->profile, report, err);
	return profile_load(run->request->profile_path, &run->profile, report, err) &&
	       kept_profile_name(&run->profile, run->kept_name, err);
}

/* Devices that are going to wait need it then. */
static bool keep_profile(const struct run *run, struct muster_error *err)
{
	return run->way != RUN_OFFLINE || run->request->dry_run ||
	       kept_profile_keep(run->journal_path, &run->profile, err);
}

static bool open_http(struct run *run, const struct config *config, struct muster_error *err)
{
	const struct http_terms terms = network_terms(&run->request->network, config);

	if (!run->shared_http) {
		run->http = http_new(&terms, err);
		return run->http != NULL;
	}
	if (!*run->shared_http)
		*run->shared_http = http_new(&terms, err);
	run->http = *run->shared_http;
	return run->http != NULL;
}

/* Last, because it may ask the service's management for its host. */
static bool connect_service(struct run *run, struct muster_error *err)
{
	const struct station_request *request = run->request;
	const char *host;

	if (run->way == RUN_OFFLINE)
		return true;
	if (!dps_credential_connect(request->credential, run->http, err))
		return false;
	host = dps_credential_host(request->credential);
	if (!run->device_host[0])
		dps_device_host(host, run->device_host);
	run->meter = dps_meter_open(NULL, host, &request->rate, err);
	return run->meter != NULL;
}

static bool open_batch(struct run *run, struct muster_error *err)
{
	const struct station_batch *batch = run->request->batch;

	if (!batch)
		return true;
	if (batch->verify) {
		run->profile.batch.verify = *batch->verify;
		run->profile.batch.sample = batch->sample;
	}
	if (batch->lookalikes)
		run->profile.batch.lookalikes = *batch->lookalikes;
	if (run->profile.batch.verify == PROFILE_BATCH_VERIFY_NONE)
		run->profile.verify = PROFILE_VERIFY_NONE;
	return batch_open(run, batch, &run->batch, err);
}

static void fill_outages(struct run *run)
{
	static const char *const names[API_COUNT] = { "the provisioning service",
						      "the device API" };

	for (size_t i = 0; i < API_COUNT; i++)
		run->outages[i] = (struct dps_outage){
			.what = names[i],
			.patience_ms = run->request->patience_ms,
			.tell = run->request->outage,
			.context = run->request->context,
			.beside = &run->outages[API_COUNT - 1 - i],
		};
}

/* Single devices send for themselves: what they hold is read back in any case. */
static bool open_sender(struct run *run, struct muster_error *err)
{
	if (!run->brake || run->request->dry_run || run->way == RUN_OFFLINE)
		return true;
	run->client = dps_client_new(run->http, run->request->credential, err);
	if (!run->client)
		return false;
	fill_outages(run);
	dps_client_set_meter(run->client, run->meter);
	dps_client_set_outage(run->client, &run->outages[API_SERVICE]);
	return sender_new(run->client, &run->sender, err);
}

/* The caller's report is the configuration's when that is what is wrong. */
static bool load_config(struct config *config, struct profile_report *report,
			struct muster_error *err)
{
	CLEANUP(profile_report_done) struct profile_report own = { 0 };

	if (config_load(config, &own, err))
		return true;
	profile_report_done(report);
	*report = own;
	own = (struct profile_report){ 0 };
	return false;
}

/* -- Approval ------------------------------------------------------------------------------------------------- */

/* Each key is read when its device's turn comes, so what was looked at is kept. */
static bool add_device_keys(struct run *run, cJSON *subjects, struct muster_error *err)
{
	const char *path = run->profile.x509.device_keys;

	if (run->batch->manifest.has_device_keys)
		return muster_fail(
			err, CAUSE_APPROVAL_UNFIT,
			"manifest '%s' names files with devices' keys, which it does not hold: "
			"put them into the folder that the profile names as deviceKeys",
			run->batch->manifest.path);
	return !path || (approved_folder_read(path, &run->approved_keys, err) &&
			 approval_add_folder(subjects, "deviceKeys", run->approved_keys, err));
}

bool run_subjects(struct run *run, cJSON **ret_subjects, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *subjects = cJSON_CreateObject();

	if (!subjects || !json_add_text(subjects, "profile", run->profile.digest) ||
	    !json_add_text(subjects, "manifest", run->batch->manifest.digest))
		return muster_fail_memory(err);
	if (!approval_add_files(subjects, &run->profile, &run->issuer_file, err) ||
	    !add_device_keys(run, subjects, err) ||
	    !approval_add_master(subjects, "primaryMaster", &run->primary_master, err) ||
	    !approval_add_master(subjects, "secondaryMaster", &run->secondary_master, err))
		return false;
	*ret_subjects = TAKE_PTR(subjects);
	return true;
}

static bool check_options_alone(const struct run *run, struct muster_error *err)
{
	const struct station_request *request = run->request;
	const struct profile *profile = &run->profile;
	const char *token = profile->attestation == PROFILE_X509 ? profile->x509.token
			    : profile->master.primary.uri        ? profile->master.primary.uri
								 : profile->master.secondary.uri;

	if (!request->approval || !request->batch)
		return true;
	if (request->batch->verify || request->batch->lookalikes)
		return muster_fail(err, CAUSE_OPTIONS_CONTRADICT,
				   "what was approved goes by its profile: --verify and "
				   "--look-alikes do not go with --approval");
	return approval_option_check("--token", request->token.uri, token, err) &&
	       approval_option_check("--id-scope", request->id_scope, profile->id_scope, err) &&
	       approval_option_check("--device-endpoint", request->device_endpoint,
				     profile->device_endpoint, err);
}

static bool pass_approval(struct run *run, const struct config *config, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *subjects = NULL;
	struct approval_gate gate = {
		.config = config,
		.demanded = run->profile.approvals,
		.path = run->request->approval,
		.verb = APPROVAL_OF_PROVISION,
		.can_be_approved = run->batch != NULL,
		.devices = run->batch ? (int64_t)run->batch->manifest.count : 0,
		.is_dry = run->request->dry_run,
	};

	if (run->way == RUN_SYNC)
		return approval_demand_load(config, run->profile.approvals, &run->demand, err);
	if (!check_options_alone(run, err) ||
	    (gate.path && run->batch && !run_subjects(run, &subjects, err)))
		return false;
	gate.subjects = subjects;
	return approval_pass(&gate, &run->approval, err);
}

bool run_read(struct run *run, const struct station_request *request, struct config *config,
	      struct profile_report *report, struct muster_error *err)
{
	run->request = request;
	run->steps = &provision_steps;
	if (!load_config(config, report, err) || !choose_journal(run, config, err) ||
	    !load_profile(run, report, err))
		return false;
	run->may_use_network = config->tpm_network;
	run->tpm_deadlines = chip_deadlines(config);
	return check_devices(run, err) && open_batch(run, err) && read_masters(run, err);
}

bool run_prepare(struct run *run, const struct station_request *request,
		 struct profile_report *report, struct muster_error *err)
{
	CLEANUP(config_done) struct config config = { 0 };

	return run_read(run, request, &config, report, err) && pass_approval(run, &config, err) &&
	       load_tpm_terms(run, err) && check_key_fd(run, err) && find_token(run, err) &&
	       read_places(run, &config, err) &&
	       who_is_here(&run->who, request->operator_name, config.operator_name, err) &&
	       open_tpm_masters(run, err) && open_http(run, &config, err) &&
	       open_journal(run, &config, err) && check_clock(run, err) && keep_profile(run, err) &&
	       open_hooks(run, &config, err) && connect_service(run, err) && open_sender(run, err);
}
