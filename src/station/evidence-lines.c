#include "evidence-lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "batch.h"
#include "evidence-scan.h"
#include "muster/dps-rows.h"
#include "muster/encoding.h"
#include "muster/file.h"

#define SUFFIX ".evidence.jsonl"
enum {
	NAME_DIGITS = 16, /* of a manifest's digest, in its file's name */
	OPEN_MAX = 8,     /* files that stay open */
};

struct evidence_lines {
	struct evidence_lines *next; /* the one that was asked for before */
	char *path;
	/* What is there, once somebody asked: the digests of whole lines. */
	struct id_set there;
	bool was_read;
	/* What is added: -1 while it is not open. */
	int fd;
	off_t size;    /* of whole lines */
	bool is_torn;  /* something that is no whole line is behind them */
	bool is_dirty; /* not all of it is on disk */
	bool name_is_on_disk;
};

/* -- Names ---------------------------------------------------------------------------------------------------- */

static const char *batch_of(const struct job *job)
{
	return job->run->batch ? job->run->batch->manifest.digest : job->device.batch;
}

bool evidence_lines_apply(const struct job *job)
{
	return job->run->brake && job->run->profile.batch.evidence == PROFILE_EVIDENCE_LINES &&
	       batch_of(job);
}

char *evidence_lines_path(const struct job *job)
{
	return text_format("%s/batch-%.*s" SUFFIX, job->run->out_directory, NAME_DIGITS,
			   batch_of(job));
}

bool evidence_lines_is_path(const char *path)
{
	return text_has_suffix(path, SUFFIX);
}

/* -- Files ---------------------------------------------------------------------------------------------------- */

static void lines_free(struct evidence_lines *lines)
{
	closep(&lines->fd);
	id_set_done(&lines->there);
	free(lines->path);
	free(lines);
}

static bool fail(const struct evidence_lines *lines, const char *what, struct muster_error *err)
{
	return muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "%s the evidence file '%s'", what,
				 PRINTABLE(lines->path));
}

static bool new_lines(struct run *run, const char *path, struct evidence_lines **ret_lines,
		      struct muster_error *err)
{
	struct evidence_lines *lines = calloc(1, sizeof(*lines));

	if (!lines)
		return muster_fail_memory(err);
	*lines = (struct evidence_lines){ .next = run->lines, .path = strdup(path), .fd = -1 };
	if (!lines->path) {
		free(lines);
		return muster_fail_memory(err);
	}
	*ret_lines = run->lines = lines;
	return true;
}

/* The one that was asked for last is asked for next, mostly. */
static bool find(struct run *run, const char *path, struct evidence_lines **ret_lines,
		 struct muster_error *err)
{
	for (struct evidence_lines **at = &run->lines; *at; at = &(*at)->next) {
		struct evidence_lines *lines = *at;

		if (strcmp(lines->path, path) != 0)
			continue;
		*at = lines->next;
		lines->next = run->lines;
		*ret_lines = run->lines = lines;
		return true;
	}
	return new_lines(run, path, ret_lines, err);
}

/* -- What is there -------------------------------------------------------------------------------------------- */

static bool note(struct evidence_lines *lines, const char *line, size_t size, bool *ret_was_there,
		 struct muster_error *err)
{
	char digest[SHA256_HEX_SIZE];
	size_t before;
	bool is_same;

	if (!id_set_add(&lines->there, sha256_hex(digest, line, size), 1, &before, &is_same, err))
		return false;
	*ret_was_there = before > 0;
	return true;
}

/* The last one may have lost its newline, and is whole without. */
static bool take_line(void *context, struct evidence_line *line, struct muster_error *err)
{
	bool unused;

	if (!line->text.data)
		return true;
	text_add_char(&line->text, '\n');
	return text_ok(&line->text, err) &&
	       note(context, line->text.data, line->text.length, &unused, err);
}

/* For looking, the file may be anywhere and anybody's. */
static bool read_lines(struct evidence_lines *lines, struct muster_error *err)
{
	if (lines->was_read)
		return true;
	lines->was_read = evidence_scan(lines->path, take_line, lines, err) ||
			  (err->origin == ORIGIN_ERRNO && err->native == ENOENT);
	if (!lines->was_read)
		id_set_done(&lines->there);
	return lines->was_read;
}

bool evidence_lines_have(struct run *run, const char *path, const char *line, bool *ret_has,
			 struct muster_error *err)
{
	struct evidence_lines *lines = NULL;

	*ret_has = false;
	return find(run, path, &lines, err) && read_lines(lines, err) &&
	       note(lines, line, strlen(line), ret_has, err);
}

/* -- What is added -------------------------------------------------------------------------------------------- */

static void close_file(struct evidence_lines *lines)
{
	closep(&lines->fd);
	lines->fd = -1;
}

static bool look_at_end(struct evidence_lines *lines, struct muster_error *err)
{
	struct stat status;
	char last = '\n';

	if (fstat(lines->fd, &status) < 0)
		return fail(lines, "looking at", err);
	if (!S_ISREG(status.st_mode))
		return muster_fail(err, CAUSE_OUTPUT_WRITE,
				   "the evidence file '%s' is no file: move it away",
				   PRINTABLE(lines->path));
	if (status.st_size > 0 && pread(lines->fd, &last, 1, status.st_size - 1) != 1)
		return fail(lines, "reading", err);
	lines->size = status.st_size;
	lines->is_torn = last != '\n';
	return true;
}

static bool open_file(struct evidence_lines *lines, struct muster_error *err)
{
	if (lines->fd >= 0)
		return true;
	lines->fd = open(lines->path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (lines->fd < 0)
		return fail(lines, "opening", err);
	if (look_at_end(lines, err))
		return true;
	close_file(lines);
	return false;
}

static bool append(struct evidence_lines *lines, const char *text, size_t size,
		   struct muster_error *err)
{
	if (file_write_fd(lines->fd, text, size, err)) {
		lines->size += (off_t)size;
		return true;
	}
	muster_error_prefix(err, "writing the evidence file '%s'", PRINTABLE(lines->path));
	/* A piece of it would make the next one no line, either. */
	lines->is_torn = ftruncate(lines->fd, lines->size) < 0;
	return false;
}

bool evidence_lines_add(struct run *run, const char *path, const char *line,
			struct muster_error *err)
{
	struct evidence_lines *lines = NULL;

	if (!find(run, path, &lines, err) || !open_file(lines, err))
		return false;
	lines->is_dirty = true;
	if (lines->is_torn && !append(lines, "\n", 1, err))
		return false;
	lines->is_torn = false;
	return append(lines, line, strlen(line), err);
}

/* Of a file that may be new, the way to it, too. */
static bool sync_one(struct evidence_lines *lines, bool is_alone, struct muster_error *err)
{
	bool is_simple = is_alone && lines->name_is_on_disk;

	if ((is_simple ? fdatasync(lines->fd) : syncfs(lines->fd)) < 0)
		return fail(lines, "syncing", err);
	lines->name_is_on_disk = true;
	lines->is_dirty = false;
	return true;
}

static size_t count_dirty(const struct run *run)
{
	size_t count = 0;

	for (const struct evidence_lines *lines = run->lines; lines; lines = lines->next)
		count += lines->is_dirty;
	return count;
}

bool evidence_lines_sync(struct run *run, struct muster_error *err)
{
	bool is_alone = count_dirty(run) == 1;
	size_t open_files = 0;

	for (struct evidence_lines *lines = run->lines; lines; lines = lines->next) {
		if (lines->is_dirty && !sync_one(lines, is_alone, err))
			return false;
		if (lines->fd >= 0 && ++open_files > OPEN_MAX)
			close_file(lines);
	}
	return true;
}

void evidence_lines_done(struct run *run)
{
	while (run->lines) {
		struct evidence_lines *lines = run->lines;

		run->lines = lines->next;
		lines_free(lines);
	}
}
