/* What people write for a twin: JSON first, then what Python would take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "muster/dps-enrollment.h"
#include "muster/json.h"

static struct muster_error err;

static void gives(const char *text, const char *expected)
{
	cJSON *tree = NULL;
	char *line;

	if (!dps_twin_parse(text, "--tags", &tree, &err))
		fail_msg("%s: %s", text, err.message);
	line = json_print_line(tree);
	cJSON_Delete(tree);
	assert_string_equal(line, expected);
	free(line);
}

static void refuses(const char *text, const char *sentence_part)
{
	cJSON *tree = NULL;

	if (dps_twin_parse(text, "--tags", &tree, &err))
		fail_msg("%s was taken", text);
	assert_int_equal(err.code, MUSTER_E_USAGE);
	if (!strstr(err.message, sentence_part))
		fail_msg("%s: '%s' has no '%s'", text, err.message, sentence_part);
}

static void takes_json(void **state)
{
	(void)state;
	gives("{\"a\":{\"b\":[1,\"x\"]}}", "{\"a\":{\"b\":[1,\"x\"]}}");
	gives(" { \"n\": 123456789012345678901234567890, \"e\": 1e400 } ",
	      "{\"n\":123456789012345678901234567890,\"e\":1e400}");
	gives("", "{}");
	gives(" \n", "{}");
	gives("{}", "{}");
	gives("{\"version\":\"1\",\"count\":2,\"metadata\":{}}",
	      "{\"version\":\"1\",\"count\":2,\"metadata\":{}}");
}

static void takes_python(void **state)
{
	(void)state;
	gives("{'location':{'region':'US'}}", "{\"location\":{\"region\":\"US\"}}");
	gives("{'a':True,'b':False,'c':[None]}", "{\"a\":true,\"b\":false,\"c\":[null]}");
	gives("{'a':1,'b':[1,2,],}", "{\"a\":1,\"b\":[1,2]}");
	gives("{ # first\n 'a' : 1 # last\n}", "{\"a\":1}");
	gives("{'a':00,'b':-000,'c':0_0}", "{\"a\":0,\"b\":-0,\"c\":0}");
	gives("{'a':0x1F,'b':0o17,'c':0b101,'d':1_000,'e':-0xff}",
	      "{\"a\":31,\"b\":15,\"c\":5,\"d\":1000,\"e\":-255}");
	gives("{'a':0xffffffffffffffffff}", "{\"a\":4722366482869645213695}");
	gives("{'a':.5,'b':1.,'c':1e5,'d':+2.5E-3,'e':1_0.2_5}",
	      "{\"a\":0.5,\"b\":1.0,\"c\":1e5,\"d\":2.5e-3,\"e\":10.25}");
	gives("{'a':'one' \"two\"\n'three'}", "{\"a\":\"onetwothree\"}");
	gives("{1:2,-3:4,0x10:5}", "{\"1\":2,\"-3\":4,\"16\":5}");
	gives("{'a':'it''s','b':\"it's\",'c':'say \"x\"'}",
	      "{\"a\":\"its\",\"b\":\"it's\",\"c\":\"say \\\"x\\\"\"}");
	gives("{u'a':r'\\n',R'b':'''x\ny'''}", "{\"a\":\"\\\\n\",\"b\":\"x\\ny\"}");
}

static void takes_pythons_escapes(void **state)
{
	(void)state;
	gives("{'a':'\\x41\\101\\u00e9\\U0001F600\\ud83d\\ude00'}",
	      "{\"a\":\"AA\xc3\xa9\xf0\x9f\x98\x80\xf0\x9f\x98\x80\"}");
	gives("{'a':'\\'\\\"\\\\\\t\\n\\a'}", "{\"a\":\"'\\\"\\\\\\t\\n\\u0007\"}");
	gives("{'a':'\\d\\\nx'}", "{\"a\":\"\\\\dx\"}");
	gives("{'\xc3\xa4':'\xc3\xb6'}", "{\"\xc3\xa4\":\"\xc3\xb6\"}");
}

/* What Python prints for them, as az sends it. */
static void prints_what_json_has_not(void **state)
{
	(void)state;
	gives("{'a':(1,2)}", "{\"a\":\"(1, 2)\"}");
	gives("{'a':(),'b':(1,),'c':( # one\n 1)}", "{\"a\":\"()\",\"b\":\"(1,)\",\"c\":1}");
	gives("{'a':('x',None,True,[1,2],{'k':1,2:3},(3,))}",
	      "{\"a\":\"('x', None, True, [1, 2], {'k': 1, 2: 3}, (3,))\"}");
	gives("{'a':{1,2,1,},'b':{'x'}}", "{\"a\":\"{1, 2}\",\"b\":\"{'x'}\"}");
	gives("{'a':b'x\\x00\\xff\\n',\"b\":rb'\\x' b''}",
	      "{\"a\":\"b'x\\\\x00\\\\xff\\\\n'\",\"b\":\"b'\\\\\\\\x'\"}");
	gives("{'a':[(1,{'b':2})]}", "{\"a\":[\"(1, {'b': 2})\"]}");
	gives("{'a':(0x10,-0,-0.0,1.0,1e15,1e16,1e-4,1e-5,1e400,123456789.123,0.1)}",
	      "{\"a\":\"(16, 0, -0.0, 1.0, 1000000000000000.0, 1e+16, 0.0001, 1e-05, inf, "
	      "123456789.123, 0.1)\"}");
	gives("{'a':(\"it's\",'say \"x\"','both\\'\"','\\x07\\n\\x7f\\xa0\\u2028\\xe4')}",
	      "{\"a\":\"(\\\"it's\\\", 'say \\\"x\\\"', 'both\\\\'\\\"', "
	      "'\\\\x07\\\\n\\\\x7f\\\\xa0\\\\u2028\xc3\xa4')\"}");
}

static void the_last_of_a_name_counts(void **state)
{
	(void)state;
	gives("{'a':1,'b':2,'\\x61':3}", "{\"a\":3,\"b\":2}");
	gives("{\"a\":true,\"b\":[{\"c\":1,\"c\":2,\"c\":3.0}],\"a\":false}",
	      "{\"a\":false,\"b\":[{\"c\":3.0}]}");
	gives("{'a':1,'a':None}", "{}");
}

static void drops_nulls_but_not_in_arrays(void **state)
{
	(void)state;
	gives("{\"a\":null,\"b\":{\"c\":null,\"d\":1},\"e\":[null,{\"f\":null}]}",
	      "{\"b\":{\"d\":1},\"e\":[null,{\"f\":null}]}");
	gives("{'a':None}", "{}");
}

static void names_line_and_column(void **state)
{
	(void)state;
	refuses("{\"a\":1,\n \"b\":}", "as JSON: line 2, column 6");
	refuses("{'a':true}",
		"as a Python literal: line 1, column 6: beside single quotes it is 'True'");
	refuses("{'a':\n  'b'\n  'c' 1}", "line 3, column 7: ','");
	refuses("{'\xc3\xa4':?}", "line 1, column 6: a value is needed");
	refuses("a.b=c", "line 1, column 1: a word without quotes");
}

static void refuses_what_is_no_collection(void **state)
{
	(void)state;
	refuses("\"text\"", "--tags is no collection");
	refuses("'text'", "--tags is no collection");
	refuses("[1]", "--tags is no collection");
	refuses("17", "--tags is no collection");
	refuses("None", "--tags is no collection");
}

static void refuses_what_would_be_damaged(void **state)
{
	(void)state;
	refuses("{'a':f'x'}", "this kind of string is not taken");
	refuses("{'a':b'\xc3\xa4'}", "bytes are written in ASCII");
	refuses("{'a':b'x' 'y'}", "bytes beside a string");
	refuses("{b'a':1}", "a key must be a string");
	refuses("{'a':({'b':1,'b':2},)}", "column 14: a key that was there before");
	refuses("{'a':(1,2}", "',' or the end of the collection");
	refuses("{'a':(1", "the text ends too early");
	refuses("{'a':(1 2)}", "')' is needed");
	refuses("(1,2)", "--tags is no collection");
	refuses("{1,2}", "--tags is no collection");
	refuses("{1.5:2}", "a key must be a string or a whole number");
	refuses("{None:2}", "a key must be a string");
	refuses("{'a':1j}", "no number that a twin can hold");
	refuses("{'a':012}", "must not begin with 0");
	refuses("{'a':1__0}", "an underscore belongs between digits");
	refuses("{'a':0x}", "a number without digits");
	refuses("{'a':1e}", "an exponent without digits");
	refuses("{'a':-}", "a sign without a number");
	refuses("{'a':'x", "a string that does not end");
	refuses("{'a':'x\ny'}", "a string that does not end");
	refuses("{'a':'\\x4'}", "more digits");
	refuses("{'a':'\\ud800'}", "surrogate");
	refuses("{'a':'\\0'}", "no character that may stand in a twin");
	refuses("{'a':'\\N{BULLET}'}", "names of characters");
	refuses("{'a':1} x", "text behind the end");
	refuses("{'a':1", "the text ends too early");
	refuses("{'a'", "the text ends too early");
	refuses("{'a' 1:2}", "':' is needed");
	refuses("{'a':NaN}", "a word without quotes");
}

static void bounds_depth_and_size(void **state)
{
	char deep[256];
	size_t length = 0;

	(void)state;
	for (int i = 0; i < 40; i++)
		length += (size_t)snprintf(deep + length, sizeof(deep) - length, "{'a':");
	refuses(deep, "nested too deeply");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_json),
		cmocka_unit_test(takes_python),
		cmocka_unit_test(takes_pythons_escapes),
		cmocka_unit_test(prints_what_json_has_not),
		cmocka_unit_test(the_last_of_a_name_counts),
		cmocka_unit_test(drops_nulls_but_not_in_arrays),
		cmocka_unit_test(names_line_and_column),
		cmocka_unit_test(refuses_what_is_no_collection),
		cmocka_unit_test(refuses_what_would_be_damaged),
		cmocka_unit_test(bounds_depth_and_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
