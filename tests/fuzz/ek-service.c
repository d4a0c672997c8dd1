/* What a vendor's service answers when it is asked for an EK certificate: JSON, DER, or anything. */
#include <assert.h>

#include "fuzz.h"
#include "muster/ek-service.h"

DEFINE_FREEP(X509_freep, X509 *, X509_free)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(X509_freep) X509 *certificate = NULL;
	struct muster_error err;

	assert(ek_service_answer(data, size, &certificate, &err) == (certificate != NULL));
	return 0;
}
