/* A counter of the station's TPM, which the journal's checkpoints raise: who puts an older journal back cannot put the
 * counter back. Private to the station. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "muster/error.h"
#include "tpm-place.h"

#define COUNTER_INDEX_SIZE sizeof("0x01800100")

/* How the journal calls it. */
const char *counter_index(const struct tpm_place *place, char out[COUNTER_INDEX_SIZE]);

/* Talks to the TPM, up to 30 s for each step, as the next two do. */
bool counter_find(const struct tpm_place *place, bool *ret_found, int64_t *ret_value,
		  struct muster_error *err) MUST_CHECK;
/* One that is not there yet, and what it begins with. */
bool counter_make(const struct tpm_place *place, int64_t *ret_value, struct muster_error *err)
	MUST_CHECK;
/* Raises it to that value; CAUSE_TPM_NO_COUNTER when somebody else has raised it meanwhile. */
bool counter_raise_to(const struct tpm_place *place, int64_t value, struct muster_error *err)
	MUST_CHECK;
bool counter_read(const struct tpm_place *place, int64_t *ret_value, struct muster_error *err)
	MUST_CHECK;

/* The body of the entry that says what the counter is about to be, and what it says. */
cJSON *counter_entry(const struct tpm_place *place, int64_t value);
/* False: it says nothing of one. */
bool counter_of_entry(const cJSON *body, char ret_index[COUNTER_INDEX_SIZE], int64_t *ret_value);
