/* Errors: the code follows from the cause, and what is cut is never the cause. */
#include "unit.h"

#include <errno.h>

#include "muster/text.h"

static void causes_ascend_and_say_all(void **state)
{
	size_t count;
	const struct muster_cause_info *causes = muster_causes(&count);

	(void)state;
	assert_true(count > 50);
	for (size_t i = 0; i < count; i++) {
		const struct muster_cause_info *info = &causes[i];

		assert_true(info->cause >= 1000 && info->cause <= 9999);
		if (i > 0 && info->cause <= causes[i - 1].cause)
			fail_msg("E%u stands behind E%u", info->cause, causes[i - 1].cause);
		assert_true(info->code >= MUSTER_E_UNIT && info->code <= MUSTER_E_STORAGE);
		assert_true(*info->name && *info->title && *info->why && *info->remedy);
		assert_ptr_equal(muster_cause_find(info->cause), info);
		if (info->remedy[strlen(info->remedy) - 1] != '.' ||
		    info->why[strlen(info->why) - 1] != '.')
			fail_msg("E%u does not end its sentences", info->cause);
	}
}

static void an_unknown_cause_is_not_found(void **state)
{
	(void)state;
	assert_null(muster_cause_find(0));
	assert_null(muster_cause_find(1));
	assert_null(muster_cause_find(10000));
}

static void codes_have_names(void **state)
{
	(void)state;
	assert_string_equal(muster_code_name(MUSTER_OK), "ok");
	assert_string_equal(muster_code_name(MUSTER_E_STORAGE), "storage");
	assert_string_equal(muster_code_name((enum muster_code)12), "internal");
	assert_string_equal(muster_code_name((enum muster_code) - 1), "internal");
	for (enum muster_code a = MUSTER_OK; a <= MUSTER_E_STORAGE; a++)
		for (enum muster_code b = MUSTER_OK; b < a; b++)
			assert_string_not_equal(muster_code_name(a), muster_code_name(b));
}

static void fills_code_from_cause(void **state)
{
	struct muster_error err = { .origin = ORIGIN_CURL, .native = 7 };

	(void)state;
	assert_false(muster_fail(&err, CAUSE_PIN_LOCKED, "token '%s'", "line-3"));
	assert_int_equal(err.code, MUSTER_E_REFUSED);
	assert_int_equal(err.cause, CAUSE_PIN_LOCKED);
	assert_int_equal(err.origin, ORIGIN_NONE);
	assert_int_equal(err.native, 0);
	assert_string_equal(err.message, "token 'line-3'");
	assert_false(muster_fail_native(&err, CAUSE_CLOUD_REFUSED, ORIGIN_DPS, 400004, "no"));
	assert_int_equal(err.origin, ORIGIN_DPS);
	assert_int_equal(err.native, 400004);
	assert_false(muster_fail_memory(&err));
	assert_int_equal(err.code, MUSTER_E_INTERNAL);
}

static void an_unknown_cause_becomes_internal(void **state)
{
	struct muster_error err;

	(void)state;
	muster_fail(&err, (enum muster_cause)4711, "strange");
	assert_int_equal(err.cause, CAUSE_INTERNAL);
	assert_int_equal(err.code, MUSTER_E_INTERNAL);
}

static void errno_brings_its_words(void **state)
{
	struct muster_error err;

	(void)state;
	assert_false(muster_fail_errno(&err, CAUSE_OUTPUT_WRITE, ENOSPC, "writing '%s'", "x"));
	assert_string_equal(err.message, "writing 'x': No space left on device");
	assert_int_equal(err.origin, ORIGIN_ERRNO);
	assert_int_equal(err.native, ENOSPC);
}

static char *long_text(const char *unit, size_t size)
{
	struct text text = TEXT_MAX(8192);
	struct muster_error err;

	while (text.length < size)
		text_add(&text, unit);
	return text_take(&text, &err);
}

static void assert_ends(const char *text, const char *end)
{
	if (strlen(text) < strlen(end) || strcmp(text + strlen(text) - strlen(end), end) != 0)
		fail_msg("'%s' does not end in '%s'", text, end);
}

static void errno_words_are_never_cut(void **state)
{
	CLEANUP(freep) char *path = long_text("long/", 2000);
	struct muster_error err;

	(void)state;
	muster_fail_errno(&err, CAUSE_OUTPUT_WRITE, ENOSPC, "writing '%s'", path);
	assert_ends(err.message, ": No space left on device");
	assert_int_equal(strlen(err.message), MUSTER_ERROR_MESSAGE_SIZE - 1);
	assert_int_equal(strncmp(err.message, "...", 3), 0);
}

static void prefixes_read_from_outside_in(void **state)
{
	struct muster_error err;

	(void)state;
	muster_fail(&err, CAUSE_PIN_LOCKED, "the PIN is locked");
	assert_false(muster_error_prefix(&err, "logging in to token '%s'", "line-3"));
	assert_false(muster_error_prefix(&err, "signing the certificate of %s", "A17"));
	assert_string_equal(
		err.message,
		"signing the certificate of A17: logging in to token 'line-3': the PIN is locked");
	assert_int_equal(err.cause, CAUSE_PIN_LOCKED);
}

static void a_prefix_cuts_the_front_and_never_the_cause(void **state)
{
	struct muster_error err;

	(void)state;
	for (size_t front = 0; front < MUSTER_ERROR_MESSAGE_SIZE + 8; front++) {
		CLEANUP(freep) char *doing = long_text("d", front);

		muster_fail(&err, CAUSE_PIN_LOCKED, "the PIN is locked.");
		muster_error_prefix(&err, "%s", doing);
		assert_ends(err.message, ": the PIN is locked.");
		if (front + 20 < MUSTER_ERROR_MESSAGE_SIZE)
			assert_int_equal(strlen(err.message), front + 20);
		else
			assert_int_equal(strncmp(err.message, "...", 3), 0);
	}
}

static void a_full_message_keeps_its_last_byte_under_a_full_prefix(void **state)
{
	CLEANUP(freep) char *full = long_text("m", MUSTER_ERROR_MESSAGE_SIZE - 2);
	struct muster_error err;

	(void)state;
	muster_fail(&err, CAUSE_INTERNAL, "%s!", full);
	assert_int_equal(strlen(err.message), MUSTER_ERROR_MESSAGE_SIZE - 1);
	muster_error_prefix(&err, "%s and more", full);
	assert_ends(err.message, "mm!");
	assert_int_equal(strlen(err.message), MUSTER_ERROR_MESSAGE_SIZE - 1);
}

static void no_cut_goes_through_a_character(void **state)
{
	static const char *const units[] = { "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x94\x91" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		CLEANUP(freep) char *text = long_text(units[i], 900);

		for (int shift = 0; shift < 5; shift++) {
			struct muster_error err;

			muster_fail(&err, CAUSE_INTERNAL, "%.*s%s", shift, "....", text);
			assert_true(text_is_utf8(err.message, strlen(err.message)));
			assert_true(strlen(err.message) >= MUSTER_ERROR_MESSAGE_SIZE - 4);
			muster_fail(&err, CAUSE_INTERNAL, "%.*s", shift, "....");
			muster_error_prefix(&err, "%s", text);
			assert_true(text_is_utf8(err.message, strlen(err.message)));
			assert_true(strlen(err.message) >= MUSTER_ERROR_MESSAGE_SIZE - 4);
		}
	}
}

static void a_message_may_be_made_of_itself(void **state)
{
	struct muster_error err;

	(void)state;
	muster_fail(&err, CAUSE_CRYPTO, "no");
	muster_fail(&err, CAUSE_PIN_LOCKED, "again: %s", err.message);
	assert_string_equal(err.message, "again: no");
	muster_error_prefix(&err, "%s", err.message);
	assert_string_equal(err.message, "again: no: again: no");
	muster_fail_native(&err, CAUSE_PIN_LOCKED, ORIGIN_PKCS11, 1, "<%s>", err.message);
	assert_string_equal(err.message, "<again: no: again: no>");
	muster_fail_errno(&err, CAUSE_PIN_LOCKED, EIO, "<%s>", err.message);
	assert_contains(err.message, "<<again: no: again: no>>: ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(causes_ascend_and_say_all),
		cmocka_unit_test(an_unknown_cause_is_not_found),
		cmocka_unit_test(codes_have_names),
		cmocka_unit_test(fills_code_from_cause),
		cmocka_unit_test(an_unknown_cause_becomes_internal),
		cmocka_unit_test(errno_brings_its_words),
		cmocka_unit_test(errno_words_are_never_cut),
		cmocka_unit_test(prefixes_read_from_outside_in),
		cmocka_unit_test(a_prefix_cuts_the_front_and_never_the_cause),
		cmocka_unit_test(a_full_message_keeps_its_last_byte_under_a_full_prefix),
		cmocka_unit_test(no_cut_goes_through_a_character),
		cmocka_unit_test(a_message_may_be_made_of_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
