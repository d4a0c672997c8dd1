#include <string.h>

#include "muster/dps.h"

/* One row per cloud: instances end in the suffix, devices of all of them register at the other host. */
static const struct {
	const char *suffix;
	const char *device_host;
} clouds[] = {
	{ ".azure-devices-provisioning.net", "global.azure-devices-provisioning.net" },
	{ ".azure-devices-provisioning.cn", "global.azure-devices-provisioning.cn" },
	{ ".azure-devices-provisioning.us", "global.azure-devices-provisioning.us" },
};

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length > end_length && text_equal_folded(text + length - end_length, end);
}

void dps_host_without_port(const char *host, char ret_name[DPS_HOST_SIZE])
{
	snprintf(ret_name, DPS_HOST_SIZE, "%.*s", (int)strcspn(host, ":"), host);
}

bool dps_host_parse(const char *text, size_t length, const char *what, char ret_host[DPS_HOST_SIZE],
		    struct muster_error *err)
{
	char host[DPS_HOST_SIZE], name[DPS_HOST_SIZE];
	const char *port;
	int64_t number;

	if (length == 0 || length >= sizeof(host) || memchr(text, 0, length))
		return muster_fail(err, CAUSE_LOGIN_INVALID, "%s is empty or too long", what);
	memcpy(host, text, length);
	host[length] = 0;
	text_fold(host);
	dps_host_without_port(host, name);
	port = strchr(host, ':');
	if (!dps_hub_name_is_valid(name) || (port && !text_to_int64(port + 1, 1, 65535, &number)))
		return muster_fail(err, CAUSE_LOGIN_INVALID, "%s '%s' is not a host name", what,
				   PRINTABLE(host));
	memcpy(ret_host, host, sizeof(host));
	return true;
}

void dps_device_host(const char *service_host, char ret_host[DPS_HOST_SIZE])
{
	char name[DPS_HOST_SIZE];

	dps_host_without_port(service_host, name);
	for (size_t i = 0; i < ARRAY_SIZE(clouds); i++) {
		if (!ends_with(name, clouds[i].suffix))
			continue;
		snprintf(ret_host, DPS_HOST_SIZE, "%s%s", clouds[i].device_host,
			 service_host + strlen(name));
		return;
	}
	snprintf(ret_host, DPS_HOST_SIZE, "%s", service_host);
}
