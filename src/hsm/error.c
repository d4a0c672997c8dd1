#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

#include "hsm-internal.h"

#define ROW(name, cause, words)                   \
	{                                         \
		name, #name, CAUSE_##cause, words \
	}

/* clang-format off */
static const struct hsm_error_row rows[] = {
	/* The PIN. */
	ROW(CKR_PIN_INCORRECT, PIN_REFUSED, "the PIN is wrong"),
	ROW(CKR_PIN_INVALID, PIN_REFUSED, "the PIN has characters that the token does not take"),
	ROW(CKR_PIN_LEN_RANGE, PIN_REFUSED, "the PIN is too short or too long"),
	ROW(CKR_PIN_EXPIRED, PIN_LOCKED, "the PIN has expired"),
	ROW(CKR_PIN_LOCKED, PIN_LOCKED, "the PIN is locked"),
	ROW(CKR_USER_PIN_NOT_INITIALIZED, TOKEN_UNINITIALISED, "the token has no user PIN"),
	ROW(CKR_USER_NOT_LOGGED_IN, PIN_MISSING, "nobody is logged in"),
	ROW(CKR_USER_ANOTHER_ALREADY_LOGGED_IN, HSM_COMMAND_FAILED, "the security officer is logged in"),
	ROW(CKR_USER_TOO_MANY_TYPES, HSM_COMMAND_FAILED, "too many users are logged in"),

	/* The token went away. */
	ROW(CKR_DEVICE_REMOVED, TOKEN_GONE, "the token was removed"),
	ROW(CKR_TOKEN_NOT_PRESENT, TOKEN_GONE, "there is no token in the slot"),
	ROW(CKR_TOKEN_NOT_RECOGNIZED, TOKEN_GONE, "the token is not recognised"),
	ROW(CKR_SLOT_ID_INVALID, TOKEN_GONE, "the slot is no longer there"),
	ROW(CKR_SESSION_HANDLE_INVALID, TOKEN_GONE, "the session is no longer there"),
	ROW(CKR_SESSION_CLOSED, TOKEN_GONE, "the session was closed"),

	/* It cannot do this. */
	ROW(CKR_MECHANISM_INVALID, HSM_UNSUPPORTED, "the token does not have this mechanism"),
	ROW(CKR_MECHANISM_PARAM_INVALID, HSM_UNSUPPORTED, "the token does not take these parameters"),
	ROW(CKR_FUNCTION_NOT_SUPPORTED, HSM_UNSUPPORTED, "the module does not have this function"),
	ROW(CKR_DOMAIN_PARAMS_INVALID, HSM_UNSUPPORTED, "the token does not know the curve"),
	ROW(CKR_CURVE_NOT_SUPPORTED, HSM_UNSUPPORTED, "the token does not know the curve"),
	ROW(CKR_KEY_SIZE_RANGE, HSM_UNSUPPORTED, "the token does not take keys of this size"),
	ROW(CKR_ATTRIBUTE_VALUE_INVALID, HSM_UNSUPPORTED, "the token does not take an attribute's value"),
	ROW(CKR_ATTRIBUTE_TYPE_INVALID, HSM_UNSUPPORTED, "the token does not know an attribute"),
	ROW(CKR_ATTRIBUTE_READ_ONLY, HSM_UNSUPPORTED, "an attribute cannot be set"),
	ROW(CKR_TEMPLATE_INCOMPLETE, HSM_UNSUPPORTED, "the token wants more attributes"),
	ROW(CKR_TEMPLATE_INCONSISTENT, HSM_UNSUPPORTED, "the token does not take these attributes together"),
	ROW(CKR_TOKEN_WRITE_PROTECTED, HSM_UNSUPPORTED, "the token is write-protected"),
	ROW(CKR_SESSION_READ_ONLY, HSM_UNSUPPORTED, "the token can only be read"),
	ROW(CKR_KEY_FUNCTION_NOT_PERMITTED, HSM_UNSUPPORTED, "the key may not be used for this"),
	ROW(CKR_KEY_TYPE_INCONSISTENT, HSM_UNSUPPORTED, "the key is of another type"),
	ROW(CKR_ACTION_PROHIBITED, HSM_UNSUPPORTED, "the token's policy forbids it"),

	/* It did not work. */
	ROW(CKR_DEVICE_MEMORY, HSM_COMMAND_FAILED, "the token is full"),
	ROW(CKR_DEVICE_ERROR, HSM_COMMAND_FAILED, "the token reports a fault"),
	ROW(CKR_HOST_MEMORY, HSM_COMMAND_FAILED, "the module has no memory"),
	ROW(CKR_SESSION_COUNT, HSM_COMMAND_FAILED, "the token has too many sessions open"),
	ROW(CKR_SESSION_READ_ONLY_EXISTS, HSM_COMMAND_FAILED, "another session can only read"),
	ROW(CKR_OPERATION_ACTIVE, HSM_COMMAND_FAILED, "another operation is under way"),
	ROW(CKR_OPERATION_NOT_INITIALIZED, HSM_COMMAND_FAILED, "the operation was not begun"),
	ROW(CKR_FUNCTION_FAILED, HSM_COMMAND_FAILED, "the function failed"),
	ROW(CKR_FUNCTION_REJECTED, HSM_COMMAND_FAILED, "the request was rejected at the token"),
	ROW(CKR_FUNCTION_CANCELED, HSM_COMMAND_FAILED, "the function was cancelled"),
	ROW(CKR_GENERAL_ERROR, HSM_COMMAND_FAILED, "the module cannot say what is wrong"),
	ROW(CKR_ARGUMENTS_BAD, HSM_COMMAND_FAILED, "the module did not take the arguments"),
	ROW(CKR_OBJECT_HANDLE_INVALID, HSM_COMMAND_FAILED, "the object is no longer there"),
	ROW(CKR_KEY_HANDLE_INVALID, HSM_COMMAND_FAILED, "the key is no longer there"),
	ROW(CKR_DATA_LEN_RANGE, HSM_COMMAND_FAILED, "the data has a length that the key does not take"),
	ROW(CKR_DATA_INVALID, HSM_COMMAND_FAILED, "the token does not take the data"),
	ROW(CKR_RANDOM_NO_RNG, HSM_COMMAND_FAILED, "the token has no random generator"),
	ROW(CKR_CRYPTOKI_NOT_INITIALIZED, HSM_COMMAND_FAILED, "the module is not initialised"),
	ROW(CKR_NEED_TO_CREATE_THREADS, MODULE_UNUSABLE, "the module wants to make threads"),
	ROW(CKR_CANT_LOCK, MODULE_UNUSABLE, "the module cannot lock"),

	/* It cannot be true. */
	ROW(CKR_BUFFER_TOO_SMALL, HSM_ANSWER_INVALID, "the answer is larger than any valid one"),
};
/* clang-format on */

const struct hsm_error_row *hsm_error_find(CK_RV rv)
{
	static const struct hsm_error_row unknown = { 0, NULL, CAUSE_HSM_COMMAND_FAILED,
						      "a number that is not in the standard" };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].rv == rv)
			return &rows[i];
	return &unknown;
}

static bool fail_with_row(struct muster_error *err, CK_RV rv, const char *doing)
{
	const struct hsm_error_row *row = hsm_error_find(rv);

	if (!row->name)
		return muster_fail_native(err, row->cause, ORIGIN_PKCS11, rv, "%s: CKR 0x%lx, %s",
					  doing, rv, row->words);
	return muster_fail_native(err, row->cause, ORIGIN_PKCS11, rv, "%s: %s, %s", doing,
				  row->name, row->words);
}

bool hsm_fail(struct muster_error *err, CK_RV rv, const char *doing, ...)
{
	char text[512];
	va_list args;

	va_start(args, doing);
	vsnprintf(text, sizeof(text), doing, args);
	va_end(args);
	return fail_with_row(err, rv, text);
}

/* libp11 registers the module's numbers as an error library of this name. */
static bool is_module_error(unsigned long error)
{
	const char *library = ERR_lib_error_string(error);

	return library && strcmp(library, "PKCS#11 module") == 0;
}

/* The module's own word, else the first there is. A module that uses OpenSSL leaves errors of its own making beside it. */
static unsigned long take_error(void)
{
	unsigned long error, first = ERR_peek_error();

	while ((error = ERR_get_error()))
		if (is_module_error(error))
			first = error;
	return first;
}

bool hsm_fail_openssl(struct muster_error *err, enum muster_cause cause, const char *doing, ...)
{
	unsigned long error = take_error();
	const char *reason = ERR_reason_error_string(error);
	char text[512];
	va_list args;

	va_start(args, doing);
	vsnprintf(text, sizeof(text), doing, args);
	va_end(args);
	if (is_module_error(error))
		return fail_with_row(err, (CK_RV)ERR_GET_REASON(error), text);
	return muster_fail_native(err, cause, ORIGIN_OPENSSL, error, "%s: %s", text,
				  reason ? reason : "no reason given");
}
