/* JWTs that clients show in place of a secret. */
#pragma once

#include "authority.h"

/* Signed with the key of the application's certificate, which it names; about itself, for this audience. */
bool assertion_is_own(const char *assertion, const struct application *application,
		      const char *audience, int64_t now_ms) MUST_CHECK;
/* Signed by another authority, for the exchange into a token of ours. */
bool assertion_is_federated(const char *assertion, const struct application *application,
			    int64_t now_ms) MUST_CHECK;
