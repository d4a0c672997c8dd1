#include <string.h>

#include "muster/encoding.h"
#include "muster/json.h"

#include "dps-internal.h"

#define JSON_TYPE "application/json; charset=utf-8"
#define URL_MAX 2048
#define KEY_BLOB_MAX (4 * 1024)

/* -- Building ------------------------------------------------------------------------------------------ */

bool dps_device_resource(const struct dps_device *device, struct text *ret_resource,
			 struct muster_error *err)
{
	text_done(ret_resource);
	text_addf(ret_resource, "%s/registrations/%s", device->id_scope, device->registration_id);
	return text_ok(ret_resource, err);
}

static bool begin(struct http_request *request, enum http_method method,
		  const struct dps_device *device, const char *action, const char *operation_id,
		  struct muster_error *err)
{
	*request = (struct http_request){ .method = method, .url = TEXT_MAX(URL_MAX) };
	if (!dps_path_id_check(device->registration_id, err))
		return false;
	text_addf(&request->url, "https://%s/", device->host);
	text_add_url(&request->url, device->id_scope);
	text_add(&request->url, "/registrations/");
	text_add_url(&request->url, device->registration_id);
	text_addf(&request->url, "/%s", action);
	if (operation_id) {
		text_add(&request->url, "/");
		text_add_url(&request->url, operation_id);
	}
	text_add(&request->url, "?api-version=" DPS_DEVICE_API_VERSION);
	return text_ok(&request->url, err);
}

static bool add_tpm_key(cJSON *tpm, const char *name, const struct bytes *key)
{
	CLEANUP(freep) char *text = key ? base64_encode(key->data, key->size) : NULL;

	return !key || (text && json_add_text(tpm, name, text));
}

static bool add_tpm(cJSON *body, const struct dps_device *device)
{
	cJSON *tpm = device->ek ? cJSON_CreateObject() : NULL;

	return !device->ek || (tpm && json_add_item(body, "tpm", tpm) &&
			       add_tpm_key(tpm, "endorsementKey", device->ek) &&
			       add_tpm_key(tpm, "storageRootKey", device->srk));
}

static bool add_payload(cJSON *body, const cJSON *payload)
{
	cJSON *copy = payload ? cJSON_Duplicate(payload, true) : NULL;

	return !payload || (copy && json_add_item(body, "payload", copy));
}

static bool add_body(struct http_request *request, const struct dps_device *device,
		     const cJSON *payload, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();

	if (!body || !json_add_text(body, "registrationId", device->registration_id) ||
	    !add_tpm(body, device) || !add_payload(body, payload))
		return muster_fail_memory(err);
	return dps_document_body(body, &request->body, err);
}

bool dps_register(const struct dps_device *device, const cJSON *payload,
		  struct http_request *ret_request, struct muster_error *err)
{
	CLEANUP(http_request_done) struct http_request request = { 0 };

	if (!begin(&request, HTTP_PUT, device, "register", NULL, err) ||
	    !add_body(&request, device, payload, err))
		return false;
	request.content_type = JSON_TYPE;
	*ret_request = request;
	request = (struct http_request){ 0 };
	return true;
}

bool dps_operation_get(const struct dps_device *device, const char *operation_id,
		       struct http_request *ret_request, struct muster_error *err)
{
	CLEANUP(http_request_done) struct http_request request = { 0 };

	if (!begin(&request, HTTP_GET, device, "operations", operation_id, err))
		return false;
	*ret_request = request;
	request = (struct http_request){ 0 };
	return true;
}

void dps_request_token(struct http_request *request, struct secret *token)
{
	secret_done(&request->authorization);
	request->authorization = *token;
	*token = (struct secret){ 0 };
}

/* -- Reading ------------------------------------------------------------------------------------------- */

static const char *const status_names[] = {
	[DPS_STATUS_CHALLENGED] = "challenged", [DPS_STATUS_UNASSIGNED] = "unassigned",
	[DPS_STATUS_ASSIGNING] = "assigning",   [DPS_STATUS_ASSIGNED] = "assigned",
	[DPS_STATUS_FAILED] = "failed",         [DPS_STATUS_DISABLED] = "disabled",
};

const char *dps_status_name(enum dps_status status)
{
	return status_names[status];
}

/* "challenged" is ours and not a word of the protocol. */
static bool find_status(const char *name, enum dps_status *ret_status)
{
	for (size_t i = DPS_STATUS_UNASSIGNED; i < ARRAY_SIZE(status_names); i++) {
		if (!name || !text_equal_folded(name, status_names[i]))
			continue;
		*ret_status = (enum dps_status)i;
		return true;
	}
	return false;
}

void dps_registration_done(struct dps_registration *registration)
{
	bytes_done(&registration->key_blob);
	*registration = (struct dps_registration){ 0 };
}

/* Missing is ""; longer than anything valid, or with control characters, is no answer. */
static bool copy_text(const cJSON *object, const char *name, char *out, size_t size)
{
	const char *value = json_text(object, name);

	if (!value)
		return true;
	if (strlen(value) >= size)
		return false;
	for (const char *c = value; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return false;
	snprintf(out, size, "%s", value);
	return true;
}

static bool copy_blob(const char *base64, struct bytes *ret_blob)
{
	return !base64 || (strlen(base64) <= KEY_BLOB_MAX &&
			   base64_decode(base64, strlen(base64), ret_blob) && ret_blob->size > 0);
}

/* DeviceRegistrationState or DeviceRegistrationResult. */
static bool read_state(const cJSON *state, struct dps_registration *registration)
{
	if (!json_int64(state, "errorCode", &registration->error_code))
		registration->error_code = 0;
	text_printable(registration->error_message, sizeof(registration->error_message),
		       json_text(state, "errorMessage"));
	return copy_text(state, "registrationId", registration->registration_id,
			 sizeof(registration->registration_id)) &&
	       copy_text(state, "assignedHub", registration->assigned_hub,
			 sizeof(registration->assigned_hub)) &&
	       copy_text(state, "deviceId", registration->device_id,
			 sizeof(registration->device_id)) &&
	       copy_text(state, "substatus", registration->substatus,
			 sizeof(registration->substatus)) &&
	       copy_text(state, "etag", registration->etag, sizeof(registration->etag)) &&
	       copy_blob(json_text(json_get(state, "tpm"), "authenticationKey"),
			 &registration->key_blob);
}

/* What each status must come with. */
static bool is_whole(const struct dps_registration *registration, const char *id)
{
	if (registration->registration_id[0] &&
	    !text_equal_folded(registration->registration_id, id))
		return false;
	return registration->status != DPS_STATUS_ASSIGNED ||
	       (dps_hub_name_is_valid(registration->assigned_hub) && registration->device_id[0]);
}

/* A challenge is a 401 with a key and without a status. */
static bool read_challenge(const struct http_answer *answer, struct dps_registration *registration)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	struct muster_error ignored;
	const char *key;

	if (answer->status != 401 || !dps_answer_json(answer, "", false, &body, &ignored))
		return false;
	key = json_text(body, "authenticationKey");
	if (!key || json_get(body, "status") || !copy_blob(key, &registration->key_blob))
		return false;
	registration->status = DPS_STATUS_CHALLENGED;
	return true;
}

static bool read_operation(const struct http_answer *answer, const char *what, const char *id,
			   struct dps_registration *registration, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;

	if (!dps_answer_json(answer, what, false, &body, err))
		return false;
	if (!find_status(json_text(body, "status"), &registration->status) ||
	    !copy_text(body, "operationId", registration->operation_id,
		       sizeof(registration->operation_id)) ||
	    !read_state(json_get(body, "registrationState"), registration) ||
	    !is_whole(registration, id))
		return muster_fail(err, CAUSE_CLOUD_ANSWER_INVALID,
				   "%s: the service's answer is not a registration's", what);
	return true;
}

bool dps_registration_read(const struct http_answer *answer, const char *id,
			   struct dps_registration *ret_registration, struct muster_error *err)
{
	CLEANUP(dps_registration_done) struct dps_registration registration = { 0 };
	char what[200];

	snprintf(what, sizeof(what), "registering '%s'", PRINTABLE(id));
	registration.retry_after_ms = answer->retry_after_ms;
	if (answer->outcome != HTTP_ANSWERED)
		return dps_answer_fail(answer, what, err);
	if (answer->status == 200 || answer->status == 202) {
		if (!read_operation(answer, what, id, &registration, err))
			return false;
	} else if (!read_challenge(answer, &registration)) {
		return dps_answer_fail(answer, what, err);
	}
	*ret_registration = registration;
	registration = (struct dps_registration){ 0 };
	return true;
}

bool dps_registration_check(const struct dps_registration *registration, struct muster_error *err)
{
	if (registration->status == DPS_STATUS_ASSIGNED)
		return true;
	if (registration->status == DPS_STATUS_DISABLED)
		return muster_fail(err, CAUSE_REGISTRATION_DISABLED,
				   "the service refuses the device: its enrollment is disabled");
	return muster_fail_native(err, CAUSE_REGISTRATION_FAILED, ORIGIN_DPS,
				  (unsigned long)registration->error_code,
				  "the registration is '%s', errorCode %lld: %s",
				  dps_status_name(registration->status),
				  (long long)registration->error_code, registration->error_message);
}
