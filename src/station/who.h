/* Who works where, for the journal. Private to the station. */
#pragma once

#include <stdbool.h>

#include "muster/error.h"

struct who {
	char *operator_name;
	char station[65]; /* host name */
};

/* The name given, else the configured one, else the login user's. */
bool who_is_here(struct who *ret_who, const char *given, const char *configured,
		 struct muster_error *err) MUST_CHECK;
void who_done(struct who *who);
