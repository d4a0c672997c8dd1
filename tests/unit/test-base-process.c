/* A hardened process: what it keeps of its environment, what it can no longer do. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <openssl/crypto.h>

#include "muster/clock.h"
#include "muster/process.h"

static void the_environment_is_what_was_allowed(void **state)
{
	static const char *const kept[] = { "PATH",          "HOME",          "LANG",
					    "SOFTHSM2_CONF", "SSL_CERT_FILE", "MUSTER_LOGIN_FILE" };
	static const char *const removed[] = { "SSLKEYLOGFILE",   "PKCS11SPY", "HTTPS_PROXY",
					       "LD_PRELOAD_X",    "PATHX",     "MUSTERX",
					       "OPENSSL_MODULES", "BASH_ENV",  "GCONV_PATH" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		if (!getenv(kept[i]))
			fail_msg("%s is gone", kept[i]);
	for (size_t i = 0; i < ARRAY_SIZE(removed); i++)
		if (getenv(removed[i]))
			fail_msg("%s is still there", removed[i]);
	assert_string_equal(getenv("TSS2_LOG"), "all+none");
	assert_string_equal(getenv("OPENSSL_CONF"), "/dev/null");
}

static void telling_variables_are_remembered(void **state)
{
	const char *const *names = process_removed_variables();
	bool found_keylog = false, found_path = false;

	(void)state;
	for (; *names; names++) {
		found_keylog |= strcmp(*names, "SSLKEYLOGFILE") == 0;
		found_path |= strcmp(*names, "PATH") == 0;
	}
	assert_true(found_keylog);
	assert_false(found_path);
}

static void nothing_can_be_dumped(void **state)
{
	struct rlimit limit;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_CORE, &limit), 0);
	assert_int_equal(limit.rlim_cur, 0);
	assert_int_equal(limit.rlim_max, 0);
	assert_int_equal(prctl(PR_GET_DUMPABLE), 0);
}

static void files_are_private_and_pipes_harmless(void **state)
{
	mode_t mask = umask(077);
	struct sigaction action;

	(void)state;
	assert_int_equal(mask, 077);
	sigaction(SIGPIPE, NULL, &action);
	assert_ptr_equal(action.sa_handler, SIG_IGN);
	sigaction(SIGXFSZ, NULL, &action);
	assert_ptr_equal(action.sa_handler, SIG_IGN);
}

static void libraries_free_through_us(void **state)
{
	CRYPTO_malloc_fn allocate;
	CRYPTO_realloc_fn reallocate;
	CRYPTO_free_fn release;
	void *item;

	(void)state;
	CRYPTO_get_mem_functions(&allocate, &reallocate, &release);
	assert_ptr_not_equal(allocate, CRYPTO_malloc);
	assert_ptr_not_equal(release, CRYPTO_free);
	item = OPENSSL_malloc(10);
	item = OPENSSL_realloc(item, 10000);
	assert_non_null(item);
	OPENSSL_free(item);
	assert_null(OPENSSL_malloc(0));
	item = cJSON_malloc(10);
	cJSON_free(item);
}

/* Stands in for free(): looks whether what is given back was wiped. */
static const char *watched;
static bool was_wiped;

void __real_free(void *pointer);
void __wrap_free(void *pointer);
void __wrap_free(void *pointer)
{
	if (pointer && pointer == watched) {
		was_wiped = !memmem(pointer, malloc_usable_size(pointer), "canary", 6);
		watched = NULL;
	}
	__real_free(pointer);
}

static char *canary(void)
{
	char *text = wiping_malloc(64);

	memset(text, 0, 64);
	memcpy(text + 50, "canary", 6);
	watched = text;
	was_wiped = false;
	return text;
}

static void memory_is_wiped_when_freed_or_moved(void **state)
{
	char *text;

	(void)state;
	wiping_free(canary());
	assert_true(was_wiped);
	text = wiping_realloc(canary(), 100000);
	assert_true(was_wiped);
	assert_string_equal(text + 50, "canary");
	text = wiping_realloc(text, 60);
	assert_string_equal(text + 50, "canary");
	watched = text;
	was_wiped = false;
	assert_null(wiping_realloc(text, 0));
	assert_true(was_wiped);
	text = wiping_realloc(NULL, 8);
	wiping_free(text);
	text = wiping_strdup("x");
	assert_string_equal(text, "x");
	wiping_free(text);
	text = wiping_calloc(3, 5);
	for (size_t i = 0; i < 15; i++)
		assert_int_equal(text[i], 0);
	wiping_free(text);
	wiping_free(NULL);
}

/* Else the next file opened, a journal say, would get what libraries print. main() has closed it. */
static void a_closed_standard_descriptor_is_filled(void **state)
{
	char byte;

	(void)state;
	assert_int_equal(fcntl(STDIN_FILENO, F_GETFD), 0);
	assert_int_equal(read(STDIN_FILENO, &byte, 1), -1);
	assert_int_equal(errno, EBADF);
}

static unsigned looks_until_cancelled = UINT_MAX;

/* Cancels at that look, not before. */
static bool comes_to_its_turn(const void *context)
{
	(void)context;
	return --looks_until_cancelled == 0;
}

static bool run_shell(const char *script, int64_t deadline_ms, struct secret *ret_output,
		      struct process_result *ret_result, struct muster_error *err)
{
	const char *arguments[] = { "/bin/sh", "-c", script, NULL };
	const char *environment[] = { "PATH=/usr/bin:/bin", NULL };
	const struct process_command command = { .arguments = arguments,
						 .environment = environment,
						 .deadline_ms = deadline_ms,
						 .output_max = 64,
						 .is_cancelled = comes_to_its_turn,
						 .context = &looks_until_cancelled };

	return process_run(&command, ret_output, ret_result, err);
}

static void a_program_has_as_long_as_it_was_given(void **state)
{
	static const char *const late[] = { "exec sleep 8", "exec sleep 8 >&- 2>&-" };
	CLEANUP(secret_done) struct secret output = { 0 };
	struct process_result result;
	struct muster_error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(late); i++) {
		assert_false(run_shell(late[i], 200, &output, &result, &err));
		assert_int_equal(err.cause, CAUSE_PROGRAM_FAILED);
	}
	assert_good(run_shell("echo out; echo why >&2; exit 3", 60000, &output, &result, &err),
		    err);
	assert_int_equal(result.status, 3);
	assert_string_equal(result.errors, "why\n");
	assert_memory_equal(output.data, "out\n", 4);
}

/* What it wrote is there, though a child that it left has its outputs still. */
static void whom_a_program_leaves_behind_is_not_waited_for(void **state)
{
	CLEANUP(secret_done) struct secret output = { 0 };
	struct process_result result;
	struct muster_error err;
	int64_t begun_ms = clock_now_ms();

	(void)state;
	assert_good(run_shell("sleep 30 & echo out; echo why >&2", 60000, &output, &result, &err),
		    err);
	assert_in_range(clock_now_ms() - begun_ms, 0, 25000);
	assert_int_equal(result.status, 0);
	assert_string_equal(result.errors, "why\n");
	assert_int_equal(output.size, 4);
	assert_memory_equal(output.data, "out\n", 4);
}

static void a_program_ends_when_it_is_wanted_no_more(void **state)
{
	/* As it goes on; after its outputs are closed; and by its own end, of the same signal perhaps. */
	static const char *const scripts[] = { "exec sleep 60", "exec sleep 60 >&- 2>&-",
					       "exit 130" };
	CLEANUP(secret_done) struct secret output = { 0 };
	struct process_result result;
	struct muster_error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		looks_until_cancelled = 3;
		assert_false(run_shell(scripts[i], 50000, &output, &result, &err));
		assert_int_equal(err.cause, CAUSE_INTERRUPTED);
	}
	looks_until_cancelled = UINT_MAX;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_environment_is_what_was_allowed),
		cmocka_unit_test(telling_variables_are_remembered),
		cmocka_unit_test(nothing_can_be_dumped),
		cmocka_unit_test(files_are_private_and_pipes_harmless),
		cmocka_unit_test(libraries_free_through_us),
		cmocka_unit_test(memory_is_wiped_when_freed_or_moved),
		cmocka_unit_test(a_closed_standard_descriptor_is_filled),
		cmocka_unit_test(a_program_has_as_long_as_it_was_given),
		cmocka_unit_test(whom_a_program_leaves_behind_is_not_waited_for),
		cmocka_unit_test(a_program_ends_when_it_is_wanted_no_more),
	};
	static const char *const variables[] = {
		"PATH",
		"HOME",
		"LANG",
		"SOFTHSM2_CONF",
		"SSL_CERT_FILE",
		"MUSTER_LOGIN_FILE",
		"SSLKEYLOGFILE",
		"PKCS11SPY",
		"HTTPS_PROXY",
		"LD_PRELOAD_X",
		"PATHX",
		"MUSTERX",
		"OPENSSL_MODULES",
		"BASH_ENV",
		"GCONV_PATH",
		"TSS2_LOG",
	};

	clearenv();
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++)
		setenv(variables[i], "x", 1);
	close(STDIN_FILENO);
	process_harden();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
