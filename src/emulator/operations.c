/* Operations: what a register call begins and polls ask about. At least one poll says "assigning". */
#include <stdio.h>
#include <string.h>

#include "muster/encoding.h"
#include "muster/json.h"

#include "enrollments.h"
#include "registration.h"

static bool no_memory(struct refusal *refusal)
{
	return refuse(refusal, SERVER_FAILED, "The emulator is out of memory");
}

static bool write_locked(struct emulator *emulator, const char *operation_id,
			 const cJSON *operation, struct refusal *refusal)
{
	CLEANUP(freep) char *text = json_print_line(operation);
	struct muster_error err;

	if (!text)
		return no_memory(refusal);
	return store_put(emulator->store, STORE_OPERATIONS, operation_id,
			 json_text(operation, "registrationId"), text, &err) ||
	       refuse_internal(refusal, &err);
}

static bool read_locked(struct emulator *emulator, const char *operation_id, cJSON **ret_operation,
			struct refusal *refusal)
{
	CLEANUP(freep) char *text = NULL;
	struct muster_error err;

	if (!store_get(emulator->store, STORE_OPERATIONS, operation_id, &text, &err))
		return refuse_internal(refusal, &err);
	if (!text)
		return refuse(refusal, NO_SUCH_REGISTRATION, "Operation not found");
	return stored_parse(text, ret_operation, refusal);
}

bool operation_begin(struct registration *registration, struct refusal *refusal)
{
	struct emulator *emulator = registration->emulator;
	CLEANUP(cJSON_freep) cJSON *operation = cJSON_CreateObject();
	char guid[GUID_SIZE], hex[17];
	struct muster_error err;
	uint8_t bytes[8];

	if (!random_bytes(bytes, sizeof(bytes), &err))
		return refuse_internal(refusal, &err);
	(void)snprintf(registration->operation_id, sizeof(registration->operation_id), "5.%s.%s",
		       hex_encode(hex, bytes, sizeof(bytes)), guid_new(guid));
	if (!operation || !json_add_text(operation, "registrationId", registration->id) ||
	    !json_add_text(operation, "run", emulator->run) ||
	    !json_add_int64(operation, "due", registration->now_ms + emulator->poll_delay_ms) ||
	    !json_add_bool(operation, "polled", false))
		return no_memory(refusal);
	store_lock(emulator->store);
	/* A device has one operation; the ones before are over. */
	bool is_good =
		store_delete_children(emulator->store, STORE_OPERATIONS, registration->id, &err) ||
		refuse_internal(refusal, &err);
	is_good = is_good && write_locked(emulator, registration->operation_id, operation, refusal);
	store_unlock(emulator->store);
	return is_good;
}

bool operation_end(struct emulator *emulator, const char *operation_id, cJSON *result,
		   struct refusal *refusal)
{
	CLEANUP(cJSON_freep) cJSON *owned = result;
	CLEANUP(cJSON_freep) cJSON *operation = NULL;

	if (!read_locked(emulator, operation_id, &operation, refusal))
		return false;
	if (!json_add_item(operation, "result", TAKE_PTR(owned)))
		return no_memory(refusal);
	return write_locked(emulator, operation_id, operation, refusal);
}

/* An operation that a restart cut off will never get a result. */
static bool end_lost(cJSON *operation)
{
	cJSON *result = cJSON_AddObjectToObject(operation, "result");

	return result &&
	       json_add_text(result, "registrationId", json_text(operation, "registrationId")) &&
	       json_add_text(result, "status", "failed") &&
	       json_add_int64(result, "errorCode", ALLOCATION_FAILED) &&
	       json_add_text(result, "errorMessage",
			     "The emulator was restarted (not the service's words)");
}

static bool poll_locked(struct emulator *emulator, const char *operation_id,
			const char *registration_id, int64_t now_ms, cJSON **ret_result,
			struct refusal *refusal)
{
	CLEANUP(cJSON_freep) cJSON *operation = NULL;
	int64_t due_ms = 0;

	*ret_result = NULL;
	if (!read_locked(emulator, operation_id, &operation, refusal))
		return false;
	if (strcmp(json_text(operation, "registrationId"), registration_id) != 0)
		return refuse(refusal, NO_SUCH_REGISTRATION, "Operation not found");
	if (!json_get(operation, "result") &&
	    strcmp(json_text(operation, "run"), emulator->run) != 0 && !end_lost(operation))
		return no_memory(refusal);
	if (!json_bool(operation, "polled", false)) {
		cJSON_DeleteItemFromObjectCaseSensitive(operation, "polled");
		if (!json_add_bool(operation, "polled", true))
			return no_memory(refusal);
		return write_locked(emulator, operation_id, operation, refusal);
	}
	if (json_int64(operation, "due", &due_ms) && now_ms >= due_ms)
		*ret_result = cJSON_DetachItemFromObjectCaseSensitive(operation, "result");
	return true;
}

bool operation_poll(struct emulator *emulator, const char *operation_id,
		    const char *registration_id, int64_t now_ms, cJSON **ret_result,
		    struct refusal *refusal)
{
	store_lock(emulator->store);
	bool is_good =
		poll_locked(emulator, operation_id, registration_id, now_ms, ret_result, refusal);
	store_unlock(emulator->store);
	return is_good;
}
