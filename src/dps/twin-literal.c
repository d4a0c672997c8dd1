#include <ctype.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/crypto.h>

#include "muster/json.h"

#include "twin-reader.h"

/* Digits of one number, underscores included. */
enum { DIGITS_MAX = 1024 };

bool reader_wrong(struct reader *reader, const char *problem)
{
	if (!reader->problem)
		reader->problem = problem;
	return false;
}

bool reader_wrong_at(struct reader *reader, size_t at, const char *problem)
{
	if (!reader->problem)
		reader->at = at;
	return reader_wrong(reader, problem);
}

bool reader_take(struct reader *reader, char c)
{
	if (reader_peek(reader) != c)
		return false;
	reader->at++;
	return true;
}

void reader_skip_space(struct reader *reader)
{
	for (;;) {
		reader->at += strspn(reader->text + reader->at, " \t\r\n\f");
		if (reader_peek(reader) != '#')
			return;
		reader->at += strcspn(reader->text + reader->at, "\n");
	}
}

bool reader_is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* -- Strings ------------------------------------------------------------------------------------------- */

/* Exactly that many digits of the base. */
static bool read_code(struct reader *reader, unsigned base, size_t digits, unsigned *ret_code)
{
	unsigned code = 0;

	for (size_t i = 0; i < digits; i++, reader->at++) {
		char c = reader_peek(reader);
		unsigned digit = isdigit((unsigned char)c)    ? (unsigned)(c - '0')
				 : isxdigit((unsigned char)c) ? (unsigned)((c | 32) - 'a' + 10)
							      : base;

		if (digit >= base)
			return reader_wrong(reader, "an escape needs more digits");
		code = code * base + digit;
	}
	*ret_code = code;
	return true;
}

/* Two \u escapes may be one character, as in JSON. */
static bool join_surrogates(struct reader *reader, unsigned *code)
{
	unsigned low;

	if (*code < 0xd800 || *code > 0xdfff)
		return true;
	if (*code > 0xdbff || !reader_take(reader, '\\') || !reader_take(reader, 'u') ||
	    !read_code(reader, 16, 4, &low) || low < 0xdc00 || low > 0xdfff)
		return reader_wrong(reader, "half of a surrogate pair");
	*code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
	return true;
}

static size_t octal_digits(const char *text)
{
	size_t count = strspn(text, "01234567");

	return count < 3 ? count : 3;
}

/* Of a string, or of bytes, which know no characters. `at` is behind the backslash. */
static bool read_escape(struct reader *reader, bool is_bytes, struct text *out)
{
	static const char letters[] = "\\'\"abfnrtv";
	static const char values[] = "\\'\"\a\b\f\n\r\t\v";
	char c = reader_peek(reader);
	const char *simple = c ? strchr(letters, c) : NULL;
	size_t digits = c == 'x' ? 2 : is_bytes ? 0 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
	size_t octal = octal_digits(reader->text + reader->at), start = reader->at;
	unsigned code;

	if (!digits && !octal) {
		reader->at += c != '\0';
		if (simple)
			text_add_char(out, values[simple - letters]);
		else if (c == 'N' && !is_bytes)
			return reader_wrong_at(reader, start,
					       "names of characters are not known here");
		else if (c != '\n') /* a line that goes on; any other escape stays as it is */
			text_addf(out, "\\%.*s", c != '\0', &c);
		return true;
	}
	reader->at += digits ? 1 : 0;
	if (!read_code(reader, digits ? 16 : 8, digits ? digits : octal, &code))
		return false;
	if (is_bytes) {
		text_add_char(out, (char)code);
		return true;
	}
	if (!join_surrogates(reader, &code))
		return false;
	if (code == 0 || code > 0x10ffff)
		return reader_wrong_at(reader, start, "no character that may stand in a twin");
	text_add_utf8(out, code);
	return true;
}

static bool read_quoted(struct reader *reader, const struct prefix *prefix, struct text *out)
{
	const char quote = reader_peek(reader), triple[] = { quote, quote, quote, '\0' };
	bool is_triple = text_has_prefix(reader->text + reader->at, triple);
	size_t start = reader->at;

	reader->at += is_triple ? 3 : 1;
	for (;;) {
		char c = reader_peek(reader);

		if (!c || (c == '\n' && !is_triple))
			return reader_wrong_at(reader, start, "a string that does not end");
		if (is_triple ? text_has_prefix(reader->text + reader->at, triple) : c == quote)
			break;
		reader->at++;
		if (prefix->is_bytes && (c & 0x80))
			return reader_wrong_at(reader, reader->at - 1,
					       "bytes are written in ASCII");
		if (c != '\\') {
			text_add_char(out, c);
		} else if (!prefix->is_raw) {
			if (!read_escape(reader, prefix->is_bytes, out))
				return false;
		} else {
			text_add_char(out, c);
			if (reader_peek(reader))
				text_add_char(out, reader->text[reader->at++]);
		}
	}
	reader->at += is_triple ? 3 : 1;
	return true;
}

/* r, u, b, rb and br. */
bool reader_read_prefix(struct reader *reader, struct prefix *ret_prefix)
{
	const char *word = reader->text + reader->at;
	size_t length = strspn(word, "rRuUbBfF");
	bool is_raw = strcspn(word, "rR") < length, is_bytes = strcspn(word, "bB") < length;

	if (strcspn(word, "fF") < length || (length == 2 && !(is_raw && is_bytes)))
		return reader_wrong(reader, "this kind of string is not taken");
	*ret_prefix = (struct prefix){ length, is_raw, is_bytes };
	reader->at += length;
	return true;
}

bool reader_begins_string(const struct reader *reader)
{
	const char *word = reader->text + reader->at;
	size_t prefix = strspn(word, "rRuUbBfF");

	return prefix <= 2 && word[prefix] && strchr("'\"", word[prefix]);
}

void reader_add_quoted(struct reader *reader, const char *value)
{
	CLEANUP(freep) char *literal = json_quote(value);

	reader->out->failed = reader->out->failed || !literal;
	text_add(reader->out, literal ? literal : "");
}

static void add_string(struct reader *reader, const struct text *value)
{
	if (value->failed)
		reader->out->failed = true;
	else if (reader->is_printed)
		twin_print_string(reader->out, value);
	else
		reader_add_quoted(reader, value->data ? value->data : "");
}

static void add_bytes(struct reader *reader, const struct text *value)
{
	CLEANUP(text_done) struct text printed = TEXT_MAX(JSON_SIZE_MAX);

	twin_print_bytes(reader->is_printed ? reader->out : &printed, value);
	reader->out->failed = reader->out->failed || value->failed || printed.failed;
	reader->has_printed = true;
	if (!reader->is_printed && !reader->out->failed)
		reader_add_quoted(reader, printed.data);
}

bool reader_read_string(struct reader *reader)
{
	CLEANUP(text_done) struct text value = TEXT_MAX(JSON_SIZE_MAX);
	size_t start = reader->at;
	struct prefix first, prefix;

	if (!reader_read_prefix(reader, &first) || !read_quoted(reader, &first, &value))
		return false;
	for (reader_skip_space(reader); reader_begins_string(reader); reader_skip_space(reader)) {
		if (!reader_read_prefix(reader, &prefix) || !read_quoted(reader, &prefix, &value))
			return false;
		if (prefix.is_bytes != first.is_bytes)
			return reader_wrong_at(reader, start, "bytes beside a string");
	}
	if (first.is_bytes)
		add_bytes(reader, &value);
	else
		add_string(reader, &value);
	return true;
}

/* -- Numbers ------------------------------------------------------------------------------------------- */

/* Digits of the kind with single underscores between them, copied without. */
static bool read_digits(struct reader *reader, const char *kind, char digits[DIGITS_MAX])
{
	size_t count = 0;

	while (reader_peek(reader) && strchr(kind, reader_peek(reader))) {
		if (count + 1 == DIGITS_MAX)
			return reader_wrong(reader, "a number that is too long");
		digits[count++] = reader->text[reader->at++];
		if (reader_peek(reader) == '_') {
			reader->at++;
			if (!reader_peek(reader) || !strchr(kind, reader_peek(reader)))
				return reader_wrong(reader, "an underscore belongs between digits");
		}
	}
	digits[count] = '\0';
	return true;
}

static BIGNUM *parse_digits(const char *digits, unsigned base)
{
	BIGNUM *number = BN_new();

	for (; number && *digits; digits++) {
		unsigned digit = isdigit((unsigned char)*digits)
					 ? (unsigned)(*digits - '0')
					 : (unsigned)((*digits | 32) - 'a' + 10);

		if (!BN_mul_word(number, base) || !BN_add_word(number, digit)) {
			BN_free(number);
			return NULL;
		}
	}
	return number;
}

/* 0x, 0o and 0b: JSON knows only decimal. */
static bool read_based(struct reader *reader, const char *kind, unsigned base)
{
	char digits[DIGITS_MAX];
	BIGNUM *number = NULL;
	char *decimal = NULL;

	reader->at += 2;
	reader->at += reader_peek(reader) == '_';
	if (!read_digits(reader, kind, digits))
		return false;
	if (!digits[0])
		return reader_wrong(reader, "a number without digits");
	number = parse_digits(digits, base);
	decimal = number ? BN_bn2dec(number) : NULL;
	reader->out->failed = reader->out->failed || !decimal;
	text_add(reader->out, decimal ? decimal : "");
	OPENSSL_free(decimal);
	BN_free(number);
	return true;
}

/* ".5", "1." and "1_0e+3" are "0.5", "1.0" and "10e+3". */
static bool read_decimal(struct reader *reader)
{
	char whole[DIGITS_MAX], part[DIGITS_MAX];
	size_t start = reader->at;
	bool is_float = false, is_zero;

	if (!read_digits(reader, "0123456789", whole))
		return false;
	is_zero = strspn(whole, "0") == strlen(whole);
	text_add(reader->out, is_zero ? "0" : whole);
	if (reader_take(reader, '.')) {
		if (!read_digits(reader, "0123456789", part))
			return false;
		text_addf(reader->out, ".%s", part[0] ? part : "0");
		is_float = true;
		if (!whole[0] && !part[0])
			return reader_wrong_at(reader, start, "a number without digits");
	}
	if (tolower((unsigned char)reader_peek(reader)) == 'e') {
		text_add_char(reader->out, 'e');
		reader->at++;
		if (strchr("+-", reader_peek(reader)) && reader_peek(reader))
			text_add_char(reader->out, reader->text[reader->at++]);
		if (!read_digits(reader, "0123456789", part))
			return false;
		if (!part[0])
			return reader_wrong(reader, "an exponent without digits");
		text_add(reader->out, part);
		is_float = true;
	}
	if (whole[0] == '0' && whole[1] && (is_float || !is_zero))
		return reader_wrong_at(reader, start, "a number must not begin with 0");
	return true;
}

void reader_cut(struct reader *reader, size_t length)
{
	if (reader->out->failed)
		return;
	reader->out->length = length;
	reader->out->data[length] = 0;
}

/* From `begin` on the output holds the number as JSON has it. */
static void print_number(struct reader *reader, size_t begin)
{
	CLEANUP(freep)
	char *written = reader->out->failed ? NULL : strdup(reader->out->data + begin);

	reader->out->failed = reader->out->failed || !written;
	if (reader->out->failed)
		return;
	reader_cut(reader, begin);
	if (strpbrk(written, ".e"))
		twin_print_float(reader->out, written);
	else
		text_add(reader->out, strspn(written, "-0") == strlen(written) ? "0" : written);
}

bool reader_read_number(struct reader *reader)
{
	static const struct {
		char letter;
		const char *kind;
		unsigned base;
	} bases[] = { { 'x', "0123456789abcdefABCDEF", 16 },
		      { 'o', "01234567", 8 },
		      { 'b', "01", 2 } };
	size_t start = reader->at, begin = reader->out->length, row = 0;
	char letter;
	bool is_read;

	if (reader_take(reader, '-'))
		text_add_char(reader->out, '-');
	else
		reader_take(reader, '+');
	letter = (char)(reader_peek(reader) == '0'
				? tolower((unsigned char)reader->text[reader->at + 1])
				: 0);
	while (row < ARRAY_SIZE(bases) && bases[row].letter != letter)
		row++;
	is_read = row < ARRAY_SIZE(bases) ? read_based(reader, bases[row].kind, bases[row].base)
		  : isdigit((unsigned char)reader_peek(reader)) || reader_peek(reader) == '.'
			  ? read_decimal(reader)
			  : reader_wrong(reader, "a sign without a number");
	if (is_read && reader_is_word(reader_peek(reader)))
		return reader_wrong_at(reader, start, "no number that a twin can hold");
	if (is_read && reader->is_printed)
		print_number(reader, begin);
	return is_read;
}
