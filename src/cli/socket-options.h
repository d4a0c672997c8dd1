/* The option that says where the map of sockets is: the same row for every verb that goes by it. */
#pragma once

#include "muster/profile-sockets.h"

#include "cli-internal.h"

/* clang-format off */
#define SOCKET_MAP_ROW(options, member) \
	{ 0, "socket-map", NULL, OPTION_TEXT, "FILE", "Map of bus paths to sockets; default: " SOCKETS_FILE, \
	  offsetof(options, member), "MUSTER_SOCKET_MAP", NULL, 0 }
/* clang-format on */
