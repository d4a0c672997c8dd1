#include <stdlib.h>

#include "muster/clock.h"
#include "muster/dps-client.h"

struct dps_credential {
	struct dps_login login;
};

struct dps_credential *dps_credential_new_login(struct dps_login *login, struct muster_error *err)
{
	struct dps_credential *credential = calloc(1, sizeof(*credential));

	if (!credential) {
		dps_login_done(login);
		muster_fail_memory(err);
		return NULL;
	}
	credential->login = *login;
	*login = (struct dps_login){ 0 };
	return credential;
}

void dps_credential_free(struct dps_credential *credential)
{
	if (!credential)
		return;
	dps_login_done(&credential->login);
	free(credential);
}

const char *dps_credential_host(const struct dps_credential *credential)
{
	return credential->login.host;
}

bool dps_credential_authorize(struct dps_credential *credential, struct http *http,
			      struct http_request *request, struct muster_error *err)
{
	(void)http;
	return dps_login_authorize(&credential->login, clock_wall_ms(), request, err);
}

void dps_credential_forget(struct dps_credential *credential)
{
	/* A token of a shared access policy is made anew for each request. */
	(void)credential;
}
