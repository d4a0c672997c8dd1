/* The EK certificate as NV holds it, whatever that is: what is found in it is found in it alone, and can be judged. */
#include <assert.h>

#include "fuzz.h"
#include "muster/ek-trust.h"

DEFINE_FREEP(X509_freep, X509 *, X509_free)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ek_terms terms = { .now_ms = 1764547200000 };
	CLEANUP(X509_freep) X509 *certificate = NULL;
	CLEANUP(X509_freep) X509 *again = NULL;
	CLEANUP(bytes_done) struct bytes found = { 0 };
	struct ek_findings findings = { 0 };
	struct muster_error err;

	if (!ek_certificate_parse(data, size, &certificate, &found, &err))
		return 0;
	assert(found.size > 0 && found.size <= size);
	/* The same bytes would give the same again. */
	if (found.size < size) {
		assert(ek_certificate_parse(found.data, found.size, &again, NULL, &err));
		assert(X509_cmp(certificate, again) == 0);
	}
	ek_check_certificate(certificate, &terms, &findings);
	ek_check_chain(certificate, NULL, &terms, &findings);
	assert(findings.count > 0);
	return 0;
}
