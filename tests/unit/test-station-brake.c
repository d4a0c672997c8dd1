/* What stops a run of many devices: what one of them failed by, and the next would too. */
#include "unit.h"

#include "../../src/station/brake.h"

enum { ROW = 3 }; /* so many alike stop a run */

static struct brake proven(void)
{
	return (struct brake){ .is_proven = true };
}

static void end(struct brake *brake, enum muster_cause cause)
{
	static struct job job;

	job.failure = (struct muster_error){ 0 };
	if (cause != CAUSE_NONE)
		muster_fail(&job.failure, cause, "as it is");
	brake->under_way++;
	brake_device_ended(brake, &job);
}

static void what_would_be_the_next_ones_too_stops_the_run(void **state)
{
	static const enum muster_cause causes[] = {
		CAUSE_TOKEN_GONE,
		CAUSE_PIN_LOCKED,
		CAUSE_CLOUD_UNREACHABLE,
		CAUSE_CLOUD_SERVER_ERROR,
		CAUSE_CLOUD_REFUSED,
		CAUSE_ENROLLMENT_NOT_FOUND,
		CAUSE_CLOUD_UNAUTHORIZED,
		CAUSE_SIGN_IN_REFUSED,
		CAUSE_POLICY_NOT_FOUND,
		CAUSE_OUTPUT_WRITE,
		CAUSE_CLOUD_FORBIDDEN,
		CAUSE_CLOUD_READ_INVALID,
		CAUSE_PROXY_REFUSED,
		CAUSE_PROXY_LOGIN,
		CAUSE_WORKER_START,
		CAUSE_WORKER_PROTOCOL,
		CAUSE_SECRET_LOCK,
		CAUSE_SANDBOX,
		CAUSE_MEMORY,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(causes); i++) {
		struct brake brake = proven();

		for (int round = 1; round < ROW; round++)
			end(&brake, causes[i]);
		assert_false(brake_has_stopped(&brake));
		end(&brake, causes[i]);
		assert_true(brake_has_stopped(&brake));
		assert_contains(brake.why.message, "3 devices in a row");
	}
}

static void what_is_of_one_device_never_does(void **state)
{
	static const enum muster_cause causes[] = {
		CAUSE_ENROLLED_OTHERWISE,   CAUSE_KEY_NOT_FOUND,        CAUSE_ENROLLMENT_EXISTS,
		CAUSE_ETAG_MISMATCH,        CAUSE_ENROLLED_FOR_ANOTHER, CAUSE_DEVICE_NEEDED,
		CAUSE_SPOOLED_OTHERWISE,    CAUSE_CERTIFICATE_EXPIRED,  CAUSE_REGISTRATION_FAILED,
		CAUSE_REGISTRATION_TIMEOUT, CAUSE_OUTPUT_EXISTS,        CAUSE_INTERRUPTED,
		CAUSE_WORKER_DIED,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(causes); i++) {
		struct brake brake = proven();

		for (int round = 0; round < 2 * ROW; round++)
			end(&brake, causes[i]);
		assert_false(brake_has_stopped(&brake));
	}
}

static void others_in_between_begin_the_row_anew(void **state)
{
	static const enum muster_cause between[] = { CAUSE_NONE, CAUSE_CLOUD_THROTTLED,
						     CAUSE_CERTIFICATE_EXPIRED };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(between); i++) {
		struct brake brake = proven();

		for (int round = 0; round < 2 * ROW; round++)
			end(&brake, round % ROW == ROW - 1 ? between[i] : CAUSE_CLOUD_UNREACHABLE);
		assert_false(brake_has_stopped(&brake));
	}
}

static void what_was_so_before_is_the_devices(void **state)
{
	static const struct {
		enum muster_cause before, now;
		bool stops;
	} rows[] = {
		{ CAUSE_CLOUD_REFUSED, CAUSE_CLOUD_REFUSED, false },
		{ CAUSE_OUTCOME_UNKNOWN, CAUSE_OUTCOME_UNKNOWN, false },
		{ CAUSE_CLOUD_UNREACHABLE, CAUSE_CLOUD_REFUSED, true },
		{ CAUSE_NONE, CAUSE_CLOUD_REFUSED, true },
		/* A wrong credential is everybody's, however often it was refused. */
		{ CAUSE_CLOUD_FORBIDDEN, CAUSE_CLOUD_FORBIDDEN, true },
		{ CAUSE_CLOUD_UNREACHABLE, CAUSE_CLOUD_UNREACHABLE, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct job job = { .was_known = true, .device = { .cause = rows[i].before } };
		struct brake brake = proven();

		muster_fail(&job.failure, rows[i].now, "as it is");
		for (int round = 0; round < 2 * ROW; round++) {
			brake.under_way++;
			brake_device_ended(&brake, &job);
		}
		assert_int_equal(brake_has_stopped(&brake), rows[i].stops);
	}
}

static void what_was_released_before_shows_nothing_of_the_service(void **state)
{
	static struct job released = { .was_released = true }, enrolled;
	struct brake brake = proven();

	(void)state;
	brake.under_way = 1;
	brake_device_ended(&brake, &released);
	brake.under_way = DPS_BULK_ITEMS_MAX;
	assert_true(brake_holds(&brake));
	brake_device_ended(&brake, &enrolled);
	brake.under_way = DPS_BULK_ITEMS_MAX;
	assert_false(brake_holds(&brake));
}

static void before_anything_is_proven_one_is_enough(void **state)
{
	struct brake brake = { 0 };

	(void)state;
	end(&brake, CAUSE_CERTIFICATE_EXPIRED);
	assert_false(brake_has_stopped(&brake));
	end(&brake, CAUSE_CLOUD_UNAUTHORIZED);
	assert_true(brake_has_stopped(&brake));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_would_be_the_next_ones_too_stops_the_run),
		cmocka_unit_test(what_is_of_one_device_never_does),
		cmocka_unit_test(others_in_between_begin_the_row_anew),
		cmocka_unit_test(what_was_so_before_is_the_devices),
		cmocka_unit_test(what_was_released_before_shows_nothing_of_the_service),
		cmocka_unit_test(before_anything_is_proven_one_is_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
