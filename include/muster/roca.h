/* The fingerprint of RSA keys that the generator of CVE-2017-15361 (ROCA) made, whose private halves can be computed. */
#pragma once

#include <stdbool.h>

#include <openssl/bn.h>

bool roca_has_structure(const BIGNUM *modulus);
