/* "@FILE" in place of a value, as az reads it: without a byte order mark and the line ends at its end, "~/" being the home
 * directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "muster/file.h"

#include "cli-internal.h"

enum { FILE_MAX = 256 * 1024, SECRET_FILE_MAX = 4000 /* a page has zeros behind it */ };

void option_files_done(struct option_files *files)
{
	for (size_t i = 0; i < files->count; i++) {
		secret_wipe(files->contents[i].data, files->contents[i].size);
		bytes_done(&files->contents[i]);
	}
	for (size_t i = 0; i < files->secret_count; i++)
		secret_done(&files->secrets[i]);
	files->count = files->secret_count = 0;
}

static char *expand_home(const char *path)
{
	const char *home = text_has_prefix(path, "~/") ? getenv("HOME") : NULL;

	return home ? text_format("%s%s", home, path + 1) : strdup(path);
}

/* The text is `size` bytes at `data`, and a NUL is behind them. */
static bool take_text(uint8_t *data, size_t size, const char *path, const char *named,
		      const char **ret_text, struct muster_error *err)
{
	size_t mark = text_mark_size((const char *)data, size);
	bool is_utf16 =
		size >= 2 && (memcmp(data, "\xff\xfe", 2) == 0 || memcmp(data, "\xfe\xff", 2) == 0);

	if (is_utf16)
		return muster_fail(err, CAUSE_USAGE,
				   "the file '%s' of %s is UTF-16: save it as UTF-8",
				   PRINTABLE(path), named);
	if (memchr(data, 0, size))
		return muster_fail(err, CAUSE_USAGE, "the file '%s' of %s is no text",
				   PRINTABLE(path), named);
	while (size > 0 && strchr("\r\n", data[size - 1]))
		data[--size] = 0;
	*ret_text = (const char *)data + mark;
	return true;
}

/* What nobody else can read: standard input, a pipe, or a file for its owner alone. */
static bool read_private(struct secret *secret, const char *path, struct muster_error *err)
{
	CLEANUP(closep) int fd = -1;
	struct stat status;

	if (strcmp(path, "-") == 0)
		return secret_read_fd(secret, STDIN_FILENO, SECRET_FILE_MAX, "standard input", err);
	if (stat(path, &status) < 0 || !S_ISFIFO(status.st_mode))
		return secret_read_file(secret, path, SECRET_FILE_MAX, err);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "opening '%s'",
					 PRINTABLE(path));
	return secret_read_fd(secret, fd, SECRET_FILE_MAX, "a pipe", err);
}

static bool read_secret(struct option_files *files, const char *path, const char *named,
			const char **ret_text, struct muster_error *err)
{
	struct secret *secret = &files->secrets[files->secret_count];

	if (files->secret_count == OPTION_SECRETS_MAX)
		return muster_fail(err, CAUSE_USAGE, "more than %d secrets are taken from files",
				   OPTION_SECRETS_MAX);
	if (!read_private(secret, path, err))
		return muster_error_prefix(err, "reading the value of %s", named);
	files->secret_count++;
	return take_text(secret->data, secret->size, path, named, ret_text, err);
}

bool option_files_read(struct option_files *files, const char *path, const char *named,
		       bool is_secret, const char **ret_text, struct muster_error *err)
{
	CLEANUP(freep) char *expanded = expand_home(path);
	struct bytes *content = &files->contents[files->count];

	if (!expanded)
		return muster_fail_memory(err);
	if (is_secret)
		return read_secret(files, expanded, named, ret_text, err);
	if (files->count == OPTION_FILES_MAX)
		return muster_fail(err, CAUSE_USAGE, "more than %d values are taken from files",
				   OPTION_FILES_MAX);
	if (!file_read(expanded, FILE_MAX, content, err))
		return muster_error_prefix(err, "reading the value of %s", named);
	files->count++;
	return take_text(content->data, content->size, expanded, named, ret_text, err);
}
