#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "muster/error.h"

static void set_cause(struct muster_error *err, enum muster_cause cause)
{
	const struct muster_cause_info *info = muster_cause_find(cause);

	*err = (struct muster_error){
		.code = info ? info->code : MUSTER_E_INTERNAL,
		.cause = info ? cause : CAUSE_INTERNAL,
	};
}

bool muster_fail(struct muster_error *err, enum muster_cause cause, const char *format, ...)
{
	va_list args;

	set_cause(err, cause);
	va_start(args, format);
	vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);
	return false;
}

bool muster_fail_native(struct muster_error *err, enum muster_cause cause,
			enum muster_origin origin, unsigned long native, const char *format, ...)
{
	va_list args;

	set_cause(err, cause);
	err->origin = origin;
	err->native = native;
	va_start(args, format);
	vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);
	return false;
}

bool muster_fail_errno(struct muster_error *err, enum muster_cause cause, int errnum,
		       const char *format, ...)
{
	char words[128];
	va_list args;
	size_t used;

	set_cause(err, cause);
	err->origin = ORIGIN_ERRNO;
	err->native = (unsigned long)errnum;
	va_start(args, format);
	vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);
	used = strlen(err->message);
	snprintf(err->message + used, sizeof(err->message) - used, ": %s",
		 strerror_r(errnum, words, sizeof(words)));
	return false;
}

bool muster_fail_memory(struct muster_error *err)
{
	return muster_fail(err, CAUSE_MEMORY, "out of memory");
}

bool muster_error_prefix(struct muster_error *err, const char *format, ...)
{
	char joined[2 * MUSTER_ERROR_MESSAGE_SIZE];
	va_list args;
	int front;
	size_t length;

	va_start(args, format);
	front = vsnprintf(joined, MUSTER_ERROR_MESSAGE_SIZE, format, args);
	va_end(args);
	if (front < 0)
		return false;
	length = strlen(joined);
	snprintf(joined + length, sizeof(joined) - length, ": %s", err->message);
	length = strlen(joined);
	if (length < sizeof(err->message)) {
		memcpy(err->message, joined, length + 1);
	} else {
		/* The cause stands at the end and is what the reader needs. */
		const char *tail = joined + length - (sizeof(err->message) - 4);

		memcpy(err->message, "...", 3);
		memcpy(err->message + 3, tail, sizeof(err->message) - 3);
	}
	return false;
}
