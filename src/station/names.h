/* What a device is called at the service: by the profile's templates, or as it was given. Private to the station. */
#pragma once

#include <stdbool.h>

#include "muster/ek.h"
#include "muster/profile.h"
#include "muster/station.h"

struct names {
	char *registration_id; /* in lower case; NULL: it takes the EK, which is not known */
	char *device_id;       /* NULL: the registration ID, or not known either */
};
void names_done(struct names *names);

/* ek may be NULL. */
bool names_make(const struct profile *profile, const struct station_device *device,
		const struct ek_public *ek, struct names *ret_names, struct muster_error *err)
	MUST_CHECK;
