#include "muster/roca.h"

#include "muster/cleanup.h"

/* Whether `residue` is a power of 65537 modulo `prime`. */
static bool is_power_of_65537(unsigned residue, unsigned prime)
{
	unsigned power = 1;

	do {
		if (power == residue)
			return true;
		power = power * (65537 % prime) % prime;
	} while (power != 1);
	return false;
}

/* Infineon's library made primes k * M + (65537^a mod M), M a product of the first primes: then the modulus is a power
 * of 65537 modulo each of them, which for a good key happens once in 2^70 or so (CVE-2017-15361). */
bool roca_has_structure(const BIGNUM *modulus)
{
	static const unsigned char primes[] = { 3,   5,   7,   11,  13,  17,  19,  23,  29,  31,
						37,  41,  43,  47,  53,  59,  61,  67,  71,  73,
						79,  83,  89,  97,  101, 103, 107, 109, 113, 127,
						131, 137, 139, 149, 151, 157, 163, 167 };

	for (size_t i = 0; i < ARRAY_SIZE(primes); i++)
		if (!is_power_of_65537((unsigned)BN_mod_word(modulus, primes[i]), primes[i]))
			return false;
	return true;
}
