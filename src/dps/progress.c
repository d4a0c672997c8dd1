#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "muster/clock.h"
#include "muster/dps-progress.h"
#include "muster/file.h"

#define MAGIC "MUSTERP1"
#define SYNC_EVERY_MS 1000
#define NAME_DIGITS 32

/* The file: this, then the bits. */
struct head {
	char magic[8];
	uint64_t rows;
	uint8_t work[SHA256_SIZE];
};

struct dps_progress {
	int fd;
	char *path;
	struct head head; /* as the file has to begin */
	size_t size;      /* of bits, in bytes */
	uint8_t *file;    /* mapped: a bit that is set outlives us without a system call */
	uint8_t *bits;    /* in it */
	size_t count;
	int64_t synced_ms;
};

static bool fail(const struct dps_progress *progress, struct muster_error *err)
{
	return muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "writing the progress file '%s'",
				 PRINTABLE(progress->path));
}

/* -- Opening ---------------------------------------------------------------------------------------------- */

static bool open_file(struct dps_progress *progress, const uint8_t place[SHA256_SIZE],
		      struct muster_error *err)
{
	CLEANUP(freep) char *directory = NULL;
	char hex[SHA256_HEX_SIZE];

	if (!directory_state_find("progress", &directory, err) || !directory_make(directory, err))
		return false;
	hex_encode(hex, place, SHA256_SIZE);
	progress->path = text_format("%s/import-%.*s", directory, NAME_DIGITS, hex);
	if (!progress->path)
		return muster_fail_memory(err);
	progress->fd = open(progress->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (progress->fd < 0)
		return fail(progress, err);
	if (flock(progress->fd, LOCK_EX | LOCK_NB) == 0)
		return true;
	return errno == EWOULDBLOCK
		       ? muster_fail(err, CAUSE_IMPORT_BUSY,
				     "another run imports this file already ('%s' is locked)",
				     PRINTABLE(progress->path))
		       : fail(progress, err);
}

/* Of the work that is meant; a file that was cut off while it was made holds nothing. */
static bool look_whose(const struct dps_progress *progress, bool *ret_is_ours,
		       struct muster_error *err)
{
	struct head head;
	ssize_t got = pread(progress->fd, &head, sizeof(head), 0);

	*ret_is_ours =
		got == (ssize_t)sizeof(head) && memcmp(&head, &progress->head, sizeof(head)) == 0;
	return got >= 0 ||
	       muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "reading the progress file '%s'",
				 PRINTABLE(progress->path));
}

static size_t file_size(const struct dps_progress *progress)
{
	return sizeof(struct head) + progress->size;
}

static bool begin(struct dps_progress *progress, struct muster_error *err)
{
	const struct head head = progress->head;

	return (ftruncate(progress->fd, 0) == 0 &&
		pwrite(progress->fd, &head, sizeof(head), 0) == (ssize_t)sizeof(head)) ||
	       fail(progress, err);
}

/* What is missing at the end of the file is not done. All of it has its room on the disk before it is mapped: afterwards nobody
 * could be told that there is none. */
static bool map(struct dps_progress *progress, struct muster_error *err)
{
	void *file;

	errno = posix_fallocate(progress->fd, 0, (off_t)file_size(progress));
	if (errno != 0)
		return fail(progress, err);
	file = mmap(NULL, file_size(progress), PROT_READ | PROT_WRITE, MAP_SHARED, progress->fd, 0);
	if (file == MAP_FAILED)
		return fail(progress, err);
	progress->file = file;
	progress->bits = progress->file + sizeof(struct head);
	for (size_t row = 0; row < progress->head.rows; row++)
		progress->count += dps_progress_is_done(progress, row);
	return true;
}

static struct dps_progress *progress_new(const uint8_t work[SHA256_SIZE], size_t rows)
{
	struct dps_progress *progress = calloc(1, sizeof(*progress));

	if (!progress)
		return NULL;
	progress->fd = -1;
	memcpy(progress->head.magic, MAGIC, sizeof(progress->head.magic));
	memcpy(progress->head.work, work, SHA256_SIZE);
	progress->head.rows = rows;
	progress->size = (rows + 7) / 8;
	return progress;
}

static void unmap(struct dps_progress *progress)
{
	if (progress->file)
		munmap(progress->file, file_size(progress));
	progress->file = NULL;
	progress->count = 0;
}

static bool begin_anew(struct dps_progress *progress, struct muster_error *err)
{
	unmap(progress);
	return begin(progress, err) && map(progress, err);
}

bool dps_progress_open(const uint8_t place[SHA256_SIZE], const uint8_t work[SHA256_SIZE],
		       size_t rows, bool restart, struct dps_progress **ret_progress,
		       struct muster_error *err)
{
	CLEANUP(dps_progress_freep) struct dps_progress *progress = progress_new(work, rows);
	bool is_ours = false;

	if (!progress)
		return muster_fail_memory(err);
	if (!open_file(progress, place, err) || (!restart && !look_whose(progress, &is_ours, err)))
		return false;
	if (!is_ours && !begin(progress, err))
		return false;
	if (!map(progress, err))
		return false;
	if (progress->count == rows && !begin_anew(progress, err))
		return false;
	*ret_progress = TAKE_PTR(progress);
	return true;
}

void dps_progress_close(struct dps_progress *progress)
{
	if (!progress)
		return;
	unmap(progress);
	if (progress->fd >= 0)
		fdatasync(progress->fd);
	closep(&progress->fd);
	free(progress->path);
	free(progress);
}

/* -- Bits ------------------------------------------------------------------------------------------------- */

bool dps_progress_is_done(const struct dps_progress *progress, size_t row)
{
	assert(row < progress->head.rows);
	return progress->bits[row / 8] & 1u << row % 8;
}

size_t dps_progress_count(const struct dps_progress *progress)
{
	return progress->count;
}

bool dps_progress_mark(struct dps_progress *progress, size_t row, struct muster_error *err)
{
	int64_t now = clock_now_ms();

	if (dps_progress_is_done(progress, row))
		return true;
	progress->bits[row / 8] |= (uint8_t)(1u << row % 8);
	progress->count++;
	if (now - progress->synced_ms < SYNC_EVERY_MS)
		return true;
	progress->synced_ms = now;
	return fdatasync(progress->fd) == 0 || fail(progress, err);
}
