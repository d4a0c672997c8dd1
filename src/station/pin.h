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

enum pin_memory { PIN_NOTHING, PIN_REFUSED_BEFORE, PIN_ACKNOWLEDGED };

/* What is remembered of this token. */
bool pin_recall(const struct pin_token *token, enum pin_memory *ret_memory,
		struct muster_error *err) MUST_CHECK;
/* Before a PIN is tried: that a refusal can be remembered, whatever becomes of the disk. */
bool pin_prepare(const struct pin_token *token, struct muster_error *err) MUST_CHECK;
/* Durable when it returns. */
bool pin_remember_refusal(const struct pin_token *token, struct muster_error *err) MUST_CHECK;
/* After a login that was accepted. */
bool pin_forget(const struct pin_token *token, struct muster_error *err) MUST_CHECK;
