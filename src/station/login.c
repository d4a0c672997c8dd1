/* Logging in, with care for the tries that a token gives. */
#include "login.h"

#include <stdio.h>
#include <string.h>

#include "muster/station-token.h"
#include "pin.h"
#include "token.h"

/* What no PIN is tried against, not even a typed one. The worker looks again right before it logs in. */
static const struct {
	const char *word;
	enum muster_cause cause;
	const char *words;
} forbidding[] = {
	{ "user-pin-locked", CAUSE_PIN_LOCKED, "is locked" },
	{ "user-pin-to-be-changed", CAUSE_PIN_LOCKED, "has expired and must be changed" },
	{ "user-pin-final-try", CAUSE_PIN_FINAL_TRY, "has one try left" },
};

bool token_has_flag(const struct token_facts *token, const char *word)
{
	const char *at = token->flag_words;
	size_t length = strlen(word);

	for (; at; at = strchr(at, ' ')) {
		at += *at == ' ';
		if (strncmp(at, word, length) == 0 && (at[length] == ' ' || at[length] == 0))
			return true;
	}
	return false;
}

static bool check_flags(const struct token_facts *token, struct muster_error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(forbidding); i++)
		if (token_has_flag(token, forbidding[i].word))
			return muster_fail(
				err, forbidding[i].cause,
				"the user PIN of token '%s' (serial %s) %s; no login was tried",
				PRINTABLE(token->label), PRINTABLE(token->serial),
				forbidding[i].words);
	return true;
}

static const char *warning_of(const struct token_facts *token, enum pin_memory memory)
{
	if (memory == PIN_UNCERTAIN)
		return "It is not known whether the last PIN was accepted. ";
	if (memory == PIN_REFUSED_BEFORE)
		return "The last PIN was refused. ";
	return token_has_flag(token, "user-pin-count-low") ? "A wrong PIN was tried before. " : "";
}

struct pin_token token_pin_of(const struct token_facts *token, bool is_officer)
{
	return (struct pin_token){
		.label = token->label,
		.serial = token->serial,
		.manufacturer = token->manufacturer,
		.model = token->model,
		.is_officer = is_officer,
	};
}

bool token_login_request(struct worker_message *request, struct token_facts *token,
			 const struct station_pin *pin, const struct token_uri *uri,
			 struct muster_error *err)
{
	struct pin_token remembered = token_pin_of(token, false);
	enum pin_memory memory;
	char question[512];
	bool typed = false;

	worker_request_init(request, WORKER_HSM_LOGIN);
	if (!pin_recall(&remembered, &memory, err) || !check_flags(token, err))
		return false;
	if (login_has_pin(pin, uri) && !pin_check(&remembered, memory, err))
		return muster_error_prefix(err, "logging in");
	snprintf(question, sizeof(question),
		 "%sPIN of token '%s' (serial %s): ", warning_of(token, memory),
		 PRINTABLE(token->label), PRINTABLE(token->serial));
	request->fd = login_open_pin(pin, uri, question, &typed, err);
	if (request->fd < 0) {
		request->fd = 0;
		return muster_error_prefix(err, "logging in to token '%s'",
					   PRINTABLE(token->label));
	}
	if (!pin_try_begin(&remembered, typed, &token->attempt, err))
		return muster_error_prefix(err, "logging in");
	worker_add_u64(request, FIELD_PIN_STATE,
		       typed || token->attempt.before == PIN_ACKNOWLEDGED);
	return true;
}

static void told(void *context, struct muster_error *failure)
{
	struct pin_token remembered = token_pin_of(context, false);
	struct muster_error storage;

	if (failure->cause == CAUSE_PIN_REFUSED && !pin_remember_refusal(&remembered, &storage))
		muster_error_prefix(failure, "%s", storage.message);
}

void token_watch(struct token_facts *token, struct worker *worker)
{
	worker_watch(worker, told, token);
}

/* Only what a worker says before it calls the token, or what the token says about no PIN in particular, is sure not to have
 * been a try. */
enum pin_answer token_pin_answer(const struct muster_error *failure)
{
	static const enum muster_cause untried[] = {
		CAUSE_WORKER_START,        CAUSE_MODULE_UNUSABLE, CAUSE_PIN_MISSING,
		CAUSE_SECRET_INVALID,      CAUSE_NEW_PIN_REFUSED, CAUSE_TOKEN_GONE,
		CAUSE_TOKEN_UNINITIALISED, CAUSE_PIN_REMEMBERED,  CAUSE_PIN_FINAL_TRY,
		CAUSE_PIN_LOCKED,          CAUSE_PIN_COUNT_LOW,   CAUSE_TOKEN_NOT_FOUND,
		CAUSE_TOKEN_AMBIGUOUS,     CAUSE_TOKEN_IN_USE,    CAUSE_LABEL_TAKEN,
	};
	bool is_of_token = failure->origin == ORIGIN_PKCS11 && failure->cause != CAUSE_PIN_LOCKED &&
			   failure->cause != CAUSE_TOKEN_UNINITIALISED;

	if (failure->cause == CAUSE_PIN_REFUSED)
		return PIN_WAS_REFUSED;
	for (size_t i = 0; i < ARRAY_SIZE(untried) && !is_of_token; i++)
		if (untried[i] == failure->cause)
			return PIN_WAS_NOT_TRIED;
	return PIN_ANSWER_UNKNOWN;
}

bool token_login_settle(struct token_facts *token, const struct worker_message *reply,
			const struct muster_error *outcome, struct muster_error *err)
{
	struct pin_token remembered = token_pin_of(token, false);
	struct muster_error storage;

	station_forget_typed();
	if (outcome->code == MUSTER_OK)
		return pin_try_end(&remembered, &token->attempt,
				   worker_u64(reply, FIELD_PIN_STATE) == 1 ? PIN_WAS_ACCEPTED
									   : PIN_WAS_NOT_TRIED,
				   err);
	*err = *outcome;
	if (!pin_try_end(&remembered, &token->attempt, token_pin_answer(outcome), &storage))
		muster_error_prefix(err, "%s", storage.message);
	return muster_error_prefix(err, "logging in to token '%s'", PRINTABLE(token->label));
}
