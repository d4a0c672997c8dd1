/* A credential is one of a few kinds behind one face. */
#pragma once

#include "muster/dps-client.h"

struct credential_kind {
	/* NULL: the host is known from the start. */
	bool (*connect)(struct dps_credential *credential, struct http *http,
			struct muster_error *err);
	bool (*authorize)(struct dps_credential *credential, struct http *http,
			  struct http_request *request, struct muster_error *err);
	bool (*forget)(struct dps_credential *credential);
};

struct dps_credential {
	const struct credential_kind *kind;
	struct dps_login login;    /* of tokens only the host */
	struct dps_tokens *tokens; /* or NULL */
	const char *resource;      /* of the tokens; lies in their endpoints */
};
