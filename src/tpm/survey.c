/* All that the station wants to know at once: capabilities, persistent objects, endorsement indices. Changes nothing. */
#include "muster/tpm.h"

#include <string.h>

#include "muster/ek-holdings.h"
#include "tpm-internal.h"

/* -- Capabilities ------------------------------------------------------------------------------------------ */

struct numbers {
	size_t count;
	uint32_t *values; /* room for TPM_NUMBERS_MAX */
};

static bool add(struct numbers *numbers, uint32_t value)
{
	if (numbers->count == TPM_NUMBERS_MAX)
		return false;
	numbers->values[numbers->count++] = value;
	return true;
}

/* The first number of the last row taken goes to *last. */
static bool take_rows(const TPMS_CAPABILITY_DATA *data, struct numbers *numbers, uint32_t *last)
{
	switch (data->capability) {
	case TPM2_CAP_HANDLES:
		for (size_t i = 0; i < data->data.handles.count; i++)
			if (!add(numbers, *last = data->data.handles.handle[i]))
				return false;
		return data->data.handles.count > 0;
	case TPM2_CAP_ECC_CURVES:
		for (size_t i = 0; i < data->data.eccCurves.count; i++)
			if (!add(numbers, *last = data->data.eccCurves.eccCurves[i]))
				return false;
		return data->data.eccCurves.count > 0;
	case TPM2_CAP_ALGS:
		for (size_t i = 0; i < data->data.algorithms.count; i++)
			if (!add(numbers, *last = data->data.algorithms.algProperties[i].alg) ||
			    !add(numbers, data->data.algorithms.algProperties[i].algProperties))
				return false;
		return data->data.algorithms.count > 0;
	case TPM2_CAP_TPM_PROPERTIES:
		for (size_t i = 0; i < data->data.tpmProperties.count; i++)
			if (!add(numbers,
				 *last = data->data.tpmProperties.tpmProperty[i].property) ||
			    !add(numbers, data->data.tpmProperties.tpmProperty[i].value))
				return false;
		return data->data.tpmProperties.count > 0;
	default:
		return false;
	}
}

static bool list_capability(struct tpm *tpm, uint32_t capability, uint32_t first,
			    struct numbers *numbers, struct muster_error *err)
{
	TPMI_YES_NO more = TPM2_YES;
	while (more == TPM2_YES) {
		CLEANUP(esys_freep) TPMS_CAPABILITY_DATA *data = NULL;
		uint32_t last = first;
		TSS2_RC rc =
			Esys_GetCapability(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
					   capability, first, TPM2_MAX_CAP_HANDLES, &more, &data);
		if (rc != TSS2_RC_SUCCESS)
			return tpm_fail(tpm, rc, err, "reading capability %u from 0x%x", capability,
					first);
		if (!take_rows(data, numbers, &last) || last < first || last == UINT32_MAX)
			break;
		first = last + 1;
	}
	return true;
}

bool tpm_capability_list(struct tpm *tpm, uint32_t capability, uint32_t first,
			 uint32_t values[TPM_NUMBERS_MAX], size_t *ret_count,
			 struct muster_error *err)
{
	struct numbers numbers = { 0, values };
	if (!tpm_is_there(tpm, err) || !list_capability(tpm, capability, first, &numbers, err))
		return tpm_task_failed(tpm, err);
	*ret_count = numbers.count;
	return true;
}

/* -- Holdings ---------------------------------------------------------------------------------------------- */

static void add_number(struct text *out, uint32_t value, int octets)
{
	for (int i = octets - 1; i >= 0; i--)
		text_add_char(out, (char)(value >> (8 * i)));
}

static bool fits(const struct text *out, size_t size)
{
	return size < EK_HOLDING_UNREADABLE && out->length + 6 + size <= EK_HOLDINGS_SIZE_MAX;
}

/* What is not readable, or too much, is named nevertheless. */
static void add_holding(struct text *out, uint32_t handle, const void *data, size_t size)
{
	bool is_readable = data && fits(out, size);
	add_number(out, handle, 4);
	add_number(out, is_readable ? (uint32_t)size : EK_HOLDING_UNREADABLE, 2);
	if (is_readable)
		text_add_bytes(out, data, size);
}

/* A chip that refuses one thing may still give the next; one that is gone does not. */
static bool is_refusal(const struct muster_error *err)
{
	return err->cause == CAUSE_TPM_AUTH || err->cause == CAUSE_TPM_COMMAND_FAILED ||
	       err->cause == CAUSE_EK_MALFORMED;
}

static bool add_index(struct tpm *tpm, uint32_t index, struct text *out, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes data = { 0 };
	bool found = false;
	bool good = tpm_nv_read(tpm, index, &found, &data, err);
	if (good && !found) /* defined, never written */
		return true;
	if (!good && !is_refusal(err))
		return false;
	add_holding(out, index, good ? data.data : NULL, data.size);
	return true;
}

static bool add_object(struct tpm *tpm, uint32_t handle, struct text *out, struct muster_error *err)
{
	struct ek_public public;
	bool found = false;
	bool good = tpm_public_read(tpm, handle, &found, &public, err);
	if (!good && !is_refusal(err))
		return false;
	add_holding(out, handle, good && found ? public.data : NULL, public.size);
	return true;
}

static bool add_indices(struct tpm *tpm, struct text *out, size_t *count, struct muster_error *err)
{
	struct tpm_handles indices;
	if (!tpm_handles_list(tpm, EK_NV_FIRST, &indices, err))
		return false;
	for (size_t i = 0; i < indices.count && indices.handles[i] <= EK_NV_LAST; i++)
		if ((*count)++ < EK_HOLDINGS_MAX - TPM_PERSISTENT_MAX &&
		    !add_index(tpm, indices.handles[i], out, err))
			return false;
	return true;
}

bool tpm_survey(struct tpm *tpm, bool with_nv, struct tpm_state *ret_state, struct text *out,
		struct muster_error *err)
{
	struct tpm_state state;
	size_t count = 0;
	if (!tpm_state_read(tpm, &state, err) || (with_nv && !add_indices(tpm, out, &count, err)))
		return tpm_task_failed(tpm, err);
	for (size_t i = 0; i < state.persistent_count; i++)
		if (!add_object(tpm, state.persistent[i], out, err))
			return tpm_task_failed(tpm, err);
	*ret_state = state;
	return text_ok(out, err);
}
