/* Files: what is read, and how they come into being. */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "muster/file.h"
#include "temporary.h"

static char *in(const char *directory, const char *name)
{
	return text_format("%s/%s", directory, name);
}

static unsigned mode_of(const char *path)
{
	struct stat status;

	assert_int_equal(lstat(path, &status), 0);
	return status.st_mode;
}

static void assert_content(const char *path, const char *content)
{
	CLEANUP(bytes_done) struct bytes bytes = { 0 };
	struct muster_error err;

	assert_good(file_read(path, 4096, &bytes, &err), err);
	assert_string_equal((char *)bytes.data, content);
}

static size_t count_entries(const char *directory)
{
	DIR *stream = opendir(directory);
	size_t count = 0;

	while (readdir(stream))
		count++;
	closedir(stream);
	return count - 2;
}

/* -- Reading ------------------------------------------------------------------------------------------- */

static void reads_up_to_the_maximum(void **state)
{
	CLEANUP(freep) char *path = temporary_file(*state, "f", "0123456789", 0600);
	CLEANUP(bytes_done) struct bytes bytes = { 0 };
	struct bytes none = { 0 };
	struct muster_error err;

	assert_good(file_read(path, 10, &bytes, &err), err);
	assert_int_equal(bytes.size, 10);
	assert_memory_equal(bytes.data, "0123456789", 11);
	assert_fails(file_read(path, 9, &none, &err), err, CAUSE_INPUT_TOO_LARGE);
	assert_contains(err.message, path);
	assert_fails(file_read("/dev/zero", 100000, &none, &err), err, CAUSE_INPUT_TOO_LARGE);
	assert_null(none.data);
}

static void reads_an_empty_file(void **state)
{
	CLEANUP(freep) char *path = temporary_file(*state, "f", "", 0600);
	CLEANUP(bytes_done) struct bytes bytes = { 0 };
	struct muster_error err;

	assert_good(file_read(path, 10, &bytes, &err), err);
	assert_int_equal(bytes.size, 0);
	assert_non_null(bytes.data);
	assert_int_equal(bytes.data[0], 0);
}

static void says_what_could_not_be_read(void **state)
{
	CLEANUP(freep) char *missing = in(*state, "missing\x1b[31m");
	struct bytes none = { 0 };
	struct muster_error err;

	assert_fails(file_read(missing, 10, &none, &err), err, CAUSE_INPUT_NOT_FOUND);
	assert_contains(err.message, "missing\\x1b[31m': No such file");
	assert_fails(file_read(*state, 10, &none, &err), err, CAUSE_INPUT_NOT_FOUND);
}

static void a_dash_is_standard_input(void **state)
{
	CLEANUP(freep) char *path = temporary_file(*state, "f", "piped", 0600);
	CLEANUP(closep) int before = dup(STDIN_FILENO);
	CLEANUP(closep) int fd = open(path, O_RDONLY);

	dup2(fd, STDIN_FILENO);
	assert_content("-", "piped");
	dup2(before, STDIN_FILENO);
}

/* -- Writing ------------------------------------------------------------------------------------------- */

static void writes_with_the_mode_asked_for(void **state)
{
	static const unsigned modes[] = { 0600, 0640, 0644, 0400 };
	CLEANUP(freep) char *path = in(*state, "f");
	struct muster_error err;
	mode_t before = umask(077);

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		assert_good(file_write(path, "content", 7, modes[i], true, &err), err);
		assert_int_equal(mode_of(path) & 07777, modes[i]);
		assert_content(path, "content");
	}
	umask(before);
	assert_int_equal(count_entries(*state), 1);
}

static void never_overwrites_unless_asked_to(void **state)
{
	CLEANUP(freep) char *path = in(*state, "f");
	struct muster_error err;

	assert_good(file_write(path, "first", 5, 0600, false, &err), err);
	assert_fails(file_write(path, "second", 6, 0600, false, &err), err, CAUSE_OUTPUT_EXISTS);
	assert_content(path, "first");
	assert_good(file_write(path, "third", 5, 0600, true, &err), err);
	assert_content(path, "third");
	assert_int_equal(count_entries(*state), 1);
}

static void never_writes_through_a_link(void **state)
{
	CLEANUP(freep) char *target = temporary_file(*state, "target", "safe", 0600);
	CLEANUP(freep) char *link = in(*state, "link");
	CLEANUP(freep) char *dangling = in(*state, "dangling");
	struct muster_error err;

	assert_int_equal(symlink("target", link), 0);
	assert_int_equal(symlink("nowhere", dangling), 0);
	assert_fails(file_write(link, "evil", 4, 0600, false, &err), err, CAUSE_OUTPUT_EXISTS);
	assert_fails(file_write(dangling, "evil", 4, 0600, false, &err), err, CAUSE_OUTPUT_EXISTS);
	assert_int_equal(count_entries(*state), 3);
	assert_good(file_write(link, "new", 3, 0600, true, &err), err);
	assert_true(S_ISREG(mode_of(link)));
	assert_content(link, "new");
	assert_content(target, "safe");
}

static void a_file_comes_whole_or_not_at_all(void **state)
{
	CLEANUP(freep) char *path = in(*state, "f");
	CLEANUP(freep) char *old = temporary_file(*state, "f", "old", 0600);
	struct stat before, after;
	struct muster_error err;
	CLEANUP(closep) int reader = open(path, O_RDONLY);
	char content[4] = { 0 };

	assert_non_null(old);
	fstat(reader, &before);
	assert_good(file_write(path, "new", 3, 0600, true, &err), err);
	stat(path, &after);
	assert_true(before.st_ino != after.st_ino);
	assert_int_equal(read(reader, content, 3), 3);
	assert_string_equal(content, "old");
}

static void a_draft_gets_its_name_when_all_is_on_disk(void **state)
{
	CLEANUP(freep) char *path = in(*state, "f");
	CLEANUP(freep) char *beside = in(*state, ".f.new");
	CLEANUP(file_draft_done) struct file_draft draft = { 0 };
	struct muster_error err;

	assert_good(file_draft_write(path, "first", 5, 0600, false, &draft, &err), err);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(mode_of(beside), S_IFREG | 0600);
	assert_good(file_system_sync(*state, &err), err);
	assert_good(file_draft_place(&draft, &err), err);
	assert_good(directory_sync(*state, &err), err);
	assert_content(path, "first");
	file_draft_done(&draft);
	assert_int_equal(count_entries(*state), 1);
	assert_fails(file_draft_write(path, "second", 6, 0600, false, &draft, &err), err,
		     CAUSE_OUTPUT_EXISTS);
	assert_good(file_draft_write(path, "third", 5, 0600, true, &draft, &err), err);
	assert_content(path, "first");
	assert_good(file_draft_place(&draft, &err), err);
	assert_content(path, "third");
	assert_int_equal(count_entries(*state), 1);
}

static void a_draft_that_is_not_placed_goes(void **state)
{
	CLEANUP(freep) char *path = in(*state, "f");
	CLEANUP(freep)
	char *left = temporary_file(*state, ".f.new", "of one that was killed", 0600);
	CLEANUP(freep) char *late = NULL;
	struct file_draft draft = { 0 };
	struct muster_error err;

	assert_non_null(left);
	assert_good(file_draft_write(path, "whole", 5, 0600, false, &draft, &err), err);
	late = temporary_file(*state, "f", "somebody else's", 0600);
	assert_fails(file_draft_place(&draft, &err), err, CAUSE_OUTPUT_EXISTS);
	file_draft_done(&draft);
	assert_content(late, "somebody else's");
	assert_int_equal(count_entries(*state), 1);
}

static void says_what_could_not_be_written(void **state)
{
	CLEANUP(freep) char *missing = in(*state, "missing/f");
	CLEANUP(freep) char *file = temporary_file(*state, "file", "", 0600);
	CLEANUP(freep) char *below = in(*state, "file/f");
	CLEANUP(freep) char *long_name = text_format("%s/%0300d", (char *)*state, 0);
	CLEANUP(freep) char *long_path = text_format("%s/%05000d", (char *)*state, 0);
	struct muster_error err;

	assert_true(missing && file);
	assert_fails(file_write(missing, "x", 1, 0600, false, &err), err, CAUSE_OUTPUT_WRITE);
	assert_contains(err.message, "No such file");
	assert_fails(file_write(below, "x", 1, 0600, false, &err), err, CAUSE_OUTPUT_WRITE);
	assert_fails(file_write(long_name, "x", 1, 0600, false, &err), err, CAUSE_OUTPUT_WRITE);
	assert_fails(file_write(long_path, "x", 1, 0600, false, &err), err, CAUSE_OUTPUT_WRITE);
	assert_fails(file_write(*state, "x", 1, 0600, true, &err), err, CAUSE_OUTPUT_WRITE);
	assert_int_equal(count_entries(*state), 1);
}

/* The order of the calls that make a file durable, as the linker's wraps see it. */
static struct text calls;
static bool is_recording;

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	struct stat status;

	fstat(fd, &status);
	if (is_recording)
		text_add(&calls, S_ISDIR(status.st_mode) ? "sync-directory " : "sync-file ");
	return __real_fsync(fd);
}

/* What the file system that is played does not have; 0: nothing. */
static int no_rename, no_link;

int __real_renameat2(int from, const char *old, int to, const char *new, unsigned flags);
int __wrap_renameat2(int from, const char *old, int to, const char *new, unsigned flags);
int __wrap_renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
	if (is_recording)
		text_add(&calls, flags == RENAME_NOREPLACE ? "rename-new " : "rename ");
	if (flags && no_rename) {
		errno = no_rename;
		return -1;
	}
	return __real_renameat2(from, old, to, new, flags);
}

int __real_linkat(int from, const char *old, int to, const char *new, int flags);
int __wrap_linkat(int from, const char *old, int to, const char *new, int flags);
int __wrap_linkat(int from, const char *old, int to, const char *new, int flags)
{
	if (is_recording)
		text_add(&calls, "link ");
	if (no_link) {
		errno = no_link;
		return -1;
	}
	return __real_linkat(from, old, to, new, flags);
}

int __real_openat64(int directory, const char *path, int flags, unsigned mode);
int __wrap_openat64(int directory, const char *path, int flags, unsigned mode);
int __wrap_openat64(int directory, const char *path, int flags, unsigned mode)
{
	if ((flags & O_TMPFILE) == O_TMPFILE && (no_link || no_rename)) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return __real_openat64(directory, path, flags, mode);
}

static void content_is_durable_before_its_name(void **state)
{
	CLEANUP(freep) char *path = in(*state, "f");
	struct muster_error err;

	is_recording = true;
	assert_good(file_write(path, "x", 1, 0600, false, &err), err);
	assert_string_equal(calls.data, "sync-file rename-new sync-directory ");
	text_done(&calls);
	assert_good(file_write(path, "x", 1, 0600, true, &err), err);
	assert_string_equal(calls.data, "sync-file rename sync-directory ");
	text_done(&calls);
	is_recording = false;
}

static void write_in_all_ways(const char *directory)
{
	CLEANUP(freep) char *a = in(directory, "a");
	CLEANUP(freep) char *b = in(directory, "b");
	CLEANUP(freep) char *c = in(directory, "c");
	CLEANUP(file_draft_done) struct file_draft draft = { 0 };
	CLEANUP(file_sink_done) struct file_sink sink = FILE_SINK_NONE;
	struct muster_error err;

	assert_good(file_write(a, "x", 1, 0600, false, &err), err);
	assert_fails(file_write(a, "y", 1, 0600, false, &err), err, CAUSE_OUTPUT_EXISTS);
	assert_good(file_draft_write(b, "x", 1, 0600, false, &draft, &err), err);
	assert_good(file_draft_place(&draft, &err), err);
	assert_good(file_sink_open(&sink, c, 0600, &err), err);
	assert_good(file_sink_write(&sink, "x", 1, &err), err);
	assert_good(file_sink_commit(&sink, &err), err);
	assert_content(a, "x");
	assert_content(c, "x");
	unlink(a);
	unlink(b);
	unlink(c);
}

/* A stick has no links, another machine's disk no renaming to what must not be there. */
static void a_file_comes_to_any_file_system(void **state)
{
	no_link = EPERM;
	write_in_all_ways(*state);
	no_link = 0;
	no_rename = EINVAL;
	write_in_all_ways(*state);
	no_rename = 0;
	assert_int_equal(count_entries(*state), 0);
}

/* Nor has what is cut off left anything, keys say. */
static void a_new_file_has_no_name_before_it_is_whole(void **state)
{
	CLEANUP(freep) char *path = in(*state, "f");
	CLEANUP(file_sink_done) struct file_sink sink = FILE_SINK_NONE;
	struct muster_error err;

	assert_good(file_sink_open(&sink, path, 0600, &err), err);
	assert_good(file_sink_write(&sink, "x", 1, &err), err);
	assert_int_equal(count_entries(*state), 0);
	assert_good(file_sink_commit(&sink, &err), err);
	assert_content(path, "x");
	file_sink_done(&sink);
	assert_good(file_sink_open(&sink, path, 0600, &err), err);
	assert_fails(file_sink_commit(&sink, &err), err, CAUSE_OUTPUT_EXISTS);
	assert_content(path, "x");
	unlink(path);
}

/* -- Directories --------------------------------------------------------------------------------------- */

static void makes_missing_parents(void **state)
{
	CLEANUP(freep) char *path = in(*state, "a/b//c/");
	CLEANUP(freep) char *parent = in(*state, "a");
	struct muster_error err;

	assert_good(directory_make(path, &err), err);
	assert_int_equal(mode_of(path), S_IFDIR | 0700);
	assert_int_equal(mode_of(parent), S_IFDIR | 0700);
	assert_good(directory_make(path, &err), err);
	assert_good(directory_make("/", &err), err);
	assert_good(directory_make(".", &err), err);
}

static void refuses_what_cannot_be_a_directory(void **state)
{
	CLEANUP(freep) char *file = temporary_file(*state, "file", "", 0600);
	CLEANUP(freep) char *below = in(*state, "file/below");
	CLEANUP(freep) char *too_long = text_format("/%05000d", 0);
	struct muster_error err;

	assert_fails(directory_make(file, &err), err, CAUSE_OUTPUT_WRITE);
	assert_fails(directory_make(below, &err), err, CAUSE_OUTPUT_WRITE);
	assert_fails(directory_make(too_long, &err), err, CAUSE_OUTPUT_WRITE);
	assert_fails(directory_make("", &err), err, CAUSE_OUTPUT_WRITE);
}

static void state_lies_where_the_system_says(void **state)
{
	CLEANUP(freep) char *named = NULL;
	CLEANUP(freep) char *fallback = NULL;

	(void)state;
	setenv("XDG_STATE_HOME", "/x/state", 1);
	named = directory_state();
	assert_string_equal(named, "/x/state/muster");
	setenv("XDG_STATE_HOME", "relative", 1);
	setenv("HOME", "/home/op", 1);
	fallback = directory_state();
	assert_string_equal(fallback,
			    geteuid() == 0 ? "/var/lib/muster" : "/home/op/.local/state/muster");
	unsetenv("XDG_STATE_HOME");
}

static void what_needs_a_state_directory_says_so(void **state)
{
	CLEANUP(freep) char *path = NULL;
	CLEANUP(freep) char *found = NULL;
	uid_t self = geteuid();
	struct muster_error err;

	(void)state;
	setenv("XDG_STATE_HOME", "/state", 1);
	assert_good(directory_state_find("things", &found, &err), err);
	assert_string_equal(found, "/state/muster");
	unsetenv("XDG_STATE_HOME");
	unsetenv("HOME");
	if (self == 0)
		assert_int_equal(seteuid(12345), 0); /* root has one without a home */
	assert_fails(directory_state_find("things", &path, &err), err, CAUSE_STATE_UNSET);
	assert_int_equal(seteuid(self), 0);
	assert_non_null(strstr(err.message, "no home directory to keep things in"));
}

/* -- Folders ------------------------------------------------------------------------------------------------- */

/* After so many names the disk fails; -1: it does not. */
static int names_left = -1;

struct dirent *__real_readdir64(DIR *directory);
struct dirent *__wrap_readdir64(DIR *directory);
struct dirent *__wrap_readdir64(DIR *directory)
{
	if (names_left == 0) {
		errno = EIO;
		return NULL;
	}
	names_left -= names_left > 0;
	return __real_readdir64(directory);
}

/* How many names there are; -1: that cannot be said. */
static int count_names(const char *path, struct muster_error *err)
{
	CLEANUP(closedirp) DIR *directory = opendir(path);
	const struct dirent *entry;
	int count = 0;

	assert_non_null(directory);
	for (;;) {
		errno = ENOENT;
		if (!directory_next(directory, path, &entry, err))
			return -1;
		if (!entry)
			return count;
		count++;
	}
}

static void a_folder_ends_where_its_names_do(void **state)
{
	struct muster_error err;

	free(temporary_file(*state, "a", "", 0600));
	free(temporary_file(*state, "b", "", 0600));
	assert_int_equal(count_names(*state, &err), 4);
	for (names_left = 0; names_left < 3; names_left++) {
		int start = names_left;

		assert_int_equal(count_names(*state, &err), -1);
		assert_int_equal(err.cause, CAUSE_FOLDER_UNREADABLE);
		assert_int_equal(err.native, EIO);
		names_left = start;
	}
	names_left = -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_with_directory(reads_up_to_the_maximum),
		test_with_directory(reads_an_empty_file),
		test_with_directory(says_what_could_not_be_read),
		test_with_directory(a_dash_is_standard_input),
		test_with_directory(writes_with_the_mode_asked_for),
		test_with_directory(never_overwrites_unless_asked_to),
		test_with_directory(never_writes_through_a_link),
		test_with_directory(a_file_comes_whole_or_not_at_all),
		test_with_directory(a_draft_gets_its_name_when_all_is_on_disk),
		test_with_directory(a_draft_that_is_not_placed_goes),
		test_with_directory(says_what_could_not_be_written),
		test_with_directory(content_is_durable_before_its_name),
		test_with_directory(a_file_comes_to_any_file_system),
		test_with_directory(a_new_file_has_no_name_before_it_is_whole),
		test_with_directory(makes_missing_parents),
		test_with_directory(refuses_what_cannot_be_a_directory),
		cmocka_unit_test(state_lies_where_the_system_says),
		cmocka_unit_test(what_needs_a_state_directory_says_so),
		test_with_directory(a_folder_ends_where_its_names_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
