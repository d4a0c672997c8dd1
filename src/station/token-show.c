/* muster hsm show: one token, its mechanisms and its objects. */
#include "muster/station-token.h"

#include <stdlib.h>
#include <string.h>

#include "login.h"
#include "muster/encoding.h"
#include "muster/json.h"
#include "visit.h"

/* An object in a new place of the array; NULL when out of memory. */
static cJSON *append(cJSON *array)
{
	cJSON *object = cJSON_CreateObject();

	if (object && !cJSON_AddItemToArray(array, object)) {
		cJSON_Delete(object);
		return NULL;
	}
	return object;
}

static bool add_mechanism(struct visit *visit, uint64_t index, cJSON *array, uint64_t *ret_count,
			  struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };
	const char *uses;
	cJSON *object;

	worker_request_init(&request, WORKER_HSM_MECHANISM);
	worker_add_u64(&request, FIELD_INDEX, index);
	if (!worker_call(visit->worker, &request, &reply, err))
		return false;
	*ret_count = worker_u64(&reply, FIELD_COUNT);
	uses = worker_text(&reply, FIELD_FLAG_WORDS);
	if (index >= *ret_count)
		return true;
	object = append(array);
	if (!object || !json_add_text(object, "name", worker_text(&reply, FIELD_WORD)) ||
	    !json_add_bool(object, "offered", uses && *uses) ||
	    !json_add_int64(object, "minimum", (int64_t)worker_u64(&reply, FIELD_MINIMUM)) ||
	    !json_add_int64(object, "maximum", (int64_t)worker_u64(&reply, FIELD_MAXIMUM)))
		return muster_fail_memory(err);
	return visit_add_words(object, "uses", uses, err);
}

static bool add_mechanisms(struct visit *visit, cJSON *document, struct muster_error *err)
{
	cJSON *array = cJSON_AddArrayToObject(document, "mechanisms");
	uint64_t count = 1;

	if (!array)
		return muster_fail_memory(err);
	for (uint64_t i = 0; i < count; i++)
		if (!add_mechanism(visit, i, array, &count, err))
			return false;
	return true;
}

/* "local=true ..." as an object; "unknown" is what the token does not tell. */
static bool add_attributes(cJSON *object, const char *text, struct muster_error *err)
{
	cJSON *attributes = cJSON_AddObjectToObject(object, "attributes");
	CLEANUP(freep) char *copy = strdup(text);
	char *rest;

	if (!attributes || !copy)
		return muster_fail_memory(err);
	for (char *pair = strtok_r(copy, " ", &rest); pair; pair = strtok_r(NULL, " ", &rest)) {
		char *value = strchr(pair, '=');

		if (!value)
			continue;
		*value++ = 0;
		if (strcmp(value, "unknown") == 0
			    ? !json_add_text(attributes, pair, value)
			    : !json_add_bool(attributes, pair, strcmp(value, "true") == 0))
			return muster_fail_memory(err);
	}
	return true;
}

static bool add_digest(cJSON *object, const char *name, const struct bytes *content)
{
	char hex[SHA256_HEX_SIZE];

	return content->size == 0 ||
	       json_add_text(object, name, sha256_hex(hex, content->data, content->size));
}

static bool fill_object(cJSON *object, const struct worker_message *reply, struct muster_error *err)
{
	const struct bytes *id = worker_bytes(reply, FIELD_KEY_ID);
	const char *type = worker_text(reply, FIELD_KEY_TYPE);
	const char *attributes = worker_text(reply, FIELD_ATTRIBUTES);
	const char *note = worker_text(reply, FIELD_NOTE);
	char hex[2 * 64 + 1] = "";

	if (id->data && id->size <= 64)
		hex_encode(hex, id->data, id->size);
	if (!json_add_text(object, "kind", worker_text(reply, FIELD_WORD)) ||
	    !json_add_text(object, "label", worker_text(reply, FIELD_LABEL)) ||
	    !json_add_text(object, "id", *hex ? hex : NULL) ||
	    !json_add_text(object, "keyType", type && *type ? type : NULL) ||
	    !add_digest(object, "publicSha256", worker_bytes(reply, FIELD_PUBLIC)) ||
	    !add_digest(object, "certificateSha256", worker_bytes(reply, FIELD_CERTIFICATE)) ||
	    !json_add_text(object, "note", note && *note ? note : NULL))
		return muster_fail_memory(err);
	return !attributes || !*attributes || add_attributes(object, attributes, err);
}

/* Where the worker has it, and a key's whole public half in hex. */
static bool add_place(cJSON *object, uint64_t index, const struct bytes *spki,
		      struct muster_error *err)
{
	CLEANUP(freep) char *hex = malloc(2 * spki->size + 1);

	return (hex && json_add_int64(object, "index", (int64_t)index) &&
		json_add_text(object, "public", hex_encode(hex, spki->data, spki->size))) ||
	       muster_fail_memory(err);
}

static bool add_object(struct visit *visit, uint64_t index, cJSON *array, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };
	cJSON *object;

	worker_request_init(&request, WORKER_HSM_OBJECT);
	worker_add_u64(&request, FIELD_INDEX, index);
	if (!worker_call(visit->worker, &request, &reply, err))
		return false;
	if (!worker_u64(&reply, FIELD_FOUND))
		return true;
	object = append(array);
	if (!object)
		return muster_fail_memory(err);
	return fill_object(object, &reply, err) &&
	       (!visit->shows_public ||
		add_place(object, index, worker_bytes(&reply, FIELD_PUBLIC), err));
}

bool visit_objects(struct visit *visit, cJSON *array, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };
	uint64_t count;

	worker_request_init(&request, WORKER_HSM_OBJECTS);
	if (!worker_call(visit->worker, &request, &reply, err))
		return false;
	count = worker_u64(&reply, FIELD_COUNT);
	for (uint64_t i = 0; i < count; i++)
		if (!add_object(visit, i, array, err))
			return false;
	return true;
}

static bool fill(struct visit *visit, cJSON *document, struct muster_error *err)
{
	cJSON *token = cJSON_AddObjectToObject(document, "token");
	cJSON *objects;

	if (!token || !json_add_bool(document, "loggedIn", visit->is_logged_in))
		return muster_fail_memory(err);
	if (!visit_describe(&visit->module, &visit->token, token, err) ||
	    !add_mechanisms(visit, document, err))
		return false;
	objects = cJSON_AddArrayToObject(document, "objects");
	return objects ? visit_objects(visit, objects, err) : muster_fail_memory(err);
}

bool station_token_show(const char *token_uri, const struct station_show *request,
			cJSON **ret_token, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *document = cJSON_CreateObject();
	CLEANUP(visit_done) struct visit visit = { 0 };

	if (!document)
		return muster_fail_memory(err);
	if (!visit_open(&visit, token_uri, err))
		return false;
	if ((request->asks || login_has_pin(&request->pin, &visit.uri)) &&
	    !visit_login(&visit, &request->pin, err))
		return false;
	if (!fill(&visit, document, err))
		return muster_error_prefix(err, "looking at token '%s'",
					   PRINTABLE(visit.token.label));
	*ret_token = TAKE_PTR(document);
	return true;
}
