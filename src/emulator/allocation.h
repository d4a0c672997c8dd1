/* Which hub a device gets. The real service does not publish its hash nor how it measures latency: these are
 * stand-ins, stable and documented, and never the live choice. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/error.h"

#define HUB_NAME_MAX 253

enum allocation_policy {
	ALLOCATION_HASHED,
	ALLOCATION_GEO_LATENCY,
	ALLOCATION_STATIC,
	ALLOCATION_CUSTOM,
	ALLOCATION_COUNT,
};
/* As the service spells them: hashed, geoLatency, static, custom. */
extern const char *const allocation_names[ALLOCATION_COUNT];

/* A hub linked to the instance. */
struct hub {
	char host[HUB_NAME_MAX + 1];
	int64_t weight;      /* 1..1000 */
	int64_t latency_ms;  /* what geoLatency compares */
	bool never_assigned; /* may stand in enrollments, is never chosen */
};

/* HOST[,weight=N][,latency=MS][,allocate=no] */
bool hub_parse(const char *spec, struct hub *ret_hub, struct muster_error *err) MUST_CHECK;
/* The hub of this name, case ignored, or NULL. */
const struct hub *hub_find(const struct hub *hubs, size_t count, const char *host);

/* hashed: weighted choice by SHA-256 of the folded id, the same for one id as long as hubs and weights stay.
 * geoLatency: the least latency_ms, among equals as hashed. static: the first. NULL when no candidate may be
 * assigned. custom is the webhook's business. `id` in lower case. */
const struct hub *allocation_choose(enum allocation_policy policy,
				    const struct hub *const *candidates, size_t count,
				    const char *id);
