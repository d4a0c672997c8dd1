/* A directory of its own for each test, gone afterwards: *state is its path. */
#pragma once

#include <assert.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "muster/text.h"

#define test_with_directory(function) \
	cmocka_unit_test_setup_teardown(function, temporary_setup, temporary_teardown)

static inline int temporary_setup(void **state)
{
	const char *base = getenv("TMPDIR");
	char *path = text_format("%s/muster-unit-XXXXXX", base ? base : "/tmp");

	*state = path && mkdtemp(path) ? realpath(path, NULL) : NULL;
	free(path);
	return *state ? 0 : -1;
}

static inline int temporary_remove(const char *path, const struct stat *status, int kind,
				   struct FTW *where)
{
	(void)status;
	(void)kind;
	(void)where;
	return remove(path);
}

static inline int temporary_teardown(void **state)
{
	int result = nftw(*state, temporary_remove, 16, FTW_DEPTH | FTW_PHYS);

	free(*state);
	return result;
}

/* Writes a file of exactly that mode; the caller frees its path. */
static inline char *temporary_file(const char *directory, const char *name, const char *content,
				   mode_t mode)
{
	char *path = text_format("%s/%s", directory, name);
	FILE *file = path ? fopen(path, "w") : NULL;

	assert(file);
	fputs(content, file);
	fclose(file);
	chmod(path, mode);
	return path;
}
