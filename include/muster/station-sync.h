/* The network's part of provisioning, for devices that are not here: what was spooled, or could not be finished, is sent
 * from the journal. */
#pragma once

#include "muster/journal.h"
#include "muster/station.h"

/* -- What a device waits for -------------------------------------------------------------------------------------- */

enum station_wait {
	STATION_WAITS_NOT,     /* it is at its end */
	STATION_WAITS_NETWORK, /* station_sync() takes it */
	STATION_WAITS_DEVICE,  /* its hardware has to be here: muster provision */
	STATION_WAITS_PERSON,
};

struct station_waiting {
	enum station_wait what;
	char expires[RFC3339_SIZE];             /* its certificate, once it is spooled; or "" */
	int64_t failures;                       /* that count against the profile's retry budget */
	char reason[MUSTER_ERROR_MESSAGE_SIZE]; /* the last failure's, or a person's; or "" */
	char kept_profile[SHA256_HEX_SIZE];     /* the name of the copy that it goes by; or "" */
};

/* "network", "device", "person"; NULL for a device that does not wait. */
const char *station_wait_word(enum station_wait what);
bool station_wait_look(struct journal *journal, const struct journal_device *device,
		       struct station_waiting *ret_waiting, struct muster_error *err) MUST_CHECK;

/* -- Sending ------------------------------------------------------------------------------------------------------ */

/* How many it passes over, because the network is not all that they wait for. */
struct station_passed {
	size_t for_device, for_person;
};

/* Takes every device that waits for the network through enroll, confirm, verify where its key can be had, and release; the
 * request's profile and devices are not looked at. `only` are registration IDs, NULL: all. Devices of one profile are at work
 * at once; where a profile, its masters or its token cannot be had the others are done nevertheless, and then it fails. */
bool station_sync(const struct station_request *request, const char *const *only, size_t only_count,
		  struct station_passed *ret_passed, struct profile_report *report,
		  struct muster_error *err) MUST_CHECK;
