/* Members are replaced, added and removed; everything else keeps its bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "muster/json-edit.h"
#include "muster/json.h"

#define ODD \
	"{ \"a\" : 1e400,\t\"x\\u0079\": \"\\u00e9\\/\",\n \"o\":{\"in\":[{\"a\":2},\"}\"], \"n\":null } ,\"z\": -0 }"

static struct text json;
static struct muster_error err;

static void begin(const char *text)
{
	cJSON *tree = NULL;

	text_done(&json);
	json = (struct text)TEXT_MAX(4096);
	text_add(&json, text);
	assert_true(json_parse(text, strlen(text), "the test", &tree, &err));
	cJSON_Delete(tree);
}

static void holds(const char *expected)
{
	cJSON *tree = NULL;

	assert_string_equal(json.data, expected);
	assert_true(json_parse(json.data, json.length, "the result", &tree, &err));
	cJSON_Delete(tree);
}

static void set(const char *path, const char *value)
{
	assert_true(json_text_set(&json, path, value, strlen(value), &err));
}

static void finds_values(void **state)
{
	static const struct {
		const char *path, *value;
	} rows[] = { { "a", "1e400" },  { "xy", "\"\\u00e9\\/\"" },
		     { "o.n", "null" }, { "o.in", "[{\"a\":2},\"}\"]" },
		     { "z", "-0" },     { "missing", NULL },
		     { "o.a", NULL },   { "a.b", NULL },
		     { "o.n.m", NULL } };

	(void)state;
	begin(ODD);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *value = NULL;
		size_t length = 0;
		bool is_found =
			json_text_find(json.data, json.length, rows[i].path, &value, &length);

		assert_int_equal(is_found, rows[i].value != NULL);
		if (is_found) {
			assert_int_equal(length, strlen(rows[i].value));
			assert_memory_equal(value, rows[i].value, length);
		}
	}
	assert_false(json_text_find("[]", 2, "a", &(const char *){ NULL }, &(size_t){ 0 }));
}

static void replaces_in_place(void **state)
{
	(void)state;
	begin(ODD);
	set("a", "{\"new\":[]}");
	set("o.n", "7");
	set("xy", "\"s\"");
	holds("{ \"a\" : {\"new\":[]},\t\"x\\u0079\": \"s\",\n \"o\":{\"in\":[{\"a\":2},\"}\"], \"n\":7 } ,\"z\": -0 }");
}

static void adds_at_the_end_and_makes_objects(void **state)
{
	(void)state;
	begin("{}");
	set("a", "1");
	set("b.c.d", "2");
	set("b.c.e", "3");
	holds("{\"a\":1,\"b\":{\"c\":{\"d\":2,\"e\":3}}}");
	begin("{\"a\":null,\"b\":[1]}");
	set("a.b", "1");
	set("b.c.d", "2");
	holds("{\"a\":{\"b\":1},\"b\":{\"c\":{\"d\":2}}}");
	begin(" { } ");
	assert_true(json_text_set_string(&json, "a", "x\"\n\xc3\xa9", &err));
	holds(" { \"a\":\"x\\\"\\n\xc3\xa9\"} ");
}

static void removes_with_one_comma(void **state)
{
	(void)state;
	begin("{\"a\":1, \"b\":{\"c\":2 , \"d\":3},\"e\":4 }");
	assert_true(json_text_remove(&json, "e", &err));
	holds("{\"a\":1, \"b\":{\"c\":2 , \"d\":3} }");
	assert_true(json_text_remove(&json, "a", &err));
	holds("{\"b\":{\"c\":2 , \"d\":3} }");
	assert_true(json_text_remove(&json, "b.d", &err));
	assert_true(json_text_remove(&json, "b.c", &err));
	holds("{\"b\":{} }");
	assert_true(json_text_remove(&json, "b.c", &err));
	assert_true(json_text_remove(&json, "nothing", &err));
	assert_true(json_text_remove(&json, "b.c.d", &err));
	assert_true(json_text_remove(&json, "b", &err));
	holds("{ }");
}

static void stays_below_its_maximum(void **state)
{
	(void)state;
	begin("{\"a\":1}");
	json.max = 16;
	assert_false(json_text_set(&json, "b", "1234567890", 10, &err));
	assert_string_equal(json.data, "{\"a\":1}");
	text_done(&json);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_values),
		cmocka_unit_test(replaces_in_place),
		cmocka_unit_test(adds_at_the_end_and_makes_objects),
		cmocka_unit_test(removes_with_one_comma),
		cmocka_unit_test(stays_below_its_maximum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
