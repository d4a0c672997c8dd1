/* The service's challenge: activated, the HMAC key imported, and used. */
#include "muster/tpm.h"

#include <string.h>

#include <tss2/tss2_mu.h>

#include "muster/secret.h"
#include "tpm-internal.h"

#define INNER_KEY_SIZE 16

struct challenge {
	TPM2B_ID_OBJECT id_object;
	TPM2B_ENCRYPTED_SECRET credential_secret;
	TPM2B_PRIVATE duplicate;
	TPM2B_ENCRYPTED_SECRET duplicate_seed;
	TPM2B_PUBLIC key_public;
};

/* Exactly one value of that type, nothing behind it. */
#define UNPACK(type, span, out)                                                                \
	({                                                                                     \
		size_t offset_ = 0;                                                            \
		(span).size > 0 &&                                                             \
			Tss2_MU_##type##_Unmarshal((span).data, (span).size, &offset_, out) == \
				TSS2_RC_SUCCESS &&offset_ == (span).size;                      \
	})

static bool unpack_challenge(const struct ek_challenge *parts, struct challenge *challenge,
			     struct muster_error *err)
{
	if (UNPACK(TPM2B_ID_OBJECT, parts->id_object, &challenge->id_object) &&
	    UNPACK(TPM2B_ENCRYPTED_SECRET, parts->credential_secret,
		   &challenge->credential_secret) &&
	    UNPACK(TPM2B_PRIVATE, parts->duplicate, &challenge->duplicate) &&
	    UNPACK(TPM2B_ENCRYPTED_SECRET, parts->duplicate_seed, &challenge->duplicate_seed) &&
	    UNPACK(TPM2B_PUBLIC, parts->key_public, &challenge->key_public))
		return true;
	return muster_fail(err, CAUSE_TPM_ACTIVATION_FAILED,
			   "a part of the challenge is not what a TPM takes");
}

/* -- Activation -------------------------------------------------------------------------------------------- */

/* The credential comes back encrypted by the session, which also authorises the object. */
bool tpm_activate(struct tpm *tpm, ESYS_TR object, const TPM2B_ID_OBJECT *id_object,
		  const TPM2B_ENCRYPTED_SECRET *secret, struct secret *ret_credential,
		  struct muster_error *err)
{
	CLEANUP(esys_freep) TPM2B_DIGEST *activated = NULL;
	if (!tpm_policy_authorise(tpm, err))
		return false;
	TSS2_RC rc = Esys_ActivateCredential(tpm->esys, object, tpm->ek, tpm->session, tpm->policy,
					     ESYS_TR_NONE, id_object, secret, &activated);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail_as(tpm, rc, CAUSE_TPM_ACTIVATION_FAILED, err,
				   "activating the credential");
	bool kept =
		activated->size == INNER_KEY_SIZE
			? secret_copy(ret_credential, activated->buffer, INNER_KEY_SIZE, err)
			: muster_fail(err, CAUSE_TPM_ACTIVATION_FAILED,
				      "the credential has %u bytes, not the %d of an AES-128 key",
				      activated->size, INNER_KEY_SIZE);
	secret_wipe(activated, sizeof(*activated));
	return kept;
}

/* -- Import ------------------------------------------------------------------------------------------------ */

static bool import(struct tpm *tpm, const struct challenge *challenge,
		   const struct secret *inner_key, TPM2B_PRIVATE **ret_private,
		   struct muster_error *err)
{
	static const TPMT_SYM_DEF_OBJECT inner_wrap = {
		.algorithm = TPM2_ALG_AES,
		.keyBits.aes = 8 * INNER_KEY_SIZE,
		.mode.aes = TPM2_ALG_CFB,
	};
	TPM2B_DATA encryption_key = { .size = INNER_KEY_SIZE };
	memcpy(encryption_key.buffer, inner_key->data, INNER_KEY_SIZE);
	TSS2_RC rc = Esys_Import(tpm->esys, tpm->srk, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE,
				 &encryption_key, &challenge->key_public, &challenge->duplicate,
				 &challenge->duplicate_seed, &inner_wrap, ret_private);
	secret_wipe(&encryption_key, sizeof(encryption_key));
	return rc == TSS2_RC_SUCCESS || tpm_fail_as(tpm, rc, CAUSE_TPM_ACTIVATION_FAILED, err,
						    "importing the service's key");
}

static bool load(struct tpm *tpm, const struct challenge *challenge, const TPM2B_PRIVATE *private,
		 struct muster_error *err)
{
	ESYS_TR key = ESYS_TR_NONE;
	TSS2_RC rc = Esys_Load(tpm->esys, tpm->srk, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE,
			       private, &challenge->key_public, &key);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail_as(tpm, rc, CAUSE_TPM_ACTIVATION_FAILED, err,
				   "loading the service's key");
	tpm->key = key;
	return true;
}

static bool import_key(struct tpm *tpm, uint32_t ek_handle, const struct ek_challenge *parts,
		       struct muster_error *err)
{
	struct challenge challenge = { 0 };
	CLEANUP(secret_done) struct secret inner_key = { 0 };
	CLEANUP(esys_freep) TPM2B_PRIVATE *private = NULL;
	CLEANUP(tpm_object_done) struct tpm_object old = { tpm, tpm->key };
	tpm->key = ESYS_TR_NONE;
	tpm_object_done(&old); /* three slots are all that a TPM has to have */
	if (!unpack_challenge(parts, &challenge, err) || !tpm_session_ensure(tpm, err))
		return false;
	if (ek_handle != tpm->ek_handle)
		return muster_fail(err, CAUSE_INTERNAL,
				   "the protected session is not that of the key at 0x%08x",
				   ek_handle);
	return tpm_srk_ensure(tpm, err) &&
	       tpm_activate(tpm, tpm->srk, &challenge.id_object, &challenge.credential_secret,
			    &inner_key, err) &&
	       import(tpm, &challenge, &inner_key, &private, err) &&
	       load(tpm, &challenge, private, err);
}

bool tpm_key_import(struct tpm *tpm, uint32_t ek_handle, const struct ek_challenge *challenge,
		    struct muster_error *err)
{
	return TPM_TASK(tpm, err,
			import_key(tpm, ek_handle, challenge, err) ||
				muster_error_prefix(err, "taking the service's challenge"));
}

/* -- Use --------------------------------------------------------------------------------------------------- */

static bool compute(struct tpm *tpm, const TPM2B_MAX_BUFFER *data, uint8_t mac[TPM_MAC_SIZE],
		    struct muster_error *err)
{
	CLEANUP(esys_freep) TPM2B_DIGEST *result = NULL;
	TSS2_RC rc = Esys_HMAC(tpm->esys, tpm->key, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE, data,
			       TPM2_ALG_SHA256, &result);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(tpm, rc, err, "computing an HMAC");
	if (result->size != TPM_MAC_SIZE)
		return muster_fail(err, CAUSE_TPM_ANSWER_INVALID, "an HMAC-SHA256 of %u bytes came",
				   result->size);
	memcpy(mac, result->buffer, TPM_MAC_SIZE);
	return true;
}

bool tpm_hmac(struct tpm *tpm, const void *data, size_t size, uint8_t mac[TPM_MAC_SIZE],
	      struct muster_error *err)
{
	TPM2B_MAX_BUFFER buffer = { .size = (uint16_t)size };
	if (!tpm_is_there(tpm, err))
		return false;
	if (tpm->key == ESYS_TR_NONE)
		return muster_fail(err, CAUSE_INTERNAL, "no key was imported before the HMAC");
	if (size > sizeof(buffer.buffer))
		return muster_fail(err, CAUSE_INTERNAL,
				   "%zu bytes are more than one HMAC command takes (%zu)", size,
				   sizeof(buffer.buffer));
	memcpy(buffer.buffer, data, size);
	return compute(tpm, &buffer, mac, err) || tpm_task_failed(tpm, err);
}
