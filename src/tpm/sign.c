/* Signing with a key that stays on the chip: a station's own. */
#include "muster/tpm.h"

#include <openssl/ecdsa.h>
#include <string.h>

#include "tpm-internal.h"

DEFINE_FREEP(ECDSA_SIG_freep, ECDSA_SIG *, ECDSA_SIG_free)

static bool look_at_key(struct tpm *tpm, uint32_t handle, ESYS_TR key, TPMI_ALG_PUBLIC *ret_type,
			struct muster_error *err)
{
	CLEANUP(esys_freep) TPM2B_PUBLIC *public = NULL;
	TSS2_RC rc = Esys_ReadPublic(tpm->esys, key, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
				     &public, NULL, NULL);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(tpm, rc, err, "looking at the key at 0x%08x", handle);
	TPMA_OBJECT attributes = public->publicArea.objectAttributes;
	if (!(attributes & TPMA_OBJECT_SIGN_ENCRYPT) || (attributes & TPMA_OBJECT_RESTRICTED))
		return muster_fail(err, CAUSE_STATION_KEY_UNUSABLE,
				   "the key at 0x%08x does not sign what it is given", handle);
	/* The empty password is tried; where it is wrong, that must not count. */
	if (!(attributes & TPMA_OBJECT_NODA) || !(attributes & TPMA_OBJECT_USERWITHAUTH))
		return muster_fail(err, CAUSE_STATION_KEY_UNUSABLE,
				   "the key at 0x%08x cannot be used without the risk of a failed "
				   "try: it needs the attributes userwithauth and noda",
				   handle);
	*ret_type = public->publicArea.type;
	return true;
}

static bool to_der(const TPMS_SIGNATURE_ECC *pair, uint8_t out[TPM_SIGNATURE_MAX], size_t *ret_size,
		   struct muster_error *err)
{
	CLEANUP(ECDSA_SIG_freep) ECDSA_SIG *signature = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(pair->signatureR.buffer, pair->signatureR.size, NULL);
	BIGNUM *s = BN_bin2bn(pair->signatureS.buffer, pair->signatureS.size, NULL);
	if (!signature || !r || !s || ECDSA_SIG_set0(signature, r, s) != 1) {
		BN_free(r);
		BN_free(s);
		return muster_fail_memory(err);
	}
	/* Two numbers of 66 bytes at most: less than TPM_SIGNATURE_MAX. */
	*ret_size = (size_t)i2d_ECDSA_SIG(signature, &out);
	return true;
}

static bool take_signature(const TPMT_SIGNATURE *made, uint8_t out[TPM_SIGNATURE_MAX],
			   size_t *ret_size, struct muster_error *err)
{
	const TPM2B_PUBLIC_KEY_RSA *number = &made->signature.rsassa.sig;
	if (made->sigAlg == TPM2_ALG_ECDSA)
		return to_der(&made->signature.ecdsa, out, ret_size, err);
	if (made->sigAlg != TPM2_ALG_RSASSA || number->size > TPM_SIGNATURE_MAX)
		return muster_fail(err, CAUSE_TPM_ANSWER_INVALID,
				   "a signature of another kind came");
	memcpy(out, number->buffer, number->size);
	*ret_size = number->size;
	return true;
}

static bool sign(struct tpm *tpm, uint32_t handle, ESYS_TR key, const TPM2B_DIGEST *digest,
		 uint8_t signature[TPM_SIGNATURE_MAX], size_t *ret_size, struct muster_error *err)
{
	const TPMT_TK_HASHCHECK no_ticket = { .tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL };
	TPMI_ALG_PUBLIC type = TPM2_ALG_NULL;
	if (!look_at_key(tpm, handle, key, &type, err))
		return false;
	const TPMT_SIG_SCHEME scheme = {
		.scheme = type == TPM2_ALG_ECC ? TPM2_ALG_ECDSA : TPM2_ALG_RSASSA,
		.details = { .any = { .hashAlg = TPM2_ALG_SHA256 } },
	};
	CLEANUP(esys_freep) TPMT_SIGNATURE *made = NULL;
	TSS2_RC rc = Esys_Sign(tpm->esys, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, digest,
			       &scheme, &no_ticket, &made);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(tpm, rc, err, "signing with the key at 0x%08x", handle);
	return take_signature(made, signature, ret_size, err);
}

static bool open_and_sign(struct tpm *tpm, uint32_t handle, const TPM2B_DIGEST *digest,
			  uint8_t signature[TPM_SIGNATURE_MAX], size_t *ret_size,
			  struct muster_error *err)
{
	ESYS_TR key = ESYS_TR_NONE;
	if (!tpm_reference_open(tpm, handle, &key, err))
		return false;
	bool good = sign(tpm, handle, key, digest, signature, ret_size, err);
	Esys_TR_Close(tpm->esys, &key);
	return good;
}

bool tpm_sign(struct tpm *tpm, uint32_t handle, const uint8_t digest[SHA256_SIZE],
	      uint8_t signature[TPM_SIGNATURE_MAX], size_t *ret_size, struct muster_error *err)
{
	TPM2B_DIGEST sized = { .size = SHA256_SIZE };
	memcpy(sized.buffer, digest, SHA256_SIZE);
	return TPM_TASK(tpm, err, open_and_sign(tpm, handle, &sized, signature, ret_size, err));
}
