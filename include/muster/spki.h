/* SubjectPublicKeyInfo, bytes to key and back. OpenSSL 3.0 goes through tables of all its coders for each one, which takes
 * longer than a signature; the form of a key on a named curve is known, and done here. All others are OpenSSL's. */
#pragma once

#include <stdbool.h>

#include <openssl/evp.h>

#include "muster/text.h"

/* NULL when OpenSSL cannot, or when there are bytes behind it. The reason is in OpenSSL's queue. */
EVP_PKEY *spki_read(const struct bytes *spki);
bool spki_write(const EVP_PKEY *key, struct bytes *ret_spki);
