#include "hub-device.h"

#include <stdio.h>
#include <string.h>

#include "muster/encoding.h"
#include "muster/json.h"
#include "muster/text.h"

#include "enrollments.h"

static bool no_memory(struct refusal *refusal)
{
	return refuse(refusal, SERVER_FAILED, "The emulator is out of memory");
}

char *hub_device_row(char out[HUB_DEVICE_ROW_SIZE], const char *hub, const char *device_id)
{
	char host[HUB_NAME_MAX + 1];

	(void)snprintf(host, sizeof(host), "%s", hub);
	text_fold(host);
	(void)snprintf(out, HUB_DEVICE_ROW_SIZE, "%s/%s", host, device_id);
	return out;
}

static cJSON *copy_or_empty(const cJSON *item)
{
	return cJSON_IsObject(item) ? cJSON_Duplicate(item, true) : cJSON_CreateObject();
}

static bool add_twin(cJSON *device, const cJSON *twin)
{
	cJSON *properties = cJSON_AddObjectToObject(device, "properties");

	return json_add_item(device, "tags", copy_or_empty(json_get(twin, "tags"))) && properties &&
	       json_add_item(properties, "desired",
			     copy_or_empty(json_at(twin, "properties", "desired", NULL)));
}

static cJSON *make_device(const struct hub_device_write *write)
{
	CLEANUP(cJSON_freep) cJSON *device = cJSON_CreateObject();
	const cJSON *capabilities = json_get(write->enrollment, "capabilities");
	bool is_good = device && json_add_text(device, "deviceId", write->device_id) &&
		       json_add_item(device, "capabilities", copy_or_empty(capabilities)) &&
		       add_twin(device, write->initial_twin);

	return is_good ? TAKE_PTR(device) : NULL;
}

static bool add_thumbprints(cJSON *authentication, const struct hub_device_write *write)
{
	CLEANUP(bytes_done) struct bytes der = { 0 };
	char hex[SHA256_HEX_SIZE];

	if (!base64_decode(write->certificate, strlen(write->certificate), &der))
		return false;
	sha256_hex(hex, der.data, der.size);
	cJSON *object = cJSON_AddObjectToObject(authentication, "x509Thumbprint");
	return object && json_add_text(object, "primaryThumbprint", hex) &&
	       json_add_text(object, "secondaryThumbprint", hex);
}

/* How the device proves itself to the hub from now on. */
static bool set_authentication(cJSON *device, const struct hub_device_write *write)
{
	cJSON_DeleteItemFromObjectCaseSensitive(device, "authentication");
	cJSON *authentication = cJSON_AddObjectToObject(device, "authentication");
	if (!authentication)
		return false;
	if (write->certificate)
		return add_thumbprints(authentication, write);
	if (write->hub_key) {
		CLEANUP(freep) char *key = base64_encode(write->hub_key, HUB_KEY_SIZE);
		cJSON *object = cJSON_AddObjectToObject(authentication, "symmetricKey");
		return key && object && json_add_text(object, "primaryKey", key) &&
		       json_add_text(object, "secondaryKey", key);
	}
	return json_add_text(authentication, "type", "sas");
}

static bool read_device(const struct hub_device_write *write, const char *hub, cJSON **ret_device,
			struct refusal *refusal)
{
	CLEANUP(freep) char *text = NULL;
	char row[HUB_DEVICE_ROW_SIZE];
	struct muster_error err;

	if (!store_get(write->store, STORE_DEVICES, hub_device_row(row, hub, write->device_id),
		       &text, &err))
		return refuse_internal(refusal, &err);
	return !text || stored_parse(text, ret_device, refusal);
}

static bool drop_device(const struct hub_device_write *write, struct refusal *refusal)
{
	char row[HUB_DEVICE_ROW_SIZE];
	struct muster_error err;
	bool deleted;

	return store_delete(write->store, STORE_DEVICES,
			    hub_device_row(row, write->old_hub, write->device_id), &deleted,
			    &err) ||
	       refuse_internal(refusal, &err);
}

static bool put_device(const struct hub_device_write *write, const cJSON *device,
		       struct refusal *refusal)
{
	CLEANUP(freep) char *text = json_print_line(device);
	char row[HUB_DEVICE_ROW_SIZE];
	struct muster_error err;

	if (!text)
		return no_memory(refusal);
	return store_put(write->store, STORE_DEVICES,
			 hub_device_row(row, write->hub, write->device_id), NULL, text, &err) ||
	       refuse_internal(refusal, &err);
}

bool hub_device_write(const struct hub_device_write *write, struct refusal *refusal)
{
	CLEANUP(cJSON_freep) cJSON *device = NULL;
	bool moves = write->change == HUB_MIGRATED || write->change == HUB_RESET;

	if (write->change == HUB_MIGRATED && !read_device(write, write->old_hub, &device, refusal))
		return false;
	if (write->change == HUB_SAME && !read_device(write, write->hub, &device, refusal))
		return false;
	if (!device)
		device = make_device(write);
	if (!device)
		return no_memory(refusal);
	cJSON_DeleteItemFromObjectCaseSensitive(device, "hub");
	cJSON_DeleteItemFromObjectCaseSensitive(device, "registrationId");
	if (!json_add_text(device, "hub", write->hub) ||
	    !json_add_text(device, "registrationId", write->registration_id) ||
	    !set_authentication(device, write))
		return no_memory(refusal);
	return (!moves || drop_device(write, refusal)) && put_device(write, device, refusal);
}
