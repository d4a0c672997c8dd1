#include <stdlib.h>
#include <string.h>

#include "muster/json.h"

#include "bulk-internal.h"
#include "dps-internal.h"

#define JSON_TYPE "application/json; charset=utf-8"

static const char *const mode_names[] = {
	[DPS_BULK_CREATE] = "create",
	[DPS_BULK_UPDATE] = "update",
	[DPS_BULK_UPDATE_IF_MATCH] = "updateIfMatchETag",
	[DPS_BULK_DELETE] = "delete",
};

const char *dps_bulk_mode_name(enum dps_bulk_mode mode)
{
	return mode_names[mode];
}

/* -- Items ----------------------------------------------------------------------------------------------- */

void dps_bulk_item_done(struct dps_bulk_item *item)
{
	free(item->id);
	cJSON_Delete(item->document);
	if (item->line)
		secret_wipe(item->line, strlen(item->line));
	free(item->line);
	free(item->etag);
	*item = (struct dps_bulk_item){ 0 };
}

/* -- Requests -------------------------------------------------------------------------------------------- */

static char *deletion_json(const struct dps_bulk_item *item)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();

	return object && json_add_text(object, "registrationId", item->id) &&
			       json_add_text(object, "etag", item->etag)
		       ? json_print_line(object)
		       : NULL;
}

/* The etag of an item stands in its document: only there a bulk has room for it. */
static char *conditional_json(const struct dps_bulk_item *item)
{
	CLEANUP(cJSON_freep) cJSON *document = cJSON_Duplicate(item->document, true);

	if (!document)
		return NULL;
	cJSON_DeleteItemFromObjectCaseSensitive(document, "etag");
	return json_add_text(document, "etag", item->etag) ? json_print_line(document) : NULL;
}

char *bulk_item_json(enum dps_bulk_mode mode, struct dps_bulk_item *item)
{
	if (item->line)
		return TAKE_PTR(item->line);
	if (mode == DPS_BULK_DELETE)
		return deletion_json(item);
	if (mode == DPS_BULK_UPDATE_IF_MATCH)
		return conditional_json(item);
	return json_print_line(item->document);
}

size_t bulk_room_of(const char *json)
{
	return strlen(json) + 1;
}

static void append(struct secret *body, size_t *used, const char *part)
{
	size_t length = strlen(part);

	memcpy(body->data + *used, part, length);
	*used += length;
}

static bool fill_body(struct secret *body, enum dps_bulk_mode mode, struct slot *const *slots,
		      size_t count, struct muster_error *err)
{
	static const char begin[] = "{\"enrollments\":[", middle[] = "],\"mode\":\"", end[] = "\"}";
	size_t size = strlen(begin) + strlen(middle) + strlen(mode_names[mode]) + strlen(end);
	size_t used = 0;

	for (size_t i = 0; i < count; i++)
		size += strlen(slots[i]->json) + (i > 0);
	if (!secret_new(body, size, err))
		return false;
	append(body, &used, begin);
	for (size_t i = 0; i < count; i++) {
		append(body, &used, i > 0 ? "," : "");
		append(body, &used, slots[i]->json);
	}
	append(body, &used, middle);
	append(body, &used, mode_names[mode]);
	append(body, &used, end);
	return true;
}

bool bulk_build(const char *host, enum dps_bulk_mode mode, struct slot *const *slots, size_t count,
		struct http_request *ret_request, struct muster_error *err)
{
	CLEANUP(http_request_done) struct http_request request = { .method = HTTP_POST };

	text_addf(&request.url, "https://%s/enrollments?api-version=" DPS_SERVICE_API_VERSION,
		  host);
	request.content_type = JSON_TYPE;
	if (!text_ok(&request.url, err) || !fill_body(&request.body, mode, slots, count, err))
		return false;
	*ret_request = request;
	request = (struct http_request){ 0 };
	return true;
}

bool bulk_build_single(const char *host, enum dps_bulk_mode mode, const struct slot *slot,
		       struct http_request *ret_request, struct muster_error *err)
{
	const struct dps_bulk_item *item = &slot->item;
	const struct text document = { .data = slot->json, .length = strlen(slot->json) };

	switch (mode) {
	case DPS_BULK_CREATE:
		return dps_enrollment_put_text(host, item->id, &document, NULL, ret_request, err);
	case DPS_BULK_UPDATE:
		return dps_enrollment_put_text(host, item->id, &document, "*", ret_request, err);
	case DPS_BULK_UPDATE_IF_MATCH:
		return dps_enrollment_put(host, item->id, item->document, item->etag, ret_request,
					  err);
	case DPS_BULK_DELETE:
		return dps_enrollment_delete(host, item->id, item->etag ? item->etag : "*",
					     ret_request, err);
	}
	return false;
}

/* -- Answers --------------------------------------------------------------------------------------------- */

int bulk_status_of(const struct item_error *error)
{
	int64_t status = error->code >= 100000 ? error->code / 1000 : error->code;

	return status <= 999 ? (int)status : 0;
}

static size_t find_slot(struct slot *const *slots, size_t count, const char *id)
{
	size_t i = 0;

	while (i < count && !text_equal_folded(slots[i]->item.id, id))
		i++;
	return i;
}

/* Each error belongs to exactly one item of ours. */
static bool take_error(const cJSON *row, struct slot *const *slots, size_t count,
		       struct item_error *errors)
{
	const char *id = json_text(row, "registrationId");
	size_t which = id ? find_slot(slots, count, id) : count;
	int64_t code;

	if (which == count || errors[which].code != 0 || !json_int64(row, "errorCode", &code) ||
	    code <= 0)
		return false;
	errors[which].code = code;
	text_printable(errors[which].message, sizeof(errors[which].message),
		       json_text(row, "errorStatus"));
	return true;
}

bool bulk_read(const struct http_answer *answer, struct slot *const *slots, size_t count,
	       struct item_error *ret_errors)
{
	CLEANUP(cJSON_freep) cJSON *result = NULL;
	struct muster_error ignored;
	const cJSON *errors, *row, *is_successful;

	memset(ret_errors, 0, count * sizeof(*ret_errors));
	if (!dps_answer_json(answer, "the bulk", false, &result, &ignored))
		return false;
	is_successful = json_get(result, "isSuccessful");
	errors = json_get(result, "errors");
	if (!cJSON_IsBool(is_successful) ||
	    (errors && !cJSON_IsArray(errors) && !cJSON_IsNull(errors)))
		return false;
	cJSON_ArrayForEach(row,
			   errors) if (!take_error(row, slots, count, ret_errors)) return false;
	/* A failure of nobody, or a success with failures, is neither. */
	return cJSON_IsTrue(is_successful) == (cJSON_GetArraySize(errors) == 0);
}
