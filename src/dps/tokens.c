#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "muster/clock.h"

#include "token-internal.h"

#define RESOURCE_MAX 256

/* A resource and the token kept for it; there are two at most. */
struct kept_token {
	struct kept_token *next;
	struct token token;
	char resource[RESOURCE_MAX];
};

/* -- The ways ------------------------------------------------------------------------------------------ */

const char *const dps_sign_in_names[] = {
	[DPS_SIGN_IN_CLIENT_SECRET] = "client-secret",
	[DPS_SIGN_IN_COUNT] = NULL,
};

enum { NEEDS_TENANT = 1, NEEDS_CLIENT = 2, NEEDS_SECRET = 4 };

static const struct way {
	unsigned needs;
	bool (*fetch)(struct dps_tokens *tokens, struct http *http, const char *resource,
		      struct token *ret_token, struct muster_error *err);
} ways[DPS_SIGN_IN_COUNT] = {
	[DPS_SIGN_IN_CLIENT_SECRET] = { NEEDS_TENANT | NEEDS_CLIENT | NEEDS_SECRET,
					token_by_client },
};

static bool check_needs(const struct dps_tokens *tokens, struct muster_error *err)
{
	const struct {
		unsigned need;
		bool is_there;
		const char *words;
	} parts[] = {
		{ NEEDS_TENANT, tokens->tenant, "the tenant (--tenant)" },
		{ NEEDS_CLIENT, tokens->client_id, "the application's ID (--client-id)" },
		{ NEEDS_SECRET, tokens->client_secret.size > 0,
		  "the client secret (--client-secret-file)" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if ((ways[tokens->way].needs & parts[i].need) && !parts[i].is_there)
			return muster_fail(err, CAUSE_SIGN_IN_INCOMPLETE,
					   "signing in by %s needs %s",
					   dps_sign_in_names[tokens->way], parts[i].words);
	return true;
}

/* -- Endpoints ----------------------------------------------------------------------------------------- */

static bool check_endpoint(const char *what, const char *url, struct muster_error *err)
{
	static const char scheme[] = "https://";
	const char *host = url + strlen(scheme);
	size_t length = strlen(url);
	char ignored[DPS_HOST_SIZE];
	struct muster_error unread;

	if (length >= RESOURCE_MAX - 1 || !text_has_prefix(url, scheme) ||
	    !dps_host_parse(host, strcspn(host, "/"), what, ignored, &unread) ||
	    url[length - 1] == '/' || strpbrk(url, "?# \t\r\n\\\"'"))
		return muster_fail(err, CAUSE_ENDPOINT_INVALID,
				   "the %s '%s' is not https://HOST without a slash at the end",
				   what, PRINTABLE(url));
	return true;
}

bool dps_endpoints_complete(struct dps_endpoints *endpoints, struct muster_error *err)
{
	static const struct dps_endpoints public_cloud = {
		.authority = "https://login.microsoftonline.com",
		.management = "https://management.azure.com",
		.suffix = "azure-devices-provisioning.net",
		.resource = "https://azure-devices-provisioning.net",
	};
	char ignored[DPS_HOST_SIZE];

	if (!endpoints->authority)
		endpoints->authority = public_cloud.authority;
	if (!endpoints->management)
		endpoints->management = public_cloud.management;
	if (!endpoints->suffix)
		endpoints->suffix = public_cloud.suffix;
	if (!endpoints->resource)
		endpoints->resource = public_cloud.resource;
	return check_endpoint("authority host", endpoints->authority, err) &&
	       check_endpoint("management endpoint", endpoints->management, err) &&
	       check_endpoint("token resource", endpoints->resource, err) &&
	       dps_host_parse(endpoints->suffix, strlen(endpoints->suffix), "the host suffix",
			      ignored, err);
}

/* -- New and free -------------------------------------------------------------------------------------- */

void dps_sign_in_request_done(struct dps_sign_in_request *request)
{
	secret_done(&request->client_secret);
	*request = (struct dps_sign_in_request){ 0 };
}

/* A copy that goes with the tokens. */
static bool keep(struct dps_tokens *tokens, const char *value, const char **ret_copy)
{
	char *copy = value ? strdup(value) : NULL;

	assert(tokens->text_count < ARRAY_SIZE(tokens->texts));
	*ret_copy = tokens->texts[tokens->text_count++] = copy;
	return !value || copy;
}

static bool copy_texts(struct dps_tokens *tokens, const struct dps_sign_in_request *request)
{
	const struct dps_endpoints *from = &request->endpoints;
	struct dps_endpoints *to = &tokens->endpoints;

	return keep(tokens, from->authority, &to->authority) &&
	       keep(tokens, from->management, &to->management) &&
	       keep(tokens, from->suffix, &to->suffix) &&
	       keep(tokens, from->resource, &to->resource) &&
	       keep(tokens, request->tenant, &tokens->tenant) &&
	       keep(tokens, request->client_id, &tokens->client_id);
}

static bool fill(struct dps_tokens *tokens, struct dps_sign_in_request *request,
		 struct muster_error *err)
{
	tokens->way = request->way;
	if (!copy_texts(tokens, request))
		return muster_fail_memory(err);
	tokens->client_secret = request->client_secret;
	request->client_secret = (struct secret){ 0 };
	return check_needs(tokens, err);
}

struct dps_tokens *dps_tokens_new(struct dps_sign_in_request *request, struct muster_error *err)
{
	struct dps_tokens *tokens = calloc(1, sizeof(*tokens));

	if (!tokens) {
		muster_fail_memory(err);
	} else if (!fill(tokens, request, err)) {
		dps_tokens_free(tokens);
		tokens = NULL;
	}
	dps_sign_in_request_done(request);
	return tokens;
}

static void free_kept(struct kept_token *kept)
{
	token_done(&kept->token);
	free(kept);
}

void dps_tokens_free(struct dps_tokens *tokens)
{
	if (!tokens)
		return;
	while (tokens->kept) {
		struct kept_token *kept = tokens->kept;

		tokens->kept = kept->next;
		free_kept(kept);
	}
	for (size_t i = 0; i < tokens->text_count; i++)
		free(tokens->texts[i]);
	secret_done(&tokens->client_secret);
	free(tokens);
}

const struct dps_endpoints *dps_tokens_endpoints(const struct dps_tokens *tokens)
{
	return &tokens->endpoints;
}

/* -- Keeping ------------------------------------------------------------------------------------------- */

static struct kept_token *find_kept(struct dps_tokens *tokens, const char *resource)
{
	for (struct kept_token *kept = tokens->kept; kept; kept = kept->next)
		if (strcmp(kept->resource, resource) == 0)
			return kept;
	return NULL;
}

static struct kept_token *add_kept(struct dps_tokens *tokens, const char *resource,
				   struct muster_error *err)
{
	struct kept_token *kept = calloc(1, sizeof(*kept));

	if (!kept) {
		muster_fail_memory(err);
		return NULL;
	}
	snprintf(kept->resource, sizeof(kept->resource), "%s", resource);
	kept->next = tokens->kept;
	tokens->kept = kept;
	return kept;
}

bool dps_tokens_get(struct dps_tokens *tokens, struct http *http, const char *resource,
		    const struct secret **ret_token, struct muster_error *err)
{
	struct kept_token *kept = find_kept(tokens, resource);

	if (!kept && !(kept = add_kept(tokens, resource, err)))
		return false;
	if (kept->token.value.size == 0 || clock_wall_ms() >= kept->token.renew_at_ms) {
		token_done(&kept->token);
		if (!ways[tokens->way].fetch(tokens, http, resource, &kept->token, err))
			return false;
	}
	*ret_token = &kept->token.value;
	return true;
}

void dps_tokens_forget(struct dps_tokens *tokens, const char *resource)
{
	struct kept_token *kept = find_kept(tokens, resource);

	if (kept)
		token_done(&kept->token);
}
