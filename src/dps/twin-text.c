#include "twin-text.h"

#include <stdio.h>
#include <string.h>

#include "muster/json.h"
#include "muster/log.h"

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
			 cJSON **ret_root, size_t *ret_dropped, struct muster_error *err)
{
	CLEANUP(text_done) struct text json = TEXT_MAX(JSON_SIZE_MAX);
	struct twin_reading reading;
	unsigned line, column;

	if (twin_python_read(text, &json, &reading)) {
		if (reading.has_printed)
			log_warning(
				"%s: JSON has no tuples, sets or bytes; they go as text, as from "
				"az. Lists are written [1, 2]",
				what);
		return text_ok(&json, err) &&
		       json_parse_last(json.data, json.length, what, ret_root, ret_dropped, err);
	}
	if (json.failed)
		return muster_fail_memory(err);
	place_of(text, reading.offset, &line, &column);
	return muster_fail(err, CAUSE_TWIN_TEXT_INVALID,
			   "%s: %s; as a Python literal: line %u, column %u: %s", what,
			   json_error->message, line, column, reading.problem);
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
	size_t dropped = 0;

	if (text[strspn(text, " \t\r\n")] == '\0')
		root = cJSON_CreateObject();
	else if (!json_parse_last(text, strlen(text), "as JSON", &root, &dropped, &json_error) &&
		 !parse_python(text, what, &json_error, &root, &dropped, err))
		return false;
	if (dropped > 0)
		log_warning("%s: a name stands twice in one object; its last value goes", what);
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
