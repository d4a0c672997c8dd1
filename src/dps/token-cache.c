/* Tokens in a file of mode 0600, so that the next command need not sign in again. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "muster/clock.h"
#include "muster/encoding.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/log.h"

#include "token-internal.h"

/* Several tokens; the strict reader takes so much. */
#define CACHE_MAX SECRET_MAX

/* Whose token of which authority for what: another identity never gets it. */
static char *entry_name(const struct dps_tokens *tokens, const char *resource,
			char out[SHA256_HEX_SIZE])
{
	CLEANUP(freep)
	char *text = text_format("%s\n%s\n%s\n%s\n%s", dps_sign_in_names[tokens->way],
				 tokens->endpoints.authority, tokens->tenant ? tokens->tenant : "",
				 tokens->client_id ? tokens->client_id : "", resource);

	return text ? sha256_hex(out, text, strlen(text)) : NULL;
}

/* An empty object when there is no file, or one that only its mode is right of. */
static bool read_file(const struct dps_tokens *tokens, cJSON **ret_root, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret text = { 0 };
	struct muster_error unread;
	bool is_read;

	if (access(tokens->cache_file, F_OK) < 0 && errno == ENOENT) {
		*ret_root = cJSON_CreateObject();
		return *ret_root || muster_fail_memory(err);
	}
	is_read = secret_read_file(&text, tokens->cache_file, CACHE_MAX, err);
	if (!is_read && err->cause != CAUSE_SECRET_INVALID)
		return muster_error_prefix(err, "reading the token cache '%s'",
					   PRINTABLE(tokens->cache_file));
	if (is_read && json_parse((const char *)text.data, text.size, "it", ret_root, &unread) &&
	    cJSON_IsObject(*ret_root))
		return true;
	log_warning("the token cache '%s' is damaged, it is written anew",
		    PRINTABLE(tokens->cache_file));
	cJSON_Delete(*ret_root);
	*ret_root = cJSON_CreateObject();
	return *ret_root || muster_fail_memory(err);
}

bool token_cache_read(const struct dps_tokens *tokens, const char *resource, int64_t now_wall_ms,
		      struct token *ret_token, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *root = NULL;
	char name[SHA256_HEX_SIZE];
	const cJSON *entry;
	const char *text;
	int64_t renew_at_ms;

	if (!entry_name(tokens, resource, name))
		return muster_fail_memory(err);
	if (!read_file(tokens, &root, err))
		return false;
	entry = json_get(root, name);
	text = json_text(entry, "token");
	if (!token_text_is_usable(text) || !json_int64(entry, "renewAt", &renew_at_ms) ||
	    renew_at_ms <= now_wall_ms)
		return true;
	ret_token->renew_at_ms = renew_at_ms;
	return secret_copy(&ret_token->value, text, strlen(text), err);
}

/* So that the file does not grow with everybody who ever signed in. */
static void drop_old(cJSON *root, int64_t now_wall_ms)
{
	cJSON *next;

	for (cJSON *entry = root->child; entry; entry = next) {
		int64_t renew_at_ms;

		next = entry->next;
		if (!json_int64(entry, "renewAt", &renew_at_ms) || renew_at_ms <= now_wall_ms)
			cJSON_Delete(cJSON_DetachItemViaPointer(root, entry));
	}
}

static bool add_entry(cJSON *root, const char *name, const struct token *token)
{
	cJSON *entry = cJSON_AddObjectToObject(root, name);

	return entry && json_add_text(entry, "token", (const char *)token->value.data) &&
	       json_add_int64(entry, "renewAt", token->renew_at_ms);
}

bool token_cache_write(const struct dps_tokens *tokens, const char *resource,
		       const struct token *token, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *root = NULL;
	char name[SHA256_HEX_SIZE];
	bool is_written;
	char *text;

	if (!entry_name(tokens, resource, name))
		return muster_fail_memory(err);
	if (!read_file(tokens, &root, err))
		return false;
	drop_old(root, clock_wall_ms());
	cJSON_DeleteItemFromObjectCaseSensitive(root, name);
	if (token->value.size > 0 && !add_entry(root, name, token))
		return muster_fail_memory(err);
	text = json_print_line(root);
	if (!text)
		return muster_fail_memory(err);
	is_written = file_write(tokens->cache_file, text, strlen(text), 0600, true, err);
	secret_wipe(text, strlen(text));
	cJSON_free(text);
	return is_written;
}
