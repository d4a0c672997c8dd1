/* What a TPM holds, as its worker reports it: the public areas of its persistent objects and the content of the NV
 * indices that the TCG has set aside for endorsement. */
#pragma once

#include "muster/ek.h"

/* TCG EK Credential Profile 2.2.1.4: certificates, templates and nonces, then chains. */
#define EK_NV_FIRST 0x01c00000u
#define EK_ECC_CERTIFICATE_INDEX 0x01c0000au
#define EK_NV_HIGH_FIRST 0x01c00012u
#define EK_NV_HIGH_LAST 0x01c0007fu
#define EK_NV_CHAIN_FIRST 0x01c00100u
#define EK_NV_LAST 0x01c001ffu
/* Where an EK may be persisted (TCG Provisioning Guidance 7.8). */
#define EK_HANDLE_FIRST 0x81010000u
#define EK_HANDLE_LAST 0x810100ffu

#define EK_HOLDINGS_MAX 96
#define EK_HOLDINGS_SIZE_MAX 57344 /* of all together, on the wire */

/* On the wire: handle (4 bytes), size (2 bytes, big-endian as the handle), content. */
#define EK_HOLDING_UNREADABLE 0xffffu /* as a size: it is there and cannot be read; no content */

struct ek_holding {
	uint32_t handle;
	bool is_readable;
	const uint8_t *data; /* a TPM2B_PUBLIC, or what the index holds; in the storage */
	size_t size;
};

/* Ascending by handle: NV indices first. Zero-initialise. */
struct ek_holdings {
	size_t count;
	struct ek_holding rows[EK_HOLDINGS_MAX];
	struct bytes storage;
};

/* Copies. CAUSE_TPM_ANSWER_INVALID when the bytes are no such list. */
bool ek_holdings_parse(const void *data, size_t size, struct ek_holdings *ret_holdings,
		       struct muster_error *err) MUST_CHECK;
void ek_holdings_done(struct ek_holdings *holdings);
/* NULL when there is none. */
const struct ek_holding *ek_holdings_find(const struct ek_holdings *holdings, uint32_t handle);
/* The public area at that persistent handle; *ret_found false when there is none that can be read. */
bool ek_holdings_public(const struct ek_holdings *holdings, uint32_t handle, bool *ret_found,
			struct ek_public *ret_public, struct muster_error *err) MUST_CHECK;

/* An index that is set aside for an EK certificate: one of the low range, or an even one of the high range. */
bool ek_index_is_certificate(uint32_t index);

static inline bool ek_handle_is_ek(uint32_t handle)
{
	return handle >= EK_HANDLE_FIRST && handle <= EK_HANDLE_LAST;
}
