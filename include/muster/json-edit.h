/* JSON as text in which members are replaced, added and removed while all others keep their bytes: what the service said and
 * nobody changed goes back as it came, unknown members and large numbers included. For text that json_parse() took. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/text.h"

/* A path is names joined by dots, "attestation.tpm.endorsementKey": plain names, of objects within objects. */

/* Where the value stands; false when there is none. */
bool json_text_find(const char *json, size_t length, const char *path, const char **ret_value,
		    size_t *ret_length) MUST_CHECK;
/* `value` is JSON. A member that is there keeps its place, a new one becomes the last of its object; objects on the way
 * are made, in place of null too. */
bool json_text_set(struct text *json, const char *path, const char *value, size_t length,
		   struct muster_error *err) MUST_CHECK;
bool json_text_set_string(struct text *json, const char *path, const char *value,
			  struct muster_error *err) MUST_CHECK;
/* What is not there stays so. */
bool json_text_remove(struct text *json, const char *path, struct muster_error *err) MUST_CHECK;
