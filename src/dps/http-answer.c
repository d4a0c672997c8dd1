#include <ctype.h>
#include <string.h>

#include "muster/clock.h"

#include "http-internal.h"

#define DIGITS_MAX 12 /* of Retry-After seconds; more is "very long" */

/* -- Values -------------------------------------------------------------------------------------------- */

int64_t http_retry_after_parse(const char *value, int64_t now_wall_ms)
{
	size_t digits = value ? strspn(value, "0123456789") : 0;
	int64_t seconds = 0, date_ms;

	if (!value)
		return -1;
	if (digits > 0 && value[digits] == 0) {
		if (digits > DIGITS_MAX)
			return INT64_MAX;
		for (size_t i = 0; i < digits; i++)
			seconds = seconds * 10 + (value[i] - '0');
		return seconds * 1000;
	}
	if (!http_date_parse(value, &date_ms))
		return -1;
	return date_ms > now_wall_ms ? date_ms - now_wall_ms : 0;
}

void http_answer_done(struct http_answer *answer)
{
	text_done(&answer->body);
	text_done(&answer->continuation);
	*answer = (struct http_answer){ 0 };
}

/* -- Header lines -------------------------------------------------------------------------------------- */

/* What does not fit is dropped: half an etag is none. */
static void keep(char *out, size_t size, const char *value)
{
	size_t length = strlen(value);

	if (length < size)
		memcpy(out, value, length + 1);
}

static void keep_etag(struct http_answer *answer, const char *value)
{
	keep(answer->etag, sizeof(answer->etag), value);
}

static void keep_error_code(struct http_answer *answer, const char *value)
{
	keep(answer->error_code, sizeof(answer->error_code), value);
}

static void keep_location(struct http_answer *answer, const char *value)
{
	keep(answer->location, sizeof(answer->location), value);
}

static void keep_continuation(struct http_answer *answer, const char *value)
{
	text_done(&answer->continuation);
	text_add(&answer->continuation, value);
}

static void keep_date(struct http_answer *answer, const char *value)
{
	if (!http_date_parse(value, &answer->date_ms))
		answer->date_ms = -1;
}

/* A date form is measured against the server's own clock when it says its time; until then kept as it came. */
static void keep_retry_after(struct http_answer *answer, const char *value)
{
	keep(answer->retry_after, sizeof(answer->retry_after), value);
}

static const struct {
	const char *name;
	void (*keep)(struct http_answer *answer, const char *value);
} headers[] = {
	{ "date", keep_date },
	{ "etag", keep_etag },
	{ "location", keep_location },
	{ "retry-after", keep_retry_after },
	{ "x-ms-continuation", keep_continuation },
	{ "x-ms-error-code", keep_error_code },
};

/* A status line begins the headers of another answer (after a 100): what came before does not count. */
static void forget_headers(struct http_answer *answer)
{
	answer->etag[0] = answer->error_code[0] = answer->location[0] = answer->retry_after[0] = 0;
	answer->date_ms = -1;
	text_done(&answer->continuation);
}

void http_answer_header(struct http_answer *answer, const char *line, size_t length)
{
	char copy[HTTP_HEADERS_MAX + 1]; /* no line is longer: all of them together are not */
	char *value;

	while (length > 0 && isspace((unsigned char)line[length - 1]))
		length--;
	if (length == 0 || length >= sizeof(copy) || memchr(line, 0, length))
		return;
	memcpy(copy, line, length);
	copy[length] = 0;
	if (text_has_prefix(copy, "HTTP/")) {
		forget_headers(answer);
		return;
	}
	value = strchr(copy, ':');
	if (!value)
		return;
	*value++ = 0;
	value += strspn(value, " \t");
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++)
		if (text_equal_folded(copy, headers[i].name))
			headers[i].keep(answer, value);
}

void http_answer_complete(struct http_answer *answer, int64_t now_wall_ms)
{
	int64_t now = answer->date_ms >= 0 ? answer->date_ms : now_wall_ms;

	answer->retry_after_ms =
		http_retry_after_parse(answer->retry_after[0] ? answer->retry_after : NULL, now);
}
