/* Growing buffers, and what is shown to people. */
#include "unit.h"

#include <stdlib.h>

#include "muster/text.h"

/* -- Growing ------------------------------------------------------------------------------------------- */

static void a_text_grows(void **state)
{
	CLEANUP(text_done) struct text text = TEXT_MAX(4096);
	struct muster_error err;

	(void)state;
	text_add(&text, "a");
	text_add_char(&text, 'b');
	text_add_bytes(&text, "c\0d", 3);
	text_addf(&text, "%05d", 42);
	assert_good(text_ok(&text, &err), err);
	assert_int_equal(text.length, 10);
	assert_memory_equal(text.data, "abc\0d00042", 11);
	while (text.length < 4096)
		text_add_char(&text, 'x');
	assert_good(text_ok(&text, &err), err);
	assert_int_equal(text.data[4096], 0);
}

static void a_text_never_passes_its_maximum(void **state)
{
	CLEANUP(text_done) struct text text = TEXT_MAX(8);
	struct muster_error err;

	(void)state;
	text_add(&text, "12345678");
	assert_good(text_ok(&text, &err), err);
	text_add(&text, "9");
	text_add(&text, "");
	assert_fails(text_ok(&text, &err), err, CAUSE_MEMORY);
	assert_string_equal(text.data, "12345678");
	assert_null(text_take(&text, &err));
}

static void a_huge_addition_is_refused(void **state)
{
	CLEANUP(text_done) struct text text = { 0 };
	struct muster_error err;

	(void)state;
	text_add(&text, "x");
	text_add_bytes(&text, "x", SIZE_MAX);
	assert_fails(text_ok(&text, &err), err, CAUSE_MEMORY);
}

static void a_text_without_maximum_ends_at_one_mebibyte(void **state)
{
	CLEANUP(text_done) struct text text = { 0 };
	struct muster_error err;

	(void)state;
	text_addf(&text, "%*s", 1024 * 1024, "");
	assert_good(text_ok(&text, &err), err);
	text_add_char(&text, ' ');
	assert_fails(text_ok(&text, &err), err, CAUSE_MEMORY);
}

static void an_empty_text_is_taken_as_an_empty_string(void **state)
{
	struct text text = TEXT_MAX(8);
	struct muster_error err;
	CLEANUP(freep) char *taken = text_take(&text, &err);

	(void)state;
	assert_non_null(taken);
	assert_string_equal(taken, "");
	assert_null(text.data);
	assert_int_equal(text.max, 8);
}

static void urls_keep_only_unreserved_characters(void **state)
{
	CLEANUP(text_done) struct text text = TEXT_MAX(256);

	(void)state;
	text_add_url(&text, "AZaz09-._~ /+%&=?#:;\xc3\xa4\x7f");
	assert_string_equal(text.data, "AZaz09-._~%20%2F%2B%25%26%3D%3F%23%3A%3B%C3%A4%7F");
}

static void bytes_are_copied_and_compared(void **state)
{
	CLEANUP(bytes_done) struct bytes a = { 0 };
	CLEANUP(bytes_done) struct bytes b = { 0 };
	struct muster_error err;

	(void)state;
	assert_true(bytes_equal(&a, &b));
	assert_good(bytes_copy(&a, "abc", 3, &err), err);
	assert_int_equal(a.data[3], 0);
	assert_false(bytes_equal(&a, &b));
	assert_good(bytes_copy(&b, "abd", 3, &err), err);
	assert_false(bytes_equal(&a, &b));
	assert_good(bytes_copy(&b, a.data, a.size, &err), err);
	assert_true(bytes_equal(&a, &b));
	assert_good(bytes_copy(&a, a.data + 1, 2, &err), err);
	assert_memory_equal(a.data, "bc", 3);
	assert_good(bytes_copy(&a, NULL, 0, &err), err);
	assert_non_null(a.data);
}

/* -- Showing ------------------------------------------------------------------------------------------- */

static void shows_controls_and_bad_bytes_escaped(void **state)
{
	static const struct {
		const char *value, *shown;
	} rows[] = {
		{ NULL, "" },
		{ "", "" },
		{ "plain 'text' \"quoted\" \\x41", "plain 'text' \"quoted\" \\x41" },
		{ "a\nb\tc\r", "a\\x0ab\\x09c\\x0d" },
		{ "\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m" },
		{ "\x7f", "\\x7f" },
		{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x91", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x91" },
		{ "\xc2\x80", "\\xc2\\x80" },
		{ "\xc2\x9b"
		  "31m",
		  "\\xc2\\x9b31m" },
		{ "\xc2\xa0", "\xc2\xa0" },
		{ "\x80", "\\x80" },
		{ "\xff\xfe", "\\xff\\xfe" },
		{ "\xc3", "\\xc3" },
		{ "\xc3(", "\\xc3(" },
		{ "\xe2\x82", "\\xe2\\x82" },
		{ "\xc0\xaf", "\\xc0\\xaf" },
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80" },
		{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(PRINTABLE(rows[i].value), rows[i].shown);
}

static void cuts_only_what_does_not_fit(void **state)
{
	static const struct {
		const char *value;
		size_t size;
		const char *shown;
	} rows[] = {
		{ "1234567", 8, "1234567" },
		{ "12345678", 8, "1234..." },
		{ "\x01\x02", 9, "\\x01\\x02" },
		{ "\x01\x02", 8, "\\x01..." },
		{ "\x01\x02", 7, "..." },
		{ "\x01\x02", 4, "..." },
		{ "12345\xe2\x82\xac", 9, "12345\xe2\x82\xac" },
		{ "12345\xe2\x82\xac", 8, "1234..." },
		{ "12\xe2\x82\xac\xe2\x82\xac", 8, "12..." },
		{ "12\xe2\x82\xac\xe2\x82\xac", 9, "12\xe2\x82\xac\xe2\x82\xac" },
		{ "\xe2\x80\xae", 16, "\\xe2\\x80\\xae" }, /* U+202E turns what follows */
		{ "\xe2\x81\xa6", 16, "\\xe2\\x81\\xa6" },
		{ "\xe2\x80\x8f", 16, "\\xe2\\x80\\x8f" },
		{ "\xd8\x9c", 16, "\\xd8\\x9c" },
		{ "\xe2\x80\x94\xe2\x80\xaf\xd8\x9b", 16, "\xe2\x80\x94\xe2\x80\xaf\xd8\x9b" },
		{ "1234", 3, ".." },
		{ "1234", 1, "" },
		{ "", 1, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *out = malloc(rows[i].size);

		assert_ptr_equal(text_printable(out, rows[i].size, rows[i].value), out);
		assert_string_equal(out, rows[i].shown);
		free(out);
	}
}

static void what_may_be_a_secret_is_not_shown(void **state)
{
	static const char *const secrets[] = {
		"AAAAAAAAAAAAAAAAAAAAAA==",
		"RWmi7C2/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"primaryKey: RWmi7C2+AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=, x",
		"HostName=x;SharedAccessKeyName=a;SharedAccessKey=abc",
		"SharedAccessSignature sr=x&sig=y",
	};
	static const char *const words[] = {
		"",
		"press-7",
		"AAAAAAAAAAAAAAAAAAAAA=",        /* shorter than any key */
		"AAAAAAAAAAAAAAAAAAAAAAA==",     /* no whole groups of four */
		"optionalDeviceInformation=x12", /* goes on behind its '=' */
		"pkcs11:token=line-3;object=master?module-name=softhsm",
		"SharedAccessKeyName=a",
		"a2c9fcb2c7a4f6b6b6e5a2c9fcb2c7a4f6b6b6e5a2c9fcb2c7a4f6b6b6e5aaaa",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(secrets); i++) {
		assert_true(text_may_be_secret(secrets[i]));
		assert_null(strstr(PRINTABLE(secrets[i]), "A"));
		assert_non_null(strstr(PRINTABLE(secrets[i]), "characters that may be a secret"));
	}
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		assert_string_equal(PRINTABLE(words[i]), words[i]);
}

static void what_is_shown_is_always_utf8(void **state)
{
	(void)state;
	srand(7);
	for (int round = 0; round < 2000; round++) {
		char value[200], out[64];
		size_t length = (size_t)(rand() % 199);

		for (size_t i = 0; i < length; i++)
			value[i] = (char)(1 + rand() % 255);
		value[length] = 0;
		text_printable(out, sizeof(out), value);
		assert_true(text_is_utf8(out, strlen(out)));
		for (const char *c = out; *c; c++)
			assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
	}
}

/* -- Looking ------------------------------------------------------------------------------------------- */

static void knows_utf8(void **state)
{
	static const char *const good[] = {
		"",
		"ascii",
		"\xc2\x80",
		"\xdf\xbf",
		"\xe0\xa0\x80",
		"\xed\x9f\xbf",
		"\xee\x80\x80",
		"\xef\xbf\xbf",
		"\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf",
	};
	static const char *const bad[] = {
		"\x80",
		"\xbf",
		"\xc0\x80",
		"\xc1\xbf",
		"\xc2",
		"\xc2\x7f",
		"\xc2\xc0",
		"\xe0\x9f\xbf",
		"\xe1\x80",
		"\xed\xa0\x80",
		"\xed\xbf\xbf",
		"\xef\xbf",
		"\xf0\x8f\xbf\xbf",
		"\xf0\x90\x80",
		"\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80",
		"\xfe",
		"\xff",
		"\xe1\x80\x41",
		"\xf1\x80\x80\x41",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		CLEANUP(freep) char *longer = text_format("0123456789%s01234567", good[i]);

		assert_true(text_is_utf8(good[i], strlen(good[i])));
		assert_true(text_is_utf8(longer, strlen(longer)));
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		for (int before = 0; before < 20; before++) {
			CLEANUP(freep)
			char *longer = text_format("%*s%s01234567", before, "", bad[i]);

			if (text_is_utf8(bad[i], strlen(bad[i])) ||
			    text_is_utf8(longer, strlen(longer)))
				fail_msg("row %zu is taken", i);
		}
	assert_true(text_is_utf8("a\0b", 3));
	assert_false(text_is_utf8("\xe2\x82\xac", 2));
}

static void knows_a_whole_byte_order_mark_in_front(void **state)
{
	(void)state;
	assert_int_equal(text_mark_size("\xef\xbb\xbf"
					"a",
					4),
			 3);
	assert_int_equal(text_mark_size("\xef\xbb\xbf", 3), 3);
	assert_int_equal(text_mark_size("\xef\xbb\xbf", 2), 0);
	assert_int_equal(text_mark_size("a\xef\xbb\xbf", 4), 0);
	assert_int_equal(text_mark_size("\xfe\xff"
					"aa",
					4),
			 0);
	assert_int_equal(text_mark_size("", 0), 0);
}

static void reads_whole_decimal_numbers(void **state)
{
	static const char *const bad[] = { "",    " 1",  "1 ",  "+1",  "-",
					   "--1", "0x1", "1.0", "1e3", "9223372036854775808",
					   "a",   "- 1", "\n1", "1\n", "-9223372036854775809" };
	int64_t value = 77;

	(void)state;
	assert_true(text_to_int64("-9223372036854775808", INT64_MIN, INT64_MAX, &value));
	assert_true(value == INT64_MIN);
	assert_true(text_to_int64("9223372036854775807", INT64_MIN, INT64_MAX, &value));
	assert_true(value == INT64_MAX);
	assert_true(text_to_int64("65535", 0, 65535, &value));
	assert_int_equal(value, 65535);
	assert_false(text_to_int64("65536", 0, 65535, &value));
	assert_false(text_to_int64("-1", 0, 65535, &value));
	assert_false(text_to_int64(NULL, 0, 65535, &value));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (text_to_int64(bad[i], INT64_MIN, INT64_MAX, &value))
			fail_msg("'%s' is taken", bad[i]);
	assert_int_equal(value, 65535);
}

static void reads_whole_numbers_with_fractions(void **state)
{
	double value = 77;

	(void)state;
	assert_true(text_to_double("-1.5e2", &value) && value == -150);
	assert_true(text_to_double("1e999", &value) && value > 1e300);
	assert_false(text_to_double("", &value));
	assert_false(text_to_double("1x", &value));
}

static void folds_ascii_only(void **state)
{
	char text[] = "AbZ\xc3\x84@[";

	(void)state;
	text_fold(text);
	assert_string_equal(text, "abz\xc3\x84@[");
	assert_true(text_equal_folded("LINE-3", "line-3"));
	assert_false(text_equal_folded("line", "line-3"));
	assert_false(text_equal_folded("line-3", "line"));
	assert_false(text_equal_folded("\xc3\x84", "\xc3\xa4"));
	assert_false(text_equal_folded("@", "`"));
	assert_true(text_has_prefix("pkcs11:token", "pkcs11:"));
	assert_false(text_has_prefix("pkcs", "pkcs11:"));
	assert_true(text_has_suffix("a.pem", ".pem"));
	assert_false(text_has_suffix(".pem", ".pem"));
	assert_false(text_has_suffix("pem", ".pem"));
	assert_false(text_has_suffix("a.pem.old", ".pem"));
}

static void guesses_only_what_is_near(void **state)
{
	static const char *const verbs[] = { "provision", "profile", "doctor", "explain", "ls" };
	static const struct {
		const char *word, *guess;
	} rows[] = {
		{ "provison", "provision" },
		{ "PROVISION", "provision" },
		{ "profil", "profile" },
		{ "docter", "doctor" },
		{ "expalin", "explain" },
		{ "sl", NULL },
		{ "l", NULL },
		{ "", NULL },
		{ "lx", "ls" },
		{ "enrollment", NULL },
		{ "zzzzzz", NULL },
		{ "ls", "ls" },
		{ "provision-all-of-the-devices-of-this-line-in-one-go-please", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *guess = text_nearest(rows[i].word, verbs, ARRAY_SIZE(verbs));

		if (guess != rows[i].guess &&
		    (!guess || !rows[i].guess || strcmp(guess, rows[i].guess) != 0))
			fail_msg("'%s' gives %s", rows[i].word, guess ? guess : "nothing");
	}
	assert_null(text_nearest("x", verbs, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_text_grows),
		cmocka_unit_test(a_text_never_passes_its_maximum),
		cmocka_unit_test(a_huge_addition_is_refused),
		cmocka_unit_test(a_text_without_maximum_ends_at_one_mebibyte),
		cmocka_unit_test(an_empty_text_is_taken_as_an_empty_string),
		cmocka_unit_test(urls_keep_only_unreserved_characters),
		cmocka_unit_test(bytes_are_copied_and_compared),
		cmocka_unit_test(shows_controls_and_bad_bytes_escaped),
		cmocka_unit_test(cuts_only_what_does_not_fit),
		cmocka_unit_test(what_may_be_a_secret_is_not_shown),
		cmocka_unit_test(what_is_shown_is_always_utf8),
		cmocka_unit_test(knows_utf8),
		cmocka_unit_test(knows_a_whole_byte_order_mark_in_front),
		cmocka_unit_test(reads_whole_decimal_numbers),
		cmocka_unit_test(reads_whole_numbers_with_fractions),
		cmocka_unit_test(folds_ascii_only),
		cmocka_unit_test(guesses_only_what_is_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
