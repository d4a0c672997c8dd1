/* A signing key of the station's TPM. Private to the station. */
#pragma once

#include <openssl/evp.h>

#include "muster/signer.h"
#include "tpm-chip.h"
#include "tpm-place.h"

/* Zero-initialise. Does not move: the signer points into it. */
struct tpm_signer {
	struct signer signer;
	struct chip chip;
	struct tpm_place place;
	EVP_PKEY *key;
};

/* The key at that persistent handle: EC or RSA, not restricted, usable with the empty password without the risk of a
 * failed try. Starts a worker, which ends with tpm_signer_done; each signature takes up to 5 s. */
bool tpm_signer_open(const char *place, struct tpm_signer *signer, struct muster_error *err)
	MUST_CHECK;
void tpm_signer_done(struct tpm_signer *signer);
