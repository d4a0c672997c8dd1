/* Numbers of PKCS#11 become causes and words. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/hsm/hsm-internal.h"

static void known_numbers_have_a_cause(void **state)
{
	static const struct {
		CK_RV rv;
		enum muster_cause cause;
	} cases[] = {
		{ CKR_PIN_INCORRECT, CAUSE_PIN_REFUSED },
		{ CKR_PIN_LOCKED, CAUSE_PIN_LOCKED },
		{ CKR_PIN_EXPIRED, CAUSE_PIN_LOCKED },
		{ CKR_USER_PIN_NOT_INITIALIZED, CAUSE_TOKEN_UNINITIALISED },
		{ CKR_DEVICE_REMOVED, CAUSE_TOKEN_GONE },
		{ CKR_SESSION_HANDLE_INVALID, CAUSE_TOKEN_GONE },
		{ CKR_MECHANISM_INVALID, CAUSE_HSM_UNSUPPORTED },
		{ CKR_DEVICE_MEMORY, CAUSE_HSM_COMMAND_FAILED },
		{ CKR_BUFFER_TOO_SMALL, CAUSE_HSM_ANSWER_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct muster_error err = { 0 };

		assert_false(hsm_fail(&err, cases[i].rv, "doing %d", 7));
		assert_int_equal(err.cause, cases[i].cause);
		assert_int_equal(err.origin, ORIGIN_PKCS11);
		assert_int_equal(err.native, cases[i].rv);
		assert_non_null(strstr(err.message, "doing 7: CKR_"));
	}
}

static void a_vendors_number_is_shown_in_hex(void **state)
{
	struct muster_error err = { 0 };

	(void)state;
	assert_false(hsm_fail(&err, CKR_VENDOR_DEFINED | 0x42, "asking"));
	assert_int_equal(err.cause, CAUSE_HSM_COMMAND_FAILED);
	assert_non_null(strstr(err.message, "CKR 0x80000042"));
}

static void no_number_has_two_rows(void **state)
{
	(void)state;
	for (CK_RV rv = 1; rv < 0x300; rv++) {
		const struct hsm_error_row *row = hsm_error_find(rv);

		if (row->name)
			assert_int_equal(row->rv, rv);
		assert_non_null(muster_cause_find(row->cause));
		assert_non_null(row->words);
	}
}

static void key_types_are_found_by_name_and_by_content(void **state)
{
	static const char *const names[] = { "ec-p256",  "ec-p384",  "ec-p521", "ed25519",
					     "rsa-2048", "rsa-3072", "rsa-4096" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct hsm_key_type *type = hsm_key_type_by_name(names[i]);
		uint8_t oid[32];
		struct bytes curve = { oid, 0 };

		assert_non_null(type);
		if (!type->parameters) {
			assert_ptr_equal(hsm_key_type_by_modulus(type->bits), type);
			continue;
		}
		curve.size = type->parameters_size;
		memcpy(oid, type->parameters, curve.size);
		assert_ptr_equal(hsm_key_type_by_curve(&curve), type);
		oid[curve.size - 1] ^= 0x55;
		assert_null(hsm_key_type_by_curve(&curve));
	}
	assert_null(hsm_key_type_by_name("rsa-1024"));
	assert_null(hsm_key_type_by_name(""));
	assert_null(hsm_key_type_by_modulus(1024));
}

static void fields_lose_their_padding_and_nothing_else(void **state)
{
	char out[33 * 4];

	(void)state;
	assert_string_equal(hsm_field_text(out, sizeof(out), (const uint8_t *)"a b     ", 8),
			    "a b");
	assert_string_equal(hsm_field_text(out, sizeof(out), (const uint8_t *)"        ", 8), "");
	assert_string_equal(hsm_field_text(out, sizeof(out), (const uint8_t *)"a\x1b[2J   ", 8),
			    "a\\x1b[2J");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_numbers_have_a_cause),
		cmocka_unit_test(a_vendors_number_is_shown_in_hex),
		cmocka_unit_test(no_number_has_two_rows),
		cmocka_unit_test(key_types_are_found_by_name_and_by_content),
		cmocka_unit_test(fields_lose_their_padding_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
