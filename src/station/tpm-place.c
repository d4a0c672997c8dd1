#include "tpm-place.h"

#include <stdio.h>
#include <string.h>

#include "muster/encoding.h"
#include "muster/text.h"

static bool fail(const char *text, const char *kind, struct muster_error *err)
{
	return muster_fail(err, CAUSE_USAGE, "'%s' is not of the form tpm:%s=0xNUMBER;tcti=TCTI",
			   PRINTABLE(text), kind);
}

/* 0x and eight digits. */
static bool take_number(const char *value, uint32_t *ret_number)
{
	CLEANUP(bytes_done) struct bytes bytes = { 0 };

	if (!text_has_prefix(value, "0x") || strlen(value) != 10 ||
	    !hex_decode(value + 2, 8, &bytes))
		return false;
	*ret_number = (uint32_t)bytes.data[0] << 24 | (uint32_t)bytes.data[1] << 16 |
		      (uint32_t)bytes.data[2] << 8 | bytes.data[3];
	return true;
}

static bool take_part(char *part, const char *kind, struct tpm_place *place)
{
	char *value = strchr(part, '=');

	if (!value)
		return false;
	*value++ = '\0';
	if (strcmp(part, kind) == 0)
		return place->handle == 0 && take_number(value, &place->handle);
	if (strcmp(part, "tcti") != 0 || place->tcti[0] || strlen(value) >= sizeof(place->tcti))
		return false;
	snprintf(place->tcti, sizeof(place->tcti), "%s", value);
	return true;
}

bool tpm_place_parse(const char *text, const char *kind, struct tpm_place *ret_place,
		     struct muster_error *err)
{
	CLEANUP(freep) char *copy = NULL;
	struct tpm_place place = { 0 };
	char *rest;

	if (!text_has_prefix(text, TPM_PLACE_SCHEME))
		return fail(text, kind, err);
	copy = strdup(text + strlen(TPM_PLACE_SCHEME));
	if (!copy)
		return muster_fail_memory(err);
	for (char *part = strtok_r(copy, ";", &rest); part; part = strtok_r(NULL, ";", &rest))
		if (!take_part(part, kind, &place))
			return fail(text, kind, err);
	if (!place.handle || !place.tcti[0])
		return fail(text, kind, err);
	*ret_place = place;
	return true;
}
