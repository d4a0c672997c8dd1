/* Up to ten enrollments in one request; each stands or falls by itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "muster/json.h"

#include "enrollments.h"
#include "handlers.h"
#include "routes.h"

#define BULK_ITEM_MAX LEDGER_LINES_MAX

enum bulk_mode { BULK_CREATE, BULK_UPDATE, BULK_UPDATE_IF_MATCH, BULK_DELETE, BULK_MODE_COUNT };
static const char *const mode_names[BULK_MODE_COUNT] = { "create", "update", "updateIfMatchETag",
							 "delete" };

struct item {
	const cJSON *input;
	const char *name; /* as given, or "" */
	char id[SEGMENT_MAX];
	char etag[ETAG_SIZE]; /* after a write, else "" */
	char *body;
	struct enrollment_write write;
	struct enrollment_draft draft;
	struct refusal refusal; /* number 0: it was done, or is still to be */
};

struct bulk {
	struct exchange *exchange;
	enum enrollment_kind kind;
	enum bulk_mode mode;
	const cJSON *list;
	struct item items[BULK_ITEM_MAX];
	size_t count; /* of them, less when a failure is injected */
};

static void bulk_done(struct bulk *bulk)
{
	for (size_t i = 0; i < bulk->count; i++) {
		free(bulk->items[i].body);
		enrollment_draft_done(&bulk->items[i].draft);
	}
}

/* -- The request as a whole -------------------------------------------------------------------------------- */

static bool take_mode(struct bulk *bulk, const cJSON *root)
{
	const char *mode = json_text(root, "mode");

	for (size_t i = 0; mode && i < BULK_MODE_COUNT; i++) {
		if (text_equal_folded(mode_names[i], mode)) {
			bulk->mode = (enum bulk_mode)i;
			return true;
		}
	}
	return refuse(&bulk->exchange->refusal, BAD_ARGUMENT,
		      "mode is not create, update, updateIfMatchETag or delete");
}

static bool check_duplicates(struct bulk *bulk)
{
	const char *name = document_id_name(bulk->kind);

	for (const cJSON *a = bulk->list->child; a; a = a->next) {
		const char *id = json_text(a, name);
		for (const cJSON *b = a->next; id && b; b = b->next) {
			const char *other = json_text(b, name);
			if (other && text_equal_folded(id, other))
				return refuse(&bulk->exchange->refusal, BAD_ARGUMENT,
					      "'%s' is in the request twice", PRINTABLE(id));
		}
	}
	return true;
}

static bool take_items(struct bulk *bulk, const cJSON *root)
{
	bulk->list = json_get(root, bulk->exchange->route->collection);
	int count = cJSON_IsArray(bulk->list) ? cJSON_GetArraySize(bulk->list) : 0;

	if (count < 1 || count > BULK_ITEM_MAX)
		return refuse(&bulk->exchange->refusal, BAD_ARGUMENT,
			      "%s is not an array of 1 to %d items",
			      bulk->exchange->route->collection, BULK_ITEM_MAX);
	return check_duplicates(bulk);
}

/* -- Items ------------------------------------------------------------------------------------------------- */

/* One too many, when that is injected. */
static bool is_throttled(const struct bulk *bulk, const struct item *item)
{
	const struct fault *fault = &bulk->exchange->fault;

	return fault->action == FAULT_THROTTLED && item - bulk->items >= fault->value;
}

static bool draft_item(const struct bulk *bulk, struct item *item)
{
	const char *given = json_text(item->input, "etag");
	bool is_conditional = bulk->mode == BULK_UPDATE_IF_MATCH;

	if (is_throttled(bulk, item))
		return refuse(&item->refusal, THROTTLED, "Injected fault");
	if (!id_is_valid(item->id))
		return refuse(&item->refusal, BAD_ARGUMENT, "Invalid RegistrationId");
	if (bulk->mode == BULK_DELETE)
		return true;
	if (is_conditional && (!given || given[0] == '\0'))
		return refuse(&item->refusal, ETAG_MISMATCH,
			      "Precondition failed: the item has no etag");
	item->write = (struct enrollment_write){
		.kind = bulk->kind,
		.mode = bulk->mode == BULK_CREATE ? WRITE_CREATE : WRITE_UPDATE,
		.id = item->id,
		.etag = is_conditional ? given : NULL,
		.input = item->input,
		.now_ms = bulk->exchange->request->now_ms,
	};
	return enrollment_draft(bulk->exchange->emulator, &item->write, &item->draft,
				&item->refusal);
}

static void prepare_items(struct bulk *bulk, size_t limit)
{
	const cJSON *input;

	cJSON_ArrayForEach(input, bulk->list)
	{
		struct item *item = &bulk->items[bulk->count];
		const char *name = json_text(input, document_id_name(bulk->kind));

		if (bulk->count == limit)
			return;
		bulk->count++;
		item->input = input;
		item->name = name ? name : "";
		item->body = json_print_line(input);
		(void)snprintf(item->id, sizeof(item->id), "%s", item->name);
		text_fold(item->id);
		(void)draft_item(bulk, item);
	}
}

/* False: the emulator itself failed. */
static bool store_item(const struct bulk *bulk, struct item *item)
{
	struct emulator *emulator = bulk->exchange->emulator;
	bool is_done;

	if (item->refusal.number != SERVICE_OK)
		return true;
	if (bulk->mode == BULK_DELETE)
		is_done = enrollment_remove_locked(emulator, bulk->kind, item->id,
						   json_text(item->input, "etag"), &item->refusal);
	else
		is_done =
			enrollment_put_locked(emulator, &item->write, &item->draft, &item->refusal);
	if (is_done && bulk->mode != BULK_DELETE)
		(void)snprintf(item->etag, sizeof(item->etag), "%s",
			       json_text(item->draft.document, "etag"));
	return is_done || item->refusal.number != SERVER_FAILED;
}

static bool store_items_locked(struct bulk *bulk)
{
	struct store *store = bulk->exchange->emulator->store;
	struct muster_error err;

	if (!store_begin(store, &err))
		return refuse_internal(&bulk->exchange->refusal, &err);
	for (size_t i = 0; i < bulk->count; i++) {
		if (store_item(bulk, &bulk->items[i]))
			continue;
		store_rollback(store);
		bulk->exchange->refusal = bulk->items[i].refusal;
		return false;
	}
	return store_commit(store, &err) || refuse_internal(&bulk->exchange->refusal, &err);
}

/* All in one transaction. */
static bool store_items(struct bulk *bulk)
{
	struct store *store = bulk->exchange->emulator->store;

	store_lock(store);
	bool is_good = store_items_locked(bulk);
	store_unlock(store);
	return is_good;
}

static struct ledger_line line_of(const struct bulk *bulk, const struct item *item)
{
	static const enum effect effects[BULK_MODE_COUNT] = { EFFECT_CREATE, EFFECT_UPDATE,
							      EFFECT_UPDATE, EFFECT_DELETE };
	const struct exchange *exchange = bulk->exchange;
	bool is_done = item->refusal.number == SERVICE_OK;

	return (struct ledger_line){
		.wall_ms = exchange->request->now_ms,
		.operation = operation_name(OPERATION_BULK),
		.collection = exchange->route->collection,
		.id = item->id,
		.etag = item->etag[0] ? item->etag : NULL,
		.effect = is_done ? effects[bulk->mode] : EFFECT_NONE,
		.status = !is_done                    ? refusal_status(&item->refusal)
			  : bulk->mode == BULK_DELETE ? 204
						      : 200,
		.fault = fault_action_name(exchange->fault.action),
		.body = item->body,
		.body_size = item->body ? strlen(item->body) : 0,
	};
}

static void record_items(const struct bulk *bulk)
{
	struct ledger_line lines[BULK_ITEM_MAX];

	for (size_t i = 0; i < bulk->count; i++)
		lines[i] = line_of(bulk, &bulk->items[i]);
	ledger_append(bulk->exchange->emulator->ledger, lines, bulk->count);
}

/* -- The answer -------------------------------------------------------------------------------------------- */

static bool add_error(const struct bulk *bulk, cJSON *errors, const struct item *item)
{
	cJSON *error = cJSON_CreateObject();

	cJSON_AddItemToArray(errors, error);
	return error && json_add_text(error, document_id_name(bulk->kind), item->name) &&
	       json_add_int64(error, "errorCode", item->refusal.number) &&
	       json_add_text(error, "errorStatus", item->refusal.message);
}

static bool add_errors(const struct bulk *bulk, cJSON *result)
{
	cJSON *errors = cJSON_CreateArray();

	if (!json_add_item(result, "errors", errors))
		return false;
	for (size_t i = 0; i < bulk->count; i++)
		if (bulk->items[i].refusal.number != SERVICE_OK &&
		    !add_error(bulk, errors, &bulk->items[i]))
			return false;
	return json_add_bool(result, "isSuccessful", cJSON_GetArraySize(errors) == 0);
}

static bool bulk_serve(struct exchange *exchange, enum enrollment_kind kind)
{
	CLEANUP(cJSON_freep) cJSON *root = NULL;
	CLEANUP(cJSON_freep) cJSON *result = cJSON_CreateObject();
	CLEANUP(bulk_done) struct bulk bulk = { .exchange = exchange, .kind = kind };
	bool is_partial = exchange->fault.action == FAULT_PARTIAL;

	if (!request_json(exchange, &root) || !take_mode(&bulk, root) || !take_items(&bulk, root))
		return false;
	prepare_items(&bulk, is_partial ? (size_t)exchange->fault.value : BULK_ITEM_MAX);
	if (!store_items(&bulk))
		return false;
	record_items(&bulk);
	if (bulk.count < (size_t)cJSON_GetArraySize(bulk.list))
		return refuse(&exchange->refusal, SERVER_FAILED, "Injected fault");
	return add_errors(&bulk, result)
		       ? reply_json(exchange, result)
		       : refuse(&exchange->refusal, SERVER_FAILED, "The emulator is out of memory");
}

bool individual_bulk(struct exchange *exchange)
{
	return bulk_serve(exchange, KIND_INDIVIDUAL);
}

bool group_bulk(struct exchange *exchange)
{
	return bulk_serve(exchange, KIND_GROUP);
}
