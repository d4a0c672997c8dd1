/* Whom a file is trusted to: its owner, and those of the folders above it. */
#include "unit.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "muster/file.h"
#include "temporary.h"

static char *in(const char *directory, const char *name)
{
	return text_format("%s/%s", directory, name);
}

static void a_file_of_ours_in_directories_of_ours_is_trusted(void **state)
{
	CLEANUP(freep) char *path = temporary_file(*state, "module.so", "", 0755);
	struct muster_error err;

	assert_good(file_check_trusted(path, &err), err);
	assert_good(file_check_trusted("/", &err), err);
	assert_good(chdir(*state) == 0 && file_check_trusted("module.so", &err), err);
	assert_good(file_check_trusted("./../../tmp/../etc/passwd", &err), err);
	assert_int_equal(chdir("/"), 0);
}

static void a_file_that_others_can_write_is_refused(void **state)
{
	CLEANUP(freep) char *path = temporary_file(*state, "module.so", "", 0755);
	struct muster_error err;

	chmod(path, 0775);
	assert_fails(file_check_trusted(path, &err), err, CAUSE_FILE_OWNER);
	chmod(path, 0757);
	assert_fails(file_check_trusted(path, &err), err, CAUSE_FILE_OWNER);
	/* The sticky bit helps a directory, not a file. */
	chmod(path, 01777);
	assert_fails(file_check_trusted(path, &err), err, CAUSE_FILE_OWNER);
	assert_contains(err.message, "mode 1777");
	unlink(path);
	assert_fails(file_check_trusted(path, &err), err, CAUSE_INPUT_NOT_FOUND);
}

static void a_directory_above_that_others_can_write_is_refused(void **state)
{
	CLEANUP(freep) char *outer = in(*state, "outer");
	CLEANUP(freep) char *inner = in(*state, "outer/inner");
	struct muster_error err;
	CLEANUP(freep) char *path = NULL;

	assert_good(directory_make(inner, &err), err);
	path = temporary_file(inner, "module.so", "", 0755);
	chmod(outer, 0777);
	assert_fails(file_check_trusted(path, &err), err, CAUSE_FILE_OWNER);
	assert_contains(err.message, outer);
	chmod(outer, 01777);
	assert_good(file_check_trusted(path, &err), err);
	chmod(outer, 0770);
	assert_fails(file_check_trusted(path, &err), err, CAUSE_FILE_OWNER);
}

static void a_link_is_as_trusted_as_the_directory_it_stands_in(void **state)
{
	CLEANUP(freep) char *good = temporary_file(*state, "module.so", "", 0755);
	CLEANUP(freep) char *loose = in(*state, "loose");
	CLEANUP(freep) char *link = in(*state, "loose/link.so");
	CLEANUP(freep) char *second = in(*state, "second.so");
	CLEANUP(freep) char *by_directory = in(*state, "by/module.so");
	CLEANUP(freep) char *by = in(*state, "by");
	struct muster_error err;

	assert_good(directory_make(loose, &err), err);
	assert_non_null(good);
	assert_int_equal(symlink("../module.so", link), 0);
	assert_int_equal(symlink("loose/link.so", second), 0);
	assert_int_equal(symlink(".", by), 0);
	assert_good(file_check_trusted(link, &err), err);
	assert_good(file_check_trusted(second, &err), err);
	assert_good(file_check_trusted(by_directory, &err), err);
	chmod(loose, 0777);
	assert_fails(file_check_trusted(link, &err), err, CAUSE_FILE_OWNER);
	assert_fails(file_check_trusted(second, &err), err, CAUSE_FILE_OWNER);
}

static void a_strangers_link_in_a_sticky_directory_is_refused(void **state)
{
	CLEANUP(freep) char *good = temporary_file(*state, "good.so", "", 0755);
	CLEANUP(freep) char *link = in(*state, "link.so");
	struct muster_error err;

	assert_int_equal(symlink(good, link), 0);
	chmod(*state, 01777);
	assert_good(file_check_trusted(link, &err), err);
	if (geteuid() != 0)
		return;
	assert_int_equal(lchown(link, 12345, 12345), 0);
	assert_fails(file_check_trusted(link, &err), err, CAUSE_FILE_OWNER);
	assert_int_equal(chown(good, 12345, 12345), 0);
	assert_fails(file_check_trusted(good, &err), err, CAUSE_FILE_OWNER);
}

static void links_in_a_circle_end(void **state)
{
	CLEANUP(freep) char *a = in(*state, "a");
	CLEANUP(freep) char *b = in(*state, "b");
	struct muster_error err;

	assert_int_equal(symlink("b", a) | symlink("a", b), 0);
	assert_fails(file_check_trusted(a, &err), err, CAUSE_INPUT_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_with_directory(a_file_of_ours_in_directories_of_ours_is_trusted),
		test_with_directory(a_file_that_others_can_write_is_refused),
		test_with_directory(a_directory_above_that_others_can_write_is_refused),
		test_with_directory(a_link_is_as_trusted_as_the_directory_it_stands_in),
		test_with_directory(a_strangers_link_in_a_sticky_directory_is_refused),
		test_with_directory(links_in_a_circle_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
