#include "stamp.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "muster/encoding.h"

static void random_or_stop(void *data, size_t size)
{
	struct muster_error err;

	if (!random_bytes(data, size, &err))
		__builtin_trap();
}

char *stamp_format(char out[STAMP_SIZE], int64_t wall_ms)
{
	time_t seconds = wall_ms / 1000;
	struct tm tm;

	(void)gmtime_r(&seconds, &tm);
	size_t used = strftime(out, STAMP_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(out + used, STAMP_SIZE - used, ".%03u0000Z",
		       (unsigned)(wall_ms % 1000) % 1000u);
	return out;
}

char *guid_new(char out[GUID_SIZE])
{
	char hex[33];
	uint8_t bytes[16];

	random_or_stop(bytes, sizeof(bytes));
	bytes[6] = (bytes[6] & 0x0f) | 0x40;
	bytes[8] = (bytes[8] & 0x3f) | 0x80;
	hex_encode(hex, bytes, sizeof(bytes));
	(void)snprintf(out, GUID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
		       hex + 16, hex + 20);
	return out;
}

char *etag_new(char out[ETAG_SIZE])
{
	char hex[17], inner[48];
	uint8_t bytes[8];

	random_or_stop(bytes, sizeof(bytes));
	hex_encode(hex, bytes, sizeof(bytes));
	(void)snprintf(inner, sizeof(inner), "\"%.8s-0000-0300-0000-%.8s0000\"", hex, hex + 8);

	CLEANUP(freep) char *encoded = base64_encode(inner, strlen(inner));
	(void)snprintf(out, ETAG_SIZE, "%s", encoded ? encoded : "");
	return out;
}

char *etag_inner(char out[ETAG_SIZE], const char *etag)
{
	CLEANUP(bytes_done) struct bytes inner = { 0 };

	if (base64_decode(etag, strlen(etag), &inner))
		(void)snprintf(out, ETAG_SIZE, "%.*s", (int)inner.size, (const char *)inner.data);
	else
		(void)snprintf(out, ETAG_SIZE, "%s", etag);
	return out;
}

bool etag_matches(const char *if_match, const char *etag)
{
	size_t length = strlen(if_match);

	if (strcmp(if_match, "*") == 0)
		return true;
	if (length >= 2 && if_match[0] == '"' && if_match[length - 1] == '"') {
		if_match++;
		length -= 2;
	}
	return length == strlen(etag) && memcmp(if_match, etag, length) == 0;
}

static bool is_ascii_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool consists_of(const char *id, const char *others)
{
	size_t length = strlen(id);

	if (length < 1 || length > ID_MAX)
		return false;
	for (size_t i = 0; i < length; i++)
		if (!is_ascii_alnum(id[i]) && !strchr(others, id[i]))
			return false;
	return true;
}

bool id_is_valid(const char *id)
{
	if (!consists_of(id, "-._:"))
		return false;
	char last = id[strlen(id) - 1];
	return is_ascii_alnum(last) || last == '-';
}

bool device_id_is_valid(const char *id)
{
	return consists_of(id, "-:.+%_#*?!(),=@;$'");
}
