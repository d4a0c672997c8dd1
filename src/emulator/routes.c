#include "routes.h"

#include <string.h>
#include <strings.h>

#include "handlers.h"

#define READ RIGHT_ENROLLMENT_READ
#define WRITE RIGHT_ENROLLMENT_WRITE

#define MANAGED "subscriptions/*/providers/Microsoft.Devices/provisioningServices"
#define GROUPED "subscriptions/*/resourceGroups/*/providers/Microsoft.Devices/provisioningServices"

#define METADATA "metadata/identity/oauth2/token"

/* attestationmechanism gives keys out, so it needs the right to write; the service's own rule is not documented. */
/* clang-format off */
static const struct route routes[] = {
	{ "PUT",    "enrollments/{}",       "enrollments", OPERATION_PUT,    WRITE, individual_put },
	{ "GET",    "enrollments/{}",       "enrollments", OPERATION_GET,    READ,  individual_get },
	{ "DELETE", "enrollments/{}",       "enrollments", OPERATION_DELETE, WRITE, individual_delete },
	{ "POST",   "enrollments",          "enrollments", OPERATION_BULK,   WRITE, individual_bulk },
	{ "POST",   "enrollments/query",    "enrollments", OPERATION_QUERY,  READ,  individual_query },
	{ "POST",   "enrollments/{}/attestationmechanism",
	                                    "enrollments", OPERATION_MECHANISM, WRITE, individual_mechanism },

	{ "PUT",    "enrollmentGroups/{}",    "enrollmentGroups", OPERATION_PUT,    WRITE, group_put },
	{ "GET",    "enrollmentGroups/{}",    "enrollmentGroups", OPERATION_GET,    READ,  group_get },
	{ "DELETE", "enrollmentGroups/{}",    "enrollmentGroups", OPERATION_DELETE, WRITE, group_delete },
	{ "POST",   "enrollmentGroups",       "enrollmentGroups", OPERATION_BULK,   WRITE, group_bulk },
	{ "POST",   "enrollmentGroups/query", "enrollmentGroups", OPERATION_QUERY,  READ,  group_query },
	{ "POST",   "enrollmentGroups/{}/attestationmechanism",
	                                      "enrollmentGroups", OPERATION_MECHANISM, WRITE, group_mechanism },

	{ "GET",    "registrations/{}", "registrations", OPERATION_REGISTRATION, RIGHT_REGISTRATION_READ,
	                                                                              registration_get },
	{ "DELETE", "registrations/{}", "registrations", OPERATION_REGISTRATION, RIGHT_REGISTRATION_WRITE,
	                                                                              registration_delete },
	{ "POST",   "registrations/{}/query", "registrations", OPERATION_REGISTRATION, RIGHT_REGISTRATION_READ,
	                                                                              registration_query },

	/* Not Azure's: what the hub knows of a device, for tests. */
	{ "GET", "emulator/hubs/*/devices/*", "", OPERATION_NONE, RIGHT_SERVICE_CONFIG, hub_device_get },
	/* The person who types a device code. */
	{ "POST",   "emulator/codes/*", "", OPERATION_NONE, RIGHT_SERVICE_CONFIG, device_code_grant },
	{ "DELETE", "emulator/codes/*", "", OPERATION_NONE, RIGHT_SERVICE_CONFIG, device_code_decline },

	{ "PUT",  "*/registrations/{}/register",     "registrations", OPERATION_REGISTER, RIGHT_NONE, device_register },
	{ "GET",  "*/registrations/{}/operations/*", "registrations", OPERATION_POLL,     RIGHT_NONE, device_poll },
	{ "POST", "*/registrations/{}",              "registrations", OPERATION_REGISTRATION, RIGHT_NONE,
	                                                                              device_lookup },

	{ "GET",  MANAGED,                "", OPERATION_MANAGEMENT, RIGHT_NONE, management_list },
	{ "GET",  GROUPED,                "", OPERATION_MANAGEMENT, RIGHT_NONE, management_list },
	{ "GET",  GROUPED "/{}",          "", OPERATION_MANAGEMENT, RIGHT_NONE, management_get },
	{ "POST", GROUPED "/{}/listkeys", "", OPERATION_MANAGEMENT, RIGHT_NONE, management_list_keys },
	{ "POST", "*/oauth2/v2.0/token",      "", OPERATION_TOKEN, RIGHT_NONE, token_post },
	{ "POST", "*/oauth2/v2.0/devicecode", "", OPERATION_TOKEN, RIGHT_NONE, device_code_post },
	{ "GET",  METADATA,                   "", OPERATION_TOKEN, RIGHT_NONE, metadata_get },
};
/* clang-format on */

/* Walks the pattern; visits each of its segments with the decoded one beside it. */
static bool pattern_fits(const char *pattern, const char (*segments)[SEGMENT_MAX], size_t count)
{
	size_t i = 0;

	for (;; i++) {
		size_t length = strcspn(pattern, "/");
		bool is_free = pattern[0] == '*' || pattern[0] == '{';
		if (i >= count)
			return false;
		if (!is_free && (strlen(segments[i]) != length ||
				 strncasecmp(segments[i], pattern, length) != 0))
			return false;
		if (pattern[length] == '\0')
			return i + 1 == count;
		pattern += length + 1;
	}
}

const struct route *route_find(const char *method, const char (*segments)[SEGMENT_MAX],
			       size_t count, bool *ret_known_path)
{
	*ret_known_path = false;
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		if (!pattern_fits(routes[i].pattern, segments, count))
			continue;
		*ret_known_path = true;
		if (strcmp(routes[i].method, method) == 0)
			return &routes[i];
	}
	return NULL;
}

enum plane route_plane(const struct route *route)
{
	switch (route->operation) {
	case OPERATION_TOKEN:
		return PLANE_TOKEN;
	case OPERATION_MANAGEMENT:
		return PLANE_MANAGEMENT;
	default:
		return PLANE_DPS;
	}
}

const char *route_id(const struct route *route, const char (*segments)[SEGMENT_MAX])
{
	const char *mark = strstr(route->pattern, "{}");
	size_t index = 0;

	if (!mark)
		return NULL;
	for (const char *c = route->pattern; c < mark; c++)
		index += *c == '/';
	return segments[index];
}
