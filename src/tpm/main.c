/* muster-tpm-worker: one TPM, answered for over descriptor 3. Started by muster, not by people. */
#include "muster/log.h"
#include "muster/process.h"
#include "muster/tpm.h"

int main(void)
{
	process_harden();
	log_set_program("muster-tpm-worker");
	CLEANUP(tpm_closep) struct tpm *tpm = NULL;
	return worker_serve(tpm_handlers, tpm_handler_count, &tpm);
}
