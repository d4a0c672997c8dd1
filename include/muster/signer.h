/* A key that lives elsewhere: its public half, and a function that signs a digest with the private half.
 * Nothing else about a hardware key crosses the worker boundary. `pki` alone turns a signer into an EVP_PKEY. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/text.h"

/* Frozen numbers: they travel in worker messages. */
enum signer_scheme {
	SIGNER_ECDSA = 1,     /* signature: DER ECDSA-Sig-Value (RFC 3279 2.2.3) */
	SIGNER_RSA_PKCS1 = 2, /* RFC 8017 8.2; the signer adds the DigestInfo */
	SIGNER_RSA_PSS = 3, /* RFC 8017 8.1; MGF1 with the same hash, salt as long as the digest */
	SIGNER_ED25519 = 4, /* `digest` is the whole message (RFC 8032) */
};

enum signer_hash { SIGNER_HASH_NONE = 0, SIGNER_SHA256 = 1, SIGNER_SHA384 = 2, SIGNER_SHA512 = 3 };

#define SIGNER_SIGNATURE_MAX 1024

struct signer {
	struct bytes
		spki; /* DER SubjectPublicKeyInfo of the public half; owned by whoever made the signer */
	/* Signs; talks to hardware and may block up to its own deadline (5 s). *ret_size <= SIGNER_SIGNATURE_MAX.
	 * The caller verifies the signature with spki before it uses it. */
	bool (*sign)(struct signer *signer, enum signer_scheme scheme, enum signer_hash hash,
		     const uint8_t *digest, size_t digest_size,
		     uint8_t signature[SIGNER_SIGNATURE_MAX], size_t *ret_size,
		     struct muster_error *err);
	void *context; /* the sign function's own */
};

/* HMAC-SHA256 with a key that may live elsewhere (a master key in a file, an HSM or a TPM). */
struct hmac_key {
	bool (*hmac)(struct hmac_key *key, const void *data, size_t size, uint8_t mac[32],
		     struct muster_error *err);
	void *context;
};
