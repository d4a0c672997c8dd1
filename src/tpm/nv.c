/* Reading an NV index, as it is. */
#include "muster/tpm.h"

#include <string.h>

#include "tpm-internal.h"

#define CHUNK_MAX 1024

struct index {
	struct tpm *tpm;
	uint32_t handle;
	ESYS_TR reference; /* ESYS_TR_NONE or open */
	ESYS_TR auth;      /* who reads it */
	uint16_t size;
	bool is_written;
};

static void index_done(struct index *index)
{
	if (index->reference != ESYS_TR_NONE)
		Esys_TR_Close(index->tpm->esys, &index->reference);
}

/* The index by its own empty password where that cannot cost a try, else the owner. */
static bool choose_auth(TPMA_NV attributes, struct index *index, struct muster_error *err)
{
	if ((attributes & TPMA_NV_AUTHREAD) && (attributes & TPMA_NV_NO_DA))
		index->auth = index->reference;
	else if (attributes & TPMA_NV_OWNERREAD)
		index->auth = ESYS_TR_RH_OWNER;
	else
		return muster_fail(
			err, CAUSE_TPM_AUTH,
			"NV index 0x%08x can be read neither by the owner nor without the "
			"risk of a failed try",
			index->handle);
	return true;
}

static bool open_index(struct index *index, struct muster_error *err)
{
	struct tpm *tpm = index->tpm;
	if (!tpm_reference_open(tpm, index->handle, &index->reference, err))
		return false;
	CLEANUP(esys_freep) TPM2B_NV_PUBLIC *public = NULL;
	TSS2_RC rc = Esys_NV_ReadPublic(tpm->esys, index->reference, ESYS_TR_NONE, ESYS_TR_NONE,
					ESYS_TR_NONE, &public, NULL);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(tpm, rc, err, "looking at NV index 0x%08x", index->handle);
	index->size = public->nvPublic.dataSize;
	index->is_written = (public->nvPublic.attributes & TPMA_NV_WRITTEN) && index->size > 0;
	if (index->size > TPM_NV_MAX)
		return muster_fail(err, CAUSE_TPM_ANSWER_INVALID, "NV index 0x%08x has %u bytes",
				   index->handle, index->size);
	return !index->is_written || choose_auth(public->nvPublic.attributes, index, err);
}

static bool read_chunk(const struct index *index, uint16_t size, uint16_t offset, uint8_t *out,
		       struct muster_error *err)
{
	CLEANUP(esys_freep) TPM2B_MAX_NV_BUFFER *chunk = NULL;
	TSS2_RC rc = Esys_NV_Read(index->tpm->esys, index->auth, index->reference, ESYS_TR_PASSWORD,
				  ESYS_TR_NONE, ESYS_TR_NONE, size, offset, &chunk);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(index->tpm, rc, err, "reading NV index 0x%08x at %u", index->handle,
				offset);
	if (chunk->size != size)
		return muster_fail(err, CAUSE_TPM_ANSWER_INVALID,
				   "reading NV index 0x%08x: %u bytes came for %u", index->handle,
				   chunk->size, size);
	memcpy(out, chunk->buffer, size);
	return true;
}

static bool read_all(const struct index *index, struct bytes *ret_data, struct muster_error *err)
{
	uint32_t most = 0;
	if (!tpm_property_read(index->tpm, TPM2_PT_NV_BUFFER_MAX, &most, err))
		return false;
	if (most == 0 || most > CHUNK_MAX)
		most = CHUNK_MAX;
	uint8_t data[TPM_NV_MAX];
	for (uint32_t at = 0; at < index->size; at += most) {
		uint32_t left = index->size - at;
		if (!read_chunk(index, (uint16_t)(left < most ? left : most), (uint16_t)at,
				data + at, err))
			return false;
	}
	return bytes_copy(ret_data, data, index->size, err);
}

static bool read_index(struct tpm *tpm, uint32_t handle, bool *ret_found, struct bytes *ret_data,
		       struct muster_error *err)
{
	CLEANUP(index_done)
	struct index index = { .tpm = tpm, .handle = handle, .reference = ESYS_TR_NONE };
	if (!open_index(&index, err) || (index.is_written && !read_all(&index, ret_data, err)))
		return false;
	*ret_found = index.is_written;
	return true;
}

bool tpm_nv_read(struct tpm *tpm, uint32_t index, bool *ret_found, struct bytes *ret_data,
		 struct muster_error *err)
{
	if (index >> 24 != TPM2_HT_NV_INDEX)
		return muster_fail(err, CAUSE_INTERNAL, "0x%08x is not an NV index", index);
	bool exists = false;
	if (!TPM_TASK(tpm, err,
		      tpm_handle_exists(tpm, index, &exists, err) &&
			      (!exists || read_index(tpm, index, &exists, ret_data, err))))
		return false;
	*ret_found = exists;
	return true;
}
