/* One context on one TPM: opening, opening anew after a failure, and leaving the chip as it was. */
#include "muster/tpm.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <tss2/tss2_tctildr.h>

#include "guard.h"
#include "tpm-internal.h"

void tpm_object_done(struct tpm_object *object)
{
	if (object->handle == ESYS_TR_NONE)
		return;
	/* After a failure the context refuses this; then tpm_recover clears the chip. */
	if (Esys_FlushContext(object->tpm->esys, object->handle) != TSS2_RC_SUCCESS)
		object->tpm->is_damaged = true;
	object->handle = ESYS_TR_NONE;
}

void esys_freep(void *pointer_to_pointer)
{
	Esys_Free(*(void **)pointer_to_pointer);
}

static void forget_objects(struct tpm *tpm)
{
	tpm->ek = ESYS_TR_NONE;
	tpm->session = ESYS_TR_NONE;
	tpm->policy = ESYS_TR_NONE;
	tpm->srk = ESYS_TR_NONE;
	tpm->ak = ESYS_TR_NONE;
	tpm->key = ESYS_TR_NONE;
}

static void close_context(struct tpm *tpm)
{
	Esys_Finalize(&tpm->esys);
	guard_free(tpm->guard);
	tpm->guard = NULL;
	Tss2_TctiLdr_Finalize(&tpm->inner);
	forget_objects(tpm);
}

static bool open_context(struct tpm *tpm, struct muster_error *err)
{
	TSS2_RC rc = Tss2_TctiLdr_Initialize(tpm->sandbox.tcti, &tpm->inner);
	/* The library does not say why a node cannot be opened. */
	if (rc != TSS2_RC_SUCCESS)
		return tpm_tcti_try(tpm->tcti_name, err) &&
		       tpm_fail_as(tpm, rc, CAUSE_TPM_UNREACHABLE, err, "connecting");
	tpm->guard = guard_new(tpm->inner, NULL);
	if (!tpm->guard)
		return muster_fail_memory(err);
	guard_set_patience(tpm->guard, tpm->patience_ms);
	rc = Esys_Initialize(&tpm->esys, tpm->guard, NULL);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(tpm, rc, err, "starting the TPM library");
	tpm->is_damaged = false;
	return true;
}

/* The first words with the chip, and the broom after a client that was killed. */
static bool greet(struct tpm *tpm, struct muster_error *err)
{
	struct tpm_handles ignored;
	if (!tpm_handles_list(tpm, FIRST_TRANSIENT, &ignored, err)) {
		if (err->native == TPM2_RC_INITIALIZE)
			return muster_fail_native(err, CAUSE_TPM_UNREACHABLE, ORIGIN_TSS,
						  err->native,
						  "nothing has started this TPM (TPM2_Startup)");
		return false;
	}
	return tpm->has_manager || tpm_handles_flush(tpm, err);
}

bool tpm_open(const char *tcti, int64_t patience_ms, struct tpm **ret_tpm, struct muster_error *err)
{
	if (!tpm_tcti_check(tcti, err))
		return false;
	CLEANUP(tpm_closep) struct tpm *tpm = calloc(1, sizeof(*tpm));
	if (!tpm)
		return muster_fail_memory(err);
	tpm->lock = -1;
	forget_objects(tpm);
	tpm->patience_ms = patience_ms;
	tpm->has_manager = tpm_tcti_has_manager(tcti);
	snprintf(tpm->tcti_name, sizeof(tpm->tcti_name), "%s", tcti);
	if (!tpm_lock(tcti, &tpm->lock, err) || !sandbox_enter(tcti, &tpm->sandbox, err) ||
	    !open_context(tpm, err) || !greet(tpm, err))
		return muster_error_prefix(err, "opening TPM '%s'", PRINTABLE(tcti));
	*ret_tpm = TAKE_PTR(tpm);
	return true;
}

void tpm_close(struct tpm *tpm)
{
	if (!tpm)
		return;
	struct muster_error ignored;
	if (tpm->esys && !tpm_release(tpm, &ignored) && tpm->guard && !tpm->has_manager)
		(void)!tpm_handles_flush(tpm, &ignored);
	close_context(tpm);
	closep(&tpm->lock);
	free(tpm);
}

void tpm_set_patience(struct tpm *tpm, int64_t patience_ms)
{
	tpm->patience_ms = patience_ms;
	if (tpm->guard)
		guard_set_patience(tpm->guard, patience_ms);
}

void tpm_recover(struct tpm *tpm)
{
	struct muster_error ignored;
	if (!tpm->is_damaged)
		return;
	close_context(tpm);
	if (!open_context(tpm, &ignored) || !greet(tpm, &ignored))
		close_context(tpm);
}

bool tpm_may_try_again(struct tpm *tpm, const struct muster_error *err)
{
	if (err->cause != CAUSE_TPM_NO_ROOM)
		return false;
	tpm_recover(tpm);
	return tpm->esys != NULL;
}

bool tpm_task_failed(struct tpm *tpm, struct muster_error *err)
{
	tpm_recover(tpm);
	if (err->cause == CAUSE_TPM_LOCKED_OUT && tpm->esys)
		tpm_lockout_explain(tpm, err);
	return false;
}

bool tpm_is_there(struct tpm *tpm, struct muster_error *err)
{
	return tpm->esys ||
	       muster_fail(err, CAUSE_TPM_UNREACHABLE, "TPM '%s' went away after a failure",
			   PRINTABLE(tpm->tcti_name));
}

static bool release(struct tpm *tpm, ESYS_TR *handle, bool is_transient, struct muster_error *err)
{
	ESYS_TR own = *handle;
	*handle = ESYS_TR_NONE;
	if (own == ESYS_TR_NONE)
		return true;
	TSS2_RC rc =
		is_transient ? Esys_FlushContext(tpm->esys, own) : Esys_TR_Close(tpm->esys, &own);
	return rc == TSS2_RC_SUCCESS || tpm_fail(tpm, rc, err, "flushing a key");
}

bool tpm_release(struct tpm *tpm, struct muster_error *err)
{
	return (tpm_is_there(tpm, err) && release(tpm, &tpm->key, true, err) &&
		release(tpm, &tpm->ak, true, err) &&
		release(tpm, &tpm->srk, tpm->srk_is_transient, err) && tpm_session_end(tpm, err)) ||
	       tpm_task_failed(tpm, err);
}
