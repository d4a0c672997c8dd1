#include "muster/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json-scan.h"
#include "muster/encoding.h"
#include "muster/secret.h"
#include "muster/text.h"

bool json_check(const char *data, size_t size, const char *what, struct muster_error *err)
{
	return json_scan(data, size, JSON_SIZE_MAX, what, false, NULL, err);
}

static bool parse(const char *data, size_t size, size_t max, const char *what, bool may_repeat,
		  cJSON **ret_root, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *root = cJSON_CreateNull();

	if (!root)
		return muster_fail_memory(err);
	if (!json_scan(data, size, max, what, may_repeat, root, err))
		return false;
	*ret_root = TAKE_PTR(root);
	return true;
}

bool json_parse(const char *data, size_t size, const char *what, cJSON **ret_root,
		struct muster_error *err)
{
	return parse(data, size, JSON_SIZE_MAX, what, false, ret_root, err);
}

bool json_parse_large(const char *data, size_t size, size_t max, const char *what, cJSON **ret_root,
		      struct muster_error *err)
{
	return parse(data, size, max, what, false, ret_root, err);
}

/* The first of a name keeps its place and gets the last one's value. */
static size_t keep_last(cJSON *object)
{
	size_t dropped = 0;

	for (cJSON *item = object->child, *next; item; item = next) {
		cJSON *first = cJSON_GetObjectItemCaseSensitive(object, item->string);

		next = item->next;
		if (first == item)
			continue;
		cJSON_DetachItemViaPointer(object, item);
		cJSON_ReplaceItemViaPointer(object, first, item);
		dropped++;
	}
	return dropped;
}

static size_t keep_last_below(cJSON *root)
{
	size_t dropped = cJSON_IsObject(root) ? keep_last(root) : 0;

	for (cJSON *item = root->child; item; item = item->next)
		dropped += keep_last_below(item);
	return dropped;
}

bool json_parse_last(const char *data, size_t size, const char *what, cJSON **ret_root,
		     size_t *ret_dropped, struct muster_error *err)
{
	if (!parse(data, size, JSON_SIZE_MAX, what, true, ret_root, err))
		return false;
	*ret_dropped = keep_last_below(*ret_root);
	return true;
}

/* -- Reading ------------------------------------------------------------------------------------------- */

cJSON *json_get(const cJSON *object, const char *name)
{
	return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

cJSON *json_at(const cJSON *object, ...)
{
	cJSON *found = NULL;
	const char *name;
	va_list names;

	va_start(names, object);
	while ((name = va_arg(names, const char *))) {
		found = json_get(object, name);
		object = found;
	}
	va_end(names);
	return found;
}

const char *json_text(const cJSON *object, const char *name)
{
	return cJSON_GetStringValue(json_get(object, name));
}

bool json_base64(const cJSON *object, const char *name, struct bytes *ret_bytes)
{
	const char *text = json_text(object, name);

	return text && base64_decode(text, strlen(text), ret_bytes);
}

bool json_bool(const cJSON *object, const char *name, bool fallback)
{
	const cJSON *item = json_get(object, name);

	return cJSON_IsBool(item) ? cJSON_IsTrue(item) : fallback;
}

bool json_is_number(const cJSON *item)
{
	return cJSON_IsNumber(item) || cJSON_IsRaw(item);
}

bool json_int64(const cJSON *object, const char *name, int64_t *ret_value)
{
	const cJSON *item = json_get(object, name);

	if (cJSON_IsRaw(item))
		return text_to_int64(item->valuestring, INT64_MIN, INT64_MAX, ret_value);
	/* As doubles only whole numbers that are exact; written so that NaN fails too. */
	if (!cJSON_IsNumber(item) ||
	    !(item->valuedouble >= -9007199254740992.0 &&
	      item->valuedouble <= 9007199254740992.0) ||
	    item->valuedouble != (double)(int64_t)item->valuedouble)
		return false;
	*ret_value = (int64_t)item->valuedouble;
	return true;
}

/* -- Making -------------------------------------------------------------------------------------------- */

bool json_put_item(cJSON *object, const char *name, bool is_literal, cJSON *item)
{
	if (!item)
		return false;
	if (is_literal ? cJSON_AddItemToObjectCS(object, name, item)
		       : cJSON_AddItemToObject(object, name, item))
		return true;
	cJSON_Delete(item);
	return false;
}

bool json_put_text(cJSON *object, const char *name, bool is_literal, const char *value)
{
	return !value || json_put_item(object, name, is_literal, cJSON_CreateString(value));
}

bool json_put_bool(cJSON *object, const char *name, bool is_literal, bool value)
{
	return json_put_item(object, name, is_literal, cJSON_CreateBool(value));
}

bool json_put_int64(cJSON *object, const char *name, bool is_literal, int64_t value)
{
	char digits[TEXT_DECIMAL_SIZE];

	return json_put_item(object, name, is_literal,
			     cJSON_CreateRaw(text_decimal(value, digits)));
}

/* -- Comparing, sorting, printing ---------------------------------------------------------------------- */

static const char *number_text(const cJSON *item, char out[32])
{
	if (cJSON_IsRaw(item))
		return item->valuestring;
	snprintf(out, 32, "%.17g", item->valuedouble);
	return out;
}

static bool objects_equal(const cJSON *a, const cJSON *b)
{
	if (cJSON_GetArraySize(a) != cJSON_GetArraySize(b))
		return false;
	for (const cJSON *item = a->child; item; item = item->next)
		if (!json_equal(item, json_get(b, item->string)))
			return false;
	return true;
}

static bool arrays_equal(const cJSON *a, const cJSON *b)
{
	const cJSON *left = a->child, *right = b->child;

	for (; left && right; left = left->next, right = right->next)
		if (!json_equal(left, right))
			return false;
	return !left && !right;
}

bool json_equal(const cJSON *a, const cJSON *b)
{
	char left[32], right[32];

	if (!a || !b)
		return !a && !b;
	if (json_is_number(a) && json_is_number(b))
		return strcmp(number_text(a, left), number_text(b, right)) == 0;
	if ((a->type & 0xff) != (b->type & 0xff))
		return false;
	if (cJSON_IsString(a))
		return strcmp(a->valuestring, b->valuestring) == 0;
	if (cJSON_IsObject(a))
		return objects_equal(a, b);
	return !cJSON_IsArray(a) || arrays_equal(a, b);
}

static int compare_names(const void *a, const void *b)
{
	const cJSON *const *left = a;
	const cJSON *const *right = b;

	return strcmp((*left)->string, (*right)->string);
}

static void sort_members(cJSON *object)
{
	size_t count = (size_t)cJSON_GetArraySize(object);
	cJSON **items = count > 1 ? malloc(count * sizeof(cJSON *)) : NULL;
	size_t i = 0;

	if (!items)
		return;
	for (cJSON *item = object->child; item; item = item->next)
		items[i++] = item;
	qsort(items, count, sizeof(cJSON *), compare_names);
	/* cJSON keeps the last item in the first one's prev. */
	for (i = 0; i < count; i++) {
		items[i]->next = i + 1 < count ? items[i + 1] : NULL;
		items[i]->prev = items[i > 0 ? i - 1 : count - 1];
	}
	object->child = items[0];
	free(items);
}

void json_sort(cJSON *root)
{
	if (cJSON_IsObject(root))
		sort_members(root);
	if (cJSON_IsObject(root) || cJSON_IsArray(root))
		for (cJSON *item = root->child; item; item = item->next)
			json_sort(item);
}
