/* One job, one step: what a job does between two waits. */
#include <string.h>

#include "advance.h"
#include "park.h"
#include "sender.h"
#include "steps.h"

#include "muster/json.h"
#include "muster/log.h"

/* How soon a job that is held sees that it may go on. */
enum { LOOK_AGAIN_MS = 1000 };

const struct step *job_step(const struct job *job)
{
	return &job->run->steps->rows[job->step];
}

void job_forget_operation(struct job *job)
{
	if (job->operation == OPERATION_SENDER)
		sender_remove(job->run->sender, job);
	job->operation = OPERATION_NONE;
	job->asked = NULL;
	job->answer_is_ready = false;
	worker_message_done(&job->reply);
	http_request_done(&job->waiting);
	job->ticket = (struct dps_budget_ticket){ 0 };
	http_answer_done(&job->answer);
}

/* Without a network nothing changes for a device that waits for it. */
static bool was_not_begun(const struct job *job)
{
	return job_is_absent(job) && job_step(job)->start == service_reach_start;
}

static bool record_failure(struct job *job, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();
	enum stage stage = job_step(job)->stage;

	if (!job->run->journal || job_is_dry(job))
		return true;
	if (!park_look(job, err))
		return false;
	if (was_not_begun(job))
		return true;
	if (!body || !json_add_text(body, "step", job_step(job)->name) ||
	    !json_add_int64(body, "cause", job->failure.cause) ||
	    !json_add_text(body, "message", job->failure.message))
		return muster_fail_memory(err);
	if (!job_record(job, JOURNAL_OUTCOME, stage, TAKE_PTR(body), err))
		return false;
	/* A released device stays released; the failure of a later look at it is in the entries. */
	return !job->registration_id || job->was_released || !job->attempt ||
	       park_device(job, stage, err);
}

/* A module that hangs or falls over takes all sessions along. Which device hung is known; of a fall it is found out,
 * because they are taken up again one by one. */
static bool is_bystander(struct job *job, const struct muster_error *failure)
{
	return pool_was_shared(job) && failure->cause != CAUSE_MODULE_HANGS;
}

bool job_fail(struct job *job, const struct muster_error *failure, struct muster_error *err)
{
	if (is_bystander(job, failure)) {
		log_info("%s: %s; taking it up again", PRINTABLE(job_name(job)), failure->message);
		job_forget_operation(job);
		job_restart(job);
		return true;
	}
	job->failure = *failure;
	job->is_finished = true;
	job_forget_operation(job);
	return record_failure(job, err);
}

static bool next_step(struct job *job)
{
	const struct step_table *steps = job->run->steps;
	const char *name = job->next_step;

	job->next_step = NULL;
	job->tries = 0;
	job->was_renewed = false;
	job->intent_is_written = job->intent_is_durable = false;
	if (!name) {
		job->step++;
		return true;
	}
	for (size_t i = 0; i < steps->count; i++) {
		if (strcmp(steps->rows[i].name, name) == 0) {
			job->step = i;
			return true;
		}
	}
	return false;
}

bool job_complete(struct job *job, const struct muster_error *outcome, struct muster_error *err)
{
	const struct step *step = job_step(job);
	struct muster_error failure;
	bool good;

	job->again_in_ms = -1;
	if (step->finish) {
		good = step->finish(job, outcome, &failure);
	} else {
		good = outcome->code == MUSTER_OK;
		failure = *outcome;
	}
	job_forget_operation(job);
	if (!good)
		return job_fail(job, &failure, err);
	if (job->again_in_ms >= 0) {
		job->operation = OPERATION_TIMER;
		job->timer_ms = clock_now_ms() + job->again_in_ms;
		return true;
	}
	if (!next_step(job)) {
		muster_fail(&failure, CAUSE_INTERNAL,
			    "step '%s' goes to a step that does not exist", step->name);
		return job_fail(job, &failure, err);
	}
	return true;
}

static bool write_intent(struct job *job, struct muster_error *failure)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();
	const struct step *step = job_step(job);

	if (!body || !json_add_text(body, "step", step->name))
		return muster_fail_memory(failure);
	if (!step->intend(job, body, failure) ||
	    !job_record(job, JOURNAL_INTENT, step->stage, TAKE_PTR(body), failure))
		return false;
	job->intent_is_written = true;
	/* What is only looked at stays released. */
	return !job->registration_id || job->was_released ||
	       job_put_row(job, JOURNAL_WORKING, step->stage, CAUSE_NONE, failure);
}

void job_enter_stage(struct job *job, enum stage stage)
{
	int64_t now = clock_now_ms();
	int64_t *spent_ms = &job->stage_ms[job->stage];

	if (stage == job->stage && *spent_ms >= 0)
		return;
	*spent_ms += now - job->stage_since_ms;
	job->stage = stage;
	job->stage_since_ms = now;
	if (job->stage_ms[stage] < 0)
		job->stage_ms[stage] = 0;
}

/* While what the step asks is away, one asks at a time and the others wait. */
static bool is_held(struct job *job)
{
	const struct dps_outage *outage = job_outage(job);
	int64_t now = clock_now_ms();
	int64_t wait_ms =
		outage && dps_outage_is_patient(outage) ? dps_outage_wait_ms(outage, now) : 0;

	if (wait_ms == 0)
		return false;
	job->operation = OPERATION_TIMER;
	job->timer_ms = now + (wait_ms < LOOK_AGAIN_MS ? wait_ms : LOOK_AGAIN_MS);
	return true;
}

static bool begin(struct job *job, struct muster_error *err)
{
	static const struct muster_error fine;
	const struct step *step = job_step(job);
	const struct station_request *request = job->run->request;
	struct muster_error failure;

	log_debug("%s: %s", stage_name(step->stage), step->name);
	if (request->progress && job->told_stage != stage_name(step->stage))
		request->progress(request->context, job_name(job), stage_name(step->stage));
	job->told_stage = stage_name(step->stage);
	if (step->start && !step->start(job, &failure))
		return job_fail(job, &failure, err);
	return job->operation != OPERATION_NONE || job_complete(job, &fine, err);
}

/* Its session is free for the next device at once; only its files may have to be waited for. */
static void finish(struct job *job)
{
	job->is_finished = true;
	job_close_keys(job);
	pool_leave(&job->run->pool, job);
}

static bool is_on_disk(const struct job *job)
{
	struct journal *journal = job->run->journal;

	return job->draft_count == 0 && !(journal && journal_is_in_transaction(journal));
}

bool job_advance(struct job *job, const char *stopped, struct muster_error *err)
{
	while (!job->is_finished && job->operation == OPERATION_NONE) {
		const struct step *step;
		struct muster_error failure;

		if (job->step == job->run->steps->count) {
			finish(job);
			return true;
		}
		step = job_step(job);
		if (step->applies && !step->applies(job)) {
			if (!next_step(job))
				return false;
			continue;
		}
		job_enter_stage(job, step->stage);
		if (is_held(job))
			return true;
		if (step->intend && stopped && !job->intent_is_durable) {
			muster_fail(&failure, CAUSE_INTERRUPTED, "stopped %s before step '%s'",
				    stopped, step->name);
			return job_fail(job, &failure, err);
		}
		if (step->intend && !job->intent_is_durable) {
			if (!job->intent_is_written && !write_intent(job, &failure))
				return job_fail(job, &failure, err);
			return true;
		}
		if ((step->traits & STEP_AFTER_COMMIT) && !is_on_disk(job))
			return true;
		if (!begin(job, err))
			return false;
	}
	return true;
}
