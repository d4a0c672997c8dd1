/* Growing byte and text buffers with a hard maximum, and the few text helpers that everybody needs. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/error.h"

/* Text or bytes under construction. Zero-initialise with the maximum: `struct text t = TEXT_MAX(4096);`
 * data is always NUL-terminated once anything was added; length does not count the NUL. */
struct text {
	char *data;
	size_t length;
	size_t capacity;
	size_t max; /* most bytes it may ever hold; 0 means 1 MiB */
	bool failed; /* no memory, or the maximum would have been passed; later additions do nothing */
};
#define TEXT_MAX(maximum)        \
	{                        \
		.max = (maximum) \
	}

void text_add(struct text *text, const char *addition);
void text_add_bytes(struct text *text, const void *data, size_t size);
/* Makes it that much longer, for the caller to write there; NULL when it cannot be. */
char *text_extend(struct text *text, size_t size) MUST_CHECK;
void text_addf(struct text *text, const char *format, ...) PRINTF_LIKE(2, 3);
void text_add_char(struct text *text, char c);
/* As "%lld" does. It ends where `out` does, so what it returns is not `out`. */
#define TEXT_DECIMAL_SIZE 24
const char *text_decimal(int64_t value, char out[TEXT_DECIMAL_SIZE]);
void text_add_decimal(struct text *text, int64_t value);
/* One character by its code point. */
void text_add_utf8(struct text *text, unsigned code);
/* Percent-encodes everything but RFC 3986 unreserved characters, upper-case hex. */
void text_add_url(struct text *text, const char *value);
/* False (and *err) when an addition failed. */
bool text_ok(const struct text *text, struct muster_error *err) MUST_CHECK;
/* Hands the buffer out (never NULL on success: an empty text gives ""), caller frees. */
char *text_take(struct text *text, struct muster_error *err) MUST_CHECK;
/* Its lines as one, "; " in between; never NULL, borrowed. */
const char *text_one_line(struct text *text);
/* Wipes and frees; for CLEANUP. */
void text_done(struct text *text);

/* Bytes with an owner. */
struct bytes {
	uint8_t *data;
	size_t size;
};
bool bytes_copy(struct bytes *bytes, const void *data, size_t size, struct muster_error *err)
	MUST_CHECK;
bool bytes_equal(const struct bytes *a, const struct bytes *b);
void bytes_done(struct bytes *bytes);

/* malloc + format; NULL when out of memory. */
char *text_format(const char *format, ...) PRINTF_LIKE(1, 2);
/* Copies `value` into out, control characters and non-UTF-8 escaped as \xNN, quotes untouched, at most
 * out_size - 1 bytes, "..." at the end when cut. Returns out: use it directly as a %s argument. */
const char *text_printable(char *out, size_t out_size, const char *value);
/* Whether a key in Base64 or the credential of a connection string stands in it, by its look: a file that was mistaken for
 * another gets into messages. Unpadded Base64 is not told from a word. */
bool text_may_be_secret(const char *value);
/* As text_printable(), but what may be a secret is described instead. */
const char *text_shown(char *out, size_t out_size, const char *value);
/* A compound literal of 160 bytes, for messages: PRINTABLE(serial). */
#define PRINTABLE(value) text_shown((char[160]){ 0 }, 160, (value))

bool text_has_prefix(const char *text, const char *prefix);
bool text_has_suffix(const char *text, const char *suffix); /* and more before it */
bool text_equal_folded(const char *a, const char *b);       /* ASCII case folded */
bool text_is_blank(const char *text);                       /* empty, or blanks alone */
void text_fold(char *text);                                 /* ASCII lower case in place */
bool text_is_utf8(const char *data, size_t length);
/* Of the byte order mark in front of UTF-8, as spreadsheets write it; 0: none. */
size_t text_mark_size(const char *data, size_t length);
/* Whole text must be a decimal number in [min, max]. */
bool text_to_int64(const char *text, int64_t min, int64_t max, int64_t *ret_value) MUST_CHECK;
/* Whole text must be a number; one that is too large is infinite. */
bool text_to_double(const char *text, double *ret_value) MUST_CHECK;

/* The candidate nearest to `word` when near enough for "did you mean", else NULL. */
const char *text_nearest(const char *word, const char *const *candidates, size_t count);
