/* What the chip tells about itself. Nothing here changes it. */
#include "muster/tpm.h"

#include <stdio.h>
#include <string.h>

#include <tss2/tss2_mu.h>

#include "tpm-internal.h"

#define IS_PERSISTENT(handle) ((handle) >> 24 == TPM2_HT_PERSISTENT)

/* -- Properties -------------------------------------------------------------------------------------------- */

static bool read_properties(struct tpm *tpm, TPM2_PT first, uint32_t *values, size_t count,
			    struct muster_error *err)
{
	CLEANUP(esys_freep) TPMS_CAPABILITY_DATA *data = NULL;
	TPMI_YES_NO more;
	TSS2_RC rc =
		Esys_GetCapability(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
				   TPM2_CAP_TPM_PROPERTIES, first, (uint32_t)count, &more, &data);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(tpm, rc, err, "reading TPM properties from 0x%x", first);
	const TPML_TAGGED_TPM_PROPERTY *list = &data->data.tpmProperties;
	memset(values, 0, count * sizeof(*values));
	for (size_t i = 0; i < list->count && i < TPM2_MAX_TPM_PROPERTIES; i++) {
		TPM2_PT property = list->tpmProperty[i].property;
		if (property >= first && property - first < count)
			values[property - first] = list->tpmProperty[i].value;
	}
	return true;
}

bool tpm_property_read(struct tpm *tpm, TPM2_PT property, uint32_t *ret_value,
		       struct muster_error *err)
{
	return read_properties(tpm, property, ret_value, 1, err);
}

/* Four characters per value; trailing NULs and spaces dropped. */
static void spell(const uint32_t *values, size_t count, char *out, size_t out_size)
{
	char text[4 * 4 + 1] = { 0 };
	for (size_t i = 0; i < count * 4 && i < sizeof(text) - 1; i++)
		text[i] = (char)(values[i / 4] >> (24 - 8 * (i % 4)));
	for (size_t length = strlen(text); length > 0 && text[length - 1] == ' '; length--)
		text[length - 1] = '\0';
	text_printable(out, out_size, text);
}

static bool describe(struct tpm *tpm, struct tpm_description *description, struct muster_error *err)
{
	enum { MANUFACTURER, VENDOR, FIRMWARE = VENDOR + 5, COUNT = FIRMWARE + 2 };
	_Static_assert(TPM2_PT_VENDOR_STRING_1 - TPM2_PT_MANUFACTURER == VENDOR, "property order");
	_Static_assert(TPM2_PT_FIRMWARE_VERSION_1 - TPM2_PT_MANUFACTURER == FIRMWARE,
		       "property order");
	uint32_t values[COUNT];
	if (!read_properties(tpm, TPM2_PT_MANUFACTURER, values, COUNT, err))
		return false;
	spell(&values[MANUFACTURER], 1, description->manufacturer,
	      sizeof(description->manufacturer));
	spell(&values[VENDOR], 4, description->model, sizeof(description->model));
	uint32_t high = values[FIRMWARE];
	uint32_t low = values[FIRMWARE + 1];
	snprintf(description->firmware, sizeof(description->firmware), "%u.%u.%u.%u", high >> 16,
		 high & 0xffff, low >> 16, low & 0xffff);
	return true;
}

bool tpm_describe(struct tpm *tpm, struct tpm_description *ret_description,
		  struct muster_error *err)
{
	struct tpm_description description = { 0 };
	if (!TPM_TASK(tpm, err, describe(tpm, &description, err)))
		return false;
	*ret_description = description;
	return true;
}

void tpm_lockout_explain(struct tpm *tpm, struct muster_error *err)
{
	enum { COUNTER, MAXIMUM, INTERVAL, COUNT };
	_Static_assert(TPM2_PT_MAX_AUTH_FAIL - TPM2_PT_LOCKOUT_COUNTER == MAXIMUM,
		       "property order");
	_Static_assert(TPM2_PT_LOCKOUT_INTERVAL - TPM2_PT_LOCKOUT_COUNTER == INTERVAL,
		       "property order");
	uint32_t values[COUNT];
	struct muster_error ignored;
	if (read_properties(tpm, TPM2_PT_LOCKOUT_COUNTER, values, COUNT, &ignored))
		muster_fail_native(
			err, err->cause, err->origin, err->native,
			"%s; %u of %u failed tries are counted, one is forgiven every %u s",
			err->message, values[COUNTER], values[MAXIMUM], values[INTERVAL]);
	else
		tpm_recover(tpm);
}

/* -- State ------------------------------------------------------------------------------------------------- */

static bool read_clock(struct tpm *tpm, struct tpm_state *state, struct muster_error *err)
{
	CLEANUP(esys_freep) TPMS_TIME_INFO *info = NULL;
	TSS2_RC rc = Esys_ReadClock(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &info);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(tpm, rc, err, "reading the TPM's clock");
	state->reset_count = info->clockInfo.resetCount;
	state->restart_count = info->clockInfo.restartCount;
	state->clock_ms = info->clockInfo.clock;
	return true;
}

static bool count_handles(struct tpm *tpm, struct tpm_state *state, struct muster_error *err)
{
	struct tpm_handles transient, loaded, saved, persistent;
	if (!tpm_handles_list(tpm, FIRST_TRANSIENT, &transient, err) ||
	    !tpm_handles_list(tpm, FIRST_LOADED_SESSION, &loaded, err) ||
	    !tpm_handles_list(tpm, FIRST_SAVED_SESSION, &saved, err) ||
	    !tpm_handles_list(tpm, FIRST_PERSISTENT, &persistent, err))
		return false;
	state->transient_count = (unsigned)transient.count;
	state->session_count = (unsigned)(loaded.count + saved.count);
	state->persistent_count =
		persistent.count < TPM_PERSISTENT_MAX ? persistent.count : TPM_PERSISTENT_MAX;
	memcpy(state->persistent, persistent.handles,
	       state->persistent_count * sizeof(state->persistent[0]));
	return true;
}

bool tpm_state_read(struct tpm *tpm, struct tpm_state *ret_state, struct muster_error *err)
{
	struct tpm_state state = { 0 };
	if (!TPM_TASK(tpm, err, read_clock(tpm, &state, err) && count_handles(tpm, &state, err)))
		return false;
	*ret_state = state;
	return true;
}

/* -- Public areas ------------------------------------------------------------------------------------------ */

bool tpm_public_pack(const TPM2B_PUBLIC *sized, struct ek_public *ret_public,
		     struct muster_error *err)
{
	uint8_t data[EK_PUBLIC_MAX];
	size_t size = 0;
	TSS2_RC rc = Tss2_MU_TPM2B_PUBLIC_Marshal(sized, data, sizeof(data), &size);
	if (rc != TSS2_RC_SUCCESS)
		return muster_fail_native(err, CAUSE_TPM_ANSWER_INVALID, ORIGIN_TSS, rc,
					  "a public area from the TPM cannot be marshalled");
	return ek_public_parse(data, size, ret_public, err);
}

bool tpm_reference_open(struct tpm *tpm, uint32_t handle, ESYS_TR *ret_reference,
			struct muster_error *err)
{
	TSS2_RC rc = Esys_TR_FromTPMPublic(tpm->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE,
					   ESYS_TR_NONE, ret_reference);
	return rc == TSS2_RC_SUCCESS || tpm_fail(tpm, rc, err, "looking at handle 0x%08x", handle);
}

static bool read_public(struct tpm *tpm, uint32_t handle, struct ek_public *ret_public,
			struct muster_error *err)
{
	/* The library gives the same reference for the same handle: closing it would close the session's key. */
	ESYS_TR kept = handle == tpm->ek_handle ? tpm->ek : ESYS_TR_NONE;
	ESYS_TR object = kept;
	if (kept == ESYS_TR_NONE && !tpm_reference_open(tpm, handle, &object, err))
		return false;
	CLEANUP(esys_freep) TPM2B_PUBLIC *sized = NULL;
	TSS2_RC rc = Esys_ReadPublic(tpm->esys, object, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
				     &sized, NULL, NULL);
	if (kept == ESYS_TR_NONE)
		Esys_TR_Close(tpm->esys, &object);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(tpm, rc, err, "reading the public area at 0x%08x", handle);
	return tpm_public_pack(sized, ret_public, err);
}

bool tpm_public_read(struct tpm *tpm, uint32_t handle, bool *ret_found,
		     struct ek_public *ret_public, struct muster_error *err)
{
	if (!IS_PERSISTENT(handle))
		return muster_fail(err, CAUSE_INTERNAL, "0x%08x is not a persistent handle",
				   handle);
	/* Asked first, because an absent object is an error to the TPM and none to us. */
	bool exists = false;
	if (!TPM_TASK(tpm, err,
		      tpm_handle_exists(tpm, handle, &exists, err) &&
			      (!exists || read_public(tpm, handle, ret_public, err))))
		return false;
	*ret_found = exists;
	return true;
}
