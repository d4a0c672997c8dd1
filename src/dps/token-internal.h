/* What the files of the ways to sign in share. */
#pragma once

#include "muster/dps-client.h"

/* A token as it was given out. */
struct token {
	struct secret value;
	int64_t renew_at_ms; /* wall clock; somewhat before it expires */
};
void token_done(struct token *token);
/* Its text can stand in a header, it was given out at now_wall_ms and is good for life_s. *ret_mistake says what is
 * wrong with it, or is NULL. */
bool token_take(struct token *ret_token, const char *text, int64_t life_s, int64_t now_wall_ms,
		const char **ret_mistake, struct muster_error *err) MUST_CHECK;

struct dps_tokens {
	enum dps_sign_in way;
	struct dps_endpoints endpoints;
	const char *tenant, *client_id, *federated_token, *cache_file, *wanted_subscription;
	char *texts[10]; /* what the pointers above lead to */
	size_t text_count;
	struct secret client_secret;
	EVP_PKEY *key;
	X509 *certificate;
	void *key_owner;
	void (*key_owner_free)(void *key_owner);
	dps_sign_in_tell *tell;
	void *tell_context;
	char subscription[64]; /* of an az session; "" before one was asked */
	struct kept_token *kept;
};

/* -- Requests ------------------------------------------------------------------------------------------ */

/* The form of a POST to {authority}/{tenant}/oauth2/v2.0/{deed}. */
bool token_post(const struct dps_tokens *tokens, const char *deed, const struct text *form,
		struct http_request *ret_request, struct muster_error *err) MUST_CHECK;
void token_form_add(struct text *form, const char *name, const char *value);
/* "RESOURCE/.default" */
void token_form_add_scope(struct text *form, const char *resource);
/* One exchange without a credential, sent again as dps_client_fetch() does. */
bool token_fetch(struct http *http, dps_client_build *build, void *context,
		 struct http_answer *ret_answer, struct muster_error *err) MUST_CHECK;

/* -- The ways ------------------------------------------------------------------------------------------ */

typedef bool token_way(struct dps_tokens *tokens, struct http *http, const char *resource,
		       struct token *ret_token, struct muster_error *err);
token_way token_by_client, token_by_metadata, token_by_device_code, token_by_az;

/* A client assertion (RFC 7523): PS256 over who we are, for this audience. */
bool token_assertion_make(const struct dps_tokens *tokens, const char *audience,
			  int64_t now_wall_ms, struct secret *ret_assertion,
			  struct muster_error *err) MUST_CHECK;

/* -- Answers (token-answer.c) -------------------------------------------------------------------------- */

/* What a token endpoint answered. Numbers may be texts, as the metadata service has them. CAUSE_SIGN_IN_REFUSED with
 * the authority's words, CAUSE_SIGN_IN_ANSWER when it is no token. `what`: "signing in as ...". */
bool token_answer_read(const struct http_answer *answer, const char *what, int64_t now_wall_ms,
		       struct token *ret_token, struct muster_error *err) MUST_CHECK;
/* Of a success; else the errors of token_answer_read(). */
bool token_answer_document(const struct http_answer *answer, const char *what, cJSON **ret_document,
			   struct muster_error *err) MUST_CHECK;
/* Is this a refusal whose "error" is that word? */
bool token_answer_says(const struct http_answer *answer, const char *word);
/* It can stand in a header. */
bool token_text_is_usable(const char *text);
bool token_number(const cJSON *object, const char *name, int64_t *ret_value) MUST_CHECK;

/* -- The cache file (token-cache.c) -------------------------------------------------------------------- */

/* Leaves *ret_token empty when the file has none that is good at now_wall_ms, or does not exist. */
bool token_cache_read(const struct dps_tokens *tokens, const char *resource, int64_t now_wall_ms,
		      struct token *ret_token, struct muster_error *err) MUST_CHECK;
/* Puts it in; an empty one takes that of the resource out. */
bool token_cache_write(const struct dps_tokens *tokens, const char *resource,
		       const struct token *token, struct muster_error *err) MUST_CHECK;
