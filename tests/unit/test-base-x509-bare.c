#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "muster/x509-bare.h"

enum { DER_MAX = 1024 };

static size_t make_certificate(uint8_t der[DER_MAX])
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	uint8_t *at = der;
	int size;

	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 4711);
	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	assert_int_equal(X509_set_pubkey(certificate, key), 1);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	size = i2d_X509(certificate, NULL);
	assert_in_range(size, 1, DER_MAX - 1);
	i2d_X509(certificate, &at);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return (size_t)size;
}

static void all_but_the_key_is_read(void **state)
{
	uint8_t der[DER_MAX], again[DER_MAX], *at = again;
	size_t size = make_certificate(der);
	X509 *certificate = x509_read_bare(der, size);

	(void)state;
	assert_non_null(certificate);
	assert_int_equal(ASN1_INTEGER_get(X509_get0_serialNumber(certificate)), 4711);
	assert_null(X509_get0_pubkey(certificate));
	assert_int_equal(i2d_X509(certificate, &at), size);
	assert_memory_equal(again, der, size);
	X509_free(certificate);
	ERR_clear_error();
}

static void what_is_not_one_certificate_is_refused(void **state)
{
	uint8_t der[DER_MAX] = { 0 };
	size_t size = make_certificate(der);

	(void)state;
	assert_null(x509_read_bare(der, size + 1));
	assert_null(x509_read_bare(der, size - 1));
	assert_null(x509_read_bare(der, 0));
	der[0] = 0x31;
	assert_null(x509_read_bare(der, size));
	ERR_clear_error();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_but_the_key_is_read),
		cmocka_unit_test(what_is_not_one_certificate_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
