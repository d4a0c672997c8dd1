/* The three throttle models, with the time handed in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../src/emulator/throttle.h"

static struct throttle make(const char *spec)
{
	struct throttle throttle;
	struct muster_error err;

	assert_true(throttle_parse(spec, &throttle, &err));
	return throttle;
}

static void fixed_windows_follow_each_other(void **state)
{
	struct throttle throttle = make("fixed:2/10");
	int64_t wait;

	(void)state;
	assert_true(throttle_take(&throttle, 1000, 1, &wait));
	assert_true(throttle_take(&throttle, 10900, 1, &wait));
	assert_false(throttle_take(&throttle, 10950, 1, &wait));
	assert_int_equal(wait, 1);
	/* That is the weakness of the model: four within a moment, at the edge. */
	assert_true(throttle_take(&throttle, 11000, 1, &wait));
	assert_true(throttle_take(&throttle, 11000, 1, &wait));
	assert_false(throttle_take(&throttle, 11000, 1, &wait));
	assert_int_equal(wait, 10);
	throttle_done(&throttle);
}

static void sliding_window_has_no_edges(void **state)
{
	struct throttle throttle = make("sliding:2/10");
	int64_t wait;

	(void)state;
	assert_true(throttle_take(&throttle, 1000, 1, &wait));
	assert_true(throttle_take(&throttle, 10900, 1, &wait));
	assert_true(throttle_take(&throttle, 11000, 1, &wait));
	assert_false(throttle_take(&throttle, 11000, 1, &wait));
	assert_int_equal(wait, 10);
	assert_false(throttle_take(&throttle, 20899, 1, &wait));
	assert_true(throttle_take(&throttle, 20900, 1, &wait));
	assert_false(throttle_take(&throttle, 20900, 2, &wait));
	throttle_done(&throttle);
}

static void bucket_refills_evenly(void **state)
{
	struct throttle throttle = make("bucket:10/10:burst=3");
	int64_t wait;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_true(throttle_take(&throttle, 5000, 1, &wait));
	assert_false(throttle_take(&throttle, 5000, 1, &wait));
	assert_int_equal(wait, 2);
	assert_false(throttle_take(&throttle, 5999, 1, &wait));
	assert_true(throttle_take(&throttle, 6000, 1, &wait));
	assert_false(throttle_take(&throttle, 6001, 1, &wait));
	for (unsigned i = 0; i < 3; i++)
		assert_true(throttle_take(&throttle, INT64_C(100000000), 1, &wait));
	assert_false(throttle_take(&throttle, INT64_C(100000000), 1, &wait));
	throttle_done(&throttle);
}

static void a_cost_above_the_budget_passes_an_untouched_one(void **state)
{
	static const char *const specs[] = { "fixed:5/10:count=item", "sliding:5/10:count=item",
					     "bucket:5/10:count=item" };
	int64_t wait;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		struct throttle throttle = make(specs[i]);
		assert_true(throttle.counts_items);
		assert_true(throttle_take(&throttle, 0, 10, &wait));
		assert_false(throttle_take(&throttle, 1, 1, &wait));
		throttle_done(&throttle);
	}
}

static void refuses_what_it_does_not_understand(void **state)
{
	static const char *const bad[] = {
		"",
		"fixed",
		"fixed:10",
		"fixed:0/10",
		"fixed:10/0",
		"linear:10/10",
		"fixed:10/10:",
		"fixed:10/10:x=1",
		"bucket:1/1:burst=0",
		"fixed:10/10/10",
		"fixed=1:10/10",
		"fixed:10/10:on=x",
		"sliding:999999999/1",
		"fixed:10/10:count=items",
	};
	struct throttle throttle;
	struct muster_error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(throttle_parse(bad[i], &throttle, &err));
	throttle = make("bucket:7/60:burst=9:count=call:on=poll");
	assert_int_equal(throttle.scope, THROTTLE_POLL);
	assert_int_equal(throttle.burst, 9);
	assert_int_equal(throttle.window_ms, 60000);
	throttle_done(&throttle);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fixed_windows_follow_each_other),
		cmocka_unit_test(sliding_window_has_no_edges),
		cmocka_unit_test(bucket_refills_evenly),
		cmocka_unit_test(a_cost_above_the_budget_passes_an_untouched_one),
		cmocka_unit_test(refuses_what_it_does_not_understand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
