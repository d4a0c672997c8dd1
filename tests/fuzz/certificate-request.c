/* Certificate requests from outside: one that is taken was signed by its own key, which is a good one. */
#include <assert.h>

#include <openssl/err.h>

#include "fuzz.h"
#include "muster/pki.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(X509_REQ_freep) X509_REQ *request = NULL;
	CLEANUP(freep) char *subject = NULL;
	struct muster_error err;

	if (pki_request_read(data, size, "the input", &request, &err)) {
		assert(X509_REQ_verify(request, X509_REQ_get0_pubkey(request)) == 1);
		assert(pki_key_check(X509_REQ_get0_pubkey(request), &err));
		(void)!pki_name_print(X509_REQ_get_subject_name(request), &subject, &err);
	}
	assert(ERR_peek_error() == 0);
	return 0;
}
