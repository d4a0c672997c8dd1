#include "evidence-scan.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "evidence-kept.h"

#define CHUNK (64 * 1024)

struct scan {
	struct evidence_line line; /* what there is of it so far */
	evidence_line_fn *take;
	void *context;
};

static void scan_done(struct scan *scan)
{
	text_done(&scan->line.text);
}

static bool end_line(struct scan *scan, struct muster_error *err)
{
	struct evidence_line *line = &scan->line;

	line->number++;
	if (line->size > EVIDENCE_KEPT_MAX)
		text_done(&line->text);
	else if (line->size > 0 && !text_ok(&line->text, err))
		return false;
	if (line->size > 0 && !scan->take(scan->context, line, err))
		return false;
	text_done(&line->text);
	line->text = (struct text)TEXT_MAX(EVIDENCE_KEPT_MAX);
	line->offset += line->size + 1;
	line->size = 0;
	return true;
}

static void take_piece(struct evidence_line *line, const char *piece, size_t size)
{
	line->size += size;
	if (size > 0 && line->size <= EVIDENCE_KEPT_MAX)
		text_add_bytes(&line->text, piece, size);
}

static bool take_chunk(struct scan *scan, const char *chunk, size_t size, struct muster_error *err)
{
	const char *rest = chunk, *end;

	while ((end = memchr(rest, '\n', size - (size_t)(rest - chunk)))) {
		take_piece(&scan->line, rest, (size_t)(end - rest));
		if (!end_line(scan, err))
			return false;
		rest = end + 1;
	}
	take_piece(&scan->line, rest, size - (size_t)(rest - chunk));
	return true;
}

bool evidence_scan(const char *path, evidence_line_fn *take, void *context,
		   struct muster_error *err)
{
	CLEANUP(scan_done)
	struct scan scan = { .line = { .text = TEXT_MAX(EVIDENCE_KEPT_MAX) },
			     .take = take,
			     .context = context };
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	CLEANUP(freep) char *chunk = malloc(CHUNK);
	ssize_t size;

	if (!chunk)
		return muster_fail_memory(err);
	if (fd < 0)
		return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "opening '%s'",
					 PRINTABLE(path));
	while ((size = read(fd, chunk, CHUNK)) > 0 || (size < 0 && errno == EINTR))
		if (size > 0 && !take_chunk(&scan, chunk, (size_t)size, err))
			return false;
	if (size < 0)
		return muster_fail_errno(err, CAUSE_FOLDER_UNREADABLE, errno, "reading '%s'",
					 PRINTABLE(path));
	return scan.line.size == 0 || end_line(&scan, err);
}
