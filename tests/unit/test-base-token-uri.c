/* PKCS#11 URIs: what is taken, what is refused, and that no PIN gets into words. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "muster/token-uri.h"

static void reads_every_attribute(void **state)
{
	CLEANUP(token_uri_done) struct token_uri uri = { 0 };
	struct muster_error err = { 0 };

	(void)state;
	assert_true(token_uri_parse(
		"pkcs11:token=line%203;manufacturer=SoftHSM%20project;serial=0a1b;model=SoftHSM%20v2;"
		"slot-id=42;object=device;type=private;id=%01%00%ff;library-version=2.6"
		"?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/muster/pin",
		&uri, &err));
	assert_string_equal(uri.token, "line 3");
	assert_string_equal(uri.manufacturer, "SoftHSM project");
	assert_string_equal(uri.serial, "0a1b");
	assert_string_equal(uri.model, "SoftHSM v2");
	assert_string_equal(uri.slot_id, "42");
	assert_string_equal(uri.object, "device");
	assert_string_equal(uri.type, "private");
	assert_string_equal(uri.library_version, "2.6");
	assert_int_equal(uri.id.size, 3);
	assert_memory_equal(uri.id.data, "\x01\x00\xff", 3);
	assert_string_equal(uri.module_path, "/usr/lib/softhsm/libsofthsm2.so");
	assert_string_equal(uri.pin_source, "file:/etc/muster/pin");
	assert_null(uri.module_name);
}

static void prints_without_pin_and_module(void **state)
{
	CLEANUP(token_uri_done) struct token_uri uri = { 0 };
	CLEANUP(freep) char *text = NULL;
	struct muster_error err = { 0 };

	(void)state;
	assert_true(token_uri_parse("PKCS11:id=%0a;serial=77;token=a;object=b%3bc"
				    "?pin-source=/run/pin&module-name=softhsm2",
				    &uri, &err));
	text = token_uri_format(&uri);
	assert_string_equal(text, "pkcs11:token=a;serial=77;object=b%3Bc;id=%0A");
}

static void two_contradict_where_both_say_the_same_of_the_token_and_differ(void **state)
{
	static const struct {
		const char *uri, *other;
		bool contradicts;
	} cases[] = {
		{ "pkcs11:object=a;id=%01?pin-source=/run/pin", "pkcs11:token=line", false },
		{ "pkcs11:token=line;object=a;type=private",
		  "pkcs11:token=line;object=b;serial=7?module-name=m", false },
		{ "pkcs11:token=line;serial=8", "pkcs11:token=line", false },
		{ "pkcs11:token=line", "pkcs11:serial=8", false },
		{ "pkcs11:token=line?module-name=m", "pkcs11:token=line?module-path=/m.so", false },
		{ "pkcs11:token=ca;object=a", "pkcs11:token=line", true },
		{ "pkcs11:token=line;serial=8", "pkcs11:token=line;serial=7", true },
		{ "pkcs11:manufacturer=a", "pkcs11:token=line;manufacturer=b", true },
		{ "pkcs11:model=a", "pkcs11:model=b", true },
	};
	struct muster_error err = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(token_uri_done) struct token_uri uri = { 0 }, other = { 0 };

		assert_true(token_uri_parse(cases[i].uri, &uri, &err));
		assert_true(token_uri_parse(cases[i].other, &other, &err));
		assert_int_equal(token_uri_contradicts(&uri, &other), cases[i].contradicts);
		assert_int_equal(token_uri_contradicts(&other, &uri), cases[i].contradicts);
	}
}

static void what_it_prints_it_reads(void **state)
{
	CLEANUP(token_uri_done) struct token_uri uri = { 0 }, again = { 0 };
	CLEANUP(freep) char *text = NULL, *second = NULL;
	struct muster_error err = { 0 };

	(void)state;
	assert_true(token_uri_parse("pkcs11:token=%C3%A4%20%25;serial=;id=%00", &uri, &err));
	text = token_uri_format(&uri);
	assert_true(token_uri_parse(text, &again, &err));
	second = token_uri_format(&again);
	assert_string_equal(text, second);
	assert_string_equal(again.serial, "");
}

static void accepts(void **state)
{
	static const char *const good[] = {
		"pkcs11:",
		"pkcs11:token=",
		"pkcs11:token=a:b[c]@!$'()*+,=&d",
		"pkcs11:library-version=3",
		"pkcs11:token=12345678901234567890123456789012",
		"pkcs11:type=secret-key;object=master",
		"pkcs11:?module-name=softhsm2",
		"pkcs11:token=a?pin-source=/a/b?c|d",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		CLEANUP(token_uri_done) struct token_uri uri = { 0 };
		struct muster_error err = { 0 };

		if (!token_uri_parse(good[i], &uri, &err))
			fail_msg("refused '%s': %s", good[i], err.message);
	}
}

static void refuses(void **state)
{
	static const struct {
		const char *text;
		const char *word; /* that the message has */
	} bad[] = {
		{ "", "begin" },
		{ "pkcs12:token=a", "begin" },
		{ "pkcs11:token=a;token=b", "twice" },
		{ "pkcs11:token=;token=", "twice" },
		{ "pkcs11:id=%01;id=%01", "twice" },
		{ "pkcs11:tokem=a", "know" },
		{ "pkcs11:Token=a", "know" },
		{ "pkcs11:x-vendor=a", "know" },
		{ "pkcs11:token", "know" },
		{ "pkcs11:token=a;", "know" },
		{ "pkcs11:;token=a", "know" },
		{ "pkcs11:token=a?x=1", "know" },
		{ "pkcs11:token=a?pin-value=9462", "PIN" },
		{ "pkcs11:token=a;pin-value=9462", "PIN" },
		{ "pkcs11:pin-source=/a", "before" },
		{ "pkcs11:module-path=/a", "before" },
		{ "pkcs11:?token=a", "behind" },
		{ "pkcs11:token=a b", "%XX" },
		{ "pkcs11:token=a%2", "%XX" },
		{ "pkcs11:token=a%zz", "%XX" },
		{ "pkcs11:token=a#b", "%XX" },
		{ "pkcs11:token=a/b", "%XX" },
		{ "pkcs11:token=\xc3\xa4", "%XX" },
		{ "pkcs11:token=a%00b", "control" },
		{ "pkcs11:token=a%0ab", "control" },
		{ "pkcs11:token=%ff", "UTF-8" },
		{ "pkcs11:token=123456789012345678901234567890123", "33 bytes" },
		{ "pkcs11:serial=12345678901234567", "17 bytes" },
		{ "pkcs11:id=", "0 bytes" },
		{ "pkcs11:slot-id=", "0 bytes" },
		{ "pkcs11:slot-id=-1", "decimal" },
		{ "pkcs11:library-version=2.", "version" },
		{ "pkcs11:library-version=2.6.1", "version" },
		{ "pkcs11:type=key", "one of" },
		{ "pkcs11:?module-path=lib.so", "absolute" },
		{ "pkcs11:?module-name=../lib", "path" },
		{ "pkcs11:?pin-source=|cat%20pin", "command" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CLEANUP(token_uri_done) struct token_uri uri = { 0 };
		struct muster_error err = { 0 };

		if (token_uri_parse(bad[i].text, &uri, &err))
			fail_msg("accepted '%s'", bad[i].text);
		assert_int_equal(err.cause, CAUSE_TOKEN_URI_INVALID);
		assert_null(uri.token);
		if (!strstr(err.message, bad[i].word))
			fail_msg("'%s': %s", bad[i].text, err.message);
		assert_null(strstr(err.message, "9462"));
	}
}

static void refuses_more_than_two_kilobytes(void **state)
{
	CLEANUP(token_uri_done) struct token_uri uri = { 0 };
	struct muster_error err = { 0 };
	char text[TOKEN_URI_SIZE_MAX + 2];

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "pkcs11:object=", 14);
	text[sizeof(text) - 1] = 0;
	assert_false(token_uri_parse(text, &uri, &err));
	assert_non_null(strstr(err.message, "longer"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_every_attribute),
		cmocka_unit_test(prints_without_pin_and_module),
		cmocka_unit_test(two_contradict_where_both_say_the_same_of_the_token_and_differ),
		cmocka_unit_test(what_it_prints_it_reads),
		cmocka_unit_test(accepts),
		cmocka_unit_test(refuses),
		cmocka_unit_test(refuses_more_than_two_kilobytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
