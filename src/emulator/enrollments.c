#include "enrollments.h"

#include <stdlib.h>
#include <string.h>

#include "muster/json.h"

#include "handlers.h"

/* -- Trees and texts --------------------------------------------------------------------------------------- */

bool stored_parse(const char *text, cJSON **ret_document, struct refusal *refusal)
{
	struct muster_error err;

	return json_parse(text, strlen(text), "the stored document", ret_document, &err) ||
	       refuse_internal(refusal, &err);
}

bool reply_json(struct exchange *exchange, const cJSON *document)
{
	CLEANUP(freep) char *text = json_print_line(document);

	if (!text)
		return refuse(&exchange->refusal, SERVER_FAILED, "The emulator is out of memory");
	text_add(&exchange->reply.body, text);
	return true;
}

bool request_json(struct exchange *exchange, cJSON **ret_object)
{
	CLEANUP(cJSON_freep) cJSON *object = NULL;
	const struct request *request = exchange->request;
	struct muster_error err;

	if (!json_parse(request->body_size ? request->body : "", request->body_size, "the body",
			&object, &err))
		return refuse(&exchange->refusal, BAD_ARGUMENT, "The body is invalid: %.250s",
			      err.message);
	if (!cJSON_IsObject(object))
		return refuse(&exchange->refusal, BAD_ARGUMENT, "The body is not a JSON object");
	*ret_object = TAKE_PTR(object);
	return true;
}

/* -- One enrollment ---------------------------------------------------------------------------------------- */

enum store_table enrollment_table(enum enrollment_kind kind)
{
	return kind == KIND_GROUP ? STORE_GROUPS : STORE_ENROLLMENTS;
}

static bool read_locked(struct emulator *emulator, enum enrollment_kind kind, const char *id,
			cJSON **ret_document, struct refusal *refusal)
{
	CLEANUP(freep) char *text = NULL;
	struct muster_error err;

	*ret_document = NULL;
	if (!store_get(emulator->store, enrollment_table(kind), id, &text, &err))
		return refuse_internal(refusal, &err);
	return !text || stored_parse(text, ret_document, refusal);
}

bool enrollment_read(struct emulator *emulator, enum enrollment_kind kind, const char *id,
		     cJSON **ret_document, struct refusal *refusal)
{
	store_lock(emulator->store);
	bool is_good = read_locked(emulator, kind, id, ret_document, refusal);
	store_unlock(emulator->store);
	return is_good;
}

static bool refuse_missing(struct refusal *refusal)
{
	return refuse(refusal, NO_SUCH_ENROLLMENT, "Enrollment not found");
}

static bool check_etag(const cJSON *stored, const char *if_match, struct refusal *refusal)
{
	const char *etag = json_text(stored, "etag");

	if (!if_match || if_match[0] == '\0' || (etag && etag_matches(if_match, etag)))
		return true;
	return refuse(refusal, ETAG_MISMATCH, "Precondition failed: the etag does not match");
}

static bool check_id(const struct enrollment_write *write, struct refusal *refusal)
{
	const char *id = json_text(write->input, document_id_name(write->kind));

	if (!id_is_valid(write->id))
		return refuse(refusal, BAD_ARGUMENT, "Invalid RegistrationId");
	if (id && !text_equal_folded(id, write->id))
		return refuse(refusal, BAD_ARGUMENT,
			      "The %s in the body is not the one in the path",
			      document_id_name(write->kind));
	return true;
}

static bool build(struct emulator *emulator, const struct enrollment_write *write,
		  const cJSON *existing, cJSON **ret_document, struct refusal *refusal)
{
	const struct document_terms terms = {
		.kind = write->kind,
		.hubs = emulator->hubs,
		.hub_count = emulator->hub_count,
		.default_policy = emulator->allocation,
		.now_ms = write->now_ms,
		.existing = existing,
	};

	return document_build(&terms, write->input, ret_document, refusal);
}

static bool print_draft(struct enrollment_draft *draft, struct refusal *refusal)
{
	draft->text = json_print_line(draft->document);
	return draft->text || refuse(refusal, SERVER_FAILED, "The emulator is out of memory");
}

bool enrollment_draft(struct emulator *emulator, const struct enrollment_write *write,
		      struct enrollment_draft *draft, struct refusal *refusal)
{
	if (!check_id(write, refusal))
		return false;
	return write->mode != WRITE_CREATE ||
	       (build(emulator, write, NULL, &draft->document, refusal) &&
		print_draft(draft, refusal));
}

void enrollment_draft_done(struct enrollment_draft *draft)
{
	cJSON_Delete(draft->document);
	free(draft->text);
	*draft = (struct enrollment_draft){ 0 };
}

static bool create_locked(struct emulator *emulator, const struct enrollment_write *write,
			  const struct enrollment_draft *draft, struct refusal *refusal)
{
	struct muster_error err;
	bool is_new = false;

	if (!store_insert(emulator->store, enrollment_table(write->kind), write->id, NULL,
			  draft->text, &is_new, &err))
		return refuse_internal(refusal, &err);
	return is_new || refuse(refusal, ENROLLMENT_EXISTS, "Enrollment already exists");
}

static bool update_locked(struct emulator *emulator, const struct enrollment_write *write,
			  struct enrollment_draft *draft, struct refusal *refusal)
{
	CLEANUP(cJSON_freep) cJSON *existing = NULL;
	struct muster_error err;

	if (!read_locked(emulator, write->kind, write->id, &existing, refusal))
		return false;
	if (!existing)
		return refuse_missing(refusal);
	return check_etag(existing, write->etag, refusal) &&
	       build(emulator, write, existing, &draft->document, refusal) &&
	       print_draft(draft, refusal) &&
	       (store_put(emulator->store, enrollment_table(write->kind), write->id, NULL,
			  draft->text, &err) ||
		refuse_internal(refusal, &err));
}

bool enrollment_put_locked(struct emulator *emulator, const struct enrollment_write *write,
			   struct enrollment_draft *draft, struct refusal *refusal)
{
	return write->mode == WRITE_CREATE ? create_locked(emulator, write, draft, refusal)
					   : update_locked(emulator, write, draft, refusal);
}

static bool enrollment_write(struct emulator *emulator, const struct enrollment_write *write,
			     cJSON **ret_document, struct refusal *refusal)
{
	CLEANUP(enrollment_draft_done) struct enrollment_draft draft = { 0 };

	if (!enrollment_draft(emulator, write, &draft, refusal))
		return false;
	store_lock(emulator->store);
	bool is_good = enrollment_put_locked(emulator, write, &draft, refusal);
	store_unlock(emulator->store);
	if (is_good)
		*ret_document = TAKE_PTR(draft.document);
	return is_good;
}

static bool delete_rows(struct store *store, enum enrollment_kind kind, const char *id,
			struct muster_error *err)
{
	bool deleted;

	if (!store_delete(store, enrollment_table(kind), id, &deleted, err))
		return false;
	if (kind == KIND_GROUP)
		return store_delete_children(store, STORE_REGISTRATIONS, id, err);
	return store_delete(store, STORE_REGISTRATIONS, id, &deleted, err) &&
	       store_delete(store, STORE_CHALLENGES, id, &deleted, err);
}

bool enrollment_remove_locked(struct emulator *emulator, enum enrollment_kind kind, const char *id,
			      const char *etag, struct refusal *refusal)
{
	CLEANUP(cJSON_freep) cJSON *existing = NULL;
	struct muster_error err;

	if (!read_locked(emulator, kind, id, &existing, refusal))
		return false;
	if (!existing)
		return refuse_missing(refusal);
	return check_etag(existing, etag, refusal) &&
	       (delete_rows(emulator->store, kind, id, &err) || refuse_internal(refusal, &err));
}

static bool enrollment_remove(struct emulator *emulator, enum enrollment_kind kind, const char *id,
			      const char *etag, struct refusal *refusal)
{
	struct store *store = emulator->store;
	struct muster_error err;

	store_lock(store);
	bool is_good = store_begin(store, &err) || refuse_internal(refusal, &err);
	if (is_good) {
		is_good = enrollment_remove_locked(emulator, kind, id, etag, refusal);
		if (!is_good)
			store_rollback(store);
		else
			is_good = store_commit(store, &err) || refuse_internal(refusal, &err);
	}
	store_unlock(store);
	return is_good;
}

/* -- Handlers ---------------------------------------------------------------------------------------------- */

static bool put(struct exchange *exchange, enum enrollment_kind kind)
{
	CLEANUP(cJSON_freep) cJSON *input = NULL;
	CLEANUP(cJSON_freep) cJSON *document = NULL;
	const char *if_match = exchange->request->if_match;
	bool is_update = if_match && if_match[0] != '\0';

	if (!request_json(exchange, &input))
		return false;
	const struct enrollment_write write = {
		.kind = kind,
		.mode = is_update ? WRITE_UPDATE : WRITE_CREATE,
		.id = exchange->id,
		.etag = if_match,
		.input = input,
		.now_ms = exchange->request->now_ms,
	};
	if (!enrollment_write(exchange->emulator, &write, &document, &exchange->refusal))
		return false;
	exchange->effect = is_update ? EFFECT_UPDATE : EFFECT_CREATE;
	(void)snprintf(exchange->etag, sizeof(exchange->etag), "%s", json_text(document, "etag"));
	return document_view(document, VIEW_WRITTEN) && reply_json(exchange, document);
}

static bool find(struct exchange *exchange, enum enrollment_kind kind, cJSON **ret_document)
{
	if (!enrollment_read(exchange->emulator, kind, exchange->id, ret_document,
			     &exchange->refusal))
		return false;
	return *ret_document || refuse_missing(&exchange->refusal);
}

static bool add_registration_state(struct exchange *exchange, cJSON *document)
{
	CLEANUP(freep) char *text = NULL;
	CLEANUP(cJSON_freep) cJSON *record = NULL;
	struct muster_error err;

	store_lock(exchange->emulator->store);
	bool is_good = store_get(exchange->emulator->store, STORE_REGISTRATIONS, exchange->id,
				 &text, &err);
	store_unlock(exchange->emulator->store);
	if (!is_good)
		return refuse_internal(&exchange->refusal, &err);
	if (!text)
		return true;
	if (!stored_parse(text, &record, &exchange->refusal))
		return false;
	cJSON *state = cJSON_DetachItemFromObjectCaseSensitive(record, "state");
	return json_add_item(document, "registrationState", state) ||
	       refuse(&exchange->refusal, SERVER_FAILED, "The emulator is out of memory");
}

static bool get(struct exchange *exchange, enum enrollment_kind kind)
{
	CLEANUP(cJSON_freep) cJSON *document = NULL;

	if (!find(exchange, kind, &document) || !document_view(document, VIEW_READ))
		return false;
	if (kind == KIND_INDIVIDUAL && !add_registration_state(exchange, document))
		return false;
	return reply_json(exchange, document);
}

static bool mechanism(struct exchange *exchange, enum enrollment_kind kind)
{
	CLEANUP(cJSON_freep) cJSON *document = NULL;

	return find(exchange, kind, &document) &&
	       reply_json(exchange, document_mechanism(document));
}

static bool delete (struct exchange *exchange, enum enrollment_kind kind)
{
	if (!enrollment_remove(exchange->emulator, kind, exchange->id, exchange->request->if_match,
			       &exchange->refusal))
		return false;
	exchange->effect = EFFECT_DELETE;
	exchange->reply.status = 204;
	return true;
}

bool individual_put(struct exchange *exchange)
{
	return put(exchange, KIND_INDIVIDUAL);
}

bool individual_get(struct exchange *exchange)
{
	return get(exchange, KIND_INDIVIDUAL);
}

bool individual_delete(struct exchange *exchange)
{
	return delete (exchange, KIND_INDIVIDUAL);
}

bool individual_mechanism(struct exchange *exchange)
{
	return mechanism(exchange, KIND_INDIVIDUAL);
}

bool group_put(struct exchange *exchange)
{
	return put(exchange, KIND_GROUP);
}

bool group_get(struct exchange *exchange)
{
	return get(exchange, KIND_GROUP);
}

bool group_delete(struct exchange *exchange)
{
	return delete (exchange, KIND_GROUP);
}

bool group_mechanism(struct exchange *exchange)
{
	return mechanism(exchange, KIND_GROUP);
}
