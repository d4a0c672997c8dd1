/* The strict JSON reader: each rule accepts and refuses; trees are made, compared and sorted. */
#include "unit.h"

#include <stdlib.h>

#include "muster/json.h"
#include "muster/text.h"

#define LITERAL(text) (text), sizeof(text) - 1

static cJSON *parse(const char *text)
{
	cJSON *root = NULL;
	struct muster_error err;

	assert_good(json_parse(text, strlen(text), "the text", &root, &err), err);
	return root;
}

/* For messages; the data need not be terminated. */
static const char *show(const char *data, size_t size)
{
	static char out[160];
	CLEANUP(freep) char *copy = strndup(data ? data : "", data ? size : 0);

	return text_printable(out, sizeof(out), copy);
}

static void assert_taken(const char *data, size_t size)
{
	CLEANUP(cJSON_freep) cJSON *root = NULL;
	struct muster_error err = { 0 };

	if (!json_parse(data, size, "the text", &root, &err))
		fail_msg("%s: %s", show(data, size), err.message);
	assert_non_null(root);
}

/* Refused, with `reason` in the message (NULL: any). */
static void assert_refused(const char *data, size_t size, const char *reason)
{
	cJSON *root = NULL;
	struct muster_error err = { 0 };

	if (json_parse(data, size, "the text", &root, &err))
		fail_msg("%s is taken", show(data, size));
	assert_null(root);
	assert_int_equal(err.cause, CAUSE_JSON_INVALID);
	assert_contains(err.message, "the text");
	if (reason && !strstr(err.message, reason))
		fail_msg("%s: '%s' does not say '%s'", show(data, size), err.message, reason);
}

static void takes_json(void **state)
{
	static const char *const rows[] = {
		"{}",
		"[]",
		"null",
		"true",
		"false",
		"\"\"",
		" \t\r\n[ \t\r\n1 , 2 ] \t\r\n",
		"{\"a\":{\"a\":{\"a\":1}}}",
		"[{\"a\":1},{\"a\":2}]",
		"{\"a\":1,\"A\":2,\"\":3,\"a \":4}",
		"[0,-0,1,-1,10,0.0,0.10,1e5,1E+5,1e-05,-1.5e300,12345678901234567890]",
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\uD83D\\uDD11\\uFFFF\"",
		"\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x91\x7f\"",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_taken(rows[i], strlen(rows[i]));
}

static void refuses_what_is_not_json(void **state)
{
	static const char *const rows[] = {
		"",           " ",         "{",
		"[",          "}",         "]",
		"\"",         "{\"a\"}",   "{\"a\":}",
		"{\"a\":1,}", "{,}",       "{a:1}",
		"{'a':1}",    "{1:1}",     "[1,]",
		"[,1]",       "[1 2]",     "[1}",
		"{\"a\":1]",  "{\"a\" 1}", "nul",
		"nulll",      "True",      "NaN",
		"Infinity",   "undefined", "'a'",
		"// x\n1",    "/* */1",    "[1]//",
		"\x0b[]",     "[\f]",      "{\"a\":1 \"b\":2}",
		"\xc2\xa0[]", "t",         ":",
		",",          "\\u0041",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_refused(rows[i], strlen(rows[i]), NULL);
	assert_refused(NULL, 0, NULL);
}

static void refuses_a_name_twice(void **state)
{
	static const char *const rows[] = {
		"{\"a\":1,\"a\":1}",
		"{\"a\":1,\"b\":2,\"a\":3}",
		"{\"a\":1,\"\\u0061\":2}",
		"{\"\\u00e4\":1,\"\xc3\xa4\":2}",
		"{\"\\ud83d\\udd11\":1,\"\xf0\x9f\x94\x91\":2}",
		"{\"\\/\":1,\"/\":2}",
		"{\"\\n\":1,\"\\u000a\":2}",
		"{\"\":1,\"\":2}",
		"{\"a\":{\"x\":1},\"b\":{\"x\":1},\"a\":1}",
		"[{\"x\":{\"a\":1,\"b\":[{\"a\":1}],\"a\":2}}]",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_refused(rows[i], strlen(rows[i]), "twice");
	assert_refused(LITERAL("{\n \"b\": 1, \"a\": 1,\n  \"a\": 2, \"b\": 3 }"),
		       "line 3, column 3: ");
}

/* A name a line, `count` of them; the one in line `twice` is that of line `first`. */
static void write_names(struct text *out, int count, int first, int twice)
{
	text_add(out, "{");
	for (int i = 1; i <= count; i++) {
		int number = i == twice ? first : i;

		text_addf(out, "%s\"%c%d\":0", i == 1 ? "" : ",\n", 'a' + number % 3, number);
	}
	text_add(out, "}");
}

/* Few names are looked at in another way than many. */
static void refuses_a_name_twice_wherever_it_stands(void **state)
{
	(void)state;
	for (int count = 2; count <= 40; count++)
		for (int twice = 1; twice <= count; twice++) {
			CLEANUP(text_done) struct text text = TEXT_MAX(JSON_SIZE_MAX);
			char place[32];

			write_names(&text, count, (twice + 1) / 2, twice);
			snprintf(place, sizeof(place), "line %d, column %d: ", twice,
				 twice == 1 ? 2 : 1);
			if (twice == 1)
				assert_taken(text.data, text.length);
			else
				assert_refused(text.data, text.length, place);
		}
}

static void refuses_nul(void **state)
{
	(void)state;
	assert_refused(LITERAL("\"\\u0000\""), "\\u0000 is not allowed");
	assert_refused(LITERAL("{\"a\\u0000b\":1}"), "\\u0000 is not allowed");
	assert_refused(LITERAL("\"a\0b\""), "control character");
	assert_refused(LITERAL("[1\0]"), NULL);
	assert_refused(LITERAL("[1]\0"), "behind the end");
	assert_refused(LITERAL("\0"), NULL);
	assert_taken(LITERAL("\"\\u0001\""));
}

static void refuses_lone_surrogates_and_bad_escapes(void **state)
{
	static const char *const rows[] = {
		"\"\\ud83d\"",
		"\"\\udd11\"",
		"\"\\ud83dx\"",
		"\"\\ud83d\\n\"",
		"\"\\ud83d\\u0041\"",
		"\"\\ud83d\\ud83d\"",
		"\"\\udd11\\ud83d\"",
		"\"\\u12\"",
		"\"\\u12g4\"",
		"\"\\u\"",
		"\"\\x41\"",
		"\"\\a\"",
		"\"\\'\"",
		"\"\\U0041\"",
		"\"\\",
		"\"\\u00",
		"\"\\ud83d\\u",
		"\"\\ud83d\\",
		"\"\\u+041\"",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_refused(rows[i], strlen(rows[i]), NULL);
}

static void refuses_control_characters_in_strings(void **state)
{
	(void)state;
	for (int c = 1; c < 0x20; c++) {
		char text[] = { '"', (char)c, '"' };

		assert_refused(text, 3, "control character");
	}
	assert_taken(LITERAL("\"\x20\x7f\""));
}

/* Strings are looked at in words of eight bytes. */
static void sees_each_character_of_a_string(void **state)
{
	char text[40];

	(void)state;
	for (size_t length = 1; length < sizeof(text) - 2; length++)
		for (size_t at = 1; at <= length; at++) {
			memset(text, at % 2 ? '!' : '~', sizeof(text));
			text[0] = text[length + 1] = '"';
			assert_taken(text, length + 2);
			text[at] = '\x1f';
			assert_refused(text, length + 2, "control character");
			text[at] = '"';
			assert_refused(text, length + 2, NULL);
			text[at] = '\\';
			assert_refused(text, length + 2, NULL);
		}
}

static void refuses_what_is_not_utf8(void **state)
{
	static const char *const rows[] = {
		"\x80",
		"\xc0\x80",
		"\xc3",
		"\xe0\x80\x80",
		"\xed\xa0\x80",
		"\xf0\x80\x80\x80",
		"\xf4\x90\x80\x80",
		"\xff",
		"\xc3(",
		"\xe2\x82",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(freep) char *value = text_format("\"%s\"", rows[i]);
		CLEANUP(freep) char *name = text_format("{\"%s\":1}", rows[i]);

		assert_refused(value, strlen(value), "not UTF-8");
		assert_refused(name, strlen(name), "not UTF-8");
	}
	assert_refused(LITERAL("\xef\xbb\xbf{}"), NULL);
	assert_refused(LITERAL("{\0}\0"), NULL);
	assert_refused(LITERAL("\xff\xfe{\0}\0"), NULL);
}

static void refuses_lax_numbers(void **state)
{
	static const char *const rows[] = {
		"01",  "-01",   "00",    "+1",   ".5",  "5.",  "-",
		"--1", "1e",    "1e+",   "1.e5", "0x1", "1_0", "1,0",
		"-.5", "1.2.3", "1e5.0", "Inf",  "- 1", "1 2", "\xd9\xa1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_refused(rows[i], strlen(rows[i]), NULL);
}

static void refuses_numbers_that_are_too_long(void **state)
{
	char text[80];

	(void)state;
	memset(text, '7', sizeof(text));
	for (size_t length = 60; length <= 63; length++)
		assert_taken(text, length);
	for (size_t length = 64; length <= 80; length++)
		assert_refused(text, length, "63 characters");
}

static void nested(char *out, int levels, char open, char close)
{
	memset(out, open, (size_t)levels);
	memset(out + levels, close, (size_t)levels);
}

static void ends_at_thirty_two_levels(void **state)
{
	CLEANUP(freep) char *deep = malloc(2 * 100000);
	char text[66];

	(void)state;
	nested(text, 32, '[', ']');
	assert_taken(text, 64);
	nested(text, 33, '[', ']');
	assert_refused(text, 66, "too many levels");
	nested(deep, 100000, '[', ']');
	assert_refused(deep, 200000, "too many levels");
	assert_refused(LITERAL("{\"a\":"), NULL);
}

static void levels_beside_each_other_do_not_add_up(void **state)
{
	struct text text = TEXT_MAX(4096);

	(void)state;
	text_add(&text, "[");
	for (int i = 0; i < 100; i++)
		text_add(&text, "[],{},[[{\"a\":{}}]],");
	text_add(&text, "[]]");
	assert_taken(text.data, text.length);
	text_done(&text);
}

static void refuses_text_behind_the_end(void **state)
{
	static const char *const rows[] = { "{}x",       "{} {}",  "[]]", "1 1",
					    "null null", "\"\"\"", "{},", "true false" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_refused(rows[i], strlen(rows[i]), "behind the end");
}

static void refuses_more_than_the_largest_size(void **state)
{
	CLEANUP(freep) char *text = malloc(JSON_SIZE_MAX + 1);

	(void)state;
	memset(text, ' ', JSON_SIZE_MAX + 1);
	memcpy(text, "[]", 2);
	assert_taken(text, JSON_SIZE_MAX);
	assert_refused(text, JSON_SIZE_MAX + 1, "larger than");
}

static void every_cut_is_refused(void **state)
{
	static const char text[] =
		"{\"a\":[1.5e+7,true,null,\"\\u00e4\\ud83d\\udd11\xe2\x82\xac\"],"
		"\"b\":{\"c\":\"d\"}}";

	(void)state;
	assert_taken(text, sizeof(text) - 1);
	for (size_t size = 0; size < sizeof(text) - 1; size++) {
		/* Of its own size, so that a read beyond it is seen. */
		CLEANUP(freep) char *cut = size > 0 ? malloc(size) : NULL;

		if (cut)
			memcpy(cut, text, size);
		assert_refused(cut, size, NULL);
	}
}

static void names_the_place(void **state)
{
	(void)state;
	assert_refused(LITERAL("{\n\t\"a\": tru\n}"), "line 2, column 7: not a value");
	assert_refused(LITERAL("[1,\r\n2,\r\n3 4]"), "line 3, column 3: ");
	assert_refused(LITERAL("[\"\xc3\xa4\xe2\x82\xac\" 1]"), "line 1, column 7: ");
	assert_refused(LITERAL("["), "line 1, column 2: ");
}

/* Once quadratic: a reply of nothing but names kept the station busy for minutes. */
static void many_names_take_no_longer_than_many_values(void **state)
{
	struct text text = TEXT_MAX(JSON_SIZE_MAX);

	(void)state;
	text_add(&text, "{\"0\":0");
	for (int i = 1; text.length < JSON_SIZE_MAX - 20; i++)
		text_addf(&text, ",\"%x\":0", (unsigned)i);
	text_add(&text, "}");
	assert_taken(text.data, text.length);
	text_done(&text);
}

/* -- Reading members ----------------------------------------------------------------------------------- */

static void finds_members_by_exact_name(void **state)
{
	CLEANUP(cJSON_freep)
	cJSON *root = parse(
		"{\"A\":1,\"a\":\"x\",\"o\":{\"p\":{\"q\":true}},\"l\":[{\"a\":1}],\"n\":null}");

	(void)state;
	assert_string_equal(json_text(root, "a"), "x");
	assert_null(json_text(root, "A"));
	assert_null(json_text(root, "b"));
	assert_null(json_text(root, "n"));
	assert_null(json_get(root, "O"));
	assert_null(json_get(NULL, "a"));
	assert_null(json_get(json_get(root, "l"), "a"));
	assert_true(cJSON_IsTrue(json_at(root, "o", "p", "q", NULL)));
	assert_null(json_at(root, "o", "x", "q", NULL));
	assert_null(json_at(root, "a", "p", NULL));
	assert_true(json_bool(json_at(root, "o", "p", NULL), "q", false));
	assert_true(json_bool(root, "a", true));
	assert_false(json_bool(root, "missing", false));
}

static void reads_whole_numbers(void **state)
{
	CLEANUP(cJSON_freep)
	cJSON *root = parse("{\"max\":9223372036854775807,\"min\":-9223372036854775808,"
			    "\"over\":9223372036854775808,\"frac\":1.5,\"one\":1.0,\"exp\":1e3,"
			    "\"zero\":-0,\"text\":\"5\"}");
	static const char *const bad[] = { "over", "frac", "one", "exp", "text", "missing" };
	int64_t value = 77;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(json_int64(root, bad[i], &value));
	assert_int_equal(value, 77);
	assert_true(json_int64(root, "max", &value) && value == INT64_MAX);
	assert_true(json_int64(root, "min", &value) && value == INT64_MIN);
	assert_true(json_int64(root, "zero", &value) && value == 0);
	assert_true(json_is_number(json_get(root, "frac")));
	assert_false(json_is_number(json_get(root, "text")));
	assert_false(json_is_number(NULL));
}

static void reads_made_numbers_only_when_whole(void **state)
{
	CLEANUP(cJSON_freep) cJSON *root = cJSON_CreateObject();
	int64_t value = 77;

	(void)state;
	assert_true(json_add_item(root, "whole", cJSON_CreateNumber(5)));
	assert_true(json_add_item(root, "half", cJSON_CreateNumber(1.5)));
	assert_true(json_add_item(root, "huge", cJSON_CreateNumber(1e300)));
	assert_true(json_add_item(root, "nan", cJSON_CreateNumber(__builtin_nan(""))));
	assert_false(json_int64(root, "half", &value));
	assert_false(json_int64(root, "huge", &value));
	assert_false(json_int64(root, "nan", &value));
	assert_int_equal(value, 77);
	assert_true(json_int64(root, "whole", &value));
	assert_int_equal(value, 5);
}

/* -- Making, comparing, sorting ------------------------------------------------------------------------ */

static void makes_objects(void **state)
{
	CLEANUP(cJSON_freep) cJSON *root = cJSON_CreateObject();
	CLEANUP(freep) char *line = NULL;

	(void)state;
	assert_true(json_add_text(root, "text", "a\"b"));
	assert_true(json_add_text(root, "nothing", NULL));
	assert_true(json_add_bool(root, "yes", true));
	assert_true(json_add_int64(root, "big", INT64_MIN));
	assert_true(json_add_item(root, "list", cJSON_CreateArray()));
	assert_false(json_add_item(root, "none", NULL));
	assert_false(json_add_item(NULL, "list", cJSON_CreateArray()));
	line = json_print_line(root);
	assert_string_equal(line, "{\"text\":\"a\\\"b\",\"yes\":true,\"big\":-9223372036854775808,"
				  "\"list\":[]}");
}

static void compares_by_content(void **state)
{
	static const struct {
		const char *a, *b;
		bool equal;
	} rows[] = {
		{ "{\"a\":1,\"b\":[1,2]}", "{ \"b\" : [1, 2], \"a\" : 1 }", true },
		{ "{\"a\":{\"x\":1,\"y\":2}}", "{\"a\":{\"y\":2,\"x\":1}}", true },
		{ "[1,2]", "[2,1]", false },
		{ "[1]", "[1,2]", false },
		{ "[1,2]", "[1]", false },
		{ "{\"a\":1}", "{\"a\":1,\"b\":2}", false },
		{ "{\"a\":1,\"b\":2}", "{\"a\":1}", false },
		{ "{\"a\":1}", "{\"b\":1}", false },
		{ "{\"a\":null}", "{\"b\":null}", false },
		{ "1.10", "1.1", false },
		{ "1", "\"1\"", false },
		{ "true", "true", true },
		{ "true", "false", false },
		{ "null", "null", true },
		{ "null", "false", false },
		{ "\"\\u0061\"", "\"a\"", true },
		{ "\"a\"", "\"A\"", false },
		{ "{}", "[]", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(cJSON_freep) cJSON *a = parse(rows[i].a);
		CLEANUP(cJSON_freep) cJSON *b = parse(rows[i].b);

		if (json_equal(a, b) != rows[i].equal || json_equal(b, a) != rows[i].equal)
			fail_msg("%s and %s", rows[i].a, rows[i].b);
	}
	assert_true(json_equal(NULL, NULL));
}

static void made_and_read_numbers_are_equal(void **state)
{
	CLEANUP(cJSON_freep) cJSON *read = parse("[7]");
	CLEANUP(cJSON_freep) cJSON *made = cJSON_CreateArray();

	(void)state;
	cJSON_AddItemToArray(made, cJSON_CreateNumber(7));
	assert_true(json_equal(read, made));
}

static void sorts_every_object(void **state)
{
	CLEANUP(cJSON_freep)
	cJSON *root =
		parse("{\"b\":[{\"z\":1,\"y\":2}],\"\xc3\xa4\":0,\"a\":{\"d\":1,\"c\":2},\"B\":3}");
	CLEANUP(freep) char *line = NULL;

	(void)state;
	json_sort(root);
	assert_true(json_add_bool(root, "added", true));
	line = json_print_line(root);
	assert_string_equal(line, "{\"B\":3,\"a\":{\"c\":2,\"d\":1},\"b\":[{\"y\":2,\"z\":1}],"
				  "\"\xc3\xa4\":0,\"added\":true}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_json),
		cmocka_unit_test(refuses_what_is_not_json),
		cmocka_unit_test(refuses_a_name_twice),
		cmocka_unit_test(refuses_a_name_twice_wherever_it_stands),
		cmocka_unit_test(refuses_nul),
		cmocka_unit_test(refuses_lone_surrogates_and_bad_escapes),
		cmocka_unit_test(refuses_control_characters_in_strings),
		cmocka_unit_test(sees_each_character_of_a_string),
		cmocka_unit_test(refuses_what_is_not_utf8),
		cmocka_unit_test(refuses_lax_numbers),
		cmocka_unit_test(refuses_numbers_that_are_too_long),
		cmocka_unit_test(ends_at_thirty_two_levels),
		cmocka_unit_test(levels_beside_each_other_do_not_add_up),
		cmocka_unit_test(refuses_text_behind_the_end),
		cmocka_unit_test(refuses_more_than_the_largest_size),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(names_the_place),
		cmocka_unit_test(many_names_take_no_longer_than_many_values),
		cmocka_unit_test(finds_members_by_exact_name),
		cmocka_unit_test(reads_whole_numbers),
		cmocka_unit_test(reads_made_numbers_only_when_whole),
		cmocka_unit_test(makes_objects),
		cmocka_unit_test(compares_by_content),
		cmocka_unit_test(made_and_read_numbers_are_equal),
		cmocka_unit_test(sorts_every_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
