/* A counter of the station's TPM, which the journal's checkpoints raise: who puts an older journal back cannot put the
 * counter back. Private to the station. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "muster/error.h"
#include "tpm-place.h"

/* What the next raise will make of it; a counter that is not there yet is made, so that this is known. Talks to the TPM,
 * up to 30 s for each step, as the next does. */
bool counter_next(const struct tpm_place *place, int64_t *ret_next, struct muster_error *err)
	MUST_CHECK;
/* Raises it to that value; CAUSE_TPM_NO_COUNTER when somebody else has raised it meanwhile. */
bool counter_raise_to(const struct tpm_place *place, int64_t value, struct muster_error *err)
	MUST_CHECK;
bool counter_read(const struct tpm_place *place, int64_t *ret_value, struct muster_error *err)
	MUST_CHECK;

/* The body of the entry that says what the counter is about to be, and what it says. */
cJSON *counter_entry(const struct tpm_place *place, int64_t value);
bool counter_of_entry(const cJSON *body, int64_t *ret_value);
