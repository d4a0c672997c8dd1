/* The service's view of registrations, and the hub's view of devices. */
#include "muster/json.h"

#include "enrollments.h"
#include "handlers.h"
#include "hub-device.h"

static bool read_row(struct exchange *exchange, enum store_table table, const char *id,
		     cJSON **ret_document)
{
	CLEANUP(freep) char *text = NULL;
	struct store *store = exchange->emulator->store;
	struct muster_error err;

	store_lock(store);
	bool is_good = store_get(store, table, id, &text, &err);
	store_unlock(store);
	if (!is_good)
		return refuse_internal(&exchange->refusal, &err);
	if (!text)
		return refuse(&exchange->refusal, NO_SUCH_REGISTRATION, "Registration not found");
	return stored_parse(text, ret_document, &exchange->refusal);
}

bool registration_get(struct exchange *exchange)
{
	CLEANUP(cJSON_freep) cJSON *record = NULL;

	return read_row(exchange, STORE_REGISTRATIONS, exchange->id, &record) &&
	       reply_json(exchange, json_get(record, "state"));
}

static bool check_etag(struct exchange *exchange, const cJSON *record)
{
	const char *if_match = exchange->request->if_match;
	const char *etag = json_text(json_get(record, "state"), "etag");

	return !if_match || if_match[0] == '\0' || (etag && etag_matches(if_match, etag)) ||
	       refuse(&exchange->refusal, ETAG_MISMATCH,
		      "Precondition failed: the etag does not match");
}

bool registration_delete(struct exchange *exchange)
{
	CLEANUP(cJSON_freep) cJSON *record = NULL;
	struct store *store = exchange->emulator->store;
	struct muster_error err;
	bool deleted = false;

	if (!read_row(exchange, STORE_REGISTRATIONS, exchange->id, &record) ||
	    !check_etag(exchange, record))
		return false;
	store_lock(store);
	bool is_good = store_delete(store, STORE_REGISTRATIONS, exchange->id, &deleted, &err);
	store_unlock(store);
	if (!is_good)
		return refuse_internal(&exchange->refusal, &err);
	exchange->effect = deleted ? EFFECT_DELETE : EFFECT_NONE;
	exchange->reply.status = 204;
	return true;
}

bool hub_device_get(struct exchange *exchange)
{
	CLEANUP(cJSON_freep) cJSON *device = NULL;
	char row[HUB_DEVICE_ROW_SIZE];

	hub_device_row(row, exchange->segments[2], exchange->segments[4]);
	return read_row(exchange, STORE_DEVICES, row, &device) && reply_json(exchange, device);
}
