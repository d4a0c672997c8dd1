/* Can the device itself register with what was enrolled? Its own registration, signed by its own key wherever that
 * lives. It has lasting effects at the service, so the profile says whether it is done. */
#include "steps.h"

#include <stdlib.h>
#include <string.h>

#include "muster/json.h"
#include "token.h"

enum {
	VERIFY_DEADLINE_MS = 120 * 1000,
	POLL_DEFAULT_MS = 2000,
	POLL_MAX_MS = 30 * 1000,
	DEVICE_TOKEN_SECONDS = 3600,
	TRIES_SPARED = 2, /* so that waits begin with more than an assignment takes */
};

static bool is_asked_for(const struct job *job)
{
	return job->run->profile.verify != PROFILE_VERIFY_NONE && !job_is_dry(job) &&
	       !job_is_offline(job) && !job->was_released && !attest_any_key_is_gone(job) &&
	       !job->skips_verification;
}

/* Derived keys are at hand wherever their master is, a key in a token where the token is. */
static bool can_sign(const struct job *job)
{
	return !job_is_absent(job) || attest_derive_applies(job) || token_applies(job);
}

bool verify_applies(const struct job *job)
{
	return is_asked_for(job) && can_sign(job);
}

bool verify_is_put_off(const struct job *job)
{
	return is_asked_for(job) && !can_sign(job);
}

bool verify_tpm_applies(const struct job *job)
{
	return verify_applies(job) && job->has_ek;
}

static bool is_settled(enum dps_status status)
{
	return status == DPS_STATUS_ASSIGNED || status == DPS_STATUS_FAILED ||
	       status == DPS_STATUS_DISABLED;
}

bool verify_poll_applies(const struct job *job)
{
	return verify_applies(job) && !is_settled(job->registration.status);
}

bool verify_hub_key_applies(const struct job *job)
{
	return verify_tpm_applies(job) && job->registration.status == DPS_STATUS_ASSIGNED;
}

static bool deletes_record(const struct job *job)
{
	return job->run->profile.verify == PROFILE_VERIFY_AND_DELETE_RECORD;
}

/* Announced with the registration, so that it costs no commit of its own. */
bool verify_delete_applies(const struct job *job)
{
	return verify_applies(job) && deletes_record(job) &&
	       job->registration.status == DPS_STATUS_ASSIGNED;
}

/* -- Who asks ------------------------------------------------------------------------------------------------ */

struct asker {
	struct dps_device device;
	struct bytes ek;
};

static void fill_asker(const struct job *job, struct asker *asker)
{
	asker->ek = (struct bytes){ (uint8_t *)(uintptr_t)job->ek.data, job->ek.size };
	asker->device = (struct dps_device){
		.host = job->run->device_host,
		.id_scope = job->run->id_scope,
		.registration_id = job->registration_id,
		.ek = job->has_ek ? &asker->ek : NULL,
		.srk = job->has_ek ? &job->srk : NULL,
	};
}

/* Which of the certificates is shown. */
static enum attest_which shown_of(const struct job *job)
{
	return job->shows_second ? ATTEST_SECONDARY : ATTEST_PRIMARY;
}

/* Its key. */
static EVP_PKEY *key_shown(const struct job *job)
{
	EVP_PKEY *key = job->keys[shown_of(job)].key;

	return key ? key : job->keys[ATTEST_PRIMARY].key;
}

/* So that a service that is away does not use it up. */
static int64_t verify_clock_ms(const struct job *job)
{
	return dps_outage_clock_ms(&job->run->outages[API_DEVICES], clock_now_ms());
}

/* Gives the request what proves the device's identity. */
static bool identify_device(struct job *job, struct http_request *request, struct muster_error *err)
{
	const struct bytes *shown = &job->keys[shown_of(job)].certificate;
	CLEANUP(X509_freep) X509 *certificate = NULL;
	struct secret token = { 0 };

	if (job->run->profile.attestation == PROFILE_X509) {
		if (!pki_certificate_read(shown->data, shown->size, "the device's certificate",
					  &certificate, err))
			return false;
		http_request_identity(request, key_shown(job), certificate);
		return true;
	}
	if (!secret_copy(&token, job->device_token.data, job->device_token.size, err))
		return false;
	dps_request_token(request, &token);
	return true;
}

/* -- TPM: the service's challenge ---------------------------------------------------------------------------- */

bool verify_srk_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };

	worker_request_init(&request, WORKER_TPM_SRK);
	return job_ask(job, job->tpm, &request, err);
}

bool verify_srk_finish(struct job *job, const struct muster_error *outcome,
		       struct muster_error *err)
{
	const struct bytes *public = worker_bytes(&job->reply, FIELD_PUBLIC);

	if (outcome->code == MUSTER_OK)
		return bytes_copy(&job->srk, public->data, public->size, err);
	*err = *outcome;
	return muster_error_prefix(err, "making the storage root key");
}

bool verify_challenge_start(struct job *job, struct muster_error *err)
{
	CLEANUP(http_request_done) struct http_request request = { 0 };
	struct asker asker;

	fill_asker(job, &asker);
	return dps_register(&asker.device, NULL, &request, err) && job_send(job, &request, err);
}

static bool keep_key_blob(struct job *job, struct muster_error *err)
{
	const struct bytes *blob = &job->registration.key_blob;

	if (blob->size == 0)
		return muster_fail(err, CAUSE_CLOUD_ANSWER_INVALID,
				   "the service gave device '%s' no key",
				   PRINTABLE(job->registration_id));
	return bytes_copy(&job->challenge, blob->data, blob->size, err);
}

static void register_anew(struct job *job)
{
	job->registers_anew = job->poll_has_waited = false;
	job_go_to(job, job->has_ek ? "challenge" : "register");
}

/* It was made before the service went away for long. */
static bool lost_its_token(const struct job *job)
{
	return job->answer.outcome == HTTP_ANSWERED && job->answer.status == 401 &&
	       job->token_expiry_s > 0 && clock_wall_ms() / 1000 >= job->token_expiry_s;
}

/* What is not a registration's answer: again, or the end. */
static bool read_registration(struct job *job, bool *ret_read, struct muster_error *err)
{
	struct muster_error unread;
	char name[200];

	*ret_read = true;
	dps_registration_done(&job->registration);
	if (dps_registration_read(&job->answer, job->registration_id, &job->registration, &unread))
		return true;
	*ret_read = false;
	if (job->answer.outcome == HTTP_ANSWERED && job->answer.status < 400) {
		*err = unread;
		return false;
	}
	if (key_shown(job) && pki_key_last_error(key_shown(job), err))
		return muster_error_prefix(err, "proving the identity of '%s'",
					   PRINTABLE(job->registration_id));
	snprintf(name, sizeof(name), "registration of device '%s'", job->registration_id);
	return job_retry_or_fail(job, name, err);
}

bool verify_challenge_finish(struct job *job, const struct muster_error *outcome,
			     struct muster_error *err)
{
	bool was_read;

	(void)outcome;
	if (!read_registration(job, &was_read, err))
		return false;
	if (!was_read)
		return true;
	if (job->registration.status == DPS_STATUS_DISABLED) {
		job_go_to(job, "verify");
		return true;
	}
	if (job->registration.status != DPS_STATUS_CHALLENGED)
		return muster_fail(err, CAUSE_CLOUD_ANSWER_INVALID,
				   "the service did not challenge the TPM of device '%s'",
				   PRINTABLE(job->registration_id));
	return keep_key_blob(job, err);
}

bool verify_activate_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	CLEANUP(ek_challenge_done) struct ek_challenge parts = { 0 };

	if (!ek_challenge_split(job->challenge.data, job->challenge.size, &parts, err))
		return muster_error_prefix(err, "reading the service's challenge");
	worker_request_init(&request, WORKER_TPM_KEY_IMPORT);
	worker_add_u64(&request, FIELD_HANDLE, EK_HANDLE);
	worker_add_bytes(&request, FIELD_ID_OBJECT, parts.id_object.data, parts.id_object.size);
	worker_add_bytes(&request, FIELD_CREDENTIAL_SECRET, parts.credential_secret.data,
			 parts.credential_secret.size);
	worker_add_bytes(&request, FIELD_DUPLICATE, parts.duplicate.data, parts.duplicate.size);
	worker_add_bytes(&request, FIELD_DUPLICATE_SEED, parts.duplicate_seed.data,
			 parts.duplicate_seed.size);
	worker_add_bytes(&request, FIELD_PUBLIC, parts.key_public.data, parts.key_public.size);
	return job_ask(job, job->tpm, &request, err);
}

/* -- The device's token --------------------------------------------------------------------------------------- */

static bool fill_token_terms(const struct job *job, struct text *resource,
			     struct dps_sas_terms *terms, struct muster_error *err)
{
	struct asker asker;

	fill_asker(job, &asker);
	if (!dps_device_resource(&asker.device, resource, err))
		return false;
	*terms = (struct dps_sas_terms){
		.resource = resource->data,
		.policy = "registration",
		.expiry_s = job->token_expiry_s,
	};
	return true;
}

bool verify_sign_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	CLEANUP(text_done) struct text resource = TEXT_MAX(1024), data = TEXT_MAX(2048);
	struct dps_sas_terms terms;

	job->token_expiry_s = clock_wall_ms() / 1000 + DEVICE_TOKEN_SECONDS;
	if (!fill_token_terms(job, &resource, &terms, err) ||
	    !dps_sas_string_to_sign(&terms, &data, err))
		return false;
	worker_request_init(&request, WORKER_TPM_HMAC);
	worker_add_bytes(&request, FIELD_DATA, data.data, data.length);
	return job_ask(job, job->tpm, &request, err);
}

bool verify_sign_finish(struct job *job, const struct muster_error *outcome,
			struct muster_error *err)
{
	const struct bytes *mac = worker_bytes(&job->reply, FIELD_MAC);
	CLEANUP(text_done) struct text resource = TEXT_MAX(1024);
	struct dps_sas_terms terms;

	if (outcome->code != MUSTER_OK) {
		*err = *outcome;
		return muster_error_prefix(err, "signing with the TPM's key");
	}
	if (mac->size != 32)
		return muster_fail(err, CAUSE_TPM_ANSWER_INVALID,
				   "the TPM made an HMAC of %zu bytes", mac->size);
	return fill_token_terms(job, &resource, &terms, err) &&
	       dps_sas_assemble(&terms, mac->data, &job->device_token, err);
}

static bool sign_with_derived_key(struct job *job, struct muster_error *err)
{
	CLEANUP(text_done) struct text resource = TEXT_MAX(1024);
	struct dps_sas_terms terms;

	job->token_expiry_s = clock_wall_ms() / 1000 + DEVICE_TOKEN_SECONDS;
	return fill_token_terms(job, &resource, &terms, err) &&
	       dps_sas_make(&terms, &job->primary_key, &job->device_token, err);
}

/* -- Registering ----------------------------------------------------------------------------------------------- */

bool verify_intend(struct job *job, cJSON *body, struct muster_error *err)
{
	return (json_add_text(body, "operation", "register") &&
		json_add_text(body, "idScope", job->run->id_scope) &&
		(!deletes_record(job) || json_add_bool(body, "deletesRecord", true))) ||
	       muster_fail_memory(err);
}

bool verify_register_start(struct job *job, struct muster_error *err)
{
	CLEANUP(http_request_done) struct http_request request = { 0 };
	struct asker asker;

	if (job->run->profile.attestation == PROFILE_SYMMETRIC_KEY &&
	    !sign_with_derived_key(job, err))
		return false;
	if (!job->verify_deadline_ms)
		job->verify_deadline_ms = verify_clock_ms(job) + VERIFY_DEADLINE_MS;
	fill_asker(job, &asker);
	return dps_register(&asker.device, NULL, &request, err) &&
	       identify_device(job, &request, err) && job_send(job, &request, err);
}

bool verify_register_finish(struct job *job, const struct muster_error *outcome,
			    struct muster_error *err)
{
	bool was_read;

	(void)outcome;
	if (lost_its_token(job)) {
		register_anew(job);
		return true;
	}
	return read_registration(job, &was_read, err);
}

/* -- Polling ---------------------------------------------------------------------------------------------------- */

static int64_t poll_wait(const struct job *job)
{
	int64_t wait = job->registration.retry_after_ms;

	if (wait < 0)
		return POLL_DEFAULT_MS;
	return wait < POLL_MAX_MS ? wait : POLL_MAX_MS;
}

/* A device has one operation: whoever registers as it later, another station or itself, ends the one before. The two shall not
 * go on doing so in turn. */
static bool lose_operation(struct job *job, struct muster_error *err)
{
	uint64_t random;
	int64_t wait;

	if (!random_bytes(&random, sizeof(random), err))
		return false;
	wait = dps_retry_wait_ms(TRIES_SPARED + ++job->operations_lost, -1, random);
	if (wait < 0)
		return muster_fail(err, CAUSE_REGISTRATION_TIMEOUT,
				   "the service forgot the registration of device '%s' %u times",
				   PRINTABLE(job->registration_id), job->operations_lost);
	job->registers_anew = true;
	job_again(job, wait);
	return true;
}

/* The first round waits, every later one asks. */
bool verify_poll_start(struct job *job, struct muster_error *err)
{
	CLEANUP(http_request_done) struct http_request request = { 0 };
	struct asker asker;

	if (!job->poll_has_waited || job->registers_anew)
		return true;
	fill_asker(job, &asker);
	return dps_operation_get(&asker.device, job->registration.operation_id, &request, err) &&
	       identify_device(job, &request, err) && job_send(job, &request, err);
}

bool verify_poll_finish(struct job *job, const struct muster_error *outcome,
			struct muster_error *err)
{
	bool was_read;

	(void)outcome;
	if (verify_clock_ms(job) > job->verify_deadline_ms)
		return muster_fail(err, CAUSE_REGISTRATION_TIMEOUT,
				   "device '%s' was still being assigned after %d s",
				   PRINTABLE(job->registration_id), VERIFY_DEADLINE_MS / 1000);
	if (!job->poll_has_waited) {
		job->poll_has_waited = true;
		job_again(job, poll_wait(job));
		return true;
	}
	if (job->registers_anew || lost_its_token(job)) {
		register_anew(job);
		return true;
	}
	if (job->answer.outcome == HTTP_ANSWERED && job->answer.status == 404)
		return lose_operation(job, err);
	if (!read_registration(job, &was_read, err))
		return false;
	if (was_read && !is_settled(job->registration.status))
		job_again(job, poll_wait(job));
	return true;
}

/* -- What it says -------------------------------------------------------------------------------------------- */

static bool hub_is_allowed(const struct job *job, const char *hub)
{
	const struct profile_list *hubs = &job->run->profile.iot_hubs;

	for (size_t i = 0; i < hubs->count; i++)
		if (text_equal_folded(hubs->items[i], hub))
			return true;
	return hubs->count == 0;
}

static bool check_assignment(struct job *job, struct muster_error *err)
{
	const struct dps_registration *registration = &job->registration;
	const char *wanted = job->device_id ? job->device_id : job->registration_id;
	bool is_wanted;

	if (!dps_registration_check(registration, err))
		return muster_error_prefix(err, "registering as device '%s'",
					   PRINTABLE(job->registration_id));
	if (!hub_is_allowed(job, registration->assigned_hub))
		return muster_fail(
			err, CAUSE_REGISTRATION_FAILED,
			"device '%s' was assigned to hub '%s', which is none of those named for it",
			PRINTABLE(job->registration_id), PRINTABLE(registration->assigned_hub));
	/* A registration ID has no case, and the service folds it; a device ID has. */
	is_wanted = job->device_id ? strcmp(registration->device_id, wanted) == 0
				   : text_equal_folded(registration->device_id, wanted);
	if (!is_wanted)
		return muster_fail(err, CAUSE_REGISTRATION_FAILED,
				   "device '%s' was registered as '%s', not '%s'",
				   PRINTABLE(job->registration_id),
				   PRINTABLE(registration->device_id), PRINTABLE(wanted));
	free(job->hub);
	job->hub = strdup(registration->assigned_hub);
	job->verification = text_format("registered: %s", registration->substatus);
	if (!job->hub || !job->verification)
		return muster_fail_memory(err);
	return !job->has_ek || keep_key_blob(job, err);
}

bool verify_check(struct job *job, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();

	free(TAKE_PTR(job->verification)); /* of an earlier run */
	if (job->run->profile.is_disabled && job->registration.status == DPS_STATUS_ASSIGNED)
		return muster_fail(err, CAUSE_REGISTRATION_FAILED,
				   "device '%s' could register although its enrollment is disabled",
				   PRINTABLE(job->registration_id));
	if (job->run->profile.is_disabled && job->registration.status == DPS_STATUS_DISABLED) {
		job->verification = strdup("refused as disabled, as expected");
		if (!job->verification)
			return muster_fail_memory(err);
	} else if (!check_assignment(job, err)) {
		return false;
	}
	if (job->keys[ATTEST_SECONDARY].certificate.size > 0 && !job->shows_second) {
		/* Which has its own time to register. */
		job->shows_second = true;
		job->poll_has_waited = false;
		job->verify_deadline_ms = 0;
		job->operations_lost = 0;
		job_go_to(job, "register");
		return true;
	}
	job->verified = true;
	if (!body || !json_add_bool(body, "verified", true) ||
	    !json_add_text(body, "result", job->verification) ||
	    !json_add_text(body, "hub", job->hub))
		return muster_fail_memory(err);
	return job_record(job, JOURNAL_OUTCOME, STAGE_VERIFY, TAKE_PTR(body), err);
}

/* -- Leaving no record ------------------------------------------------------------------------------------------ */

bool verify_delete_start(struct job *job, struct muster_error *err)
{
	CLEANUP(http_request_done) struct http_request request = { 0 };

	return dps_record_delete(job_host(job), job->registration_id, NULL, &request, err) &&
	       job_send_authorized(job, &request, err);
}

/* The service that assigned it has a record of it, so the login's is another one. */
static bool fail_elsewhere(const struct job *job, struct muster_error *err)
{
	return muster_fail(
		err, CAUSE_REGISTRATION_FAILED,
		"device '%s' was assigned by the service of ID scope '%s', and '%s', which the login "
		"is for, has no registration of it: the two are not the same service",
		PRINTABLE(job->registration_id), PRINTABLE(job->run->id_scope),
		PRINTABLE(job_host(job)));
}

static bool had_no_effect(const struct http_answer *answer)
{
	return answer->outcome == HTTP_NOT_SENT ||
	       (answer->outcome == HTTP_ANSWERED && answer->status < 500);
}

bool verify_delete_finish(struct job *job, const struct muster_error *outcome,
			  struct muster_error *err)
{
	const struct http_answer *answer = &job->answer;
	struct muster_error unread;
	char name[200];

	(void)outcome;
	if (answer->outcome == HTTP_ANSWERED && answer->status == 404)
		return job->record_may_be_gone || fail_elsewhere(job, err);
	if (dps_delete_read(answer, &unread))
		return true;
	job->record_may_be_gone = job->record_may_be_gone || !had_no_effect(answer);
	snprintf(name, sizeof(name), "registration record '%s'", job->registration_id);
	return job_retry_or_fail(job, name, err);
}
