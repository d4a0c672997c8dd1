#include "twin-text.h"

#include <stdio.h>
#include <string.h>

#include "muster/json.h"

/* -- Places -------------------------------------------------------------------------------------------- */

static void place_of(const char *text, size_t offset, unsigned *ret_line, unsigned *ret_column)
{
	*ret_line = *ret_column = 1;
	for (size_t i = 0; i < offset; i++) {
		if (text[i] == '\n') {
			++*ret_line;
			*ret_column = 1;
		} else if ((text[i] & 0xc0) != 0x80) { /* characters, not bytes */
			++*ret_column;
		}
	}
}

/* -- Reading ------------------------------------------------------------------------------------------- */

static bool parse_python(const char *text, const char *what, const struct muster_error *json_error,
			 cJSON **ret_root, struct muster_error *err)
{
	CLEANUP(text_done) struct text json = TEXT_MAX(JSON_SIZE_MAX);
	const char *problem = NULL;
	unsigned line, column;
	size_t offset = 0;

	if (twin_python_read(text, &json, &problem, &offset))
		return text_ok(&json, err) &&
		       json_parse(json.data, json.length, what, ret_root, err);
	if (json.failed)
		return muster_fail_memory(err);
	place_of(text, offset, &line, &column);
	return muster_fail(err, CAUSE_TWIN_TEXT_INVALID,
			   "%s: %s; as a Python literal: line %u, column %u: %s", what,
			   json_error->message, line, column, problem);
}

static void drop_nulls(cJSON *object)
{
	cJSON *item = object->child;

	while (item) {
		cJSON *next = item->next;

		if (cJSON_IsNull(item))
			cJSON_Delete(cJSON_DetachItemViaPointer(object, item));
		else if (cJSON_IsObject(item))
			drop_nulls(item);
		item = next;
	}
}

bool dps_twin_parse(const char *text, const char *what, cJSON **ret_object,
		    struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *root = NULL;
	struct muster_error json_error;

	if (text[strspn(text, " \t\r\n")] == '\0')
		root = cJSON_CreateObject();
	else if (!json_parse(text, strlen(text), "as JSON", &root, &json_error) &&
		 !parse_python(text, what, &json_error, &root, err))
		return false;
	if (!root)
		return muster_fail_memory(err);
	if (!cJSON_IsObject(root))
		return muster_fail(err, CAUSE_TWIN_TEXT_INVALID,
				   "%s is no collection: it must have names and values, {...}",
				   what);
	drop_nulls(root);
	*ret_object = TAKE_PTR(root);
	return true;
}
