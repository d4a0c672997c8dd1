/* A thing in the station's TPM, by name: "tpm:index=0x01800100;tcti=device:/dev/tpmrm0". Private to the station. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "muster/error.h"

#define TPM_PLACE_SCHEME "tpm:"

struct tpm_place {
	uint32_t handle;
	char tcti[257];
};

/* `kind` is "handle" or "index": what the number is called. Both parts, once each, and nothing else; CAUSE_USAGE. */
bool tpm_place_parse(const char *text, const char *kind, struct tpm_place *ret_place,
		     struct muster_error *err) MUST_CHECK;
