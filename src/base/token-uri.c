#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "muster/encoding.h"
#include "muster/token-uri.h"

#define SCHEME "pkcs11:"

/* What a value may be once it is decoded. */
enum value_kind {
	VALUE_TEXT,    /* UTF-8 without control characters */
	VALUE_DIGITS,  /* decimal number */
	VALUE_VERSION, /* digits, or digits "." digits */
	VALUE_TYPE,    /* an object class by name */
	VALUE_PATH,    /* an absolute path */
	VALUE_NAME,    /* a module's name: no path */
	VALUE_SOURCE,  /* where a PIN is read from, not a command */
	VALUE_ID,      /* any bytes */
	VALUE_REFUSED, /* known, and never taken */
};

struct attribute {
	const char *name;
	enum value_kind kind;
	bool in_query; /* RFC 7512 2.3: after "?" */
	size_t min, max;
	size_t offset; /* of its char * in struct token_uri */
};

#define PLACE(member) offsetof(struct token_uri, member)

/* In the order in which they are printed. The lengths are those of the fields in CK_TOKEN_INFO, CK_SLOT_INFO and
 * CK_INFO; objects have none. */
/* clang-format off */
static const struct attribute attributes[] = {
	{ "token",                VALUE_TEXT,    false, 0, 32,   PLACE(token) },
	{ "manufacturer",         VALUE_TEXT,    false, 0, 32,   PLACE(manufacturer) },
	{ "serial",               VALUE_TEXT,    false, 0, 16,   PLACE(serial) },
	{ "model",                VALUE_TEXT,    false, 0, 16,   PLACE(model) },
	{ "library-description",  VALUE_TEXT,    false, 0, 32,   PLACE(library_description) },
	{ "library-manufacturer", VALUE_TEXT,    false, 0, 32,   PLACE(library_manufacturer) },
	{ "library-version",      VALUE_VERSION, false, 1, 7,    PLACE(library_version) },
	{ "slot-description",     VALUE_TEXT,    false, 0, 64,   PLACE(slot_description) },
	{ "slot-manufacturer",    VALUE_TEXT,    false, 0, 32,   PLACE(slot_manufacturer) },
	{ "slot-id",              VALUE_DIGITS,  false, 1, 10,   PLACE(slot_id) },
	{ "object",               VALUE_TEXT,    false, 0, 255,  PLACE(object) },
	{ "type",                 VALUE_TYPE,    false, 1, 16,   PLACE(type) },
	{ "id",                   VALUE_ID,      false, 1, 64,   PLACE(id) },
	{ "module-path",          VALUE_PATH,    true,  1, 1024, PLACE(module_path) },
	{ "module-name",          VALUE_NAME,    true,  1, 64,   PLACE(module_name) },
	{ "pin-source",           VALUE_SOURCE,  true,  1, 1024, PLACE(pin_source) },
	{ "pin-value",            VALUE_REFUSED, true,  0, 0,    0 },
};
/* clang-format on */

static char **value_place(struct token_uri *uri, const struct attribute *attribute)
{
	return (char **)((char *)uri + attribute->offset);
}

static const char *value_of(const struct token_uri *uri, const struct attribute *attribute)
{
	return *(char *const *)((const char *)uri + attribute->offset);
}

/* -- Reading ----------------------------------------------------------------------------------------------- */

static const struct attribute *attribute_find(const char *name, size_t length)
{
	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
		if (strlen(attributes[i].name) == length &&
		    memcmp(attributes[i].name, name, length) == 0)
			return &attributes[i];
	return NULL;
}

/* pk11-pchar and pk11-qchar of RFC 7512 2.3. */
static bool may_stand_plain(char c, bool in_query)
{
	if (isascii(c) && isalnum((unsigned char)c))
		return true;
	return c != 0 && strchr(in_query ? "-._~:[]@!$'()*+,=/?|" : "-._~:[]@!$'()*+,=&", c);
}

static bool percent_decode(const char *text, size_t length, bool in_query, struct text *out)
{
	for (size_t i = 0; i < length; i++) {
		CLEANUP(bytes_done) struct bytes byte = { 0 };

		if (text[i] != '%') {
			if (!may_stand_plain(text[i], in_query))
				return false;
			text_add_char(out, text[i]);
			continue;
		}
		if (length - i < 3 || !hex_decode(text + i + 1, 2, &byte))
			return false;
		text_add_bytes(out, byte.data, 1);
		i += 2;
	}
	return true;
}

static bool is_plain_text(const char *value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f)
			return false;
	return text_is_utf8(value, size);
}

static bool is_version(const char *value)
{
	size_t major = strspn(value, "0123456789");
	size_t minor;

	if (major == 0 || value[major] == 0)
		return major > 0;
	minor = strspn(value + major + 1, "0123456789");
	return value[major] == '.' && minor > 0 && value[major + 1 + minor] == 0;
}

static bool is_object_type(const char *value)
{
	static const char *const types[] = { "public", "private", "cert", "secret-key", "data" };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(types[i], value) == 0)
			return true;
	return false;
}

/* NULL when the value will do, else what is wrong with it. */
static const char *value_fault(enum value_kind kind, const char *value, size_t size)
{
	if (kind == VALUE_ID)
		return NULL;
	if (!is_plain_text(value, size))
		return "is not UTF-8 text, or has control characters";
	if (kind == VALUE_DIGITS && strspn(value, "0123456789") != size)
		return "is not a decimal number";
	if (kind == VALUE_VERSION && !is_version(value))
		return "is not a version as in 2.6";
	if (kind == VALUE_TYPE && !is_object_type(value))
		return "is not one of public, private, cert, secret-key, data";
	if (kind == VALUE_PATH && value[0] != '/')
		return "is not an absolute path";
	if (kind == VALUE_NAME && strchr(value, '/'))
		return "is a path; that would be module-path";
	if (kind == VALUE_SOURCE && value[0] == '|')
		return "names a command; muster runs none";
	return NULL;
}

static bool value_store(struct token_uri *uri, const struct attribute *attribute,
			struct text *value, struct muster_error *err)
{
	char *taken;

	if (attribute->kind == VALUE_ID)
		return bytes_copy(&uri->id, value->data, value->length, err);
	taken = text_take(value, err);
	if (!taken)
		return false;
	*value_place(uri, attribute) = taken;
	return true;
}

static bool is_present(const struct token_uri *uri, const struct attribute *attribute)
{
	return attribute->kind == VALUE_ID ? uri->id.data != NULL
					   : value_of(uri, attribute) != NULL;
}

/* One "name=value". Messages name attributes and never quote values: one of them may be a PIN. */
static bool parse_pair(const char *pair, size_t length, bool in_query, struct token_uri *uri,
		       struct muster_error *err)
{
	CLEANUP(text_done) struct text value = TEXT_MAX(TOKEN_URI_SIZE_MAX);
	const char *equals = memchr(pair, '=', length);
	const struct attribute *attribute =
		equals ? attribute_find(pair, (size_t)(equals - pair)) : NULL;
	const char *fault;

	if (!attribute)
		return muster_fail(err, CAUSE_TOKEN_URI_INVALID,
				   "the PKCS#11 URI has an attribute that RFC 7512 does not know");
	if (attribute->kind == VALUE_REFUSED)
		return muster_fail(err, CAUSE_TOKEN_URI_INVALID,
				   "the PKCS#11 URI carries a PIN (%s), which others can read",
				   attribute->name);
	if (attribute->in_query != in_query)
		return muster_fail(err, CAUSE_TOKEN_URI_INVALID,
				   "the PKCS#11 URI has %s %s its '?'", attribute->name,
				   in_query ? "behind" : "before");
	if (is_present(uri, attribute))
		return muster_fail(err, CAUSE_TOKEN_URI_INVALID, "the PKCS#11 URI has %s twice",
				   attribute->name);
	if (!percent_decode(equals + 1, length - (size_t)(equals + 1 - pair), in_query, &value))
		return muster_fail(
			err, CAUSE_TOKEN_URI_INVALID,
			"%s in the PKCS#11 URI has a character that must be written as %%XX",
			attribute->name);
	if (value.length < attribute->min || value.length > attribute->max)
		return muster_fail(err, CAUSE_TOKEN_URI_INVALID,
				   "%s in the PKCS#11 URI has %zu bytes; %zu to %zu are possible",
				   attribute->name, value.length, attribute->min, attribute->max);
	fault = value_fault(attribute->kind, value.data ? value.data : "", value.length);
	if (fault)
		return muster_fail(err, CAUSE_TOKEN_URI_INVALID, "%s in the PKCS#11 URI %s",
				   attribute->name, fault);
	return value_store(uri, attribute, &value, err);
}

static bool parse_part(const char *part, size_t length, bool in_query, struct token_uri *uri,
		       struct muster_error *err)
{
	const char separator = in_query ? '&' : ';';
	const char *end = part + length;

	if (length == 0)
		return true;
	for (;;) {
		const char *stop = memchr(part, separator, (size_t)(end - part));

		if (!parse_pair(part, (size_t)((stop ? stop : end) - part), in_query, uri, err))
			return false;
		if (!stop)
			return true;
		part = stop + 1;
	}
}

bool token_uri_parse(const char *text, struct token_uri *ret_uri, struct muster_error *err)
{
	CLEANUP(token_uri_done) struct token_uri uri = { 0 };
	const char *path, *query;

	if (strlen(text) > TOKEN_URI_SIZE_MAX)
		return muster_fail(err, CAUSE_TOKEN_URI_INVALID,
				   "the PKCS#11 URI is longer than %d bytes", TOKEN_URI_SIZE_MAX);
	if (strncasecmp(text, SCHEME, strlen(SCHEME)) != 0)
		return muster_fail(err, CAUSE_TOKEN_URI_INVALID,
				   "the PKCS#11 URI does not begin with '" SCHEME "'");
	path = text + strlen(SCHEME);
	query = strchr(path, '?');
	if (!parse_part(path, query ? (size_t)(query - path) : strlen(path), false, &uri, err))
		return false;
	if (query && !parse_part(query + 1, strlen(query + 1), true, &uri, err))
		return false;
	*ret_uri = uri;
	uri = (struct token_uri){ 0 };
	return true;
}

/* -- Printing ---------------------------------------------------------------------------------------------- */

static void add_pair(struct text *out, const struct attribute *attribute,
		     const struct token_uri *uri)
{
	if (out->length > strlen(SCHEME))
		text_add_char(out, ';');
	text_addf(out, "%s=", attribute->name);
	if (attribute->kind != VALUE_ID) {
		text_add_url(out, value_of(uri, attribute));
		return;
	}
	for (size_t i = 0; i < uri->id.size; i++)
		text_addf(out, "%%%02X", uri->id.data[i]);
}

static void add_path(struct text *out, const struct token_uri *uri)
{
	text_add(out, SCHEME);
	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
		if (!attributes[i].in_query && is_present(uri, &attributes[i]))
			add_pair(out, &attributes[i], uri);
}

char *token_uri_format(const struct token_uri *uri)
{
	CLEANUP(text_done) struct text out = TEXT_MAX(4 * TOKEN_URI_SIZE_MAX);
	struct muster_error ignored;

	add_path(&out, uri);
	return text_take(&out, &ignored);
}

static bool is_of_token(const struct attribute *attribute)
{
	return !attribute->in_query && attribute->kind != VALUE_ID &&
	       attribute->offset != PLACE(object) && attribute->offset != PLACE(type);
}

bool token_uri_contradicts(const struct token_uri *uri, const struct token_uri *other)
{
	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++) {
		const char *value, *its;

		if (!is_of_token(&attributes[i]))
			continue;
		value = value_of(uri, &attributes[i]);
		its = value_of(other, &attributes[i]);
		if (value && its && strcmp(value, its) != 0)
			return true;
	}
	return false;
}

/* A path is easier to read with its slashes, which RFC 7512 lets stand in the query. */
char *token_uri_format_with_module(const struct token_uri *uri)
{
	CLEANUP(text_done) struct text out = TEXT_MAX(8 * TOKEN_URI_SIZE_MAX);
	struct muster_error ignored;

	add_path(&out, uri);
	if (uri->module_name) {
		text_add(&out, "?module-name=");
		text_add_url(&out, uri->module_name);
	} else if (uri->module_path) {
		text_add(&out, "?module-path=");
		for (const char *c = uri->module_path; *c; c++) {
			if (*c == '/')
				text_add_char(&out, '/');
			else
				text_add_url(&out, (char[2]){ *c, 0 });
		}
	}
	return text_take(&out, &ignored);
}

void token_uri_done(struct token_uri *uri)
{
	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
		if (attributes[i].kind != VALUE_ID && attributes[i].kind != VALUE_REFUSED)
			free(*value_place(uri, &attributes[i]));
	bytes_done(&uri->id);
	*uri = (struct token_uri){ 0 };
}
