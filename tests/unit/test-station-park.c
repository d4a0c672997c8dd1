/* What becomes of a device that failed, and what counts against its budget. */
#include "unit.h"

#include "muster/json.h"

#include "../../src/station/park.h"

static enum journal_state put;

bool __wrap_job_put_row(struct job *job, enum journal_state state, enum stage stage,
			enum muster_cause cause, struct muster_error *err);

bool __wrap_job_put_row(struct job *job, enum journal_state state, enum stage stage,
			enum muster_cause cause, struct muster_error *err)
{
	(void)job;
	(void)stage;
	(void)cause;
	(void)err;
	put = state;
	return true;
}

static int64_t count_after(const char *stage, int cause)
{
	struct journal_entry entry = { .stage = stage, .kind = JOURNAL_OUTCOME };
	cJSON *body = cJSON_CreateObject();
	int64_t count;

	assert_non_null(body);
	assert_true(json_add_int64(body, "cause", cause));
	count = park_count(4, &entry, body);
	cJSON_Delete(body);
	return count;
}

static void only_what_is_the_devices_counts(void **state)
{
	static const struct {
		enum muster_cause cause;
		bool counts;
	} rows[] = {
		{ CAUSE_CLOUD_UNREACHABLE, false },   { CAUSE_CLOUD_THROTTLED, false },
		{ CAUSE_CLOUD_SERVER_ERROR, false },  { CAUSE_CLOUD_UNAUTHORIZED, false },
		{ CAUSE_OUTPUT_WRITE, false },        { CAUSE_INTERRUPTED, false },
		{ CAUSE_CLOUD_REFUSED, true },        { CAUSE_OUTCOME_UNKNOWN, true },
		{ CAUSE_ENROLLED_OTHERWISE, true },   { CAUSE_REGISTRATION_FAILED, true },
		{ CAUSE_REGISTRATION_TIMEOUT, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(count_after("verify", rows[i].cause), 4 + rows[i].counts);
		assert_int_equal(count_after("identify", rows[i].cause), 4);
	}
}

static enum journal_state state_after(struct run *run, enum muster_cause cause, int64_t failures)
{
	struct job job = { .run = run, .may_exist = true, .failures = failures };
	struct muster_error err;

	muster_fail(&job.failure, cause, "as it is");
	assert_good(park_device(&job, STAGE_VERIFY, &err), err);
	return put;
}

static void no_outage_makes_a_dead_letter(void **state)
{
	struct run run = { .profile = { .retry_budget = 3, .attestation = PROFILE_TPM } };

	(void)state;
	assert_int_equal(state_after(&run, CAUSE_REGISTRATION_FAILED, 1), JOURNAL_PARKED);
	assert_int_equal(state_after(&run, CAUSE_REGISTRATION_FAILED, 2), JOURNAL_DEAD);
	assert_int_equal(state_after(&run, CAUSE_CLOUD_UNREACHABLE, 2), JOURNAL_PARKED);
	assert_int_equal(state_after(&run, CAUSE_CLOUD_SERVER_ERROR, 2), JOURNAL_PARKED);
}

/* Also where nothing of it can be at the service. */
static void what_fails_each_time_is_a_dead_letter(void **state)
{
	struct run run = { .profile = { .retry_budget = 3, .attestation = PROFILE_TPM } };
	struct job job = { .run = &run };
	struct muster_error err;

	(void)state;
	muster_fail(&job.failure, CAUSE_CLOUD_REFUSED, "as it is");
	for (job.failures = 0; job.failures < 3; job.failures++) {
		assert_good(park_device(&job, STAGE_ENROLL, &err), err);
		assert_int_equal(put, job.failures < 2 ? JOURNAL_FAILED : JOURNAL_DEAD);
	}
}

/* It was parked when the network was away, and nobody will bring it again. */
static void what_waited_without_its_device_goes_on_waiting(void **state)
{
	static const struct {
		enum muster_cause cause;
		enum journal_state state;
	} rows[] = {
		{ CAUSE_INTERRUPTED, JOURNAL_PARKED },
		{ CAUSE_CLOUD_FORBIDDEN, JOURNAL_PARKED },
		{ CAUSE_CLOUD_UNREACHABLE, JOURNAL_PARKED },
		{ CAUSE_CLOUD_REFUSED, JOURNAL_DEAD },
	};
	struct run run = { .way = RUN_SYNC,
			   .profile = { .retry_budget = 3, .attestation = PROFILE_TPM } };
	struct job job = { .run = &run };
	struct muster_error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		muster_fail(&job.failure, rows[i].cause, "as it is");
		assert_good(park_device(&job, STAGE_ENROLL, &err), err);
		assert_int_equal(put, rows[i].state);
	}
}

static void a_signal_makes_no_dead_letter_of_what_is_spooled(void **state)
{
	struct run run = { .profile = { .retry_budget = 3, .attestation = PROFILE_TPM } };
	struct job job = { .run = &run, .spooled = cJSON_CreateObject() };
	struct muster_error err;

	(void)state;
	muster_fail(&job.failure, CAUSE_INTERRUPTED, "as it is");
	assert_good(park_device(&job, STAGE_ENROLL, &err), err);
	assert_int_equal(put, JOURNAL_SPOOLED);
	muster_fail(&job.failure, CAUSE_CLOUD_REFUSED, "as it is");
	assert_good(park_device(&job, STAGE_ENROLL, &err), err);
	assert_int_equal(put, JOURNAL_DEAD);
	cJSON_Delete(job.spooled);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_is_the_devices_counts),
		cmocka_unit_test(no_outage_makes_a_dead_letter),
		cmocka_unit_test(what_fails_each_time_is_a_dead_letter),
		cmocka_unit_test(what_waited_without_its_device_goes_on_waiting),
		cmocka_unit_test(a_signal_makes_no_dead_letter_of_what_is_spooled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
