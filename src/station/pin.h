/* PINs that a token refused: remembered on disk, without anything of the PIN, until a person allows another try.
 * Private to the station. */
#pragma once

#include <stdbool.h>

#include "muster/error.h"
#include "muster/token-uri.h"

/* A token as it showed itself when it was opened. Borrowed texts. */
struct pin_token {
	const char *label;
	const char *serial;
	const char *manufacturer;
	const char *model;
	bool is_officer; /* its SO-PIN, not the user's */
};

/* What is known of the last PIN that it was sent. */
enum pin_memory {
	PIN_NOTHING, /* or that it was accepted */
	PIN_REFUSED_BEFORE,
	PIN_UNCERTAIN, /* the answer never came: the module hung, or somebody was killed */
	PIN_ACKNOWLEDGED,
};

/* What is remembered of this token. A login that another process has under way is none of it yet. */
bool pin_recall(const struct pin_token *token, enum pin_memory *ret_memory,
		struct muster_error *err) MUST_CHECK;
/* Whether a PIN that nobody types may be tried then: CAUSE_PIN_REMEMBERED, CAUSE_PIN_UNCERTAIN. */
bool pin_check(const struct pin_token *token, enum pin_memory memory, struct muster_error *err)
	MUST_CHECK;

/* One PIN that is sent to a token. Zero: none. */
struct pin_try {
	int lock;
	enum pin_memory before;
};

enum pin_answer {
	PIN_WAS_ACCEPTED,
	PIN_WAS_REFUSED,
	PIN_WAS_NOT_TRIED,  /* the token was not asked */
	PIN_ANSWER_UNKNOWN, /* it may have been */
};

/* Right before the PIN is sent: from now on, whatever becomes of this process and of the disk, it is remembered that one was.
 * An acknowledgement is spent. Waits for another process's try; then it asks pin_check() once more. Blocks up to 35 s. */
bool pin_try_begin(const struct pin_token *token, bool is_typed, struct pin_try *attempt,
		   struct muster_error *err) MUST_CHECK;
/* Durable when it returns. */
bool pin_try_end(const struct pin_token *token, struct pin_try *attempt, enum pin_answer answer,
		 struct muster_error *err) MUST_CHECK;
/* Without a word on what the answer was. */
void pin_try_done(struct pin_try *attempt);

/* A refusal that came without a try of ours. Durable when it returns. */
bool pin_remember_refusal(const struct pin_token *token, struct muster_error *err) MUST_CHECK;
/* The token has new PINs. */
bool pin_forget(const struct pin_token *token, struct muster_error *err) MUST_CHECK;

/* Each token, and which of its PINs, of which a refusal or no answer is remembered; some twice. Texts only for the call. */
typedef bool (*pin_visit)(void *context, const struct pin_token *token, struct muster_error *err);
bool pin_remembered(pin_visit visit, void *context, struct muster_error *err) MUST_CHECK;
/* One more PIN may be tried. */
bool pin_allow(const struct pin_token *token, struct muster_error *err) MUST_CHECK;
