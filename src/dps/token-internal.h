/* What the files of the ways to sign in share. */
#pragma once

#include "muster/dps-client.h"

/* A token as it was given out. */
struct token {
	struct secret value;
	int64_t renew_at_ms; /* wall clock; somewhat before it expires */
};
void token_done(struct token *token);

struct dps_tokens {
	enum dps_sign_in way;
	struct dps_endpoints endpoints;
	const char *tenant, *client_id;
	char *texts[8]; /* what the pointers above lead to */
	size_t text_count;
	struct secret client_secret;
	struct kept_token *kept;
};

/* -- Requests (token-client.c) ------------------------------------------------------------------------- */

/* One exchange without a credential, sent again as dps_client_fetch() does. */
bool token_fetch(struct http *http, dps_client_build *build, void *context,
		 struct http_answer *ret_answer, struct muster_error *err) MUST_CHECK;
/* Fetches a token for the resource; one function per way. */
bool token_by_client(struct dps_tokens *tokens, struct http *http, const char *resource,
		     struct token *ret_token, struct muster_error *err) MUST_CHECK;

/* -- Answers (token-answer.c) -------------------------------------------------------------------------- */

/* What a token endpoint answered. Numbers may be texts, as the metadata service has them. CAUSE_SIGN_IN_REFUSED with
 * the authority's words, CAUSE_SIGN_IN_ANSWER when it is no token. `what`: "signing in as ...". */
bool token_answer_read(const struct http_answer *answer, const char *what, int64_t now_wall_ms,
		       struct token *ret_token, struct muster_error *err) MUST_CHECK;
