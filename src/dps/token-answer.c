#include <string.h>

#include "muster/json.h"

#include "token-internal.h"

#define TOKEN_LIFE_MAX_S (48 * 3600)
#define TOKEN_MARGIN_MS (5 * 60 * 1000)

void token_done(struct token *token)
{
	secret_done(&token->value);
	*token = (struct token){ 0 };
}

/* -- Refusals ------------------------------------------------------------------------------------------ */

/* The first line is for people; those behind it repeat the IDs. */
static void add_words(struct text *sentence, const cJSON *body)
{
	const char *error = json_text(body, "error");
	const char *description = json_text(body, "error_description");

	if (error)
		text_addf(sentence, ", %s", PRINTABLE(error));
	if (description) {
		CLEANUP(freep) char *line = strndup(description, strcspn(description, "\r\n"));
		char words[320];

		text_addf(sentence, ": %s", text_printable(words, sizeof(words), line));
	}
}

static bool fail_refused(const struct http_answer *answer, const char *what,
			 struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	CLEANUP(text_done) struct text sentence = TEXT_MAX(1024);
	struct muster_error ignored;
	enum muster_cause cause = answer->status == 429   ? CAUSE_CLOUD_THROTTLED
				  : answer->status >= 500 ? CAUSE_CLOUD_SERVER_ERROR
							  : CAUSE_SIGN_IN_REFUSED;

	text_addf(&sentence, "%s: the authority answered %d", what, answer->status);
	if (answer->body.length > 0 &&
	    json_parse(answer->body.data, answer->body.length, "the answer", &body, &ignored))
		add_words(&sentence, body);
	if (!text_ok(&sentence, err))
		return false;
	return muster_fail_native(err, cause, ORIGIN_HTTP, (unsigned long)answer->status, "%s",
				  sentence.data);
}

/* -- Tokens -------------------------------------------------------------------------------------------- */

/* A number, or a text that is one. */
static bool read_number(const cJSON *object, const char *name, int64_t *ret_value)
{
	const char *text = json_text(object, name);

	return json_int64(object, name, ret_value) ||
	       (text && text_to_int64(text, 0, INT64_MAX, ret_value));
}

/* It goes into a header. */
static bool is_token_text(const char *text)
{
	size_t length = text ? strlen(text) : 0;

	for (size_t i = 0; i < length; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	return length > 0 && length <= DPS_TOKEN_MAX;
}

/* Five minutes before it expires, or earlier when it lives that short. */
static int64_t renew_at(int64_t now_wall_ms, int64_t life_s)
{
	int64_t life_ms = (life_s < TOKEN_LIFE_MAX_S ? life_s : TOKEN_LIFE_MAX_S) * 1000;
	int64_t margin_ms = life_ms / 5 < TOKEN_MARGIN_MS ? life_ms / 5 : TOKEN_MARGIN_MS;

	return now_wall_ms + life_ms - margin_ms;
}

static bool read_token(const cJSON *body, int64_t now_wall_ms, struct token *token,
		       const char **ret_mistake, struct muster_error *err)
{
	const char *type = json_text(body, "token_type"), *text = json_text(body, "access_token");
	int64_t life_s;

	*ret_mistake = NULL;
	if (!type || !text_equal_folded(type, "Bearer"))
		*ret_mistake = "its token_type is not Bearer";
	else if (!is_token_text(text))
		*ret_mistake = "its access_token is missing or cannot be used";
	else if (!read_number(body, "expires_in", &life_s) || life_s <= 0)
		*ret_mistake = "its expires_in is not a number of seconds";
	if (*ret_mistake)
		return true;
	token->renew_at_ms = renew_at(now_wall_ms, life_s);
	return secret_copy(&token->value, text, strlen(text), err);
}

bool token_answer_read(const struct http_answer *answer, const char *what, int64_t now_wall_ms,
		       struct token *ret_token, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	CLEANUP(token_done) struct token token = { 0 };
	struct muster_error unread;
	const char *mistake;

	if (answer->outcome != HTTP_ANSWERED) {
		*err = answer->error;
		return muster_error_prefix(err, "%s", what);
	}
	if (answer->status != 200)
		return fail_refused(answer, what, err);
	if (!json_parse(answer->body.data, answer->body.length, "the answer", &body, &unread))
		return muster_fail(err, CAUSE_SIGN_IN_ANSWER, "%s: %s", what, unread.message);
	if (!read_token(body, now_wall_ms, &token, &mistake, err))
		return false;
	if (mistake)
		return muster_fail(err, CAUSE_SIGN_IN_ANSWER,
				   "%s: the answer holds no token that can be used: %s", what,
				   mistake);
	*ret_token = token;
	token = (struct token){ 0 };
	return true;
}
