#include <string.h>

#include "login-options.h"

const char *const login_auth_types[] = { "key", "login", NULL };

static bool read_login(const struct login_options *options, struct dps_login *ret_login,
		       struct muster_error *err)
{
	if (options->login && options->login_file)
		return muster_fail(err, CAUSE_USAGE, "--login and --login-file exclude each other");
	if (options->login)
		return dps_login_parse(ret_login, options->login, strlen(options->login), err);
	if (options->login_file)
		return dps_login_read_file(ret_login, options->login_file, err);
	return muster_fail(
		err, CAUSE_LOGIN_MISSING,
		"nothing says which provisioning service to use: give --login-file FILE");
}

/* "N" or "N/SECONDS". */
static bool read_rate(const char *text, int64_t *ret_quota, int64_t *ret_window_ms,
		      struct muster_error *err)
{
	const char *slash = text ? strchr(text, '/') : NULL;
	char count[32];
	int64_t seconds = DPS_BUDGET_WINDOW_MS / 1000;

	*ret_quota = DPS_BUDGET_QUOTA;
	if (text) {
		snprintf(count, sizeof(count), "%.*s", (int)strcspn(text, "/"), text);
		if (!text_to_int64(count, 1, DPS_BUDGET_QUOTA_MAX, ret_quota) ||
		    (slash && !text_to_int64(slash + 1, 1, 86400, &seconds)))
			return muster_fail(err, CAUSE_USAGE,
					   "--rate=%s is not a number of operations per minute, "
					   "or N/SECONDS",
					   PRINTABLE(text));
	}
	*ret_window_ms = seconds * 1000;
	return true;
}

static bool open_meter(const struct login_options *options, struct service *service,
		       struct muster_error *err)
{
	int64_t quota = 0, window_ms = 0;

	if (!read_rate(options->rate, &quota, &window_ms, err))
		return false;
	service->meter =
		dps_meter_open(NULL, dps_client_host(service->client), quota, window_ms, err);
	if (!service->meter)
		return false;
	dps_client_set_meter(service->client, service->meter);
	return true;
}

bool service_open(const struct login_options *options, struct service *ret_service,
		  struct muster_error *err)
{
	CLEANUP(service_done) struct service service = { 0 };
	CLEANUP(dps_login_done) struct dps_login login = { 0 };

	if (!read_login(options, &login, err))
		return false;
	service.credential = dps_credential_new_login(&login, err);
	if (!service.credential)
		return false;
	service.http = http_new(options->ca_file, err);
	if (!service.http)
		return false;
	service.client = dps_client_new(service.http, service.credential, err);
	if (!service.client || !open_meter(options, &service, err))
		return false;
	*ret_service = service;
	service = (struct service){ 0 };
	return true;
}

void service_done(struct service *service)
{
	dps_client_free(service->client);
	dps_meter_close(service->meter);
	dps_credential_free(service->credential);
	http_free(service->http);
	*service = (struct service){ 0 };
}
