/* Whether a public key is one that a certificate should be made for. Small pure functions; none needs the private half,
 * and none trusts who made the key. */
#include "muster/roca.h"
#include "pki-internal.h"

#include <openssl/core_names.h>
#include <openssl/err.h>

DEFINE_FREEP(BN_CTX_freep, BN_CTX *, BN_CTX_free)

enum { RSA_BITS_MIN = 2048, RSA_BITS_MAX = 4096, FACTOR_MAX = 10000, FERMAT_ROUNDS = 100 };

/* -- RSA ------------------------------------------------------------------------------------------------------ */

bool pki_rsa_has_small_factor(const BIGNUM *modulus)
{
	if (!BN_is_odd(modulus))
		return true;
	/* A divisor that is not prime has a prime one that was tried before. */
	for (BN_ULONG divisor = 3; divisor < FACTOR_MAX; divisor += 2)
		if (BN_mod_word(modulus, divisor) == 0)
			return true;
	return false;
}

/* The largest root with root * root <= number, by Newton's method from above. */
static bool square_root(const BIGNUM *number, BIGNUM *root, BN_CTX *ctx)
{
	BIGNUM *next = BN_CTX_get(ctx), *rest = BN_CTX_get(ctx);

	if (!rest || !BN_one(next) || !BN_lshift(next, next, (BN_num_bits(number) + 1) / 2))
		return false;
	do {
		if (!BN_copy(root, next) || !BN_div(next, rest, number, root, ctx) ||
		    !BN_add(next, next, root) || !BN_rshift1(next, next))
			return false;
	} while (BN_cmp(next, root) < 0);
	return true;
}

/* Whether a * a - modulus is a square, which gives the factors away. */
static bool fermat_round(const BIGNUM *modulus, const BIGNUM *a, bool *ret_found, BN_CTX *ctx)
{
	BIGNUM *square, *root;
	bool good;

	BN_CTX_start(ctx);
	square = BN_CTX_get(ctx);
	root = BN_CTX_get(ctx);
	good = root && BN_sqr(square, a, ctx) && BN_sub(square, square, modulus) &&
	       square_root(square, root, ctx) && BN_sqr(root, root, ctx);
	*ret_found = good && BN_cmp(square, root) == 0;
	BN_CTX_end(ctx);
	return good;
}

static bool fermat(const BIGNUM *modulus, unsigned rounds, bool *ret_found, BN_CTX *ctx)
{
	BIGNUM *a = BN_CTX_get(ctx);
	bool found = false;

	if (!a || !square_root(modulus, a, ctx))
		return false;
	for (unsigned round = 0; round < rounds && !found; round++)
		if (!BN_add_word(a, 1) || !fermat_round(modulus, a, &found, ctx))
			return false;
	*ret_found = found;
	return true;
}

/* No memory counts as weak: a key that could not be looked at is not used. */
bool pki_rsa_is_fermat_weak(const BIGNUM *modulus, unsigned rounds)
{
	CLEANUP(BN_CTX_freep) BN_CTX *ctx = BN_CTX_new();
	bool found = true;

	if (!ctx)
		return true;
	BN_CTX_start(ctx);
	if (!fermat(modulus, rounds, &found, ctx))
		found = true;
	BN_CTX_end(ctx);
	return found;
}

static bool rsa_check(const EVP_PKEY *key, struct muster_error *err)
{
	CLEANUP(BIGNUM_freep) BIGNUM *n = NULL;
	CLEANUP(BIGNUM_freep) BIGNUM *e = NULL;
	int bits;

	if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) != 1 ||
	    EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) != 1)
		return pki_fail(err, CAUSE_KEY_WEAK, "reading an RSA key");
	bits = BN_num_bits(n);
	if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
		return muster_fail(err, CAUSE_KEY_WEAK, "an RSA key of %d bits", bits);
	/* FIPS 186-5 A.1.1 */
	if (!BN_is_odd(e) || BN_num_bits(e) <= 16 || BN_num_bits(e) > 256)
		return muster_fail(err, CAUSE_KEY_WEAK,
				   "an RSA key whose public exponent is even, below 65537 or huge");
	if (pki_rsa_has_small_factor(n))
		return muster_fail(err, CAUSE_KEY_WEAK, "an RSA modulus with a factor below %d",
				   FACTOR_MAX);
	if (roca_has_structure(n))
		return muster_fail(err, CAUSE_KEY_WEAK,
				   "an RSA modulus as the ROCA fault makes them (CVE-2017-15361)");
	return !pki_rsa_is_fermat_weak(n, FERMAT_ROUNDS) ||
	       muster_fail(err, CAUSE_KEY_WEAK, "an RSA modulus whose two primes are neighbours");
}

/* -- Curves --------------------------------------------------------------------------------------------------- */

/* These curves have the cofactor 1: each point on one is of its order, and no multiplication has to show it. */
static bool curve_check(const EVP_PKEY *key, struct muster_error *err)
{
	static const char *const groups[] = { "prime256v1", "secp384r1", "secp521r1" };
	CLEANUP(EVP_PKEY_CTX_freep)
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, (EVP_PKEY *)(uintptr_t)key, NULL);
	char group[64] = "";
	size_t size;
	bool is_known = false;

	if (EVP_PKEY_get_group_name(key, group, sizeof(group), &size) == 1)
		for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
			is_known = is_known || strcmp(groups[i], group) == 0;
	if (!is_known)
		return muster_fail(err, CAUSE_KEY_WEAK, "a key on the curve '%s'",
				   *group ? PRINTABLE(group) : "without name");
	return (ctx && EVP_PKEY_public_check_quick(ctx) == 1) ||
	       pki_fail(err, CAUSE_KEY_WEAK, "a point that is not on its curve %s", group);
}

/* RFC 8032 5.1.3: y below 2^255 - 19, and (y^2 - 1) / (d y^2 + 1) a square. */
static bool edwards_is_on_curve(const uint8_t encoded[32], BN_CTX *ctx, bool *ret_on)
{
	BIGNUM *p = BN_CTX_get(ctx), *d = BN_CTX_get(ctx), *y = BN_CTX_get(ctx);
	BIGNUM *u = BN_CTX_get(ctx), *v = BN_CTX_get(ctx), *root = BN_CTX_get(ctx);
	uint8_t bytes[32];

	memcpy(bytes, encoded, sizeof(bytes));
	bytes[31] &= 0x7f;
	/* p = 2^255 - 19, d = -121665 / 121666 */
	if (!root || !BN_one(p) || !BN_lshift(p, p, 255) || !BN_sub_word(p, 19) ||
	    !BN_set_word(u, 121666) || !BN_mod_inverse(d, u, p, ctx) || !BN_mul_word(d, 121665) ||
	    !BN_sub(d, p, d) || !BN_nnmod(d, d, p, ctx) || !BN_lebin2bn(bytes, sizeof(bytes), y))
		return false;
	*ret_on = BN_cmp(y, p) < 0;
	if (!*ret_on)
		return true;
	if (!BN_mod_sqr(u, y, p, ctx) || !BN_mod_mul(v, u, d, p, ctx) || !BN_add_word(v, 1) ||
	    !BN_sub_word(u, 1) || !BN_mod_inverse(v, v, p, ctx) || !BN_mod_mul(u, u, v, p, ctx))
		return false;
	*ret_on = BN_is_zero(u) || BN_kronecker(u, p, ctx) == 1;
	return true;
}

bool pki_edwards_point_is_good(const uint8_t encoded[32])
{
	CLEANUP(BN_CTX_freep) BN_CTX *ctx = BN_CTX_new();
	bool is_on = false;

	if (!ctx)
		return false;
	BN_CTX_start(ctx);
	if (!edwards_is_on_curve(encoded, ctx, &is_on))
		is_on = false;
	BN_CTX_end(ctx);
	return is_on;
}

static bool edwards_check(const EVP_PKEY *key, struct muster_error *err)
{
	uint8_t point[32];
	size_t size = sizeof(point);

	return (EVP_PKEY_get_raw_public_key(key, point, &size) == 1 && size == sizeof(point) &&
		pki_edwards_point_is_good(point)) ||
	       pki_fail(err, CAUSE_KEY_WEAK, "a point that is not on its curve Ed25519");
}

bool pki_key_check(const EVP_PKEY *key, struct muster_error *err)
{
	static const struct {
		const char *algorithm;
		bool (*check)(const EVP_PKEY *key, struct muster_error *err);
	} checks[] = {
		{ "RSA", rsa_check },
		{ "EC", curve_check },
		{ "ED25519", edwards_check },
	};

	for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
		if (EVP_PKEY_is_a(key, checks[i].algorithm))
			return checks[i].check(key, err);
	return muster_fail(err, CAUSE_KEY_WEAK, "a key of a kind that is not for devices");
}
