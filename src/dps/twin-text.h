/* Twin collections as people write them. Private to dps. */
#pragma once

#include "muster/dps-enrollment.h"

/* A Python literal as JSON: dict, list, str, int, float, True, False and None, with comments and trailing commas; tuples,
 * sets and bytes are not. Text as it is in Python, so keys may come twice. On false *ret_problem is a static
 * sentence and *ret_offset its place; memory is in ret_json->failed. */
bool twin_python_read(const char *text, struct text *ret_json, const char **ret_problem,
		      size_t *ret_offset) MUST_CHECK;
