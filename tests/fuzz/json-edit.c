/* Editing JSON text: the first line is a path, the rest a document. What comes out is a document in which only that member
 * is another. */
#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "fuzz.h"
#include "muster/json-edit.h"
#include "muster/json.h"

static cJSON *parse(const struct text *text)
{
	struct muster_error err;
	cJSON *root = NULL;

	return json_parse(text->data, text->length, "the input", &root, &err) ? root : NULL;
}

/* Names as the callers have them: letters, joined by single dots. */
static bool is_path(const char *path)
{
	for (const char *c = path; *c; c++)
		if (!isalpha((unsigned char)*c) && (*c != '.' || c == path || c[1] == '.' || !c[1]))
			return false;
	return *path;
}

static void set_and_remove(struct text *json, const char *path)
{
	CLEANUP(cJSON_freep) cJSON *edited = NULL;
	CLEANUP(cJSON_freep) cJSON *rest = NULL;
	struct muster_error err;
	const char *value;
	size_t length;

	if (!json_text_set(json, path, "[7]", 3, &err))
		return;
	edited = parse(json);
	assert(edited && json_text_find(json->data, json->length, path, &value, &length));
	assert(length == 3 && memcmp(value, "[7]", 3) == 0);
	assert(json_text_remove(json, path, &err));
	rest = parse(json);
	assert(rest && !json_text_find(json->data, json->length, path, &value, &length));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
	CLEANUP(freep) char *path = end ? strndup((const char *)data, (size_t)(end - data)) : NULL;
	CLEANUP(text_done) struct text json = TEXT_MAX(2 * JSON_SIZE_MAX);
	CLEANUP(cJSON_freep) cJSON *root = NULL;

	if (!path || !is_path(path) || strlen(path) > 40)
		return 0;
	text_add_bytes(&json, end + 1, size - (size_t)(end + 1 - data));
	root = parse(&json);
	if (cJSON_IsObject(root) && json.length < JSON_SIZE_MAX / 2)
		set_and_remove(&json, path);
	return 0;
}
