#include "muster/identity.h"

#include <string.h>

#include "muster/encoding.h"
#include "muster/text.h"

#include "identity-internal.h"

bool identity_is_alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool identity_in_registration_id(char c)
{
	return identity_is_alphanumeric(c) || (c && strchr("-._:", c));
}

bool identity_in_device_id(char c)
{
	return identity_is_alphanumeric(c) || (c && strchr("-:.+%_#*?!(),=@;$'", c));
}

bool identity_is_printable(char c)
{
	return c >= 0x20 && c <= 0x7e;
}

/* The length of the text when it is 1..max, and every character is allowed; else says what is wrong. */
static bool check_text(enum muster_cause cause, const char *what, const char *text, size_t max,
		       bool (*allowed)(char c), struct muster_error *err)
{
	size_t length = strnlen(text, 4096);

	if (length == 0)
		return muster_fail(err, cause, "%s is empty", what);
	if (length > max)
		return muster_fail(err, cause, "%s '%s' has more than %zu characters", what,
				   PRINTABLE(text), max);
	for (size_t i = 0; i < length; i++) {
		char c[2] = { text[i], 0 };

		if (!allowed(text[i]))
			return muster_fail(err, cause, "%s '%s' has a '%s' at place %zu", what,
					   PRINTABLE(text), PRINTABLE(c), i + 1);
	}
	return true;
}

bool identity_serial_check(const char *serial, struct muster_error *err)
{
	if (!check_text(CAUSE_SERIAL_INVALID, "serial", serial, SERIAL_MAX, identity_is_printable,
			err))
		return false;
	if (serial[0] == ' ' || serial[strlen(serial) - 1] == ' ')
		return muster_fail(err, CAUSE_SERIAL_INVALID,
				   "serial '%s' begins or ends with a space", PRINTABLE(serial));
	return true;
}

bool identity_registration_id_check(const char *id, size_t max, struct muster_error *err)
{
	char last;

	if (!check_text(CAUSE_REGISTRATION_ID_INVALID, "registration ID", id, max,
			identity_in_registration_id, err))
		return false;
	last = id[strlen(id) - 1];
	if (!identity_is_alphanumeric(last) && last != '-')
		return muster_fail(err, CAUSE_REGISTRATION_ID_INVALID,
				   "registration ID '%s' ends in '%c'", PRINTABLE(id), last);
	return true;
}

bool identity_registration_id_normalise(const char *id, size_t max,
					char ret_id[REGISTRATION_ID_MAX + 1],
					struct muster_error *err)
{
	if (!identity_registration_id_check(id, max, err))
		return false;
	memcpy(ret_id, id, strlen(id) + 1);
	text_fold(ret_id);
	return true;
}

bool identity_device_id_check(const char *id, struct muster_error *err)
{
	return check_text(CAUSE_DEVICE_ID_INVALID, "device ID", id, DEVICE_ID_MAX,
			  identity_in_device_id, err);
}

bool identity_ek_digest_id(const void *tpm2b, size_t size, char ret_id[EK_DIGEST_ID_SIZE],
			   struct muster_error *err)
{
	CLEANUP(freep) char *encoded = NULL;
	uint8_t digest[SHA256_SIZE];

	sha256(digest, tpm2b, size);
	encoded = base32_encode_lower(digest, sizeof(digest));
	if (!encoded)
		return muster_fail_memory(err);
	memcpy(ret_id, encoded, EK_DIGEST_ID_SIZE);
	return true;
}
