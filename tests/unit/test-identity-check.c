#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "muster/encoding.h"
#include "muster/identity.h"

#define SIXTEEN "abcdefghijklmnop"
#define SIXTY_FOUR SIXTEEN SIXTEEN SIXTEEN SIXTEEN

struct case_row {
	const char *text;
	bool is_good;
};

static void check_rows(const struct case_row *rows, size_t count, enum muster_cause cause,
		       bool (*check)(const char *text, struct muster_error *err))
{
	for (size_t i = 0; i < count; i++) {
		struct muster_error err = { 0 };

		if (check(rows[i].text, &err) != rows[i].is_good)
			fail_msg("row %zu '%s': %s", i, rows[i].text, err.message);
		if (!rows[i].is_good)
			assert_int_equal(err.cause, cause);
	}
}

static void serial_rules(void **state)
{
	static const struct case_row rows[] = {
		{ "A17-0042", true }, { "a", true },         { "with space inside", true },
		{ SIXTY_FOUR, true }, { "~!\"#,=+", true },  { SIXTY_FOUR "q", false },
		{ "", false },        { " A17", false },     { "A17 ", false },
		{ "A17\r", false },   { "\x1b[31m", false }, { "caf\xc3\xa9", false },
		{ "A17\x7f", false }, { "A\t17", false },
	};

	(void)state;
	check_rows(rows, ARRAY_SIZE(rows), CAUSE_SERIAL_INVALID, identity_serial_check);
}

static bool check_long_id(const char *text, struct muster_error *err)
{
	return identity_registration_id_check(text, REGISTRATION_ID_MAX, err);
}

static void registration_id_rules(void **state)
{
	static const struct case_row rows[] = {
		{ "gw-1.a_b:c-9", true },
		{ "ends-in-dash-", true },
		{ "GW-UPPER", true },
		{ SIXTY_FOUR SIXTY_FOUR, true },
		{ SIXTY_FOUR SIXTY_FOUR "q", false },
		{ "", false },
		{ "ends-in.", false },
		{ "ends-in_", false },
		{ "ends-in:", false },
		{ "has space", false },
		{ "has/slash", false },
		{ "h\xc3\xa4", false },
	};

	(void)state;
	check_rows(rows, ARRAY_SIZE(rows), CAUSE_REGISTRATION_ID_INVALID, check_long_id);
}

static void x509_ids_fit_a_common_name(void **state)
{
	struct muster_error err;

	(void)state;
	assert_true(identity_registration_id_check(SIXTY_FOUR, REGISTRATION_ID_X509_MAX, &err));
	assert_false(
		identity_registration_id_check(SIXTY_FOUR "q", REGISTRATION_ID_X509_MAX, &err));
}

static void normalising_folds_once(void **state)
{
	char id[REGISTRATION_ID_MAX + 1] = "untouched";
	struct muster_error err;

	(void)state;
	assert_false(identity_registration_id_normalise("No!", REGISTRATION_ID_MAX, id, &err));
	assert_string_equal(id, "untouched");
	assert_true(identity_registration_id_normalise("SN-007:Ab", REGISTRATION_ID_MAX, id, &err));
	assert_string_equal(id, "sn-007:ab");
}

static void device_id_rules(void **state)
{
	static const struct case_row rows[] = {
		{ "Gw-:.+%_#*?!(),=@;$'9", true },
		{ SIXTY_FOUR SIXTY_FOUR, true },
		{ SIXTY_FOUR SIXTY_FOUR "q", false },
		{ "", false },
		{ "a b", false },
		{ "a/b", false },
		{ "a{b", false },
		{ "a\"b", false },
	};

	(void)state;
	check_rows(rows, ARRAY_SIZE(rows), CAUSE_DEVICE_ID_INVALID, identity_device_id_check);
}

/* The endorsement key of the service's documentation. */
static const char documented_ek[] =
	"AToAAQALAAMAsgAgg3GXZ0SEs/gakMyNRqXXJP1S124GUgtk8qHaGzMUaaoABgCAAEMAEAgAAAAA"
	"AAEAxsj2gUScTk1UjuioeTlfGYZrrimExB+bScH75adUMRIi2UOMxG1kw4y+9RW/IVoMl4e620Vx"
	"Zad0ARX2gUqVjYO7KPVt3dyKhZS3dkcvfBisBhP1XH9B33VqHG9SHnbnQXdBUaCgKAfxome8UmBK"
	"fe+naTsE5fkvjb/do3/dD6l4sGBwFCnKRdln4XpM03zLpoHFao8zOwt8l/uP3qUIxmCYv9A7m69M"
	"s+5/pCkTu/rK4mRDsfhZ0QLfbzVI6zQFOKF/rwsfBtFeWlWtcuJMKlXdD8TXWElTzgh7JS4qhFzr"
	"eL0c1mI0GCj+Aws0usZh7dLIVPnlgZcBhgy1SSDQMQ==";

static void default_id_of_the_documented_ek(void **state)
{
	CLEANUP(bytes_done) struct bytes ek = { 0 };
	char id[EK_DIGEST_ID_SIZE];
	struct muster_error err;

	(void)state;
	assert_true(base64_decode(documented_ek, strlen(documented_ek), &ek));
	assert_true(identity_ek_digest_id(ek.data, ek.size, id, &err));
	assert_string_equal(id, "sizmf6sllrqe4op4wm576nl26la72rssxmf7i7oag2fbuy7uvbaq");
	assert_true(identity_registration_id_check(id, REGISTRATION_ID_X509_MAX, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(serial_rules),
		cmocka_unit_test(registration_id_rules),
		cmocka_unit_test(x509_ids_fit_a_common_name),
		cmocka_unit_test(normalising_folds_once),
		cmocka_unit_test(device_id_rules),
		cmocka_unit_test(default_id_of_the_documented_ek),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
