#include "serial-lines.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "muster/identity.h"
#include "muster/log.h"
#include "muster/text.h"

static void row_done(struct serial_row *row)
{
	free(row->socket);
	free(row->serial);
	*row = (struct serial_row){ 0 };
}

void serial_lines_done(struct serial_lines *lines)
{
	for (size_t i = 0; i < lines->count; i++)
		row_done(&lines->rows[i]);
	*lines = (struct serial_lines){ .fd = -1 };
}

static struct serial_row *row_of(struct serial_lines *lines, const char *socket)
{
	for (size_t i = 0; i < lines->count; i++)
		if (strcmp(lines->rows[i].socket, socket) == 0)
			return &lines->rows[i];
	return NULL;
}

bool serial_lines_put(struct serial_lines *lines, const char *socket, const char *serial,
		      struct muster_error *err)
{
	struct serial_row *row = row_of(lines, socket);
	struct serial_row fresh = { 0 };

	if (lines->map->is_there && !socket_map_by_name(lines->map, socket))
		return muster_fail(err, CAUSE_USAGE, "the map has no socket '%s'",
				   PRINTABLE(socket));
	if (!identity_serial_check(serial, err))
		return false;
	if (!row && lines->count == ARRAY_SIZE(lines->rows))
		return muster_fail(err, CAUSE_USAGE, "serials for more than %zu sockets",
				   ARRAY_SIZE(lines->rows));
	fresh = (struct serial_row){ strdup(socket), strdup(serial) };
	if (!fresh.socket || !fresh.serial) {
		row_done(&fresh);
		return muster_fail_memory(err);
	}
	if (!row)
		row = &lines->rows[lines->count++];
	else
		log_warning("socket '%s': serial '%s' instead of '%s'", PRINTABLE(socket),
			    PRINTABLE(serial), PRINTABLE(row->serial));
	row_done(row);
	*row = fresh;
	return true;
}

static void take_line(struct serial_lines *lines)
{
	char *tab = strchr(lines->part, '\t');
	struct muster_error err;

	if (!*lines->part)
		return;
	if (!tab) {
		log_warning("serials, line %u: no tab between socket and serial", lines->line);
		return;
	}
	*tab = '\0';
	if (!serial_lines_put(lines, lines->part, tab + 1, &err))
		log_warning("serials, line %u: [E%04u] %s", lines->line, (unsigned)err.cause,
			    err.message);
}

static void end_line(struct serial_lines *lines)
{
	lines->line++;
	if (lines->part_length > 0 && lines->part[lines->part_length - 1] == '\r')
		lines->part_length--;
	lines->part[lines->part_length] = '\0';
	if (lines->skips_line)
		log_warning("serials, line %u: too long", lines->line);
	else
		take_line(lines);
	lines->part_length = 0;
	lines->skips_line = false;
}

static void take_bytes(struct serial_lines *lines, const char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (bytes[i] == '\n')
			end_line(lines);
		else if (bytes[i] == '\0' || lines->part_length == sizeof(lines->part) - 1)
			lines->skips_line = true;
		else
			lines->part[lines->part_length++] = bytes[i];
	}
}

/* The descriptor may be shared with others, so it stays as it is: asked first, read only when it will not block. */
void serial_lines_read(struct serial_lines *lines)
{
	struct pollfd ready = { .fd = lines->fd, .events = POLLIN };
	char bytes[4096];
	ssize_t count;

	while (lines->fd >= 0 && poll(&ready, 1, 0) > 0) {
		count = read(lines->fd, bytes, sizeof(bytes));
		if (count > 0) {
			take_bytes(lines, bytes, (size_t)count);
		} else if (count == 0 || (errno != EINTR && errno != EAGAIN)) {
			if (lines->part_length > 0)
				end_line(lines);
			lines->fd = -1;
		}
	}
}

char *serial_lines_take(struct serial_lines *lines, const char *socket)
{
	struct serial_row *row = row_of(lines, socket);
	char *serial;

	if (!row)
		return NULL;
	serial = TAKE_PTR(row->serial);
	row_done(row);
	*row = lines->rows[--lines->count];
	/* What has moved is nobody's there any more. */
	lines->rows[lines->count] = (struct serial_row){ 0 };
	return serial;
}
