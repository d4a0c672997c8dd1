/* The HSM verbs of worker-verbs.def, each one call of the room. */
#include <stdlib.h>
#include <string.h>

#include "muster/hsm.h"
#include "muster/worker.h"

#include "handlers.h"

enum { MASTER_TEXT_MAX = 256, TRIAL_MS_MAX = 10000 };

#define HANDLER(name) static HSM_HANDLER(name)

static bool load_module(struct hsm *hsm, const struct worker_message *request,
			struct muster_error *err)
{
	return hsm_module_load(hsm, worker_text(request, FIELD_MODULE),
			       worker_text(request, FIELD_MODULE_ARGUMENTS), err);
}

static void add_token(struct worker_message *reply, const struct hsm_token *token)
{
	char words[HSM_FLAG_WORDS_SIZE];

	hsm_token_flag_words(token, words);
	worker_add_text(reply, FIELD_LABEL, token->label);
	worker_add_text(reply, FIELD_SERIAL, token->serial);
	worker_add_text(reply, FIELD_MANUFACTURER, token->manufacturer);
	worker_add_text(reply, FIELD_MODEL, token->model);
	worker_add_u64(reply, FIELD_TOKEN_FLAGS, token->flags);
	worker_add_text(reply, FIELD_FLAG_WORDS, words);
	worker_add_u64(reply, FIELD_SLOT, token->slot);
}

HANDLER(handle_open)
{
	struct hsm_token token;

	if (!load_module(context, request, err) ||
	    !hsm_token_open(context, worker_text(request, FIELD_TOKEN_URI), &token, err))
		return false;
	add_token(reply, &token);
	return true;
}

HANDLER(handle_token)
{
	uint64_t index = worker_u64(request, FIELD_INDEX);
	struct hsm_token token;
	size_t count;

	if (!load_module(context, request, err) ||
	    !hsm_token_look(context, index, &token, &count, err))
		return false;
	worker_add_u64(reply, FIELD_COUNT, count);
	if (index < count)
		add_token(reply, &token);
	return true;
}

static bool read_pin(const struct worker_message *request, struct secret *pin,
		     struct muster_error *err)
{
	if (request->fd <= 0)
		return muster_fail(err, CAUSE_PIN_MISSING, "no PIN came with the request");
	if (!secret_read_fd(pin, request->fd, HSM_PIN_MAX + 2, "the PIN", err))
		return false;
	secret_chomp(pin);
	return true;
}

HANDLER(handle_login)
{
	CLEANUP(secret_done) struct secret pin = { 0 };
	bool is_accepted;

	if (!read_pin(request, &pin, err) ||
	    !hsm_login(context, &pin, worker_u64(request, FIELD_PIN_STATE) == 1, &is_accepted, err))
		return false;
	worker_add_u64(reply, FIELD_PIN_STATE, is_accepted);
	return true;
}

/* A new PIN as a person typed it the first time. */
static struct secret typed;

static bool read_new_pin(const struct worker_message *request, struct secret *pin,
			 struct muster_error *err)
{
	CLEANUP(secret_done) struct secret first = typed;

	typed = (struct secret){ 0 };
	if (!read_pin(request, pin, err))
		return false;
	return !first.data || secret_equal(&first, pin) ||
	       muster_fail(err, CAUSE_NEW_PIN_REFUSED, "the PINs that were typed differ");
}

/* Until the user PIN is there, too. */
static struct secret officer_pin;

HANDLER(handle_init_pin)
{
	struct secret *kept = worker_u64(request, FIELD_FIRST_TIME) == 1 ? &typed : &officer_pin;

	(void)reply;
	if (!load_module(context, request, err))
		return false;
	secret_done(kept);
	return kept == &typed ? read_pin(request, kept, err) : read_new_pin(request, kept, err);
}

HANDLER(handle_init_look)
{
	struct hsm_token token;

	if (!load_module(context, request, err) ||
	    !hsm_token_to_initialise(context, worker_text(request, FIELD_TOKEN_URI),
				     worker_text(request, FIELD_LABEL),
				     worker_text(request, FIELD_CONFIRMATION), &token, err))
		return false;
	add_token(reply, &token);
	return true;
}

HANDLER(handle_init)
{
	CLEANUP(secret_done) struct secret so_pin = officer_pin, pin = { 0 };
	struct hsm_token token;

	officer_pin = (struct secret){ 0 };
	if (!load_module(context, request, err) || !read_new_pin(request, &pin, err) ||
	    !hsm_token_initialise(
		    context, worker_text(request, FIELD_TOKEN_URI),
		    worker_text(request, FIELD_LABEL), worker_text(request, FIELD_CONFIRMATION),
		    worker_u64(request, FIELD_PIN_STATE) == 1, &so_pin, &pin, &token, err))
		return false;
	add_token(reply, &token);
	return true;
}

HANDLER(handle_mechanism)
{
	uint64_t index = worker_u64(request, FIELD_INDEX);
	struct hsm_mechanism mechanism;
	size_t count;

	if (!hsm_mechanism_look(context, index, &mechanism, &count, err))
		return false;
	worker_add_u64(reply, FIELD_COUNT, count);
	if (index >= count)
		return true;
	worker_add_text(reply, FIELD_WORD, mechanism.name);
	worker_add_text(reply, FIELD_FLAG_WORDS, mechanism.uses);
	worker_add_u64(reply, FIELD_MINIMUM, mechanism.minimum);
	worker_add_u64(reply, FIELD_MAXIMUM, mechanism.maximum);
	return true;
}

HANDLER(handle_objects)
{
	size_t count;

	(void)request;
	if (!hsm_objects_collect(context, &count, err))
		return false;
	worker_add_u64(reply, FIELD_COUNT, count);
	return true;
}

HANDLER(handle_object)
{
	CLEANUP(hsm_object_done) struct hsm_object object = { 0 };
	bool found;

	if (!hsm_object_look(context, worker_u64(request, FIELD_INDEX), &object, &found, err))
		return false;
	worker_add_u64(reply, FIELD_FOUND, found);
	if (!found)
		return true;
	worker_add_text(reply, FIELD_WORD, object.kind);
	worker_add_text(reply, FIELD_LABEL, object.label);
	if (object.key.id.size > 0)
		worker_add_bytes(reply, FIELD_KEY_ID, object.key.id.data, object.key.id.size);
	worker_add_text(reply, FIELD_KEY_TYPE, object.key.type);
	worker_add_text(reply, FIELD_ATTRIBUTES, object.key.attributes);
	worker_add_text(reply, FIELD_NOTE, object.note);
	if (object.key.spki.data)
		worker_add_bytes(reply, FIELD_PUBLIC, object.key.spki.data, object.key.spki.size);
	if (object.certificate.data)
		worker_add_bytes(reply, FIELD_CERTIFICATE, object.certificate.data,
				 object.certificate.size);
	return true;
}

HANDLER(handle_object_prove)
{
	char note[MUSTER_ERROR_MESSAGE_SIZE] = "";
	enum hsm_proof proof;

	if (!hsm_object_prove(context, worker_u64(request, FIELD_INDEX),
			      worker_bytes(request, FIELD_PUBLIC), &proof, note, err))
		return false;
	worker_add_u64(reply, FIELD_FOUND, proof);
	if (*note)
		worker_add_text(reply, FIELD_NOTE, note);
	return true;
}

static bool id_of(const struct worker_message *request, struct hsm_id *ret_id,
		  struct muster_error *err)
{
	return hsm_id_set(ret_id, worker_bytes(request, FIELD_KEY_ID), err);
}

HANDLER(handle_key_generate)
{
	CLEANUP(hsm_key_done) struct hsm_key key = { 0 };
	unsigned traits = (worker_u64(request, FIELD_LEAVES) == 1 ? HSM_LEAVES : 0) |
			  (worker_u64(request, FIELD_LABEL_ONCE) == 1 ? HSM_LABEL_ONCE : 0);
	struct hsm_id id;

	if (!id_of(request, &id, err) ||
	    !hsm_key_generate(context, &id, worker_text(request, FIELD_LABEL),
			      worker_text(request, FIELD_KEY_TYPE), traits, &key, err))
		return false;
	worker_add_bytes(reply, FIELD_PUBLIC, key.spki.data, key.spki.size);
	worker_add_text(reply, FIELD_ATTRIBUTES, key.attributes);
	return true;
}

HANDLER(handle_key_find)
{
	CLEANUP(hsm_key_done) struct hsm_key key = { 0 };
	const struct bytes *wanted = worker_bytes(request, FIELD_KEY_ID);
	const char *uri = worker_text(request, FIELD_KEY_URI);
	bool by_id = wanted && wanted->data;
	struct hsm_id id = { 0 };
	bool found;

	if (by_id == (uri != NULL))
		return muster_fail(err, CAUSE_WORKER_PROTOCOL, "a key is found by ID or by URI");
	if (by_id && !hsm_id_set(&id, wanted, err))
		return false;
	if (!hsm_key_find(context, by_id ? &id : NULL, uri, &found, &key, err))
		return false;
	worker_add_u64(reply, FIELD_FOUND, found);
	if (!found)
		return true;
	worker_add_bytes(reply, FIELD_KEY_ID, key.id.data, key.id.size);
	if (key.spki.data)
		worker_add_bytes(reply, FIELD_PUBLIC, key.spki.data, key.spki.size);
	worker_add_text(reply, FIELD_ATTRIBUTES, key.attributes);
	worker_add_text(reply, FIELD_KEY_TYPE, key.type);
	return true;
}

HANDLER(handle_key_destroy)
{
	struct hsm_id id;
	bool found;

	if (!id_of(request, &id, err) ||
	    (worker_u64(request, FIELD_UNFINISHED) == 1 &&
	     !hsm_key_check_unfinished(context, &id, worker_bytes(request, FIELD_DIGEST), err)) ||
	    !hsm_key_destroy(context, &id, &found, err))
		return false;
	worker_add_u64(reply, FIELD_FOUND, found);
	return true;
}

HANDLER(handle_keys)
{
	struct hsm_id ids[HSM_KEYS_MAX];
	size_t count;

	if (!hsm_keys_list(context, worker_text(request, FIELD_LABEL), ids, &count, err))
		return false;
	worker_add_u64(reply, FIELD_COUNT, count);
	for (size_t i = 0; i < count; i++)
		if (ids[i].size > 0)
			worker_add_bytes(reply, FIELD_KEY_ID, ids[i].data, ids[i].size);
	return true;
}

HANDLER(handle_key_names)
{
	CLEANUP(text_done) struct text names = TEXT_MAX(HSM_KEY_NAMES_MAX);
	size_t index = worker_u64(request, FIELD_INDEX), count;

	if (!hsm_key_names(context, &index, &names, &count, err))
		return false;
	worker_add_u64(reply, FIELD_COUNT, count);
	worker_add_u64(reply, FIELD_INDEX, index);
	if (names.length > 0)
		worker_add_bytes(reply, FIELD_KEY_NAMES, names.data, names.length);
	return true;
}

HANDLER(handle_sign)
{
	uint8_t signature[SIGNER_SIGNATURE_MAX];
	struct hsm_id id;
	size_t size;

	if (!id_of(request, &id, err) ||
	    !hsm_sign(context, &id, (enum signer_scheme)worker_u64(request, FIELD_SCHEME),
		      (enum signer_hash)worker_u64(request, FIELD_HASH),
		      worker_bytes(request, FIELD_DIGEST), signature, &size, err))
		return false;
	worker_add_bytes(reply, FIELD_SIGNATURE, signature, size);
	return true;
}

HANDLER(handle_hmac)
{
	char attributes[HSM_ATTRIBUTES_SIZE];
	uint8_t mac[32];

	if (!hsm_hmac(context, worker_text(request, FIELD_KEY_URI),
		      worker_bytes(request, FIELD_DATA), mac, attributes, err))
		return false;
	/* The MAC is a device's key. */
	worker_add_bytes(reply, FIELD_MAC, mac, sizeof(mac));
	secret_wipe(mac, sizeof(mac));
	worker_add_text(reply, FIELD_ATTRIBUTES, attributes);
	return true;
}

HANDLER(handle_derive)
{
	CLEANUP(secret_done) struct secret macs = { 0 };
	char attributes[HSM_ATTRIBUTES_SIZE];
	size_t count;

	if (!secret_new(&macs, WORKER_IDS_MAX * 32, err) ||
	    !hsm_derive(context, worker_text(request, FIELD_KEY_URI),
			worker_bytes(request, FIELD_IDS), macs.data, &count, attributes, err))
		return false;
	worker_add_bytes(reply, FIELD_MACS, macs.data, count * 32);
	worker_add_text(reply, FIELD_ATTRIBUTES, attributes);
	return true;
}

HANDLER(handle_master_find)
{
	CLEANUP(hsm_object_done) struct hsm_object object = { 0 };

	if (!hsm_master_find(context, worker_text(request, FIELD_KEY_URI), &object, err))
		return false;
	if (object.key.id.size > 0)
		worker_add_bytes(reply, FIELD_KEY_ID, object.key.id.data, object.key.id.size);
	worker_add_text(reply, FIELD_LABEL, object.label);
	worker_add_text(reply, FIELD_ATTRIBUTES, object.key.attributes);
	return true;
}

HANDLER(handle_master_import)
{
	CLEANUP(secret_done) struct secret text = { 0 }, value = { 0 };
	char attributes[HSM_ATTRIBUTES_SIZE];
	struct hsm_id id;

	if (request->fd <= 0)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL, "no key came with the import");
	if (!id_of(request, &id, err) ||
	    !secret_read_fd(&text, request->fd, MASTER_TEXT_MAX, "the master key", err))
		return false;
	secret_chomp(&text);
	if (!secret_from_base64(&value, (const char *)text.data, text.size, "the master key",
				err) ||
	    !hsm_master_import(context, &id, worker_text(request, FIELD_LABEL), &value, 0,
			       attributes, err))
		return false;
	worker_add_text(reply, FIELD_ATTRIBUTES, attributes);
	return true;
}

HANDLER(handle_master_generate)
{
	char attributes[HSM_ATTRIBUTES_SIZE];
	uint64_t bits = worker_u64(request, FIELD_BITS);
	struct hsm_id id;

	if (!id_of(request, &id, err) ||
	    !hsm_master_generate(context, &id, worker_text(request, FIELD_LABEL),
				 bits > 65536 ? 0 : (unsigned)bits, 0, attributes, err))
		return false;
	worker_add_text(reply, FIELD_ATTRIBUTES, attributes);
	return true;
}

HANDLER(handle_wrap_out)
{
	CLEANUP(bytes_done) struct bytes wrapped = { 0 };
	char method[HSM_METHOD_SIZE];
	struct hsm_id id;

	if (!id_of(request, &id, err) ||
	    !hsm_wrap_out(context, &id, worker_bytes(request, FIELD_RECIPIENT), &wrapped, method,
			  err))
		return false;
	worker_add_bytes(reply, FIELD_WRAPPED, wrapped.data, wrapped.size);
	worker_add_text(reply, FIELD_METHOD, method);
	return true;
}

HANDLER(handle_trial)
{
	uint64_t milliseconds = worker_u64(request, FIELD_MILLISECONDS);
	struct hsm_trial trial;

	if (!hsm_trial_run(context, worker_text(request, FIELD_WORD),
			   milliseconds < TRIAL_MS_MAX ? milliseconds : TRIAL_MS_MAX, &trial, err))
		return false;
	worker_add_u64(reply, FIELD_COUNT, trial.count);
	worker_add_u64(reply, FIELD_NANOSECONDS, trial.nanoseconds);
	if (*trial.attributes)
		worker_add_text(reply, FIELD_ATTRIBUTES, trial.attributes);
	if (*trial.method)
		worker_add_text(reply, FIELD_METHOD, trial.method);
	return true;
}

HANDLER(handle_certificate_store)
{
	struct hsm_id id;

	(void)reply;
	return id_of(request, &id, err) &&
	       hsm_certificate_store(context, &id, worker_text(request, FIELD_LABEL),
				     worker_bytes(request, FIELD_CERTIFICATE), err);
}

HANDLER(handle_certificate_find)
{
	CLEANUP(bytes_done) struct bytes der = { 0 };
	struct hsm_id id = { 0 };
	bool found;

	if (!hsm_certificate_find(context, worker_text(request, FIELD_KEY_URI),
				  worker_bytes(request, FIELD_DIGEST), &found, &id, &der, err))
		return false;
	worker_add_u64(reply, FIELD_FOUND, found);
	if (id.size > 0)
		worker_add_bytes(reply, FIELD_KEY_ID, id.data, id.size);
	if (der.size > 0)
		worker_add_bytes(reply, FIELD_CERTIFICATE, der.data, der.size);
	return true;
}

static bool handle_sweep(void *context, const struct worker_message *request,
			 struct worker_message *reply, struct muster_error *err)
{
	bool swept;

	(void)request;
	if (!hsm_torn_sweep(context, &swept, err))
		return false;
	worker_add_u64(reply, FIELD_FOUND, swept);
	return true;
}

/* -- The tables ----------------------------------------------------------------------------------------------------- */

const struct worker_handler hsm_session_handlers[] = {
	{ WORKER_HSM_KEY_GENERATE, handle_key_generate },
	{ WORKER_HSM_KEY_FIND, handle_key_find },
	{ WORKER_HSM_KEY_DESTROY, handle_key_destroy },
	{ WORKER_HSM_SIGN, handle_sign },
	{ WORKER_HSM_WRAP_OUT, handle_wrap_out },
	{ WORKER_HSM_HMAC, handle_hmac },
	{ WORKER_HSM_DERIVE, handle_derive },
	{ WORKER_HSM_CERTIFICATE_STORE, handle_certificate_store },
	{ WORKER_HSM_CERTIFICATE_FIND, handle_certificate_find },
	{ WORKER_HSM_KEYS, handle_keys },
	{ WORKER_HSM_SWEEP, handle_sweep },
	{ WORKER_HSM_MASTER_GENERATE, handle_master_generate },
	{ WORKER_HSM_MASTER_IMPORT, handle_master_import },
	{ WORKER_HSM_MASTER_FIND, handle_master_find },
};
const size_t hsm_session_handler_count = ARRAY_SIZE(hsm_session_handlers);

const struct worker_handler hsm_own_handlers[] = {
	{ WORKER_HSM_OPEN, handle_open },
	{ WORKER_HSM_LOGIN, handle_login },
	{ WORKER_HSM_TOKEN, handle_token },
	{ WORKER_HSM_MECHANISM, handle_mechanism },
	{ WORKER_HSM_OBJECTS, handle_objects },
	{ WORKER_HSM_OBJECT, handle_object },
	{ WORKER_HSM_INIT, handle_init },
	{ WORKER_HSM_INIT_PIN, handle_init_pin },
	{ WORKER_HSM_TRIAL, handle_trial },
	{ WORKER_HSM_INIT_LOOK, handle_init_look },
	{ WORKER_HSM_OBJECT_PROVE, handle_object_prove },
	{ WORKER_HSM_KEY_NAMES, handle_key_names },
};
const size_t hsm_own_handler_count = ARRAY_SIZE(hsm_own_handlers);

/* And that of a session itself. */
_Static_assert(ARRAY_SIZE(hsm_session_handlers) + ARRAY_SIZE(hsm_own_handlers) + 1 <=
		       HSM_HANDLERS_MAX,
	       "room for all that is asked");
