/* Which method and path is which operation, who may call it, and who does it. */
#pragma once

#include "request.h"

/* Rights of a policy, as its text names them. */
enum right {
	RIGHT_NONE = 0, /* the device API: the handler looks at the device's own credential */
	RIGHT_SERVICE_CONFIG = 1 << 0,
	RIGHT_ENROLLMENT_READ = 1 << 1,
	RIGHT_ENROLLMENT_WRITE = 1 << 2,
	RIGHT_DEVICE_CONNECT = 1 << 3,
	RIGHT_REGISTRATION_READ = 1 << 4,
	RIGHT_REGISTRATION_WRITE = 1 << 5,
	RIGHT_ALL = (1 << 6) - 1,
};

/* Fills the body and returns true; or fills exchange->refusal and returns false. */
typedef bool (*route_handler)(struct exchange *exchange);

/* Whose rules hold for version, credential and errors. */
enum plane {
	PLANE_DPS,        /* service and device API */
	PLANE_TOKEN,      /* Entra ID, and the metadata service of a managed identity */
	PLANE_MANAGEMENT, /* Azure Resource Manager */
};

struct route {
	const char *method;
	const char *pattern;    /* segments between slashes; "*" any, "{}" the id */
	const char *collection; /* for the ledger */
	enum operation operation;
	enum right right;
	route_handler handle;
};

/* NULL when no path fits (*ret_known_path false) or the path is for other methods. */
const struct route *route_find(const char *method, const char (*segments)[SEGMENT_MAX],
			       size_t count, bool *ret_known_path);
enum plane route_plane(const struct route *route);
/* The segment that is the id, or NULL. */
const char *route_id(const struct route *route, const char (*segments)[SEGMENT_MAX]);
