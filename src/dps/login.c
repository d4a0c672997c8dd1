#include <ctype.h>
#include <string.h>

#include "muster/dps.h"

#define LOGIN_TEXT_MAX 4096
#define LOGIN_TOKEN_LIFE_S 600
#define LOGIN_TOKEN_USE_MS (LOGIN_TOKEN_LIFE_S * 1000 / 2)

/* -- Parts of a connection string ---------------------------------------------------------------------- */

static bool parse_host(struct dps_login *login, const char *value, size_t length,
		       struct muster_error *err)
{
	return dps_host_parse(value, length, "the connection string's HostName", login->host, err);
}

static bool parse_policy(struct dps_login *login, const char *value, size_t length,
			 struct muster_error *err)
{
	bool is_usable = length > 0 && length < sizeof(login->policy);

	for (size_t i = 0; i < length && is_usable; i++)
		is_usable = isascii((unsigned char)value[i]) && isgraph((unsigned char)value[i]);
	if (!is_usable)
		return muster_fail(err, CAUSE_LOGIN_INVALID,
				   "the connection string's SharedAccessKeyName is not usable");
	memcpy(login->policy, value, length);
	return true;
}

static bool parse_key(struct dps_login *login, const char *value, size_t length,
		      struct muster_error *err)
{
	struct muster_error error;

	if (!secret_from_base64(&login->key, value, length, "SharedAccessKey", &error))
		return muster_fail(err, CAUSE_LOGIN_INVALID,
				   "the connection string's SharedAccessKey is not base64");
	if (login->key.size < DPS_KEY_SIZE_MIN || login->key.size > DPS_KEY_SIZE_MAX)
		return muster_fail(err, CAUSE_LOGIN_INVALID,
				   "the connection string's SharedAccessKey has %zu bytes, allowed "
				   "are %d to %d",
				   login->key.size, DPS_KEY_SIZE_MIN, DPS_KEY_SIZE_MAX);
	return true;
}

static const struct {
	const char *name;
	bool (*parse)(struct dps_login *login, const char *value, size_t length,
		      struct muster_error *err);
} parts[] = {
	{ "HostName", parse_host },
	{ "SharedAccessKeyName", parse_policy },
	{ "SharedAccessKey", parse_key },
};

/* -- The whole ----------------------------------------------------------------------------------------- */

static size_t find_part(const char *name, size_t length)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(parts); i++)
		if (strlen(parts[i].name) == length &&
		    strncasecmp(parts[i].name, name, length) == 0)
			break;
	return i;
}

/* One "name=value" of the given length. What else stands there is passed over, as az does. */
static bool parse_part(struct dps_login *login, bool seen[], const char *part, size_t length,
		       struct muster_error *err)
{
	const char *equals = memchr(part, '=', length);
	size_t name_length = equals ? (size_t)(equals - part) : length;
	size_t which = find_part(part, name_length);

	if (!equals || which == ARRAY_SIZE(parts))
		return true;
	if (seen[which])
		return muster_fail(err, CAUSE_LOGIN_INVALID, "the connection string has %s twice",
				   parts[which].name);
	seen[which] = true;
	return parts[which].parse(login, equals + 1, length - name_length - 1, err);
}

static bool parse_parts(struct dps_login *login, const char *text, size_t length,
			struct muster_error *err)
{
	bool seen[ARRAY_SIZE(parts)] = { 0 };

	while (length > 0) {
		const char *end = memchr(text, ';', length);
		size_t part_length = end ? (size_t)(end - text) : length;

		if (!parse_part(login, seen, text, part_length, err))
			return false;
		part_length += end ? 1 : 0;
		text += part_length;
		length -= part_length;
	}
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (!seen[i])
			return muster_fail(err, CAUSE_LOGIN_INVALID,
					   "the connection string has no %s", parts[i].name);
	return true;
}

bool dps_login_parse(struct dps_login *ret_login, const char *text, size_t length,
		     struct muster_error *err)
{
	CLEANUP(dps_login_done) struct dps_login login = { 0 };

	if (!parse_parts(&login, text, length, err))
		return false;
	*ret_login = login;
	login = (struct dps_login){ 0 };
	return true;
}

bool dps_login_read_source(struct dps_login *ret_login, const char *source,
			   struct muster_error *err)
{
	CLEANUP(secret_done) struct secret text = { 0 };

	if (!secret_read_source(&text, source, LOGIN_TEXT_MAX, "connection string", err))
		return false;
	return dps_login_parse(ret_login, (const char *)text.data, text.size, err) ||
	       muster_error_prefix(err, "reading the connection string from '%s'",
				   PRINTABLE(source));
}

void dps_login_done(struct dps_login *login)
{
	secret_done(&login->key);
	dps_login_forget(login);
	*login = (struct dps_login){ 0 };
}

void dps_login_forget(struct dps_login *login)
{
	secret_done(&login->token);
}

static bool make_token(struct dps_login *login, int64_t now_wall_ms, struct muster_error *err)
{
	char resource[DPS_HOST_SIZE];
	struct dps_sas_terms terms = {
		.resource = resource,
		.policy = login->policy,
		.expiry_s = now_wall_ms / 1000 + LOGIN_TOKEN_LIFE_S,
	};

	dps_host_without_port(login->host, resource);
	login->token_made_ms = now_wall_ms;
	return dps_sas_make(&terms, &login->key, &login->token, err);
}

/* A clock that was set back makes old tokens too long-lived. */
static bool has_token(const struct dps_login *login, int64_t now_wall_ms)
{
	return login->token.size > 0 && now_wall_ms >= login->token_made_ms &&
	       now_wall_ms - login->token_made_ms < LOGIN_TOKEN_USE_MS;
}

bool dps_login_authorize(struct dps_login *login, int64_t now_wall_ms, struct http_request *request,
			 struct muster_error *err)
{
	return (has_token(login, now_wall_ms) || make_token(login, now_wall_ms, err)) &&
	       secret_copy(&request->authorization, login->token.data, login->token.size, err);
}
