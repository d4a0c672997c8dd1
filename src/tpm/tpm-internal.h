/* What the files of this room share. */
#pragma once

#include <tss2/tss2_esys.h>

#include "muster/secret.h"
#include "muster/tpm.h"
#include "sandbox.h"

struct tpm {
	char tcti_name[257];
	bool has_manager; /* a kernel resource manager stands in front and cleans up behind us */
	int lock;
	struct sandbox sandbox;
	TSS2_TCTI_CONTEXT *inner; /* of the library's loader */
	TSS2_TCTI_CONTEXT *guard;
	ESYS_CONTEXT *esys;
	int64_t patience_ms;
	int64_t patiences_ms[3]; /* by the kind of a verb; the handlers' */
	bool is_damaged;         /* a command failed; the context cannot be relied on */
	/* The validated EK; of size 0 until tpm_session_begin. It outlives a context. */
	struct ek_public ek_public;
	uint32_t ek_handle;
	ESYS_TR ek;      /* these are ESYS_TR_NONE when there is none yet */
	ESYS_TR session; /* salted to the EK; protects both ways */
	ESYS_TR policy;  /* salted to the EK; authorises its use */
	ESYS_TR srk;
	bool srk_is_transient;
	struct ek_public srk_public;
	ESYS_TR ak; /* made as a witness; or ESYS_TR_NONE */
	struct ek_public ak_public;
	ESYS_TR key;
};

/* An object or session of ours on the chip; flushed when its scope ends. */
struct tpm_object {
	struct tpm *tpm;
	ESYS_TR handle;
};
#define TPM_OBJECT(tpm_)                              \
	{                                             \
		.tpm = (tpm_), .handle = ESYS_TR_NONE \
	}
void tpm_object_done(struct tpm_object *object);
/* For CLEANUP on what ESYS allocates: wiped by size is the caller's part. */
void esys_freep(void *pointer_to_pointer);

/* -- error.c ----------------------------------------------------------------------------------------------- */

/* Fails with the cause of the return code, or `otherwise` when the TPM just refused; marks the context damaged. */
bool tpm_fail_as(struct tpm *tpm, TSS2_RC rc, enum muster_cause otherwise, struct muster_error *err,
		 const char *format, ...) PRINTF_LIKE(5, 6);
#define tpm_fail(tpm, rc, err, ...) tpm_fail_as(tpm, rc, CAUSE_TPM_COMMAND_FAILED, err, __VA_ARGS__)
/* The cause of a return code; CAUSE_TPM_COMMAND_FAILED when the TPM just refused. */
enum muster_cause tpm_cause_of(TSS2_RC rc);

/* -- tcti.c ------------------------------------------------------------------------------------------------ */

bool tpm_tcti_check(const char *tcti, struct muster_error *err) MUST_CHECK;
/* Can the device be opened? CAUSE_TPM_IN_USE or CAUSE_TPM_UNREACHABLE with the system's reason. */
bool tpm_tcti_try(const char *tcti, struct muster_error *err) MUST_CHECK;
bool tpm_tcti_has_manager(const char *tcti);
/* One muster per TPM: the descriptor holds the TPM for this process, a killed process lets go. */
bool tpm_lock(const char *tcti, int *ret_lock, struct muster_error *err) MUST_CHECK;

/* -- handles.c: without ESYS, so that cleaning up works whatever state that is in ---------------------------- */

/* Where the types of handles begin. Not the library's names for them: those shift a signed bit out. */
#define FIRST_TRANSIENT 0x80000000u
#define FIRST_PERSISTENT 0x81000000u
#define FIRST_LOADED_SESSION 0x02000000u
#define FIRST_SAVED_SESSION 0x03000000u

#define TPM_HANDLES_MAX 254
struct tpm_handles {
	size_t count;
	uint32_t handles[TPM_HANDLES_MAX];
};
/* All handles of that type (TPM2_HT_...), ascending, from `first` on. */
bool tpm_handles_list(struct tpm *tpm, uint32_t first, struct tpm_handles *ret_handles,
		      struct muster_error *err) MUST_CHECK;
bool tpm_handle_exists(struct tpm *tpm, uint32_t handle, bool *ret_exists, struct muster_error *err)
	MUST_CHECK;
/* Everything transient, whoever left it. */
bool tpm_handles_flush(struct tpm *tpm, struct muster_error *err) MUST_CHECK;

/* -- open.c ------------------------------------------------------------------------------------------------ */

/* Opens a damaged context anew, so that the chip holds what it held before. */
void tpm_recover(struct tpm *tpm);
/* Ends a task that failed: recovers, and says more where the chip can tell more. Returns false,
 * so that it ends a chain of ||. */
bool tpm_task_failed(struct tpm *tpm, struct muster_error *err);
/* False when an earlier recovery failed: there is no TPM any more. */
bool tpm_is_there(struct tpm *tpm, struct muster_error *err) MUST_CHECK;
/* May the task be done once more? Only when the chip was short of room, which the recovery may have made. */
bool tpm_may_try_again(struct tpm *tpm, const struct muster_error *err) MUST_CHECK;
/* `call` is evaluated once, or twice. */
#define TPM_TASK(tpm, err, call)                                                            \
	((tpm_is_there(tpm, err) && ((call) || (tpm_may_try_again(tpm, err) && (call)))) || \
	 tpm_task_failed(tpm, err))

/* -- session.c --------------------------------------------------------------------------------------------- */

/* tpm->session is open afterwards; fails when no EK was validated. */
bool tpm_session_ensure(struct tpm *tpm, struct muster_error *err) MUST_CHECK;
/* What authorises a command that carries no secret: the session where there can be one, else the empty password. */
bool tpm_session_auth(struct tpm *tpm, ESYS_TR *ret_auth, struct muster_error *err) MUST_CHECK;
/* tpm->policy authorises one use of the EK afterwards. */
bool tpm_policy_authorise(struct tpm *tpm, struct muster_error *err) MUST_CHECK;
/* Flushes both; the validated EK stays known. */
bool tpm_session_end(struct tpm *tpm, struct muster_error *err) MUST_CHECK;

/* -- query.c ----------------------------------------------------------------------------------------------- */

/* A public area as the library has it. */
bool tpm_public_pack(const TPM2B_PUBLIC *sized, struct ek_public *ret_public,
		     struct muster_error *err) MUST_CHECK;
bool tpm_property_read(struct tpm *tpm, TPM2_PT property, uint32_t *ret_value,
		       struct muster_error *err) MUST_CHECK;
/* Appends how often, and for how long, to the error of a TPM in lockout. */
void tpm_lockout_explain(struct tpm *tpm, struct muster_error *err);
/* An existing persistent object or NV index; end it with Esys_TR_Close. */
bool tpm_reference_open(struct tpm *tpm, uint32_t handle, ESYS_TR *ret_reference,
			struct muster_error *err) MUST_CHECK;

/* -- key.c ------------------------------------------------------------------------------------------------- */

/* Recovers a credential of 16 bytes made for the EK of the session and the name of the loaded object. */
bool tpm_activate(struct tpm *tpm, ESYS_TR object, const TPM2B_ID_OBJECT *id_object,
		  const TPM2B_ENCRYPTED_SECRET *secret, struct secret *ret_credential,
		  struct muster_error *err) MUST_CHECK;

/* -- primary.c --------------------------------------------------------------------------------------------- */

/* Made, loaded as *object, and not kept. */
bool tpm_primary_create(struct tpm *tpm, ESYS_TR hierarchy, ESYS_TR auth,
			const struct ek_public *template, struct tpm_object *object,
			struct ek_public *ret_public, struct muster_error *err) MUST_CHECK;
/* The SRK, made or found; tpm->srk is set afterwards. */
bool tpm_srk_ensure(struct tpm *tpm, struct muster_error *err) MUST_CHECK;
