#include <stdlib.h>
#include <string.h>

#include "muster/clock.h"

#include "credential-internal.h"

/* -- Any of them --------------------------------------------------------------------------------------- */

struct dps_credential *credential_new(const struct credential_kind *kind, struct muster_error *err)
{
	struct dps_credential *credential = calloc(1, sizeof(*credential));

	if (!credential) {
		muster_fail_memory(err);
		return NULL;
	}
	credential->kind = kind;
	return credential;
}

void dps_credential_free(struct dps_credential *credential)
{
	if (!credential)
		return;
	if (credential->kind->free)
		credential->kind->free(credential);
	dps_login_done(&credential->login);
	dps_tokens_free(credential->tokens);
	free(credential);
}

bool dps_credential_connect(struct dps_credential *credential, struct http *http,
			    struct muster_error *err)
{
	return !credential->kind->connect || credential->kind->connect(credential, http, err);
}

const char *dps_credential_host(const struct dps_credential *credential)
{
	return credential->login.host;
}

bool dps_credential_authorize(struct dps_credential *credential, struct http *http,
			      struct http_request *request, struct muster_error *err)
{
	return credential->kind->authorize(credential, http, request, err);
}

bool dps_credential_forget(struct dps_credential *credential, const struct http_answer *answer)
{
	if (answer->started_ms <= credential->forgotten_ms)
		return true;
	credential->forgotten_ms = clock_now_ms();
	return credential->kind->forget(credential);
}

/* -- A shared access policy's key ---------------------------------------------------------------------- */

bool credential_authorize_by_key(struct dps_credential *credential, struct http *http,
				 struct http_request *request, struct muster_error *err)
{
	(void)http;
	return dps_login_authorize(&credential->login, clock_wall_ms(), request, err);
}

bool credential_forget_key_token(struct dps_credential *credential)
{
	dps_login_forget(&credential->login);
	return true;
}

static const struct credential_kind by_key = {
	.authorize = credential_authorize_by_key,
	.forget = credential_forget_key_token,
};

struct dps_credential *dps_credential_new_login(struct dps_login *login, struct muster_error *err)
{
	struct dps_credential *credential = credential_new(&by_key, err);

	if (!credential) {
		dps_login_done(login);
		return NULL;
	}
	credential->login = *login;
	*login = (struct dps_login){ 0 };
	return credential;
}

/* -- Tokens -------------------------------------------------------------------------------------------- */

static bool authorize_by_token(struct dps_credential *credential, struct http *http,
			       struct http_request *request, struct muster_error *err)
{
	static const char scheme[] = "Bearer ";
	const struct secret *token;

	if (!dps_tokens_get(credential->tokens, http, credential->resource, &token, err) ||
	    !secret_new(&request->authorization, strlen(scheme) + token->size, err))
		return false;
	memcpy(request->authorization.data, scheme, strlen(scheme));
	memcpy(request->authorization.data + strlen(scheme), token->data, token->size);
	return true;
}

static bool forget_token(struct dps_credential *credential)
{
	dps_tokens_forget(credential->tokens, credential->resource);
	return true;
}

static const struct credential_kind by_token = {
	.authorize = authorize_by_token,
	.forget = forget_token,
};

struct dps_credential *credential_new_for(struct dps_tokens *tokens, const char *resource,
					  struct muster_error *err)
{
	struct dps_credential *credential = credential_new(&by_token, err);

	if (!credential) {
		dps_tokens_free(tokens);
		return NULL;
	}
	credential->tokens = tokens;
	credential->resource = resource;
	return credential;
}

struct dps_credential *dps_credential_new_tokens(struct dps_tokens *tokens, const char *host,
						 struct muster_error *err)
{
	CLEANUP(dps_credential_freep)
	struct dps_credential *credential =
		credential_new_for(tokens, dps_tokens_endpoints(tokens)->resource, err);

	if (!credential ||
	    !dps_host_parse(host, strlen(host), "the service's host", credential->login.host, err))
		return NULL;
	return TAKE_PTR(credential);
}

/* -- Nobody -------------------------------------------------------------------------------------------- */

static bool authorize_nobody(struct dps_credential *credential, struct http *http,
			     struct http_request *request, struct muster_error *err)
{
	(void)credential;
	(void)http;
	(void)request;
	(void)err;
	return true;
}

static bool cannot_renew(struct dps_credential *credential)
{
	(void)credential;
	return false;
}

static const struct credential_kind nobody = {
	.authorize = authorize_nobody,
	.forget = cannot_renew,
};

struct dps_credential *dps_credential_new_nobody(struct muster_error *err)
{
	return credential_new(&nobody, err);
}
