/* Roots and lists, as OpenSSL has them. Private to this room. */
#pragma once

#include <openssl/x509_vfy.h>

#include "muster/ek-trust.h"

struct ek_trust {
	X509_STORE *store;
	size_t root_count;
};
