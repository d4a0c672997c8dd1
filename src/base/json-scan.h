/* The strict reader behind json_parse: walks the text once and checks all that cJSON would let pass. Private to base. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

#include "muster/error.h"

/* root: a null item, which becomes what the text says, or a part of it when that is wrong; NULL: only looks. may_repeat: names
 * may stand twice in an object. */
bool json_scan(const char *data, size_t size, size_t max, const char *what, bool may_repeat,
	       cJSON *root, struct muster_error *err) MUST_CHECK;
