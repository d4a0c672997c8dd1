/* The device's side: what a service sent, taken apart. The service is not trusted to be well-behaved. */
#include "muster/ek.h"

#include <string.h>

#include "ek-internal.h"

struct span {
	const uint8_t *at;
	size_t left;
};

/* A TPM2B with its size; the content's limits are those of the TPM's own buffers. */
struct part {
	const char *name;
	size_t offset; /* in struct ek_challenge */
	size_t max;
};

static const struct part parts[] = {
	{ "credential", offsetof(struct ek_challenge, id_object),
	  sizeof(((TPM2B_ID_OBJECT *)0)->credential) },
	{ "credential seed", offsetof(struct ek_challenge, credential_secret),
	  sizeof(((TPM2B_ENCRYPTED_SECRET *)0)->secret) },
	{ "wrapped key", offsetof(struct ek_challenge, duplicate),
	  sizeof(((TPM2B_PRIVATE *)0)->buffer) },
	{ "wrapped key's seed", offsetof(struct ek_challenge, duplicate_seed),
	  sizeof(((TPM2B_ENCRYPTED_SECRET *)0)->secret) },
	{ "key's public area", offsetof(struct ek_challenge, key_public), EK_PUBLIC_MAX - 2 },
};

static bool take_sized(struct span *rest, const char *name, size_t max, struct span *ret_content,
		       struct muster_error *err)
{
	if (rest->left < 2)
		return muster_fail(err, CAUSE_TPM_ACTIVATION_FAILED, "it ends before its %s", name);
	size_t size = (size_t)rest->at[0] << 8 | rest->at[1];
	if (size > rest->left - 2)
		return muster_fail(err, CAUSE_TPM_ACTIVATION_FAILED, "it ends within its %s", name);
	if (size > max)
		return muster_fail(err, CAUSE_TPM_ACTIVATION_FAILED,
				   "its %s has %zu bytes, more than %zu", name, size, max);
	*ret_content = (struct span){ rest->at + 2, size };
	rest->at += 2 + size;
	rest->left -= 2 + size;
	return true;
}

static bool take_part(struct span *rest, const struct part *part, struct ek_challenge *challenge,
		      struct muster_error *err)
{
	struct span content = { 0 };
	if (!take_sized(rest, part->name, part->max, &content, err))
		return false;
	if (content.left == 0)
		return muster_fail(err, CAUSE_TPM_ACTIVATION_FAILED, "its %s is empty", part->name);
	struct bytes *out = (struct bytes *)(void *)((char *)challenge + part->offset);
	return bytes_copy(out, content.at - 2, content.left + 2, err);
}

static bool check_key_public(const struct bytes *sized, struct muster_error *err)
{
	struct ek_public public;
	TPMT_PUBLIC area;
	struct muster_error why;
	if (!ek_public_parse(sized->data, sized->size, &public, &why) ||
	    !ek_public_unpack(&public, &area, &why))
		return muster_fail(err, CAUSE_TPM_ACTIVATION_FAILED, "its key's public area: %s",
				   why.message);
	const TPMT_KEYEDHASH_SCHEME *scheme = &area.parameters.keyedHashDetail.scheme;
	if (area.type != TPM2_ALG_KEYEDHASH || scheme->scheme != TPM2_ALG_HMAC ||
	    scheme->details.hmac.hashAlg != TPM2_ALG_SHA256 ||
	    !(area.objectAttributes & TPMA_OBJECT_SIGN_ENCRYPT))
		return muster_fail(err, CAUSE_TPM_ACTIVATION_FAILED,
				   "its key is not one for HMAC-SHA256");
	return true;
}

static bool split(struct span rest, struct ek_challenge *challenge, struct muster_error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (!take_part(&rest, &parts[i], challenge, err))
			return false;
	struct span trailing = { 0 };
	if (!take_sized(&rest, "trailing data", EK_CHALLENGE_MAX, &trailing, err))
		return false;
	if (rest.left > 0)
		return muster_fail(err, CAUSE_TPM_ACTIVATION_FAILED, "%zu bytes are left over",
				   rest.left);
	return check_key_public(&challenge->key_public, err) &&
	       (trailing.left == 0 ||
		bytes_copy(&challenge->trailing, trailing.at, trailing.left, err));
}

bool ek_challenge_split(const void *blob, size_t size, struct ek_challenge *ret_challenge,
			struct muster_error *err)
{
	CLEANUP(ek_challenge_done) struct ek_challenge challenge = { 0 };
	if (size > EK_CHALLENGE_MAX)
		return muster_fail(err, CAUSE_TPM_ACTIVATION_FAILED,
				   "reading a challenge: %zu bytes are too many", size);
	if (!split((struct span){ blob, size }, &challenge, err))
		return muster_error_prefix(err, "reading a challenge of %zu bytes", size);
	*ret_challenge = challenge;
	challenge = (struct ek_challenge){ 0 };
	return true;
}

void ek_challenge_done(struct ek_challenge *challenge)
{
	bytes_done(&challenge->id_object);
	bytes_done(&challenge->credential_secret);
	bytes_done(&challenge->duplicate);
	bytes_done(&challenge->duplicate_seed);
	bytes_done(&challenge->key_public);
	bytes_done(&challenge->trailing);
}
