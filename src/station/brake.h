/* When a run of many devices has to wait or to stop: what hinders one and is not its own would hinder all others too. Private to
 * the station. */
#pragma once

#include "job.h"

struct brake {
	size_t under_way; /* devices given and not ended */
	bool is_proven; /* a device came through identify: the service is who it says, the PIN is right */
	bool has_success; /* a device came through: the service takes the credential */
	size_t cut_off;   /* devices that a stop left in the middle */
	unsigned alike; /* devices in a row that failed for the same reason, which is not theirs */
	enum muster_cause alike_cause;
	struct muster_error why; /* code MUSTER_OK: there is no reason to stop */
};

/* No more devices; the first reason stays. */
void brake_stop(struct brake *brake, const struct muster_error *why);
bool brake_has_stopped(const struct brake *brake);
/* A stop from outside that cut no device off: none at all where there is no other to begin. */
bool brake_came_late(const struct brake *brake);
/* Whether the next device has to wait for those under way: one goes alone until the service is proven, a bulk of them until one
 * came through. */
bool brake_holds(const struct brake *brake);
void brake_device_ended(struct brake *brake, const struct job *job);
/* Whether a failure for this cause would be the next device's too. */
bool brake_is_general(enum muster_cause cause);
