/* Tokens for a person who signs in with a browser elsewhere and types a code there (RFC 8628). */
#include <string.h>

#include "muster/clock.h"
#include "muster/json.h"

#include "token-internal.h"

enum { INTERVAL_S = 5, INTERVAL_MAX_S = 60, SLOWER_S = 5, LIFE_MAX_S = 1800 };

struct code {
	const struct dps_tokens *tokens;
	const char *resource;
	struct secret device_code;
	int64_t interval_s;
	int64_t until_ms; /* by clock_now_ms() */
};

static const char what[] = "signing in with a device code";

static bool build_start(void *context, const char *host, struct http_request *ret_request,
			struct muster_error *err)
{
	const struct code *code = context;
	CLEANUP(text_done) struct text form = TEXT_MAX(4096);

	(void)host;
	token_form_add(&form, "client_id", code->tokens->client_id);
	token_form_add_scope(&form, code->resource);
	return token_post(code->tokens, "devicecode", &form, ret_request, err);
}

static bool build_poll(void *context, const char *host, struct http_request *ret_request,
		       struct muster_error *err)
{
	const struct code *code = context;
	CLEANUP(text_done) struct text form = TEXT_MAX(SECRET_MAX);

	(void)host;
	token_form_add(&form, "grant_type", "urn:ietf:params:oauth:grant-type:device_code");
	token_form_add(&form, "client_id", code->tokens->client_id);
	token_form_add(&form, "device_code", (const char *)code->device_code.data);
	return token_post(code->tokens, "token", &form, ret_request, err);
}

/* Tells the person; keeps what the polls need. */
static bool take_code(struct code *code, const cJSON *answer, struct muster_error *err)
{
	const char *user_code = json_text(answer, "user_code");
	const char *url = json_text(answer, "verification_uri");
	const char *device_code = json_text(answer, "device_code");
	int64_t life_s = 0;

	if (!token_number(answer, "interval", &code->interval_s) || code->interval_s < 1)
		code->interval_s = INTERVAL_S;
	if (!user_code || !url || !device_code || !*device_code ||
	    strlen(device_code) > DPS_TOKEN_MAX || !token_number(answer, "expires_in", &life_s) ||
	    life_s < 1)
		return muster_fail(err, CAUSE_SIGN_IN_ANSWER,
				   "%s: the authority's answer holds no code that can be used",
				   what);
	code->until_ms = clock_now_ms() + (life_s < LIFE_MAX_S ? life_s : LIFE_MAX_S) * 1000;
	if (!secret_copy(&code->device_code, device_code, strlen(device_code), err))
		return false;
	code->tokens->tell(code->tokens->tell_context, PRINTABLE(user_code), PRINTABLE(url));
	return true;
}

static bool start(struct code *code, struct http *http, struct muster_error *err)
{
	CLEANUP(http_answer_done) struct http_answer answer = { 0 };
	CLEANUP(cJSON_freep) cJSON *document = NULL;

	return token_fetch(http, build_start, code, &answer, err) &&
	       token_answer_document(&answer, what, &document, err) &&
	       take_code(code, document, err);
}

/* *ret_again: the person has not finished yet. */
static bool poll_once(struct code *code, struct http *http, struct token *ret_token,
		      bool *ret_again, struct muster_error *err)
{
	CLEANUP(http_answer_done) struct http_answer answer = { 0 };

	if (!token_fetch(http, build_poll, code, &answer, err))
		return false;
	*ret_again = true;
	if (token_answer_says(&answer, "authorization_pending"))
		return true;
	if (token_answer_says(&answer, "slow_down")) {
		code->interval_s += SLOWER_S;
		return true;
	}
	*ret_again = false;
	return token_answer_read(&answer, what, clock_wall_ms(), ret_token, err);
}

static bool wait_for_person(struct code *code, struct http *http, struct token *ret_token,
			    struct muster_error *err)
{
	bool again = true;

	while (again) {
		if (code->interval_s > INTERVAL_MAX_S)
			code->interval_s = INTERVAL_MAX_S;
		if (clock_now_ms() >= code->until_ms)
			return muster_fail(err, CAUSE_SIGN_IN_REFUSED,
					   "%s: nobody entered the code in time", what);
		if (!http_wait(http, code->interval_s * 1000, err) ||
		    !poll_once(code, http, ret_token, &again, err))
			return false;
	}
	return true;
}

bool token_by_device_code(struct dps_tokens *tokens, struct http *http, const char *resource,
			  struct token *ret_token, struct muster_error *err)
{
	struct code code = { .tokens = tokens, .resource = resource };
	bool is_done = start(&code, http, err) && wait_for_person(&code, http, ret_token, err);

	secret_done(&code.device_code);
	return is_done;
}
