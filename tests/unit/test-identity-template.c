#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "muster/identity.h"

static const struct identity_values values = {
	.serial = "A17, \"x\"",
	.ek_sha256_base32 = "sizmf6",
	.registration_id = "a17",
};

static void templates_expand(void **state)
{
	static const struct {
		const char *text;
		enum identity_template kind;
		const char *result;
	} rows[] = {
		{ "plain-1", TEMPLATE_REGISTRATION_ID, "plain-1" },
		{ "{ek.sha256.base32}", TEMPLATE_REGISTRATION_ID, "sizmf6" },
		{ "gw-{serial.lower}-x", TEMPLATE_DEVICE_ID, "gw-a17, \"x\"-x" },
		{ "{registrationId}:{registrationId}", TEMPLATE_LABEL, "a17:a17" },
		{ "CN={registrationId},O=B\xc3\xa4r", TEMPLATE_SUBJECT, "CN=a17,O=B\xc3\xa4r" },
		{ "O={serial}", TEMPLATE_SUBJECT, "O=A17\\, \\\"x\\\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(freep) char *text = NULL;
		struct muster_error err = { 0 };

		if (!identity_template_expand(rows[i].text, rows[i].kind, &values, &text, &err))
			fail_msg("row %zu: %s", i, err.message);
		assert_string_equal(text, rows[i].result);
	}
}

static void edges_are_escaped_in_a_subject(void **state)
{
	static const struct identity_values odd = { .serial = "#1 ", .registration_id = " 1#" };
	CLEANUP(freep) char *text = NULL;
	struct muster_error err;

	(void)state;
	assert_true(identity_template_expand("O={serial},OU={registrationId}", TEMPLATE_SUBJECT,
					     &odd, &text, &err));
	assert_string_equal(text, "O=\\#1\\ ,OU=\\ 1#");
}

static void mistakes_have_a_place(void **state)
{
	static const struct {
		const char *text;
		enum identity_template kind;
		size_t at, length;
		const char *message;
	} rows[] = {
		{ "gw-{serail}", TEMPLATE_DEVICE_ID, 3, 8,
		  "nothing stands for {serail}; there are {serial}, {serial.lower}, "
		  "{ek.sha256.base32}, {registrationId} (without blanks inside)" },
		{ "{ serial }", TEMPLATE_DEVICE_ID, 0, 10, NULL },
		{ "{registrationId}", TEMPLATE_REGISTRATION_ID, 0, 16,
		  "nothing stands for {registrationId}; there are {serial}, {serial.lower}, "
		  "{ek.sha256.base32} (without blanks inside)" },
		{ "a{serial", TEMPLATE_DEVICE_ID, 1, 1, "the brace '{' has no partner" },
		{ "a}b", TEMPLATE_SUBJECT, 1, 1, "the brace '}' has no partner" },
		{ "a{b{serial}", TEMPLATE_LABEL, 1, 1, "the brace '{' has no partner" },
		{ "{serial}/1", TEMPLATE_REGISTRATION_ID, 8, 1,
		  "the character '/' may not stand here" },
		{ "{serial}{}", TEMPLATE_DEVICE_ID, 8, 2, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t at = 999, length = 999;
		struct muster_error err = { 0 };

		assert_false(
			identity_template_check(rows[i].text, rows[i].kind, &at, &length, &err));
		assert_int_equal(err.cause, CAUSE_PROFILE_VALUE);
		assert_int_equal(at, rows[i].at);
		assert_int_equal(length, rows[i].length);
		if (rows[i].message)
			assert_string_equal(err.message, rows[i].message);
	}
}

static void good_templates_pass(void **state)
{
	size_t at = 999, length = 999;
	struct muster_error err;

	(void)state;
	assert_true(identity_template_check("gw-{serial.lower}", TEMPLATE_DEVICE_ID, &at, &length,
					    &err));
	assert_true(identity_template_check("", TEMPLATE_LABEL, &at, &length, &err));
	assert_int_equal(at, 999);
}

static void what_is_not_known_is_asked_for(void **state)
{
	static const struct identity_values nothing = { 0 };
	char *text = NULL;
	struct muster_error err;

	(void)state;
	assert_false(
		identity_template_expand("{serial}", TEMPLATE_DEVICE_ID, &nothing, &text, &err));
	assert_int_equal(err.cause, CAUSE_SERIAL_MISSING);
	assert_false(identity_template_expand("{ek.sha256.base32}", TEMPLATE_DEVICE_ID, &nothing,
					      &text, &err));
	assert_int_equal(err.cause, CAUSE_PROFILE_CONTRADICTION);
	assert_null(text);
}

static void what_a_template_uses(void **state)
{
	(void)state;
	assert_true(identity_template_uses_serial("O=\xc3\xa4,CN={serial.lower}"));
	assert_false(identity_template_uses_serial("gw-{ek.sha256.base32}"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(templates_expand),
		cmocka_unit_test(edges_are_escaped_in_a_subject),
		cmocka_unit_test(mistakes_have_a_place),
		cmocka_unit_test(good_templates_pass),
		cmocka_unit_test(what_is_not_known_is_asked_for),
		cmocka_unit_test(what_a_template_uses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
