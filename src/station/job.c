#include "job.h"

#include <stdlib.h>
#include <string.h>

#include "device-files.h"
#include "muster/encoding.h"
#include "muster/log.h"
#include "steps.h"
#include "token.h"
#include "tpm-chip.h"

bool job_is_dry(const struct job *job)
{
	return job->run->request->dry_run;
}

bool job_is_offline(const struct job *job)
{
	return job->run->way == RUN_OFFLINE;
}

bool job_is_absent(const struct job *job)
{
	return job->run->way == RUN_SYNC;
}

const char *job_host(const struct job *job)
{
	const struct dps_credential *credential = job->run->request->credential;

	return credential ? dps_credential_host(credential) : "";
}

bool job_ask(struct job *job, struct worker *worker, const struct worker_message *request,
	     struct muster_error *err)
{
	if (!worker_send(worker, request, err))
		return false;
	job->operation = OPERATION_WORKER;
	job->asked = worker;
	return true;
}

struct dps_outage *job_outage(const struct job *job)
{
	struct run *run = job->run;
	unsigned traits;

	if (!run->brake || job->step == run->steps->count)
		return NULL;
	traits = run->steps->rows[job->step].traits;
	if (traits & STEP_AT_DEVICES)
		return &run->outages[API_DEVICES];
	return traits & STEP_AT_SERVICE || job->operation == OPERATION_SENDER
		       ? &run->outages[API_SERVICE]
		       : NULL;
}

/* A device without a token, whose first answer is 401, shows as much as one that is let in. */
static bool is_well(const struct job *job)
{
	int status = job->answer.status;

	return job->answer.outcome == HTTP_ANSWERED &&
	       ((status >= 200 && status <= 299) || status == 404 ||
		(status == 401 && !job->is_authorized));
}

static void note_answer(const struct job *job)
{
	struct dps_outage *outage = job_outage(job);

	if (!outage)
		return;
	dps_outage_answered(outage);
	if (is_well(job))
		dps_outage_well(outage, clock_now_ms());
}

static void keep_answer(void *context, struct http_answer *answer)
{
	struct job *job = context;

	job->answer = *answer;
	*answer = (struct http_answer){ 0 };
	job->answer_is_ready = true;
	job->transfer = NULL;
	if (job->ticket.items > 0)
		dps_meter_answer(job->run->meter, &job->ticket, dps_budget_fate_of(&job->answer),
				 job->answer.retry_after_ms);
	note_answer(job);
}

bool job_send(struct job *job, struct http_request *request, struct muster_error *err)
{
	struct dps_outage *outage = job_outage(job);

	job->is_authorized = false;
	job->sent_ms = clock_now_ms();
	job->transfer = http_start(job->run->http, request, keep_answer, job, err);
	if (!job->transfer)
		return false;
	job->operation = OPERATION_HTTP;
	if (outage)
		dps_outage_ask(outage, job->sent_ms);
	return true;
}

/* A token whose authority is away is waited for like the service: the step begins anew. */
static bool put_off(struct job *job, const struct muster_error *failure)
{
	const struct http_answer none = { .outcome = HTTP_NOT_SENT,
					  .error = *failure,
					  .retry_after_ms = -1 };
	struct dps_outage *outage = job_outage(job);
	struct muster_error ignored;
	int64_t now = clock_now_ms();
	uint64_t random;

	if (!outage || !dps_outage_may_be(outage, failure) ||
	    !random_bytes(&random, sizeof(random), &ignored) ||
	    !dps_outage_trouble(outage, &none, now, now, random))
		return false;
	job->operation = OPERATION_TIMER;
	job->timer_ms = now;
	return true;
}

bool job_take_turn(struct job *job, struct muster_error *err)
{
	struct run *run = job->run;
	int64_t wait_ms = dps_meter_take(run->meter, 1,
					 job_is_absent(job) ? DPS_BUDGET_BACKLOG : DPS_BUDGET_BENCH,
					 &job->ticket);

	if (wait_ms > 0) {
		log_debug("waiting %lld ms for a turn in the rate budget", (long long)wait_ms);
		job->operation = OPERATION_TURN;
		job->timer_ms = clock_now_ms() + wait_ms;
		return true;
	}
	if (dps_credential_authorize(run->request->credential, run->http, &job->waiting, err) &&
	    job_send(job, &job->waiting, err)) {
		job->is_authorized = true;
		return true;
	}
	dps_meter_answer(run->meter, &job->ticket, DPS_BUDGET_UNSENT, -1);
	return put_off(job, err);
}

bool job_send_authorized(struct job *job, struct http_request *request, struct muster_error *err)
{
	job->waiting = *request;
	*request = (struct http_request){ 0 };
	return job_take_turn(job, err);
}

void job_go_to(struct job *job, const char *step_name)
{
	job->next_step = step_name;
}

void job_again(struct job *job, int64_t milliseconds)
{
	job->again_in_ms = milliseconds;
	/* Each sending is announced by itself. */
	job->intent_is_written = job->intent_is_durable = false;
}

/* After a 401 to a request that carried the credential: once in a step with a new token. */
static bool job_may_renew(struct job *job)
{
	bool was_authorized = job->is_authorized, was_renewed = job->was_renewed;

	if (!was_authorized || was_renewed)
		return false;
	job->was_renewed = true;
	return dps_credential_forget(job->run->request->credential, &job->answer);
}

/* What came to nothing because the service is away does not count as a try, but for the first of them, which shows it.
 * *ret_again: the step begins anew when it may. False: it was waited for long enough. */
static bool wait_out(struct job *job, uint64_t random, bool *ret_again)
{
	struct dps_outage *outage = job_outage(job);

	*ret_again = false;
	if (!outage || !dps_outage_is_patient(outage) || !dps_outage_explains(&job->answer))
		return true;
	if (!dps_outage_trouble(outage, &job->answer, job->sent_ms, clock_now_ms(), random))
		return false;
	*ret_again = outage->troubles > 1;
	return true;
}

bool job_retry_or_fail(struct job *job, const char *what, struct muster_error *err)
{
	enum dps_next next = dps_next_step(&job->answer, false);
	bool again;
	int64_t wait;
	uint64_t random;

	if (next == DPS_NEXT_RENEW && job_may_renew(job)) {
		job_again(job, 0);
		return true;
	}
	if (next != DPS_NEXT_RETRY && next != DPS_NEXT_READ_BACK)
		return dps_answer_fail(&job->answer, what, err);
	if (!random_bytes(&random, sizeof(random), err))
		return false;
	if (!wait_out(job, random, &again))
		return dps_answer_fail(&job->answer, what, err);
	if (again) {
		job_again(job, 0);
		return true;
	}
	wait = dps_retry_wait_ms(++job->tries, job->answer.retry_after_ms, random);
	if (wait < 0)
		return dps_answer_fail(&job->answer, what, err);
	job_again(job, wait);
	return true;
}

static bool copy_text(char **target, const char *text)
{
	*target = text ? strdup(text) : NULL;
	return !text || *target;
}

bool job_place(struct job *job, const struct station_device *device, struct muster_error *err)
{
	/* The one that the environment names is of no concern to a device of another kind. */
	const char *tcti = job->run->profile.attestation == PROFILE_TPM ? device->tpm : NULL;

	job->plug = device->plug;
	job->skips_verification = device->skips_verification;
	return (copy_text(&job->tcti, tcti) && copy_text(&job->serial, device->serial) &&
		copy_text(&job->socket, device->socket ? device->socket : tcti) &&
		copy_text(&job->device_key, device->device_key) &&
		copy_text(job_is_absent(job) ? &job->registration_id : &job->given_registration_id,
			  device->registration_id) &&
		copy_text(&job->given_device_id, device->device_id)) ||
	       muster_fail_memory(err);
}

bool job_was_enrolled(const struct job *job)
{
	bool is_read_and_gone = job_is_dry(job) && !job->found && confirm_applies(job);
	bool is_sent_anew = job->sends > 0 && job->created;

	return job->was_enrolled && !is_read_and_gone && !is_sent_anew;
}

bool job_is_parked(const struct job *job)
{
	return job->failure.code != MUSTER_OK &&
	       (job->goes_on || job->failure.cause == CAUSE_INTERRUPTED);
}

const char *job_name(const struct job *job)
{
	return job->serial                  ? job->serial
	       : job->given_registration_id ? job->given_registration_id
					    : job->socket;
}

void job_begin_stages(struct job *job)
{
	job->stage_since_ms = job->started_ms;
	for (size_t i = 1; i < STATION_STAGES; i++)
		job->stage_ms[i] = -1;
}

void job_restart(struct job *job)
{
	struct job fresh = {
		.run = job->run,
		.tcti = TAKE_PTR(job->tcti),
		.serial = TAKE_PTR(job->serial),
		.socket = TAKE_PTR(job->socket),
		.device_key = TAKE_PTR(job->device_key),
		.registration_id = job_is_absent(job) ? TAKE_PTR(job->registration_id) : NULL,
		.given_registration_id = TAKE_PTR(job->given_registration_id),
		.given_device_id = TAKE_PTR(job->given_device_id),
		.skips_verification = job->skips_verification,
		.again_in_ms = -1,
		.started_ms = job->started_ms,
	};

	job_begin_stages(&fresh);
	job_done(job);
	*job = fresh;
}

enum attest_which job_which(const struct job *job)
{
	const struct step *step = &job->run->steps->rows[job->step];

	return step->traits & STEP_OF_SECONDARY ? ATTEST_SECONDARY : ATTEST_PRIMARY;
}

void job_close_keys(struct job *job)
{
	for (size_t i = 0; i < ATTEST_KEYS; i++)
		attest_key_close(&job->keys[i]);
}

void job_done(struct job *job)
{
	/* Keys that work through a worker go before the worker. */
	job_close_keys(job);
	worker_message_done(&job->reply);
	http_request_done(&job->waiting);
	http_answer_done(&job->answer);
	/* A job that got through has released it in a step of its own. */
	if (job->failure.code != MUSTER_OK)
		chip_leave(TAKE_PTR(job->tpm));
	worker_free(job->tpm);
	pool_leave(&job->run->pool, job);
	ek_holdings_done(&job->holdings);
	fetch_done(&job->fetch);
	X509_free(job->fetched);
	bytes_done(&job->ek_certificate);
	proof_done(&job->proof);
	worker_message_done(&job->proof_request);
	token_facts_done(&job->token);
	free(job->tcti);
	free(job->serial);
	free(job->socket);
	free(job->device_key);
	bytes_done(&job->recipient);
	free(job->given_registration_id);
	free(job->given_device_id);
	free(job->sandbox);
	free(job->registration_id);
	free(job->device_id);
	journal_device_done(&job->device);
	for (size_t i = 0; i < ATTEST_KEYS; i++)
		attest_key_done(&job->keys[i]);
	secret_done(&job->primary_key);
	secret_done(&job->secondary_key);
	cJSON_Delete(job->spooled);
	cJSON_Delete(job->terms);
	cJSON_Delete(job->enrollment);
	cJSON_Delete(job->found);
	cJSON_Delete(job->mechanism);
	free(job->etag);
	free(job->etag_before);
	bytes_done(&job->srk);
	bytes_done(&job->challenge);
	secret_done(&job->device_token);
	dps_registration_done(&job->registration);
	free(job->verification);
	free(job->hub);
	free(job->evidence);
	free(job->evidence_path);
	free(job->key_file);
	cJSON_Delete(job->promise);
	device_files_done(job);
}
