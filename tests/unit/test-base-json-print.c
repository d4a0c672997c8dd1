/* JSON as it is printed: what was read comes out as it was written, what was made as cJSON prints it. */
#include "unit.h"

#include <stdlib.h>

#include "muster/json.h"

static cJSON *parse(const char *text)
{
	cJSON *root = NULL;
	struct muster_error err;

	assert_good(json_parse(text, strlen(text), "the text", &root, &err), err);
	return root;
}

static void prints_what_it_read(void **state)
{
	static const char *const rows[] = {
		"{\"a\":12345678901234567890,\"b\":[1.10,{\"c\":-0,\"d\":1E+05}],\"e\":0.1e-3}",
		"[0,-1,1.0,100000000000000000000000000000000000000001,0.30000000000000000000004]",
		"{\"text\":\"1.10\",\"n\":1.10,\"t\":true,\"f\":false,\"z\":null}",
		"1.10",
		"\"a\"",
		"[]",
		"{\"a\":{},\"b\":[]}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(cJSON_freep) cJSON *root = parse(rows[i]);
		CLEANUP(freep) char *line = json_print_line(root);

		assert_string_equal(line, rows[i]);
	}
}

static void prints_for_people(void **state)
{
	CLEANUP(cJSON_freep)
	cJSON *root = parse("{\"a\":[1.10,{}],\"b\\n\":{\"c\":\"d\"},\"e\":[]}");
	CLEANUP(freep) char *text = json_print_pretty(root);

	(void)state;
	assert_string_equal(text, "{\n  \"a\": [\n    1.10,\n    {}\n  ],\n  \"b\\n\": {\n"
				  "    \"c\": \"d\"\n  },\n  \"e\": []\n}");
}

static void quotes(void **state)
{
	CLEANUP(freep) char *quoted = json_quote("a\"b\\c\n\x01\xc3\xa4/");

	(void)state;
	assert_string_equal(quoted, "\"a\\\"b\\\\c\\n\\u0001\xc3\xa4/\"");
}

static void prints_as_cjson_does(void **state)
{
	static const double numbers[] = { 0,     -0.0,         1,
					  -1,    2147483648.0, -9007199254740993.0,
					  1e15,  1e16,         1e300,
					  -1e-7, 0.1,          999999999999999.0 };
	CLEANUP(cJSON_freep) cJSON *root = cJSON_CreateObject();
	char *expected, all[256];
	char *line;

	(void)state;
	for (int i = 0; i < 255; i++)
		all[i] = (char)(i + 1);
	all[255] = '\0';
	assert_non_null(cJSON_AddStringToObject(root, all, all));
	assert_non_null(cJSON_AddRawToObject(root, "raw", "1.10"));
	assert_non_null(cJSON_AddNullToObject(root, "null"));
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		assert_non_null(cJSON_AddNumberToObject(root, "n", numbers[i]));
	expected = cJSON_PrintUnformatted(root);
	line = json_print_line(root);
	assert_string_equal(line, expected);
	free(line);
	cJSON_free(expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_what_it_read),
		cmocka_unit_test(prints_for_people),
		cmocka_unit_test(prints_as_cjson_does),
		cmocka_unit_test(quotes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
