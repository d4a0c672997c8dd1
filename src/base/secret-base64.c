/* Base64 of secrets: strict, and no branch, table or early end depends on their content. */
#include "muster/secret.h"

/* All ones when low <= c <= high, else 0. */
static inline unsigned in_range(unsigned c, unsigned low, unsigned high)
{
	return 0U - (((low - 1 - c) & (c - high - 1)) >> 31);
}

/* 0 to 63, or something above. */
static inline unsigned value_of(unsigned c)
{
	unsigned value = (in_range(c, 'A', 'Z') & (c - 'A' + 1)) |
			 (in_range(c, 'a', 'z') & (c - 'a' + 27)) |
			 (in_range(c, '0', '9') & (c - '0' + 53)) | (in_range(c, '+', '+') & 63) |
			 (in_range(c, '/', '/') & 64);

	return value - 1;
}

static uint8_t character_of(unsigned value)
{
	return (uint8_t)((in_range(value + 1, 1, 26) & (value + 'A')) |
			 (in_range(value, 26, 51) & (value - 26 + 'a')) |
			 (in_range(value, 52, 61) & (value - 52 + '0')) |
			 (in_range(value, 62, 62) & '+') | (in_range(value, 63, 63) & '/'));
}

/* False when anything in it is not base64. */
static bool decode(const uint8_t *text, size_t length, size_t padding, uint8_t *out)
{
	size_t size = length / 4 * 3 - padding;
	unsigned bad = 0, bits = 0;

	for (size_t i = 0; i < length; i++) {
		unsigned value = i < length - padding ? value_of(text[i]) : 0;

		bad |= value >> 6;
		bits = bits << 6 | (value & 63);
		if (i % 4 != 3)
			continue;
		for (size_t j = 0; j < 3; j++) {
			uint8_t byte = (uint8_t)(bits >> (16 - 8 * j));
			size_t at = i / 4 * 3 + j;

			if (at >= size)
				bad |= byte;
			else
				out[at] = byte;
		}
	}
	return bad == 0;
}

/* How many '=' end the text is no secret. */
static size_t padding_of(const char *text, size_t length)
{
	size_t padding = 0;

	while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
		padding++;
	return padding;
}

static bool has_good_length(size_t length)
{
	return length > 0 && length % 4 == 0 && length <= SECRET_MAX;
}

static bool can_decode(const uint8_t *text, size_t length, size_t padding)
{
	uint8_t last[3];
	unsigned bad = 0;

	for (size_t i = 0; i < length - 4; i++)
		bad |= value_of(text[i]) >> 6;
	return decode(text + length - 4, 4, padding, last) && bad == 0;
}

bool secret_base64_check(const char *text, size_t length, size_t *ret_size)
{
	size_t padding = padding_of(text, length);

	if (!has_good_length(length) || !can_decode((const uint8_t *)text, length, padding))
		return false;
	*ret_size = length / 4 * 3 - padding;
	return true;
}

bool secret_from_base64(struct secret *secret, const char *text, size_t length, const char *what,
			struct muster_error *err)
{
	CLEANUP(secret_done) struct secret decoded = { 0 };
	size_t padding = padding_of(text, length);

	if (!has_good_length(length))
		return muster_fail(err, CAUSE_SECRET_INVALID, "%s is not base64", what);
	if (!secret_new(&decoded, length / 4 * 3 - padding, err))
		return false;
	if (!decode((const uint8_t *)text, length, padding, decoded.data))
		return muster_fail(err, CAUSE_SECRET_INVALID, "%s is not base64", what);
	secret_done(secret);
	*secret = decoded;
	decoded = (struct secret){ 0 };
	return true;
}

void secret_base64_encode(char *out, const void *data, size_t size)
{
	const uint8_t *bytes = data;
	size_t length = (size + 2) / 3 * 4;

	for (size_t i = 0; i < length; i++) {
		size_t from = i / 4 * 3;
		unsigned bits = 0;

		for (size_t j = 0; j < 3; j++)
			bits = bits << 8 | (from + j < size ? bytes[from + j] : 0);
		out[i] = i > (size * 8 + 5) / 6 - 1 ? '='
						    : character_of(bits >> (18 - 6 * (i % 4)) & 63);
	}
}

bool secret_to_base64(struct secret *ret_text, const void *data, size_t size,
		      struct muster_error *err)
{
	CLEANUP(secret_done) struct secret text = { 0 };

	if (size > SECRET_MAX / 4 * 3)
		return muster_fail(err, CAUSE_SECRET_INVALID, "a secret of %zu bytes is too long",
				   size);
	if (!secret_new(&text, (size + 2) / 3 * 4, err))
		return false;
	secret_base64_encode((char *)text.data, data, size);
	secret_done(ret_text);
	*ret_text = text;
	text = (struct secret){ 0 };
	return true;
}
