/* Values as Python prints them: what az sends in place of a tuple, a set or bytes. */
#include "twin-text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Double quotes only around what has single ones alone. */
static char quote_for(const struct text *value)
{
	const char *data = value->data ? value->data : "";

	return memchr(data, '\'', value->length) && !memchr(data, '"', value->length) ? '"' : '\'';
}

/* False: it is printed as it is. */
static bool add_escaped(struct text *out, unsigned char c, char quote)
{
	static const char plain[] = "\n\r\t", letters[] = "nrt";
	const char *found = c ? strchr(plain, c) : NULL;

	if (found)
		text_addf(out, "\\%c", letters[found - plain]);
	else if (c == '\\' || c == (unsigned char)quote)
		text_addf(out, "\\%c", c);
	else if (c < 0x20 || c == 0x7f)
		text_addf(out, "\\x%02x", c);
	else
		return false;
	return true;
}

/* C1 controls, the space that does not break and the soft hyphen; bytes of one character in UTF-8, or 0. */
static size_t add_unprintable(struct text *out, const unsigned char *data, size_t left)
{
	if (left >= 2 && data[0] == 0xc2 && (data[1] <= 0xa0 || data[1] == 0xad)) {
		text_addf(out, "\\x%02x", data[1]);
		return 2;
	}
	if (left >= 3 && data[0] == 0xe2 && data[1] == 0x80 &&
	    (data[2] == 0xa8 || data[2] == 0xa9)) {
		text_addf(out, "\\u20%02x", data[2] - 0x80);
		return 3;
	}
	return 0;
}

void twin_print_string(struct text *out, const struct text *value)
{
	const unsigned char *data = (const unsigned char *)value->data;
	char quote = quote_for(value);

	text_add_char(out, quote);
	for (size_t i = 0, used; i < value->length; i += used) {
		used = add_unprintable(out, data + i, value->length - i);
		if (used > 0)
			continue;
		used = 1;
		if (!add_escaped(out, data[i], quote))
			text_add_char(out, (char)data[i]);
	}
	text_add_char(out, quote);
}

void twin_print_bytes(struct text *out, const struct text *value)
{
	char quote = quote_for(value);

	text_addf(out, "b%c", quote);
	for (size_t i = 0; i < value->length; i++) {
		unsigned char c = (unsigned char)value->data[i];

		if (c >= 0x80)
			text_addf(out, "\\x%02x", c);
		else if (!add_escaped(out, c, quote))
			text_add_char(out, (char)c);
	}
	text_add_char(out, quote);
}

static bool is_same(const char *digits, double value)
{
	double again;

	return text_to_double(digits, &again) && again == value;
}

static int64_t exponent_of(const char *digits)
{
	const char *text = strchr(digits, 'e') + 1;
	int64_t exponent = 0;

	return text_to_int64(text + (*text == '+'), -400, 400, &exponent) ? exponent : 0;
}

/* The fewest digits that give the same number again; the exponent in its place from 1e16 on and below 1e-4. */
void twin_print_float(struct text *out, const char *written)
{
	char digits[40];
	int64_t exponent;
	double value;
	int precision = 0;

	if (!text_to_double(written, &value) || isinf(value)) {
		text_add(out, *written == '-' ? "-inf" : "inf");
		return;
	}
	do
		snprintf(digits, sizeof(digits), "%.*e", precision, value);
	while (!is_same(digits, value) && ++precision < 17);
	exponent = exponent_of(digits);
	if (exponent >= -4 && exponent < 16) {
		int places = precision - (int)exponent;

		snprintf(digits, sizeof(digits), "%.*f", places > 1 ? places : 1, value);
	}
	text_add(out, digits);
}
