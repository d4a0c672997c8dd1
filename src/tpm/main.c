/* muster-tpm-worker: one TPM, answered for over descriptor 3. Started by muster, not by people. */
#include <openssl/crypto.h>

#include "muster/log.h"
#include "muster/process.h"
#include "muster/tpm.h"

int main(void)
{
	process_harden();
	/* No provider of the machine's own, least of all one that is a TPM. */
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	log_set_program("muster-tpm-worker");
	CLEANUP(tpm_closep) struct tpm *tpm = NULL;
	return worker_serve(tpm_handlers, tpm_handler_count, &tpm);
}
