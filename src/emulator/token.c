/* POST /{tenant}/oauth2/v2.0/token: proves who an application is and gives it a token. */
#include <stdlib.h>
#include <string.h>

#include "muster/json.h"

#include "assertion.h"
#include "authority.h"
#include "device-code.h"
#include "emulator-internal.h"
#include "form.h"
#include "handlers.h"
#include "token.h"

/* "RESOURCE/.default" -> "RESOURCE". */
char *token_audience(const char *scope)
{
	static const char ending[] = "/.default";
	size_t length = scope ? strlen(scope) : 0;

	if (length <= strlen(ending) || strcmp(scope + length - strlen(ending), ending) != 0)
		return NULL;
	return strndup(scope, length - strlen(ending));
}

bool token_answer(struct exchange *exchange, const struct application *application,
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

/* "exp", "aud" and who it is for are looked at, and by whom it is signed. */
static bool check_assertion(struct exchange *exchange, const struct application *application,
			    const struct form *form)
{
	const char *assertion = form_get(form, "client_assertion");
	const char *type = form_get(form, "client_assertion_type");
	CLEANUP(freep)
	char *audience =
		text_format("https://%s%s", exchange->request->host, exchange->request->path);

	if (!audience)
		return refuse(&exchange->refusal, SERVER_FAILED, "The emulator is out of memory");
	if (!type || strcmp(type, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer") != 0)
		return refuse_as(&exchange->refusal, 400000, "invalid_request",
				 "AADSTS900144: client_assertion_type is missing.");
	return assertion_is_own(assertion, application, audience, exchange->request->now_ms) ||
	       assertion_is_federated(assertion, application, exchange->request->now_ms) ||
	       refuse_as(&exchange->refusal, 401000, "invalid_client",
			 "AADSTS700027: The client assertion is not valid for app '%s'.",
			 application->client_id);
}

static bool check_proof(struct exchange *exchange, const struct application *application,
			const struct form *form)
{
	return form_get(form, "client_assertion") ? check_assertion(exchange, application, form)
						  : check_secret(exchange, application, form);
}

static bool client_credentials(struct exchange *exchange, const struct form *form)
{
	const struct application *application =
		authority_find(exchange->emulator->authority, form_get(form, "client_id"));
	CLEANUP(freep) char *audience = token_audience(form_get(form, "scope"));

	if (!application)
		return refuse_as(&exchange->refusal, 400000, "unauthorized_client",
				 "AADSTS700016: Application was not found in the directory.");
	if (!audience)
		return refuse_as(&exchange->refusal, 400000, "invalid_scope",
				 "AADSTS70011: The provided scope is not valid.");
	return check_proof(exchange, application, form) &&
	       token_answer(exchange, application, audience);
}

bool token_form(struct exchange *exchange, struct form *ret_form)
{
	if (strcmp(exchange->segments[0], exchange->emulator->authority->tenant) != 0)
		return refuse_as(&exchange->refusal, 400000, "invalid_request",
				 "AADSTS90002: Tenant '%s' not found.", exchange->segments[0]);
	return form_parse(exchange->request->body, exchange->request->body_size, ret_form) ||
	       refuse_as(&exchange->refusal, 400000, "invalid_request",
			 "AADSTS900144: The request body is not a form.");
}

bool token_post(struct exchange *exchange)
{
	CLEANUP(form_done) struct form form = { 0 };
	const char *grant;

	if (!token_form(exchange, &form))
		return false;
	grant = form_get(&form, "grant_type");
	if (grant && strcmp(grant, "client_credentials") == 0)
		return client_credentials(exchange, &form);
	if (grant && strcmp(grant, "urn:ietf:params:oauth:grant-type:device_code") == 0)
		return device_code_poll(exchange, form_get(&form, "client_id"),
					form_get(&form, "device_code"));
	return refuse_as(&exchange->refusal, 400000, "unsupported_grant_type",
			 "AADSTS70003: The app requested an unsupported grant type.");
}

/* The metadata service has all values as texts. */
bool metadata_get(struct exchange *exchange)
{
	const struct authority *authority = exchange->emulator->authority;
	const struct request *request = exchange->request;
	const struct application *application = &authority->applications[0];
	CLEANUP(freep) char *token = NULL;

	if (!request->metadata || strcmp(request->metadata, "true") != 0)
		return refuse_as(&exchange->refusal, 400000, "invalid_request",
				 "Required metadata header not specified");
	if (!request->resource || !request->api_version)
		return refuse_as(&exchange->refusal, 400000, "invalid_request",
				 "resource or api-version is missing");
	if (request->client_id && !text_equal_folded(request->client_id, application->client_id))
		return refuse_as(&exchange->refusal, 400000, "invalid_request",
				 "Identity not found");
	token = authority_issue(authority, application, request->resource, request->now_ms);
	if (!token)
		return refuse(&exchange->refusal, SERVER_FAILED, "The emulator is out of memory");
	text_addf(&exchange->reply.body,
		  "{\"access_token\":\"%s\",\"expires_in\":\"%lld\",\"token_type\":\"Bearer\"}",
		  token, (long long)authority->token_life_s);
	return true;
}
