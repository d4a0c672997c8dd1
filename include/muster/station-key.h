/* A private key in a token, opened for whoever signs with it: a sign-in by a client certificate. */
#pragma once

#include <openssl/evp.h>

#include "muster/cleanup.h"
#include "muster/error.h"

struct station_key;

/* The URI names one private key, and by pin-source the PIN of its token; one login. Blocks up to the deadlines of
 * opening and logging in. Causes as for any token. */
bool station_key_open(const char *uri, struct station_key **ret_key, struct muster_error *err)
	MUST_CHECK;
/* Works through the token, up to 5 s for each signature. Borrowed; references to it must be gone before the key is. */
EVP_PKEY *station_key_get(const struct station_key *key);
/* Ends the worker. Accepts NULL. */
void station_key_free(struct station_key *key);
DEFINE_FREEP(station_key_freep, struct station_key *, station_key_free)
