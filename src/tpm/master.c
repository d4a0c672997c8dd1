/* A master that the station's TPM holds: a keyed hash at a persistent handle, used where it is. */
#include "muster/tpm.h"

#include <stdio.h>
#include <string.h>

#include "tpm-internal.h"

static const struct {
	TPMA_OBJECT bit;
	const char *name;
	enum { ANY, SET, CLEAR } demand;
} rules[] = {
	{ TPMA_OBJECT_FIXEDTPM, "fixed-tpm", SET },
	{ TPMA_OBJECT_FIXEDPARENT, "fixed-parent", SET },
	{ TPMA_OBJECT_SENSITIVEDATAORIGIN, "sensitive-data-origin", ANY },
	{ TPMA_OBJECT_SIGN_ENCRYPT, "sign", SET },
	{ TPMA_OBJECT_DECRYPT, "decrypt", CLEAR },
	{ TPMA_OBJECT_RESTRICTED, "restricted", CLEAR },
	{ TPMA_OBJECT_USERWITHAUTH, "user-with-auth", SET },
	{ TPMA_OBJECT_NODA, "no-da", SET },
};

static bool hashes_with_sha256(const TPMT_PUBLIC *public)
{
	const TPMT_KEYEDHASH_SCHEME *scheme = &public->parameters.keyedHashDetail.scheme;

	return public->type == TPM2_ALG_KEYEDHASH &&
	       (scheme->scheme == TPM2_ALG_NULL ||
		(scheme->scheme == TPM2_ALG_HMAC &&
		 scheme->details.hmac.hashAlg == TPM2_ALG_SHA256));
}

/* The key cannot leave the TPM, is for MACs alone, and a password that is not the empty one does not count as a failed try; or it is
 * not used. */
static bool check(const TPMT_PUBLIC *public, uint32_t handle, char attributes[TPM_ATTRIBUTES_SIZE],
		  struct muster_error *err)
{
	CLEANUP(text_done) struct text bad = TEXT_MAX(256), all = TEXT_MAX(TPM_ATTRIBUTES_SIZE - 1);

	if (!hashes_with_sha256(public))
		return muster_fail(err, CAUSE_MASTER_UNGUARDED,
				   "the object at 0x%08x is no key for HMAC-SHA256", handle);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		bool is_set = (public->objectAttributes & rules[i].bit) != 0;

		text_addf(&all, "%s%s=%s", i > 0 ? " " : "", rules[i].name,
			  is_set ? "true" : "false");
		if (rules[i].demand != ANY && is_set != (rules[i].demand == SET))
			text_addf(&bad, " %s=%s", rules[i].name, is_set ? "true" : "false");
	}
	if (!text_ok(&all, err))
		return false;
	snprintf(attributes, TPM_ATTRIBUTES_SIZE, "%s", all.data);
	return bad.length == 0 || muster_fail(err, CAUSE_MASTER_UNGUARDED,
					      "the key at 0x%08x has%s", handle, bad.data);
}

static bool look(struct tpm *tpm, ESYS_TR key, uint32_t handle,
		 char attributes[TPM_ATTRIBUTES_SIZE], struct muster_error *err)
{
	CLEANUP(esys_freep) TPM2B_PUBLIC *public = NULL;
	TSS2_RC rc = Esys_ReadPublic(tpm->esys, key, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
				     &public, NULL, NULL);

	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(tpm, rc, err, "looking at the key at 0x%08x", handle);
	return check(&public->publicArea, handle, attributes, err);
}

static bool mac_one(struct tpm *tpm, ESYS_TR key, const uint8_t *text, size_t size,
		    uint8_t mac[TPM_MAC_SIZE], struct muster_error *err)
{
	CLEANUP(esys_freep) TPM2B_DIGEST *result = NULL;
	TPM2B_MAX_BUFFER buffer = { .size = (uint16_t)size };
	TSS2_RC rc;

	if (size > TPM_MASTER_TEXT_MAX)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL, "an ID of %zu bytes", size);
	memcpy(buffer.buffer, text, size);
	rc = Esys_HMAC(tpm->esys, key, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE, &buffer,
		       TPM2_ALG_SHA256, &result);
	if (rc != TSS2_RC_SUCCESS)
		return tpm_fail(tpm, rc, err, "computing an HMAC");
	if (result->size != TPM_MAC_SIZE)
		return muster_fail(err, CAUSE_TPM_ANSWER_INVALID, "an HMAC-SHA256 of %u bytes came",
				   result->size);
	memcpy(mac, result->buffer, TPM_MAC_SIZE);
	secret_wipe(result->buffer, TPM_MAC_SIZE);
	return true;
}

static bool mac_all(struct tpm *tpm, ESYS_TR key, const struct bytes *ids, uint8_t *macs,
		    size_t *ret_count, struct muster_error *err)
{
	struct worker_ids each = { .all = ids };
	const uint8_t *id;
	size_t size;

	for (;;) {
		if (!worker_ids_next(&each, &id, &size, err))
			return false;
		if (!id)
			break;
		if (!mac_one(tpm, key, id, size, macs + (each.count - 1) * TPM_MAC_SIZE, err))
			return false;
	}
	*ret_count = each.count;
	return true;
}

static bool derive(struct tpm *tpm, uint32_t handle, const struct bytes *ids, uint8_t *macs,
		   size_t *ret_count, char attributes[TPM_ATTRIBUTES_SIZE],
		   struct muster_error *err)
{
	ESYS_TR key = ESYS_TR_NONE;
	bool exists = false, good;

	if (!tpm_handle_exists(tpm, handle, &exists, err))
		return false;
	if (!exists)
		return muster_fail(err, CAUSE_KEY_NOT_FOUND, "the TPM has no object at 0x%08x",
				   handle);
	if (!tpm_session_ensure(tpm, err) || !tpm_reference_open(tpm, handle, &key, err))
		return false;
	good = look(tpm, key, handle, attributes, err) &&
	       mac_all(tpm, key, ids, macs, ret_count, err);
	Esys_TR_Close(tpm->esys, &key);
	return good;
}

bool tpm_master_derive(struct tpm *tpm, uint32_t handle, const struct bytes *ids,
		       uint8_t macs[WORKER_IDS_MAX * TPM_MAC_SIZE], size_t *ret_count,
		       char attributes[TPM_ATTRIBUTES_SIZE], struct muster_error *err)
{
	return TPM_TASK(tpm, err,
			derive(tpm, handle, ids, macs, ret_count, attributes, err) ||
				muster_error_prefix(err, "deriving with the TPM's key"));
}
