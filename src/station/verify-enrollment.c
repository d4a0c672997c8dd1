/* An enrolled device registers as itself, by the verify stage's own steps, with a profile that is made of the enrollment. */
#include "muster/station-verify.h"

#include <stdlib.h>
#include <string.h>

#include "device-identity.h"
#include "material.h"
#include "muster/config.h"
#include "muster/dps-enrollment.h"
#include "muster/json.h"
#include "steps.h"
#include "tpm-chip.h"

/* The run of one device. */
struct verification {
	struct run run; /* first: a job finds the rest by it */
	struct station_request terms;
	const struct station_verify *request;
	cJSON *enrollment;
	struct device_identity identity;
	struct muster_error failure;
	cJSON *result;
};

static void verification_done(struct verification *verification)
{
	/* The client's. */
	verification->run.http = NULL;
	verification->run.meter = NULL;
	run_done(&verification->run);
	device_identity_done(&verification->identity);
	cJSON_Delete(verification->enrollment);
	cJSON_Delete(verification->result);
}

static struct verification *verification_of(const struct job *job)
{
	return (struct verification *)(void *)job->run;
}

/* -- The steps ------------------------------------------------------------------------------------------------------ */

static bool copy_member(const cJSON *object, const char *name, char **target,
			struct muster_error *err)
{
	const char *text = json_text(object, name);

	if (!text || !*text)
		return true;
	free(*target);
	*target = strdup(text);
	return *target || muster_fail_memory(err);
}

static bool take_up(struct job *job, struct muster_error *err)
{
	struct verification *verification = verification_of(job);
	struct device_identity *identity = &verification->identity;
	struct attest_key *shown = &job->keys[ATTEST_PRIMARY];

	job->registration_id = strdup(verification->request->registration_id);
	if (!job->registration_id)
		return muster_fail_memory(err);
	if (!copy_member(verification->enrollment, "registrationId", &job->registration_id, err) ||
	    !copy_member(verification->enrollment, "deviceId", &job->device_id, err))
		return false;
	shown->key = TAKE_PTR(identity->key);
	if (identity->certificate &&
	    !pki_certificate_der(identity->certificate, &shown->certificate, err))
		return false;
	return !identity->symmetric_key.data ||
	       secret_copy(&job->primary_key, identity->symmetric_key.data,
			   identity->symmetric_key.size, err);
}

static bool read_key_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };

	material_ek_request(&request);
	return job_ask(job, job->tpm, &request, err);
}

static bool read_key_finish(struct job *job, const struct muster_error *outcome,
			    struct muster_error *err)
{
	if (outcome->code != MUSTER_OK) {
		*err = *outcome;
		return muster_error_prefix(err, "reading the endorsement key of the TPM at '%s'",
					   PRINTABLE(job->tcti));
	}
	job->has_ek = material_ek_take(&job->reply, job->tcti, &job->ek, err);
	return job->has_ek;
}

/* Before the service is asked: it need not look at what a disabled device shows. */
static bool compare(struct job *job, struct muster_error *err)
{
	const struct verification *verification = verification_of(job);
	const struct bytes ek = { job->ek.data, job->ek.size };
	const struct dps_identity identity = {
		.ek = job->has_ek ? &ek : NULL,
		.certificate = verification->identity.certificate,
		.key = &job->primary_key,
	};

	return dps_enrollment_trusts(verification->enrollment, &identity, err) ||
	       muster_error_prefix(err, "enrollment '%s'", PRINTABLE(job->registration_id));
}

static bool tell(struct job *job, struct muster_error *err)
{
	struct verification *verification = verification_of(job);
	const struct dps_registration *registration = &job->registration;
	CLEANUP(cJSON_freep) cJSON *result = cJSON_CreateObject();
	bool is_assigned = registration->status == DPS_STATUS_ASSIGNED;

	if (!result || !json_add_text(result, "registrationId", job->registration_id) ||
	    !json_add_text(result, "attestation",
			   profile_attestation_word(job->run->profile.attestation)) ||
	    !json_add_text(result, "status", dps_status_name(registration->status)) ||
	    !json_add_text(result, "verification", job->verification) ||
	    !json_add_bool(result, "verified", job->verified) ||
	    !json_add_bool(result, "recordDeleted",
			   is_assigned && verification->request->deletes_record))
		return muster_fail_memory(err);
	if (is_assigned && (!json_add_text(result, "assignedHub", registration->assigned_hub) ||
			    !json_add_text(result, "deviceId", registration->device_id) ||
			    !json_add_text(result, "substatus", registration->substatus) ||
			    !json_add_text(result, "etag", registration->etag)))
		return muster_fail_memory(err);
	json_sort(result);
	verification->result = TAKE_PTR(result);
	return true;
}

/* clang-format off */
static const struct step rows[] = {
	/* name                stage            applies                        start                           finish                    intend */
	{ "take-up",           STAGE_IDENTIFY, NULL,                          take_up,                        NULL,                     NULL, false },
	{ "tpm-open",          STAGE_IDENTIFY, tpm_applies,                   tpm_open_start,                 tpm_open_finish,          NULL, false },
	{ "tpm-key",           STAGE_IDENTIFY, tpm_applies,                   read_key_start,                 read_key_finish,          NULL, false },
	{ "tpm-session",       STAGE_IDENTIFY, tpm_applies,                   tpm_session_start,              NULL,                     NULL, false },
	{ "compare",           STAGE_CONFIRM,  NULL,                          compare,                        NULL,                     NULL, false },
	VERIFY_STEPS
	{ "tpm-release",       STAGE_RELEASE,  release_tpm_applies,           release_tpm_start,              NULL,                     NULL, false },
	{ "tell",              STAGE_RELEASE,  NULL,                          tell,                           NULL,                     NULL, false },
};
/* clang-format on */

static const struct step_table verification_steps = { rows, ARRAY_SIZE(rows) };

/* -- The run ---------------------------------------------------------------------------------------------------------- */

static bool finished(void *context, struct station_result *result, struct muster_error *err)
{
	struct verification *verification = context;

	(void)err;
	verification->failure = result->failure;
	station_result_done(result);
	return true;
}

static bool copy_hubs(const cJSON *enrollment, struct profile_list *hubs, struct muster_error *err)
{
	const cJSON *named = json_get(enrollment, "iotHubs"), *hub;

	if (cJSON_GetArraySize(named) == 0)
		return true;
	hubs->items = calloc((size_t)cJSON_GetArraySize(named), sizeof(*hubs->items));
	if (!hubs->items)
		return muster_fail_memory(err);
	cJSON_ArrayForEach(hub, named)
	{
		if (!cJSON_IsString(hub))
			continue;
		hubs->items[hubs->count] = strdup(hub->valuestring);
		if (!hubs->items[hubs->count++])
			return muster_fail_memory(err);
	}
	return true;
}

/* What the steps ask a profile for. */
static bool fill_profile(struct verification *verification, struct muster_error *err)
{
	struct profile *profile = &verification->run.profile;
	const cJSON *enrollment = verification->enrollment;
	const char *status = json_text(enrollment, "provisioningStatus");

	profile->is_disabled = status && text_equal_folded(status, "disabled");
	profile->verify = verification->request->deletes_record ? PROFILE_VERIFY_AND_DELETE_RECORD
								: PROFILE_VERIFY_REGISTER;
	return copy_hubs(enrollment, &profile->iot_hubs, err);
}

static bool find_identity(struct verification *verification, struct muster_error *err)
{
	const struct station_verify *request = verification->request;
	CLEANUP(bytes_done) struct bytes digests = { 0 };

	dps_enrollment_thumbprints(verification->enrollment, &digests);
	return device_identity_find(&request->material, request->registration_id, &digests,
				    &verification->identity, err);
}

static bool read_enrollment(struct verification *verification, struct dps_client *client,
			    struct muster_error *err)
{
	const char *id = verification->request->registration_id;
	const char *given = profile_attestation_word(verification->run.profile.attestation), *type;
	bool has_keys;

	if (!dps_enrollment_fetch(client, id, &verification->enrollment, err))
		return false;
	type = json_text(json_get(verification->enrollment, "attestation"), "type");
	if (!type || !text_equal_folded(type, given))
		return muster_fail(err, CAUSE_OPTIONS_CONTRADICT,
				   "enrollment '%s' is of attestation %s, and what is given of the "
				   "device is for %s",
				   PRINTABLE(id), PRINTABLE(type ? type : "none"), given);
	return dps_enrollment_fetch_keys(client, id, verification->enrollment, &has_keys, err);
}

/* The configuration's mistakes are told by whoever read it first. */
static bool find_places(const struct station_verify *request, struct run *run,
			struct muster_error *err)
{
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	CLEANUP(config_done) struct config config = { 0 };
	const char *id_scope;

	if (!config_load(&config, &report, err))
		return false;
	id_scope = request->id_scope ? request->id_scope : config.id_scope;
	if (!id_scope)
		return muster_fail(err, CAUSE_USAGE,
				   "verifying a device needs the ID scope: pass --id-scope, or set "
				   "idScope in muster.yaml");
	run->may_use_network = config.tpm_network;
	run->tpm_deadlines = chip_deadlines(&config);
	return run_take_id_scope(run, id_scope, err) &&
	       run_take_endpoint(run, request->device_endpoint, err);
}

/* All that can be known to be wrong before anything outside is touched. */
static bool prepare(const struct station_verify *request, struct run *run, struct muster_error *err)
{
	const struct station_material *material = &request->material;

	return device_identity_kind(material, &run->profile.attestation, err) &&
	       find_places(request, run, err) &&
	       (!material->tpm || run_check_tpm(run, material->tpm, err));
}

static void use_client(struct verification *verification, struct dps_client *client)
{
	struct run *run = &verification->run;

	verification->terms = (struct station_request){
		.credential = dps_client_credential(client),
		.finished = finished,
		.context = verification,
	};
	run->request = &verification->terms;
	run->steps = &verification_steps;
	run->http = dps_client_http(client);
	run->meter = dps_client_meter(client);
	if (!run->device_host[0])
		dps_device_host(dps_client_host(client), run->device_host);
}

struct one_device {
	struct feed feed; /* first */
	struct station_device device;
	bool is_given;
};

static enum feed_state next_device(struct feed *feed, struct station_device *ret_device)
{
	struct one_device *one = (struct one_device *)(void *)feed;

	if (one->is_given)
		return FEED_OVER;
	one->is_given = true;
	*ret_device = one->device;
	return FEED_DEVICE;
}

bool station_verify_check(const struct station_verify *request, struct muster_error *err)
{
	CLEANUP(run_done) struct run run = { 0 };

	return prepare(request, &run, err);
}

bool station_verify(const struct station_verify *request, struct dps_client *client,
		    cJSON **ret_result, struct muster_error *err)
{
	CLEANUP(verification_done) struct verification verification = { .request = request };
	struct one_device one = { .feed = { .next = next_device },
				  .device.tpm = request->material.tpm };

	if (!prepare(request, &verification.run, err))
		return false;
	use_client(&verification, client);
	if (!device_identity_open(&request->material, request->registration_id,
				  &verification.identity, err) ||
	    !read_enrollment(&verification, client, err) || !find_identity(&verification, err) ||
	    !fill_profile(&verification, err) || !loop_run(&verification.run, &one.feed, err))
		return false;
	if (verification.failure.code != MUSTER_OK) {
		*err = verification.failure;
		return false;
	}
	*ret_result = TAKE_PTR(verification.result);
	return true;
}
