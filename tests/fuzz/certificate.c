/* Certificates from outside: whatever is taken can be printed, judged and encoded, and is the same when read again. */
#include <assert.h>

#include <openssl/err.h>

#include "fuzz.h"
#include "muster/pki.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(X509_freep) X509 *certificate = NULL;
	CLEANUP(X509_freep) X509 *again = NULL;
	CLEANUP(bytes_done) struct bytes der = { 0 };
	CLEANUP(pki_certificate_info_done) struct pki_certificate_info info = { 0 };
	struct muster_error err;
	EVP_PKEY *key;

	if (!pki_certificate_read(data, size, "the input", &certificate, &err))
		goto end;
	key = X509_get0_pubkey(certificate);
	if (key && pki_key_check(key, &err))
		assert(EVP_PKEY_get_bits(key) >= 253);
	(void)!pki_certificate_info(certificate, &info, &err);
	if (pki_certificate_der(certificate, &der, &err)) {
		assert(pki_certificate_read(der.data, der.size, "its encoding", &again, &err));
		assert(X509_cmp(certificate, again) == 0);
	}
end:
	ERR_clear_error();
	return 0;
}
