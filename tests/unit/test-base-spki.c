#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#include "muster/cleanup.h"
#include "muster/spki.h"

static const char *const groups[] = { "P-256", "P-384", "P-521", "secp256k1" };

static struct bytes by_openssl(const EVP_PKEY *key)
{
	struct bytes spki = { 0 };
	int size = i2d_PUBKEY(key, &spki.data);

	assert_true(size > 0);
	spki.size = (size_t)size;
	return spki;
}

/* Written as OpenSSL writes it, and read back from that. Takes the key over. */
static void check_key(EVP_PKEY *key)
{
	struct bytes wanted = by_openssl(key), written = { 0 };
	EVP_PKEY *read = spki_read(&wanted);

	assert_true(spki_write(key, &written));
	assert_true(bytes_equal(&written, &wanted));
	assert_int_equal(EVP_PKEY_eq(read, key), 1);
	bytes_done(&written);
	bytes_done(&wanted);
	EVP_PKEY_free(read);
	EVP_PKEY_free(key);
}

static void keys_go_both_ways_as_with_openssl(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		check_key(EVP_EC_gen(groups[i]));
	check_key(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
	check_key(EVP_RSA_gen(2048));
}

static void other_forms_of_a_curves_key_are_kept(void **state)
{
	EVP_PKEY *explicit = EVP_EC_gen("P-256"), *compressed = EVP_EC_gen("P-256");

	(void)state;
	assert_int_equal(EVP_PKEY_set_utf8_string_param(explicit, OSSL_PKEY_PARAM_EC_ENCODING,
							OSSL_PKEY_EC_ENCODING_EXPLICIT),
			 1);
	check_key(explicit);
	assert_int_equal(EVP_PKEY_set_utf8_string_param(
				 compressed, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
				 OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_COMPRESSED),
			 1);
	check_key(compressed);
}

static void what_is_no_key_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		EVP_PKEY *key = EVP_EC_gen(groups[i]);
		struct bytes good = by_openssl(key);
		uint8_t more[256];
		struct bytes longer = { more, good.size + 1 };
		struct bytes shorter = { good.data, good.size - 1 };

		memcpy(more, good.data, good.size);
		more[good.size] = 0;
		assert_null(spki_read(&longer));
		assert_null(spki_read(&shorter));
		good.data[good.size - 1] ^= 1; /* off the curve: y has no neighbour */
		assert_null(spki_read(&good));
		OPENSSL_free(good.data);
		EVP_PKEY_free(key);
	}
	ERR_clear_error();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_go_both_ways_as_with_openssl),
		cmocka_unit_test(other_forms_of_a_curves_key_are_kept),
		cmocka_unit_test(what_is_no_key_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
