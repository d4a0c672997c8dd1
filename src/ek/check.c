/* What DPS takes, and what this room can wrap for. */
#include "muster/ek.h"

#include <string.h>

#include "ek-internal.h"

#define RSA_BITS 2048
#define RSA_SIZE (RSA_BITS / 8)
#define AES_BITS 128

/* TCG EK Credential Profile, B.3.3. */
const uint8_t ek_policy_l1[SHA256_SIZE] = {
	0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc,
	0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52,
	0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
};

static bool refuse(struct muster_error *err, const char *what, const char *why)
{
	return muster_fail(err, CAUSE_EK_UNSUPPORTED, "the %s %s", what, why);
}

static bool check_modulus(const TPM2B_PUBLIC_KEY_RSA *modulus)
{
	return modulus->size == RSA_SIZE && (modulus->buffer[0] & 0x80) &&
	       (modulus->buffer[RSA_SIZE - 1] & 1);
}

static bool is_aes_128_cfb(const TPMT_SYM_DEF_OBJECT *cipher)
{
	return cipher->algorithm == TPM2_ALG_AES && cipher->keyBits.aes == AES_BITS &&
	       cipher->mode.aes == TPM2_ALG_CFB;
}

bool ek_check_storage(const TPMT_PUBLIC *area, const char *what, struct muster_error *err)
{
	if (area->type == TPM2_ALG_ECC)
		return muster_fail(err, CAUSE_EK_ELLIPTIC,
				   "the %s is an elliptic-curve key: DPS wraps its challenge with "
				   "RSA-OAEP and takes RSA-2048 only",
				   what);
	if (area->type != TPM2_ALG_RSA)
		return refuse(err, what, "is not an RSA key");

	const TPMS_RSA_PARMS *rsa = &area->parameters.rsaDetail;
	if (rsa->keyBits != RSA_BITS)
		return muster_fail(err, CAUSE_EK_UNSUPPORTED,
				   "the %s is RSA-%u: DPS takes RSA-2048 only", what, rsa->keyBits);
	if (area->nameAlg != TPM2_ALG_SHA256)
		return refuse(err, what, "has another name algorithm than SHA-256");
	if (!is_aes_128_cfb(&rsa->symmetric))
		return refuse(err, what, "protects with another cipher than AES-128-CFB");
	if (rsa->scheme.scheme != TPM2_ALG_NULL)
		return refuse(err, what, "is bound to a scheme");
	if (rsa->exponent != 0 && rsa->exponent != 65537)
		return refuse(err, what, "has another exponent than 65537");
	if (!check_modulus(&area->unique.rsa))
		return refuse(err, what, "has a modulus that is not an odd number of 2048 bits");
	return true;
}

bool ek_check_dps(const struct ek_public *ek, struct muster_error *err)
{
	static const char what[] = "endorsement key";
	TPMT_PUBLIC area;
	if (!ek_public_unpack(ek, &area, err) || !ek_check_storage(&area, what, err))
		return false;
	if (area.objectAttributes != EK_ATTRIBUTES)
		return muster_fail(err, CAUSE_EK_TEMPLATE_OTHER,
				   "the %s has attributes 0x%08x, not 0x%08x", what,
				   area.objectAttributes, EK_ATTRIBUTES);
	if (area.authPolicy.size != sizeof(ek_policy_l1) ||
	    memcmp(area.authPolicy.buffer, ek_policy_l1, sizeof(ek_policy_l1)) != 0)
		return muster_fail(
			err, CAUSE_EK_TEMPLATE_OTHER,
			"the %s has another policy than PolicySecret(endorsement) of TCG template L-1",
			what);
	return true;
}

bool ek_check_srk(const struct ek_public *srk, struct muster_error *err)
{
	static const char what[] = "storage root key";
	TPMT_PUBLIC area;
	if (!ek_public_unpack(srk, &area, err) || !ek_check_storage(&area, what, err))
		return false;
	if (area.objectAttributes != SRK_ATTRIBUTES)
		return refuse(err, what, "has other attributes than Azure's template");
	return area.authPolicy.size == 0 || refuse(err, what, "has a policy");
}
