/* Which devices a command line means: TPMs and the serials of what is in their sockets. */
#pragma once

#include "muster/station-attached.h"
#include "muster/station.h"

#include "cli-internal.h"

/* Rows of the command line; all borrowed. */
struct provision_choice {
	struct option_list tpms;    /* TCTIs */
	struct option_list serials; /* "SOCKET=TEXT"; that of the only device is plain */
	const char *serials_file;   /* lines of socket, tab, serial; "-": standard input; or NULL */
	bool all_attached;          /* instead of naming TPMs */
	bool own;                   /* one that is named may be the station's */
	bool watch;                 /* the same, as they come */
	const char *map_file;       /* NULL: the standard one */
};

struct provision_devices {
	size_t count;
	struct station_device rows[SOCKETS_MAX];
	/* What their texts point into. */
	char *lines;
	struct attached_tpms attached;
};
void provision_devices_done(struct provision_devices *devices);

/* One device for each TPM, or one without. A socket is one of the map's, or a TPM as named. What points nowhere, or stands
 * twice, is refused. A TPM at a port that is no socket is told of on standard error and left alone. */
bool provision_devices_read(const struct provision_choice *choice,
			    struct provision_devices *devices, struct muster_error *err) MUST_CHECK;
