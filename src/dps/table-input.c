#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "table-internal.h"

static bool refill(struct table_input *input, struct muster_error *err)
{
	ssize_t count;

	do
		count = read(input->fd, input->buffer, sizeof(input->buffer));
	while (count < 0 && errno == EINTR);
	if (count < 0)
		return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "reading '%s'",
					 input->path);
	input->filled = (size_t)count;
	input->used = 0;
	return true;
}

/* A line ends with LF, CR LF or a lone CR; columns count characters, not bytes. */
static void advance(struct table_input *input, unsigned char byte)
{
	bool was_return = input->after_return;

	input->after_return = byte == '\r';
	if (byte == '\n' && was_return)
		return;
	if (byte == '\n' || byte == '\r') {
		input->place.line++;
		input->place.column = 1;
	} else if ((byte & 0xc0) != 0x80) {
		input->place.column++;
	}
}

int input_next(struct table_input *input, struct muster_error *err)
{
	unsigned char byte;

	if (input->used == input->filled && !refill(input, err))
		return -2;
	if (input->filled == 0)
		return -1;
	byte = (unsigned char)input->buffer[input->used++];
	advance(input, byte);
	return byte;
}

/* Spreadsheets put a byte order mark in front of UTF-8. */
static bool skip_mark(struct table_input *input, struct muster_error *err)
{
	static const char mark[] = "\xef\xbb\xbf";

	if (!refill(input, err))
		return false;
	if (input->filled >= strlen(mark) && memcmp(input->buffer, mark, strlen(mark)) == 0)
		input->used = strlen(mark);
	return true;
}

bool input_rewind(struct table_input *input, struct muster_error *err)
{
	input->place = (struct dps_table_place){ 1, 1 };
	input->after_return = false;
	if (lseek(input->fd, 0, SEEK_SET) < 0)
		return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "reading '%s'",
					 input->path);
	return skip_mark(input, err);
}
