/* Which devices a command line means: TPMs and the serials of what is in their sockets. */
#pragma once

#include "muster/station.h"

#include "cli-internal.h"

struct provision_devices {
	size_t count;
	struct station_device rows[OPTION_LIST_MAX];
	char *lines; /* what the texts of a file of serials point into */
};
void provision_devices_done(struct provision_devices *devices);

/* One device for each TPM, or one without. A serial is "SOCKET=TEXT", where SOCKET is a TPM as named; the only device's
 * is plain. `serials_file`: lines of socket, tab, serial; "-": standard input; NULL: none. What points nowhere, or
 * stands twice, is refused. */
bool provision_devices_read(const struct option_list *tpms, const struct option_list *serials,
			    const char *serials_file, struct provision_devices *devices,
			    struct muster_error *err) MUST_CHECK;
