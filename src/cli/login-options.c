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
	if (!service.client)
		return false;
	*ret_service = service;
	service = (struct service){ 0 };
	return true;
}

void service_done(struct service *service)
{
	dps_client_free(service->client);
	dps_credential_free(service->credential);
	http_free(service->http);
	*service = (struct service){ 0 };
}
