#include <string.h>

#include "muster/json.h"
#include "muster/log.h"

#include "fields.h"

static bool add(struct fields *fields, const char *name, struct muster_error *err)
{
	if (*name == 0)
		return muster_fail(err, CAUSE_USAGE, "--fields has an empty name");
	for (size_t i = 0; i < fields->count; i++)
		if (strcmp(fields->columns[i].key, name) == 0)
			return muster_fail(err, CAUSE_USAGE, "--fields has '%s' twice",
					   PRINTABLE(name));
	if (fields->count == OUTPUT_COLUMNS_MAX)
		return muster_fail(err, CAUSE_USAGE, "--fields has more than %d names",
				   OUTPUT_COLUMNS_MAX);
	fields->columns[fields->count++] = (struct column){ .key = name, .title = name };
	return true;
}

static char *trim(char *name)
{
	size_t length;

	name += strspn(name, " \t");
	length = strlen(name);
	while (length > 0 && strchr(" \t", name[length - 1]))
		name[--length] = 0;
	return name;
}

bool fields_parse(const char *text, struct fields *ret_fields, struct muster_error *err)
{
	CLEANUP(fields_done) struct fields fields = { 0 };
	char *rest, *name;

	if (!text)
		return true;
	fields.storage = strdup(text);
	if (!fields.storage)
		return muster_fail_memory(err);
	rest = fields.storage;
	while ((name = strsep(&rest, ",")))
		if (!add(&fields, trim(name), err))
			return false;
	*ret_fields = fields;
	fields = (struct fields){ 0 };
	return true;
}

void fields_done(struct fields *fields)
{
	free(fields->storage);
	*fields = (struct fields){ 0 };
}

/* "attestation.type"; a member whose own name has dots is found by it, too. */
static const cJSON *find(const cJSON *object, const char *path)
{
	const cJSON *item = json_get(object, path);
	const char *dot = strchr(path, '.');
	CLEANUP(freep) char *name = NULL;

	if (item || !dot)
		return item;
	name = strndup(path, (size_t)(dot - path));
	item = name ? json_get(object, name) : NULL;
	return item ? find(item, dot + 1) : NULL;
}

static cJSON *select_of(struct fields *fields, const cJSON *object)
{
	CLEANUP(cJSON_freep) cJSON *selection = cJSON_CreateObject();

	fields->has_selected = true;
	for (size_t i = 0; i < fields->count; i++) {
		const cJSON *item = find(object, fields->columns[i].key);
		cJSON *copy = item ? cJSON_Duplicate(item, true) : cJSON_CreateNull();

		fields->is_found[i] |= item != NULL;
		if (!copy || !json_add_item(selection, fields->columns[i].key, copy))
			return NULL;
	}
	return TAKE_PTR(selection);
}

bool fields_select(struct fields *fields, cJSON *array, struct muster_error *err)
{
	cJSON *next;

	for (cJSON *row = array->child; fields->count > 0 && row; row = next) {
		cJSON *selection = select_of(fields, row);

		next = row->next;
		if (!selection || !cJSON_ReplaceItemViaPointer(array, row, selection))
			return muster_fail_memory(err);
	}
	return true;
}

void fields_warn(const struct fields *fields)
{
	for (size_t i = 0; fields->has_selected && i < fields->count; i++)
		if (!fields->is_found[i])
			log_warning("--fields: nothing that was listed has '%s'",
				    PRINTABLE(fields->columns[i].key));
}
