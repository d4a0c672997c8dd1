/* Keys and certificates for many devices: what is known before the token is touched. Private to the station. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "muster/profile.h"
#include "muster/station-custody.h"

/* What a device is called by the profile. Texts are owned. */
struct produced_name {
	char *registration_id;
	char *device_id; /* NULL: as the registration ID */
	char *subject, *label;
};
void produced_name_done(struct produced_name *name);
bool produced_name_make(const struct profile *profile, const char *serial,
			struct produced_name *ret_name, struct muster_error *err) MUST_CHECK;

/* Serials, one a line, each one good for the profile and none twice. */
struct serial {
	char *text;
	size_t line;
};
struct serials {
	char *text; /* owned; what the items point into */
	struct serial *items;
	size_t count;
};
void serials_done(struct serials *serials);
bool serials_read(const char *path, const struct profile *profile, struct serials *ret_serials,
		  struct muster_error *err) MUST_CHECK;
