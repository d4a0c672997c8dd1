/* One document in every format. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "muster/json.h"

#include "../../src/cli/cli-internal.h"

static const struct column columns[] = {
	{ .key = "name", .title = "NAME" },
	{ .key = "count", .title = "COUNT", .is_right = true },
};

static const char rows[] = "[{\"name\":\"a\\tb\\\\\",\"count\":7,\"more\":{\"list\":[1,\"x y\",[]],"
			   "\"on\":\"yes\"}},{\"name\":\"c\",\"count\":null}]";

static void prints(enum output_format format, const char *json, const char *expected)
{
	CLEANUP(cJSON_freep) cJSON *document = NULL;
	CLEANUP(freep) char *printed = NULL;
	struct muster_error err;
	size_t size = 0;
	FILE *stream = open_memstream(&printed, &size);

	assert_true(json_parse(json, strlen(json), "test", &document, &err));
	assert_true(output_print(stream, format, document, columns, ARRAY_SIZE(columns), &err));
	fclose(stream);
	assert_string_equal(printed, expected);
}

static void prints_lines(void **state)
{
	(void)state;
	prints(OUTPUT_JSONL, rows,
	       "{\"name\":\"a\\tb\\\\\",\"count\":7,\"more\":{\"list\":[1,\"x y\",[]],"
	       "\"on\":\"yes\"}}\n{\"name\":\"c\",\"count\":null}\n");
	prints(OUTPUT_JSONL, "{\"a\":1}", "{\"a\":1}\n");
	prints(OUTPUT_JSONL, "[]", "");
}

static void prints_tab_separated_values(void **state)
{
	(void)state;
	prints(OUTPUT_TSV, rows, "a\\tb\\\\\t7\nc\t\n");
	prints(OUTPUT_TSV,
	       "[{\"name\":\"\\u001b]0;x\\u0007\\r\\u007f\\u009b\\u00e4\",\"count\":1}]",
	       "\\x1b]0;x\\x07\\x0d\\x7f\\x9b\xc3\xa4\t1\n");
}

static void prints_yaml_that_nothing_mistakes(void **state)
{
	(void)state;
	prints(OUTPUT_YAML, rows,
	       "- name: \"a\\tb\\\\\"\n  count: 7\n  more:\n    list:\n      - 1\n      - \"x y\"\n"
	       "      - []\n    \"on\": \"yes\"\n- name: c\n  count: null\n");
	prints(OUTPUT_YAML, "{}", "{}\n");
	/* DEL, a C1 control, NEL, a line separator and a mark of byte order; and what only looks a little like them */
	prints(OUTPUT_YAML, "[\"\\u007f\\u009b\\u0085\\u2029\\ufeff\",\"\\u00a0\\u2027\\ufefe\"]",
	       "- \"\\u007f\\u009b\\u0085\\u2029\\ufeff\"\n- \"\xc2\xa0\xe2\x80\xa7\xef\xbb\xbe\"\n");
	prints(OUTPUT_YAML, "{\"a\":\"\",\"b\":\"1\",\"c\":[[1,2],{\"d\":true}]}",
	       "a: \"\"\nb: \"1\"\nc:\n  - - 1\n    - 2\n  - d: true\n");
}

static void prints_tables(void **state)
{
	(void)state;
	prints(OUTPUT_TABLE, "[{\"name\":\"pump\",\"count\":7},{\"name\":\"x\"}]",
	       "NAME COUNT\npump     7\nx        -\n");
	prints(OUTPUT_TABLE, "{\"name\":\"pump\",\"count\":12345678}",
	       "NAME    COUNT\npump 12345678\n");
	prints(OUTPUT_TABLE, "[]", "");
}

/* Letters are counted as the user's locale has them; the program itself stays in that of its IDs, words and hosts. */
static void prints_tables_in_the_users_locale(void **state)
{
	(void)state;
	prints(OUTPUT_TABLE, "[{\"name\":\"p\u00fcmpe\",\"count\":7},{\"name\":\"x\"}]",
	       "NAME  COUNT\np\xc3\xbcmpe     7\nx         -\n");
	assert_string_equal(setlocale(LC_CTYPE, NULL), "C");
	assert_ptr_equal(uselocale(NULL), LC_GLOBAL_LOCALE);
}

static void prints_nothing_when_asked(void **state)
{
	(void)state;
	prints(OUTPUT_NONE, rows, "");
}

static void tells_when_nobody_takes_it(void **state)
{
	CLEANUP(cJSON_freep) cJSON *document = cJSON_CreateObject();
	struct muster_error err;
	FILE *full = fopen("/dev/full", "w");

	(void)state;
	assert_false(output_print(full, OUTPUT_JSON, document, NULL, 0, &err));
	assert_int_equal(err.cause, CAUSE_OUTPUT_WRITE);
	fclose(full);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_lines),
		cmocka_unit_test(prints_tab_separated_values),
		cmocka_unit_test(prints_yaml_that_nothing_mistakes),
		cmocka_unit_test(prints_tables),
		cmocka_unit_test(prints_tables_in_the_users_locale),
		cmocka_unit_test(prints_nothing_when_asked),
		cmocka_unit_test(tells_when_nobody_takes_it),
	};

	setenv("LC_ALL", "C.UTF-8", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
