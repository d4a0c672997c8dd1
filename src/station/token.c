#include "token.h"

#include <stdlib.h>
#include <string.h>

#include "muster/token-uri.h"

/* -- Opening and logging in -------------------------------------------------------------------------------- */

char *token_text_of(const struct token_uri *uri)
{
	struct token_uri token = *uri;

	token.object = NULL;
	token.type = NULL;
	token.id = (struct bytes){ 0 };
	return token_uri_format(&token);
}

void token_add_module(struct worker_message *request, const struct station_module *module)
{
	worker_add_text(request, FIELD_MODULE, module->path);
	if (module->arguments)
		worker_add_text(request, FIELD_MODULE_ARGUMENTS, module->arguments);
}

void token_open_request(struct worker_message *request, const struct station_module *module,
			const char *token_text)
{
	worker_request_init(request, WORKER_HSM_OPEN);
	token_add_module(request, module);
	worker_add_text(request, FIELD_TOKEN_URI, token_text);
}

static bool copy_text(char **target, const char *value, struct muster_error *err)
{
	char *copy = strdup(value ? value : "");

	if (!copy)
		return muster_fail_memory(err);
	free(*target);
	*target = copy;
	return true;
}

bool token_facts_copy(struct token_facts *facts, const struct token_facts *from,
		      struct muster_error *err)
{
	facts->slot = from->slot;
	return copy_text(&facts->label, from->label, err) &&
	       copy_text(&facts->serial, from->serial, err) &&
	       copy_text(&facts->manufacturer, from->manufacturer, err) &&
	       copy_text(&facts->model, from->model, err) &&
	       copy_text(&facts->flag_words, from->flag_words, err);
}

bool token_facts_take(struct token_facts *facts, const struct worker_message *reply,
		      struct muster_error *err)
{
	facts->slot = worker_u64(reply, FIELD_SLOT);
	return copy_text(&facts->label, worker_text(reply, FIELD_LABEL), err) &&
	       copy_text(&facts->serial, worker_text(reply, FIELD_SERIAL), err) &&
	       copy_text(&facts->manufacturer, worker_text(reply, FIELD_MANUFACTURER), err) &&
	       copy_text(&facts->model, worker_text(reply, FIELD_MODEL), err) &&
	       copy_text(&facts->flag_words, worker_text(reply, FIELD_FLAG_WORDS), err);
}

void token_facts_done(struct token_facts *facts)
{
	free(facts->label);
	free(facts->serial);
	free(facts->manufacturer);
	free(facts->model);
	free(facts->flag_words);
	pin_try_done(&facts->attempt);
	*facts = (struct token_facts){ 0 };
}

/* -- The same as steps of a job ------------------------------------------------------------------------------ */

/* A look at what another device is doing with the token, so often. */
enum { POOL_LOOK_MS = 20 };

bool token_open_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	struct pool *pool = &job->run->pool;

	if (pool_look(pool) != POOL_CLOSED)
		return true;
	if (!pool_begin(pool, job, err))
		return false;
	token_open_request(&request, &job->run->module, job->run->token_text);
	return job_ask(job, job->hsm, &request, err);
}

bool token_open_finish(struct job *job, const struct muster_error *outcome,
		       struct muster_error *err)
{
	struct pool *pool = &job->run->pool;

	if (outcome->code != MUSTER_OK) {
		*err = *outcome;
		return muster_error_prefix(err, "opening the token");
	}
	if (pool_is_opener(pool, job))
		return token_facts_take(&job->token, &job->reply, err) &&
		       pool_opened(pool, &job->token, err);
	if (pool_look(pool) == POOL_OPEN)
		return token_facts_copy(&job->token, &pool->facts, err);
	job_again(job, POOL_LOOK_MS);
	return true;
}

bool token_login_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };

	if (!pool_is_opener(&job->run->pool, job))
		return true;
	return token_login_request(&request, &job->token, &job->run->request->token.pin,
				   &job->run->token, err) &&
	       job_ask(job, job->hsm, &request, err);
}

bool token_login_finish(struct job *job, const struct muster_error *outcome,
			struct muster_error *err)
{
	struct pool *pool = &job->run->pool;

	if (pool_is_opener(pool, job))
		return token_login_settle(&job->token, &job->reply, outcome, err) &&
		       pool_ready(pool, err);
	if (pool_look(pool) != POOL_OPEN)
		job_go_to(job, "token-open");
	else if (!pool_take(pool, job))
		job_again(job, POOL_LOOK_MS);
	return true;
}

/* -- Signing ------------------------------------------------------------------------------------------------- */

void token_signature_ask(const struct bytes *key_id, enum signer_scheme scheme,
			 enum signer_hash hash, const struct bytes *digest,
			 struct worker_message *ret_request)
{
	worker_request_init(ret_request, WORKER_HSM_SIGN);
	worker_add_bytes(ret_request, FIELD_KEY_ID, key_id->data, key_id->size);
	worker_add_u64(ret_request, FIELD_SCHEME, scheme);
	worker_add_u64(ret_request, FIELD_HASH, hash);
	worker_add_bytes(ret_request, FIELD_DIGEST, digest->data, digest->size);
}

const struct bytes *token_signature_of(const struct worker_message *reply, struct muster_error *err)
{
	const struct bytes *made = worker_bytes(reply, FIELD_SIGNATURE);

	if (made->size > 0 && made->size <= SIGNER_SIGNATURE_MAX)
		return made;
	muster_fail(err, CAUSE_HSM_ANSWER_INVALID, "the token made a signature of %zu bytes",
		    made->size);
	return NULL;
}

static bool sign(struct signer *signer, enum signer_scheme scheme, enum signer_hash hash,
		 const uint8_t *data, size_t size, uint8_t signature[SIGNER_SIGNATURE_MAX],
		 size_t *ret_size, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };
	const struct token_signer *token = signer->context;
	const struct bytes digest = { (uint8_t *)(uintptr_t)data, size };
	const struct bytes *made;

	token_signature_ask(&token->key_id, scheme, hash, &digest, &request);
	if (!worker_call(token->worker, &request, &reply, err))
		return muster_error_prefix(err, "signing with the token's key");
	made = token_signature_of(&reply, err);
	if (!made)
		return false;
	memcpy(signature, made->data, made->size);
	*ret_size = made->size;
	return true;
}

void token_signer_init(struct token_signer *signer, struct worker *worker,
		       const struct bytes *key_id, const struct bytes *spki)
{
	*signer = (struct token_signer){
		.signer = { .spki = *spki, .sign = sign, .context = signer },
		.worker = worker,
		.key_id = *key_id,
	};
}

static bool hmac(struct hmac_key *key, const void *data, size_t size, uint8_t mac[32],
		 struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };
	const struct token_master *master = key->context;
	const struct bytes *made;

	worker_request_init(&request, WORKER_HSM_HMAC);
	worker_add_text(&request, FIELD_KEY_URI, master->uri);
	worker_add_bytes(&request, FIELD_DATA, data, size);
	if (!worker_call(master->worker, &request, &reply, err))
		return muster_error_prefix(err, "deriving with the token's master key");
	made = worker_bytes(&reply, FIELD_MAC);
	if (made->size != 32)
		return muster_fail(err, CAUSE_HSM_ANSWER_INVALID,
				   "the token made an HMAC of %zu bytes", made->size);
	memcpy(mac, made->data, 32);
	return true;
}

void token_master_init(struct token_master *master, struct worker *worker, const char *uri)
{
	*master = (struct token_master){
		.key = { .hmac = hmac, .context = master },
		.worker = worker,
		.uri = uri,
	};
}

bool token_key_of_id(struct worker *worker, const struct bytes *id, struct bytes *ret_spki,
		     struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };
	const struct bytes *spki;

	worker_request_init(&request, WORKER_HSM_KEY_FIND);
	worker_add_bytes(&request, FIELD_KEY_ID, id->data, id->size);
	if (!worker_call(worker, &request, &reply, err))
		return false;
	if (worker_u64(&reply, FIELD_FOUND) == 0)
		return muster_fail(err, CAUSE_KEY_NOT_FOUND,
				   "the token has no private key of the certificate's ID");
	spki = worker_bytes(&reply, FIELD_PUBLIC);
	return bytes_copy(ret_spki, spki->data, spki->size, err);
}

bool token_certificate_find(struct worker *worker, const char *uri, const struct bytes *digests,
			    struct bytes *ret_id, struct bytes *ret_der, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };
	const struct bytes *id, *der;

	worker_request_init(&request, WORKER_HSM_CERTIFICATE_FIND);
	worker_add_text(&request, FIELD_KEY_URI, uri);
	if (digests && digests->size > 0)
		worker_add_bytes(&request, FIELD_DIGEST, digests->data, digests->size);
	if (!worker_call(worker, &request, &reply, err))
		return false;
	if (worker_u64(&reply, FIELD_FOUND) == 0)
		return muster_fail(err, CAUSE_KEY_NOT_FOUND, "the token shows no certificate '%s'",
				   PRINTABLE(uri));
	id = worker_bytes(&reply, FIELD_KEY_ID);
	der = worker_bytes(&reply, FIELD_CERTIFICATE);
	return bytes_copy(ret_id, id->data, id->size, err) &&
	       bytes_copy(ret_der, der->data, der->size, err);
}

bool token_key_find(struct worker *worker, const char *uri, struct bytes *ret_id,
		    struct bytes *ret_spki, char **ret_attributes, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };
	const struct bytes *id, *spki;

	worker_request_init(&request, WORKER_HSM_KEY_FIND);
	worker_add_text(&request, FIELD_KEY_URI, uri);
	if (!worker_call(worker, &request, &reply, err))
		return false;
	if (worker_u64(&reply, FIELD_FOUND) == 0)
		return muster_fail(err, CAUSE_KEY_NOT_FOUND, "the token has no key '%s'",
				   PRINTABLE(uri));
	if (ret_attributes &&
	    !copy_text(ret_attributes, worker_text(&reply, FIELD_ATTRIBUTES), err))
		return false;
	id = worker_bytes(&reply, FIELD_KEY_ID);
	spki = worker_bytes(&reply, FIELD_PUBLIC);
	return bytes_copy(ret_id, id->data, id->size, err) &&
	       bytes_copy(ret_spki, spki->data, spki->size, err);
}
