/* Secrets: where they lie, what is read into them, and their base64. */
#include "unit.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "muster/encoding.h"
#include "muster/secret.h"
#include "muster/text.h"
#include "temporary.h"

/* -- Holding ------------------------------------------------------------------------------------------- */

static void a_new_secret_is_zero_and_terminated(void **state)
{
	static const size_t sizes[] = { 0, 1, 4095, 4096, 4097, SECRET_MAX };
	CLEANUP(secret_done) struct secret secret = { 0 };
	struct muster_error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		assert_good(secret_new(&secret, sizes[i], &err), err);
		assert_int_equal(secret.size, sizes[i]);
		for (size_t at = 0; at <= sizes[i]; at++)
			assert_int_equal(secret.data[at], 0);
		memset(secret.data, 'x', sizes[i]);
	}
	secret_done(&secret);
	assert_null(secret.data);
	assert_int_equal(secret.size, 0);
	secret_done(&secret);
}

static void a_copy_may_be_of_itself(void **state)
{
	CLEANUP(secret_done) struct secret secret = { 0 };
	struct muster_error err;

	(void)state;
	assert_good(secret_copy(&secret, "0123456789", 10, &err), err);
	assert_good(secret_copy(&secret, secret.data + 3, 4, &err), err);
	assert_int_equal(secret.size, 4);
	assert_string_equal((char *)secret.data, "3456");
}

static void shrinking_wipes_the_tail(void **state)
{
	CLEANUP(secret_done) struct secret secret = { 0 };
	struct muster_error err;

	(void)state;
	assert_good(secret_copy(&secret, "0123456789", 10, &err), err);
	secret_shrink(&secret, 4);
	assert_int_equal(secret.size, 4);
	for (size_t i = 4; i < 10; i++)
		assert_int_equal(secret.data[i], 0);
	secret_shrink(&(struct secret){ 0 }, 0);
}

static void one_line_end_is_removed(void **state)
{
	static const struct {
		const char *before, *after;
	} rows[] = {
		{ "", "" },           { "pin", "pin" },     { "pin\n", "pin" },
		{ "pin\r\n", "pin" }, { "pin\r", "pin\r" }, { "pin\n\n", "pin\n" },
		{ "\n", "" },         { "\r\n", "" },       { " pin ", " pin " },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(secret_done) struct secret secret = { 0 };
		struct muster_error err;

		assert_good(secret_copy(&secret, rows[i].before, strlen(rows[i].before), &err),
			    err);
		secret_chomp(&secret);
		assert_int_equal(secret.size, strlen(rows[i].after));
		assert_string_equal((char *)secret.data, rows[i].after);
	}
	secret_chomp(&(struct secret){ 0 });
}

static void secrets_are_compared(void **state)
{
	CLEANUP(secret_done) struct secret a = { 0 };
	CLEANUP(secret_done) struct secret b = { 0 };
	struct muster_error err;

	(void)state;
	assert_true(secret_equal(&a, &b));
	assert_good(secret_copy(&a, "abc", 3, &err), err);
	assert_false(secret_equal(&a, &b));
	assert_good(secret_copy(&b, "abd", 3, &err), err);
	assert_false(secret_equal(&a, &b));
	assert_good(secret_copy(&b, "ab", 2, &err), err);
	assert_false(secret_equal(&a, &b));
	assert_good(secret_copy(&b, "abc", 3, &err), err);
	assert_true(secret_equal(&a, &b));
}

/* What /proc/self/smaps says of the mapping that holds `address`. */
static bool mapping_has_flag(const void *address, const char *flag)
{
	CLEANUP(fclosep) FILE *smaps = fopen("/proc/self/smaps", "r");
	uintptr_t start, end;
	char line[512];
	bool is_ours = false;

	while (smaps && fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &start, &end) == 2)
			is_ours = start <= (uintptr_t)address && (uintptr_t)address < end;
		if (is_ours && text_has_prefix(line, "VmFlags:"))
			return strstr(line, flag);
	}
	return false;
}

static void pages_stay_out_of_dumps_and_children(void **state)
{
	CLEANUP(secret_done) struct secret secret = { 0 };
	struct muster_error err;

	(void)state;
	assert_good(secret_copy(&secret, "canary", 6, &err), err);
	assert_true(mapping_has_flag(secret.data, " dd"));
	assert_true(mapping_has_flag(secret.data, " wf"));
}

static void pages_are_used_again(void **state)
{
	CLEANUP(secret_done) struct secret secret = { 0 };
	struct muster_error err;
	uint8_t *before;

	(void)state;
	assert_good(secret_copy(&secret, "canary", 6, &err), err);
	before = secret.data;
	secret_done(&secret);
	assert_good(secret_new(&secret, 6, &err), err);
	assert_ptr_equal(secret.data, before);
	assert_memory_equal(secret.data, "\0\0\0\0\0\0", 6);
}

/* It would have them without their lock. */
static void a_forked_child_uses_no_pages_again(void **state)
{
	CLEANUP(secret_done) struct secret secret = { 0 };
	struct muster_error err;
	uint8_t *before;
	int status;
	pid_t child;

	(void)state;
	assert_good(secret_copy(&secret, "canary", 6, &err), err);
	before = secret.data;
	secret_done(&secret);
	child = fork();
	if (child == 0)
		_exit(secret_new(&secret, 6, &err) && secret.data != before ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void many_at_once_are_no_obstacle(void **state)
{
	struct secret secrets[40] = { 0 };
	struct muster_error err;

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(secrets); i++)
			assert_good(secret_new(&secrets[i], i % 4 * 4096, &err), err);
		for (size_t i = 0; i < ARRAY_SIZE(secrets); i++)
			secret_done(&secrets[i]);
	}
}

/* -- Reading ------------------------------------------------------------------------------------------- */

static int pipe_with(const void *data, size_t size)
{
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	fcntl(ends[1], F_SETPIPE_SZ, 2 * SECRET_MAX);
	assert_int_equal(write(ends[1], data, size), size);
	close(ends[1]);
	return ends[0];
}

static void reads_a_descriptor_to_its_end(void **state)
{
	CLEANUP(closep) int fd = pipe_with("pin\n", 4);
	CLEANUP(secret_done) struct secret secret = { 0 };
	struct muster_error err;

	(void)state;
	assert_good(secret_read_fd(&secret, fd, 4, "the PIN", &err), err);
	assert_int_equal(secret.size, 4);
	assert_string_equal((char *)secret.data, "pin\n");
}

static void refuses_more_than_allowed_and_keeps_what_was(void **state)
{
	CLEANUP(closep) int fd = pipe_with("12345", 5);
	CLEANUP(secret_done) struct secret secret = { 0 };
	struct muster_error err;

	(void)state;
	assert_good(secret_copy(&secret, "old", 3, &err), err);
	assert_fails(secret_read_fd(&secret, fd, 4, "the PIN", &err), err, CAUSE_SECRET_INVALID);
	assert_contains(err.message, "the PIN");
	assert_string_equal((char *)secret.data, "old");
}

static void reads_the_largest_secret(void **state)
{
	CLEANUP(freep) char *data = calloc(1, SECRET_MAX + 1);
	CLEANUP(closep) int fits = pipe_with(data, SECRET_MAX);
	CLEANUP(closep) int too_long = pipe_with(data, SECRET_MAX + 1);
	CLEANUP(secret_done) struct secret secret = { 0 };
	struct muster_error err;

	(void)state;
	assert_good(secret_read_fd(&secret, fits, SECRET_MAX, "it", &err), err);
	assert_int_equal(secret.size, SECRET_MAX);
	assert_fails(secret_read_fd(&secret, too_long, SECRET_MAX, "it", &err), err,
		     CAUSE_SECRET_INVALID);
}

static void reading_fails_with_the_systems_words(void **state)
{
	struct secret secret = { 0 };
	struct muster_error err;

	(void)state;
	assert_fails(secret_read_fd(&secret, -1, 10, "the PIN", &err), err, CAUSE_SECRET_INVALID);
	assert_contains(err.message, "reading the PIN: ");
	assert_null(secret.data);
}

static void a_file_is_read_when_it_is_ours_alone(void **state)
{
	const char *directory = *state;
	CLEANUP(freep) char *path = temporary_file(directory, "key", "c2VjcmV0\n", 0600);
	CLEANUP(secret_done) struct secret secret = { 0 };
	struct muster_error err;

	assert_good(secret_read_file(&secret, path, 64, &err), err);
	assert_string_equal((char *)secret.data, "c2VjcmV0");
	chmod(path, 0400);
	assert_good(secret_read_file(&secret, path, 64, &err), err);
}

static void a_file_others_may_touch_is_refused(void **state)
{
	static const mode_t modes[] = { 0640, 0604, 0620, 0602, 0610, 0601, 0666, 0644 };
	const char *directory = *state;
	CLEANUP(freep) char *path = temporary_file(directory, "key", "secret", 0600);
	struct secret secret = { 0 };
	struct muster_error err;

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		chmod(path, modes[i]);
		assert_fails(secret_read_file(&secret, path, 64, &err), err,
			     CAUSE_SECRET_FILE_MODE);
		assert_fails(secret_open_file(path, &err) >= 0, err, CAUSE_SECRET_FILE_MODE);
	}
	assert_null(secret.data);
}

static void a_file_of_another_user_is_refused(void **state)
{
	const char *directory = *state;
	CLEANUP(freep) char *path = temporary_file(directory, "key", "secret", 0600);
	struct secret secret = { 0 };
	struct muster_error err;

	/* Only root can give a file away; everybody else has no such file to read. */
	if (geteuid() != 0)
		return;
	assert_int_equal(chown(path, 12345, 12345), 0);
	assert_fails(secret_read_file(&secret, path, 64, &err), err, CAUSE_SECRET_FILE_MODE);
}

static void only_regular_files_hold_secrets(void **state)
{
	const char *directory = *state;
	CLEANUP(freep) char *fifo = text_format("%s/fifo", directory);
	CLEANUP(freep) char *missing = text_format("%s/missing", directory);
	struct secret secret = { 0 };
	struct muster_error err;

	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_fails(secret_read_file(&secret, fifo, 64, &err), err, CAUSE_SECRET_FILE_MODE);
	assert_fails(secret_read_file(&secret, directory, 64, &err), err, CAUSE_SECRET_FILE_MODE);
	assert_fails(secret_read_file(&secret, "/dev/null", 64, &err), err, CAUSE_SECRET_FILE_MODE);
	assert_fails(secret_read_file(&secret, missing, 64, &err), err, CAUSE_INPUT_NOT_FOUND);
}

static void an_empty_or_too_long_file_is_refused(void **state)
{
	const char *directory = *state;
	CLEANUP(freep) char *empty = temporary_file(directory, "empty", "", 0600);
	CLEANUP(freep) char *newline = temporary_file(directory, "newline", "\n", 0600);
	CLEANUP(freep) char *full = temporary_file(directory, "full", "12345678", 0600);
	CLEANUP(secret_done) struct secret secret = { 0 };
	struct muster_error err;

	assert_fails(secret_read_file(&secret, empty, 64, &err), err, CAUSE_SECRET_INVALID);
	assert_fails(secret_read_file(&secret, newline, 64, &err), err, CAUSE_SECRET_INVALID);
	assert_fails(secret_read_file(&secret, full, 7, &err), err, CAUSE_SECRET_INVALID);
	assert_good(secret_read_file(&secret, full, 8, &err), err);
}

static void an_opened_file_is_not_inherited(void **state)
{
	const char *directory = *state;
	CLEANUP(freep) char *path = temporary_file(directory, "pin", "1234", 0600);
	struct muster_error err;
	CLEANUP(closep) int fd = secret_open_file(path, &err);

	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

/* -- Base64 -------------------------------------------------------------------------------------------- */

static void base64_is_the_same_as_for_other_bytes(void **state)
{
	uint8_t data[256];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 89 + 5);
	for (size_t size = 1; size <= sizeof(data); size++) {
		CLEANUP(freep) char *expected = base64_encode(data, size);
		CLEANUP(secret_done) struct secret text = { 0 };
		CLEANUP(secret_done) struct secret back = { 0 };
		struct muster_error err;
		size_t back_size;

		assert_good(secret_to_base64(&text, data, size, &err), err);
		assert_string_equal((char *)text.data, expected);
		assert_int_equal(text.size, strlen(expected));
		assert_good(secret_from_base64(&back, (char *)text.data, text.size, "it", &err),
			    err);
		assert_int_equal(back.size, size);
		assert_memory_equal(back.data, data, size);
		assert_true(secret_base64_check((char *)text.data, text.size, &back_size));
		assert_int_equal(back_size, size);
	}
}

static void lax_base64_is_refused(void **state)
{
	static const char *const rows[] = {
		"",         "Zg",           "=",        "====",         "Z===",
		"Zg==\n",   " Zg=",         "Zm9v\n",   "Zh==",         "Zm9=",
		"Zg==Zg==", "Zm9-",         "Zm9_",     "Z=9v",         "=m9v",
		"Zm=v",     "Zm9v====",     "Zm9v----", "\t\t\t\tZm9v", "\n\n\n\nZm9v",
		"    Zm9v", "Zm9v\n\n\n\n", "Zm9\xff",  "Zm9v\r\n\r\n",
	};
	CLEANUP(secret_done) struct secret secret = { 0 };
	struct muster_error err;
	size_t size;

	(void)state;
	assert_good(secret_copy(&secret, "old", 3, &err), err);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (secret_from_base64(&secret, rows[i], strlen(rows[i]), "the key", &err))
			fail_msg("'%s' is taken", rows[i]);
		assert_int_equal(err.cause, CAUSE_SECRET_INVALID);
		assert_false(secret_base64_check(rows[i], strlen(rows[i]), &size));
		if (*rows[i])
			assert_null(strstr(err.message, rows[i]));
	}
	assert_string_equal((char *)secret.data, "old");
}

static void every_character_is_base64_or_not(void **state)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	(void)state;
	for (int c = 1; c < 256; c++) {
		char text[] = { 'A', 'A', (char)c, 'A', 'A', 'A', 'A', 'A' };
		CLEANUP(secret_done) struct secret secret = { 0 };
		struct muster_error err;

		if (secret_from_base64(&secret, text, sizeof(text), "it", &err) !=
		    (strchr(alphabet, c) != NULL))
			fail_msg("character %d", c);
	}
}

static void too_long_for_base64_is_an_error(void **state)
{
	CLEANUP(freep) char *data = calloc(1, SECRET_MAX + 4);
	CLEANUP(secret_done) struct secret secret = { 0 };
	struct muster_error err;

	(void)state;
	assert_good(secret_to_base64(&secret, data, SECRET_MAX / 4 * 3, &err), err);
	assert_fails(secret_to_base64(&secret, data, SECRET_MAX / 4 * 3 + 1, &err), err,
		     CAUSE_SECRET_INVALID);
	memset(data, 'A', SECRET_MAX + 4);
	assert_good(secret_from_base64(&secret, data, SECRET_MAX, "it", &err), err);
	assert_fails(secret_from_base64(&secret, data, SECRET_MAX + 4, "it", &err), err,
		     CAUSE_SECRET_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_secret_is_zero_and_terminated),
		cmocka_unit_test(a_copy_may_be_of_itself),
		cmocka_unit_test(shrinking_wipes_the_tail),
		cmocka_unit_test(one_line_end_is_removed),
		cmocka_unit_test(secrets_are_compared),
		cmocka_unit_test(pages_stay_out_of_dumps_and_children),
		cmocka_unit_test(pages_are_used_again),
		cmocka_unit_test(a_forked_child_uses_no_pages_again),
		cmocka_unit_test(many_at_once_are_no_obstacle),
		cmocka_unit_test(reads_a_descriptor_to_its_end),
		cmocka_unit_test(refuses_more_than_allowed_and_keeps_what_was),
		cmocka_unit_test(reads_the_largest_secret),
		cmocka_unit_test(reading_fails_with_the_systems_words),
		test_with_directory(a_file_is_read_when_it_is_ours_alone),
		test_with_directory(a_file_others_may_touch_is_refused),
		test_with_directory(a_file_of_another_user_is_refused),
		test_with_directory(only_regular_files_hold_secrets),
		test_with_directory(an_empty_or_too_long_file_is_refused),
		test_with_directory(an_opened_file_is_not_inherited),
		cmocka_unit_test(base64_is_the_same_as_for_other_bytes),
		cmocka_unit_test(lax_base64_is_refused),
		cmocka_unit_test(every_character_is_base64_or_not),
		cmocka_unit_test(too_long_for_base64_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
