/* Keys that are too small, and keys of the generator that CVE-2017-15361 (ROCA) broke. */
#include "muster/ek-trust.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "ek-internal.h"
#include "muster/roca.h"

DEFINE_FREEP(BN_freep, BIGNUM *, BN_free)
DEFINE_FREEP(EVP_PKEY_freep, EVP_PKEY *, EVP_PKEY_free)

#define RSA_BITS_MIN 2048
#define ECC_BITS_MIN 256

static const char check[] = "strength";

static void find_rsa(const BIGNUM *modulus, const char *whose, struct ek_findings *findings)
{
	int bits = BN_num_bits(modulus);
	if (bits < RSA_BITS_MIN)
		ek_find(findings, check, EK_REFUSED, CAUSE_EK_WEAK,
			"the %s is RSA-%d, and less than %d bits can be factored", whose, bits,
			RSA_BITS_MIN);
	else if (roca_has_structure(modulus))
		ek_find(findings, check, EK_REFUSED, CAUSE_EK_ROCA,
			"the %s has the structure of a ROCA key (CVE-2017-15361): its private half "
			"can be computed",
			whose);
	else
		ek_find(findings, check, EK_PASSED, CAUSE_NONE, "the %s is RSA-%d, not a ROCA key",
			whose, bits);
}

static void find_ecc(int bits, const char *whose, struct ek_findings *findings)
{
	if (bits < ECC_BITS_MIN)
		ek_find(findings, check, EK_REFUSED, CAUSE_EK_WEAK,
			"the %s is an elliptic-curve key of %d bits, less than %d", whose, bits,
			ECC_BITS_MIN);
	else
		ek_find(findings, check, EK_PASSED, CAUSE_NONE,
			"the %s is an elliptic-curve key of %d bits", whose, bits);
}

static void find_key(const EVP_PKEY *key, const char *whose, struct ek_findings *findings)
{
	CLEANUP(BN_freep) BIGNUM *modulus = NULL;
	if (!EVP_PKEY_is_a(key, "RSA"))
		find_ecc(EVP_PKEY_get_bits(key), whose, findings);
	else if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &modulus) == 1)
		find_rsa(modulus, whose, findings);
	else
		ek_find(findings, check, EK_REFUSED, CAUSE_EK_WEAK, "the %s has no modulus", whose);
}

void ek_check_strength(const struct ek_public *public, struct ek_findings *findings)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	struct muster_error err;
	if (ek_public_key(public, &key, &err))
		find_key(key, "endorsement key", findings);
	else
		ek_find_error(findings, check, EK_REFUSED, &err);
}

void ek_check_certified_strength(const EVP_PKEY *key, struct ek_findings *findings)
{
	find_key(key, "certified key", findings);
}
