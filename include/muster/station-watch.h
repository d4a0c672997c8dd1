/* Provisioning whatever is plugged in, until a signal comes. */
#pragma once

#include <stddef.h>

#include "muster/profile-sockets.h"

/* What is in a socket, as far as it is known before anything is plugged in there. */
struct station_socket_serial {
	const char *socket;
	const char *serial;
};

/* All borrowed. Each device is provisioned once while it is plugged in; a device at a port that is no socket is told of and
 * left alone. Where the profile needs serials, a device waits until there is one for its socket. */
struct station_watch {
	const struct socket_map *sockets;
	const struct station_socket_serial *serials; /* of the first device in each socket */
	size_t serial_count;
	/* Lines of socket, tab, serial, read as they come: each is for the next device in its socket, and a later one
	 * holds over an earlier one. -1: none. */
	int serials_fd;
};
