/* The sessions of a job: salted to the endorsement key that the station has validated, opened once and used again. */
#include "muster/tpm.h"

#include <string.h>

#include <openssl/crypto.h>

#include "tpm-internal.h"

#define PROTECTING (TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT)

/* Stands in front of OpenSSL's for the TSS, which makes a context for each random number and each digest, so that a TPM
 * provider in the default one could not call it again: most of the processor time of a device. Here is no such provider,
 * and OpenSSL does not let the default context be freed. */
__attribute__((visibility("default"))) OSSL_LIB_CTX *OSSL_LIB_CTX_new(void)
{
	return OSSL_LIB_CTX_get0_global_default();
}

/* What the library keeps about the handle was read over the wire without protection, and the salt goes to that key.
 * Its serialised form ends in the public area. */
static bool check_kept_public(struct tpm *tpm, struct muster_error *err)
{
	CLEANUP(esys_freep) uint8_t *kept = NULL;
	size_t size = 0;
	const struct ek_public *ek = &tpm->ek_public;
	TSS2_RC rc = Esys_TR_Serialize(tpm->esys, tpm->ek, &kept, &size);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(tpm, rc, err, "looking at what is kept of the endorsement key");
	if (size >= ek->size && memcmp(kept + size - ek->size, ek->data, ek->size) == 0)
		return true;
	tpm->is_damaged = true;
	return muster_fail(err, CAUSE_TPM_SWAPPED,
			   "the endorsement key at 0x%08x is not the one that was validated",
			   tpm->ek_handle);
}

static bool open_ek(struct tpm *tpm, struct muster_error *err)
{
	bool exists = false;
	if (tpm->ek != ESYS_TR_NONE)
		return true;
	if (!tpm_handle_exists(tpm, tpm->ek_handle, &exists, err))
		return false;
	if (!exists)
		return muster_fail(err, CAUSE_TPM_SWAPPED, "the endorsement key at 0x%08x is gone",
				   tpm->ek_handle);
	return tpm_reference_open(tpm, tpm->ek_handle, &tpm->ek, err) &&
	       check_kept_public(tpm, err);
}

static bool start(struct tpm *tpm, TPM2_SE type, const char *what, ESYS_TR *ret_session,
		  struct muster_error *err)
{
	static const TPMT_SYM_DEF encryption = {
		.algorithm = TPM2_ALG_AES,
		.keyBits.aes = 128,
		.mode.aes = TPM2_ALG_CFB,
	};
	static const TPMT_SYM_DEF none = { .algorithm = TPM2_ALG_NULL };
	ESYS_TR session = ESYS_TR_NONE;
	TSS2_RC rc = Esys_StartAuthSession(
		tpm->esys, tpm->ek, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL,
		type, type == TPM2_SE_POLICY ? &none : &encryption, TPM2_ALG_SHA256, &session);
	if (rc != TSS2_RC_SUCCESS)
		/* Only the chip that holds the EK can open the salt. */
		return tpm_fail_as(tpm, rc, CAUSE_TPM_SWAPPED, err, "starting %s", what);
	*ret_session = session;
	return true;
}

static bool start_protecting(struct tpm *tpm, struct muster_error *err)
{
	if (!open_ek(tpm, err) ||
	    !start(tpm, TPM2_SE_HMAC, "a protected session", &tpm->session, err))
		return false;
	TSS2_RC rc = Esys_TRSess_SetAttributes(tpm->esys, tpm->session, PROTECTING, 0xff);
	return rc == TSS2_RC_SUCCESS || tpm_fail(tpm, rc, err, "setting up a protected session");
}

bool tpm_session_ensure(struct tpm *tpm, struct muster_error *err)
{
	if (tpm->ek_public.size == 0)
		return muster_fail(err, CAUSE_INTERNAL,
				   "no endorsement key was validated for a protected session");
	return tpm->session != ESYS_TR_NONE || start_protecting(tpm, err);
}

bool tpm_session_auth(struct tpm *tpm, ESYS_TR *ret_auth, struct muster_error *err)
{
	if (tpm->ek_public.size > 0 && !tpm_session_ensure(tpm, err))
		return false;
	*ret_auth = tpm->session != ESYS_TR_NONE ? tpm->session : ESYS_TR_PASSWORD;
	return true;
}

/* It is salted too: only so has its part of a response a MAC. Using it resets it, so it is authorised each time. */
bool tpm_policy_authorise(struct tpm *tpm, struct muster_error *err)
{
	if (!tpm_session_ensure(tpm, err) ||
	    (tpm->policy == ESYS_TR_NONE &&
	     !start(tpm, TPM2_SE_POLICY, "a policy session", &tpm->policy, err)))
		return false;
	TSS2_RC rc = Esys_PolicySecret(tpm->esys, ESYS_TR_RH_ENDORSEMENT, tpm->policy, tpm->session,
				       ESYS_TR_NONE, ESYS_TR_NONE, NULL, NULL, NULL, 0, NULL, NULL);
	return rc == TSS2_RC_SUCCESS ||
	       tpm_fail(tpm, rc, err, "authorising with the endorsement hierarchy");
}

static bool begin(struct tpm *tpm, uint32_t ek_handle, const struct ek_public *ek,
		  struct muster_error *err)
{
	if (!tpm_session_end(tpm, err))
		return false;
	tpm->ek_handle = ek_handle;
	tpm->ek_public = *ek;
	return tpm_session_ensure(tpm, err);
}

bool tpm_session_begin(struct tpm *tpm, uint32_t ek_handle, const struct ek_public *ek,
		       struct muster_error *err)
{
	return TPM_TASK(tpm, err,
			begin(tpm, ek_handle, ek, err) ||
				muster_error_prefix(err, "opening a protected session"));
}

static bool flush(struct tpm *tpm, ESYS_TR *session, struct muster_error *err)
{
	ESYS_TR own = *session;
	*session = ESYS_TR_NONE;
	if (own == ESYS_TR_NONE)
		return true;
	TSS2_RC rc = Esys_FlushContext(tpm->esys, own);
	return rc == TSS2_RC_SUCCESS || tpm_fail(tpm, rc, err, "ending a session");
}

bool tpm_session_end(struct tpm *tpm, struct muster_error *err)
{
	if (!flush(tpm, &tpm->policy, err) || !flush(tpm, &tpm->session, err))
		return false;
	if (tpm->ek != ESYS_TR_NONE)
		Esys_TR_Close(tpm->esys, &tpm->ek);
	tpm->ek = ESYS_TR_NONE;
	return true;
}
