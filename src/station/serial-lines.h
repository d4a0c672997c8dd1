/* Serials for sockets, from lines that come whenever somebody scans. Private to the station. */
#pragma once

#include <stdbool.h>

#include "muster/profile-sockets.h"
#include "muster/station-watch.h"

/* Set `map` and `fd`, zero the rest. */
struct serial_lines {
	const struct socket_map *map;
	int fd; /* -1: nothing comes (any more) */
	char part[512];
	size_t part_length;
	bool skips_line; /* the present one is too long */
	unsigned line;
	size_t count;
	struct serial_row {
		char *socket, *serial;
	} rows[SOCKETS_MAX];
};
void serial_lines_done(struct serial_lines *lines);

/* A line that cannot be used is said on standard error and passed over: whoever scans can scan again. */
bool serial_lines_put(struct serial_lines *lines, const char *socket, const char *serial,
		      struct muster_error *err) MUST_CHECK;
/* Takes what there is; never waits. */
void serial_lines_read(struct serial_lines *lines);
/* The serial for the next device in that socket, which is the caller's to free; NULL when there is none. */
char *serial_lines_take(struct serial_lines *lines, const char *socket);
