/* The strict scanner behind json_parse: walks the text once, checks everything that cJSON would let pass, and
 * notes where each number stands. Private to base. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "muster/error.h"

struct json_span {
	size_t offset;
	size_t length;
};

struct json_numbers {
	struct json_span *spans; /* in document order; caller frees */
	size_t count;
	size_t capacity;
};

/* may_repeat: names may stand twice in an object. */
bool json_scan(const char *data, size_t size, size_t max, const char *what, bool may_repeat,
	       struct json_numbers *ret_numbers, struct muster_error *err) MUST_CHECK;
