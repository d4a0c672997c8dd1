/* How long a service that is away is waited for, and what is told of it. */
#include "unit.h"

#include "muster/dps-outage.h"
#include "muster/dps.h"

enum { HOUR_MS = 3600 * 1000, LONG_MS = 10 * HOUR_MS };

struct heard {
	unsigned begins, ends;
	struct dps_outage_news last;
};

static void hear(void *context, const struct dps_outage_news *news)
{
	struct heard *heard = context;

	heard->begins += !news->is_over;
	heard->ends += news->is_over;
	heard->last = *news;
}

static struct dps_outage outage_of(int64_t patience_ms, struct heard *heard)
{
	return (struct dps_outage){
		.what = "the service", .patience_ms = patience_ms, .tell = hear, .context = heard
	};
}

static struct http_answer refused_connection(void)
{
	struct http_answer answer = { .outcome = HTTP_NOT_SENT, .retry_after_ms = -1 };

	muster_fail(&answer.error, CAUSE_CLOUD_UNREACHABLE, "no route");
	return answer;
}

/* Asks when it may and fails at once; moves *now_ms to the end of the pause. */
static bool fail_once(struct dps_outage *outage, int64_t *now_ms, uint64_t random)
{
	struct http_answer answer = refused_connection();
	bool good = dps_outage_trouble(outage, &answer, *now_ms, *now_ms, random);

	*now_ms += dps_outage_wait_ms(outage, *now_ms);
	assert_int_equal(dps_outage_wait_ms(outage, *now_ms), 0);
	return good;
}

static void two_services_have_one_patience(void **state)
{
	struct heard heard = { 0 };
	struct dps_outage first = outage_of(HOUR_MS, &heard), other = outage_of(HOUR_MS, &heard);
	int64_t now_ms = 1000;
	unsigned attempts = 1;

	(void)state;
	other.beside = &first;
	dps_outage_well(&first, now_ms);
	dps_outage_well(&other, now_ms);
	assert_true(dps_outage_is_patient(&other));
	while (fail_once(&first, &now_ms, UINT64_MAX))
		;
	assert_false(dps_outage_is_patient(&other));
	while (fail_once(&other, &now_ms, UINT64_MAX))
		attempts++;
	assert_int_equal(attempts, DPS_RETRY_ATTEMPTS);
	dps_outage_well(&first, now_ms);
	assert_true(dps_outage_is_patient(&other));
}

static void one_that_was_never_well_gets_six_attempts(void **state)
{
	struct heard heard = { 0 };
	struct dps_outage outage = outage_of(HOUR_MS, &heard);
	int64_t now_ms = 1000;
	unsigned attempts = 1;

	(void)state;
	while (fail_once(&outage, &now_ms, UINT64_MAX))
		attempts++;
	assert_int_equal(attempts, DPS_RETRY_ATTEMPTS);
	assert_int_equal(heard.begins + heard.ends, 0);
}

static void without_patience_it_gets_no_more(void **state)
{
	struct heard heard = { 0 };
	struct dps_outage outage = outage_of(0, &heard);
	int64_t now_ms = 1000;
	unsigned attempts = 1;

	(void)state;
	dps_outage_well(&outage, now_ms);
	while (fail_once(&outage, &now_ms, 0))
		attempts++;
	assert_int_equal(attempts, DPS_RETRY_ATTEMPTS);
	assert_int_equal(heard.begins + heard.ends, 0);
}

static void patience_is_as_long_as_it_is_said_to_be(void **state)
{
	static const uint64_t randoms[] = {
		0, 1, 12345, DPS_RETRY_CAP_MS / 2, DPS_RETRY_CAP_MS, UINT64_MAX
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(randoms); i++) {
		struct heard heard = { 0 };
		struct dps_outage outage = outage_of(HOUR_MS, &heard);
		int64_t now_ms = 1000;

		dps_outage_well(&outage, now_ms);
		while (fail_once(&outage, &now_ms, randoms[i]))
			assert_true(now_ms < LONG_MS);
		assert_true(now_ms >= HOUR_MS);
		assert_true(now_ms <= HOUR_MS + 1000 + 2 * DPS_RETRY_CAP_MS);
		assert_int_equal(heard.begins, 1);
		assert_int_equal(heard.ends, 0);
	}
}

static void a_short_failure_is_not_told(void **state)
{
	struct heard heard = { 0 };
	struct dps_outage outage = outage_of(HOUR_MS, &heard);
	int64_t now_ms = 1000;

	(void)state;
	dps_outage_well(&outage, now_ms);
	assert_true(fail_once(&outage, &now_ms, 500) && fail_once(&outage, &now_ms, 500));
	assert_true(dps_outage_is_troubled(&outage) && !dps_outage_is_on(&outage));
	dps_outage_well(&outage, now_ms);
	assert_false(dps_outage_is_troubled(&outage));
	assert_int_equal(heard.begins + heard.ends, 0);
}

static void beginning_and_end_are_told_once(void **state)
{
	struct heard heard = { 0 };
	struct dps_outage outage = outage_of(HOUR_MS, &heard);
	int64_t now_ms = 1000;

	(void)state;
	for (unsigned round = 1; round <= 2; round++) {
		int64_t since_ms = now_ms;

		dps_outage_well(&outage, now_ms);
		for (unsigned i = 0; i < 10; i++)
			assert_true(fail_once(&outage, &now_ms, 777));
		assert_true(dps_outage_is_on(&outage));
		assert_int_equal(heard.begins, round);
		assert_string_equal(heard.last.why.message, "no route");
		assert_int_equal(heard.last.patience_ms, HOUR_MS);
		now_ms += 5000;
		dps_outage_well(&outage, now_ms);
		assert_int_equal(heard.ends, round);
		assert_int_equal(heard.last.away_ms, now_ms - since_ms);
		assert_false(dps_outage_is_on(&outage));
	}
}

static void what_was_under_way_together_is_one_trouble(void **state)
{
	struct heard heard = { 0 };
	struct dps_outage outage = outage_of(HOUR_MS, &heard);
	struct http_answer answer = refused_connection();

	(void)state;
	dps_outage_well(&outage, 1000);
	for (unsigned i = 0; i < 20; i++)
		assert_true(dps_outage_trouble(&outage, &answer, 1000 + i, 1100 + i, 0));
	assert_int_equal(outage.troubles, 1);
	assert_true(dps_outage_trouble(&outage, &answer, 1101, 1200, 0));
	assert_int_equal(outage.troubles, 2);
}

static void one_asks_and_the_others_wait(void **state)
{
	struct heard heard = { 0 };
	struct dps_outage outage = outage_of(HOUR_MS, &heard);
	int64_t now_ms = 1000;

	(void)state;
	dps_outage_well(&outage, now_ms);
	dps_outage_ask(&outage, now_ms);
	assert_int_equal(dps_outage_wait_ms(&outage, now_ms), 0);
	assert_true(fail_once(&outage, &now_ms, 500));
	dps_outage_ask(&outage, now_ms);
	assert_true(dps_outage_wait_ms(&outage, now_ms) >= HTTP_DEADLINE_MS);
	dps_outage_answered(&outage);
	assert_int_equal(dps_outage_wait_ms(&outage, now_ms), 0);
}

static void a_wait_that_the_service_asks_for_is_kept(void **state)
{
	struct heard heard = { 0 };
	struct dps_outage outage = outage_of(HOUR_MS, &heard);
	struct http_answer answer = { .outcome = HTTP_ANSWERED,
				      .status = 503,
				      .retry_after_ms = 120000 };

	(void)state;
	dps_outage_well(&outage, 1000);
	assert_true(dps_outage_trouble(&outage, &answer, 1001, 1002, 0));
	assert_true(dps_outage_wait_ms(&outage, 1002) >= 120000);
	assert_int_equal(outage.why.cause, CAUSE_CLOUD_SERVER_ERROR);
}

static void a_machine_that_slept_asks_once_more(void **state)
{
	struct heard heard = { 0 };
	struct dps_outage outage = outage_of(HOUR_MS, &heard);
	int64_t now_ms = 1000;

	(void)state;
	dps_outage_well(&outage, now_ms);
	for (unsigned i = 0; i < DPS_RETRY_ATTEMPTS; i++)
		assert_true(fail_once(&outage, &now_ms, 777));
	now_ms += 8 * HOUR_MS;
	assert_true(fail_once(&outage, &now_ms, 777));
	now_ms += 1000;
	dps_outage_well(&outage, now_ms);
	assert_int_equal(heard.ends, 1);
	assert_true(heard.last.away_ms > 8 * HOUR_MS);
}

static void deadlines_stand_still_meanwhile(void **state)
{
	struct heard heard = { 0 };
	struct dps_outage outage = outage_of(HOUR_MS, &heard);
	int64_t now_ms = 1000, before_ms;

	(void)state;
	dps_outage_well(&outage, now_ms);
	before_ms = dps_outage_clock_ms(&outage, now_ms);
	assert_true(fail_once(&outage, &now_ms, 777));
	assert_int_equal(dps_outage_clock_ms(&outage, now_ms + 50000), before_ms);
	dps_outage_well(&outage, now_ms + 50000);
	assert_int_equal(dps_outage_clock_ms(&outage, now_ms + 50010), before_ms + 10);
}

static void only_an_authority_that_is_away_or_busy_is_waited_for(void **state)
{
	struct heard heard = { 0 };
	struct dps_outage outage = outage_of(HOUR_MS, &heard);
	struct muster_error away, throttled, refused;

	(void)state;
	muster_fail(&away, CAUSE_CLOUD_UNREACHABLE, "no route");
	muster_fail(&throttled, CAUSE_CLOUD_THROTTLED, "not now");
	muster_fail(&refused, CAUSE_SIGN_IN_REFUSED, "no");
	assert_false(dps_outage_may_be(&outage, &away));
	dps_outage_well(&outage, 1000);
	assert_true(dps_outage_may_be(&outage, &away));
	assert_true(dps_outage_may_be(&outage, &throttled));
	assert_false(dps_outage_may_be(&outage, &refused));
	outage.patience_ms = 0;
	assert_false(dps_outage_may_be(&outage, &away));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_was_never_well_gets_six_attempts),
		cmocka_unit_test(two_services_have_one_patience),
		cmocka_unit_test(without_patience_it_gets_no_more),
		cmocka_unit_test(patience_is_as_long_as_it_is_said_to_be),
		cmocka_unit_test(a_short_failure_is_not_told),
		cmocka_unit_test(beginning_and_end_are_told_once),
		cmocka_unit_test(what_was_under_way_together_is_one_trouble),
		cmocka_unit_test(one_asks_and_the_others_wait),
		cmocka_unit_test(a_wait_that_the_service_asks_for_is_kept),
		cmocka_unit_test(a_machine_that_slept_asks_once_more),
		cmocka_unit_test(deadlines_stand_still_meanwhile),
		cmocka_unit_test(only_an_authority_that_is_away_or_busy_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
