/* The templates that muster makes keys of: EK and SRK, which differ in attributes and policy only, and the AK. */
#include "muster/ek.h"

#include <string.h>

#include "ek-internal.h"

static TPMT_PUBLIC storage_template(uint32_t attributes)
{
	/* The unique field is an input to the key's derivation: 256 zero bytes, not an empty one, give the key
	 * that the vendor's EK certificate is for. */
	return (TPMT_PUBLIC){
		.type = TPM2_ALG_RSA,
		.nameAlg = TPM2_ALG_SHA256,
		.objectAttributes = attributes,
		.parameters.rsaDetail = {
			.symmetric = {
				.algorithm = TPM2_ALG_AES,
				.keyBits.aes = 128,
				.mode.aes = TPM2_ALG_CFB,
			},
			.scheme.scheme = TPM2_ALG_NULL,
			.keyBits = 2048,
		},
		.unique.rsa.size = 256,
	};
}

bool ek_template_ek(struct ek_public *ret_template, struct muster_error *err)
{
	TPMT_PUBLIC area = storage_template(EK_ATTRIBUTES);
	area.authPolicy.size = sizeof(ek_policy_l1);
	memcpy(area.authPolicy.buffer, ek_policy_l1, sizeof(ek_policy_l1));
	return ek_public_pack(&area, ret_template, err);
}

bool ek_template_srk(struct ek_public *ret_template, struct muster_error *err)
{
	TPMT_PUBLIC area = storage_template(SRK_ATTRIBUTES);
	return ek_public_pack(&area, ret_template, err);
}

bool ek_template_ak(struct ek_public *ret_template, struct muster_error *err)
{
	TPMT_PUBLIC area = {
		.type = TPM2_ALG_ECC,
		.nameAlg = TPM2_ALG_SHA256,
		.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
				    TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
				    TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED |
				    TPMA_OBJECT_SIGN_ENCRYPT,
		.parameters.eccDetail = {
			.symmetric.algorithm = TPM2_ALG_NULL,
			.scheme = { TPM2_ALG_ECDSA, { .ecdsa.hashAlg = TPM2_ALG_SHA256 } },
			.curveID = TPM2_ECC_NIST_P256,
			.kdf.scheme = TPM2_ALG_NULL,
		},
	};
	return ek_public_pack(&area, ret_template, err);
}
