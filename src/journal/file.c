/* The journal as a file: where it lies, whose it is, who holds it, and whether there is room. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "muster/file.h"
#include "muster/log.h"
#include "muster/text.h"

#include "journal-internal.h"

#define SPACE_RESERVE (10ULL * 1024 * 1024)
#define SPACE_PER_DEVICE \
	(24ULL * 1024) /* three times what a device's rows and index entries take */

/* File systems whose locks or syncs cannot be relied upon. */
static const struct {
	unsigned long magic;
	const char *name;
} refused_systems[] = {
	{ NFS_SUPER_MAGIC, "NFS" }, { SMB_SUPER_MAGIC, "SMB" }, { 0xFE534D42, "SMB" },
	{ 0xFF534D42, "CIFS" },     { 0x65735546, "FUSE" },     { AFS_SUPER_MAGIC, "AFS" },
	{ 0x00C36400, "Ceph" },
};

char *journal_default_path(void)
{
	CLEANUP(freep) char *directory = directory_state();

	return directory ? text_format("%s/journal.db", directory) : NULL;
}

bool journal_path_choose(const char *given, const char *configured, char **ret_path,
			 struct muster_error *err)
{
	if (!given)
		given = configured;
	errno = 0;
	*ret_path = given ? strdup(given) : journal_default_path();
	if (*ret_path)
		return true;
	return errno == ENOENT ? muster_fail(err, CAUSE_JOURNAL_UNSET,
					     "looking for the journal: no path is given, and there "
					     "is no home directory")
			       : muster_fail_memory(err);
}

/* dirname() without its writing into the argument. */
static char *directory_of(const char *path)
{
	CLEANUP(freep) char *copy = strdup(path);

	return copy ? strdup(dirname(copy)) : NULL;
}

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool journal_file_resolve(const char *path, enum journal_mode mode, char **ret_path,
			  struct muster_error *err)
{
	CLEANUP(freep) char *directory = directory_of(path);
	CLEANUP(freep) char *real = NULL;
	char *absolute;

	if (!directory)
		return muster_fail_memory(err);
	if (name_of(path)[0] == '\0')
		return muster_fail(err, CAUSE_JOURNAL_WRITE, "journal '%s': not a file name",
				   PRINTABLE(path));
	if (mode == JOURNAL_WRITE && !directory_make(directory, err)) {
		err->cause = CAUSE_JOURNAL_WRITE;
		err->code = MUSTER_E_STORAGE;
		return muster_error_prefix(err, "making the directory of journal '%s'",
					   PRINTABLE(path));
	}
	real = realpath(directory, NULL);
	if (!real)
		return muster_fail_errno(
			err, mode != JOURNAL_WRITE ? CAUSE_INPUT_NOT_FOUND : CAUSE_JOURNAL_WRITE,
			errno, "journal '%s'", PRINTABLE(path));
	absolute = text_format("%s/%s", strcmp(real, "/") == 0 ? "" : real, name_of(path));
	if (!absolute)
		return muster_fail_memory(err);
	*ret_path = absolute;
	return true;
}

/* The lock file is never removed: removing it would let two writers hold two files of one name. */
bool journal_file_lock(const char *path, int *ret_fd, struct muster_error *err)
{
	CLEANUP(freep) char *lock_path = text_format("%s.lock", path);
	CLEANUP(closep) int fd = -1;

	if (!lock_path)
		return muster_fail_memory(err);
	fd = open(lock_path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (fd < 0)
		return muster_fail_errno(err,
					 errno == ENOSPC || errno == EDQUOT ? CAUSE_DISK_FULL
									    : CAUSE_JOURNAL_WRITE,
					 errno, "opening the lock file '%s'", lock_path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return muster_fail(err, CAUSE_JOURNAL_BUSY,
					   "another run has the journal '%s' open", path);
		return muster_fail_errno(err, CAUSE_JOURNAL_WRITE, errno, "locking '%s'",
					 lock_path);
	}
	*ret_fd = TAKE_FD(fd);
	return true;
}

/* Synced with its directory, so that a power cut cannot take the name away again. */
static bool create(const char *path, struct muster_error *err)
{
	CLEANUP(freep) char *directory = directory_of(path);
	CLEANUP(closep) int fd = -1;
	CLEANUP(closep) int directory_fd = -1;

	if (!directory)
		return muster_fail_memory(err);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0)
		directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || directory_fd < 0 || fsync(directory_fd) < 0)
		return muster_fail_errno(err,
					 errno == ENOSPC || errno == EDQUOT ? CAUSE_DISK_FULL
									    : CAUSE_JOURNAL_WRITE,
					 errno, "making the journal '%s'", path);
	log_notice("journal '%s' is new", PRINTABLE(path));
	return true;
}

static bool check_owner(const char *path, const struct stat *status, enum journal_mode mode,
			struct muster_error *err)
{
	uid_t self = geteuid();

	if (!S_ISREG(status->st_mode))
		return muster_fail(err, CAUSE_JOURNAL_WRITE,
				   "journal '%s' is a link or no regular file", path);
	if (status->st_uid != self && !(mode != JOURNAL_WRITE && self == 0))
		return muster_fail(err, CAUSE_JOURNAL_WRITE,
				   "journal '%s' belongs to another user (uid %u)", path,
				   (unsigned)status->st_uid);
	if (status->st_mode & 077)
		return muster_fail(err, CAUSE_JOURNAL_WRITE,
				   "journal '%s' has mode %04o, more than 0600", path,
				   (unsigned)status->st_mode & 07777);
	if (status->st_nlink != 1)
		return muster_fail(err, CAUSE_JOURNAL_WRITE,
				   "journal '%s' has a second name (hard link)", path);
	return true;
}

/* The rollback journal decides what the file will hold: it must be ours too. */
static bool check_companion(const char *path, enum journal_mode mode, struct muster_error *err)
{
	CLEANUP(freep) char *companion = text_format("%s-journal", path);
	struct stat status;

	if (!companion)
		return muster_fail_memory(err);
	if (lstat(companion, &status) < 0)
		return true;
	return check_owner(companion, &status, mode, err);
}

static bool check_system(const char *path, struct muster_error *err)
{
	struct statfs system;

	if (statfs(path, &system) < 0)
		return muster_fail_errno(err, CAUSE_JOURNAL_WRITE, errno, "journal '%s'", path);
	for (size_t i = 0; i < ARRAY_SIZE(refused_systems); i++) {
		if ((unsigned long)system.f_type == refused_systems[i].magic)
			return muster_fail(err, CAUSE_JOURNAL_WRITE,
					   "journal '%s' lies on %s, whose locks and syncs "
					   "cannot be relied upon; use a local disk",
					   path, refused_systems[i].name);
	}
	return true;
}

/* No descriptor of an existing file is opened here: closing it would drop the locks that SQLite holds in this process. */
bool journal_file_check(const char *path, enum journal_mode mode, struct muster_error *err)
{
	struct stat status;

	if (lstat(path, &status) < 0) {
		if (errno != ENOENT)
			return muster_fail_errno(err, CAUSE_JOURNAL_WRITE, errno, "journal '%s'",
						 path);
		if (mode != JOURNAL_WRITE)
			return muster_fail(err, CAUSE_INPUT_NOT_FOUND, "no journal at '%s'", path);
		return create(path, err) && check_companion(path, mode, err) &&
		       check_system(path, err);
	}
	return check_owner(path, &status, mode, err) && check_companion(path, mode, err) &&
	       check_system(path, err);
}

/* The path itself, or the nearest directory above it that exists. */
static bool space_at(const char *path, struct statvfs *system, struct muster_error *err)
{
	CLEANUP(freep) char *place = strdup(path);

	while (place && statvfs(place, system) < 0) {
		char *parent;

		if (errno != ENOENT || strcmp(place, ".") == 0 || strcmp(place, "/") == 0)
			return muster_fail_errno(err, CAUSE_JOURNAL_WRITE, errno, "journal '%s'",
						 PRINTABLE(path));
		parent = directory_of(place);
		free(place);
		place = parent;
	}
	return place ? true : muster_fail_memory(err);
}

bool journal_check_space(const char *path, size_t devices, struct muster_error *err)
{
	unsigned long long needed = SPACE_RESERVE + devices * SPACE_PER_DEVICE;
	unsigned long long available;
	struct statvfs system;

	if (!space_at(path, &system, err))
		return false;
	available = (unsigned long long)system.f_bavail * system.f_frsize;
	if (available >= needed)
		return true;
	return muster_fail(err, CAUSE_DISK_FULL,
			   "the file system of journal '%s' has %llu KiB free; %llu KiB are needed",
			   PRINTABLE(path), available / 1024, needed / 1024);
}
