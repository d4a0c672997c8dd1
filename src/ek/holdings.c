#include "muster/ek-holdings.h"

#include <string.h>

#define ENTRY_HEAD 6

static size_t get_number(const uint8_t *at, size_t octets)
{
	size_t value = 0;
	for (size_t i = 0; i < octets; i++)
		value = value << 8 | at[i];
	return value;
}

/* One entry at *at; the bytes it takes, or 0. */
static size_t take_entry(const uint8_t *at, size_t left, struct ek_holding *row)
{
	if (left < ENTRY_HEAD)
		return 0;
	size_t size = get_number(at + 4, 2);
	row->handle = (uint32_t)get_number(at, 4);
	row->is_readable = size != EK_HOLDING_UNREADABLE;
	if (!row->is_readable)
		return ENTRY_HEAD;
	if (size > left - ENTRY_HEAD)
		return 0;
	row->data = at + ENTRY_HEAD;
	row->size = size;
	return ENTRY_HEAD + size;
}

bool ek_holdings_parse(const void *data, size_t size, struct ek_holdings *ret_holdings,
		       struct muster_error *err)
{
	CLEANUP(ek_holdings_done) struct ek_holdings holdings = { 0 };
	if (size > 0 && !bytes_copy(&holdings.storage, data, size, err))
		return false;
	for (size_t at = 0, taken; at < size; at += taken) {
		struct ek_holding row = { 0 };
		taken = take_entry(holdings.storage.data + at, size - at, &row);
		bool is_ascending = holdings.count == 0 ||
				    row.handle > holdings.rows[holdings.count - 1].handle;
		if (taken == 0 || !is_ascending || holdings.count == EK_HOLDINGS_MAX)
			return muster_fail(err, CAUSE_TPM_ANSWER_INVALID,
					   "the list of what the TPM holds is malformed at %zu",
					   at);
		holdings.rows[holdings.count++] = row;
	}
	*ret_holdings = holdings;
	holdings = (struct ek_holdings){ 0 };
	return true;
}

void ek_holdings_done(struct ek_holdings *holdings)
{
	bytes_done(&holdings->storage);
	*holdings = (struct ek_holdings){ 0 };
}

const struct ek_holding *ek_holdings_find(const struct ek_holdings *holdings, uint32_t handle)
{
	for (size_t i = 0; i < holdings->count; i++)
		if (holdings->rows[i].handle == handle)
			return &holdings->rows[i];
	return NULL;
}

bool ek_holdings_public(const struct ek_holdings *holdings, uint32_t handle, bool *ret_found,
			struct ek_public *ret_public, struct muster_error *err)
{
	const struct ek_holding *row = ek_holdings_find(holdings, handle);
	*ret_found = row && row->is_readable;
	return !*ret_found || ek_public_parse(row->data, row->size, ret_public, err) ||
	       muster_error_prefix(err, "looking at the key at 0x%08x", handle);
}

bool ek_index_is_certificate(uint32_t index)
{
	return index == EK_CERTIFICATE_INDEX || index == EK_ECC_CERTIFICATE_INDEX ||
	       (index >= EK_NV_HIGH_FIRST && index <= EK_NV_HIGH_LAST && index % 2 == 0);
}
