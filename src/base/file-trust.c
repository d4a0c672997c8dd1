/* Whether a file could be changed, or another put in its place, by somebody who is neither root nor the caller. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "muster/file.h"

/* As many links as the kernel follows. */
enum { LINKS_MAX = 40 };

struct walk {
	const char *asked; /* as the caller named it, for messages */
	mode_t others;     /* who must not be able to write */
	int links_left;
	struct muster_error *err;
};

static bool is_trusted(const struct walk *walk, const struct stat *status)
{
	if (status->st_uid != 0 && status->st_uid != geteuid())
		return false;
	/* The mode of a link says nothing; in a sticky directory only owners remove and rename. */
	return S_ISLNK(status->st_mode) ||
	       (S_ISDIR(status->st_mode) && (status->st_mode & S_ISVTX)) ||
	       (status->st_mode & walk->others) == 0;
}

static bool check_path(struct walk *walk, const char *path);

/* The directory part of an absolute path. NULL when out of memory. */
static char *directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* Where the link at `path`, which stands in `directory`, leads. */
static bool follow_link(struct walk *walk, const char *path, const char *directory)
{
	char target[PATH_MAX];
	ssize_t length = readlink(path, target, sizeof(target) - 1);
	CLEANUP(freep) char *next = NULL;

	if (length < 0 || walk->links_left-- == 0)
		return muster_fail_errno(walk->err, CAUSE_INPUT_NOT_FOUND,
					 length < 0 ? errno : ELOOP, "following '%s'",
					 PRINTABLE(path));
	target[length] = 0;
	next = *target == '/' ? strdup(target) : text_format("%s/%s", directory, target);
	return next ? check_path(walk, next) : muster_fail_memory(walk->err);
}

/* Every directory on the way first, since each could lead elsewhere, then the thing itself. */
static bool check_path(struct walk *walk, const char *path)
{
	CLEANUP(freep) char *directory = directory_of(path);
	struct stat status;

	if (!directory)
		return muster_fail_memory(walk->err);
	if (strcmp(path, "/") != 0 && !check_path(walk, directory))
		return false;
	if (lstat(path, &status) < 0)
		return muster_fail_errno(walk->err, CAUSE_INPUT_NOT_FOUND, errno, "looking at '%s'",
					 PRINTABLE(path));
	if (!is_trusted(walk, &status))
		return muster_fail(
			walk->err, CAUSE_FILE_OWNER,
			"'%s' is used by '%s' and could be changed by others (mode %04o, owner %u)",
			PRINTABLE(path), PRINTABLE(walk->asked), status.st_mode & 07777,
			status.st_uid);
	return !S_ISLNK(status.st_mode) || follow_link(walk, path, directory);
}

static bool check(const char *path, mode_t others, struct muster_error *err)
{
	struct walk walk = { .asked = path, .others = others, .links_left = LINKS_MAX, .err = err };
	CLEANUP(freep) char *here = NULL;
	CLEANUP(freep) char *whole = NULL;
	struct stat status;

	/* This also bounds the length of what is walked. Not where a link leads: the kernel may refuse to follow a stranger's. */
	if (lstat(path, &status) < 0)
		return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "opening '%s'",
					 PRINTABLE(path));
	if (*path == '/')
		return check_path(&walk, path);
	here = getcwd(NULL, 0);
	if (!here || *here != '/')
		return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno,
					 "finding the directory of '%s'", PRINTABLE(path));
	whole = text_format("%s/%s", here, path);
	return whole ? check_path(&walk, whole) : muster_fail_memory(err);
}

bool file_check_trusted(const char *path, struct muster_error *err)
{
	return check(path, S_IWGRP | S_IWOTH, err);
}

bool file_read_trusted(const char *path, size_t max, struct bytes *ret_bytes,
		       struct muster_error *err)
{
	struct stat status;

	if (!file_check_trusted(path, err))
		return false;
	/* A pipe that nobody writes to would be waited for without end. */
	if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
		return muster_fail(err, CAUSE_INPUT_NOT_FOUND, "'%s' is not a regular file",
				   PRINTABLE(path));
	return file_read(path, max, ret_bytes, err);
}

bool file_read_owned(const char *path, size_t max, struct bytes *ret_bytes,
		     struct muster_error *err)
{
	struct stat status;
	bool is_file = stat(path, &status) == 0 && S_ISREG(status.st_mode);

	return (!is_file || check(path, S_IWOTH, err)) && file_read(path, max, ret_bytes, err);
}
