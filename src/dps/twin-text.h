/* Twin collections as people write them. Private to dps. */
#pragma once

#include "muster/dps-enrollment.h"

/* What came of reading one. */
struct twin_reading {
	const char *problem; /* static; NULL: none */
	size_t offset;       /* of the problem */
	bool has_printed;    /* something went as Python's own text */
};

/* A Python literal as JSON: dict, list, str, int, float, True, False and None, with comments and trailing commas. A tuple, a
 * set or bytes become a string that holds what Python prints for them, as az sends them. Keys may come twice. False:
 * see the problem; memory is in ret_json->failed. */
bool twin_python_read(const char *text, struct text *ret_json, struct twin_reading *ret_reading)
	MUST_CHECK;

/* -- As Python prints it (twin-print.c) ------------------------------------------------------------------- */

void twin_print_string(struct text *out, const struct text *value);
void twin_print_bytes(struct text *out, const struct text *value);
/* `written`: a number as JSON has it. */
void twin_print_float(struct text *out, const char *written);
