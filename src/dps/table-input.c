#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "table-internal.h"

/* As much as there is room for, so that blocks are the same each time. */
static bool read_block(struct table_input *input, struct muster_error *err)
{
	ssize_t count;

	input->filled = 0;
	do {
		count = read(input->fd, input->buffer + input->filled,
			     sizeof(input->buffer) - input->filled);
		if (count > 0)
			input->filled += (size_t)count;
	} while (count > 0 ? input->filled < sizeof(input->buffer) : count < 0 && errno == EINTR);
	return count >= 0 ||
	       muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "reading '%s'", input->path);
}

static bool refill(struct table_input *input, struct muster_error *err)
{
	bool is_same;

	input->used = 0;
	input->refills++;
	if (!read_block(input, err) ||
	    !table_digest_add(&input->digest, input->buffer, input->filled, &is_same, err)) {
		input->filled = 0;
		return false;
	}
	return is_same || table_fail_changed(input, err);
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

/* Byte by byte only where a lone CR may end a line, too. */
static void advance_over(struct table_input *input, const char *data, size_t size, bool has_ended)
{
	if (input->after_return || memchr(data, '\r', size) || !has_ended) {
		for (size_t i = 0; i < size; i++)
			advance(input, (unsigned char)data[i]);
		return;
	}
	input->place.line++;
	input->place.column = 1;
}

bool input_line(struct table_input *input, struct text *line, bool *ret_has,
		struct muster_error *err)
{
	*ret_has = false;
	for (;;) {
		const char *start, *end;
		size_t size;

		if (input->used == input->filled && !refill(input, err))
			return false;
		if (input->filled == 0)
			return true;
		*ret_has = true;
		start = input->buffer + input->used;
		end = memchr(start, '\n', input->filled - input->used);
		size = end ? (size_t)(end - start) : input->filled - input->used;
		text_add_bytes(line, start, size);
		advance_over(input, start, size + (end != NULL), end != NULL);
		input->used += size + (end != NULL);
		if (end)
			return true;
	}
}

static bool skip_mark(struct table_input *input, struct muster_error *err)
{
	if (!refill(input, err))
		return false;
	input->used = text_mark_size(input->buffer, input->filled);
	return true;
}

bool input_rewind(struct table_input *input, struct muster_error *err)
{
	input->place = (struct dps_table_place){ 1, 1 };
	input->after_return = false;
	if (lseek(input->fd, 0, SEEK_SET) < 0)
		return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "reading '%s'",
					 input->path);
	return table_digest_begin(&input->digest, err) && skip_mark(input, err);
}
