#include "evidence-lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "batch.h"
#include "muster/dps-rows.h"
#include "muster/encoding.h"
#include "muster/file.h"

#define SUFFIX ".evidence.jsonl"
/* Of a manifest's digest in its file's name. */
enum { NAME_DIGITS = 16 };

#define WAITING_MAX ((size_t)JOBS_MAX * 2 * JOURNAL_BODY_MAX)

struct evidence_lines {
	char *path;
	int fd;
	struct text waiting; /* written and synced together */
	bool is_new;         /* its name is not on disk yet */
	struct id_set there; /* the digests of its lines, once somebody asked */
	bool was_read;
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
	size_t length = strlen(path), suffix = strlen(SUFFIX);

	return length > suffix && strcmp(path + length - suffix, SUFFIX) == 0;
}

/* -- Open files ----------------------------------------------------------------------------------------------- */

static void lines_free(struct evidence_lines *lines)
{
	if (!lines)
		return;
	closep(&lines->fd);
	text_done(&lines->waiting);
	id_set_done(&lines->there);
	free(lines->path);
	free(lines);
}

static bool fail(const struct evidence_lines *lines, const char *what, struct muster_error *err)
{
	return muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "%s the evidence file '%s'", what,
				 PRINTABLE(lines->path));
}

/* What a cut left of a last line stays alone on it. */
static bool end_torn_line(struct evidence_lines *lines, off_t size, struct muster_error *err)
{
	char last;

	if (size == 0)
		return true;
	if (pread(lines->fd, &last, 1, size - 1) != 1)
		return fail(lines, "reading", err);
	if (last != '\n')
		text_add_char(&lines->waiting, '\n');
	return text_ok(&lines->waiting, err);
}

static bool open_file(struct evidence_lines *lines, struct muster_error *err)
{
	static const int flags = O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC;
	struct stat status;

	lines->fd = open(lines->path, flags);
	if (lines->fd < 0 && errno == ENOENT) {
		lines->is_new = true;
		lines->fd = open(lines->path, flags | O_CREAT | O_EXCL, 0600);
	}
	if (lines->fd < 0 || fstat(lines->fd, &status) < 0)
		return fail(lines, "opening", err);
	if (!S_ISREG(status.st_mode) || status.st_uid != geteuid())
		return muster_fail(err, CAUSE_OUTPUT_WRITE,
				   "the evidence file '%s' is no file of this user's: move it away",
				   PRINTABLE(lines->path));
	return end_torn_line(lines, status.st_size, err);
}

static bool new_file(const char *path, struct evidence_lines **ret_lines, struct muster_error *err)
{
	struct evidence_lines *lines = calloc(1, sizeof(*lines));

	if (!lines)
		return muster_fail_memory(err);
	*ret_lines = lines;
	lines->fd = -1;
	lines->path = strdup(path);
	lines->waiting = (struct text)TEXT_MAX(WAITING_MAX);
	return lines->path ? open_file(lines, err) : muster_fail_memory(err);
}

static bool is_of(const struct evidence_lines *lines, const char *path)
{
	return lines && strcmp(lines->path, path) == 0;
}

/* The files of other batches make room in turn. */
static bool find(struct run *run, const char *path, struct evidence_lines **ret_lines,
		 struct muster_error *err)
{
	struct evidence_lines *lines = NULL, **place = &run->lines[ARRAY_SIZE(run->lines) - 1];

	for (size_t i = 0; i < ARRAY_SIZE(run->lines); i++) {
		if (is_of(run->lines[i], path)) {
			*ret_lines = run->lines[i];
			return true;
		}
	}
	if (*place && !evidence_lines_sync(run, err))
		return false;
	if (!new_file(path, &lines, err)) {
		lines_free(lines);
		return false;
	}
	lines_free(*place);
	memmove(run->lines + 1, run->lines, sizeof(run->lines) - sizeof(*run->lines));
	*ret_lines = run->lines[0] = lines;
	return true;
}

/* -- Lines ---------------------------------------------------------------------------------------------------- */

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

static bool read_lines(struct evidence_lines *lines, struct muster_error *err)
{
	CLEANUP(fclosep) FILE *stream = fopen(lines->path, "re");
	CLEANUP(freep) char *line = NULL;
	size_t room = 0;
	ssize_t size;
	bool unused;

	if (!stream)
		return fail(lines, "reading", err);
	while ((size = getline(&line, &room, stream)) > 0)
		if (!note(lines, line, (size_t)size, &unused, err))
			return false;
	lines->was_read = true;
	return !ferror(stream) || fail(lines, "reading", err);
}

bool evidence_lines_have(struct run *run, const char *path, const char *line, bool *ret_has,
			 struct muster_error *err)
{
	struct evidence_lines *lines;

	*ret_has = false;
	if (!find(run, path, &lines, err))
		return false;
	return (lines->was_read || read_lines(lines, err)) &&
	       note(lines, line, strlen(line), ret_has, err);
}

bool evidence_lines_add(struct run *run, const char *path, const char *line,
			struct muster_error *err)
{
	struct evidence_lines *lines;

	if (!find(run, path, &lines, err))
		return false;
	text_add(&lines->waiting, line);
	return text_ok(&lines->waiting, err);
}

static bool write_waiting(struct evidence_lines *lines, struct muster_error *err)
{
	CLEANUP(freep) char *directory = NULL;

	if (lines->waiting.length == 0)
		return true;
	if (!file_write_fd(lines->fd, lines->waiting.data, lines->waiting.length, err) ||
	    fdatasync(lines->fd) < 0)
		return fail(lines, "writing", err);
	lines->waiting.length = 0;
	if (!lines->is_new)
		return true;
	directory = file_beside(lines->path, ".");
	if (!directory)
		return muster_fail_memory(err);
	lines->is_new = !directory_sync(directory, err);
	return !lines->is_new;
}

bool evidence_lines_sync(struct run *run, struct muster_error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(run->lines); i++)
		if (run->lines[i] && !write_waiting(run->lines[i], err))
			return false;
	return true;
}

void evidence_lines_done(struct run *run)
{
	for (size_t i = 0; i < ARRAY_SIZE(run->lines); i++)
		lines_free(TAKE_PTR(run->lines[i]));
}
