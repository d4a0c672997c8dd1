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

/* An authority may say with any status that it has trouble of its own (RFC 6749, 4.1.2.1). */
static bool has_trouble(const cJSON *body)
{
	const char *error = json_text(body, "error");

	return error && (strcmp(error, "temporarily_unavailable") == 0 ||
			 strcmp(error, "server_error") == 0);
}

static enum muster_cause cause_of(int status, const cJSON *body)
{
	if (status == 429)
		return CAUSE_CLOUD_THROTTLED;
	return status >= 500 || has_trouble(body) ? CAUSE_CLOUD_SERVER_ERROR
						  : CAUSE_SIGN_IN_REFUSED;
}

static bool fail_refused(const struct http_answer *answer, const char *what,
			 struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	CLEANUP(text_done) struct text sentence = TEXT_MAX(1024);
	struct muster_error ignored;

	text_addf(&sentence, "%s: the authority answered %d", what, answer->status);
	if (answer->body.length > 0 &&
	    json_parse(answer->body.data, answer->body.length, "the answer", &body, &ignored))
		add_words(&sentence, body);
	if (!text_ok(&sentence, err))
		return false;
	return muster_fail_native(err, cause_of(answer->status, body), ORIGIN_HTTP,
				  (unsigned long)answer->status, "%s", sentence.data);
}

/* -- Tokens -------------------------------------------------------------------------------------------- */

/* A number, or a text that is one. */
bool token_number(const cJSON *object, const char *name, int64_t *ret_value)
{
	const char *text = json_text(object, name);

	return json_int64(object, name, ret_value) ||
	       (text && text_to_int64(text, 0, INT64_MAX, ret_value));
}

/* It goes into a header. */
bool token_text_is_usable(const char *text)
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

bool token_take(struct token *ret_token, const char *text, int64_t life_s, int64_t now_wall_ms,
		const char **ret_mistake, struct muster_error *err)
{
	*ret_mistake = NULL;
	if (!token_text_is_usable(text))
		*ret_mistake = "its access token is missing or cannot be used";
	else if (life_s <= 0)
		*ret_mistake = "its token has expired";
	if (*ret_mistake)
		return true;
	ret_token->renew_at_ms = renew_at(now_wall_ms, life_s);
	return secret_copy(&ret_token->value, text, strlen(text), err);
}

static bool read_token(const cJSON *body, int64_t now_wall_ms, struct token *token,
		       const char **ret_mistake, struct muster_error *err)
{
	const char *type = json_text(body, "token_type");
	int64_t life_s = 0;

	*ret_mistake = NULL;
	if (!type || !text_equal_folded(type, "Bearer"))
		*ret_mistake = "its token_type is not Bearer";
	else if (!token_number(body, "expires_in", &life_s))
		*ret_mistake = "its expires_in is not a number of seconds";
	else
		return token_take(token, json_text(body, "access_token"), life_s, now_wall_ms,
				  ret_mistake, err);
	return true;
}

bool token_answer_document(const struct http_answer *answer, const char *what, cJSON **ret_document,
			   struct muster_error *err)
{
	struct muster_error unread;

	if (answer->outcome != HTTP_ANSWERED) {
		*err = answer->error;
		return muster_error_prefix(err, "%s", what);
	}
	if (answer->status != 200)
		return fail_refused(answer, what, err);
	return json_parse(answer->body.data, answer->body.length, "the answer", ret_document,
			  &unread) ||
	       muster_fail(err, CAUSE_SIGN_IN_ANSWER, "%s: %s", what, unread.message);
}

bool token_answer_says(const struct http_answer *answer, const char *word)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	struct muster_error ignored;
	const char *error;

	if (answer->outcome != HTTP_ANSWERED || answer->status != 400 ||
	    !json_parse(answer->body.data, answer->body.length, "the answer", &body, &ignored))
		return false;
	error = json_text(body, "error");
	return error && strcmp(error, word) == 0;
}

bool token_answer_read(const struct http_answer *answer, const char *what, int64_t now_wall_ms,
		       struct token *ret_token, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	CLEANUP(token_done) struct token token = { 0 };
	const char *mistake;

	if (!token_answer_document(answer, what, &body, err) ||
	    !read_token(body, now_wall_ms, &token, &mistake, err))
		return false;
	if (mistake)
		return muster_fail(err, CAUSE_SIGN_IN_ANSWER,
				   "%s: the answer holds no token that can be used: %s", what,
				   mistake);
	*ret_token = token;
	token = (struct token){ 0 };
	return true;
}
