/* The map of a bench: which port is which socket. A line each, words between blanks: the bus path of the port as udev knows
 * it (ID_PATH), the socket's name, and, where what is plugged in there is not reached by its device node, a TCTI, or the
 * PKCS#11 URI of a token.
 * '#' begins a comment. udev/71-muster.rules reads the same file. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "muster/cleanup.h"
#include "muster/error.h"

#define SOCKETS_MAX 64
#define SOCKETS_FILE "/etc/muster/sockets"

struct socket_row {
	char *path;  /* "pci-0000:00:14.0-usb-0:3" */
	char *name;  /* 1 to 32 letters, digits, '.', '_' and '-' */
	char *tcti;  /* or NULL */
	char *token; /* RFC 7512, or NULL */
};

/* In the order of the file. Zero-initialise. */
struct socket_map {
	struct socket_row rows[SOCKETS_MAX];
	size_t count;
	bool is_there; /* the file exists */
};

/* The file that was named, or the standard one. */
const char *socket_map_file(const char *named);
/* A file that does not exist is an empty map. CAUSE_SOCKET_MAP_INVALID with line and column; CAUSE_FILE_OWNER when others
 * could change it: it decides what is programmed. */
bool socket_map_read(const char *file, struct socket_map *ret_map, struct muster_error *err)
	MUST_CHECK;
/* The same of socket_map_file(named); one that was named has to be there. CAUSE_INPUT_NOT_FOUND. */
bool socket_map_open(const char *named, struct socket_map *ret_map, struct muster_error *err)
	MUST_CHECK;
/* The whole map at once, readable by all (udev's rules need it not, people do); makes no directory. */
bool socket_map_write(const char *file, const struct socket_map *map, struct muster_error *err)
	MUST_CHECK;
void socket_map_done(struct socket_map *map);

bool socket_name_check(const char *name, struct muster_error *err) MUST_CHECK;
/* NULL when there is none. Borrowed. */
const struct socket_row *socket_map_by_path(const struct socket_map *map, const char *path);
const struct socket_row *socket_map_by_name(const struct socket_map *map, const char *name);
/* The port of that socket from now on; no other socket keeps it. */
bool socket_map_set(struct socket_map *map, const char *name, const char *path,
		    struct muster_error *err) MUST_CHECK;
