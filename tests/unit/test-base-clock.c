/* Stamps: RFC 3339 and HTTP dates, read strictly. */
#include "unit.h"

#include "muster/clock.h"

static void formats_with_milliseconds(void **state)
{
	char out[RFC3339_SIZE];

	(void)state;
	assert_string_equal(rfc3339_format(out, 0), "1970-01-01T00:00:00.000Z");
	assert_string_equal(rfc3339_format(out, -1), "1969-12-31T23:59:59.999Z");
	assert_string_equal(rfc3339_format(out, 1795430467123), "2026-11-23T10:41:07.123Z");
	assert_string_equal(rfc3339_format(out, INT64_C(253402300799999)),
			    "9999-12-31T23:59:59.999Z");
}

static void reads_rfc3339(void **state)
{
	static const struct {
		const char *text;
		int64_t wall_ms;
	} rows[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "1970-01-01t00:00:00z", 0 },
		{ "1970-01-01T01:00:00+01:00", 0 },
		{ "1969-12-31T18:30:00-05:30", 0 },
		{ "2026-11-23T10:41:07.123Z", 1795430467123 },
		{ "2026-11-23T10:41:07.1Z", 1795430467100 },
		{ "2026-11-23T10:41:07.1239999999999Z", 1795430467123 },
		{ "2026-11-23T10:41:07.1234567+00:00", 1795430467123 },
		{ "2024-02-29T00:00:00Z", 1709164800000 },
		{ "2000-02-29T00:00:00Z", 951782400000 },
		{ "2016-12-31T23:59:60Z", 1483228800000 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t wall_ms = -1;

		if (!rfc3339_parse(rows[i].text, &wall_ms) || wall_ms != rows[i].wall_ms)
			fail_msg("'%s' gives %lld", rows[i].text, (long long)wall_ms);
	}
}

static void refuses_what_is_not_rfc3339(void **state)
{
	static const char *const rows[] = {
		"",
		"2026",
		"2026-11-23",
		"2026-11-23T10:41:07",
		"2026-11-23 10:41:07Z",
		"2026-11-23T10:41Z",
		"2026-11-23T10:41:07.Z",
		"2026-11-23T10:41:07,5Z",
		"2026-11-23T10:41:07Zx",
		"2026-11-23T10:41:07Z ",
		" 2026-11-23T10:41:07Z",
		"2026-11-23T10:41:07UTC",
		"2026-1-23T10:41:07.123Z",
		"2026- 1-23T10:41:07.123Z",
		"226-11-23T10:41:07.123Z",
		"12026-11-23T10:41:07Z",
		"-026-11-23T10:41:07Z",
		"2026-11-23T1:41:07.123Z",
		"2026-00-23T10:41:07Z",
		"2026-13-23T10:41:07Z",
		"2026-11-00T10:41:07Z",
		"2026-11-31T10:41:07Z",
		"2026-02-29T10:41:07Z",
		"2100-02-29T10:41:07Z",
		"2026-11-23T24:00:00Z",
		"2026-11-23T10:60:07Z",
		"2026-11-23T10:41:61Z",
		"2026-11-23T10:41:07+1:00",
		"2026-11-23T10:41:07+01",
		"2026-11-23T10:41:07+0100",
		"2026-11-23T10:41:07+01:00x",
		"2026-11-23T10:41:07+24:00",
		"2026-11-23T10:41:07+01:60",
		"2026-11-23T10:41:07++1:00",
		"2026-11-23T10:41:07 01:00",
		"2026-11-23T10:41:07+ 1:00",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t wall_ms = -1;

		if (rfc3339_parse(rows[i], &wall_ms))
			fail_msg("'%s' is taken", rows[i]);
		assert_int_equal(wall_ms, -1);
	}
}

static void reads_back_what_it_formats(void **state)
{
	(void)state;
	for (int64_t wall_ms = -86400000; wall_ms < INT64_C(253402300000000);
	     wall_ms = wall_ms * 2 + 864012345) {
		char out[RFC3339_SIZE];
		int64_t again;

		assert_true(rfc3339_parse(rfc3339_format(out, wall_ms), &again));
		assert_int_equal(again, wall_ms);
	}
}

static void reads_http_dates(void **state)
{
	int64_t wall_ms;

	(void)state;
	assert_true(http_date_parse("Sun, 06 Nov 1994 08:49:37 GMT", &wall_ms));
	assert_int_equal(wall_ms, 784111777000);
	assert_true(http_date_parse("Mon, 23 Nov 2026 10:41:07 GMT", &wall_ms));
	assert_int_equal(wall_ms, 1795430467000);
}

static void refuses_what_is_not_an_http_date(void **state)
{
	static const char *const rows[] = {
		"",
		"Sun",
		"Sun, ",
		"Sun, 06 Nov",
		"Sunday, 06-Nov-94 08:49:37 GMT",
		"Sun Nov  6 08:49:37 1994",
		"Sun, 6 Nov 1994 08:49:37 GMT",
		"Sun,06 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 08:49:37 UTC",
		"Sun, 06 Nov 1994 08:49:37 +0000",
		"Sun, 06 Nov 1994 08:49:37GMT",
		"Sun, 06 Nov 1994 08:49:37  GMT",
		"Sun, 06 Nov 1994 08:49:37 GMTx",
		"Sun, 06 Nov 94 08:49:37 GMT",
		"Sun, 06 nov 1994 08:49:37 GMT",
		"Sun, 06 anF 1994 08:49:37 GMT",
		"Sun, 32 Dec 1994 08:49:37 GMT",
		"Sun, 31 Nov 1994 08:49:37 GMT",
		"Sun, -6 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 24:49:37 GMT",
		"Sun, 06 Nov 1994 08:60:37 GMT",
		"Xyz, 06 Nov 1994 08:49:37 GMT",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t wall_ms = -1;

		if (http_date_parse(rows[i], &wall_ms))
			fail_msg("'%s' is taken", rows[i]);
		assert_int_equal(wall_ms, -1);
	}
}

static void deadlines_never_go_backwards(void **state)
{
	int64_t before = clock_now_ms();

	(void)state;
	assert_true(before > 0);
	assert_true(clock_now_ms() >= before);
	assert_true(clock_wall_ms() > INT64_C(1700000000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats_with_milliseconds),
		cmocka_unit_test(reads_rfc3339),
		cmocka_unit_test(refuses_what_is_not_rfc3339),
		cmocka_unit_test(reads_back_what_it_formats),
		cmocka_unit_test(reads_http_dates),
		cmocka_unit_test(refuses_what_is_not_an_http_date),
		cmocka_unit_test(deadlines_never_go_backwards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
