/* What a station signs: ECDSA or RSA with SHA-256, over a text that begins with what it is. Private to the station. */
#pragma once

#include <openssl/evp.h>

#include "muster/encoding.h"
#include "muster/error.h"

/* One key can be written in several ways; here all are DER, on a curve by its name, with a point that is not compressed, so that
 * keys are one when their bytes are. */
bool signature_key_normalise(const struct bytes *spki, struct bytes *ret_spki,
			     struct muster_error *err) MUST_CHECK;
bool signature_public_key(const EVP_PKEY *key, struct bytes *ret_spki, struct muster_error *err)
	MUST_CHECK;
/* *ret_spki is the public key. CAUSE_STATION_KEY_UNUSABLE. */
bool signature_make(EVP_PKEY *key, const char *message, struct bytes *ret_spki,
		    struct bytes *ret_signature, struct muster_error *err) MUST_CHECK;
bool signature_is_good(const struct bytes *spki, const struct bytes *signature,
		       const char *message);
/* Public keys, as DER. */
struct key_list {
	struct bytes *keys;
	size_t count;
};
bool key_list_has(const struct key_list *list, const struct bytes *spki);
void key_list_done(struct key_list *list);
/* All that are in a PEM file, at least one. CAUSE_STATION_KEY_UNUSABLE. */
bool key_list_read(const char *path, struct key_list *ret_list, struct muster_error *err)
	MUST_CHECK;
/* The first public key in a PEM file, as DER. CAUSE_STATION_KEY_UNUSABLE. */
bool signature_key_read(const char *path, struct bytes *ret_spki, struct muster_error *err)
	MUST_CHECK;
