/* Tokens for the managed identity of the machine, from the metadata service that only the machine reaches. */
#include <string.h>

#include "muster/clock.h"
#include "muster/encoding.h"

#include "token-internal.h"

#define API_VERSION "2018-02-01"
#define CONNECT_TIMEOUT_MS 3000

static bool build(const struct dps_tokens *tokens, const char *resource,
		  struct http_request *request, struct muster_error *err)
{
	request->method = HTTP_GET;
	request->allow_plain_metadata = true;
	request->connect_timeout_ms = CONNECT_TIMEOUT_MS;
	text_addf(&request->url,
		  "%s/metadata/identity/oauth2/token?api-version=" API_VERSION "&resource=",
		  tokens->endpoints.metadata);
	text_add_url(&request->url, resource);
	if (tokens->client_id) {
		text_add(&request->url, "&client_id=");
		text_add_url(&request->url, tokens->client_id);
	}
	return text_ok(&request->url, err) && http_request_header(request, "Metadata", "true", err);
}

/* The service starts and restarts with the machine, and then does not know its identities yet. */
static bool may_pass(const struct http_answer *answer)
{
	return answer->outcome == HTTP_ANSWERED &&
	       (answer->status == 404 || answer->status == 410 || answer->status == 429 ||
		answer->status >= 500);
}

static bool fetch(const struct dps_tokens *tokens, struct http *http, const char *resource,
		  struct http_answer *ret_answer, struct muster_error *err)
{
	CLEANUP(http_request_done) struct http_request request = { 0 };

	return build(tokens, resource, &request, err) &&
	       http_fetch(http, &request, ret_answer, err);
}

bool token_by_metadata(struct dps_tokens *tokens, struct http *http, const char *resource,
		       struct token *ret_token, struct muster_error *err)
{
	static const char what[] = "asking for a token of the managed identity";

	for (unsigned attempts = 1;; attempts++) {
		CLEANUP(http_answer_done) struct http_answer answer = { 0 };
		int64_t wait_ms;
		uint64_t random;

		if (!fetch(tokens, http, resource, &answer, err))
			return false;
		if (!may_pass(&answer))
			return token_answer_read(&answer, what, clock_wall_ms(), ret_token, err);
		if (!random_bytes(&random, sizeof(random), err))
			return false;
		wait_ms = dps_retry_wait_ms(attempts, answer.retry_after_ms, random);
		if (wait_ms < 0)
			return token_answer_read(&answer, what, clock_wall_ms(), ret_token, err);
		if (!http_wait(http, wait_ms, err))
			return false;
	}
}
