/* Return codes of five layers, made into causes. */
#include <stdarg.h>
#include <stdio.h>

#include <tss2/tss2_rc.h>

#include "guard.h"
#include "muster/text.h"
#include "tpm-internal.h"

struct row {
	TSS2_RC rc;
	enum muster_cause cause;
};

/* The TPM's own codes; of format-one codes the part without parameter, handle and session numbers. */
static const struct row tpm_rows[] = {
	{ TPM2_RC_LOCKOUT, CAUSE_TPM_LOCKED_OUT },
	{ TPM2_RC_AUTH_FAIL, CAUSE_TPM_AUTH },
	{ TPM2_RC_BAD_AUTH, CAUSE_TPM_AUTH },
	{ TPM2_RC_AUTH_MISSING, CAUSE_TPM_AUTH },
	{ TPM2_RC_AUTH_UNAVAILABLE, CAUSE_TPM_AUTH },
	{ TPM2_RC_POLICY_FAIL, CAUSE_TPM_AUTH },
	{ TPM2_RC_RETRY, CAUSE_TPM_BUSY },
	{ TPM2_RC_YIELDED, CAUSE_TPM_BUSY },
	{ TPM2_RC_TESTING, CAUSE_TPM_BUSY },
	{ TPM2_RC_NV_RATE, CAUSE_TPM_BUSY },
	{ TPM2_RC_MEMORY, CAUSE_TPM_NO_ROOM },
	{ TPM2_RC_OBJECT_MEMORY, CAUSE_TPM_NO_ROOM },
	{ TPM2_RC_OBJECT_HANDLES, CAUSE_TPM_NO_ROOM },
	{ TPM2_RC_SESSION_MEMORY, CAUSE_TPM_NO_ROOM },
	{ TPM2_RC_SESSION_HANDLES, CAUSE_TPM_NO_ROOM },
	{ TPM2_RC_NV_SPACE, CAUSE_TPM_NO_ROOM },
	{ TPM2_RC_NV_UNAVAILABLE, CAUSE_TPM_NO_ROOM },
	{ TPM2_RC_INITIALIZE, CAUSE_TPM_RESET },
	/* What was loaded a moment ago is not there any more. */
	{ TPM2_RC_REFERENCE_H0, CAUSE_TPM_SWAPPED },
	{ TPM2_RC_REFERENCE_H1, CAUSE_TPM_SWAPPED },
	{ TPM2_RC_REFERENCE_H2, CAUSE_TPM_SWAPPED },
	{ TPM2_RC_REFERENCE_S0, CAUSE_TPM_SWAPPED },
	{ TPM2_RC_REFERENCE_S1, CAUSE_TPM_SWAPPED },
	{ TPM2_RC_REFERENCE_S2, CAUSE_TPM_SWAPPED },
};

/* The library's layers, by what they say of a response; all else there is a bug of ours. */
static const struct row library_rows[] = {
	{ TSS2_BASE_RC_MALFORMED_RESPONSE, CAUSE_TPM_ANSWER_INVALID },
	{ TSS2_BASE_RC_INSUFFICIENT_RESPONSE, CAUSE_TPM_ANSWER_INVALID },
	{ TSS2_BASE_RC_RSP_AUTH_FAILED, CAUSE_TPM_ANSWER_FORGED },
	{ TSS2_BASE_RC_BAD_SIZE, CAUSE_TPM_ANSWER_INVALID },
	{ TSS2_BASE_RC_BAD_VALUE, CAUSE_TPM_ANSWER_INVALID },
	{ TSS2_BASE_RC_INSUFFICIENT_BUFFER, CAUSE_TPM_ANSWER_INVALID },
	{ TSS2_BASE_RC_IO_ERROR, CAUSE_TPM_UNREACHABLE },
	{ TSS2_BASE_RC_NO_CONNECTION, CAUSE_TPM_UNREACHABLE },
	{ TSS2_BASE_RC_MEMORY, CAUSE_MEMORY },
};

static enum muster_cause find(const struct row *rows, size_t count, TSS2_RC rc,
			      enum muster_cause otherwise)
{
	for (size_t i = 0; i < count; i++)
		if (rows[i].rc == rc)
			return rows[i].cause;
	return otherwise;
}

static TSS2_RC without_numbers(TSS2_RC rc)
{
	return rc & TPM2_RC_FMT1 ? rc & (TPM2_RC_FMT1 | 0x3f) : rc;
}

enum muster_cause tpm_cause_of(TSS2_RC rc)
{
	TSS2_RC base = rc & ~TSS2_RC_LAYER_MASK;
	switch (rc & TSS2_RC_LAYER_MASK) {
	case TSS2_TPM_RC_LAYER:
	case TSS2_RESMGR_TPM_RC_LAYER:
		return find(tpm_rows, ARRAY_SIZE(tpm_rows), without_numbers(base),
			    CAUSE_TPM_COMMAND_FAILED);
	case TSS2_TCTI_RC_LAYER:
		return base == TSS2_BASE_RC_MALFORMED_RESPONSE ? CAUSE_TPM_ANSWER_INVALID
							       : CAUSE_TPM_UNREACHABLE;
	default:
		return find(library_rows, ARRAY_SIZE(library_rows), base, CAUSE_INTERNAL);
	}
}

static const char *words_of(struct tpm *tpm, TSS2_RC rc)
{
	const char *complaint = tpm->guard ? guard_complaint(tpm->guard) : NULL;
	return complaint && rc == TSS2_TCTI_RC_MALFORMED_RESPONSE ? complaint : Tss2_RC_Decode(rc);
}

bool tpm_fail_as(struct tpm *tpm, TSS2_RC rc, enum muster_cause otherwise, struct muster_error *err,
		 const char *format, ...)
{
	char doing[256];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(doing, sizeof(doing), format, arguments);
	va_end(arguments);

	enum muster_cause cause = tpm_cause_of(rc);
	if (cause == CAUSE_TPM_COMMAND_FAILED)
		cause = otherwise;
	tpm->is_damaged = true;
	return muster_fail_native(err, cause, ORIGIN_TSS, rc, "%s: %s (0x%x)", doing,
				  PRINTABLE(words_of(tpm, rc)), rc);
}
