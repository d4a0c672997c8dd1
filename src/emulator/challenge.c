/* The TPM's two steps: a key only the enrolled chip can take in, remembered until it signs with it. */
#include <string.h>

#include "muster/ek.h"
#include "muster/encoding.h"
#include "muster/json.h"
#include "muster/secret.h"

#include "enrollments.h"
#include "registration.h"

#define CHALLENGE_KEY_SIZE 32

static bool no_memory(struct refusal *refusal)
{
	return refuse(refusal, SERVER_FAILED, "The emulator is out of memory");
}

bool challenge_wrap(const struct registration *registration, const void *key, size_t key_size,
		    char **ret_blob, struct refusal *refusal)
{
	CLEANUP(bytes_done) struct bytes blob = { 0 };
	CLEANUP(secret_done) struct secret hmac_key = { 0 };
	struct ek_public ek, srk;
	struct muster_error err;

	if (!ek_public_from_base64(registration->endorsement_key,
				   strlen(registration->endorsement_key), &ek, &err) ||
	    !ek_public_from_base64(registration->storage_root_key,
				   strlen(registration->storage_root_key), &srk, &err) ||
	    !secret_copy(&hmac_key, key, key_size, &err) ||
	    !ek_challenge_make(&ek, &srk, &hmac_key, NULL, &blob, &err))
		return refuse_internal(refusal, &err);
	*ret_blob = base64_encode(blob.data, blob.size);
	return *ret_blob || no_memory(refusal);
}

static bool remember(const struct registration *registration, const uint8_t key[CHALLENGE_KEY_SIZE],
		     struct refusal *refusal)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	CLEANUP(freep) char *encoded = base64_encode(key, CHALLENGE_KEY_SIZE);
	struct store *store = registration->emulator->store;
	struct muster_error err;

	if (!object || !encoded || !json_add_text(object, "key", encoded) ||
	    !json_add_text(object, "storageRootKey", registration->storage_root_key))
		return no_memory(refusal);
	CLEANUP(freep) char *text = json_print_line(object);
	if (!text)
		return no_memory(refusal);
	store_lock(store);
	bool is_good = store_put(store, STORE_CHALLENGES, registration->id, NULL, text, &err);
	store_unlock(store);
	return is_good || refuse_internal(refusal, &err);
}

bool challenge_answer(struct exchange *exchange, struct registration *registration)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	CLEANUP(freep) char *blob = NULL;
	struct refusal *refusal = &exchange->refusal;
	uint8_t key[CHALLENGE_KEY_SIZE];
	struct muster_error err;

	if (!random_bytes(key, sizeof(key), &err))
		return refuse_internal(refusal, &err);
	if (!challenge_wrap(registration, key, sizeof(key), &blob, refusal) ||
	    !remember(registration, key, refusal))
		return false;
	if (!object ||
	    !json_add_text(object, "message",
			   "Authorization required, resend request using supplied key") ||
	    !json_add_text(object, "authenticationKey", blob) ||
	    !json_add_text(object, "keyName", "registration"))
		return no_memory(refusal);
	exchange->reply.status = 401;
	return reply_json(exchange, object);
}

bool challenge_recall(struct emulator *emulator, const char *id, struct bytes *ret_key,
		      char **ret_storage_root_key, struct refusal *refusal)
{
	CLEANUP(freep) char *text = NULL;
	CLEANUP(cJSON_freep) cJSON *object = NULL;
	struct muster_error err;

	store_lock(emulator->store);
	bool is_good = store_get(emulator->store, STORE_CHALLENGES, id, &text, &err);
	store_unlock(emulator->store);
	if (!is_good)
		return refuse_internal(refusal, &err);
	if (!text)
		return true;
	if (!stored_parse(text, &object, refusal))
		return false;
	const char *key = json_text(object, "key");
	const char *srk = json_text(object, "storageRootKey");
	if (!key || !srk || !base64_decode(key, strlen(key), ret_key))
		return refuse(refusal, SERVER_FAILED, "The stored challenge is damaged");
	*ret_storage_root_key = strdup(srk);
	return *ret_storage_root_key || no_memory(refusal);
}
