/* Up to ten enrollments in one request; each stands or falls by itself. */
#include <stdio.h>
#include <string.h>

#include "muster/json.h"

#include "enrollments.h"
#include "handlers.h"
#include "routes.h"

#define BULK_ITEM_MAX 10

enum bulk_mode { BULK_CREATE, BULK_UPDATE, BULK_UPDATE_IF_MATCH, BULK_DELETE, BULK_MODE_COUNT };
static const char *const mode_names[BULK_MODE_COUNT] = { "create", "update", "updateIfMatchETag",
							 "delete" };

struct bulk {
	struct exchange *exchange;
	enum enrollment_kind kind;
	enum bulk_mode mode;
	const cJSON *items;
	cJSON *errors;
	int64_t limit; /* items that are done before an injected failure */
};

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

	for (const cJSON *a = bulk->items->child; a; a = a->next) {
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
	bulk->items = json_get(root, bulk->exchange->route->collection);
	int count = cJSON_IsArray(bulk->items) ? cJSON_GetArraySize(bulk->items) : 0;

	if (count < 1 || count > BULK_ITEM_MAX)
		return refuse(&bulk->exchange->refusal, BAD_ARGUMENT,
			      "%s is not an array of 1 to %d items",
			      bulk->exchange->route->collection, BULK_ITEM_MAX);
	return check_duplicates(bulk);
}

/* -- Items ------------------------------------------------------------------------------------------------- */

static bool write_item(struct bulk *bulk, const cJSON *item, const char *id,
		       struct ledger_line *line, char etag[ETAG_SIZE], struct refusal *refusal)
{
	CLEANUP(cJSON_freep) cJSON *document = NULL;
	const char *given = json_text(item, "etag");
	const struct enrollment_write write = {
		.kind = bulk->kind,
		.mode = bulk->mode == BULK_CREATE ? WRITE_CREATE : WRITE_UPDATE,
		.id = id,
		.etag = bulk->mode == BULK_UPDATE_IF_MATCH ? given : NULL,
		.input = item,
		.now_ms = bulk->exchange->request->now_ms,
	};

	if (bulk->mode == BULK_UPDATE_IF_MATCH && (!given || given[0] == '\0'))
		return refuse(refusal, ETAG_MISMATCH, "Precondition failed: the item has no etag");
	if (!enrollment_write(bulk->exchange->emulator, &write, &document, refusal))
		return false;
	(void)snprintf(etag, ETAG_SIZE, "%s", json_text(document, "etag"));
	line->etag = etag;
	line->effect = bulk->mode == BULK_CREATE ? EFFECT_CREATE : EFFECT_UPDATE;
	return true;
}

static bool do_item(struct bulk *bulk, const cJSON *item, const char *id, struct ledger_line *line,
		    char etag[ETAG_SIZE], struct refusal *refusal)
{
	if (!id_is_valid(id))
		return refuse(refusal, BAD_ARGUMENT, "Invalid RegistrationId");
	if (bulk->mode != BULK_DELETE)
		return write_item(bulk, item, id, line, etag, refusal);
	if (!enrollment_remove(bulk->exchange->emulator, bulk->kind, id, json_text(item, "etag"),
			       refusal))
		return false;
	line->effect = EFFECT_DELETE;
	return true;
}

static bool add_error(struct bulk *bulk, const char *id, const struct refusal *refusal)
{
	cJSON *error = cJSON_CreateObject();

	cJSON_AddItemToArray(bulk->errors, error);
	return error && json_add_text(error, document_id_name(bulk->kind), id) &&
	       json_add_int64(error, "errorCode", refusal->number) &&
	       json_add_text(error, "errorStatus", refusal->message);
}

static bool serve_item(struct bulk *bulk, const cJSON *item)
{
	const char *given = json_text(item, document_id_name(bulk->kind));
	struct exchange *exchange = bulk->exchange;
	struct refusal refusal = { 0 };
	char id[SEGMENT_MAX], etag[ETAG_SIZE];

	(void)snprintf(id, sizeof(id), "%s", given ? given : "");
	text_fold(id);
	CLEANUP(freep) char *body = json_print_line(item);
	struct ledger_line line = {
		.wall_ms = exchange->request->now_ms,
		.operation = operation_name(OPERATION_BULK),
		.collection = exchange->route->collection,
		.id = id,
		.status = bulk->mode == BULK_DELETE ? 204 : 200,
		.fault = fault_action_name(exchange->fault.action),
		.body = body,
		.body_size = body ? strlen(body) : 0,
	};
	bool is_good = do_item(bulk, item, id, &line, etag, &refusal);
	if (!is_good)
		line.status = refusal_status(&refusal);
	ledger_append(exchange->emulator->ledger, &line);
	return is_good || add_error(bulk, given ? given : "", &refusal);
}

static bool serve_items(struct bulk *bulk)
{
	struct exchange *exchange = bulk->exchange;
	const cJSON *item;

	cJSON_ArrayForEach(item, bulk->items)
	{
		if (bulk->limit-- <= 0)
			return refuse(&exchange->refusal, SERVER_FAILED, "Injected fault");
		if (!serve_item(bulk, item))
			return refuse(&exchange->refusal, SERVER_FAILED,
				      "The emulator is out of memory");
	}
	return true;
}

static bool bulk_serve(struct exchange *exchange, enum enrollment_kind kind)
{
	CLEANUP(cJSON_freep) cJSON *root = NULL;
	CLEANUP(cJSON_freep) cJSON *result = cJSON_CreateObject();
	struct bulk bulk = { .exchange = exchange, .kind = kind, .limit = BULK_ITEM_MAX };

	if (exchange->fault.action == FAULT_PARTIAL)
		bulk.limit = exchange->fault.value;
	if (!request_json(exchange, &root) || !take_mode(&bulk, root) || !take_items(&bulk, root))
		return false;
	bulk.errors = cJSON_CreateArray();
	if (!json_add_item(result, "errors", bulk.errors))
		return refuse(&exchange->refusal, SERVER_FAILED, "The emulator is out of memory");
	if (!serve_items(&bulk))
		return false;
	if (!json_add_bool(result, "isSuccessful", cJSON_GetArraySize(bulk.errors) == 0))
		return refuse(&exchange->refusal, SERVER_FAILED, "The emulator is out of memory");
	return reply_json(exchange, result);
}

bool individual_bulk(struct exchange *exchange)
{
	return bulk_serve(exchange, KIND_INDIVIDUAL);
}

bool group_bulk(struct exchange *exchange)
{
	return bulk_serve(exchange, KIND_GROUP);
}
