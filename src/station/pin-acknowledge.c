/* muster hsm acknowledge: a person allows one more try of one PIN of one token. */
#include <stdlib.h>
#include <string.h>

#include "muster/station-token.h"

#include "token.h"
#include "visit.h"

/* What is remembered of a token that the URI may mean. */
struct candidate {
	struct token_facts token;
	bool is_officer;
};

struct choice {
	struct token_uri uri;
	struct candidate *candidates;
	size_t count;
};

static void candidate_done(struct candidate *candidate)
{
	token_facts_done(&candidate->token);
}

static void choice_done(struct choice *choice)
{
	token_uri_done(&choice->uri);
	for (size_t i = 0; i < choice->count; i++)
		candidate_done(&choice->candidates[i]);
	free(choice->candidates);
}

/* -- What is remembered ---------------------------------------------------------------------------------------- */

static bool attribute_matches(const char *wanted, const char *value)
{
	return !wanted || (value && strcmp(wanted, value) == 0);
}

static bool consider(void *context, const struct pin_token *token, struct muster_error *err)
{
	struct choice *choice = context;
	const struct token_uri *uri = &choice->uri;
	/* Texts that are only copied. */
	const struct token_facts facts = {
		.label = (char *)(uintptr_t)token->label,
		.serial = (char *)(uintptr_t)token->serial,
		.manufacturer = (char *)(uintptr_t)token->manufacturer,
		.model = (char *)(uintptr_t)token->model,
	};
	struct candidate *all;

	if (!attribute_matches(uri->token, token->label) ||
	    !attribute_matches(uri->serial, token->serial) ||
	    !attribute_matches(uri->manufacturer, token->manufacturer) ||
	    !attribute_matches(uri->model, token->model))
		return true;
	all = reallocarray(choice->candidates, choice->count + 1, sizeof(*all));
	if (!all)
		return muster_fail_memory(err);
	choice->candidates = all;
	all[choice->count] = (struct candidate){ .is_officer = token->is_officer };
	return token_facts_copy(&all[choice->count++].token, &facts, err);
}

static bool fail_several(const struct choice *choice, struct muster_error *err)
{
	CLEANUP(text_done) struct text serials = TEXT_MAX(MUSTER_ERROR_MESSAGE_SIZE / 2);

	for (size_t i = 0; i < choice->count; i++) {
		const struct token_facts *token = &choice->candidates[i].token;

		text_addf(&serials, "%s'%s' (serial %s)", i > 0 ? ", " : "",
			  PRINTABLE(token->label), PRINTABLE(token->serial));
	}
	return muster_fail(err, CAUSE_TOKEN_AMBIGUOUS,
			   "a PIN of more than one token is remembered: %s",
			   serials.failed ? "too many to name" : serials.data);
}

/* The user PIN unless the other is asked for, or is the only one. */
static const struct candidate *pick(const struct choice *choice, bool is_officer)
{
	for (size_t i = 0; i < choice->count; i++)
		if (choice->candidates[i].is_officer == is_officer)
			return &choice->candidates[i];
	return is_officer || choice->count == 0 ? NULL : &choice->candidates[0];
}

static bool pick_one(const struct choice *choice, bool is_officer,
		     const struct candidate **ret_chosen, struct muster_error *err)
{
	for (size_t i = 1; i < choice->count; i++)
		if (!token_is_same(&choice->candidates[i].token, &choice->candidates[0].token))
			return fail_several(choice, err);
	*ret_chosen = pick(choice, is_officer);
	return true;
}

/* -- What the token says --------------------------------------------------------------------------------------- */

/* Whether there is such a token at all is no matter: it may be known from before. ret_unseen: why it could not be looked at. */
static bool look_at_token(const struct choice *choice, const char *named,
			  struct token_facts *ret_token, struct muster_error *ret_unseen,
			  struct muster_error *err)
{
	CLEANUP(visit_done) struct visit visit = { 0 };
	CLEANUP(freep)
	char *text =
		text_has_prefix(named, "pkcs11:") ? strdup(named) : token_uri_format(&choice->uri);

	if (!text)
		return muster_fail_memory(err);
	if (!visit_open(&visit, text, ret_unseen))
		return true;
	*ret_token = visit.token;
	visit.token = (struct token_facts){ 0 };
	return true;
}

/* A program that is none of ours may have mistyped. */
static bool reports_a_wrong_pin(const struct candidate *present)
{
	return token_has_flag(&present->token,
			      present->is_officer ? "so-pin-count-low" : "user-pin-count-low");
}

static bool fail_nothing(const struct choice *choice, const char *named, bool is_officer,
			 const struct muster_error *unseen, struct muster_error *err)
{
	const char *pin = is_officer ? "SO-PIN" : "PIN";
	const char *token = PRINTABLE(choice->uri.token ? choice->uri.token : named);

	if (unseen->code == MUSTER_OK)
		return muster_fail(
			err, CAUSE_TOKEN_NOT_FOUND,
			"no refused %s is remembered for token '%s', and it reports none", pin,
			token);
	return muster_fail(
		err, CAUSE_TOKEN_NOT_FOUND,
		"no refused %s is remembered for token '%s', which could not be asked itself: %s",
		pin, token, unseen->message);
}

/* -- All of it --------------------------------------------------------------------------------------------------- */

/* TOKEN may be a URI, or simply a label. */
static bool parse_token(const char *text, struct token_uri *ret_uri, struct muster_error *err)
{
	if (text_has_prefix(text, "pkcs11:"))
		return token_uri_parse(text, ret_uri, err);
	ret_uri->token = strdup(text);
	return ret_uri->token || muster_fail_memory(err);
}

static bool allow(const struct candidate *chosen, char **ret_words, struct muster_error *err)
{
	const struct token_facts *token = &chosen->token;
	struct pin_token allowed = token_pin_of(token, chosen->is_officer);

	if (!pin_allow(&allowed, err))
		return false;
	*ret_words = text_format("the %s of token '%s' (serial %s)",
				 chosen->is_officer ? "SO-PIN" : "user PIN",
				 PRINTABLE(token->label), PRINTABLE(token->serial));
	return *ret_words || muster_fail_memory(err);
}

/* What the token that is there reports comes first: what is remembered may be of its other PIN, or of another token that had
 * its label. */
bool station_pin_acknowledge(const char *token, bool is_officer, char **ret_words,
			     struct muster_error *err)
{
	CLEANUP(choice_done) struct choice choice = { 0 };
	CLEANUP(candidate_done) struct candidate present = { .is_officer = is_officer };
	const struct candidate *chosen = NULL;
	struct muster_error unseen = { 0 };

	if (!parse_token(token, &choice.uri, err) || !pin_remembered(consider, &choice, err) ||
	    !look_at_token(&choice, token, &present.token, &unseen, err))
		return false;
	if (reports_a_wrong_pin(&present))
		return allow(&present, ret_words, err);
	if (!pick_one(&choice, is_officer, &chosen, err))
		return false;
	if (chosen)
		return allow(chosen, ret_words, err);
	present.is_officer = true;
	return reports_a_wrong_pin(&present)
		       ? allow(&present, ret_words, err)
		       : fail_nothing(&choice, token, is_officer, &unseen, err);
}
