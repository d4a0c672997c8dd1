/* A body of application/x-www-form-urlencoded. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "muster/cleanup.h"

#define FORM_FIELD_COUNT_MAX 16

struct form {
	char *text; /* decoded in place; wiped when done */
	size_t size;
	const char *names[FORM_FIELD_COUNT_MAX], *values[FORM_FIELD_COUNT_MAX];
	size_t count;
};

/* False when malformed, a field stands twice or memory is out. */
bool form_parse(const void *body, size_t size, struct form *ret_form) MUST_CHECK;
/* NULL when missing. */
const char *form_get(const struct form *form, const char *name);
void form_done(struct form *form);
