#include "checkpoint.h"

#include <errno.h>
#include <string.h>

#include "muster/json.h"
#include "signature.h"

void checkpoint_done(struct checkpoint *checkpoint)
{
	bytes_done(&checkpoint->spki);
	bytes_done(&checkpoint->signature);
}

/* -- As JSON ------------------------------------------------------------------------------------------------ */

static bool is_digest(const char *text)
{
	return hex_is_lower(text, 2 * JOURNAL_DIGEST_SIZE, 2 * JOURNAL_DIGEST_SIZE);
}

/* Where memory ran out since errno was 0, nothing is known of it. */
#define fail(err, ...)                             \
	(errno == ENOMEM ? muster_fail_memory(err) \
			 : muster_fail((err), CAUSE_CHECKPOINT_INVALID, __VA_ARGS__))

bool checkpoint_read(const cJSON *object, struct checkpoint *ret_checkpoint,
		     struct muster_error *err)
{
	CLEANUP(checkpoint_done) struct checkpoint checkpoint = { 0 };
	const char *digest = json_text(object, "digest");

	errno = 0;
	if (cJSON_GetArraySize(object) != 4 || !json_int64(object, "entry", &checkpoint.entry) ||
	    !is_digest(digest) || !json_base64(object, "publicKey", &checkpoint.spki) ||
	    !json_base64(object, "signature", &checkpoint.signature))
		return fail(err,
			    "the checkpoint does not name entry, digest, public key and signature");
	memcpy(checkpoint.digest, digest, sizeof(checkpoint.digest));
	*ret_checkpoint = checkpoint;
	checkpoint = (struct checkpoint){ 0 };
	return true;
}

cJSON *checkpoint_json(const struct checkpoint *checkpoint)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	CLEANUP(freep) char *key = base64_encode(checkpoint->spki.data, checkpoint->spki.size);
	CLEANUP(freep)
	char *signature = base64_encode(checkpoint->signature.data, checkpoint->signature.size);

	if (!object || !key || !signature || !json_add_int64(object, "entry", checkpoint->entry) ||
	    !json_add_text(object, "digest", checkpoint->digest) ||
	    !json_add_text(object, "publicKey", key) ||
	    !json_add_text(object, "signature", signature))
		return NULL;
	return TAKE_PTR(object);
}

/* -- Signatures --------------------------------------------------------------------------------------------- */

static void format_message(const struct checkpoint *checkpoint, char message[160])
{
	snprintf(message, 160, "muster.checkpoint/1 %lld %s\n", (long long)checkpoint->entry,
		 checkpoint->digest);
}

bool checkpoint_sign(struct checkpoint *checkpoint, EVP_PKEY *key, struct muster_error *err)
{
	char message[160];

	format_message(checkpoint, message);
	return signature_make(key, message, &checkpoint->spki, &checkpoint->signature, err);
}

bool checkpoint_verify(const struct checkpoint *checkpoint, struct muster_error *err)
{
	char message[160];

	format_message(checkpoint, message);
	errno = 0;
	if (signature_is_good(&checkpoint->spki, &checkpoint->signature, message))
		return true;
	return fail(err, "the signature of the checkpoint of entry %lld does not verify",
		    (long long)checkpoint->entry);
}
