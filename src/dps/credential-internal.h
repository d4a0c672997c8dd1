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
	void (*free)(struct dps_credential
			     *credential); /* what the kind owns beyond the struct's; or NULL */
};

struct dps_credential {
	const struct credential_kind *kind;
	struct dps_login login;    /* of tokens only the host */
	struct dps_tokens *tokens; /* or NULL */
	const char *resource;      /* of the tokens; lies in their endpoints */
	struct named *named;       /* or NULL */
	int64_t forgotten_ms;      /* when a token was dropped last */
};

/* A service that is looked up by name. */
struct named {
	struct dps_credential *manager; /* for the management API */
	char *subscription, *group, *name;
	bool is_refused; /* what was found of it last */
};

struct dps_credential *credential_new(const struct credential_kind *kind, struct muster_error *err)
	MUST_CHECK;
/* Tokens for any resource; takes them over in any case. */
struct dps_credential *credential_new_for(struct dps_tokens *tokens, const char *resource,
					  struct muster_error *err) MUST_CHECK;
/* By the policy's key in credential->login. */
bool credential_authorize_by_key(struct dps_credential *credential, struct http *http,
				 struct http_request *request, struct muster_error *err) MUST_CHECK;
bool credential_forget_key_token(struct dps_credential *credential);
