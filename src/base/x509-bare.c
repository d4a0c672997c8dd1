#include "muster/x509-bare.h"

#include <openssl/provider.h>

OSSL_LIB_CTX *x509_bare_context(void)
{
	static OSSL_LIB_CTX *context;
	OSSL_LIB_CTX *made;

	if (context)
		return context;
	made = OSSL_LIB_CTX_new();
	if (!made || !OSSL_PROVIDER_load(made, "null")) {
		OSSL_LIB_CTX_free(made);
		return NULL;
	}
	context = made;
	return context;
}

X509 *x509_read_bare(const uint8_t *data, size_t size)
{
	X509 *certificate = X509_new_ex(x509_bare_context(), NULL);
	const uint8_t *cursor = data;

	if (certificate && d2i_X509(&certificate, &cursor, (long)size) && cursor == data + size)
		return certificate;
	X509_free(certificate);
	return NULL;
}
