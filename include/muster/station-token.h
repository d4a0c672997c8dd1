/* What people do with tokens outside of a job: look, initialise, allow another PIN. One token at a time, each in a worker of
 * its own. Results are JSON documents with names that stay. */
#pragma once

#include <stdbool.h>

#include <cjson/cJSON.h>

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/station.h"

/* An array with an object for each token of each module: of the one file, or of muster.yaml and p11-kit's
 * configuration. No login. A module that cannot be asked is an object with "error" (with `module_path`: a failure),
 * and so is one without a token. */
bool station_tokens_list(const char *module_path, cJSON **ret_tokens, struct muster_error *err)
	MUST_CHECK;

/* One token: "token", "mechanisms", "objects". It is logged in to when a PIN is at hand or with `asks`; else it shows its
 * public objects only, and "loggedIn" is false. */
struct station_show {
	struct station_pin pin;
	bool asks; /* a person may be asked for the PIN */
};
bool station_token_show(const char *token_uri, const struct station_show *request,
			cJSON **ret_token, struct muster_error *err) MUST_CHECK;

/* What profiles need of the token, tried and measured with keys of the session: "token", "profile", "needs": an array of
 * "need" (in words), "state" ("present", "missing", "not-trusted", "not-tried"), "rate" and "unit", "attributes", "method"
 * or "reason"; and "unmet", how many are not present. Blocks for seconds. */
struct station_token_check {
	struct station_pin pin;
	const char *profile_path; /* NULL: what any profile could need */
};
bool station_token_check(const char *token_uri, const struct station_token_check *request,
			 struct profile_report *report, cJSON **ret_document,
			 struct muster_error *err) MUST_CHECK;

/* The token held against the journal: "token", "journal", "objects" and "keys" (how many), "findings": an array of "finding"
 * (a name that stays), "keyId", "label", "detail", "remedy". It is logged in to; nothing is changed. */
struct station_token_audit {
	struct station_pin pin;
	const char *journal_path;
};
bool station_token_audit(const char *token_uri, const struct station_token_audit *request,
			 cJSON **ret_document, struct muster_error *err) MUST_CHECK;

/* What was typed for a prompt and no worker has read is taken out of the terminal, where a shell would find it. */
void station_forget_typed(void);

/* Initialises the one token that the URI matches and sets its user PIN. All but SoftHSM have to be asked for by
 * `is_any_module`, and a token in use by its label (`confirmation`). Gives the token as station_tokens_list does. */
struct station_init {
	const char *label;
	struct station_pin so_pin, pin;
	const char *confirmation;
	bool is_any_module;
};
bool station_token_init(const char *token_uri, const struct station_init *request,
			cJSON **ret_token, struct muster_error *err) MUST_CHECK;

/* Allows one more try of a PIN of the one token that is meant by the URI or label: the user PIN, or with `is_officer`, or where
 * only that was refused, the SO-PIN. It has to be remembered as refused or without an answer, or the token, which is looked at
 * then without a login, to report that a wrong one was tried; else CAUSE_TOKEN_NOT_FOUND. CAUSE_TOKEN_AMBIGUOUS. *ret_words
 * says what was allowed: "the user PIN of token ..."; caller frees. */
bool station_pin_acknowledge(const char *token, bool is_officer, char **ret_words,
			     struct muster_error *err) MUST_CHECK;
