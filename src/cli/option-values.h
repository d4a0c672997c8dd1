/* What the value of an option is, by its row, for whoever reads the command line. */
#pragma once

#include "cli-internal.h"

/* CAUSE_USAGE with the sentence and where the help is; `verb` NULL: in front of it. Returns false. */
bool option_fail(const struct verb *verb, struct muster_error *err, const char *format, ...)
	PRINTF_LIKE(3, 4);
/* Into *field, which is of the row's kind. `named`: as the operator typed the option, for messages. Texts are borrowed. */
bool option_store(const struct verb *verb, const struct option_row *row, const char *named,
		  const char *value, void *field, struct muster_error *err) MUST_CHECK;
