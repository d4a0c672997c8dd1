/* Tokens for an application that proves itself to the authority (RFC 6749 4.4). */
#include <string.h>

#include "muster/clock.h"

#include "token-internal.h"

bool token_fetch(struct http *http, dps_client_build *build, void *context,
		 struct http_answer *ret_answer, struct muster_error *err)
{
	CLEANUP(dps_credential_freep)
	struct dps_credential *nobody = dps_credential_new_nobody(err);
	CLEANUP(dps_client_freep)
	struct dps_client *client = nobody ? dps_client_new(http, nobody, err) : NULL;

	return client && dps_client_fetch(client, build, context, false, ret_answer, err);
}

/* -- The request --------------------------------------------------------------------------------------- */

struct asking {
	const struct dps_tokens *tokens;
	const char *resource;
};

static void add_field(struct text *form, const char *name, const char *value)
{
	text_addf(form, "%s%s=", form->length > 0 ? "&" : "", name);
	text_add_url(form, value);
}

static bool build_form(const struct asking *asking, struct text *form, struct muster_error *err)
{
	const struct dps_tokens *tokens = asking->tokens;
	CLEANUP(text_done) struct text scope = TEXT_MAX(512);

	text_addf(&scope, "%s/.default", asking->resource);
	if (!text_ok(&scope, err))
		return false;
	add_field(form, "grant_type", "client_credentials");
	add_field(form, "client_id", tokens->client_id);
	add_field(form, "scope", scope.data);
	add_field(form, "client_secret", (const char *)tokens->client_secret.data);
	return text_ok(form, err);
}

static bool build(void *context, const char *host, struct http_request *ret_request,
		  struct muster_error *err)
{
	const struct asking *asking = context;
	const struct dps_tokens *tokens = asking->tokens;
	CLEANUP(text_done) struct text form = TEXT_MAX(SECRET_MAX);

	(void)host;
	ret_request->method = HTTP_POST;
	ret_request->content_type = "application/x-www-form-urlencoded";
	text_addf(&ret_request->url, "%s/", tokens->endpoints.authority);
	text_add_url(&ret_request->url, tokens->tenant);
	text_add(&ret_request->url, "/oauth2/v2.0/token");
	return text_ok(&ret_request->url, err) && build_form(asking, &form, err) &&
	       secret_copy(&ret_request->body, form.data, form.length, err);
}

bool token_by_client(struct dps_tokens *tokens, struct http *http, const char *resource,
		     struct token *ret_token, struct muster_error *err)
{
	CLEANUP(http_answer_done) struct http_answer answer = { 0 };
	struct asking asking = { tokens, resource };
	char what[256];

	snprintf(what, sizeof(what), "signing in as application '%s'",
		 PRINTABLE(tokens->client_id));
	return token_fetch(http, build, &asking, &answer, err) &&
	       token_answer_read(&answer, what, clock_wall_ms(), ret_token, err);
}
