/* What the ways to a token share. */
#pragma once

#include "authority.h"
#include "form.h"
#include "request.h"

/* The form of a request to our tenant. */
bool token_form(struct exchange *exchange, struct form *ret_form) MUST_CHECK;
/* "RESOURCE/.default" -> "RESOURCE"; NULL when it is something else. Caller frees. */
char *token_audience(const char *scope);
/* Fills the body with a token. */
bool token_answer(struct exchange *exchange, const struct application *application,
		  const char *audience);
