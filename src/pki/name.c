/* RFC 4514 names, as far as subjects of devices need them: one attribute per element, first element first (as DPS and
 * OpenSSL print them, not reversed), backslash escapes. */
#include "pki-internal.h"

#include <string.h>

#define VALUE_MAX 256

static const char *const attributes[] = { "CN", "O", "OU", "C", "ST", "L", "serialNumber" };

static bool is_known_attribute(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++) {
		if (strcmp(attributes[i], name) == 0)
			return true;
	}
	return false;
}

/* Reads up to an unescaped `stop` or the end, and returns it; blanks before are skipped. */
static const char *take_until(const char *cursor, char stop, struct text *out)
{
	cursor += strspn(cursor, " ");
	for (; *cursor && *cursor != stop; cursor++) {
		if (*cursor == '\\' && cursor[1])
			cursor++;
		text_add_char(out, *cursor);
	}
	return cursor;
}

static bool add_element(X509_NAME *name, const char **cursor, struct muster_error *err)
{
	CLEANUP(text_done) struct text attribute = TEXT_MAX(32);
	CLEANUP(text_done) struct text value = TEXT_MAX(VALUE_MAX);

	*cursor = take_until(*cursor, '=', &attribute);
	*cursor += **cursor == '=';
	*cursor = take_until(*cursor, ',', &value);
	if (attribute.failed || !attribute.length || !is_known_attribute(attribute.data))
		return muster_fail(err, CAUSE_CERTIFICATE_INVALID,
				   "'%s' is no attribute of a subject that muster knows",
				   attribute.length ? PRINTABLE(attribute.data) : "");
	if (value.failed || !value.length)
		return muster_fail(err, CAUSE_CERTIFICATE_INVALID, "the subject's %s is %s",
				   attribute.data, value.failed ? "too long" : "empty");
	if (X509_NAME_add_entry_by_txt(name, attribute.data, MBSTRING_UTF8,
				       (const unsigned char *)value.data, (int)value.length, -1,
				       0) != 1)
		return pki_fail(err, CAUSE_CERTIFICATE_INVALID, "the subject's %s '%s'",
				attribute.data, PRINTABLE(value.data));
	return true;
}

bool pki_name_parse(const char *text, X509_NAME **ret_name, struct muster_error *err)
{
	CLEANUP(X509_NAME_freep) X509_NAME *name = X509_NAME_new();
	const char *cursor = text;

	if (!name)
		return muster_fail_memory(err);
	for (;;) {
		if (!add_element(name, &cursor, err))
			return false;
		if (!*cursor)
			break;
		cursor++; /* a comma, behind which there is one more */
	}
	*ret_name = TAKE_PTR(name);
	return true;
}

bool pki_name_check(const char *text, struct muster_error *err)
{
	CLEANUP(X509_NAME_freep) X509_NAME *name = NULL;

	return pki_name_parse(text, &name, err);
}

bool pki_name_check_common(const char *text, struct muster_error *err)
{
	CLEANUP(X509_NAME_freep) X509_NAME *name = NULL;
	char common_name[PKI_COMMON_NAME_SIZE];

	return pki_name_parse(text, &name, err) &&
	       (pki_name_common_name(name, common_name) ||
		muster_fail(err, CAUSE_CERTIFICATE_INVALID,
			    "the subject needs one common name of at most 64 bytes"));
}

bool pki_name_common_name(const X509_NAME *name, char ret_text[PKI_COMMON_NAME_SIZE])
{
	int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
	unsigned char *utf8 = NULL;
	const ASN1_STRING *value;
	bool fits;
	int length;

	if (at < 0 || X509_NAME_get_index_by_NID(name, NID_commonName, at) >= 0)
		return false;
	value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
	length = ASN1_STRING_to_UTF8(&utf8, value);
	fits = length > 0 && length < PKI_COMMON_NAME_SIZE && !memchr(utf8, 0, (size_t)length);
	if (fits) {
		memcpy(ret_text, utf8, (size_t)length);
		ret_text[length] = 0;
	}
	OPENSSL_free(utf8);
	return fits;
}
