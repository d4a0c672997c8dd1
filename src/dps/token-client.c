/* Tokens for an application that proves itself to the authority: by a secret, by a certificate's key, or by a token that
 * another authority gave it (RFC 6749 4.4, RFC 7523). */
#include <string.h>

#include "muster/clock.h"

#include "token-internal.h"

#define FEDERATED_TOKEN_MAX (16 * 1024)

/* -- Requests of all ways ------------------------------------------------------------------------------ */

bool token_fetch(struct http *http, dps_client_build *build, void *context,
		 struct http_answer *ret_answer, struct muster_error *err)
{
	CLEANUP(dps_credential_freep)
	struct dps_credential *nobody = dps_credential_new_nobody(err);
	CLEANUP(dps_client_freep)
	struct dps_client *client = nobody ? dps_client_new(http, nobody, err) : NULL;

	return client && dps_client_fetch(client, build, context, false, ret_answer, err);
}

void token_form_add(struct text *form, const char *name, const char *value)
{
	text_addf(form, "%s%s=", form->length > 0 ? "&" : "", name);
	text_add_url(form, value);
}

void token_form_add_scope(struct text *form, const char *resource)
{
	text_addf(form, "%sscope=", form->length > 0 ? "&" : "");
	text_add_url(form, resource);
	text_add_url(form, "/.default");
}

static void add_endpoint(const struct dps_tokens *tokens, const char *deed, struct text *url)
{
	text_addf(url, "%s/", tokens->endpoints.authority);
	text_add_url(url, tokens->tenant);
	text_addf(url, "/oauth2/v2.0/%s", deed);
}

bool token_post(const struct dps_tokens *tokens, const char *deed, const struct text *form,
		struct http_request *ret_request, struct muster_error *err)
{
	ret_request->method = HTTP_POST;
	ret_request->content_type = "application/x-www-form-urlencoded";
	add_endpoint(tokens, deed, &ret_request->url);
	return text_ok(form, err) && text_ok(&ret_request->url, err) &&
	       secret_copy(&ret_request->body, form->data, form->length, err);
}

/* -- Proofs -------------------------------------------------------------------------------------------- */

static void add_assertion(struct text *form, const struct secret *assertion)
{
	token_form_add(form, "client_assertion_type",
		       "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
	token_form_add(form, "client_assertion", (const char *)assertion->data);
}

static bool add_own_assertion(const struct dps_tokens *tokens, struct text *form,
			      struct muster_error *err)
{
	CLEANUP(text_done) struct text audience = TEXT_MAX(2048);
	CLEANUP(secret_done) struct secret assertion = { 0 };

	add_endpoint(tokens, "token", &audience);
	if (!text_ok(&audience, err) ||
	    !token_assertion_make(tokens, audience.data, clock_wall_ms(), &assertion, err))
		return false;
	add_assertion(form, &assertion);
	return true;
}

/* Read for each token anew: whoever wrote it renews it. */
static bool add_federated_token(const struct dps_tokens *tokens, struct text *form,
				struct muster_error *err)
{
	CLEANUP(secret_done) struct secret token = { 0 };

	if (!secret_read_source(&token, tokens->federated_token, FEDERATED_TOKEN_MAX,
				"the federated token", err))
		return false;
	add_assertion(form, &token);
	return true;
}

static bool add_proof(const struct dps_tokens *tokens, struct text *form, struct muster_error *err)
{
	switch (tokens->way) {
	case DPS_SIGN_IN_CLIENT_CERTIFICATE:
		return add_own_assertion(tokens, form, err);
	case DPS_SIGN_IN_WORKLOAD_IDENTITY:
		return add_federated_token(tokens, form, err);
	default:
		token_form_add(form, "client_secret", (const char *)tokens->client_secret.data);
		return true;
	}
}

/* -- The exchange -------------------------------------------------------------------------------------- */

struct asking {
	const struct dps_tokens *tokens;
	const char *resource;
};

static bool build(void *context, const char *host, struct http_request *ret_request,
		  struct muster_error *err)
{
	const struct asking *asking = context;
	const struct dps_tokens *tokens = asking->tokens;
	CLEANUP(text_done) struct text form = TEXT_MAX(SECRET_MAX);

	(void)host;
	token_form_add(&form, "grant_type", "client_credentials");
	token_form_add(&form, "client_id", tokens->client_id);
	token_form_add_scope(&form, asking->resource);
	return add_proof(tokens, &form, err) &&
	       token_post(tokens, "token", &form, ret_request, err);
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
