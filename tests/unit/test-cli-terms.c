/* What an option takes, its key in muster.yaml takes, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "muster/config.h"
#include "muster/file.h"

#include "../../src/cli/login-options.h"
#include "../../src/cli/outage.h"
#include "temporary.h"

/* As it would be written there: without quotes. *ret_value: what was read. */
static bool is_configurable(const char *directory, const char *key, const char *value,
			    char ret_value[64])
{
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	CLEANUP(freep) char *path = text_format("%s/muster.yaml", directory);
	struct muster_error err = { 0 };
	char content[128];
	bool is_read;

	snprintf(content, sizeof(content), "%s: %s\n", key, value);
	if (!file_write(path, content, strlen(content), 0600, true, &err))
		fail_msg("%s", err.message);
	is_read = config_load_file(path, &config, &report, &err);
	if (is_read)
		snprintf(ret_value, 64, "%s", config_text(&config, key, NULL));
	return is_read;
}

static void rates(void **state)
{
	static const struct {
		const char *text;
		bool is_good;
	} rows[] = {
		{ "1", true },          { "1000", true },     { "1000000", true },
		{ "100/10", true },     { "1/86400", true },  { "1/9999", true },
		{ "5/80000", true },    { "0", false },       { "1000001", false },
		{ "1/0", false },       { "1/86401", false }, { "1/99999", false },
		{ "9999999/1", false }, { "1/", false },      { "/1", false },
		{ "1.5", false },       { "1e3", false },     { "-1", false },
		{ "many", false },      { "1/1/1", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct muster_error err = { 0 };
		struct dps_rate rate;
		char value[64] = "";

		assert_int_equal(login_rate(rows[i].text, &rate, &err), rows[i].is_good);
		assert_int_equal(is_configurable(*state, "rate", rows[i].text, value),
				 rows[i].is_good);
		assert_string_equal(value, rows[i].is_good ? rows[i].text : "");
	}
}

static void patiences(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds; /* -1: refused */
	} rows[] = {
		{ "0", 0 },
		{ "90", 90 },
		{ "90s", 90 },
		{ "0h", 0 },
		{ "30m", 1800 },
		{ "8h", 28800 },
		{ "720h", 2592000 },
		{ "43200m", 2592000 },
		{ "2592000", 2592000 },
		{ "2592000s", 2592000 },
		{ "1999999", 1999999 },
		{ "719h", 2588400 },
		{ "2592001", -1 },
		{ "43201m", -1 },
		{ "721h", -1 },
		{ "1d", -1 },
		{ "1.5h", -1 },
		{ "h", -1 },
		{ "-1", -1 },
		{ "1 h", -1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct muster_error err = { 0 };
		bool is_good = rows[i].seconds >= 0;
		int64_t milliseconds;
		char value[64] = "";

		assert_int_equal(outage_patience(rows[i].text, &milliseconds, &err), is_good);
		if (is_good)
			assert_int_equal(milliseconds, rows[i].seconds * 1000);
		assert_int_equal(is_configurable(*state, "patience", rows[i].text, value), is_good);
		assert_string_equal(value, is_good ? rows[i].text : "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_with_directory(rates),
		test_with_directory(patiences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
