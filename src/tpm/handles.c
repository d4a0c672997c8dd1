/* Listing and flushing handles by plain commands over the guard. */
#include <string.h>

#include <tss2/tss2_mu.h>

#include "guard.h"
#include "tpm-internal.h"

#define HEADER_SIZE 10

static void put_u32(uint8_t *at, uint32_t value)
{
	for (int i = 3; i >= 0; i--, value >>= 8)
		at[i] = (uint8_t)value;
}

static uint32_t get_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* One command without sessions and with 32-bit values behind it. */
static TSS2_RC transact(struct tpm *tpm, TPM2_CC code, const uint32_t *values, size_t count,
			uint8_t response[GUARD_MESSAGE_MAX], size_t *ret_size)
{
	uint8_t command[HEADER_SIZE + 3 * 4] = { TPM2_ST_NO_SESSIONS >> 8,
						 TPM2_ST_NO_SESSIONS & 0xff };
	size_t size = HEADER_SIZE + count * 4;
	put_u32(command + 2, (uint32_t)size);
	put_u32(command + 6, code);
	for (size_t i = 0; i < count; i++)
		put_u32(command + HEADER_SIZE + i * 4, values[i]);
	TSS2_RC rc = Tss2_Tcti_Transmit(tpm->guard, size, command);
	if (rc != TSS2_RC_SUCCESS)
		return rc;
	*ret_size = GUARD_MESSAGE_MAX;
	rc = Tss2_Tcti_Receive(tpm->guard, ret_size, response, TSS2_TCTI_TIMEOUT_BLOCK);
	return rc != TSS2_RC_SUCCESS ? rc : get_u32(response + 6);
}

/* Loaded sessions are listed under 0x02 and saved ones under 0x03, but either may be of either type. */
static bool is_of_type(uint32_t handle, unsigned type)
{
	bool is_session = type == TPM2_HT_LOADED_SESSION || type == TPM2_HT_SAVED_SESSION;
	unsigned own = handle >> 24;
	return own == type ||
	       (is_session && (own == TPM2_HT_HMAC_SESSION || own == TPM2_HT_POLICY_SESSION));
}

static bool read_list(const uint8_t *response, size_t size, unsigned type,
		      struct tpm_handles *handles, bool *ret_more)
{
	size_t offset = HEADER_SIZE + 1; /* behind moreData */
	TPMS_CAPABILITY_DATA data = { 0 };
	if (size < offset ||
	    Tss2_MU_TPMS_CAPABILITY_DATA_Unmarshal(response, size, &offset, &data) !=
		    TSS2_RC_SUCCESS ||
	    offset != size || data.capability != TPM2_CAP_HANDLES)
		return false;
	*ret_more = response[HEADER_SIZE] != 0 && data.data.handles.count > 0;
	for (size_t i = 0; i < data.data.handles.count; i++) {
		uint32_t handle = data.data.handles.handle[i];
		if (!is_of_type(handle, type) || handles->count == TPM_HANDLES_MAX) {
			*ret_more = false; /* the list runs on into other types */
			break;
		}
		handles->handles[handles->count++] = handle;
	}
	return true;
}

bool tpm_handles_list(struct tpm *tpm, uint32_t first, struct tpm_handles *ret_handles,
		      struct muster_error *err)
{
	struct tpm_handles list = { 0 };
	uint32_t next = first;
	for (bool more = true; more;) {
		uint8_t response[GUARD_MESSAGE_MAX];
		size_t size = 0;
		const uint32_t values[] = { TPM2_CAP_HANDLES, next, TPM_HANDLES_MAX };
		TSS2_RC rc = transact(tpm, TPM2_CC_GetCapability, values, 3, response, &size);
		if (rc == TSS2_RC_SUCCESS && !read_list(response, size, first >> 24, &list, &more))
			rc = TSS2_SYS_RC_MALFORMED_RESPONSE;
		if (rc != TSS2_RC_SUCCESS)
			return tpm_fail(tpm, rc, err, "listing handles from 0x%08x", next);
		if (more)
			next = (first & 0xff000000) |
			       ((list.handles[list.count - 1] & 0x00ffffff) + 1);
	}
	*ret_handles = list;
	return true;
}

bool tpm_handle_exists(struct tpm *tpm, uint32_t handle, bool *ret_exists, struct muster_error *err)
{
	struct tpm_handles list;
	if (!tpm_handles_list(tpm, handle, &list, err))
		return false;
	*ret_exists = list.count > 0 && list.handles[0] == handle;
	return true;
}

static bool flush_all(struct tpm *tpm, uint32_t first, struct muster_error *err)
{
	struct tpm_handles list;
	if (!tpm_handles_list(tpm, first, &list, err))
		return false;
	for (size_t i = 0; i < list.count; i++) {
		uint8_t response[GUARD_MESSAGE_MAX];
		size_t size = 0;
		TSS2_RC rc =
			transact(tpm, TPM2_CC_FlushContext, &list.handles[i], 1, response, &size);
		if (rc != TSS2_RC_SUCCESS)
			return tpm_fail(tpm, rc, err, "flushing handle 0x%08x", list.handles[i]);
	}
	return true;
}

bool tpm_handles_flush(struct tpm *tpm, struct muster_error *err)
{
	/* Saved sessions behind a raw device node may be those of the kernel's resource manager. */
	bool may_be_saved_by_others = text_has_prefix(tpm->tcti_name, "device:");
	return flush_all(tpm, FIRST_TRANSIENT, err) && flush_all(tpm, FIRST_LOADED_SESSION, err) &&
	       (may_be_saved_by_others || flush_all(tpm, FIRST_SAVED_SESSION, err));
}
