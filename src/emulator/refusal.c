#include "refusal.h"

#include <stdarg.h>
#include <stdio.h>

bool refuse(struct refusal *refusal, unsigned number, const char *format, ...)
{
	va_list arguments;

	refusal->number = number;
	va_start(arguments, format);
	(void)vsnprintf(refusal->message, sizeof(refusal->message), format, arguments);
	va_end(arguments);
	return false;
}

bool refuse_as(struct refusal *refusal, unsigned number, const char *word, const char *format, ...)
{
	va_list arguments;

	refusal->number = number;
	refusal->word = word;
	va_start(arguments, format);
	(void)vsnprintf(refusal->message, sizeof(refusal->message), format, arguments);
	va_end(arguments);
	return false;
}

bool refuse_internal(struct refusal *refusal, const struct muster_error *err)
{
	return refuse(refusal, SERVER_FAILED, "The emulator failed: %.250s", err->message);
}
