/* What the two files that read Python literals share. Private to them. */
#pragma once

#include <string.h>

#include "twin-text.h"

struct reader {
	const char *text;
	size_t at;
	unsigned depth;
	struct text *out;
	struct text *keys;   /* of the innermost collection that is printed: with newlines around */
	const char *problem; /* what is wrong at `at`; NULL while all is well */
	bool is_printed;     /* `out` gets what Python prints, not JSON */
	bool has_printed;
};

/* -- Looking (twin-literal.c) ---------------------------------------------------------------------------- */

/* Both return false; the first problem stays. */
bool reader_wrong(struct reader *reader, const char *problem);
bool reader_wrong_at(struct reader *reader, size_t at, const char *problem);
bool reader_take(struct reader *reader, char c);
/* Comments too. */
void reader_skip_space(struct reader *reader);
bool reader_is_word(char c);
static inline char reader_peek(const struct reader *reader)
{
	return reader->text[reader->at];
}

/* -- Strings, bytes and numbers -------------------------------------------------------------------------- */

/* What stands in front of a quote. */
struct prefix {
	size_t length;
	bool is_raw, is_bytes;
};

bool reader_begins_string(const struct reader *reader);
bool reader_read_prefix(struct reader *reader, struct prefix *ret_prefix) MUST_CHECK;
/* Strings beside each other are one. */
bool reader_read_string(struct reader *reader) MUST_CHECK;
bool reader_read_number(struct reader *reader) MUST_CHECK;
/* The output ends there again. */
void reader_cut(struct reader *reader, size_t length);
/* `value` as a JSON string. */
void reader_add_quoted(struct reader *reader, const char *value);
