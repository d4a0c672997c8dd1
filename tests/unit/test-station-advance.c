/* What decides where a device goes: the walk through the table of steps, at each of its turns. What it asks of others is answered
 * here. */
#include "memory.h"

#include "muster/journal.h"
#include "muster/json.h"

#include "../../src/station/advance.h"
#include "../../src/station/park.h"
#include "../../src/station/pool.h"
#include "../../src/station/sender.h"

/* -- What others answer -------------------------------------------------------------------------------------- */

static struct {
	bool record_fails, row_fails, look_fails, park_fails, is_shared, is_in_transaction;
	unsigned records, rows, looks, parks, restarts, removals, told;
	enum journal_kind kind;
} others;

static bool answer(bool fails, struct muster_error *err)
{
	return !fails || muster_fail(err, CAUSE_JOURNAL_WRITE, "the disk is full");
}

bool __wrap_job_record(struct job *job, enum journal_kind kind, enum stage stage, cJSON *body,
		       struct muster_error *err);
bool __wrap_job_put_row(struct job *job, enum journal_state state, enum stage stage,
			enum muster_cause cause, struct muster_error *err);
bool __wrap_park_device(struct job *job, enum stage stage, struct muster_error *err);
bool __wrap_park_look(struct job *job, struct muster_error *err);
bool __wrap_pool_was_shared(struct job *job);
void __wrap_job_restart(struct job *job);
void __wrap_sender_remove(struct sender *sender, const struct job *job);
bool __wrap_journal_is_in_transaction(const struct journal *journal);

bool __wrap_job_record(struct job *job, enum journal_kind kind, enum stage stage, cJSON *body,
		       struct muster_error *err)
{
	(void)job;
	(void)stage;
	cJSON_Delete(body);
	others.records++;
	others.kind = kind;
	return answer(others.record_fails, err);
}

bool __wrap_job_put_row(struct job *job, enum journal_state state, enum stage stage,
			enum muster_cause cause, struct muster_error *err)
{
	(void)job;
	(void)stage;
	(void)cause;
	assert_int_equal(state, JOURNAL_WORKING);
	others.rows++;
	return answer(others.row_fails, err);
}

bool __wrap_park_device(struct job *job, enum stage stage, struct muster_error *err)
{
	(void)job;
	(void)stage;
	others.parks++;
	return answer(others.park_fails, err);
}

bool __wrap_park_look(struct job *job, struct muster_error *err)
{
	(void)job;
	others.looks++;
	return answer(others.look_fails, err);
}

bool __wrap_pool_was_shared(struct job *job)
{
	(void)job;
	return others.is_shared;
}

void __wrap_job_restart(struct job *job)
{
	(void)job;
	others.restarts++;
}

void __wrap_sender_remove(struct sender *sender, const struct job *job)
{
	(void)sender;
	(void)job;
	others.removals++;
}

bool __wrap_journal_is_in_transaction(const struct journal *journal)
{
	(void)journal;
	return others.is_in_transaction;
}

static void count_progress(void *context, const char *name, const char *stage)
{
	(void)context;
	(void)name;
	assert_non_null(stage);
	others.told++;
}

/* -- A table of steps ------------------------------------------------------------------------------------------ */

static bool is_left_out(const struct job *job)
{
	(void)job;
	return false;
}

static bool is_taken(const struct job *job)
{
	(void)job;
	return true;
}

static bool start_waiting(struct job *job, struct muster_error *err)
{
	(void)err;
	job->operation = OPERATION_SENDER;
	return true;
}

static bool start_badly(struct job *job, struct muster_error *err)
{
	(void)job;
	return muster_fail(err, CAUSE_TPM_UNREACHABLE, "the chip is gone");
}

static bool finish_again(struct job *job, const struct muster_error *outcome,
			 struct muster_error *err)
{
	(void)outcome;
	(void)err;
	job->again_in_ms = 50;
	return true;
}

static bool finish_badly(struct job *job, const struct muster_error *outcome,
			 struct muster_error *err)
{
	(void)job;
	(void)outcome;
	return muster_fail(err, CAUSE_TPM_UNREACHABLE, "the chip is gone");
}

static bool finish_elsewhere(struct job *job, const struct muster_error *outcome,
			     struct muster_error *err)
{
	(void)outcome;
	(void)err;
	job->next_step = "last";
	return true;
}

static bool finish_nowhere(struct job *job, const struct muster_error *outcome,
			   struct muster_error *err)
{
	(void)outcome;
	(void)err;
	job->next_step = "no such step";
	return true;
}

static bool intend_well(struct job *job, cJSON *body, struct muster_error *err)
{
	(void)job;
	(void)err;
	assert_string_equal(json_text(body, "step"), "intended");
	return true;
}

static bool intend_badly(struct job *job, cJSON *body, struct muster_error *err)
{
	(void)job;
	(void)body;
	return muster_fail(err, CAUSE_TPM_UNREACHABLE, "the chip is gone");
}

enum {
	WAITS,
	LEFT_OUT,
	BAD_START,
	AGAIN,
	BAD_END,
	ELSEWHERE,
	NOWHERE,
	INTENDED,
	BAD_INTENT,
	ON_DISK,
	LAST,
	STEPS
};

static const struct step rows[STEPS] = {
	[WAITS] = { "waits", STAGE_IDENTIFY, is_taken, start_waiting, NULL, NULL, 0 },
	[LEFT_OUT] = { "left-out", STAGE_IDENTIFY, is_left_out, start_badly, NULL, NULL, 0 },
	[BAD_START] = { "bad-start", STAGE_ATTEST, NULL, start_badly, NULL, NULL, 0 },
	[AGAIN] = { "again", STAGE_ATTEST, NULL, NULL, finish_again, NULL, 0 },
	[BAD_END] = { "bad-end", STAGE_ATTEST, NULL, NULL, finish_badly, NULL, 0 },
	[ELSEWHERE] = { "elsewhere", STAGE_ATTEST, NULL, NULL, finish_elsewhere, NULL, 0 },
	[NOWHERE] = { "nowhere", STAGE_ATTEST, NULL, NULL, finish_nowhere, NULL, 0 },
	[INTENDED] = { "intended", STAGE_ENROLL, NULL, NULL, NULL, intend_well, 0 },
	[BAD_INTENT] = { "bad-intent", STAGE_ENROLL, NULL, NULL, NULL, intend_badly, 0 },
	[ON_DISK] = { "on-disk", STAGE_RELEASE, NULL, NULL, NULL, NULL, STEP_AFTER_COMMIT },
	[LAST] = { "last", STAGE_RELEASE, NULL, NULL, NULL, NULL, 0 },
};
static const struct step_table table = { rows, STEPS };

static struct station_request request;
static struct run run;
static struct job job;
static struct muster_error err;

static struct job *job_at(size_t step)
{
	static int journal;

	request = (struct station_request){ 0 };
	run = (struct run){ .request = &request,
			    .steps = &table,
			    .journal = (struct journal *)&journal };
	job = (struct job){
		.run = &run, .step = step, .again_in_ms = -1, .serial = (char *)(uintptr_t) "S-1"
	};
	memset(job.stage_ms, 0xff, sizeof(job.stage_ms));
	memset(&others, 0, sizeof(others));
	err = (struct muster_error){ 0 };
	return &job;
}

static void assert_failed(enum muster_cause cause)
{
	assert_true(job.is_finished);
	assert_int_equal(job.failure.cause, cause);
	assert_int_equal(others.records, 1);
	assert_int_equal(others.kind, JOURNAL_OUTCOME);
}

/* -- The walk ------------------------------------------------------------------------------------------------ */

static void stops_where_it_waits(void **state)
{
	(void)state;
	job_at(WAITS);
	request.progress = count_progress;
	assert_true(job_advance(&job, NULL, &err));
	assert_int_equal(job.step, WAITS);
	assert_int_equal(others.told, 1);
	assert_true(job_advance(&job, NULL, &err)); /* it waits still */
	assert_int_equal(others.told, 1);
	job_forget_operation(&job);
	assert_int_equal(others.removals, 1);
}

static void leaves_out_what_does_not_apply(void **state)
{
	(void)state;
	job_at(LEFT_OUT);
	assert_true(job_advance(&job, NULL, &err));
	assert_int_equal(job.step, BAD_START);
	assert_failed(CAUSE_TPM_UNREACHABLE);
	assert_true(job_advance(&job, NULL, &err)); /* it has ended */
	assert_int_equal(others.records, 1);
	job_at(LEFT_OUT)->next_step = "no such step";
	assert_false(job_advance(&job, NULL, &err));
}

static void ends_behind_the_last(void **state)
{
	(void)state;
	job_at(ELSEWHERE);
	assert_true(job_advance(&job, NULL, &err));
	assert_true(job.is_finished);
	assert_int_equal(job.step, STEPS);
	assert_int_equal(job.failure.code, MUSTER_OK);
	assert_int_equal(others.records, 0);
}

static void goes_nowhere_that_is_not_there(void **state)
{
	(void)state;
	job_at(NOWHERE);
	assert_true(job_advance(&job, NULL, &err));
	assert_failed(CAUSE_INTERNAL);
}

static void takes_a_step_again_after_its_time(void **state)
{
	(void)state;
	job_at(AGAIN);
	assert_true(job_advance(&job, NULL, &err));
	assert_int_equal(job.operation, OPERATION_TIMER);
	assert_int_equal(job.step, AGAIN);
}

static void an_operation_that_failed_is_the_jobs_failure(void **state)
{
	const struct muster_error lost = { .code = MUSTER_E_INTERNAL,
					   .cause = CAUSE_TPM_UNREACHABLE };

	(void)state;
	job_at(WAITS);
	assert_true(job_complete(&job, &lost, &err));
	assert_failed(CAUSE_TPM_UNREACHABLE);
	job_at(BAD_END);
	assert_true(job_advance(&job, NULL, &err));
	assert_failed(CAUSE_TPM_UNREACHABLE);
}

/* -- Intents ---------------------------------------------------------------------------------------------------- */

static void an_effect_waits_for_its_intent(void **state)
{
	(void)state;
	job_at(INTENDED);
	assert_true(job_advance(&job, NULL, &err));
	assert_true(job.intent_is_written && !job.is_finished);
	assert_int_equal(others.kind, JOURNAL_INTENT);
	assert_int_equal(others.rows, 0);
	assert_true(job_advance(&job, NULL, &err)); /* not on disk yet */
	assert_int_equal(others.records, 1);
	assert_int_equal(job.step, INTENDED);
	job.intent_is_durable = true;
	assert_true(job_advance(&job, "by a signal", &err)); /* begun before the signal */
	assert_int_equal(job.step, BAD_INTENT);
}

static void nothing_is_begun_after_a_signal(void **state)
{
	(void)state;
	job_at(INTENDED);
	assert_true(job_advance(&job, "by a signal", &err));
	assert_failed(CAUSE_INTERRUPTED);
	assert_non_null(strstr(job.failure.message, "stopped by a signal before step '"));
}

static void nothing_is_begun_that_cannot_be_announced(void **state)
{
	(void)state;
	job_at(BAD_INTENT);
	assert_true(job_advance(&job, NULL, &err));
	assert_failed(CAUSE_TPM_UNREACHABLE);
	job_at(INTENDED)->registration_id = (char *)(uintptr_t) "s-1";
	others.row_fails = true;
	assert_true(job_advance(&job, NULL, &err));
	assert_int_equal(job.failure.cause, CAUSE_JOURNAL_WRITE);
	job_at(INTENDED)->registration_id = (char *)(uintptr_t) "s-1";
	assert_true(job_advance(&job, NULL, &err));
	assert_int_equal(others.rows, 1);
	/* Neither that nor the failure can be written. */
	job_at(INTENDED);
	others.record_fails = true;
	assert_false(job_advance(&job, NULL, &err));
	for (size_t step = BAD_START; step <= BAD_END; step += BAD_END - BAD_START) {
		job_at(step);
		others.record_fails = true;
		assert_false(job_advance(&job, NULL, &err));
	}
}

static void some_steps_wait_for_the_disk(void **state)
{
	(void)state;
	job_at(ON_DISK)->draft_count = 1;
	assert_true(job_advance(&job, NULL, &err));
	assert_int_equal(job.step, ON_DISK);
	job.draft_count = 0;
	others.is_in_transaction = true;
	assert_true(job_advance(&job, NULL, &err));
	assert_int_equal(job.step, ON_DISK);
	others.is_in_transaction = false;
	assert_true(job_advance(&job, NULL, &err));
	assert_int_equal(job.step, STEPS);
	job_at(ON_DISK);
	run.journal = NULL;
	assert_true(job_advance(&job, NULL, &err));
	assert_int_equal(job.step, STEPS);
}

/* -- Failures ----------------------------------------------------------------------------------------------------- */

static const struct muster_error hangs = { .code = MUSTER_E_INTERNAL, .cause = CAUSE_MODULE_HANGS };
static const struct muster_error falls = { .code = MUSTER_E_INTERNAL, .cause = CAUSE_WORKER_DIED };

static void who_stood_by_is_taken_up_again(void **state)
{
	(void)state;
	job_at(WAITS);
	others.is_shared = true;
	assert_true(job_fail(&job, &falls, &err));
	assert_false(job.is_finished);
	assert_int_equal(others.restarts, 1);
	assert_true(job_fail(&job, &hangs, &err));
	assert_failed(CAUSE_MODULE_HANGS);
}

static void a_device_that_was_under_way_is_parked(void **state)
{
	(void)state;
	for (int parks = 0; parks <= 1; parks++) {
		job_at(WAITS)->registration_id = (char *)(uintptr_t) "s-1";
		job.attempt = 1;
		others.park_fails = !parks;
		assert_int_equal(job_fail(&job, &falls, &err), parks);
		assert_int_equal(others.parks, 1);
	}
	job_at(WAITS)->registration_id = (char *)(uintptr_t) "s-1";
	assert_true(job_fail(&job, &falls, &err)); /* no attempt of it is written */
	job.attempt = 1;
	job.was_released = true;
	assert_true(job_fail(&job, &falls, &err));
	assert_int_equal(others.parks, 0);
}

static void one_that_was_not_begun_is_looked_up(void **state)
{
	(void)state;
	for (int looks = 0; looks <= 1; looks++) {
		job_at(WAITS);
		others.look_fails = !looks;
		assert_int_equal(job_fail(&job, &falls, &err), looks);
		assert_int_equal(others.looks, 1);
		assert_int_equal(others.parks, 0);
	}
}

static void without_a_journal_nothing_is_written(void **state)
{
	(void)state;
	job_at(WAITS);
	run.journal = NULL;
	assert_true(job_fail(&job, &falls, &err));
	job_at(WAITS);
	request.dry_run = true;
	assert_true(job_fail(&job, &falls, &err));
	assert_int_equal(others.records, 0);
}

static bool fail_somehow(const void *context)
{
	(void)context;
	job_at(WAITS);
	return job_fail(&job, &falls, &err);
}

static bool announce(const void *context)
{
	(void)context;
	job_at(INTENDED);
	return job_advance(&job, NULL, &err) && job.intent_is_written;
}

static void memory_runs_out(void **state)
{
	(void)state;
	each_allocation_fails_of("failure", fail_somehow, NULL);
	each_allocation_fails_of("intent", announce, NULL);
}

static void stages_have_their_time(void **state)
{
	(void)state;
	job_at(WAITS);
	job.stage = STAGE_IDENTIFY;
	job_enter_stage(&job, STAGE_IDENTIFY);
	assert_true(job.stage_ms[STAGE_IDENTIFY] >= 0);
	job_enter_stage(&job, STAGE_IDENTIFY);
	job_enter_stage(&job, STAGE_ATTEST);
	job_enter_stage(&job, STAGE_IDENTIFY);
	assert_int_equal(job.stage, STAGE_IDENTIFY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stops_where_it_waits),
		cmocka_unit_test(leaves_out_what_does_not_apply),
		cmocka_unit_test(ends_behind_the_last),
		cmocka_unit_test(goes_nowhere_that_is_not_there),
		cmocka_unit_test(takes_a_step_again_after_its_time),
		cmocka_unit_test(an_operation_that_failed_is_the_jobs_failure),
		cmocka_unit_test(an_effect_waits_for_its_intent),
		cmocka_unit_test(nothing_is_begun_after_a_signal),
		cmocka_unit_test(nothing_is_begun_that_cannot_be_announced),
		cmocka_unit_test(some_steps_wait_for_the_disk),
		cmocka_unit_test(who_stood_by_is_taken_up_again),
		cmocka_unit_test(a_device_that_was_under_way_is_parked),
		cmocka_unit_test(one_that_was_not_begun_is_looked_up),
		cmocka_unit_test(without_a_journal_nothing_is_written),
		cmocka_unit_test(memory_runs_out),
		cmocka_unit_test(stages_have_their_time),
	};

	memory_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
