#include "allocation.h"

#include <ctype.h>
#include <string.h>

#include "muster/encoding.h"
#include "muster/text.h"

const char *const allocation_names[ALLOCATION_COUNT] = { "hashed", "geoLatency", "static",
							 "custom" };

/* -- Grammar ----------------------------------------------------------------------------------------------- */

static bool host_is_valid(const char *host)
{
	size_t length = strlen(host);

	if (length < 1 || length > HUB_NAME_MAX || host[0] == '.' || host[0] == '-')
		return false;
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)host[i]) && host[i] != '-' && host[i] != '.')
			return false;
	return true;
}

static bool parse_option(const char *text, struct hub *hub)
{
	if (text_has_prefix(text, "weight="))
		return text_to_int64(text + strlen("weight="), 1, 1000, &hub->weight);
	if (text_has_prefix(text, "latency="))
		return text_to_int64(text + strlen("latency="), 0, 100000, &hub->latency_ms);
	hub->never_assigned = strcmp(text, "allocate=no") == 0;
	return hub->never_assigned;
}

bool hub_parse(const char *spec, struct hub *ret_hub, struct muster_error *err)
{
	struct hub hub = { .weight = 1, .latency_ms = 10 };
	CLEANUP(freep) char *copy = strdup(spec);

	if (!copy)
		return muster_fail_memory(err);
	char *options = strchr(copy, ',');
	if (options)
		*options++ = '\0';
	if (!host_is_valid(copy))
		return muster_fail(err, CAUSE_USAGE, "--hub '%s': is not a host name",
				   PRINTABLE(spec));
	memcpy(hub.host, copy, strlen(copy) + 1);
	while (options) {
		char *next = strchr(options, ',');
		if (next)
			*next++ = '\0';
		if (!parse_option(options, &hub))
			return muster_fail(
				err, CAUSE_USAGE,
				"--hub '%s': '%s' is not weight=1..1000, latency=MS or allocate=no",
				PRINTABLE(spec), PRINTABLE(options));
		options = next;
	}
	*ret_hub = hub;
	return true;
}

const struct hub *hub_find(const struct hub *hubs, size_t count, const char *host)
{
	for (size_t i = 0; i < count; i++)
		if (text_equal_folded(hubs[i].host, host))
			return &hubs[i];
	return NULL;
}

/* -- Choosing ---------------------------------------------------------------------------------------------- */

static int64_t least_latency(const struct hub *const *candidates, size_t count)
{
	int64_t least = INT64_MAX;

	for (size_t i = 0; i < count; i++)
		if (!candidates[i]->never_assigned && candidates[i]->latency_ms < least)
			least = candidates[i]->latency_ms;
	return least;
}

static uint64_t hash_of(const char *id)
{
	uint8_t digest[SHA256_SIZE];
	uint64_t hash = 0;

	sha256(digest, id, strlen(id));
	for (size_t i = 0; i < 8; i++)
		hash = hash << 8 | digest[i];
	return hash;
}

const struct hub *allocation_choose(enum allocation_policy policy,
				    const struct hub *const *candidates, size_t count,
				    const char *id)
{
	const struct hub *eligible[256];
	size_t found = 0;
	uint64_t weights = 0;
	int64_t limit =
		policy == ALLOCATION_GEO_LATENCY ? least_latency(candidates, count) : INT64_MAX;

	for (size_t i = 0; i < count && found < ARRAY_SIZE(eligible); i++) {
		if (candidates[i]->never_assigned || candidates[i]->latency_ms > limit)
			continue;
		eligible[found++] = candidates[i];
		weights += (uint64_t)candidates[i]->weight;
	}
	if (found == 0)
		return NULL;
	if (policy == ALLOCATION_STATIC)
		return eligible[0];

	uint64_t point = hash_of(id) % weights;
	size_t i = 0;
	while (point >= (uint64_t)eligible[i]->weight)
		point -= (uint64_t)eligible[i++]->weight;
	return eligible[i];
}
