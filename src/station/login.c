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

bool token_login_request(struct worker_message *request, const struct token_facts *token,
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
	if (memory == PIN_REFUSED_BEFORE && login_has_pin(pin, uri))
		return muster_fail(
			err, CAUSE_PIN_REMEMBERED,
			"logging in to token '%s' (serial %s): its last PIN was refused, so no other is tried",
			PRINTABLE(token->label), PRINTABLE(token->serial));
	if (!pin_prepare(&remembered, err))
		return false;
	snprintf(question, sizeof(question),
		 "%sPIN of token '%s' (serial %s): ", warning_of(token, memory),
		 PRINTABLE(token->label), PRINTABLE(token->serial));
	request->fd = login_open_pin(pin, uri, question, &typed, err);
	if (request->fd < 0) {
		request->fd = 0;
		return muster_error_prefix(err, "logging in to token '%s'",
					   PRINTABLE(token->label));
	}
	worker_add_u64(request, FIELD_PIN_STATE, typed || memory == PIN_ACKNOWLEDGED);
	return true;
}

static void note_refusal(const struct token_facts *token, struct muster_error *failure)
{
	struct pin_token remembered = token_pin_of(token, false);
	struct muster_error storage;

	if (failure->cause == CAUSE_PIN_REFUSED && !pin_remember_refusal(&remembered, &storage))
		muster_error_prefix(failure, "%s", storage.message);
}

static void told(void *context, struct muster_error *failure)
{
	note_refusal(context, failure);
}

void token_watch(struct token_facts *token, struct worker *worker)
{
	worker_watch(worker, told, token);
}

bool token_login_settle(const struct token_facts *token, const struct muster_error *outcome,
			struct muster_error *err)
{
	struct pin_token remembered = token_pin_of(token, false);

	station_forget_typed();
	if (outcome->code == MUSTER_OK)
		return pin_forget(&remembered, err);
	*err = *outcome;
	note_refusal(token, err);
	return muster_error_prefix(err, "logging in to token '%s'", PRINTABLE(token->label));
}
