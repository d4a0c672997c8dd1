/* The key that signs checkpoints. Private to the station. */
#pragma once

#include <stdbool.h>

#include <openssl/evp.h>

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/station-key.h"
#include "tpm-signer.h"

/* Zero-initialise. Does not move. */
struct checkpoint_key {
	EVP_PKEY *key;
	struct station_key *token; /* of a key in a token: where it is, else NULL */
	struct tpm_signer tpm;     /* of a key in a TPM */
	bool is_new;               /* made by opening it */
};

/* Whoever names a key means one that is there: a slip of the finger would make another one. CAUSE_INPUT_NOT_FOUND. */
bool checkpoint_key_is_there(const char *where, struct muster_error *err) MUST_CHECK;
/* `where` is a file, made when missing; a PKCS#11 URI that names the key and by pin-source its PIN; or
 * "tpm:handle=0x81000100;tcti=TCTI"; NULL: station.key beside the journal. A token blocks up to the deadlines of opening and logging in; its PIN is tried once. */
bool checkpoint_key_open(const char *where, const char *journal_path,
			 struct checkpoint_key *ret_key, struct muster_error *err) MUST_CHECK;
/* The public half of a key that is a file, beside it: a run may have been cut before it was there. What is there stays. */
bool checkpoint_key_publish(const char *where, const char *journal_path, EVP_PKEY *key,
			    struct muster_error *err) MUST_CHECK;
void checkpoint_key_done(struct checkpoint_key *key);
