/* Primary keys: the EK where there is none, and the SRK. */
#include "muster/tpm.h"

#include <tss2/tss2_mu.h>

#include "tpm-internal.h"

static bool unpack_template(const struct ek_public *template, TPM2B_PUBLIC *ret_sized,
			    struct muster_error *err)
{
	size_t offset = 0;
	TSS2_RC rc =
		Tss2_MU_TPM2B_PUBLIC_Unmarshal(template->data, template->size, &offset, ret_sized);
	return rc == TSS2_RC_SUCCESS ||
	       muster_fail_native(err, CAUSE_INTERNAL, ORIGIN_TSS, rc, "unpacking a key template");
}

bool tpm_primary_create(struct tpm *tpm, ESYS_TR hierarchy, ESYS_TR auth,
			const struct ek_public *template, struct tpm_object *object,
			struct ek_public *ret_public, struct muster_error *err)
{
	static const TPM2B_SENSITIVE_CREATE no_auth;
	static const TPM2B_DATA no_outside_info;
	static const TPML_PCR_SELECTION no_pcrs;
	TPM2B_PUBLIC wanted = { 0 };
	if (!unpack_template(template, &wanted, err))
		return false;
	CLEANUP(esys_freep) TPM2B_PUBLIC *made = NULL;
	TSS2_RC rc = Esys_CreatePrimary(tpm->esys, hierarchy, auth, ESYS_TR_NONE, ESYS_TR_NONE,
					&no_auth, &wanted, &no_outside_info, &no_pcrs,
					&object->handle, &made, NULL, NULL, NULL);
	if (rc != TSS2_RC_SUCCESS) {
		object->handle = ESYS_TR_NONE;
		return tpm_fail(tpm, rc, err, "creating a primary key");
	}
	return tpm_public_pack(made, ret_public, err);
}

/* -- EK ---------------------------------------------------------------------------------------------------- */

static bool persist(struct tpm *tpm, const struct tpm_object *object, uint32_t handle,
		    struct muster_error *err)
{
	ESYS_TR persistent = ESYS_TR_NONE;
	TSS2_RC rc =
		Esys_EvictControl(tpm->esys, ESYS_TR_RH_OWNER, object->handle, ESYS_TR_PASSWORD,
				  ESYS_TR_NONE, ESYS_TR_NONE, handle, &persistent);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(tpm, rc, err, "persisting a key at 0x%08x", handle);
	Esys_TR_Close(tpm->esys, &persistent);
	return true;
}

static bool create_ek(struct tpm *tpm, uint32_t handle, const struct ek_public *template,
		      struct ek_public *ret_ek, struct muster_error *err)
{
	CLEANUP(tpm_object_done) struct tpm_object object = TPM_OBJECT(tpm);
	struct ek_public ek;
	bool is_taken = true;
	if (!tpm_handle_exists(tpm, handle, &is_taken, err))
		return false;
	if (is_taken) /* EvictControl would take the old one away */
		return muster_fail(err, CAUSE_TPM_COMMAND_FAILED, "handle 0x%08x is taken", handle);
	if (!tpm_primary_create(tpm, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD, template, &object,
				&ek, err) ||
	    !ek_check_dps(&ek, err) || !persist(tpm, &object, handle, err))
		return false;
	*ret_ek = ek;
	return true;
}

bool tpm_ek_create(struct tpm *tpm, uint32_t handle, const struct ek_public *template,
		   struct ek_public *ret_public, struct muster_error *err)
{
	if (handle >> 24 != TPM2_HT_PERSISTENT)
		return muster_fail(err, CAUSE_INTERNAL, "0x%08x is not a persistent handle",
				   handle);
	if (!TPM_TASK(tpm, err,
		      create_ek(tpm, handle, template, ret_public, err) ||
			      muster_error_prefix(err, "making an endorsement key")))
		return false;
	/* The transient copy is flushed by now; when that failed, the context is due. */
	tpm_recover(tpm);
	return true;
}

static bool try_template(struct tpm *tpm, const struct ek_public *template,
			 struct ek_public *ret_public, struct muster_error *err)
{
	CLEANUP(tpm_object_done) struct tpm_object object = TPM_OBJECT(tpm);
	return tpm_primary_create(tpm, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD, template, &object,
				  ret_public, err);
}

bool tpm_ek_try(struct tpm *tpm, const struct ek_public *template, struct ek_public *ret_public,
		struct muster_error *err)
{
	if (!TPM_TASK(tpm, err, try_template(tpm, template, ret_public, err)))
		return false;
	tpm_recover(tpm);
	return true;
}

static bool evict(struct tpm *tpm, uint32_t handle, struct muster_error *err)
{
	ESYS_TR persistent = ESYS_TR_NONE, gone = ESYS_TR_NONE;
	if (!tpm_reference_open(tpm, handle, &persistent, err))
		return false;
	TSS2_RC rc = Esys_EvictControl(tpm->esys, ESYS_TR_RH_OWNER, persistent, ESYS_TR_PASSWORD,
				       ESYS_TR_NONE, ESYS_TR_NONE, handle, &gone);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(tpm, rc, err, "taking the key away from 0x%08x", handle);
	Esys_TR_Close(tpm->esys, &persistent); /* the library keeps what is gone */
	return true;
}

/* `old` is NULL once we have taken it away. */
static bool check_old(struct tpm *tpm, uint32_t handle, const struct ek_public *old,
		      struct muster_error *err)
{
	struct ek_public there;
	bool found = false;
	if (!tpm_public_read(tpm, handle, &found, &there, err))
		return false;
	return (old ? found && ek_public_equal(&there, old) : !found) ||
	       muster_fail(err, CAUSE_TPM_SWAPPED, "another key is at 0x%08x by now", handle);
}

/* The old one goes only when the new one is made and the old one is still the one that was meant. *emptied: this is the second
 * try, and the first one has taken it away. */
static bool replace_ek(struct tpm *tpm, uint32_t handle, const struct ek_public *template,
		       const struct ek_public *old, bool *emptied, struct ek_public *ret_public,
		       struct muster_error *err)
{
	CLEANUP(tpm_object_done) struct tpm_object object = TPM_OBJECT(tpm);
	struct ek_public ek;
	if (!tpm_primary_create(tpm, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD, template, &object,
				&ek, err) ||
	    !ek_check_dps(&ek, err) || !check_old(tpm, handle, *emptied ? NULL : old, err) ||
	    (!*emptied && !evict(tpm, handle, err)))
		return false;
	*emptied = true;
	if (!persist(tpm, &object, handle, err))
		return false;
	*ret_public = ek;
	return true;
}

bool tpm_ek_replace(struct tpm *tpm, uint32_t handle, const struct ek_public *template,
		    const struct ek_public *old, struct ek_public *ret_public,
		    struct muster_error *err)
{
	bool emptied = false;
	if (!TPM_TASK(tpm, err,
		      replace_ek(tpm, handle, template, old, &emptied, ret_public, err) ||
			      muster_error_prefix(err, "replacing the endorsement key")))
		return emptied &&
		       muster_error_prefix(
			       err,
			       "0x%08x may have no key any more; then the same command without --replaces makes one there",
			       handle);
	tpm_recover(tpm);
	return true;
}

/* -- SRK --------------------------------------------------------------------------------------------------- */

static bool take_persistent_srk(struct tpm *tpm, bool *ret_taken, struct muster_error *err)
{
	struct ek_public srk;
	struct muster_error ignored;
	bool found = false;
	if (!tpm_public_read(tpm, SRK_HANDLE, &found, &srk, err))
		return false;
	*ret_taken = found && ek_check_srk(&srk, &ignored);
	if (!*ret_taken)
		return true;
	if (!tpm_reference_open(tpm, SRK_HANDLE, &tpm->srk, err))
		return false;
	tpm->srk_is_transient = false;
	tpm->srk_public = srk;
	return true;
}

static bool make_transient_srk(struct tpm *tpm, struct muster_error *err)
{
	CLEANUP(tpm_object_done) struct tpm_object object = TPM_OBJECT(tpm);
	struct ek_public template;
	struct ek_public srk;
	ESYS_TR auth;
	if (!ek_template_srk(&template, err) || !tpm_session_auth(tpm, &auth, err) ||
	    !tpm_primary_create(tpm, ESYS_TR_RH_OWNER, auth, &template, &object, &srk, err) ||
	    !ek_check_srk(&srk, err))
		return false;
	tpm->srk = object.handle;
	object.handle = ESYS_TR_NONE;
	tpm->srk_is_transient = true;
	tpm->srk_public = srk;
	return true;
}

bool tpm_srk_ensure(struct tpm *tpm, struct muster_error *err)
{
	bool taken = false;
	return tpm->srk != ESYS_TR_NONE || ((take_persistent_srk(tpm, &taken, err) &&
					     (taken || make_transient_srk(tpm, err))) ||
					    muster_error_prefix(err, "getting a storage root key"));
}

bool tpm_srk_get(struct tpm *tpm, struct ek_public *ret_public, struct muster_error *err)
{
	if (!TPM_TASK(tpm, err, tpm_srk_ensure(tpm, err)))
		return false;
	*ret_public = tpm->srk_public;
	return true;
}
