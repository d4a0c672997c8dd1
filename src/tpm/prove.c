/* That the private half of the EK is in this chip: a credential that only it can recover. */
#include "muster/tpm.h"

#include <tss2/tss2_mu.h>

#include "tpm-internal.h"

static bool make_ak(struct tpm *tpm, struct muster_error *err)
{
	CLEANUP(tpm_object_done) struct tpm_object object = TPM_OBJECT(tpm);
	struct ek_public template;
	ESYS_TR auth;
	if (tpm->ak != ESYS_TR_NONE)
		return true;
	if (!ek_template_ak(&template, err) || !tpm_session_auth(tpm, &auth, err) ||
	    !tpm_primary_create(tpm, ESYS_TR_RH_ENDORSEMENT, auth, &template, &object,
				&tpm->ak_public, err))
		return muster_error_prefix(err, "making an attestation key");
	tpm->ak = object.handle;
	object.handle = ESYS_TR_NONE;
	return true;
}

static bool ensure(struct tpm *tpm, enum tpm_witness which, struct muster_error *err)
{
	return which == TPM_WITNESS_AK ? make_ak(tpm, err) : tpm_srk_ensure(tpm, err);
}

bool tpm_witness_get(struct tpm *tpm, enum tpm_witness which, struct ek_public *ret_public,
		     struct muster_error *err)
{
	if (!TPM_TASK(tpm, err, ensure(tpm, which, err)))
		return false;
	*ret_public = which == TPM_WITNESS_AK ? tpm->ak_public : tpm->srk_public;
	return true;
}

static bool unpack(const struct bytes *id_object, const struct bytes *secret,
		   TPM2B_ID_OBJECT *ret_id_object, TPM2B_ENCRYPTED_SECRET *ret_secret,
		   struct muster_error *err)
{
	size_t object_size = 0, secret_size = 0;
	if (Tss2_MU_TPM2B_ID_OBJECT_Unmarshal(id_object->data, id_object->size, &object_size,
					      ret_id_object) == TSS2_RC_SUCCESS &&
	    object_size == id_object->size &&
	    Tss2_MU_TPM2B_ENCRYPTED_SECRET_Unmarshal(secret->data, secret->size, &secret_size,
						     ret_secret) == TSS2_RC_SUCCESS &&
	    secret_size == secret->size)
		return true;
	return muster_fail(err, CAUSE_TPM_ACTIVATION_FAILED,
			   "the credential is not what a TPM takes");
}

static bool prove(struct tpm *tpm, enum tpm_witness which, const struct bytes *id_object,
		  const struct bytes *secret, struct secret *ret_credential,
		  struct muster_error *err)
{
	TPM2B_ID_OBJECT unpacked_object = { 0 };
	TPM2B_ENCRYPTED_SECRET unpacked_secret = { 0 };
	return unpack(id_object, secret, &unpacked_object, &unpacked_secret, err) &&
	       ensure(tpm, which, err) &&
	       tpm_activate(tpm, which == TPM_WITNESS_AK ? tpm->ak : tpm->srk, &unpacked_object,
			    &unpacked_secret, ret_credential, err);
}

bool tpm_prove(struct tpm *tpm, enum tpm_witness which, const struct bytes *id_object,
	       const struct bytes *secret, struct secret *ret_credential, struct muster_error *err)
{
	return TPM_TASK(
		tpm, err,
		prove(tpm, which, id_object, secret, ret_credential, err) ||
			muster_error_prefix(err, "proving that the TPM holds its endorsement key"));
}
