/* The real worker program asked as the station asks it: tokens, logins, trouble. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../lib/hsm-bench.h"

/* -- Finding the token ---------------------------------------------------------------------------------------- */

static void opens_the_token_of_label_and_serial(void **state)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	char uri[256];

	(void)state;
	for (int i = 0; i < 2; i++) {
		worker_message_done(&reply);
		snprintf(uri, sizeof(uri), "pkcs11:token=twin;serial=%s", serials[i]);
		must(open_uri(uri, &reply));
		assert_string_equal(worker_text(&reply, FIELD_SERIAL), serials[i]);
		assert_string_equal(worker_text(&reply, FIELD_LABEL), "twin");
		assert_string_equal(worker_text(&reply, FIELD_MANUFACTURER), "SoftHSM project");
	}
}

static void names_the_tokens_that_match(void **state)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };

	(void)state;
	must_fail(open_uri("pkcs11:token=twin", &reply), CAUSE_TOKEN_AMBIGUOUS);
	assert_non_null(strstr(error.message, serials[0]));
	assert_non_null(strstr(error.message, serials[1]));
	assert_null(strstr(error.message, serials[2]));
	must_fail(login(PIN), CAUSE_WORKER_PROTOCOL);
}

static void refuses_what_is_not_there(void **state)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };

	(void)state;
	must_fail(open_uri("pkcs11:token=gone", &reply), CAUSE_TOKEN_NOT_FOUND);
	must_fail(open_uri("pkcs11:token=lone;serial=0000", &reply), CAUSE_TOKEN_NOT_FOUND);
	must_fail(open_uri("pkcs11:token=lone;tokem=x", &reply), CAUSE_TOKEN_URI_INVALID);
}

/* libp11 waits for ever here. */
static void an_uninitialised_token_does_not_hang(void **state)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };

	(void)state;
	must_fail(open_uri("pkcs11:serial=", &reply), CAUSE_TOKEN_UNINITIALISED);
	must(open_uri(lone_uri(), &reply));
}

static bool look(uint64_t index, struct worker_message *reply)
{
	struct worker_message request = { 0 };

	worker_request_init(&request, WORKER_HSM_TOKEN);
	worker_add_text(&request, FIELD_MODULE, MODULE);
	worker_add_u64(&request, FIELD_INDEX, index);
	return ask(&request, reply);
}

static void lists_every_token(void **state)
{
	size_t seen = 0;

	(void)state;
	for (uint64_t i = 0; i < 5; i++) {
		CLEANUP(worker_message_done) struct worker_message reply = { 0 };
		const char *serial, *words;

		must(look(i, &reply));
		assert_int_equal(worker_u64(&reply, FIELD_COUNT), 4);
		serial = worker_text(&reply, FIELD_SERIAL);
		words = worker_text(&reply, FIELD_FLAG_WORDS);
		assert_int_equal(serial != NULL, i < 4);
		for (size_t token = 0; serial && token < 3; token++) {
			bool is_this = strcmp(serial, serials[token]) == 0;

			seen += is_this;
			assert_true(
				!is_this ||
				text_has_prefix(words, "initialized user-pin-set login-required"));
		}
	}
	assert_int_equal(seen, 3);
}

static void refuses_a_module_that_is_none(void **state)
{
	static const char *const modules[] = { "/nonexistent.so", "/etc/hostname", "libsofthsm2.so",
					       "/usr/lib/x86_64-linux-gnu/libcrypto.so.3" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(modules); i++) {
		CLEANUP(worker_message_done) struct worker_message reply = { 0 };
		struct worker_message request = { 0 };

		worker_request_init(&request, WORKER_HSM_TOKEN);
		worker_add_text(&request, FIELD_MODULE, modules[i]);
		worker_add_u64(&request, FIELD_INDEX, 0);
		must_fail(ask(&request, &reply),
			  i == 0 ? CAUSE_INPUT_NOT_FOUND : CAUSE_MODULE_UNUSABLE);
	}
}

static void refuses_a_module_that_others_can_change(void **state)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	struct worker_message request = { 0 };
	char command[512], path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/module.so", directory);
	snprintf(command, sizeof(command), "cp " MODULE " %s && chmod 0666 %s", path, path);
	run(command);
	worker_request_init(&request, WORKER_HSM_TOKEN);
	worker_add_text(&request, FIELD_MODULE, path);
	worker_add_u64(&request, FIELD_INDEX, 0);
	must_fail(ask(&request, &reply), CAUSE_FILE_OWNER);
}

/* -- Login ----------------------------------------------------------------------------------------------------- */

static void a_wrong_pin_is_sent_once(void **state)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };

	(void)state;
	must(open_uri(twin_uri(), &reply));
	must_fail(login("99999999"), CAUSE_PIN_REFUSED);
	assert_int_equal(error.origin, ORIGIN_PKCS11);
	assert_int_equal(error.native, 0xa0);
	assert_null(strstr(error.message, "99999999"));
	/* Even the right one: a person has to say so first. */
	must_fail(login_in_state(PIN, 1), CAUSE_PIN_REMEMBERED);
}

/* After the test before. */
static void a_token_that_saw_a_wrong_pin_is_left_alone(void **state)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };

	(void)state;
	must(open_uri(twin_uri(), &reply));
	must_fail(login(PIN), CAUSE_PIN_COUNT_LOW);
	must(login_in_state(PIN, 1));
	worker_message_done(&reply);
	must(open_uri(twin_uri(), &reply));
	must(login(PIN));
}

static void a_pin_that_cannot_be_right_is_not_sent(void **state)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };

	(void)state;
	must(open_uri(lone_uri(), &reply));
	must_fail(login(""), CAUSE_PIN_MISSING);
	must_fail(login("12"), CAUSE_SECRET_INVALID);
	must_fail(login(PIN "\n\n"), CAUSE_SECRET_INVALID);
	must_fail(login(PIN "\nother"), CAUSE_SECRET_INVALID);
	must_fail(login("\r" PIN), CAUSE_SECRET_INVALID);
	must_fail(login(PIN "\x7f"), CAUSE_SECRET_INVALID);
	must_fail(login("\xef\xbb\xbf" PIN), CAUSE_SECRET_INVALID);
	must(login(PIN));
	must(login(PIN));
}

static void a_login_needs_a_descriptor(void **state)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	struct worker_message request = { 0 };

	(void)state;
	must(open_uri(lone_uri(), &reply));
	worker_message_done(&reply);
	worker_request_init(&request, WORKER_HSM_LOGIN);
	worker_add_u64(&request, FIELD_PIN_STATE, 0);
	must_fail(ask(&request, &reply), CAUSE_PIN_MISSING);
}

static void keys_need_a_login(void **state)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 }, made = { 0 };
	struct worker_message request = { 0 };

	(void)state;
	must(open_uri(lone_uri(), &reply));
	worker_request_init(&request, WORKER_HSM_KEY_GENERATE);
	worker_add_bytes(&request, FIELD_KEY_ID, "early", 5);
	worker_add_text(&request, FIELD_LABEL, "early");
	worker_add_text(&request, FIELD_KEY_TYPE, "ec-p256");
	must_fail(ask(&request, &made), CAUSE_PIN_MISSING);
	/* The token hides its keys now: an empty list would be a lie. */
	worker_request_init(&request, WORKER_HSM_KEYS);
	must_fail(ask(&request, &made), CAUSE_PIN_MISSING);
}

/* -- Trouble --------------------------------------------------------------------------------------------------- */

static pid_t only_child(void)
{
	char path[64];
	int pid = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%d", &pid), 1);
	fclose(file);
	return pid;
}

static void a_module_that_hangs_is_ended(void **state)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	struct worker_message request = { 0 };

	(void)state;
	open_and_login();
	assert_return_code(kill(only_child(), SIGSTOP), 0);
	worker_request_init(&request, WORKER_HSM_HMAC); /* five seconds */
	worker_add_text(&request, FIELD_KEY_URI, "pkcs11:object=any");
	worker_add_bytes(&request, FIELD_DATA, "x", 1);
	must_fail(ask(&request, &reply), CAUSE_MODULE_HANGS);
	assert_false(worker_is_alive(worker));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_WORKER(opens_the_token_of_label_and_serial),
		WITH_WORKER(names_the_tokens_that_match),
		WITH_WORKER(refuses_what_is_not_there),
		WITH_WORKER(an_uninitialised_token_does_not_hang),
		WITH_WORKER(lists_every_token),
		WITH_WORKER(refuses_a_module_that_is_none),
		WITH_WORKER(refuses_a_module_that_others_can_change),
		WITH_WORKER(a_wrong_pin_is_sent_once),
		WITH_WORKER(a_token_that_saw_a_wrong_pin_is_left_alone),
		WITH_WORKER(a_pin_that_cannot_be_right_is_not_sent),
		WITH_WORKER(a_login_needs_a_descriptor),
		WITH_WORKER(keys_need_a_login),
		WITH_WORKER(a_module_that_hangs_is_ended),
	};

	return cmocka_run_group_tests(tests, make_tokens, remove_tokens);
}
