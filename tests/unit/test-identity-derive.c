#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "muster/encoding.h"
#include "muster/file.h"
#include "muster/identity.h"

#define DOCUMENTED_MASTER \
	"8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw=="

static void derive(const char *id, struct secret *ret_text)
{
	CLEANUP(secret_done) struct secret master = { 0 };
	CLEANUP(secret_done) struct secret key = { 0 };
	struct hmac_key hmac;
	struct muster_error err;

	assert_true(secret_from_base64(&master, DOCUMENTED_MASTER, strlen(DOCUMENTED_MASTER),
				       "the master", &err));
	identity_hmac_key_from_secret(&hmac, &master);
	assert_true(identity_device_key_derive(&hmac, id, &key, &err));
	assert_int_equal(key.size, DEVICE_KEY_SIZE);
	assert_true(secret_to_base64(ret_text, key.data, key.size, &err));
}

static void the_documented_device_key(void **state)
{
	CLEANUP(secret_done) struct secret text = { 0 };

	(void)state;
	derive("sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6", &text);
	assert_string_equal(text.data, "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc=");
}

static void upper_case_makes_the_same_key(void **state)
{
	CLEANUP(secret_done) struct secret text = { 0 };

	(void)state;
	derive("SN-007-888-ABC-MAC-A1-B2-C3-D4-E5-F6", &text);
	assert_string_equal(text.data, "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc=");
}

static bool refusing_hmac(struct hmac_key *key, const void *data, size_t size, uint8_t mac[32],
			  struct muster_error *err)
{
	(void)key, (void)data, (void)size, (void)mac;
	return muster_fail(err, CAUSE_KEY_NOT_FOUND, "no such key");
}

static void a_failing_master_is_named(void **state)
{
	struct hmac_key hmac = { .hmac = refusing_hmac };
	struct secret key = { 0 };
	struct muster_error err;

	(void)state;
	assert_false(identity_device_key_derive(&hmac, "dev-1", &key, &err));
	assert_int_equal(err.cause, CAUSE_KEY_NOT_FOUND);
	assert_string_equal(err.message, "deriving the key of 'dev-1': no such key");
	assert_null(key.data);
}

static void an_invalid_id_derives_nothing(void **state)
{
	struct hmac_key hmac = { .hmac = refusing_hmac };
	struct secret key = { 0 };
	struct muster_error err;

	(void)state;
	assert_false(identity_device_key_derive(&hmac, "dev 1", &key, &err));
	assert_int_equal(err.cause, CAUSE_REGISTRATION_ID_INVALID);
}

/* -- Master files -------------------------------------------------------------------------------------------- */

static char directory[] = "/tmp/muster-test-XXXXXX";

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	(void)state;
	return rmdir(directory);
}

static bool read_master(const char *content, unsigned mode, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret master = { 0 };
	char path[64];
	bool is_good;

	snprintf(path, sizeof(path), "%s/master.key", directory);
	assert_true(file_write(path, content, strlen(content), mode, true, err));
	is_good = identity_master_read(path, &master, err);
	assert_int_equal(unlink(path), 0);
	return is_good;
}

static void master_files(void **state)
{
	static const struct {
		const char *content;
		unsigned mode;
		enum muster_cause cause; /* NONE: accepted */
	} rows[] = {
		{ DOCUMENTED_MASTER, 0600, CAUSE_NONE },
		{ DOCUMENTED_MASTER "\n", 0600, CAUSE_NONE },
		{ DOCUMENTED_MASTER "\n", 0400, CAUSE_NONE },
		{ "AAECAwQFBgcICQoLDA0ODw==", 0600, CAUSE_NONE }, /* 16 bytes */
		{ DOCUMENTED_MASTER, 0640, CAUSE_SECRET_FILE_MODE },
		{ "AAECAwQFBgcICQoLDA0O", 0600, CAUSE_SECRET_INVALID }, /* 15 bytes */
		{ "not base64 at all!", 0600, CAUSE_SECRET_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct muster_error err = { 0 };
		bool is_good = read_master(rows[i].content, rows[i].mode, &err);

		if (is_good != (rows[i].cause == CAUSE_NONE) || err.cause != rows[i].cause)
			fail_msg("row %zu: %s", i, err.message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_documented_device_key),
		cmocka_unit_test(upper_case_makes_the_same_key),
		cmocka_unit_test(a_failing_master_is_named),
		cmocka_unit_test(an_invalid_id_derives_nothing),
		cmocka_unit_test_setup_teardown(master_files, make_directory, remove_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
