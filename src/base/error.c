#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "muster/error.h"
#include "muster/text.h"

static void set_cause(struct muster_error *err, enum muster_cause cause)
{
	const struct muster_cause_info *info = muster_cause_find(cause);

	err->code = info ? info->code : MUSTER_E_INTERNAL;
	err->cause = info ? cause : CAUSE_INTERNAL;
	err->origin = ORIGIN_NONE;
	err->native = 0;
}

/* Drops the beginning of a character whose rest was cut off. */
static void drop_half_character(char *text)
{
	size_t length = strlen(text), at = length;

	while (at > 0 && length - at < 3 && ((unsigned char)text[at - 1] & 0xc0) == 0x80)
		at--;
	if (at > 0 && (unsigned char)text[at - 1] >= 0xc0 &&
	    !text_is_utf8(text + at - 1, length - at + 1))
		text[at - 1] = 0;
}

/* The arguments may point into a message, also that of the error about to be filled. */
static void format_sentence(char out[MUSTER_ERROR_MESSAGE_SIZE], const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));
static void format_sentence(char out[MUSTER_ERROR_MESSAGE_SIZE], const char *format, va_list args)
{
	int length = vsnprintf(out, MUSTER_ERROR_MESSAGE_SIZE, format, args);

	if (length < 0)
		out[0] = 0;
	if (length >= MUSTER_ERROR_MESSAGE_SIZE)
		drop_half_character(out);
}

/* "front: cause". The cause stands at the end and is what the reader needs, so the front is cut. */
static void set_joined(struct muster_error *err, const char *front, const char *cause)
{
	char joined[2 * MUSTER_ERROR_MESSAGE_SIZE + 2];
	size_t length = (size_t)snprintf(joined, sizeof(joined), "%s: %s", front, cause);
	const char *tail;

	if (length < sizeof(err->message)) {
		memcpy(err->message, joined, length + 1);
		return;
	}
	tail = joined + length - (sizeof(err->message) - 4);
	while (((unsigned char)*tail & 0xc0) == 0x80)
		tail++;
	snprintf(err->message, sizeof(err->message), "...%s", tail);
}

bool muster_fail(struct muster_error *err, enum muster_cause cause, const char *format, ...)
{
	char sentence[MUSTER_ERROR_MESSAGE_SIZE];
	va_list args;

	va_start(args, format);
	format_sentence(sentence, format, args);
	va_end(args);
	set_cause(err, cause);
	memcpy(err->message, sentence, strlen(sentence) + 1);
	return false;
}

bool muster_fail_native(struct muster_error *err, enum muster_cause cause,
			enum muster_origin origin, unsigned long native, const char *format, ...)
{
	char sentence[MUSTER_ERROR_MESSAGE_SIZE];
	va_list args;

	va_start(args, format);
	format_sentence(sentence, format, args);
	va_end(args);
	set_cause(err, cause);
	err->origin = origin;
	err->native = native;
	memcpy(err->message, sentence, strlen(sentence) + 1);
	return false;
}

bool muster_fail_errno(struct muster_error *err, enum muster_cause cause, int errnum,
		       const char *format, ...)
{
	char sentence[MUSTER_ERROR_MESSAGE_SIZE], words[128];
	va_list args;

	va_start(args, format);
	format_sentence(sentence, format, args);
	va_end(args);
	set_cause(err, cause);
	err->origin = ORIGIN_ERRNO;
	err->native = (unsigned long)errnum;
	set_joined(err, sentence, strerror_r(errnum, words, sizeof(words)));
	return false;
}

bool muster_fail_memory(struct muster_error *err)
{
	return muster_fail(err, CAUSE_MEMORY, "out of memory");
}

bool muster_error_prefix(struct muster_error *err, const char *format, ...)
{
	char front[MUSTER_ERROR_MESSAGE_SIZE], cause[MUSTER_ERROR_MESSAGE_SIZE];
	va_list args;

	va_start(args, format);
	format_sentence(front, format, args);
	va_end(args);
	memcpy(cause, err->message, strlen(err->message) + 1);
	set_joined(err, front, cause);
	return false;
}
