/* The command line of muster-emulator: one table that is parsed, printed as --help and checked. */
#pragma once

#include <stdbool.h>

#include "muster/emulator.h"

enum options_outcome { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_VERSION };

/* Fills the configuration; its strings point into argv. */
bool options_parse(int argc, char **argv, struct emulator_config *ret_config,
		   enum options_outcome *ret_outcome, struct muster_error *err) MUST_CHECK;
/* The text of --help. Caller frees; NULL when out of memory. */
char *options_help(void);
