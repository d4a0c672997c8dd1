/* A counter in NV that only ever rises: TPM 2.0 library, part 1, 37.2.4 (NV counter index). */
#include "muster/tpm.h"

#include "tpm-internal.h"

/* Anybody may read and raise it, nobody may set it; a new one begins above all that the chip ever had. */
#define COUNTER_ATTRIBUTES                                                        \
	((TPMA_NV)(TPM2_NT_COUNTER << TPMA_NV_TPM2_NT_SHIFT) | TPMA_NV_AUTHREAD | \
	 TPMA_NV_AUTHWRITE | TPMA_NV_OWNERREAD | TPMA_NV_NO_DA)

static bool define(struct tpm *tpm, uint32_t index, ESYS_TR *ret_reference,
		   struct muster_error *err)
{
	const TPM2B_AUTH nobody = { 0 };
	const TPM2B_NV_PUBLIC public = {
		.nvPublic = { .nvIndex = index,
			      .nameAlg = TPM2_ALG_SHA256,
			      .attributes = COUNTER_ATTRIBUTES,
			      .dataSize = sizeof(uint64_t) },
	};
	TSS2_RC rc =
		Esys_NV_DefineSpace(tpm->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
				    ESYS_TR_NONE, &nobody, &public, ret_reference);
	return rc == TSS2_RC_SUCCESS || tpm_fail(tpm, rc, err, "making the counter 0x%08x", index);
}

static bool is_counter(struct tpm *tpm, uint32_t index, ESYS_TR reference, struct muster_error *err)
{
	CLEANUP(esys_freep) TPM2B_NV_PUBLIC *public = NULL;
	TSS2_RC rc = Esys_NV_ReadPublic(tpm->esys, reference, ESYS_TR_NONE, ESYS_TR_NONE,
					ESYS_TR_NONE, &public, NULL);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(tpm, rc, err, "looking at NV index 0x%08x", index);
	/* WRITTEN comes with the first increment. */
	return (public->nvPublic.attributes & ~TPMA_NV_WRITTEN) == COUNTER_ATTRIBUTES ||
	       muster_fail(err, CAUSE_TPM_NO_COUNTER, "NV index 0x%08x is something else", index);
}

static bool raise(struct tpm *tpm, uint32_t index, bool exists, struct muster_error *err)
{
	ESYS_TR reference = ESYS_TR_NONE;
	if (!(exists ? tpm_reference_open(tpm, index, &reference, err) &&
			       is_counter(tpm, index, reference, err)
		     : define(tpm, index, &reference, err)))
		return false;
	TSS2_RC rc = Esys_NV_Increment(tpm->esys, reference, reference, ESYS_TR_PASSWORD,
				       ESYS_TR_NONE, ESYS_TR_NONE);
	Esys_TR_Close(tpm->esys, &reference);
	return rc == TSS2_RC_SUCCESS || tpm_fail(tpm, rc, err, "raising the counter 0x%08x", index);
}

bool tpm_counter_raise(struct tpm *tpm, uint32_t index, struct muster_error *err)
{
	if (index >> 24 != TPM2_HT_NV_INDEX)
		return muster_fail(err, CAUSE_TPM_NO_COUNTER, "0x%08x is not an NV index", index);
	bool exists = false;
	/* Not TPM_TASK: a counter must not be raised twice. */
	return (tpm_is_there(tpm, err) && tpm_handle_exists(tpm, index, &exists, err) &&
		raise(tpm, index, exists, err)) ||
	       tpm_task_failed(tpm, err);
}
