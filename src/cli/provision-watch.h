/* What `muster provision --watch` waits for: boards in the sockets of the map, and their serials. */
#pragma once

#include "muster/station-watch.h"

#include "provision-devices.h"

struct provision_watch {
	struct station_watch request;
	/* What it points into. */
	struct socket_map map;
	struct station_socket_serial serials[OPTION_LIST_MAX];
	char *words[OPTION_LIST_MAX];
	int serials_file; /* -1: none that is ours to close */
};
/* For CLEANUP; before it is opened `serials_file` is -1 and the rest zero. */
void provision_watch_done(struct provision_watch *watch);
bool provision_watch_open(const struct provision_choice *choice, struct provision_watch *ret_watch,
			  struct muster_error *err) MUST_CHECK;
/* Says on standard error which sockets are waited for. */
void provision_watch_announce(const struct provision_choice *choice,
			      const struct provision_watch *watch);
