#include <string.h>

#include "muster/json.h"

#include "twin-reader.h"

static bool read_value(struct reader *reader);

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

	while (reader_is_word(word[length]))
		length++;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strlen(words[i].word) != length || strncmp(word, words[i].word, length) != 0)
			continue;
		if (!words[i].json)
			return reader_wrong(reader, words[i].problem);
		text_add(reader->out, reader->is_printed ? words[i].word : words[i].json);
		reader->at += length;
		return true;
	}
	return reader_wrong(reader, length > 0 ? "a word without quotes" : "a value is needed");
}

static bool begins_number(const struct reader *reader)
{
	return reader_peek(reader) && strchr("+-.0123456789", reader_peek(reader));
}

/* Strings, and whole numbers as their text. */
static bool read_key(struct reader *reader)
{
	size_t start = reader->at, length = reader->out->length;
	const char *quote = reader->is_printed ? "" : "\"";
	struct prefix prefix = { 0 };

	if (reader_begins_string(reader)) {
		if (!reader_read_prefix(reader, &prefix))
			return false;
		reader->at = start;
		return prefix.is_bytes ? reader_wrong(reader, "a key must be a string")
				       : reader_read_string(reader);
	}
	if (!begins_number(reader))
		return reader_wrong(reader, reader_peek(reader) ? "a key must be a string"
								: "the text ends too early");
	text_add(reader->out, quote);
	if (!reader_read_number(reader))
		return false;
	if (!reader->out->failed &&
	    strcspn(reader->out->data + length, ".e") < reader->out->length - length)
		return reader_wrong_at(reader, start, "a key must be a string or a whole number");
	text_add(reader->out, quote);
	return true;
}

/* Whether the output from `begin` on was there before in this collection. What is not printed may be there twice. */
static bool is_repeated(struct reader *reader, size_t begin)
{
	CLEANUP(freep) char *line = NULL;

	if (!reader->is_printed || reader->out->failed)
		return false;
	line = text_format("\n%s\n", reader->out->data + begin);
	reader->out->failed = !line;
	if (line && strstr(reader->keys->data, line))
		return true;
	text_add(reader->keys, line ? line + 1 : "");
	reader->out->failed = reader->out->failed || reader->keys->failed;
	return false;
}

static bool read_pair(struct reader *reader)
{
	size_t start = reader->at, begin = reader->out->length;

	if (!read_key(reader))
		return false;
	if (is_repeated(reader, begin))
		return reader_wrong_at(reader, start, "a key that was there before");
	reader_skip_space(reader);
	if (!reader_take(reader, ':'))
		return reader_wrong(reader, "':' is needed");
	text_add(reader->out, reader->is_printed ? ": " : ":");
	return read_value(reader);
}

static bool read_member(struct reader *reader)
{
	size_t begin = reader->out->length;

	if (!read_value(reader))
		return false;
	/* With the comma in front. */
	if (is_repeated(reader, begin))
		reader_cut(reader, begin - strlen(", "));
	return true;
}

static bool read_items(struct reader *reader, char end, bool (*read_item)(struct reader *reader),
		       size_t *ret_count)
{
	CLEANUP(text_done) struct text keys = TEXT_MAX(JSON_SIZE_MAX);
	struct text *outer_keys = reader->keys;
	size_t count = 0;

	if (++reader->depth > JSON_DEPTH_MAX)
		return reader_wrong(reader, "nested too deeply");
	text_add(&keys, "\n");
	if (keys.failed)
		return reader_wrong(reader, "there is no memory for its keys");
	reader->keys = &keys;
	text_add_char(reader->out, reader->text[reader->at++]);
	for (;; count++) {
		reader_skip_space(reader);
		if (reader_peek(reader) == end)
			break;
		text_add(reader->out, count == 0 ? "" : reader->is_printed ? ", " : ",");
		if (!read_item(reader))
			return false;
		reader_skip_space(reader);
		if (!reader_take(reader, ',') && reader_peek(reader) != end)
			return reader_wrong(reader,
					    reader_peek(reader)
						    ? "',' or the end of the collection is needed"
						    : "the text ends too early");
	}
	text_add(reader->out, end == ')' && count == 1 ? "," : "");
	text_add_char(reader->out, end);
	reader->at++;
	reader->depth--;
	reader->keys = outer_keys;
	*ret_count = count;
	return true;
}

/* What JSON has not: as one string. */
static bool read_printed(struct reader *reader, char end, bool (*read_item)(struct reader *reader))
{
	CLEANUP(text_done) struct text printed = TEXT_MAX(JSON_SIZE_MAX);
	struct text *out = reader->out;
	bool is_outermost = !reader->is_printed, is_read;
	size_t ignored;

	reader->has_printed = reader->is_printed = true;
	reader->out = is_outermost ? &printed : out;
	is_read = read_items(reader, end, read_item, &ignored);
	reader->out = out;
	reader->is_printed = !is_outermost;
	if (!is_read || !is_outermost)
		return is_read;
	out->failed = out->failed || printed.failed;
	if (!out->failed)
		reader_add_quoted(reader, printed.data);
	return true;
}

static size_t skip_literal(const char *text, size_t at)
{
	const char quote = text[at], triple[] = { quote, quote, quote, '\0' };
	size_t length = text_has_prefix(text + at, triple) ? 3 : 1;

	for (at += length; text[at]; at++) {
		if (text[at] == '\\' && text[at + 1])
			at++;
		else if (strncmp(text + at, triple, length) == 0)
			return at + length;
	}
	return at;
}

/* What tells the collections of one bracket apart: the first ',' or ':' in the one that begins here, or its end. 0: it has
 * none. *ret_is_empty: nothing stands before it. */
static char first_mark(const struct reader *reader, bool *ret_is_empty)
{
	const char *text = reader->text;
	size_t depth = 0;

	*ret_is_empty = true;
	for (size_t at = reader->at + 1; text[at];) {
		if (strchr("'\"", text[at])) {
			at = skip_literal(text, at);
			*ret_is_empty = false;
			continue;
		}
		if (text[at] == '#') {
			at += strcspn(text + at, "\n");
			continue;
		}
		if (depth == 0 && strchr(",:)]}", text[at]))
			return text[at];
		depth += strchr("([{", text[at]) != NULL;
		depth -= strchr(")]}", text[at]) != NULL;
		*ret_is_empty &= strchr(" \t\r\n\f", text[at]) != NULL;
		at++;
	}
	return 0;
}

/* One value may stand in parentheses; with a comma, or empty, they are a tuple. */
static bool read_parentheses(struct reader *reader)
{
	bool is_empty, is_read;

	if (first_mark(reader, &is_empty) == ',' || is_empty)
		return read_printed(reader, ')', read_value);
	if (++reader->depth > JSON_DEPTH_MAX)
		return reader_wrong(reader, "nested too deeply");
	reader->at++;
	is_read = read_value(reader);
	reader_skip_space(reader);
	if (is_read && !reader_take(reader, ')'))
		return reader_wrong(reader, reader_peek(reader) ? "')' is needed"
								: "the text ends too early");
	reader->depth--;
	return is_read;
}

static bool read_braces(struct reader *reader)
{
	size_t ignored;
	bool is_empty;

	return first_mark(reader, &is_empty) == ':' || is_empty
		       ? read_items(reader, '}', read_pair, &ignored)
		       : read_printed(reader, '}', read_member);
}

static bool read_value(struct reader *reader)
{
	size_t ignored;

	reader_skip_space(reader);
	if (reader_begins_string(reader))
		return reader_read_string(reader);
	if (begins_number(reader))
		return reader_read_number(reader);
	switch (reader_peek(reader)) {
	case '{':
		return read_braces(reader);
	case '[':
		return read_items(reader, ']', read_value, &ignored);
	case '(':
		return read_parentheses(reader);
	case '\0':
		return reader_wrong(reader, "the text ends too early");
	default:
		return read_word(reader);
	}
}

bool twin_python_read(const char *text, struct text *ret_json, struct twin_reading *ret_reading)
{
	struct reader reader = { .text = text, .out = ret_json };
	bool is_read = read_value(&reader);

	if (is_read) {
		reader_skip_space(&reader);
		is_read = !reader_peek(&reader) || reader_wrong(&reader, "text behind the end");
	}
	*ret_reading = (struct twin_reading){ reader.problem, reader.at, reader.has_printed };
	return is_read;
}
