#include <ctype.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/crypto.h>

#include "muster/json.h"

#include "twin-text.h"

/* Digits of one number, underscores included. */
enum { DIGITS_MAX = 1024 };

struct reader {
	const char *text;
	size_t at;
	unsigned depth;
	struct text *out;
	struct text *keys;   /* of the innermost dict: JSON strings with newlines around */
	const char *problem; /* what is wrong at `at`; NULL while all is well */
};

static bool read_value(struct reader *reader);

static bool wrong(struct reader *reader, const char *problem)
{
	if (!reader->problem)
		reader->problem = problem;
	return false;
}

static bool wrong_at(struct reader *reader, size_t at, const char *problem)
{
	if (!reader->problem)
		reader->at = at;
	return wrong(reader, problem);
}

static char peek(const struct reader *reader)
{
	return reader->text[reader->at];
}

static bool take(struct reader *reader, char c)
{
	if (peek(reader) != c)
		return false;
	reader->at++;
	return true;
}

static void skip_space(struct reader *reader)
{
	for (;;) {
		reader->at += strspn(reader->text + reader->at, " \t\r\n\f");
		if (peek(reader) != '#')
			return;
		reader->at += strcspn(reader->text + reader->at, "\n");
	}
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* -- Strings ------------------------------------------------------------------------------------------- */

/* Exactly that many digits of the base. */
static bool read_code(struct reader *reader, unsigned base, size_t digits, unsigned *ret_code)
{
	unsigned code = 0;

	for (size_t i = 0; i < digits; i++, reader->at++) {
		char c = peek(reader);
		unsigned digit = isdigit((unsigned char)c)    ? (unsigned)(c - '0')
				 : isxdigit((unsigned char)c) ? (unsigned)((c | 32) - 'a' + 10)
							      : base;

		if (digit >= base)
			return wrong(reader, "an escape needs more digits");
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
	if (*code > 0xdbff || !take(reader, '\\') || !take(reader, 'u') ||
	    !read_code(reader, 16, 4, &low) || low < 0xdc00 || low > 0xdfff)
		return wrong(reader, "half of a surrogate pair");
	*code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
	return true;
}

static size_t octal_digits(const char *text)
{
	size_t count = strspn(text, "01234567");

	return count < 3 ? count : 3;
}

/* `at` is behind the backslash. */
static bool read_escape(struct reader *reader, struct text *out)
{
	static const char letters[] = "\\'\"abfnrtv";
	static const char values[] = "\\'\"\a\b\f\n\r\t\v";
	char c = peek(reader);
	const char *simple = c ? strchr(letters, c) : NULL;
	size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
	size_t octal = octal_digits(reader->text + reader->at), start = reader->at;
	unsigned code;

	if (!digits && !octal) {
		reader->at += c != '\0';
		if (simple)
			text_add_char(out, values[simple - letters]);
		else if (c == 'N')
			return wrong_at(reader, start, "names of characters are not known here");
		else if (c != '\n') /* a line that goes on; any other escape stays as it is */
			text_addf(out, "\\%.*s", c != '\0', &c);
		return true;
	}
	reader->at += digits ? 1 : 0;
	if (!read_code(reader, digits ? 16 : 8, digits ? digits : octal, &code) ||
	    !join_surrogates(reader, &code))
		return false;
	if (code == 0 || code > 0x10ffff)
		return wrong_at(reader, start, "no character that may stand in a twin");
	text_add_utf8(out, code);
	return true;
}

static bool read_quoted(struct reader *reader, bool is_raw, struct text *out)
{
	const char quote = peek(reader), triple[] = { quote, quote, quote, '\0' };
	bool is_triple = text_has_prefix(reader->text + reader->at, triple);
	size_t start = reader->at;

	reader->at += is_triple ? 3 : 1;
	for (;;) {
		char c = peek(reader);

		if (!c || (c == '\n' && !is_triple))
			return wrong_at(reader, start, "a string that does not end");
		if (is_triple ? text_has_prefix(reader->text + reader->at, triple) : c == quote)
			break;
		reader->at++;
		if (c != '\\') {
			text_add_char(out, c);
		} else if (!is_raw) {
			if (!read_escape(reader, out))
				return false;
		} else {
			text_add_char(out, c);
			if (peek(reader))
				text_add_char(out, reader->text[reader->at++]);
		}
	}
	reader->at += is_triple ? 3 : 1;
	return true;
}

/* r and u in front of a quote; *ret_length 0: none. */
static bool read_prefix(struct reader *reader, size_t *ret_length, bool *ret_is_raw)
{
	const char *word = reader->text + reader->at;
	size_t length = strspn(word, "rRuUbBfF");

	*ret_length = 0;
	*ret_is_raw = false;
	if (!word[length] || !strchr("'\"", word[length]) || length > 2)
		return true;
	if (strcspn(word, "bB") < length)
		return wrong(reader, "bytes are not taken; write a string");
	if (strcspn(word, "fF") < length || length == 2)
		return wrong(reader, "this kind of string is not taken");
	*ret_is_raw = length == 1 && tolower((unsigned char)word[0]) == 'r';
	*ret_length = length;
	return true;
}

static bool begins_string(const struct reader *reader)
{
	const char *word = reader->text + reader->at;
	size_t prefix = strspn(word, "rRuUbBfF");

	return prefix <= 2 && word[prefix] && strchr("'\"", word[prefix]);
}

/* Strings beside each other are one. */
static bool read_string(struct reader *reader)
{
	CLEANUP(text_done) struct text value = TEXT_MAX(JSON_SIZE_MAX);
	CLEANUP(freep) char *literal = NULL;

	do {
		size_t length;
		bool is_raw;

		if (!read_prefix(reader, &length, &is_raw))
			return false;
		reader->at += length;
		if (!read_quoted(reader, is_raw, &value))
			return false;
		skip_space(reader);
	} while (begins_string(reader));
	literal = value.failed ? NULL : json_quote(value.data ? value.data : "");
	reader->out->failed = reader->out->failed || !literal;
	text_add(reader->out, literal ? literal : "");
	return true;
}

/* -- Numbers ------------------------------------------------------------------------------------------- */

/* Digits of the kind with single underscores between them, copied without. */
static bool read_digits(struct reader *reader, const char *kind, char digits[DIGITS_MAX])
{
	size_t count = 0;

	while (peek(reader) && strchr(kind, peek(reader))) {
		if (count + 1 == DIGITS_MAX)
			return wrong(reader, "a number that is too long");
		digits[count++] = reader->text[reader->at++];
		if (peek(reader) == '_') {
			reader->at++;
			if (!peek(reader) || !strchr(kind, peek(reader)))
				return wrong(reader, "an underscore belongs between digits");
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
	reader->at += peek(reader) == '_';
	if (!read_digits(reader, kind, digits))
		return false;
	if (!digits[0])
		return wrong(reader, "a number without digits");
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
	bool is_float = false;

	if (!read_digits(reader, "0123456789", whole))
		return false;
	text_add(reader->out, whole[0] ? whole : "0");
	if (take(reader, '.')) {
		if (!read_digits(reader, "0123456789", part))
			return false;
		text_addf(reader->out, ".%s", part[0] ? part : "0");
		is_float = true;
		if (!whole[0] && !part[0])
			return wrong_at(reader, start, "a number without digits");
	}
	if (tolower((unsigned char)peek(reader)) == 'e') {
		text_add_char(reader->out, 'e');
		reader->at++;
		if (strchr("+-", peek(reader)) && peek(reader))
			text_add_char(reader->out, reader->text[reader->at++]);
		if (!read_digits(reader, "0123456789", part))
			return false;
		if (!part[0])
			return wrong(reader, "an exponent without digits");
		text_add(reader->out, part);
		is_float = true;
	}
	if (whole[0] == '0' && whole[1] && (is_float || strspn(whole, "0") < strlen(whole)))
		return wrong_at(reader, start, "a number must not begin with 0");
	return true;
}

static bool read_number(struct reader *reader)
{
	static const struct {
		char letter;
		const char *kind;
		unsigned base;
	} bases[] = { { 'x', "0123456789abcdefABCDEF", 16 },
		      { 'o', "01234567", 8 },
		      { 'b', "01", 2 } };
	size_t start = reader->at, row = 0;
	char letter;
	bool is_read;

	if (take(reader, '-'))
		text_add_char(reader->out, '-');
	else
		take(reader, '+');
	letter = (char)(peek(reader) == '0' ? tolower((unsigned char)reader->text[reader->at + 1])
					    : 0);
	while (row < ARRAY_SIZE(bases) && bases[row].letter != letter)
		row++;
	is_read = row < ARRAY_SIZE(bases) ? read_based(reader, bases[row].kind, bases[row].base)
		  : isdigit((unsigned char)peek(reader)) || peek(reader) == '.'
			  ? read_decimal(reader)
			  : wrong(reader, "a sign without a number");
	if (is_read && is_word(peek(reader)))
		return wrong_at(reader, start, "no number that a twin can hold");
	return is_read;
}

/* -- The rest ------------------------------------------------------------------------------------------ */

static bool read_word(struct reader *reader)
{
	static const struct {
		const char *word, *json, *problem;
	} words[] = {
		{ "True", "true", NULL },
		{ "False", "false", NULL },
		{ "None", "null", NULL },
		{ "true", NULL, "beside single quotes it is 'True'" },
		{ "false", NULL, "beside single quotes it is 'False'" },
		{ "null", NULL, "beside single quotes it is 'None'" },
	};
	const char *word = reader->text + reader->at;
	size_t length = 0;

	while (is_word(word[length]))
		length++;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strlen(words[i].word) != length || strncmp(word, words[i].word, length) != 0)
			continue;
		if (!words[i].json)
			return wrong(reader, words[i].problem);
		text_add(reader->out, words[i].json);
		reader->at += length;
		return true;
	}
	return wrong(reader, length > 0 ? "a word without quotes" : "a value is needed");
}

static bool begins_number(const struct reader *reader)
{
	return peek(reader) && strchr("+-.0123456789", peek(reader));
}

/* Strings, and whole numbers as their text. */
static bool read_key(struct reader *reader)
{
	size_t start = reader->at, length;

	if (begins_string(reader))
		return read_string(reader);
	if (!begins_number(reader))
		return wrong(reader,
			     peek(reader) ? "a key must be a string" : "the text ends too early");
	text_add_char(reader->out, '"');
	length = reader->out->length;
	if (!read_number(reader))
		return false;
	if (!reader->out->failed &&
	    strcspn(reader->out->data + length, ".e") < reader->out->length - length)
		return wrong_at(reader, start, "a key must be a string or a whole number");
	text_add_char(reader->out, '"');
	return true;
}

/* The last key, which begins at this offset of the output. */
static bool note_key(struct reader *reader, size_t begin)
{
	CLEANUP(freep)
	char *line = reader->out->failed ? NULL : text_format("\n%s\n", reader->out->data + begin);

	reader->out->failed = reader->out->failed || !line;
	if (line && strstr(reader->keys->data, line))
		return false;
	text_add(reader->keys, line ? line + 1 : "");
	reader->out->failed = reader->out->failed || reader->keys->failed;
	return true;
}

static bool read_pair(struct reader *reader)
{
	size_t start = reader->at, begin = reader->out->length;

	if (!read_key(reader))
		return false;
	if (!note_key(reader, begin))
		return wrong_at(reader, start, "a key that was there before");
	skip_space(reader);
	if (strchr(",}", peek(reader)) && peek(reader))
		return wrong(reader, "sets are not taken; a key needs ':' and a value");
	if (!take(reader, ':'))
		return wrong(reader, "':' is needed");
	text_add_char(reader->out, ':');
	return read_value(reader);
}

static bool read_items(struct reader *reader, char end, bool (*read_item)(struct reader *reader))
{
	CLEANUP(text_done) struct text keys = TEXT_MAX(JSON_SIZE_MAX);
	struct text *outer_keys = reader->keys;
	bool is_first = true;

	if (++reader->depth > JSON_DEPTH_MAX)
		return wrong(reader, "nested too deeply");
	text_add(&keys, "\n");
	reader->keys = &keys;
	text_add_char(reader->out, reader->text[reader->at++]);
	for (;; is_first = false) {
		skip_space(reader);
		if (peek(reader) == end)
			break;
		text_add(reader->out, is_first ? "" : ",");
		if (!read_item(reader))
			return false;
		skip_space(reader);
		if (!take(reader, ',') && peek(reader) != end)
			return wrong(reader, peek(reader)
						     ? "',' or the end of the collection is needed"
						     : "the text ends too early");
	}
	text_add_char(reader->out, end);
	reader->at++;
	reader->depth--;
	reader->keys = outer_keys;
	return true;
}

static bool read_value(struct reader *reader)
{
	skip_space(reader);
	if (begins_string(reader))
		return read_string(reader);
	if (begins_number(reader))
		return read_number(reader);
	switch (peek(reader)) {
	case '{':
		return read_items(reader, '}', read_pair);
	case '[':
		return read_items(reader, ']', read_value);
	case '(':
		return wrong(reader, "tuples are not taken; write a list");
	case '\0':
		return wrong(reader, "the text ends too early");
	default:
		return read_word(reader);
	}
}

bool twin_python_read(const char *text, struct text *ret_json, const char **ret_problem,
		      size_t *ret_offset)
{
	struct reader reader = { .text = text, .out = ret_json };

	if (read_value(&reader)) {
		skip_space(&reader);
		if (!peek(&reader))
			return true;
		wrong(&reader, "text behind the end");
	}
	*ret_problem = reader.problem;
	*ret_offset = reader.at;
	return false;
}
