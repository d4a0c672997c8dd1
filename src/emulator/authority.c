#include "authority.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "muster/encoding.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/pki.h"

#include "spec.h"

#define KEY_TEXT_MAX 128

/* -- All from one key ----------------------------------------------------------------------------------------- */

static bool derive(const struct authority *authority, const char *kind, const char *name,
		   uint8_t mac[SHA256_SIZE], struct muster_error *err)
{
	CLEANUP(freep) char *label = text_format("%s:%s", kind, name);

	return label ? hmac_sha256(authority->key, sizeof(authority->key), label, strlen(label),
				   mac, err)
		     : muster_fail_memory(err);
}

static bool derive_guid(const struct authority *authority, const char *kind, const char *name,
			char out[GUID_SIZE], struct muster_error *err)
{
	uint8_t mac[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];

	if (!derive(authority, kind, name, mac, err))
		return false;
	hex_encode(hex, mac, sizeof(mac));
	(void)snprintf(out, GUID_SIZE, "%.8s-%.4s-4%.3s-8%.3s-%.12s", hex, hex + 8, hex + 12,
		       hex + 16, hex + 20);
	return true;
}

static bool read_key(const char *path, struct authority *authority, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret text = { 0 };
	CLEANUP(secret_done) struct secret key = { 0 };

	if (!secret_read_file(&text, path, KEY_TEXT_MAX, err) ||
	    !secret_from_base64(&key, (const char *)text.data, text.size, path, err))
		return false;
	if (key.size != sizeof(authority->key))
		return muster_fail(err, CAUSE_EMULATOR_STATE, "'%s' is damaged", PRINTABLE(path));
	memcpy(authority->key, key.data, key.size);
	return true;
}

static bool make_key(const char *path, struct authority *authority, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret text = { 0 };

	return random_bytes(authority->key, sizeof(authority->key), err) &&
	       secret_to_base64(&text, authority->key, sizeof(authority->key), err) &&
	       file_write(path, text.data, text.size, 0600, false, err);
}

/* -- Applications --------------------------------------------------------------------------------------------- */

static const struct {
	const char *word;
	unsigned roles;
} role_words[] = {
	{ "reader", ROLE_READER },
	{ "contributor", ROLE_CONTRIBUTOR | ROLE_READER },
	{ "management-reader", ROLE_MANAGEMENT_READER },
	{ "management", ROLE_MANAGEMENT | ROLE_MANAGEMENT_READER },
	{ "none", 0 },
};

static bool parse_roles(const char *text, unsigned *ret_roles)
{
	unsigned roles = 0;

	for (;;) {
		size_t length = strcspn(text, "+"), i = 0;

		while (i < ARRAY_SIZE(role_words) &&
		       (strlen(role_words[i].word) != length ||
			memcmp(role_words[i].word, text, length) != 0))
			i++;
		if (i == ARRAY_SIZE(role_words))
			return false;
		roles |= role_words[i].roles;
		if (text[length] == '\0')
			break;
		text += length + 1;
	}
	*ret_roles = roles;
	return true;
}

static bool read_certificate(const char *path, X509 **ret_certificate, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes bytes = { 0 };

	return file_read(path, 64 * 1024, &bytes, err) &&
	       pki_certificate_read(bytes.data, bytes.size, path, ret_certificate, err);
}

static bool parse_part(const struct spec_part *part, struct application *application,
		       const char *spec, struct muster_error *err)
{
	if (part->has_value && strcmp(part->name, "role") == 0 &&
	    parse_roles(part->value, &application->roles))
		return true;
	if (part->has_value && strcmp(part->name, "certificate") == 0)
		return read_certificate(part->value, &application->certificate, err);
	if (part->has_value && strcmp(part->name, "federation") == 0)
		return read_certificate(part->value, &application->federation, err);
	return muster_fail(err, CAUSE_USAGE, "--application '%s': '%s' is not understood",
			   PRINTABLE(spec), PRINTABLE(part->name));
}

static bool parse_application(const char *spec, struct application *application,
			      struct muster_error *err)
{
	struct spec_part part;
	const char *rest = spec;

	application->roles =
		ROLE_CONTRIBUTOR | ROLE_READER | ROLE_MANAGEMENT | ROLE_MANAGEMENT_READER;
	if (!spec_next(&rest, &part) || part.has_value || !id_is_valid(part.name))
		return muster_fail(err, CAUSE_USAGE, "--application '%s': is not NAME[:...]",
				   PRINTABLE(spec));
	memcpy(application->name, part.name, sizeof(application->name));
	while (spec_next(&rest, &part))
		if (!parse_part(&part, application, spec, err))
			return false;
	return *rest == '\0' ||
	       muster_fail(err, CAUSE_USAGE, "--application '%s': has an empty part",
			   PRINTABLE(spec));
}

/* The secret lies in a file of its own, as a client takes it. */
static bool complete(const struct authority *authority, const char *directory,
		     struct application *application, struct muster_error *err)
{
	CLEANUP(freep) char *text = NULL;
	uint8_t mac[SHA256_SIZE];

	if (!derive_guid(authority, "client", application->name, application->client_id, err) ||
	    !derive(authority, "secret", application->name, mac, err))
		return false;
	text = base64url_encode(mac, sizeof(mac));
	application->secret_file =
		text_format("%s/application-%s.secret", directory, application->name);
	if (!text || !application->secret_file)
		return muster_fail_memory(err);
	return secret_copy(&application->secret, text, strlen(text), err) &&
	       file_write(application->secret_file, text, strlen(text), 0600, true, err);
}

static bool add_application(struct authority *authority, const char *directory, const char *spec,
			    struct muster_error *err)
{
	struct application *application = &authority->applications[authority->application_count++];

	return parse_application(spec, application, err) &&
	       complete(authority, directory, application, err);
}

const struct application *authority_find(const struct authority *authority, const char *client_id)
{
	for (size_t i = 0; client_id && i < authority->application_count; i++)
		if (text_equal_folded(authority->applications[i].client_id, client_id))
			return &authority->applications[i];
	return NULL;
}

/* -- Open and close ------------------------------------------------------------------------------------------- */

static bool open_authority(struct authority *authority, const char *directory,
			   const char *const *specs, size_t spec_count, struct muster_error *err)
{
	CLEANUP(freep) char *path = text_format("%s/authority.key", directory);

	if (!path ||
	    !(authority->applications = calloc(spec_count, sizeof(*authority->applications))))
		return muster_fail_memory(err);
	if (!(access(path, F_OK) == 0 ? read_key(path, authority, err)
				      : make_key(path, authority, err)) ||
	    !derive_guid(authority, "tenant", "", authority->tenant, err) ||
	    !derive_guid(authority, "subscription", "", authority->subscription, err))
		return false;
	for (size_t i = 0; i < spec_count; i++)
		if (!add_application(authority, directory, specs[i], err))
			return false;
	return true;
}

bool authority_open(const char *directory, const char *const *specs, size_t spec_count,
		    int64_t token_life_s, struct authority **ret_authority,
		    struct muster_error *err)
{
	struct authority *authority = calloc(1, sizeof(*authority));

	if (!authority)
		return muster_fail_memory(err);
	authority->token_life_s = token_life_s;
	if (!open_authority(authority, directory, specs, spec_count, err)) {
		authority_close(authority);
		return false;
	}
	*ret_authority = authority;
	return true;
}

void authority_close(struct authority *authority)
{
	if (!authority)
		return;
	for (size_t i = 0; i < authority->application_count; i++) {
		secret_done(&authority->applications[i].secret);
		free(authority->applications[i].secret_file);
		X509_free(authority->applications[i].certificate);
		X509_free(authority->applications[i].federation);
	}
	free(authority->applications);
	secret_wipe(authority->key, sizeof(authority->key));
	free(authority);
}

bool authority_describe(const struct authority *authority, cJSON *object)
{
	cJSON *applications;

	if (!json_add_text(object, "tenant", authority->tenant) ||
	    !json_add_text(object, "subscription", authority->subscription) ||
	    !(applications = cJSON_AddObjectToObject(object, "applications")))
		return false;
	for (size_t i = 0; i < authority->application_count; i++) {
		const struct application *application = &authority->applications[i];
		cJSON *row = cJSON_AddObjectToObject(applications, application->name);

		if (!row || !json_add_text(row, "clientId", application->client_id) ||
		    !json_add_text(row, "secretFile", application->secret_file))
			return false;
	}
	return true;
}

/* -- Tokens --------------------------------------------------------------------------------------------------- */

/* "header.payload", signed with HMAC-SHA256: nobody but this emulator reads them. */
static char *sign(const struct authority *authority, const char *payload)
{
	static const char header[] = "{\"typ\":\"JWT\",\"alg\":\"HS256\"}";
	CLEANUP(freep) char *head = base64url_encode(header, strlen(header));
	CLEANUP(freep) char *body = base64url_encode(payload, strlen(payload));
	CLEANUP(freep) char *text = head && body ? text_format("%s.%s", head, body) : NULL;
	CLEANUP(freep) char *signature = NULL;
	uint8_t key[SHA256_SIZE], mac[SHA256_SIZE];
	struct muster_error err;

	if (!text || !derive(authority, "tokens", "", key, &err) ||
	    !hmac_sha256(key, sizeof(key), text, strlen(text), mac, &err))
		return NULL;
	signature = base64url_encode(mac, sizeof(mac));
	return signature ? text_format("%s.%s", text, signature) : NULL;
}

char *authority_issue(const struct authority *authority, const struct application *application,
		      const char *audience, int64_t now_ms)
{
	CLEANUP(freep) char *quoted = json_quote(audience);
	CLEANUP(freep) char *payload = NULL;
	char guid[GUID_SIZE];

	if (!quoted)
		return NULL;
	payload = text_format(
		"{\"aud\":%s,\"appid\":\"%s\",\"tid\":\"%s\",\"nbf\":%lld,\"exp\":%lld,"
		"\"uti\":\"%s\"}",
		quoted, application->client_id, authority->tenant, (long long)now_ms / 1000,
		(long long)now_ms / 1000 + authority->token_life_s, guid_new(guid));
	return payload ? sign(authority, payload) : NULL;
}

static bool is_audience(const char *found, const char *wanted)
{
	size_t length = found ? strlen(found) : 0;

	if (length > 0 && found[length - 1] == '/')
		length--;
	return found && strlen(wanted) == length && memcmp(found, wanted, length) == 0;
}

const struct application *authority_check(const struct authority *authority, const char *token,
					  const char *audience, int64_t now_ms)
{
	CLEANUP(bytes_done) struct bytes payload = { 0 };
	CLEANUP(cJSON_freep) cJSON *claims = NULL;
	CLEANUP(freep) char *again = NULL;
	const char *body = strchr(token, '.');
	const char *end = body ? strchr(body + 1, '.') : NULL;
	struct muster_error err;
	int64_t expiry_s;

	if (!end || !base64url_decode(body + 1, (size_t)(end - body - 1), &payload))
		return NULL;
	again = sign(authority, (const char *)payload.data);
	if (!again || strcmp(again, token) != 0 ||
	    !json_parse((const char *)payload.data, payload.size, "the token", &claims, &err) ||
	    !json_int64(claims, "exp", &expiry_s) || expiry_s * 1000 <= now_ms ||
	    !is_audience(json_text(claims, "aud"), audience))
		return NULL;
	return authority_find(authority, json_text(claims, "appid"));
}
