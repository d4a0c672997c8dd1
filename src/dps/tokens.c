#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "muster/clock.h"
#include "muster/log.h"

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
	[DPS_SIGN_IN_AZ] = "az",
	[DPS_SIGN_IN_CLIENT_SECRET] = "client-secret",
	[DPS_SIGN_IN_CLIENT_CERTIFICATE] = "client-certificate",
	[DPS_SIGN_IN_WORKLOAD_IDENTITY] = "workload-identity",
	[DPS_SIGN_IN_MANAGED_IDENTITY] = "managed-identity",
	[DPS_SIGN_IN_DEVICE_CODE] = "device-code",
	[DPS_SIGN_IN_COUNT] = NULL,
};

enum {
	NEEDS_TENANT = 1,
	NEEDS_CLIENT = 2,
	NEEDS_SECRET = 4,
	NEEDS_CERTIFICATE = 8,
	NEEDS_FEDERATED = 16,
	NEEDS_APPLICATION = NEEDS_TENANT | NEEDS_CLIENT,
};

static const struct way {
	unsigned needs;
	token_way *fetch;
	bool keeps_own; /* has a cache of its own */
} ways[DPS_SIGN_IN_COUNT] = {
	[DPS_SIGN_IN_AZ] = { 0, token_by_az, true },
	[DPS_SIGN_IN_CLIENT_SECRET] = { NEEDS_APPLICATION | NEEDS_SECRET, token_by_client, false },
	[DPS_SIGN_IN_CLIENT_CERTIFICATE] = { NEEDS_APPLICATION | NEEDS_CERTIFICATE, token_by_client,
					     false },
	[DPS_SIGN_IN_WORKLOAD_IDENTITY] = { NEEDS_APPLICATION | NEEDS_FEDERATED, token_by_client,
					    false },
	[DPS_SIGN_IN_MANAGED_IDENTITY] = { 0, token_by_metadata, false },
	[DPS_SIGN_IN_DEVICE_CODE] = { NEEDS_APPLICATION, token_by_device_code, false },
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
		{ NEEDS_CERTIFICATE, tokens->certificate && tokens->key,
		  "the client certificate (--client-certificate)" },
		{ NEEDS_FEDERATED, tokens->federated_token,
		  "the token of another authority (--federated-token-file)" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if ((ways[tokens->way].needs & parts[i].need) && !parts[i].is_there)
			return muster_fail(err, CAUSE_SIGN_IN_INCOMPLETE,
					   "signing in by %s needs %s",
					   dps_sign_in_names[tokens->way], parts[i].words);
	return true;
}

/* The halves are compared by their encoding: the key may work elsewhere. */
static bool check_key(const struct dps_tokens *tokens, struct muster_error *err)
{
	unsigned char *of_key = NULL, *of_certificate = NULL;
	int key_size, certificate_size;
	bool is_same;

	if (!tokens->key || !tokens->certificate)
		return true;
	if (EVP_PKEY_get_base_id(X509_get0_pubkey(tokens->certificate)) != EVP_PKEY_RSA)
		return muster_fail(err, CAUSE_SIGN_IN_KEY,
				   "the client certificate is not for an RSA key");
	key_size = i2d_PUBKEY(tokens->key, &of_key);
	certificate_size = i2d_PUBKEY(X509_get0_pubkey(tokens->certificate), &of_certificate);
	is_same = key_size > 0 && key_size == certificate_size &&
		  memcmp(of_key, of_certificate, (size_t)key_size) == 0;
	OPENSSL_free(of_key);
	OPENSSL_free(of_certificate);
	return is_same ||
	       muster_fail(err, CAUSE_SIGN_IN_KEY,
			   "the client certificate is for another key than the one given");
}

/* -- Endpoints ----------------------------------------------------------------------------------------- */

static bool is_endpoint(const char *url, const char *scheme)
{
	const char *host = url + strlen(scheme);
	size_t length = strlen(url);
	char ignored[DPS_HOST_SIZE];
	struct muster_error unread;

	return length < RESOURCE_MAX - 1 && text_has_prefix(url, scheme) &&
	       dps_host_parse(host, strcspn(host, "/"), "", ignored, &unread) &&
	       url[length - 1] != '/' && !strpbrk(url, "?# \t\r\n\\\"'");
}

/* Which plain addresses it may be is for the request to say. */
static bool check_metadata(const char *url, struct muster_error *err)
{
	return is_endpoint(url, "http://") || is_endpoint(url, "https://") ||
	       muster_fail(
		       err, CAUSE_ENDPOINT_INVALID,
		       "the metadata endpoint '%s' is not http://HOST without a slash at the end",
		       PRINTABLE(url));
}

static bool check_endpoint(const char *what, const char *url, struct muster_error *err)
{
	if (!is_endpoint(url, "https://"))
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
		.metadata = "http://169.254.169.254",
		.suffix = "azure-devices-provisioning.net",
		.resource = "https://azure-devices-provisioning.net",
	};
	char ignored[DPS_HOST_SIZE];

	if (!endpoints->authority)
		endpoints->authority = public_cloud.authority;
	if (!endpoints->management)
		endpoints->management = public_cloud.management;
	if (!endpoints->metadata)
		endpoints->metadata = public_cloud.metadata;
	if (!endpoints->suffix)
		endpoints->suffix = public_cloud.suffix;
	if (!endpoints->resource)
		endpoints->resource = public_cloud.resource;
	return check_endpoint("authority host", endpoints->authority, err) &&
	       check_endpoint("management endpoint", endpoints->management, err) &&
	       check_endpoint("token resource", endpoints->resource, err) &&
	       check_metadata(endpoints->metadata, err) &&
	       dps_host_parse(endpoints->suffix, strlen(endpoints->suffix), "the host suffix",
			      ignored, err);
}

/* -- New and free -------------------------------------------------------------------------------------- */

void dps_sign_in_request_done(struct dps_sign_in_request *request)
{
	secret_done(&request->client_secret);
	EVP_PKEY_free(request->key);
	X509_free(request->certificate);
	if (request->key_owner)
		request->key_owner_free(request->key_owner);
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
	       keep(tokens, from->metadata, &to->metadata) &&
	       keep(tokens, request->client_id, &tokens->client_id) &&
	       keep(tokens, request->federated_token, &tokens->federated_token) &&
	       keep(tokens, request->subscription, &tokens->wanted_subscription) &&
	       keep(tokens, ways[request->way].keeps_own ? NULL : request->cache_file,
		    &tokens->cache_file);
}

static bool fill(struct dps_tokens *tokens, struct dps_sign_in_request *request,
		 struct muster_error *err)
{
	tokens->way = request->way;
	if (!copy_texts(tokens, request))
		return muster_fail_memory(err);
	tokens->client_secret = request->client_secret;
	request->client_secret = (struct secret){ 0 };
	tokens->key = TAKE_PTR(request->key);
	tokens->certificate = TAKE_PTR(request->certificate);
	tokens->key_owner = TAKE_PTR(request->key_owner);
	tokens->key_owner_free = request->key_owner_free;
	tokens->tell = request->tell;
	tokens->tell_context = request->tell_context;
	return check_needs(tokens, err) && check_key(tokens, err);
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
	EVP_PKEY_free(tokens->key);
	X509_free(tokens->certificate);
	if (tokens->key_owner)
		tokens->key_owner_free(tokens->key_owner);
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

static bool is_good(const struct token *token, int64_t now_wall_ms)
{
	return token->value.size > 0 && now_wall_ms < token->renew_at_ms;
}

/* The file spares the next command a sign-in, and is nothing that this one needs. */
static void note(const struct dps_tokens *tokens, const struct kept_token *kept)
{
	struct muster_error unwritten;

	if (tokens->cache_file &&
	    !token_cache_write(tokens, kept->resource, &kept->token, &unwritten))
		log_warning("%s, going on", unwritten.message);
}

/* A file that others may have read is refused. Whatever else is wrong with it is told when the next token is to be written. */
static bool look_up(const struct dps_tokens *tokens, struct kept_token *kept,
		    struct muster_error *err)
{
	return !tokens->cache_file ||
	       token_cache_read(tokens, kept->resource, clock_wall_ms(), &kept->token, err) ||
	       (err->cause != CAUSE_SECRET_FILE_MODE && err->cause != CAUSE_MEMORY);
}

/* From the cache file, else from the authority. */
static bool renew(struct dps_tokens *tokens, struct http *http, struct kept_token *kept,
		  struct muster_error *err)
{
	token_done(&kept->token);
	if (!look_up(tokens, kept, err))
		return false;
	if (kept->token.value.size > 0)
		return true;
	if (!ways[tokens->way].fetch(tokens, http, kept->resource, &kept->token, err))
		return false;
	note(tokens, kept);
	return true;
}

bool dps_tokens_get(struct dps_tokens *tokens, struct http *http, const char *resource,
		    const struct secret **ret_token, struct muster_error *err)
{
	struct kept_token *kept = find_kept(tokens, resource);

	if (!kept && !(kept = add_kept(tokens, resource, err)))
		return false;
	if (!is_good(&kept->token, clock_wall_ms()) && !renew(tokens, http, kept, err))
		return false;
	*ret_token = &kept->token.value;
	return true;
}

void dps_tokens_forget(struct dps_tokens *tokens, const char *resource)
{
	struct kept_token *kept = find_kept(tokens, resource);

	if (!kept)
		return;
	token_done(&kept->token);
	note(tokens, kept);
}

const char *dps_tokens_subscription(const struct dps_tokens *tokens)
{
	return tokens->subscription;
}
