/* Keys that no certificate should be made for, and those that are fine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include "../../src/pki/pki-internal.h"
#include "muster/roca.h"

static struct muster_error error;

/* -- Moduli -------------------------------------------------------------------------------------------------------- */

static BIGNUM *prime_of(int bits)
{
	BIGNUM *prime = BN_new();

	assert_int_equal(BN_generate_prime_ex(prime, bits, 0, NULL, NULL, NULL), 1);
	return prime;
}

static BIGNUM *product(const BIGNUM *a, const BIGNUM *b)
{
	BN_CTX *ctx = BN_CTX_new();
	BIGNUM *result = BN_new();

	assert_int_equal(BN_mul(result, a, b, ctx), 1);
	BN_CTX_free(ctx);
	return result;
}

static void next_prime(BIGNUM *number)
{
	do
		BN_add_word(number, 2);
	while (BN_check_prime(number, NULL, NULL) != 1);
}

static void small_factors_are_found(void **state)
{
	static const BN_ULONG factors[] = { 2, 3, 17, 7919, 9973 };
	BIGNUM *prime = prime_of(512);

	(void)state;
	assert_false(pki_rsa_has_small_factor(prime));
	for (size_t i = 0; i < ARRAY_SIZE(factors); i++) {
		BIGNUM *modulus = BN_dup(prime);

		BN_mul_word(modulus, factors[i]);
		assert_true(pki_rsa_has_small_factor(modulus));
		BN_free(modulus);
	}
	BN_free(prime);
}

static void neighbouring_primes_are_found(void **state)
{
	BIGNUM *p = prime_of(512), *q = BN_dup(p), *far = prime_of(512);
	BIGNUM *weak, *good;

	(void)state;
	for (int i = 0; i < 3; i++)
		next_prime(q);
	weak = product(p, q);
	good = product(p, far);
	assert_true(pki_rsa_is_fermat_weak(weak, 100));
	assert_false(pki_rsa_is_fermat_weak(good, 100));
	BN_free(weak);
	BN_free(good);
	BN_free(p);
	BN_free(q);
	BN_free(far);
}

/* k * M + (65537^a mod M), as the faulty library made its primes, whose products have the same form. */
static BIGNUM *roca_number(unsigned exponent)
{
	BN_CTX *ctx = BN_CTX_new();
	BIGNUM *m = BN_new(), *base = BN_new(), *power = BN_new(), *result = BN_new();

	BN_one(m);
	for (BN_ULONG number = 2; number <= 701; number++) {
		BIGNUM *candidate = BN_new();

		BN_set_word(candidate, number);
		if (BN_check_prime(candidate, ctx, NULL) == 1)
			BN_mul_word(m, number);
		BN_free(candidate);
	}
	BN_set_word(base, 65537);
	BN_set_word(power, exponent);
	assert_int_equal(BN_mod_exp(result, base, power, m, ctx), 1);
	BN_mul_word(m, 0x6b5f1d3a);
	BN_add(result, result, m);
	BN_free(m);
	BN_free(base);
	BN_free(power);
	BN_CTX_free(ctx);
	return result;
}

static void the_roca_fault_is_found(void **state)
{
	BIGNUM *a = roca_number(0x1234567), *b = roca_number(0x7654321);
	BIGNUM *weak = product(a, b), *p = prime_of(512), *q = prime_of(512);
	BIGNUM *good = product(p, q);

	(void)state;
	assert_true(roca_has_structure(a));
	assert_true(roca_has_structure(weak));
	assert_false(roca_has_structure(good));
	BN_add_word(weak, 2);
	assert_false(roca_has_structure(weak));
	BN_free(a);
	BN_free(b);
	BN_free(weak);
	BN_free(p);
	BN_free(q);
	BN_free(good);
}

/* -- Whole keys ------------------------------------------------------------------------------------------------- */

static EVP_PKEY *rsa_of(const BIGNUM *modulus, BN_ULONG exponent)
{
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	BIGNUM *e = BN_new();
	EVP_PKEY *key = NULL;
	OSSL_PARAM *parameters;

	BN_set_word(e, exponent);
	OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus);
	OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e);
	parameters = OSSL_PARAM_BLD_to_param(builder);
	assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
	assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, parameters), 1);
	OSSL_PARAM_free(parameters);
	OSSL_PARAM_BLD_free(builder);
	EVP_PKEY_CTX_free(ctx);
	BN_free(e);
	return key;
}

static void must_be_weak(EVP_PKEY *key)
{
	assert_non_null(key);
	assert_false(pki_key_check(key, &error));
	assert_int_equal(error.cause, CAUSE_KEY_WEAK);
	EVP_PKEY_free(key);
}

static void must_be_good(EVP_PKEY *key)
{
	assert_non_null(key);
	if (!pki_key_check(key, &error))
		fail_msg("%s", error.message);
	EVP_PKEY_free(key);
}

static void whole_keys_are_judged(void **state)
{
	EVP_PKEY *rsa = EVP_RSA_gen(2048);
	BIGNUM *n = NULL, *p = prime_of(1024), *q = BN_dup(p), *neighbours;

	(void)state;
	assert_int_equal(EVP_PKEY_get_bn_param(rsa, OSSL_PKEY_PARAM_RSA_N, &n), 1);
	must_be_weak(rsa_of(n, 3));
	must_be_weak(rsa_of(n, 65536));
	must_be_good(rsa_of(n, 65539));
	must_be_good(rsa);
	next_prime(q);
	neighbours = product(p, q);
	must_be_weak(rsa_of(neighbours, 65537));
	must_be_weak(EVP_RSA_gen(1024));
	must_be_good(EVP_EC_gen("P-256"));
	must_be_good(EVP_EC_gen("P-384"));
	must_be_good(EVP_EC_gen("P-521"));
	must_be_weak(EVP_EC_gen("secp256k1"));
	must_be_weak(EVP_EC_gen("P-224"));
	must_be_good(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
	must_be_weak(EVP_PKEY_Q_keygen(NULL, NULL, "X25519"));
	BN_free(n);
	BN_free(p);
	BN_free(q);
	BN_free(neighbours);
}

static void edwards_points_lie_on_their_curve(void **state)
{
	uint8_t base[32], other[32] = { 2 }, huge[32];

	(void)state;
	memset(base, 0x66, sizeof(base));
	base[0] = 0x58;
	assert_true(pki_edwards_point_is_good(base));
	assert_false(pki_edwards_point_is_good(other)); /* y = 2 has no x */
	other[0] = 3;
	assert_true(pki_edwards_point_is_good(other));
	memset(huge, 0xff, sizeof(huge));
	assert_false(pki_edwards_point_is_good(huge)); /* y is not below the prime */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_factors_are_found),
		cmocka_unit_test(neighbouring_primes_are_found),
		cmocka_unit_test(the_roca_fault_is_found),
		cmocka_unit_test(whole_keys_are_judged),
		cmocka_unit_test(edwards_points_lie_on_their_curve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
