/* Private keys of a custodian's token: found, or made after they were announced. */
#include "custody.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "muster/encoding.h"
#include "muster/json.h"
#include "repeat.h"

enum { KEY_ID_SIZE = 16 };

void custody_key_done(struct custody_key *key)
{
	EVP_PKEY_free(key->key);
	EVP_PKEY_free(key->public_key);
	bytes_done(&key->id);
	bytes_done(&key->spki);
	free(key->type);
	free(key->attributes);
	*key = (struct custody_key){ 0 };
}

bool custody_id_make(struct bytes *ret_id, struct muster_error *err)
{
	uint8_t id[KEY_ID_SIZE];

	return random_bytes(id, sizeof(id), err) && bytes_copy(ret_id, id, sizeof(id), err);
}

/* -- Taking a key ------------------------------------------------------------------------------------------------ */

static bool copy(char **target, const char *value)
{
	*target = strdup(value ? value : "");
	return *target != NULL;
}

static bool take_public(struct custody *custody, struct custody_key *key, struct muster_error *err)
{
	if (key->spki.size == 0)
		return muster_fail(err, CAUSE_HSM_ANSWER_INVALID, "the token shows no public key");
	if (!pki_public_key_read(&key->spki, &key->public_key, err) ||
	    !pki_key_check(key->public_key, err))
		return muster_error_prefix(err, "looking at the key on token '%s'",
					   PRINTABLE(custody->token.label));
	token_signer_init(&key->signer, custody->hsm, &key->id, &key->spki);
	return true;
}

static bool take_private(struct custody_key *key, struct muster_error *err)
{
	return pki_key_from_signer(&key->signer.signer, &key->key, err);
}

static bool find(struct custody *custody, const char *uri, struct custody_key *key,
		 struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };
	const struct bytes *id, *spki;

	worker_request_init(&request, WORKER_HSM_KEY_FIND);
	worker_add_text(&request, FIELD_KEY_URI, uri);
	if (!worker_call(custody->hsm, &request, &reply, err))
		return false;
	if (worker_u64(&reply, FIELD_FOUND) == 0)
		return muster_fail(err, CAUSE_KEY_NOT_FOUND, "token '%s' has no key '%s'",
				   PRINTABLE(custody->token.label), PRINTABLE(uri));
	id = worker_bytes(&reply, FIELD_KEY_ID);
	spki = worker_bytes(&reply, FIELD_PUBLIC);
	if (!copy(&key->type, worker_text(&reply, FIELD_KEY_TYPE)) ||
	    !copy(&key->attributes, worker_text(&reply, FIELD_ATTRIBUTES)))
		return muster_fail_memory(err);
	guard_warn("private", uri, key->attributes);
	return bytes_copy(&key->id, id->data, id->size, err) &&
	       bytes_copy(&key->spki, spki->data, spki->size, err);
}

/* -- Making one -------------------------------------------------------------------------------------------------- */

bool custody_key_announce(struct custody *custody, const struct station_key_choice *choice,
			  struct custody_key *key, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;

	if (!custody_id_make(&key->id, err))
		return false;
	body = custody_entry(custody, "key-make", "keyId", &key->id);
	if (!body || !json_add_bool(body, "makesKey", true) ||
	    !json_add_text(body, "keyType", choice->type) ||
	    !json_add_text(body, "label", choice->label))
		return muster_fail_memory(err);
	return custody_append(custody, JOURNAL_INTENT, TAKE_PTR(body), err);
}

void custody_key_ask(const struct station_key_choice *choice, const struct custody_key *key,
		     struct worker_message *ret_request)
{
	worker_request_init(ret_request, WORKER_HSM_KEY_GENERATE);
	worker_add_bytes(ret_request, FIELD_KEY_ID, key->id.data, key->id.size);
	worker_add_text(ret_request, FIELD_LABEL, choice->label);
	worker_add_text(ret_request, FIELD_KEY_TYPE, choice->type);
}

bool custody_key_made(struct custody *custody, const struct station_key_choice *choice,
		      const struct worker_message *reply, struct custody_key *key,
		      struct muster_error *err)
{
	const struct bytes *spki = worker_bytes(reply, FIELD_PUBLIC);
	char whose[320];

	snprintf(whose, sizeof(whose), "'%s'", PRINTABLE(choice->label));
	if (!copy(&key->type, choice->type) ||
	    !copy(&key->attributes, worker_text(reply, FIELD_ATTRIBUTES)))
		return muster_fail_memory(err);
	return bytes_copy(&key->spki, spki->data, spki->size, err) &&
	       take_public(custody, key, err) &&
	       repeat_check(custody->journal, &key->spki, whose, err);
}

bool custody_key_drop(struct custody *custody, const struct station_key_choice *choice,
		      const struct custody_key *key, struct muster_error *err)
{
	struct muster_error failure;

	if (!choice->uri && !custody_discard(custody, &key->id, &failure))
		return muster_error_prefix(err, "left to the next run to destroy (%s)",
					   failure.message);
	return false;
}

/* The outcome comes last: until then the next run would destroy the key. One that is no good goes at once. */
static bool make(struct custody *custody, const struct station_key_choice *choice,
		 struct custody_key *key, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };

	if (!journal_begin(custody->journal, err) ||
	    !custody_key_announce(custody, choice, key, err) ||
	    !journal_commit(custody->journal, err))
		return false;
	custody_key_ask(choice, key, &request);
	worker_add_u64(&request, FIELD_LABEL_ONCE, 1);
	if (!worker_call(custody->hsm, &request, &reply, err))
		return muster_error_prefix(err, "making a key on token '%s'",
					   PRINTABLE(custody->token.label));
	return (custody_key_made(custody, choice, &reply, key, err) && take_private(key, err)) ||
	       custody_key_drop(custody, choice, key, err);
}

bool custody_key_take(struct custody *custody, const struct station_key_choice *choice,
		      struct custody_key *ret_key, struct muster_error *err)
{
	if (!choice->uri)
		return make(custody, choice, ret_key, err);
	return find(custody, choice->uri, ret_key, err) && take_public(custody, ret_key, err) &&
	       take_private(ret_key, err);
}

bool custody_key_keep(struct custody *custody, const struct custody_key *key,
		      struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = custody_entry(custody, "key-make", "keyId", &key->id);
	char digest[SHA256_HEX_SIZE];

	if (!body || !json_add_text(body, "attributes", key->attributes) ||
	    !json_add_text(body, "publicSha256",
			   sha256_hex(digest, key->spki.data, key->spki.size)))
		return muster_fail_memory(err);
	return custody_append(custody, JOURNAL_OUTCOME, TAKE_PTR(body), err);
}

bool custody_key_settle(struct custody *custody, const struct station_key_choice *choice,
			const struct custody_key *key, struct muster_error *err)
{
	if (choice->uri)
		return true;
	return journal_begin(custody->journal, err) && custody_key_keep(custody, key, err) &&
	       journal_commit(custody->journal, err);
}

bool custody_key_describe(const struct custody *custody, const struct custody_key *key,
			  cJSON *result)
{
	char hex[2 * 64 + 1];

	return json_add_text(result, "keyType", key->type) &&
	       json_add_text(result, "keyId", hex_encode(hex, key->id.data, key->id.size)) &&
	       json_add_text(result, "keyAttributes", key->attributes) &&
	       json_add_text(result, "token", custody->token.label) &&
	       json_add_text(result, "tokenSerial", custody->token.serial) &&
	       custody_add_destroyed(custody, result);
}
