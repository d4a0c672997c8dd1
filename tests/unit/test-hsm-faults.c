/* Modules that lie, lose things and fall over: what the worker says to it, and what it leaves on the token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/rsa.h>

#include "../lib/hsm-bench.h"
#include "muster/spki.h"

static char logins[128];

/* The module is copied to where nobody else can change it; a build directory need not be such a place. */
static int make_bench(void **state)
{
	static char path[128];
	const char *built = getenv("MUSTER_FAULT_MODULE");
	char command[512];

	if (!built || make_tokens(state) != 0)
		return -1;
	snprintf(path, sizeof(path), "%s/fault.so", directory);
	snprintf(command, sizeof(command), "cp '%s' %s && chmod 0755 %s", built, path, path);
	run(command);
	module = path;
	snprintf(logins, sizeof(logins), "%s/logins", directory);
	return 0;
}

/* Ends the worker of before. */
static void with_fault(const char *fault)
{
	char variable[128], note[192];

	stop_worker(NULL);
	remove(logins);
	snprintf(variable, sizeof(variable), "MUSTER_FAULT=%s", fault);
	snprintf(note, sizeof(note), "MUSTER_FAULT_LOGINS=%s", logins);
	assert_int_equal(start_worker_with(variable, note), 0);
}

static bool open_lone(void)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };

	return open_uri(lone_uri(), &reply);
}

static bool ask_key(enum worker_verb verb, struct worker_message *reply)
{
	struct worker_message request = { 0 };

	worker_request_init(&request, verb);
	worker_add_bytes(&request, FIELD_KEY_ID, "fault", 5);
	if (verb == WORKER_HSM_KEY_GENERATE) {
		worker_add_text(&request, FIELD_LABEL, "fault");
		worker_add_text(&request, FIELD_KEY_TYPE, "ec-p256");
	}
	if (verb == WORKER_HSM_SIGN) {
		worker_add_u64(&request, FIELD_SCHEME, 1);
		worker_add_u64(&request, FIELD_HASH, 1);
		worker_add_bytes(&request, FIELD_DIGEST, "0123456789abcdef0123456789abcdef", 32);
	}
	return ask(&request, reply);
}

static bool ask_about_key(enum worker_verb verb)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };

	return ask_key(verb, &reply);
}

static bool key_is_there(void)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };

	with_fault("none");
	open_and_login();
	must(ask_key(WORKER_HSM_KEY_DESTROY, &reply));
	return worker_u64(&reply, FIELD_FOUND) == 1;
}

/* -- Opening and login ------------------------------------------------------------------------------------------ */

static void opening_says_what_is_wrong(void **state)
{
	static const struct {
		const char *fault;
		enum muster_cause cause;
	} cases[] = {
		{ "many-slots", CAUSE_HSM_ANSWER_INVALID },
		{ "no-session", CAUSE_HSM_COMMAND_FAILED }, /* libp11 would wait for ever */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		with_fault(cases[i].fault);
		must_fail(open_lone(), cases[i].cause);
	}
	with_fault("none");
	must(open_lone());
}

static off_t login_count(void)
{
	struct stat status;

	return stat(logins, &status) == 0 ? status.st_size : 0;
}

static void no_pin_is_sent_when_it_should_not_be(void **state)
{
	static const struct {
		const char *fault;
		enum muster_cause cause;
		enum muster_cause accepted; /* when a person accepts a low count */
	} cases[] = {
		{ "locked", CAUSE_PIN_LOCKED, CAUSE_PIN_LOCKED },
		{ "expired", CAUSE_PIN_LOCKED, CAUSE_PIN_LOCKED },
		{ "final-try", CAUSE_PIN_FINAL_TRY, CAUSE_PIN_FINAL_TRY },
		{ "count-low", CAUSE_PIN_COUNT_LOW, CAUSE_NONE },
		{ "exchanged", CAUSE_TOKEN_GONE, CAUSE_TOKEN_GONE },
		{ "removed", CAUSE_TOKEN_GONE, CAUSE_TOKEN_GONE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		with_fault(cases[i].fault);
		must(open_lone());
		must_fail(login(PIN), cases[i].cause);
		assert_int_not_equal(access(logins, F_OK), 0);
		if (cases[i].accepted == CAUSE_NONE) {
			must(login_in_state(PIN, 1));
			continue;
		}
		must_fail(login_in_state(PIN, 1), cases[i].accepted);
		assert_int_not_equal(access(logins, F_OK), 0);
	}
}

static void a_refused_pin_is_sent_once(void **state)
{
	(void)state;
	with_fault("pin-refused");
	must(open_lone());
	must_fail(login(PIN), CAUSE_PIN_REFUSED);
	must_fail(login(PIN), CAUSE_PIN_REMEMBERED);
	must(open_lone());
	must_fail(login_in_state(PIN, 1), CAUSE_PIN_REMEMBERED);
	assert_int_equal(login_count(), 1);
	with_fault("pin-locked");
	must(open_lone());
	must_fail(login(PIN), CAUSE_PIN_LOCKED);
}

/* -- Keys ------------------------------------------------------------------------------------------------------- */

static void a_key_that_is_not_as_asked_is_destroyed(void **state)
{
	static const struct {
		const char *fault;
		enum muster_cause cause;
	} cases[] = {
		{ "extractable", CAUSE_KEY_ATTRIBUTES },
		{ "may-decrypt", CAUSE_KEY_ATTRIBUTES },
		{ "not-boolean", CAUSE_HSM_ANSWER_INVALID },
		{ "off-curve", CAUSE_HSM_ANSWER_INVALID },
		{ "cut-point", CAUSE_HSM_ANSWER_INVALID },
		{ "huge-attribute", CAUSE_HSM_ANSWER_INVALID },
		{ "no-curves", CAUSE_HSM_UNSUPPORTED },
		{ "many-objects", CAUSE_HSM_ANSWER_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		with_fault(cases[i].fault);
		open_and_login();
		must_fail(ask_about_key(WORKER_HSM_KEY_GENERATE), cases[i].cause);
		assert_false(key_is_there());
	}
}

static void what_a_module_may_do_differently_is_taken(void **state)
{
	static const struct {
		const char *fault;
		const char *attribute;
	} cases[] = {
		{ "bare-point", "local=true" },
		{ "nothing-known", "local=unknown" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(worker_message_done) struct worker_message made = { 0 };

		with_fault(cases[i].fault);
		open_and_login();
		must(ask_key(WORKER_HSM_KEY_GENERATE, &made));
		assert_non_null(strstr(worker_text(&made, FIELD_ATTRIBUTES), cases[i].attribute));
		assert_true(key_is_there());
	}
}

static void a_bad_signature_does_not_leave(void **state)
{
	static const struct {
		const char *fault;
		enum muster_cause cause;
	} cases[] = {
		{ "bad-signature", CAUSE_SIGNATURE_INVALID },
		{ "sign-refused", CAUSE_HSM_COMMAND_FAILED },
		{ "crash", CAUSE_WORKER_DIED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		with_fault(cases[i].fault);
		open_and_login();
		must(ask_about_key(WORKER_HSM_KEY_GENERATE));
		must_fail(ask_about_key(WORKER_HSM_SIGN), cases[i].cause);
		assert_true(key_is_there());
	}
}

/* All sessions go at once; the first that notices logs in, for all. */
static void a_lost_token_is_logged_in_to_once(void **state)
{
	struct worker *own, *lines[3];

	(void)state;
	with_fault("lost");
	open_and_login();
	must(ask_about_key(WORKER_HSM_KEY_GENERATE));
	own = worker;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		must(worker_join(own, &lines[i], &error));
	for (size_t i = 0; i < 2 * ARRAY_SIZE(lines); i++) {
		worker = lines[i % ARRAY_SIZE(lines)];
		must(ask_about_key(WORKER_HSM_SIGN));
		assert_int_equal(login_count(), 2);
	}
	worker = own;
	must(ask_about_key(WORKER_HSM_SIGN));
	assert_int_equal(login_count(), 2);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		worker_free(lines[i]);
	assert_true(key_is_there());
}

/* From the fourth look for objects on the module fails: one was for the key's ID, two for both halves of the key. */
static void what_a_session_found_serves_the_others(void **state)
{
	struct worker *own, *lines[3];

	(void)state;
	with_fault("C_FindObjectsInit=0x5@4");
	open_and_login();
	must(ask_about_key(WORKER_HSM_KEY_GENERATE));
	own = worker;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		must(worker_join(own, &lines[i], &error));
	for (size_t i = 0; i < 2 * ARRAY_SIZE(lines); i++) {
		worker = lines[i % ARRAY_SIZE(lines)];
		must(ask_about_key(WORKER_HSM_SIGN));
	}
	worker = own;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		worker_free(lines[i]);
	assert_true(key_is_there());
}

static void a_pin_that_is_refused_again_is_not_sent_a_third_time(void **state)
{
	(void)state;
	with_fault("lost-pin");
	open_and_login();
	must(ask_about_key(WORKER_HSM_KEY_GENERATE));
	must_fail(ask_about_key(WORKER_HSM_SIGN), CAUSE_PIN_REFUSED);
	must_fail(ask_about_key(WORKER_HSM_SIGN), CAUSE_PIN_MISSING);
	must(open_lone());
	must_fail(login(PIN), CAUSE_PIN_REMEMBERED);
	assert_int_equal(login_count(), 2);
	assert_true(key_is_there());
}

static bool wrap_out(const struct bytes *recipient)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	struct worker_message request = { 0 };

	worker_request_init(&request, WORKER_HSM_WRAP_OUT);
	worker_add_bytes(&request, FIELD_KEY_ID, "leaves", 6);
	worker_add_bytes(&request, FIELD_RECIPIENT, recipient->data, recipient->size);
	return ask(&request, &reply);
}

/* Each wrapping puts one object there for the recipient, the first two more to see how the token wraps; the fifth fails. */
static void how_a_token_wraps_is_tried_once(void **state)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	struct worker_message request = { 0 };
	EVP_PKEY *recipient = EVP_RSA_gen(2048);
	struct bytes spki = { 0 };

	(void)state;
	assert_true(spki_write(recipient, &spki));
	with_fault("C_CreateObject=0x5@5");
	open_and_login();
	worker_request_init(&request, WORKER_HSM_KEY_GENERATE);
	worker_add_bytes(&request, FIELD_KEY_ID, "leaves", 6);
	worker_add_text(&request, FIELD_LABEL, "leaves");
	worker_add_text(&request, FIELD_KEY_TYPE, "ec-p256");
	worker_add_u64(&request, FIELD_LEAVES, 1);
	must(ask(&request, &reply));
	must(wrap_out(&spki));
	must(wrap_out(&spki));
	must_fail(wrap_out(&spki), CAUSE_HSM_COMMAND_FAILED);
	bytes_done(&spki);
	EVP_PKEY_free(recipient);
}

/* Nobody sees a private key who is not logged in: it must not look like one that is missing. */
static void a_key_is_not_missing_for_who_is_not_logged_in(void **state)
{
	EVP_PKEY *recipient = EVP_RSA_gen(2048);
	struct bytes spki = { 0 };

	(void)state;
	assert_true(spki_write(recipient, &spki));
	with_fault("none");
	must(open_lone());
	must_fail(wrap_out(&spki), CAUSE_PIN_MISSING);
	bytes_done(&spki);
	EVP_PKEY_free(recipient);
}

static bool ask_for_hmac(const char *uri)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	struct worker_message request = { 0 };

	worker_request_init(&request, WORKER_HSM_HMAC);
	worker_add_text(&request, FIELD_KEY_URI, uri);
	worker_add_bytes(&request, FIELD_DATA, "x", 1);
	return ask(&request, &reply);
}

static void a_master_is_looked_for_once(void **state)
{
	(void)state;
	import_secret("once", "0123456789abcdef0123456789abcdef");
	with_fault("C_FindObjectsInit=0x5@2");
	open_and_login();
	must(ask_for_hmac("pkcs11:object=once"));
	must(ask_for_hmac("pkcs11:object=once"));
	must_fail(ask_for_hmac("pkcs11:type=secret-key;object=once"), CAUSE_HSM_COMMAND_FAILED);
}

static void an_hmac_comes_from_the_token_or_not_at_all(void **state)
{
	static const struct {
		const char *fault;
		enum muster_cause cause;
	} cases[] = {
		{ "no-hmac", CAUSE_HSM_UNSUPPORTED },
		{ "huge-signature", CAUSE_HSM_ANSWER_INVALID },
	};

	(void)state;
	import_secret("imported", "0123456789abcdef0123456789abcdef");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		with_fault(cases[i].fault);
		open_and_login();
		must_fail(ask_for_hmac("pkcs11:object=imported"), cases[i].cause);
	}
}

#define WITHOUT_WORKER(test) cmocka_unit_test_teardown(test, stop_worker)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITHOUT_WORKER(opening_says_what_is_wrong),
		WITHOUT_WORKER(no_pin_is_sent_when_it_should_not_be),
		WITHOUT_WORKER(a_refused_pin_is_sent_once),
		WITHOUT_WORKER(a_key_that_is_not_as_asked_is_destroyed),
		WITHOUT_WORKER(what_a_module_may_do_differently_is_taken),
		WITHOUT_WORKER(a_bad_signature_does_not_leave),
		WITHOUT_WORKER(a_lost_token_is_logged_in_to_once),
		WITHOUT_WORKER(what_a_session_found_serves_the_others),
		WITHOUT_WORKER(a_pin_that_is_refused_again_is_not_sent_a_third_time),
		WITHOUT_WORKER(how_a_token_wraps_is_tried_once),
		WITHOUT_WORKER(a_key_is_not_missing_for_who_is_not_logged_in),
		WITHOUT_WORKER(a_master_is_looked_for_once),
		WITHOUT_WORKER(an_hmac_comes_from_the_token_or_not_at_all),
	};

	return cmocka_run_group_tests(tests, make_bench, remove_tokens);
}
