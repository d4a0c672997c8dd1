#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "muster/encoding.h"
#include "muster/file.h"

bool file_read(const char *path, size_t max, struct bytes *ret_bytes, struct muster_error *err)
{
	bool is_stdin = strcmp(path, "-") == 0;
	CLEANUP(closep)
	int fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
			  : open(path, O_RDONLY | O_CLOEXEC);
	CLEANUP(text_done) struct text content = TEXT_MAX(max);
	char chunk[16384];
	ssize_t count;

	if (fd < 0)
		return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "opening '%s'",
					 PRINTABLE(path));
	while ((count = read(fd, chunk, sizeof(chunk))) != 0) {
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "reading '%s'",
						 PRINTABLE(path));
		if (content.length + (size_t)count > max)
			return muster_fail(err, CAUSE_INPUT_TOO_LARGE,
					   "'%s' is larger than %zu bytes", PRINTABLE(path), max);
		text_add_bytes(&content, chunk, (size_t)count);
	}
	text_add(&content, "");
	if (!text_ok(&content, err))
		return false;
	*ret_bytes = (struct bytes){ (uint8_t *)content.data, content.length };
	content = (struct text){ 0 };
	return true;
}

char *file_beside(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');

	return text_format("%.*s%s", slash ? (int)(slash + 1 - path) : 0, path, name);
}

char *file_absolute(const char *path)
{
	char directory[PATH_MAX];

	if (*path == '/')
		return strdup(path);
	return getcwd(directory, sizeof(directory)) ? text_format("%s/%s", directory, path)
						    : strdup(path);
}

/* The directory that holds path, opened. */
static int open_parent(const char *path)
{
	char copy[PATH_MAX];

	if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool write_all(int fd, const void *data, size_t size)
{
	const char *rest = data;

	while (size > 0) {
		ssize_t count = write(fd, rest, size);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return false;
		rest += count;
		size -= (size_t)count;
	}
	return true;
}

bool file_check_fd(int64_t fd, const char *option, struct muster_error *err)
{
	int flags = fd > INT_MAX ? -1 : fcntl((int)fd, F_GETFL);

	return (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY) ||
	       muster_fail(err, CAUSE_USAGE, "%s: descriptor %lld is not open for writing", option,
			   (long long)fd);
}

bool file_write_fd(int fd, const void *data, size_t size, struct muster_error *err)
{
	return write_all(fd, data, size) ||
	       muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "writing to descriptor %d", fd);
}

static void make_temporary_name(char temporary[64], const uint8_t random[8])
{
	char hex[17];

	snprintf(temporary, 64, ".muster-%s.tmp", hex_encode(hex, random, 8));
}

static int create(int directory, const char *name)
{
	return openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static void name_of_descriptor(int fd, char name[32])
{
	snprintf(name, 32, "/proc/self/fd/%d", fd);
}

/* Without a name until it is whole, where that can be: of what is cut off nothing is left then. Else *temporary is its name. */
static int create_draft(int directory, char temporary[64], const uint8_t random[8])
{
	int fd = openat(directory, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	char name[32];

	temporary[0] = '\0';
	if (fd >= 0) {
		name_of_descriptor(fd, name);
		if (access(name, F_OK) == 0)
			return fd;
		close(fd);
	}
	make_temporary_name(temporary, random);
	return create(directory, temporary);
}

static bool fill(int fd, const void *data, size_t size, unsigned mode)
{
	return fchmod(fd, (mode_t)mode) == 0 && write_all(fd, data, size);
}

/* The sticks that people carry (FAT, exFAT) have no hard links; what cannot rename without replacing (NFS) has. */
static bool place(int directory, const char *temporary, const char *name, bool replace)
{
	if (renameat2(directory, temporary, directory, name, replace ? 0 : RENAME_NOREPLACE) == 0)
		return true;
	return !replace && (errno == EINVAL || errno == ENOSYS) &&
	       linkat(directory, temporary, directory, name, 0) == 0 &&
	       unlinkat(directory, temporary, 0) == 0;
}

static bool place_draft(int directory, int fd, const char *temporary, const char *name)
{
	char unnamed[32];

	if (temporary[0])
		return place(directory, temporary, name, false);
	name_of_descriptor(fd, unnamed);
	return linkat(AT_FDCWD, unnamed, directory, name, AT_SYMLINK_FOLLOW) == 0;
}

/* Of `path`, from errno. */
static bool fail_write(const char *path, struct muster_error *err)
{
	return errno == EEXIST ? muster_fail(err, CAUSE_OUTPUT_EXISTS, "'%s' exists already",
					     PRINTABLE(path))
			       : muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "writing '%s'",
						   PRINTABLE(path));
}

static bool fail_directory(const char *path, const char *what, struct muster_error *err)
{
	return muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "%s the directory of '%s'", what,
				 PRINTABLE(path));
}

bool file_write(const char *path, const void *data, size_t size, unsigned mode, bool replace,
		struct muster_error *err)
{
	char copy[PATH_MAX], temporary[64];
	uint8_t random[8];
	CLEANUP(closep) int directory = open_parent(path);
	CLEANUP(closep) int fd = -1;

	if (directory < 0)
		return fail_directory(path, "opening", err);
	if (!random_bytes(random, sizeof(random), err))
		return false;
	snprintf(copy, sizeof(copy), "%s", path);
	make_temporary_name(temporary, random);
	fd = create(directory, temporary);
	if (fd < 0)
		return muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "creating '%s'",
					 PRINTABLE(path));
	if (!fill(fd, data, size, mode) || fsync(fd) < 0 ||
	    !place(directory, temporary, basename(copy), replace)) {
		fail_write(path, err);
		unlinkat(directory, temporary, 0);
		return false;
	}
	return fsync(directory) == 0 || fail_directory(path, "syncing", err);
}

/* -- Many at a time -------------------------------------------------------------------------------------------- */

/* The same for the same file: what a killed program left is taken away by the next one. */
static char *draft_name(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	return text_format("%.*s.%s.new", (int)(name - path), path, name);
}

bool file_draft_write(const char *path, const void *data, size_t size, unsigned mode, bool replace,
		      struct file_draft *ret_draft, struct muster_error *err)
{
	CLEANUP(file_draft_done)
	struct file_draft draft = { strdup(path), draft_name(path), replace };
	CLEANUP(closep) int fd = -1;

	if (!draft.path || !draft.temporary)
		return muster_fail_memory(err);
	if (!replace && !file_check_absent(path, err))
		return false;
	fd = create(AT_FDCWD, draft.temporary);
	if (fd < 0 && errno == EEXIST && unlink(draft.temporary) == 0)
		fd = create(AT_FDCWD, draft.temporary);
	if (fd < 0 || !fill(fd, data, size, mode))
		return fail_write(path, err);
	*ret_draft = draft;
	draft = (struct file_draft){ 0 };
	return true;
}

bool file_draft_place(struct file_draft *draft, struct muster_error *err)
{
	if (!place(AT_FDCWD, draft->temporary, draft->path, draft->replace))
		return fail_write(draft->path, err);
	free(TAKE_PTR(draft->temporary));
	return true;
}

void file_draft_done(struct file_draft *draft)
{
	if (draft->temporary)
		unlink(draft->temporary);
	free(draft->temporary);
	free(draft->path);
	*draft = (struct file_draft){ 0 };
}

static bool sync_by(int (*sync_fd)(int fd), const char *directory, struct muster_error *err)
{
	CLEANUP(closep) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return (fd >= 0 && sync_fd(fd) == 0) ||
	       muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "syncing '%s'",
				 PRINTABLE(directory));
}

bool file_system_sync(const char *directory, struct muster_error *err)
{
	return sync_by(syncfs, directory, err);
}

bool directory_sync(const char *directory, struct muster_error *err)
{
	return sync_by(fsync, directory, err);
}

/* -- Piece by piece -------------------------------------------------------------------------------------------- */

bool file_sink_open(struct file_sink *sink, const char *path, unsigned mode,
		    struct muster_error *err)
{
	uint8_t random[8];

	if (!random_bytes(random, sizeof(random), err))
		return false;
	sink->path = path;
	sink->directory = open_parent(path);
	if (sink->directory >= 0)
		sink->fd = create_draft(sink->directory, sink->temporary, random);
	if (sink->fd < 0 || fchmod(sink->fd, (mode_t)mode) < 0)
		return muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "creating '%s'",
					 PRINTABLE(path));
	return true;
}

bool file_sink_write(struct file_sink *sink, const void *data, size_t size,
		     struct muster_error *err)
{
	return write_all(sink->fd, data, size) ||
	       muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "writing '%s'",
				 PRINTABLE(sink->path));
}

bool file_sink_commit(struct file_sink *sink, struct muster_error *err)
{
	char copy[PATH_MAX];

	snprintf(copy, sizeof(copy), "%s", sink->path);
	if (fsync(sink->fd) < 0 ||
	    !place_draft(sink->directory, sink->fd, sink->temporary, basename(copy)))
		return fail_write(sink->path, err);
	sink->temporary[0] = '\0';
	return fsync(sink->directory) == 0 || fail_write(sink->path, err);
}

void file_sink_done(struct file_sink *sink)
{
	if (sink->fd >= 0 && sink->temporary[0])
		unlinkat(sink->directory, sink->temporary, 0);
	closep(&sink->fd);
	closep(&sink->directory);
}

bool file_check_absent(const char *path, struct muster_error *err)
{
	struct stat status;

	return lstat(path, &status) < 0 ||
	       muster_fail(err, CAUSE_OUTPUT_EXISTS, "'%s' exists already", PRINTABLE(path));
}

bool file_check_place(const char *path, struct muster_error *err)
{
	CLEANUP(closep) int directory = open_parent(path);

	return (directory >= 0 && faccessat(directory, ".", W_OK | X_OK, AT_EACCESS) == 0) ||
	       fail_write(path, err);
}

bool file_is_same_place(const char *path, const char *other)
{
	CLEANUP(closep) int directory = open_parent(path);
	CLEANUP(closep) int others = open_parent(other);
	char copy[PATH_MAX], other_copy[PATH_MAX];
	struct stat status, other_status;

	if (directory < 0 || others < 0 || fstat(directory, &status) < 0 ||
	    fstat(others, &other_status) < 0 || status.st_dev != other_status.st_dev ||
	    status.st_ino != other_status.st_ino)
		return false;
	snprintf(copy, sizeof(copy), "%s", path);
	snprintf(other_copy, sizeof(other_copy), "%s", other);
	return strcmp(basename(copy), basename(other_copy)) == 0;
}

bool directory_make(const char *path, struct muster_error *err)
{
	char partial[PATH_MAX];
	struct stat status;

	if (*path == 0 || snprintf(partial, sizeof(partial), "%s", path) >= (int)sizeof(partial))
		return muster_fail(err, CAUSE_OUTPUT_WRITE, "the path '%s' is %s", PRINTABLE(path),
				   *path ? "too long" : "empty");
	for (char *slash = partial + 1;; slash++) {
		char saved = *slash;

		if (saved != '/' && saved != 0)
			continue;
		*slash = 0;
		if (mkdir(partial, 0700) < 0 && errno != EEXIST)
			return muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno,
						 "making directory '%s'", PRINTABLE(partial));
		*slash = saved;
		if (saved == 0)
			break;
	}
	if (stat(path, &status) < 0 || !S_ISDIR(status.st_mode))
		return muster_fail(err, CAUSE_OUTPUT_WRITE, "'%s' is not a directory",
				   PRINTABLE(path));
	return true;
}

bool directory_next(DIR *directory, const char *path, const struct dirent **ret_entry,
		    struct muster_error *err)
{
	errno = 0;
	*ret_entry = readdir(directory);
	return *ret_entry || errno == 0 ||
	       muster_fail_errno(err, CAUSE_FOLDER_UNREADABLE, errno, "reading folder '%s'",
				 PRINTABLE(path));
}

char *directory_state(void)
{
	const char *base = getenv("XDG_STATE_HOME");

	if (base && *base == '/')
		return text_format("%s/muster", base);
	if (geteuid() == 0)
		return strdup("/var/lib/muster");
	base = getenv("HOME");
	if (base && *base == '/')
		return text_format("%s/.local/state/muster", base);
	errno = ENOENT;
	return NULL;
}

bool directory_state_find(const char *what, char **ret_path, struct muster_error *err)
{
	errno = 0;
	*ret_path = directory_state();
	if (*ret_path)
		return true;
	return errno == ENOENT ? muster_fail(err, CAUSE_STATE_UNSET,
					     "there is no home directory to keep %s in", what)
			       : muster_fail_memory(err);
}

char *credential_path(const char *name)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");
	CLEANUP(freep) char *path = NULL;

	if (!directory || directory[0] != '/')
		return NULL;
	path = text_format("%s/%s", directory, name);
	return path && access(path, F_OK) == 0 ? TAKE_PTR(path) : NULL;
}
