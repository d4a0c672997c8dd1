#include "sas.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>

#include "muster/encoding.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool url_decode(const char *text, size_t length, char *out, size_t out_size)
{
	size_t used = 0;

	for (size_t i = 0; i < length; i++) {
		char c = text[i];
		if (c == '%') {
			if (length - i < 3)
				return false;
			int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
			if (high < 0 || low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (c == '\0' || used + 1 >= out_size)
			return false;
		out[used++] = c;
	}
	out[used] = '\0';
	return true;
}

/* -- Parsing ----------------------------------------------------------------------------------------------- */

struct span {
	const char *text;
	size_t length;
};

enum sas_field { FIELD_SR, FIELD_SIG, FIELD_SE, FIELD_SKN, FIELD_COUNT };
static const char *const field_names[FIELD_COUNT] = { "sr=", "sig=", "se=", "skn=" };

static bool take_field(struct span fields[FIELD_COUNT], const char *text, size_t length)
{
	for (size_t i = 0; i < FIELD_COUNT; i++) {
		size_t name = strlen(field_names[i]);
		if (length < name || strncmp(text, field_names[i], name) != 0)
			continue;
		if (fields[i].text)
			return false;
		fields[i] = (struct span){ text + name, length - name };
		return true;
	}
	return false;
}

static bool split_fields(const char *text, struct span fields[FIELD_COUNT])
{
	for (;;) {
		size_t length = strcspn(text, "&");
		if (!take_field(fields, text, length))
			return false;
		if (text[length] == '\0')
			return true;
		text += length + 1;
	}
}

static bool copy_span(struct span span, char *out, size_t out_size)
{
	if (!span.text || span.length >= out_size)
		return false;
	memcpy(out, span.text, span.length);
	out[span.length] = '\0';
	return true;
}

static bool take_signature(struct span span, uint8_t signature[32])
{
	CLEANUP(bytes_done) struct bytes decoded = { 0 };
	char text[128];

	if (!span.text || !url_decode(span.text, span.length, text, sizeof(text)))
		return false;
	if (!base64_decode(text, strlen(text), &decoded) || decoded.size != 32)
		return false;
	memcpy(signature, decoded.data, 32);
	return true;
}

bool sas_parse(const char *header, struct sas *ret_sas)
{
	static const char scheme[] = "SharedAccessSignature ";
	struct span fields[FIELD_COUNT] = { 0 };
	struct sas sas = { 0 };

	if (strncasecmp(header, scheme, sizeof(scheme) - 1) != 0)
		return false;
	if (!split_fields(header + sizeof(scheme) - 1, fields))
		return false;
	if (!copy_span(fields[FIELD_SR], sas.raw_resource, sizeof(sas.raw_resource)))
		return false;
	if (!url_decode(fields[FIELD_SR].text, fields[FIELD_SR].length, sas.resource,
			sizeof(sas.resource)))
		return false;
	text_fold(sas.resource);
	if (!copy_span(fields[FIELD_SE], sas.expiry_text, sizeof(sas.expiry_text)) ||
	    !text_to_int64(sas.expiry_text, 0, INT64_MAX / 1000 - SAS_SKEW_MS, &sas.expiry_s))
		return false;
	if (!take_signature(fields[FIELD_SIG], sas.signature))
		return false;
	if (fields[FIELD_SKN].text && !url_decode(fields[FIELD_SKN].text, fields[FIELD_SKN].length,
						  sas.key_name, sizeof(sas.key_name)))
		return false;
	*ret_sas = sas;
	return true;
}

/* -- Verifying --------------------------------------------------------------------------------------------- */

bool sas_is_signed_by(const struct sas *sas, const void *key, size_t key_size)
{
	char text[SAS_TEXT_MAX + 32];
	uint8_t mac[SHA256_SIZE];
	struct muster_error err;

	int length = snprintf(text, sizeof(text), "%s\n%s", sas->raw_resource, sas->expiry_text);
	if (!hmac_sha256(key, key_size, text, (size_t)length, mac, &err))
		return false;
	return CRYPTO_memcmp(mac, sas->signature, sizeof(mac)) == 0;
}

bool sas_has_expired(const struct sas *sas, int64_t now_ms)
{
	return sas->expiry_s * 1000 + SAS_SKEW_MS < now_ms;
}

bool sas_covers_path(const char *resource, const char *path)
{
	size_t length = strlen(resource);

	while (length > 0 && resource[length - 1] == '/')
		length--;
	if (strncmp(resource, path, length) != 0)
		return false;
	return path[length] == '\0' || path[length] == '/' || length == 0;
}

/* The length of the host in "host", "host:port" and "[v6]:port". */
static size_t host_length(const char *resource)
{
	if (resource[0] == '[')
		return strcspn(resource, "]/") + (strchr(resource, ']') ? 1 : 0);
	return strcspn(resource, ":/");
}

bool sas_covers_host(const char *resource, const char *const *names, size_t name_count,
		     const char *path)
{
	size_t length = host_length(resource);
	const char *rest = resource + strcspn(resource, "/");

	for (size_t i = 0; i < name_count; i++)
		if (strlen(names[i]) == length && memcmp(names[i], resource, length) == 0)
			return sas_covers_path(rest, path);
	return false;
}
