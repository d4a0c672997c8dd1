/* What answers mean: headers, errors, next steps, waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "muster/clock.h"
#include "muster/dps.h"

#define NOON 1795435200000 /* Mon, 23 Nov 2026 12:00:00 GMT */

static struct http_answer answer_of(int status, const char *body)
{
	struct http_answer answer = {
		.outcome = HTTP_ANSWERED,
		.status = status,
		.retry_after_ms = -1,
		.date_ms = -1,
		.received_ms = NOON,
	};

	if (body)
		text_add(&answer.body, body);
	return answer;
}

static void reads_retry_after_in_all_its_forms(void **state)
{
	static const struct {
		const char *value;
		int64_t wait_ms;
	} forms[] = {
		{ NULL, -1 },
		{ "", -1 },
		{ "3", 3000 },
		{ "0", 0 },
		{ "1000000000", 1000000000000 },
		{ "99999999999999999999999", INT64_MAX },
		{ "-5", -1 },
		{ "3.5", -1 },
		{ "soon", -1 },
		{ "Mon, 23 Nov 2026 12:01:30 GMT", 90000 },
		{ "Mon, 23 Nov 2026 11:00:00 GMT", 0 },
		{ "Mon, 32 Foo 2026 11:00:00 GMT", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
		assert_int_equal(http_retry_after_parse(forms[i].value, NOON), forms[i].wait_ms);
}

static void waits_with_full_jitter_and_a_floor(void **state)
{
	(void)state;
	for (unsigned attempts = 1; attempts < DPS_RETRY_ATTEMPTS; attempts++) {
		int64_t span = (int64_t)DPS_RETRY_BASE_MS << (attempts - 1);

		assert_int_equal(dps_retry_wait_ms(attempts, -1, 0), 0);
		assert_int_equal(dps_retry_wait_ms(attempts, -1, (uint64_t)span), span);
		assert_int_equal(dps_retry_wait_ms(attempts, -1, (uint64_t)span + 1), 0);
		assert_true(dps_retry_wait_ms(attempts, -1, UINT64_MAX) <= DPS_RETRY_CAP_MS);
	}
	assert_int_equal(dps_retry_wait_ms(1, 3000, 0), 3000);
	assert_true(dps_retry_wait_ms(1, 3000, 999) >= 3000);
	assert_int_equal(dps_retry_wait_ms(1, 0, 500), 500);
	assert_int_equal(dps_retry_wait_ms(1, INT64_MAX, 0), DPS_RETRY_AFTER_CAP_MS);
	assert_int_equal(dps_retry_wait_ms(DPS_RETRY_ATTEMPTS, -1, 0), -1);
	assert_int_equal(dps_retry_wait_ms(1000, 3000, 0), -1);
}

static const struct {
	int status;
	enum muster_cause cause;
	enum dps_next read, write;
} meanings[] = {
	{ 302, CAUSE_CLOUD_REFUSED, DPS_NEXT_STOP, DPS_NEXT_STOP },
	{ 400, CAUSE_CLOUD_REFUSED, DPS_NEXT_STOP, DPS_NEXT_STOP },
	{ 401, CAUSE_CLOUD_UNAUTHORIZED, DPS_NEXT_RENEW, DPS_NEXT_RENEW },
	{ 403, CAUSE_CLOUD_FORBIDDEN, DPS_NEXT_STOP, DPS_NEXT_STOP },
	{ 404, CAUSE_ENROLLMENT_NOT_FOUND, DPS_NEXT_STOP, DPS_NEXT_STOP },
	{ 405, CAUSE_CLOUD_REFUSED, DPS_NEXT_STOP, DPS_NEXT_STOP },
	{ 408, CAUSE_CLOUD_SERVER_ERROR, DPS_NEXT_RETRY, DPS_NEXT_READ_BACK },
	{ 409, CAUSE_ENROLLMENT_EXISTS, DPS_NEXT_STOP, DPS_NEXT_READ_BACK },
	{ 412, CAUSE_ETAG_MISMATCH, DPS_NEXT_STOP, DPS_NEXT_READ_BACK },
	{ 415, CAUSE_CLOUD_REFUSED, DPS_NEXT_STOP, DPS_NEXT_STOP },
	{ 429, CAUSE_CLOUD_THROTTLED, DPS_NEXT_RETRY, DPS_NEXT_RETRY },
	{ 500, CAUSE_CLOUD_SERVER_ERROR, DPS_NEXT_RETRY, DPS_NEXT_READ_BACK },
	{ 503, CAUSE_CLOUD_SERVER_ERROR, DPS_NEXT_RETRY, DPS_NEXT_READ_BACK },
};

static void knows_what_each_status_means(void **state)
{
	struct muster_error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(meanings); i++) {
		struct http_answer answer = answer_of(meanings[i].status, NULL);

		assert_false(dps_answer_fail(&answer, "enrollment 'dev-1'", &err));
		assert_int_equal(err.cause, meanings[i].cause);
		assert_int_equal(err.origin, ORIGIN_HTTP);
		assert_int_equal(err.native, meanings[i].status);
		assert_int_equal(dps_next_step(&answer, false), meanings[i].read);
		assert_int_equal(dps_next_step(&answer, true), meanings[i].write);
	}
}

static void a_lost_answer_of_a_write_is_read_back(void **state)
{
	struct http_answer answer = answer_of(0, NULL);
	struct muster_error err;

	(void)state;
	answer.outcome = HTTP_UNKNOWN;
	muster_fail(&answer.error, CAUSE_OUTCOME_UNKNOWN, "cut");
	assert_int_equal(dps_next_step(&answer, true), DPS_NEXT_READ_BACK);
	assert_int_equal(dps_next_step(&answer, false), DPS_NEXT_RETRY);
	answer.outcome = HTTP_NOT_SENT;
	muster_fail(&answer.error, CAUSE_CLOUD_UNREACHABLE, "no route");
	assert_int_equal(dps_next_step(&answer, true), DPS_NEXT_RETRY);
	muster_fail(&answer.error, CAUSE_CLOUD_TLS, "expired");
	assert_int_equal(dps_next_step(&answer, true), DPS_NEXT_STOP);
	assert_false(dps_answer_fail(&answer, "enrollment 'dev-1'", &err));
	assert_int_equal(err.cause, CAUSE_CLOUD_TLS);
	assert_string_equal(err.message, "enrollment 'dev-1': expired");
}

static void quotes_the_service_in_full_and_printable(void **state)
{
	struct http_answer answer = answer_of(
		409, "{\"errorCode\":409201,\"trackingId\":\"e0a1\",\"message\":\"Enrollment "
		     "already\\u001b exists\",\"timestampUtc\":\"2026-11-23T12:00:00Z\"}");
	struct muster_error err;

	(void)state;
	assert_false(dps_answer_fail(&answer, "enrollment 'dev-1'", &err));
	assert_string_equal(err.message,
			    "enrollment 'dev-1': the service answered 409, errorCode 409201: "
			    "Enrollment already\\x1b exists (tracking ID e0a1)");
	assert_int_equal(err.origin, ORIGIN_DPS);
	assert_int_equal(err.native, 409201);
	http_answer_done(&answer);
}

static void survives_bodies_that_are_no_errors(void **state)
{
	static const char *const bodies[] = {
		"", "<html>", "[]", "{}", "{\"errorCode\":\"x\"}", "{\"message\":7}"
	};
	struct muster_error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		struct http_answer answer = answer_of(500, bodies[i]);

		assert_false(dps_answer_fail(&answer, "it", &err));
		assert_string_equal(err.message, "it: the service answered 500");
		http_answer_done(&answer);
	}
}

static void a_401_with_another_time_is_the_clock(void **state)
{
	struct http_answer answer = answer_of(401, NULL);
	struct muster_error err;

	(void)state;
	answer.date_ms = NOON - 2 * 3600 * 1000;
	assert_false(dps_answer_fail(&answer, "it", &err));
	assert_int_equal(err.cause, CAUSE_CLOCK_SKEWED);
	assert_non_null(strstr(err.message, "7200 seconds ahead of the server's"));
	answer.date_ms = NOON + 4 * 60 * 1000;
	assert_false(dps_answer_fail(&answer, "it", &err));
	assert_int_equal(err.cause, CAUSE_CLOUD_UNAUTHORIZED);
	answer.status = 400;
	answer.date_ms = NOON + 3600 * 1000;
	assert_false(dps_answer_fail(&answer, "it", &err));
	assert_int_equal(err.cause, CAUSE_CLOUD_REFUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_retry_after_in_all_its_forms),
		cmocka_unit_test(waits_with_full_jitter_and_a_floor),
		cmocka_unit_test(knows_what_each_status_means),
		cmocka_unit_test(a_lost_answer_of_a_write_is_read_back),
		cmocka_unit_test(quotes_the_service_in_full_and_printable),
		cmocka_unit_test(survives_bodies_that_are_no_errors),
		cmocka_unit_test(a_401_with_another_time_is_the_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
