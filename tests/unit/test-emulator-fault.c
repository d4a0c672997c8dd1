/* The grammar of faults, and which request is hit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/emulator/fault.h"

static struct fault make(const char *spec)
{
	struct fault fault;
	struct muster_error err;

	assert_true(fault_parse(spec, &fault, &err));
	return fault;
}

/* "x" for each request that is hit, "." for each that passes. */
static const char *pattern(const char *spec, unsigned count, char out[32])
{
	struct fault fault = make(spec);

	for (unsigned i = 0; i < count; i++)
		out[i] = fault_pick(&fault, 1, OPERATION_PUT, "dev-1") ? 'x' : '.';
	out[count] = '\0';
	return out;
}

static void hits_by_skip_count_and_every(void **state)
{
	char out[32];

	(void)state;
	assert_string_equal(pattern("put:cut-after", 4, out), "xxxx");
	assert_string_equal(pattern("put:cut-after:count=2", 4, out), "xx..");
	assert_string_equal(pattern("put:cut-after:skip=1:count=1", 4, out), ".x..");
	assert_string_equal(pattern("put:cut-after:every=3", 8, out), "x..x..x.");
	assert_string_equal(pattern("put:cut-after:skip=1:every=2:count=2", 8, out), ".x.x....");
	assert_string_equal(pattern("get:cut-after", 3, out), "...");
	assert_string_equal(pattern("any:cut-after", 3, out), "xxx");
	assert_string_equal(pattern("get+put:cut-after", 3, out), "xxx");
	assert_string_equal(pattern("put:cut-after:id=DEV-1", 2, out), "xx");
	assert_string_equal(pattern("put:cut-after:id=dev-2", 2, out), "..");
}

static void the_first_that_is_due_hits(void **state)
{
	struct fault faults[] = { make("put:status=500:skip=1:count=1"),
				  make("put:cut-before:count=2") };

	(void)state;
	assert_int_equal(fault_pick(faults, 2, OPERATION_PUT, "")->action, FAULT_CUT_BEFORE);
	assert_int_equal(fault_pick(faults, 2, OPERATION_PUT, "")->action, FAULT_STATUS);
	assert_int_equal(fault_pick(faults, 2, OPERATION_PUT, "")->action, FAULT_CUT_BEFORE);
	assert_null(fault_pick(faults, 2, OPERATION_PUT, ""));
}

static void reads_values(void **state)
{
	struct fault fault = make("put:status=429:retry-after=1000000000");

	(void)state;
	assert_int_equal(fault.value, 429);
	assert_string_equal(fault.retry_after, "1000000000");
	assert_int_equal(make("put:replay").value, 1000);
	assert_int_equal(make("put:replay=5").value, 5);
	assert_int_equal(make("put:garbage").value, GARBAGE_TEXT);
	assert_int_equal(make("put:garbage=deep").value, GARBAGE_DEEP);
	assert_int_equal(make("bulk:partial=3").value, 3);
	assert_int_equal(make("bulk:throttled=3:retry-after=2").value, 3);
}

static void refuses_what_it_does_not_understand(void **state)
{
	static const char *const bad[] = {
		"",
		"put",
		"status=500",
		"put:status",
		"put:status=200",
		"put:status=1000",
		"put:cut-after=1",
		"put:cut-after:status=500",
		"push:cut-after",
		"put:cut-after:",
		"put::cut-after",
		"put:cut-after:count=0",
		"put:delay=-1",
		"put:trickle=0",
		"put:garbage=heavy",
		"bulk:throttled",
		"bulk:throttled=11",
		"put:cut-after:id=a b",
		"put+:cut-after",
	};
	struct fault fault;
	struct muster_error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(fault_parse(bad[i], &fault, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hits_by_skip_count_and_every),
		cmocka_unit_test(the_first_that_is_due_hits),
		cmocka_unit_test(reads_values),
		cmocka_unit_test(refuses_what_it_does_not_understand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
