#include "pki-internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

bool pki_fail(struct muster_error *err, enum muster_cause cause, const char *format, ...)
{
	unsigned long native = ERR_get_error();
	const char *reason = native ? ERR_reason_error_string(native) : NULL;
	char doing[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(doing, sizeof(doing), format, arguments);
	va_end(arguments);
	ERR_clear_error();
	if (!native)
		return muster_fail(err, cause, "%s", doing);
	return muster_fail_native(err, cause, ORIGIN_OPENSSL, native, "%s: %s", doing,
				  reason ? reason : "no words");
}

bool pki_take_text(BIO *bio, char **ret_text, struct muster_error *err)
{
	char *data = NULL;
	long size = BIO_get_mem_data(bio, &data);
	char *text = strndup(size > 0 ? data : "", (size_t)size);

	if (!text)
		return muster_fail_memory(err);
	*ret_text = text;
	return true;
}
