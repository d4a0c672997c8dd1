/* POST /{tenant}/oauth2/v2.0/token: proves who an application is and gives it a token. */
#include <stdlib.h>
#include <string.h>

#include "muster/json.h"

#include "authority.h"
#include "emulator-internal.h"
#include "form.h"
#include "handlers.h"

/* "RESOURCE/.default" -> "RESOURCE". */
static char *audience_of(const char *scope)
{
	static const char ending[] = "/.default";
	size_t length = scope ? strlen(scope) : 0;

	if (length <= strlen(ending) || strcmp(scope + length - strlen(ending), ending) != 0)
		return NULL;
	return strndup(scope, length - strlen(ending));
}

static bool answer(struct exchange *exchange, const struct application *application,
		   const char *audience)
{
	const struct authority *authority = exchange->emulator->authority;
	CLEANUP(freep)
	char *token = authority_issue(authority, application, audience, exchange->request->now_ms);

	if (!token)
		return refuse(&exchange->refusal, SERVER_FAILED, "The emulator is out of memory");
	text_addf(&exchange->reply.body,
		  "{\"token_type\":\"Bearer\",\"expires_in\":%lld,\"ext_expires_in\":%lld,"
		  "\"access_token\":\"%s\"}",
		  (long long)authority->token_life_s, (long long)authority->token_life_s, token);
	return true;
}

static bool check_secret(struct exchange *exchange, const struct application *application,
			 const struct form *form)
{
	const char *text = form_get(form, "client_secret");
	struct secret shown = { .data = (uint8_t *)(uintptr_t)text,
				.size = text ? strlen(text) : 0 };

	return (text && secret_equal(&shown, &application->secret)) ||
	       refuse_as(&exchange->refusal, 401000, "invalid_client",
			 "AADSTS7000215: Invalid client secret provided for app '%s'.",
			 application->client_id);
}

static bool client_credentials(struct exchange *exchange, const struct form *form)
{
	const struct application *application =
		authority_find(exchange->emulator->authority, form_get(form, "client_id"));
	CLEANUP(freep) char *audience = audience_of(form_get(form, "scope"));

	if (!application)
		return refuse_as(&exchange->refusal, 400000, "unauthorized_client",
				 "AADSTS700016: Application was not found in the directory.");
	if (!audience)
		return refuse_as(&exchange->refusal, 400000, "invalid_scope",
				 "AADSTS70011: The provided scope is not valid.");
	return check_secret(exchange, application, form) && answer(exchange, application, audience);
}

bool token_post(struct exchange *exchange)
{
	CLEANUP(form_done) struct form form = { 0 };
	const char *grant;

	if (strcmp(exchange->segments[0], exchange->emulator->authority->tenant) != 0)
		return refuse_as(&exchange->refusal, 400000, "invalid_request",
				 "AADSTS90002: Tenant '%s' not found.", exchange->segments[0]);
	if (!form_parse(exchange->request->body, exchange->request->body_size, &form))
		return refuse_as(&exchange->refusal, 400000, "invalid_request",
				 "AADSTS900144: The request body is not a form.");
	grant = form_get(&form, "grant_type");
	if (grant && strcmp(grant, "client_credentials") == 0)
		return client_credentials(exchange, &form);
	return refuse_as(&exchange->refusal, 400000, "unsupported_grant_type",
			 "AADSTS70003: The app requested an unsupported grant type.");
}
